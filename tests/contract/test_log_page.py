"""docs/operations.md names every field of a log line, what it may say, and every span."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.alerts.incident import Status
from bot.alerts.lifecycle import LifecycleStep
from bot.log_fields import NAMES, Event

ROOT = Path(__file__).resolve().parents[2]
CODE = "`([^`]+)`"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> dict[str, str]:
    """The first table below a heading: the code that begins each row, and the rest of the row."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(rf"^\| {CODE} \| (.+) \|$", section, re.MULTILINE))


def sources() -> Iterator[str]:
    for room in ("bot", "handlers"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.read_text(encoding="utf-8")


def test_the_page_has_every_field_of_a_line(page: str) -> None:
    assert tuple(rows(page, "Logs")) == NAMES


def test_the_page_has_every_event_status_and_outcome(page: str) -> None:
    fields = rows(page, "Logs")
    assert set(re.findall(CODE, fields["event"])) == set(Event)
    statuses = {*Status, *LifecycleStep, "open again"} - {Status.WATCHED}
    assert set(re.findall(CODE, fields["status"])) == statuses
    source = (ROOT / "bot" / "notify" / "delivery_log.py").read_text(encoding="utf-8")
    outcomes = re.findall(r'(?:_warn|_shown)\(notice, "([a-z ]+)"', source) + re.findall(
        r'"([a-z]+)" (?:if|$)', source, re.M
    )
    targets = re.findall(r'outcome="([a-z]+)"', (ROOT / "bot/fallback/reconciler.py").read_text(encoding="utf-8"))
    assert {*outcomes, *targets, "delivered", "done", "refused"} == set(re.findall(CODE, fields["outcome"]))


def test_the_page_has_every_span(page: str) -> None:
    opened = {name for source in sources() for name in re.findall(r'\bspan\("([a-z]+)"', source)}
    named = {name for row in page.partition("\n## Traces\n")[2].splitlines() for name in re.findall(CODE, row[:80])}
    assert opened <= named
    assert set(rows(page, "Traces")) <= opened
