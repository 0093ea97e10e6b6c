"""What is drawn of raises, changes of budgets and the calendar: within the rules of Slack, in both languages."""

import itertools
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.lifecycle_store import Handled
from bot.budgets.budget import CHAT, Budget, LimitKind, PeriodKind, parse_scope
from bot.budgets.calendar import Reach, next_window, parse_entry
from bot.budgets.calendar_store import Expectation, KeptEntry
from bot.budgets.change_store import OF_BUDGETS, RAISED, BudgetChange, HistoryEntry
from bot.budgets.parsing import budget_words
from bot.budgets.raises import Raise, RaiseState
from bot.clock import DAY, HOUR
from bot.language import in_language
from bot.messages import Message
from bot.sandbox.block_limits import problems
from handlers.render.budget_changes import change_message, history_message, undo_answer
from handlers.render.expected import calendar_list, expected_answer, expected_form, was_added
from handlers.render.raises import not_possible, raise_answer, raise_form, raise_message
from tests.databases import NOW

HOSTILE = "<!channel> <@U0ADMIN> *b* _i_ ~s~ `c` &amp; ‮rtl‬ 🎉 :tada: " * 9
NAME = "x" * 59 + "语"
HUGE = Decimal("999999999999.99")
BUDGET = Budget(
    NAME, parse_scope(f"feature:{HOSTILE[:150]}"), PeriodKind.WEEK, ZoneInfo("UTC"), Decimal("0.01"), HUGE, CHAT
)


def raised(state: RaiseState, reason: str = HOSTILE[:300], **changes: Any) -> Raise:
    values: dict[str, Any] = {
        "raise_id": 10**17,
        "budget": NAME,
        "limit": LimitKind.HARD,
        "base_usd": Decimal("0.01"),
        "usd": HUGE,
        "until": NOW + DAY,
        "with_period": True,
        "asked_by": "U0DEV",
        "asked_at": NOW,
        "expires_at": NOW + HOUR,
        "reason": reason,
        "state": state,
        "approved_by": "U0ADMIN",
        "closed_by": "U0ADMIN",
        "spent_usd": HUGE,
    }
    return Raise(**(values | changes))


def fine(message: Message) -> None:
    assert problems(message.blocks, "message") == []
    assert message.text.strip()
    assert "<!channel>" not in message.text


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("state", list(RaiseState))
def test_a_raise_at_every_step(state: RaiseState, language: str) -> None:
    with in_language(language):
        for each in (
            raised(state),
            raised(state, reason=" ", spent_usd=None, with_period=False),
            raised(state, closed_by=None, with_period=False, limit=LimitKind.SOFT),
        ):
            for message in (raise_message(each), raise_answer(each), not_possible(each), not_possible(None)):
                fine(message)
        if language == "ja":
            assert "budget" not in raise_message(raised(state, reason="")).text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_forms_and_changes_and_the_history(language: str) -> None:
    words = budget_words(BUDGET)
    with in_language(language):
        for asks in (True, False):
            form = raise_form(BUDGET, LimitKind.HARD, HUGE, asks, "https://hooks.slack.test/" + "x" * 200)
            assert problems(form["blocks"], "modal") == []
            assert len(form["title"]["text"]) <= 24
            assert len(form["private_metadata"]) <= 3000
        assert problems(expected_form(1, "")["blocks"], "modal") == []
        for before, after in (
            (None, words),
            (words, None),
            (words, words),
            (words, "what no version reads"),
            (None, None),
        ):
            for undone in (None, "U0ADMIN"):
                change = BudgetChange(
                    change_id=1, budget=NAME, by="U0ADMIN", at=NOW, before=before, after=after, undone_by=undone
                )
                fine(change_message(change))
        entries = [
            HistoryEntry(NOW, NAME, "U0ADMIN", action, before, after, HOSTILE[:300], undone)
            for action in (*OF_BUDGETS, RAISED, *RaiseState, "of a later version")
            for before, after in ((words, words), ("hard=1", f"hard=2 until={NOW.isoformat()}"), (None, None))
            for undone in (None, "U0ADMIN")
        ]
        fine(history_message(entries, None))
        fine(history_message([], NAME))
        fine(undo_answer("changed", NAME))


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("many", [0, 1, 100])
def test_the_calendar_with_nothing_and_with_as_much_as_fits(many: int, language: str) -> None:
    kept = [
        KeptEntry(
            parse_entry(f'"{n} {HOSTILE}" every 1st 22:00 for 6h for=feature:{"x" * 150}', date(2026, 11, 1)), "U1", NOW
        )
        for n in range(many)
    ]
    expected = [Expectation(n, NAME, None, NOW - timedelta(hours=1), NOW + DAY, "U0DEV") for n in range(min(many, 40))]
    with in_language(language):
        fine(calendar_list(kept, [next_window(one.entry, NOW) for one in kept], expected))
        for one, reach in itertools.product(kept[:1], Reach):
            fine(was_added(one.entry, None, True, reach))
        for outcome in ("done", "already", "over", "unknown"):
            fine(expected_answer(Handled(outcome)))
