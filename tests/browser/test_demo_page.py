"""The demo's page in a real browser: every command, button, form and shortcut gets an answer."""

import importlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping

import pytest

import handlers
from handlers.commands import SUBCOMMANDS
from tests.browser.chromium import LAPTOP, PHONE, Page
from tests.browser.conftest import Shown
from tests.browser.walk import Walker

WORDS: Mapping[str, tuple[str, ...]] = {
    "help": ("help", "help all", "help budget"),
    "status": ("status",),
    "estimate": (
        "estimate sonnet-4.6 requests=100k in=2000 out=500 as=walk for=feature:support",
        "estimate list",
        "estimate show walk",
        "estimate drop walk",
        "estimate",
    ),
    "report": ("report", "report month by feature", "report yesterday by key", "report month by user"),
    "top": ("top",),
    "cache": ("cache",),
    "forecast": ("forecast", "forecast search"),
    "plan": ("plan sonnet-4.6 requests=10k in=2000 out=500",),
    "fallback": ("fallback status", "fallback history", "fallback on minimal for 2h because of a test", "fallback off"),
    "rates": ("rates", "rates opus"),
    "budget": (
        "budget list",
        "budget try search hard=300",
        "budget suggest",
        "budget raise default to=9000 until=3d because of a test",
        "budget set walk scope=organization soft=8000 hard=9000",
        "budget remove walk",
        "budget history",
        "budget",
    ),
    "calendar": ("calendar list", 'calendar add "batch night" every fri 22:00 for 6h', "calendar remove batch night"),
    "alerts": ("alerts",),
    "limits": ("limits",),
    "digest": ("digest yesterday", "digest", "digest settings", "digest on month for=team:search", "digest list"),
    "doctor": ("doctor",),
    "test-alert": ("test-alert",),
}
"""Words to type for each subcommand."""

NOT_OFFERED = {
    "proposal_approve": "the demo's changes of the mode need no approval",
    "proposal_reject": "likewise",
}
"""Why no button of a demo has this id."""

FORECAST, HARD = "Forecast $", "hard limit crossed, November"


def actions() -> Iterator[str]:
    """The ids of all buttons that the handlers know, without what follows a colon."""
    for found in pkgutil.walk_packages(handlers.__path__, "handlers."):
        for name, value in vars(importlib.import_module(found.name)).items():
            if name.endswith("_ACTION") and isinstance(value, str):
                yield value


def test_there_are_words_for_each_subcommand() -> None:
    assert list(WORDS) == [row.name for row in SUBCOMMANDS]


async def test_every_command_button_form_and_shortcut_gets_an_answer(
    shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    page, walker = shown.page, Walker(shown.page)
    # While only a forecast is open, it can be expected, and not after all.
    await shown.plays_until(FORECAST)
    await walker.sees("Forecast")
    await walker.click_one("alert_expect")
    await walker.click_one("alert_expect_undo")
    await shown.plays_until(HARD)
    await shown.pass_hours(3)
    await walker.sees(HARD)
    assert await shows_on_a_phone(page)

    # A developer may ask; whatever only admins may do is refused in words.
    await walker.become("Dev")
    await walker.click_all("messages", set())
    # Admins decide about that, and try everything else.
    await walker.become("Ada")
    await walker.click_one("raise_approve")
    await walker.click_one("raise_cancel")
    await walker.become("Dev")
    await walker.click_one("raise_open")
    await walker.become("Ada")
    await walker.click_one("raise_decline")
    await walker.click_all("messages", set())
    for name, lines in WORDS.items():
        for line in lines:
            assert await walker.write(line), name
            await walker.finish()
            if line.startswith("budget set"):
                await walker.click_one("budget_set")
    await walker.click_all("messages", set())
    await walker.write("what do we spend?", how="mention")
    await walker.shortcut("document.getElementById('shortcut').click()")
    await walker.shortcut("document.querySelector('#messages .tool.shortcut').click()")

    await walker.visit("Home")
    await page.until("document.querySelectorAll('#home button.element').length")
    # Without news there is nothing to refresh.
    await shown.pass_hours()
    await walker.click_all("home", set())
    await walker.visit("Messages")
    await walker.write("status", how="say")

    # The same in Japanese, in the channel of a team.
    await walker.become("Yuki")
    await walker.visit("# search")
    await walker.sees("ハード上限")
    await walker.click_all("messages", set())
    for line in ("status", "forecast", "estimate"):
        await walker.write(line)
        await walker.finish()

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    tried = {action.partition(":")[0] for action in walker.clicked}
    missed = set(actions()) - tried - NOT_OFFERED.keys()
    assert not missed, missed


FITS = """() => {
  const alert = [...document.querySelectorAll("#messages > li")].find((one) => one.textContent.includes("%s"));
  alert.scrollIntoView({ block: "start", behavior: "instant" });
  const seen = document.getElementById("messages").getBoundingClientRect();
  const parts = [".block.section", ".block.section:has(+ .actions)", ".block.actions"];
  const boxes = parts.map((part) => alert.querySelector(part).getBoundingClientRect());
  return boxes.map(({ top, bottom, right }) => top >= seen.top - 1 && bottom <= seen.bottom + 1 && right <= innerWidth);
}"""


async def shows_on_a_phone(page: Page) -> bool:
    """Whether number, reason and buttons of the hard alert are seen without scrolling, and nothing is too wide."""
    await page.size(*PHONE)
    fits = await page.js(f"({FITS % HARD})()")
    width = await page.js("document.documentElement.scrollWidth")
    await page.size(*LAPTOP)
    return bool(fits == [True, True, True] and width == PHONE[0])


SORTED = """(column) => {
  const table = [...document.querySelectorAll("table")].at(-1);
  table.querySelectorAll(".sorter")[column].click();
  const cells = [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
  return [table.tHead.rows[0].cells[column].ariaSort, cells];
}"""


async def test_a_click_on_a_heading_sorts_a_table_by_its_numbers(shown: Shown) -> None:
    page, walker = shown.page, Walker(shown.page)
    await page.size(*LAPTOP)
    await shown.pass_hours(2)
    await walker.write("report month by model")
    directions = []
    for _ in range(2):
        direction, cells = await page.js(SORTED, 1)
        numbers = [float(cell.split("$")[1].split()[0].replace(",", "")) for cell in cells]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        directions.append(direction)
    assert directions == ["descending", "ascending"]
