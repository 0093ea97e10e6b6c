"""Limits that history proposes: above nearly all of what was spent, in numbers that people would choose."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import PeriodKind
from bot.budgets.suggestion import Pace, limits_from, nearest_rank, sensible

PACE = Pace(Decimal("16.20"), 20)
sums = st.lists(st.decimals(0, 10**6, places=2), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("usd", "wanted"),
    [
        ("486", "500"),
        ("500", "500"),
        ("501", "600"),
        ("1.01", "1.2"),
        ("0.003", "0.01"),
        ("98765", "100000"),
        ("9", "10"),
    ],
)
def test_a_limit_is_the_next_number_that_people_would_choose(usd: str, wanted: str) -> None:
    assert sensible(Decimal(usd)) == Decimal(wanted)


@given(st.decimals("0.01", 10**9, places=2))
def test_a_sensible_number_is_never_below_and_never_far_above(usd: Decimal) -> None:
    assert usd <= sensible(usd) <= max(usd * Decimal("1.34"), Decimal("0.02"))


def test_without_complete_months_the_pace_makes_the_month() -> None:
    found = limits_from(PeriodKind.MONTH, [Decimal(80)], PACE)
    assert found is not None
    assert [found.soft_usd, found.hard_usd, found.usual_usd] == [500, 800, 486]
    assert found.periods == 0


def test_complete_weeks_make_the_week() -> None:
    found = limits_from(PeriodKind.WEEK, [Decimal(90), Decimal(110), Decimal(95), Decimal(101)], PACE)
    assert found is not None
    assert [found.soft_usd, found.hard_usd, found.dearest_usd] == [120, 150, 110]
    assert found.periods == 4


def test_nothing_spent_proposes_nothing() -> None:
    assert limits_from(PeriodKind.DAY, [Decimal(0)] * 9, Pace(Decimal(0), 9)) is None


@given(sums, st.sampled_from(PeriodKind), st.decimals(0, 10**6, places=2))
def test_soft_lies_above_nine_in_ten_and_hard_above_all(known: list[Decimal], kind: PeriodKind, pace: Decimal) -> None:
    found = limits_from(kind, known, Pace(pace, 5))
    if found is None:
        return
    assert found.soft_usd < found.hard_usd
    if found.periods:
        assert sum(usd <= found.soft_usd for usd in known) >= 0.9 * len(known)
        assert max(known) <= found.hard_usd


@given(sums)
def test_the_nearest_rank_is_one_of_the_sums(known: list[Decimal]) -> None:
    found = nearest_rank(known, Decimal("0.9"))
    assert found in known
    assert sum(usd <= found for usd in known) >= 0.9 * len(known)
