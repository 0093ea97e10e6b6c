"""Changes of the fallback mode in a forecast: what they mean for a scope, and whether usage shows them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from bot.budgets.account import shown
from bot.budgets.budget_spend import ModeShare
from bot.budgets.forecast import Hours, ModeShift
from bot.budgets.savings import mode_shifts, reckoned_mode
from bot.clock import DAY, HOUR

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
NOON = MIDNIGHT + 12 * HOUR
SHARES = tuple(
    ModeShare(mode=mode, model=model, share=Decimal(share))
    for mode, model, share in (("normal", None, "1"), ("degraded", "claude-sonnet-5-5", "0.4"), ("minimal", "x", "0.1"))
)


def test_each_change_multiplies_what_the_mode_before_it_cost() -> None:
    changes = [(NOON, "degraded"), (NOON + HOUR, "minimal"), (NOON + 2 * HOUR, "normal")]
    found = mode_shifts(changes, SHARES)
    assert [shift.at for shift in found] == [at for at, _ in changes]
    assert [shift.factor for shift in found] == pytest.approx([0.4, 0.25, 10])


def test_the_same_mode_again_and_a_mode_of_which_nothing_is_known_change_nothing() -> None:
    assert mode_shifts([(NOON, "normal"), (NOON + HOUR, "of-another-time")], SHARES) == ()
    assert mode_shifts([(NOON, "degraded")], ()) == ()


def hours(after: float, at: datetime) -> Hours:
    """Three days at $10 an hour, and what an hour costs after `at`."""
    first = MIDNIGHT - 2 * DAY
    usd = np.full(3 * 24, 10.0)
    usd[(at - first) // HOUR :] = after
    return Hours(first, usd)


@pytest.mark.parametrize(("after", "is_shown"), [(4.0, True), (6.2, True), (6.4, False), (10.0, False)])
def test_a_change_counts_once_usage_has_come_more_than_half_of_the_way(after: float, is_shown: bool) -> None:
    shift = ModeShift(NOON, 0.4)
    assert shown([shift], hours(after, NOON), NOON + 3 * HOUR) == ((shift,) if is_shown else ())


def test_before_a_whole_hour_has_passed_nothing_is_shown() -> None:
    shift = ModeShift(NOON + timedelta(minutes=10), 0.4)
    assert shown([shift], hours(1, NOON), NOON + timedelta(minutes=50)) == ()
    assert shown([shift], hours(1, NOON), NOON + timedelta(hours=1, minutes=30)) == ()
    assert shown([shift], hours(1, NOON), NOON + 2 * HOUR) == (shift,)


def test_the_way_back_is_shown_by_usage_that_rises() -> None:
    back = ModeShift(NOON, 2.5)
    assert shown([back], hours(25, NOON), NOON + 3 * HOUR) == (back,)
    assert shown([back], hours(11, NOON), NOON + 3 * HOUR) == ()


def test_of_hours_that_are_not_known_nothing_is_shown() -> None:
    unknown = hours(float("nan"), NOON)
    assert shown([ModeShift(NOON, 0.4)], unknown, NOON + 3 * HOUR) == ()


@pytest.mark.parametrize(
    ("counted", "mode"), [((), "normal"), ((0,), "degraded"), ((0, 1), "minimal"), ((1,), "minimal")]
)
def test_a_forecast_reckons_with_the_newest_change_that_it_counts(counted: tuple[int, ...], mode: str) -> None:
    changes = [(NOON, "degraded"), (NOON + HOUR, "minimal")]
    found = mode_shifts(changes, SHARES)
    assert reckoned_mode(changes, found, [found[index] for index in counted]) == mode


def test_a_change_that_costs_the_same_is_reckoned_with_at_once() -> None:
    changes = [(NOON, "degraded"), (NOON + HOUR, "of-another-time")]
    assert reckoned_mode(changes, (found := mode_shifts(changes, SHARES)), found) == "of-another-time"
    assert reckoned_mode([], (), ()) == "normal"
