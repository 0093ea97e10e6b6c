"""Spikes: what is usual, when an alert opens and ends, and that it does not flap."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.incident import Status
from bot.alerts.rules import SpikeRules
from bot.alerts.spike_rates import (
    LEAST_HOURS_WITH_USAGE,
    LOOK_BACK,
    REOPENS_WITHIN,
    Baseline,
    Rates,
    Spike,
    SpikeReason,
    SpikeStep,
    baseline,
    decide_spike,
    rates_of,
    spike_key,
    window_end,
)
from bot.clock import HOUR, floor_hour

UTC_ZONE = ZoneInfo("UTC")
MONDAY = datetime(2026, 11, 16, 9, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = SpikeRules()
USUAL = Baseline(Decimal(1), Decimal(10))


def rates(usd_per_hour: Decimal | int, short: Decimal | int | None = None) -> Rates:
    long = Decimal(usd_per_hour)
    brief = long if short is None else Decimal(short)
    return Rates(long, brief, long, brief)


def spike(status: Status, changed_at: datetime, limit_usd: Decimal | int = 10) -> Spike:
    return Spike("2026-11-16T08:00Z", Decimal(limit_usd), status, changed_at, changed_at)


def decided(
    found: Rates,
    newest: Spike | None = None,
    usual: Baseline | None = USUAL,
    limit_posted_at: datetime | None = None,
) -> SpikeStep | None:
    return decide_spike(found, usual, newest, limit_posted_at, RULES, MONDAY)


def fortnight(usd: Callable[[datetime], int | Decimal], until: datetime = MONDAY) -> dict[datetime, Decimal]:
    """Every hour of the two weeks before the window."""
    border = floor_hour(until - HOUR)
    first = border - LOOK_BACK
    hours = [first + index * HOUR for index in range(LOOK_BACK // HOUR)]
    return {hour: Decimal(usd(hour)) for hour in hours}


def bound(
    usd: Callable[[datetime], int | Decimal], until: datetime = MONDAY, zone: ZoneInfo = UTC_ZONE
) -> tuple[Decimal, ...]:
    """What is usual, and the bound."""
    hours = fortnight(usd, until)
    found = baseline(hours, len(hours), zone, until, RULES)
    assert found is not None
    return found.usual, found.bound


def minutes(*usd: Decimal | int, until: datetime = MONDAY) -> dict[datetime, Decimal]:
    """The last minutes before `until`, the newest last."""
    return {until - (len(usd) - index) * MINUTE: Decimal(value) for index, value in enumerate(usd)}


def dollars(*amounts: Decimal | int) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def test_the_windows_end_with_the_last_complete_minute() -> None:
    assert window_end(datetime(2026, 11, 16, 9, 20, 31, 5, tzinfo=UTC)) == MONDAY


def test_a_dollar_a_minute_is_sixty_an_hour_in_both_windows() -> None:
    assert rates_of(minutes(*[1] * 60), MONDAY) == Rates(Decimal(60), Decimal(60), Decimal(59), Decimal(54))


def test_what_lies_outside_a_window_does_not_count() -> None:
    found = rates_of({MONDAY - HOUR - MINUTE: Decimal(5), MONDAY - 11 * MINUTE: Decimal(7), MONDAY: Decimal(9)}, MONDAY)
    assert dollars(found.long, found.short) == dollars(7, 0)


def test_one_large_request_is_no_spike_and_many_of_them_are() -> None:
    assert decided(rates_of(minutes(40), MONDAY)) is None
    assert decided(rates_of(minutes(6, 0, 6, 0, 6, 0, 6), MONDAY)) is not None


def test_a_spike_opens_with_the_rate_from_which_on_it_is_one_and_the_hour_in_which_it_was_seen() -> None:
    found = decided(rates(60))
    assert found is not None
    assert (found.key, found.bound) == ("2026-11-16T09:00Z", Decimal(10))
    assert (found.step.status, found.step.reason, found.step.post) == (Status.OPEN, SpikeReason.BEGAN, True)


def test_both_windows_must_be_at_the_bound() -> None:
    assert decided(rates(10, 10)) is not None
    assert decided(rates(Decimal("9.99"), 100)) is None
    assert decided(rates(100, Decimal("9.99"))) is None


def test_without_a_baseline_there_is_no_spike() -> None:
    assert decided(rates(1000), usual=None) is None


def test_a_spike_that_stands_open_says_nothing_more_until_it_ends() -> None:
    is_open = spike(Status.OPEN, MONDAY - HOUR)
    assert decided(rates(10_000), is_open) is None
    assert decided(rates(5), is_open) is None
    found = decided(rates(Decimal("4.99")), is_open)
    assert found is not None
    assert (found.key, found.bound) == (is_open.key, Decimal(10))
    assert (found.step.status, found.step.reason, found.step.post) == (Status.RESOLVED, SpikeReason.ENDED, False)


def test_a_spike_ends_also_where_what_is_usual_is_not_known_any_more() -> None:
    assert decided(rates(0), spike(Status.OPEN, MONDAY - HOUR), usual=None) is not None


def test_what_rises_again_within_six_hours_is_the_same_spike_and_later_another() -> None:
    soon = spike(Status.RESOLVED, MONDAY - REOPENS_WITHIN + MINUTE)
    found = decided(rates(60), soon)
    assert found is not None
    assert (found.key, found.step.reason, found.step.post) == (soon.key, SpikeReason.AGAIN, False)
    later = decided(rates(60), spike(Status.RESOLVED, MONDAY - REOPENS_WITHIN))
    assert later is not None
    assert (later.key, later.step.reason, later.step.post) == ("2026-11-16T09:00Z", SpikeReason.BEGAN, True)


def test_a_spike_far_below_an_earlier_one_that_was_measured_at_a_dear_hour_is_another() -> None:
    dear = spike(Status.RESOLVED, MONDAY - HOUR, limit_usd=200)
    found = decided(rates(60), dear)
    assert found is not None
    assert (found.bound, found.step.post) == (Decimal(10), True)
    assert decided(rates(150), dear) is None
    again = decided(rates(200), dear)
    assert again is not None
    assert again.step.reason is SpikeReason.AGAIN


def test_a_spike_that_was_withdrawn_does_not_come_back() -> None:
    found = decided(rates(60), spike(Status.WITHDRAWN, MONDAY - HOUR))
    assert found is not None
    assert found.step.reason is SpikeReason.BEGAN


def test_beside_a_fresh_alert_about_a_limit_no_spike_is_posted() -> None:
    assert decided(rates(60), limit_posted_at=MONDAY - HOUR + MINUTE) is None
    assert decided(rates(60), limit_posted_at=MONDAY - HOUR) is not None
    assert decided(rates(60), spike(Status.RESOLVED, MONDAY - HOUR), limit_posted_at=MONDAY) is not None


def test_an_idle_scope_has_the_floor_as_its_bound() -> None:
    assert bound(lambda hour: 0) == dollars(0, RULES.floor_usd_per_hour)


def test_a_steady_scope_has_the_factor_as_its_bound() -> None:
    assert bound(lambda hour: 50) == dollars(50, 200)


def test_hours_that_differ_widen_the_bound() -> None:
    usual, found = bound(lambda hour: 50 + hour.day % 3 * 10)
    assert usual == 60
    assert found > 4 * usual


def test_too_few_hours_with_usage_are_no_baseline() -> None:
    hours = fortnight(lambda hour: 1)
    assert baseline(hours, LEAST_HOURS_WITH_USAGE - 1, UTC_ZONE, MONDAY, RULES) is None
    assert baseline(hours, LEAST_HOURS_WITH_USAGE, UTC_ZONE, MONDAY, RULES) is not None
    assert baseline({}, LEAST_HOURS_WITH_USAGE, UTC_ZONE, MONDAY, RULES) is None


def working(hour: datetime) -> int:
    return 40 if hour.weekday() < 5 and 8 <= hour.hour < 18 else 0


def test_a_monday_morning_is_held_against_other_mornings_and_not_against_the_weekend() -> None:
    assert bound(working, MONDAY) == dollars(40, 160)


def test_at_night_and_on_a_sunday_the_floor_counts_again() -> None:
    assert bound(working, datetime(2026, 11, 17, 3, 20, tzinfo=UTC)) == dollars(0, 10)
    assert bound(working, datetime(2026, 11, 22, 12, 20, tzinfo=UTC)) == dollars(0, 10)


def nightly(hour: datetime) -> int:
    return 30 if hour.hour == 2 else 0


@pytest.mark.parametrize("clock", ["01:50", "02:05", "02:59", "03:10", "03:40"])
def test_a_nightly_job_may_begin_some_minutes_early_and_end_late(clock: str) -> None:
    assert bound(nightly, datetime.fromisoformat(f"2026-11-17T{clock}:00+00:00")) == dollars(30, 120)


def test_a_nightly_job_of_utc_stays_usual_when_the_clocks_of_the_budget_change() -> None:
    for day in ("2026-10-26", "2026-03-30"):
        until = datetime.fromisoformat(f"{day}T02:30:00+00:00")
        assert bound(nightly, until, ZoneInfo("Europe/Berlin"))[0] == 30


def test_a_weekly_job_is_usual_once_it_ran_in_both_weeks() -> None:
    assert bound(lambda hour: 30 if (hour.weekday(), hour.hour) == (0, 9) else 0) == dollars(30, 120)
    assert bound(lambda hour: 30 if (hour.day, hour.hour) == (9, 9) else 0) == dollars(0, 10)


def test_on_the_third_day_what_was_seen_once_at_that_hour_is_taken_for_usual() -> None:
    until = datetime(2026, 11, 18, 2, 30, tzinfo=UTC)
    since = until - 48 * HOUR
    hours = {hour: usd for hour, usd in fortnight(nightly, until).items() if hour >= since}
    found = baseline(hours, LEAST_HOURS_WITH_USAGE, UTC_ZONE, until, RULES)
    assert found is not None
    assert found.usual == 30


def test_a_spike_of_yesterday_is_not_usual_today() -> None:
    runaway = {datetime(2026, 11, 13, hour, tzinfo=UTC) for hour in range(6, 18)}
    assert bound(lambda hour: 600 if hour in runaway else 1) == dollars(1, 10)


class Reports:
    """Steps of one budget's spikes over time."""

    def __init__(self) -> None:
        self.now = MONDAY
        self.newest: Spike | None = None
        self.steps: list[SpikeStep] = []

    def sees(self, found: Rates, usual: Baseline | None = USUAL) -> None:
        self.now += MINUTE
        taken = decide_spike(found, usual, self.newest, None, RULES, self.now)
        if taken is None:
            return
        self.steps.append(taken)
        opened_at = self.now if taken.step.post or self.newest is None else self.newest.opened_at
        self.newest = Spike(taken.key, taken.bound, taken.step.status, opened_at, self.now)


