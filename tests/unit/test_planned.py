"""A planned workload against the budgets: only what is left of the running period is added to its expected end."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.planned import Planned, planned
from bot.pricing.card import load_rate_card
from handlers.render.estimate import planned_line


def plan(period: PeriodKind, now: datetime) -> Planned:
    budget = Budget(
        name="default",
        scope=ORGANIZATION,
        period=period,
        zone=ZoneInfo("UTC"),
        soft_usd=None,
        hard_usd=Decimal(1000),
        origin="settings",
    )
    spend = BudgetSpend(
        budget="default",
        scope="organization",
        soft_usd=None,
        hard_usd=Decimal(1000),
        period="2026-11",
        ends_at=datetime(2026, 12, 1, tzinfo=UTC),
        spent_usd=Decimal(100),
        billed_usd=Decimal(0),
        billed_days=0,
        computed_usd=Decimal(100),
        report_only_usd=Decimal(0),
        at_least=False,
        assumed=(),
        expected_usd=Decimal(400),
        movers=(),
        as_of=now,
    )
    (found,) = planned([budget], [spend], {"claude-sonnet-4-6": Decimal(300)}, load_rate_card(), now)
    return found


@pytest.mark.parametrize(
    ("period", "now", "whole", "added"),
    [
        (PeriodKind.MONTH, datetime(2026, 11, 1, tzinfo=UTC), 300, 300),
        (PeriodKind.MONTH, datetime(2026, 11, 21, tzinfo=UTC), 300, 100),
        (PeriodKind.MONTH, datetime(2026, 11, 30, 12, tzinfo=UTC), 300, 5),
        (PeriodKind.WEEK, datetime(2026, 11, 26, tzinfo=UTC), 70, 40),
        (PeriodKind.DAY, datetime(2026, 11, 26, 18, tzinfo=UTC), 10, Decimal("2.5")),
    ],
)
def test_a_workload_that_begins_now_adds_what_is_left_of_the_period(
    period: PeriodKind, now: datetime, whole: Decimal, added: Decimal
) -> None:
    found = plan(period, now)
    assert (found.whole_usd, found.added_usd) == (whole, added)
    assert found.total_usd == 400 + added


def test_the_line_names_the_whole_and_the_rest_of_the_period() -> None:
    assert planned_line(plan(PeriodKind.MONTH, datetime(2026, 11, 21, tzinfo=UTC))) == (
        "Budget default: $300.00 a month (30% of $1,000.00); begun now, $100.00 more in this month: expected end "
        "$400.00 → $500.00, 50% of $1,000.00."
    )
