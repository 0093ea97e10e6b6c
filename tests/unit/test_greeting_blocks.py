"""The greeting of a new installation, with any names of budgets."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bot.alerts.notice_contents import dumped, parsed
from bot.budgets.budget import PeriodKind
from bot.budgets.greeting_store import Greeting, WatchedBudget
from bot.language import LANGUAGES, in_language
from bot.sandbox.block_limits import problems
from handlers.render.help import greeting_message

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def budget(
    name: str, *limits: str, scope: str = "organization", period: PeriodKind = PeriodKind.MONTH
) -> WatchedBudget:
    return WatchedBudget(name=name, scope=scope, period=period, limits_usd=tuple(map(Decimal, limits)))


def greeting(*budgets: WatchedBudget, admins: tuple[str, ...] = ("U0ADMIN",)) -> Greeting:
    return Greeting(at=NOW, budgets=budgets, admins=admins)


WATCHES = "claude-cost watches what this organization spends on Claude"


@pytest.mark.parametrize(
    ("budgets", "lines"),
    [
        ([budget("default", "500", "700")], [f"{WATCHES}, and reports at $500 and at $700 a month."]),
        ([budget("default", "0.5")], [f"{WATCHES}, and reports at $0.50 a month."]),
        ([budget("daily", "1234.5", period=PeriodKind.DAY)], [f"{WATCHES}, and reports at $1,234.50 a day."]),
        ([budget("w", "1", "2", period=PeriodKind.WEEK)], [f"{WATCHES}, and reports at $1 and at $2 a week."]),
        (
            [budget("default", "500", "700"), budget("search", "9", scope="team:search", period=PeriodKind.WEEK)],
            [
                f"{WATCHES}.",
                "• default (`organization`): reports at $500 and at $700 a month",
                "• search (`team:search`): reports at $9 a week",
            ],
        ),
        ([budget("s", "9", scope="key:x")], [f"{WATCHES}.", "• s (`key:x`): reports at $9 a month"]),
        ([], [f"{WATCHES}.", "No budget is set yet: `/claude-cost budget set` sets one."]),
    ],
)
def test_it_says_at_which_amounts_it_reports(budgets: list[WatchedBudget], lines: list[str]) -> None:
    text = greeting_message(greeting(*budgets)).text
    assert text.splitlines()[: len(lines)] == lines
    assert "soft limit" not in text
    assert "hard limit" not in text


def test_without_admins_it_says_what_to_set_and_suggests_nothing_that_only_they_may() -> None:
    text = greeting_message(greeting(admins=())).text
    assert "put Slack ids into `CLAUDE_COST_ADMINS`" in text
    assert "/claude-cost status" in text
    assert "fallback on" not in text
    assert "fallback on for 2h" in greeting_message(greeting()).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_hundreds_of_hostile_budgets_and_admins_fit_and_call_nobody(language: str) -> None:
    worst = [
        budget(f"{index}<!channel>*_~`" * 9, "1" * 15, "2" * 15, scope="tag:" + "&<>" * 99) for index in range(500)
    ]
    with in_language(language):
        message = greeting_message(greeting(*worst, admins=tuple(f"U{index:010}" for index in range(300))))
    assert problems(message.blocks, "message") == []
    assert len(message.text) < 4000
    assert "<!" not in message.text
    assert "<@" not in message.text


def test_what_is_stored_is_read_again() -> None:
    stored = greeting(budget("default", "500", "700.10"))
    assert parsed(dumped(stored)) == stored
