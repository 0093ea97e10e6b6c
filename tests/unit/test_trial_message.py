"""Slack accepts the answers about a trial and a suggestion, in both languages, with any names."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.incident import AlertKind
from bot.alerts.replay import Replay, ReplayedAlert
from bot.budgets.budget import Budget, Limit, LimitKind, PeriodKind, Scope, ScopeKind
from bot.budgets.suggestion import Pace, Suggestion
from bot.language import LANGUAGES, in_language
from bot.sandbox.block_limits import problems
from handlers.render.budget import set_button
from handlers.render.budget_trial import Proposed, suggestions_message, trial_message
from tests.databases import NOW

HOSTILE = "<!here>&*_~`" * 16
HUGE = Decimal("123456789012.34")
LIMIT = Limit(LimitKind.HARD, HUGE)
ALERTS = (
    ReplayedAlert(NOW, LimitKind.SOFT, "2026-11", HUGE, Limit(LimitKind.SOFT, Decimal(1))),
    ReplayedAlert(NOW, LimitKind.HARD, "2026-W47", HUGE, LIMIT),
    ReplayedAlert(NOW, LimitKind.THRESHOLD, "week-2026-11-15", HUGE, Limit(LimitKind.THRESHOLD, Decimal(5))),
    ReplayedAlert(NOW, AlertKind.FORECAST, "2026-11-20", HUGE, LIMIT, expected_usd=HUGE),
    ReplayedAlert(NOW, AlertKind.SPIKE, "2026-11", HUGE, usd_per_hour=HUGE),
)
REPLAY = Replay(ALERTS * 60, NOW - timedelta(days=9), NOW, 17, NOW - timedelta(days=9))
BUDGET = Budget(
    "x" * 60,
    Scope(ScopeKind.FEATURE, HOSTILE[:190]),
    PeriodKind.MONTH,
    ZoneInfo("America/Argentina/ComodRivadavia"),
    HUGE / 2,
    HUGE,
    "chat",
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "replay", [REPLAY, replace(REPLAY, alerts=()), replace(REPLAY, since=NOW - timedelta(hours=1))]
)
def test_a_trial_is_a_message_that_slack_takes(language: str, replay: Replay) -> None:
    with in_language(language):
        button = set_button(None, BUDGET, "none words", label="Set this budget")
        message = trial_message(BUDGET, replay, ["It is set elsewhere."], [button], NOW)
    assert problems(message.blocks, "message") == []
    assert message.text.count("\n• ") == min(len(replay.alerts), 20)
    assert "<!here>" not in message.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_suggestions_are_a_message_that_slack_takes(language: str) -> None:
    pace = Pace(HUGE, 30)
    with in_language(language):
        found = []
        for kind in PeriodKind:
            for periods, dearest in ((0, None), (4, HUGE)):
                suggestion = Suggestion(kind, HUGE / 2, HUGE, HUGE, periods, dearest, pace)
                found.append(Proposed(suggestion, BUDGET, REPLAY, set_button(None, BUDGET, "none words")))
        message = suggestions_message(HOSTILE, found[::2], pace)
        nothing = suggestions_message(HOSTILE, [], pace)
    for each in (message, nothing):
        assert problems(each.blocks, "message") == []
        assert "<!here>" not in each.text