USD = st.decimals(min_value=0, max_value=1000, places=2)


@given(st.lists(st.decimals(min_value=5, max_value=10, places=2), max_size=100))
def test_whatever_goes_to_and_fro_between_end_and_bound_is_reported_once_at_most(between: Sequence[Decimal]) -> None:
    reported = Reports()
    reported.sees(rates(12))
    for value in between:
        reported.sees(rates(value))
    assert len(reported.steps) == 1


@given(st.lists(USD, max_size=200), st.booleans())
def test_steps_alternate_and_one_runaway_is_posted_once(values: Sequence[Decimal], short: bool) -> None:
    reported = Reports()
    for value in values:
        reported.sees(rates(value, value * 2 if short else None))
    statuses = [taken.step.status for taken in reported.steps]
    assert statuses == [Status.OPEN, Status.RESOLVED] * (len(statuses) // 2) + [Status.OPEN] * (len(statuses) % 2)
    assert sum(taken.step.post for taken in reported.steps) == min(1, len(statuses))
    assert len({(taken.key, taken.bound) for taken in reported.steps}) == min(1, len(statuses))


@given(st.lists(st.tuples(USD, st.decimals(min_value=10, max_value=400, places=2)), max_size=200))
def test_however_the_bound_moves_within_six_hours_only_a_far_lower_spike_is_another(
    seen: Sequence[tuple[Decimal, Decimal]],
) -> None:
    reported = Reports()
    for value, limit in seen:
        reported.sees(rates(value), Baseline(Decimal(1), limit))
    limits = [taken.bound for taken in reported.steps if taken.step.post]
    assert all(later < earlier / 2 for earlier, later in pairwise(limits))


@given(
    st.lists(st.decimals(min_value=0, max_value=10_000, places=2), min_size=24, max_size=336),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_the_bound_is_never_below_the_floor_nor_below_what_is_usual(
    values: Sequence[Decimal], at: datetime, zone: str
) -> None:
    until = at.replace(tzinfo=UTC, second=0, microsecond=0)
    border = floor_hour(until - HOUR)
    hours = {border - (index + 1) * HOUR: value for index, value in enumerate(values)}
    found = baseline(hours, len(hours), ZoneInfo(zone), until, RULES)
    assert found is not None
    assert found.bound >= max(RULES.floor_usd_per_hour, found.usual)
    assert found.bound == round(found.bound, 2)


def test_the_key_of_a_spike_is_its_hour() -> None:
    assert spike_key(MONDAY) == "2026-11-16T09:00Z"
