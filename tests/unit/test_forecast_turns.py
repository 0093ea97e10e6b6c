"""Forecasts of many budgets: each gets its turn."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.forecast import LOOK_EVERY, MOST_AT_ONCE, looked_at_next
from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.clock import MINUTE

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ONE = Budget("one", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), None, Decimal(100), "test")
ZONES = ("Asia/Tokyo", "Europe/Berlin", "UTC")


@pytest.mark.parametrize("every", [MINUTE, LOOK_EVERY, timedelta(hours=1)])
def test_every_one_of_a_thousand_budgets_has_its_turn(every: timedelta) -> None:
    """Also if a round takes so long that the first ones are due again before the last ones were checked."""
    budgets = [replace(ONE, name=f"b{number}", zone=ZoneInfo(ZONES[number % 3])) for number in range(1000)]
    looked_at: dict[str, datetime] = {}
    for cycle in range(1000 // MOST_AT_ONCE):
        now = NOW + cycle * every
        present = [(budget, budget.period_at(now)) for budget in budgets]
        due = looked_at_next(present, looked_at, now)
        assert len(due) == MOST_AT_ONCE
        looked_at |= {f"{budget.name}/{period.key}": now for budget, period in due}
    assert len(looked_at) == len(budgets)


def test_nothing_is_looked_at_again_before_it_is_due() -> None:
    present = [(ONE, ONE.period_at(NOW))]
    looked_at = {f"{ONE.name}/{present[0][1].key}": NOW}
    assert looked_at_next(present, looked_at, NOW + LOOK_EVERY - MINUTE) == []
    assert looked_at_next(present, looked_at, NOW + LOOK_EVERY) == present
    assert looked_at_next(present, looked_at, NOW - LOOK_EVERY) == present
