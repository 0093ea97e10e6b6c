"""A kind of alert is one line, a detector and a renderer: the recipe of CONTRIBUTING.md, followed to the letter."""

import re
import shutil
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from bot.alerts.detector import detector_type
from bot.alerts.incident import AlertKind
from bot.alerts.model import AlertPayload
from bot.alerts.notice_contents import payload_type
from handlers.render.lifecycle import renderer
from tests.contract.level_list import PAGE, listed
from tests.contract.test_rooms import PATHS, ROOT

DETECTOR = """
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bot.alerts.incident import Identity, Status, Step
from bot.alerts.incident import AlertKind
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.strict_fields import Table


class ToyRules(Table):
    toy: str = "bear"


class ToyReason(StrEnum):
    BROKEN = "the toy is broken"
    MENDED = "the toy is mended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyAlert(AlertPayload):
    kind: Literal[AlertKind.TOY] = AlertKind.TOY
    toy: str

    @property
    def identity(self):
        return Identity(AlertKind.TOY, self.toy, "today")


class ToyDetector:
    name = "toys"

    def __init__(self, context):
        self._context = context
        self._toy = context.rules.of(ToyRules).toy

    def look(self, now, mode):
        is_open = (self._toy, "today") in self._context.alerts.open_incidents(AlertKind.TOY)
        if is_open:
            step = Step(None, Status.RESOLVED, ToyReason.MENDED)
        else:
            step = Step(None, Status.OPEN, ToyReason.BROKEN, post=True)
        yield [Transition(ToyAlert(**at_step(step, mode, now), toy=self._toy), step.post)]
"""
RENDERER = """
from bot.messages import Message
from handlers.render.parts import lead


def toy_message(payload):
    return Message([lead(f"The {payload.toy} is {payload.status}.")])


def toy_line(alert):
    return f"the {alert.identity.subject} is broken"
"""
STORY = """
import logging, sys
from datetime import UTC, datetime
from pathlib import Path
from bot.alerts.incident import AlertKind
from bot.alerts.rules import DetectorRules
from bot.alerts.store import AlertStore
from bot.config.toml import read_config_file
from bot.db.engine import open_database
from bot.messages import in_utc
from handlers.render.lifecycle import open_alert_lines
from handlers.rendering import plain_message
from tests.detectors import evaluator

log = logging.getLogger("bot.alerts")
log.addHandler(logging.StreamHandler(sys.stdout))
log.setLevel(logging.INFO)
now = datetime(2026, 11, 20, 12, tzinfo=UTC)
engine = open_database("sqlite:///toy.db")
store = AlertStore(engine, {"mail": frozenset({AlertKind.TOY})})
Path("toy.toml").write_text("[toy]\\ntoy = 'duck'")
rules = DetectorRules(read_config_file(Path("toy.toml")).detector_tables)
toys = evaluator(AlertKind.TOY, engine, None, store, None, rules=rules)
for _ in range(2):
    assert toys.look(now, "normal") == 1
    print(*map(in_utc, open_alert_lines(store.life.open_alerts())))
notice = store.notices.claim(now)
print(notice.action, notice.about, plain_message(notice.content.payload, now, now).title)
print(store.notices.undelivered(), store.destinations.undelivered())
"""


def test_a_new_kind_takes_one_line_its_detector_and_its_renderer(tmp_path: Path) -> None:
    for folder in ("bot", "handlers", "tests"):
        skipped = shutil.ignore_patterns("sandbox", "cli", "scenario", "unit", "client", "contract")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=skipped)
    kinds = tmp_path / "bot" / "alerts" / "incident.py"
    last = f'    DELIVERY = "{AlertKind.DELIVERY}"\n'
    text = kinds.read_text(encoding="utf-8")
    assert last in text
    kinds.write_text(text.replace(last, f'{last}    TOY = "toy"\n'), encoding="utf-8")
    (tmp_path / "bot" / "alerts" / "toy.py").write_text(DETECTOR, encoding="utf-8")
    (tmp_path / "handlers" / "render" / "toy_alert.py").write_text(RENDERER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", STORY], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "alert duck/today/toy/0: open, because: the toy is broken",
        "• the duck is broken: since 20 Nov 12:00 UTC, nobody has acknowledged it.",
        "alert duck/today/toy/0: resolved, because: the toy is mended",
        "",
        "post duck/today/toy/0 The duck is open.",
        "3 {'mail': 2}",
    ]


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_has_what_its_name_leads_to(kind: AlertKind) -> None:
    payload = payload_type(kind)
    assert issubclass(payload, AlertPayload)
    assert is_dataclass(payload)
    assert get_type_hints(payload)["kind"].__args__ == (kind,)
    assert detector_type(kind).__name__ == f"{kind.class_prefix}Detector"
    assert callable(renderer(kind))


def test_no_kind_is_named_in_a_list_besides() -> None:
    """Names of payloads stand in their two files, and in what is about that kind alone."""
    about_limits = {"bot.doctor.slack", "handlers.rendering"}
    comments = re.compile(r'"""[\s\S]*?"""|#.*')
    sources = {module: comments.sub("", path.read_text(encoding="utf-8")) for module, path in PATHS.items()}
    for kind in AlertKind:
        own = {f"bot.alerts.{kind.module}", f"handlers.render.{kind.module}_alert"}
        name = rf"\b{kind.class_prefix}(Alert|Detector)\b"
        found = {module for module, source in sources.items() if re.search(name, source)}
        assert found - own <= (about_limits if kind is AlertKind.LIMIT else set()), kind


def test_readme_lists_the_levels_of_all_kinds() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == listed(page), "run: python -m tests.contract.level_list"
