"""The forecast: exact where every hour is alike, shaped like the week where it is not, and never worse for a gap."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Budget, LimitKind, Period, PeriodKind, period_at
from bot.budgets.forecast import HOURS_BACK, Forecast, Hours, ModeShift, PlannedSpend, Request, forecast, forecasts
from bot.clock import DAY, HOUR, floor_hour
from tests.examples import one_in

UTC_ZONE = ZoneInfo("UTC")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago"]
SOFT, HARD = Decimal(400), Decimal(600)
TINY = Decimal("0.000002")
"""Sums are rounded to a millionth of a dollar."""

Dollars = Callable[[datetime], Decimal]
"""Cost of the hour that begins at this moment."""

moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # the strategy adds the zone
zones = st.sampled_from(ZONES)
kinds = st.sampled_from(PeriodKind)
amounts = st.decimals(0, 1000, places=4)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def budget(
    kind: PeriodKind = PeriodKind.MONTH,
    zone: str = "UTC",
    soft_usd: Decimal | None = SOFT,
    hard_usd: Decimal | None = HARD,
) -> Budget:
    return Budget("default", ORGANIZATION, kind, ZoneInfo(zone), soft_usd, hard_usd, "test")


def history(dollars: Dollars, as_of: datetime, known: Callable[[datetime], bool] = lambda hour: True) -> Hours:
    """Hours as known to a store with these costs."""
    first = floor_hour(as_of) - HOURS_BACK * HOUR
    hours = [first + index * HOUR for index in range(HOURS_BACK + 1)]
    usd = [float(dollars(hour) * _share(hour, as_of)) if known(hour) else np.nan for hour in hours]
    return Hours(first, np.array(usd))


def _share(hour: datetime, as_of: datetime) -> Decimal:
    if as_of - hour >= HOUR:
        return Decimal(1)
    return Decimal((as_of - hour) // timedelta.resolution) / (HOUR // timedelta.resolution)


def end_of(
    dollars: Dollars,
    as_of: datetime,
    kind: PeriodKind = PeriodKind.MONTH,
    zone: str = "UTC",
    spent_usd: Decimal | int = 0,
    known: Callable[[datetime], bool] = lambda hour: True,
    shifts: Sequence[ModeShift] = (),
    planned: Sequence[PlannedSpend] = (),
) -> Forecast:
    mine = budget(kind, zone)
    period = period_at(kind, mine.zone, as_of)
    found = forecast(mine, period, Decimal(spent_usd), history(dollars, as_of, known), as_of, shifts, planned)
    assert found is not None
    return found


def steady(hour: datetime) -> Decimal:
    """$24 a day, spread evenly."""
    return Decimal(1)


def working_days(hour: datetime) -> Decimal:
    """$24 on every working day, nothing on Saturdays and Sundays."""
    return Decimal(0 if hour.weekday() >= 5 else 1)


def office_hours(hour: datetime) -> Decimal:
    """$100 on every working day, all of it between 8:00 and 18:00 UTC, and $10 on other days in the same hours."""
    if not 8 <= hour.hour < 18:
        return Decimal(0)
    return Decimal(1 if hour.weekday() >= 5 else 10)


def sums(found: Forecast) -> tuple[float, float, float]:
    """Low, expected and high, where they are round."""
    return float(found.low_usd), float(found.expected_usd), float(found.high_usd)


def hours_left(period: Period, as_of: datetime) -> Decimal:
    return Decimal(period.left(as_of) // timedelta(microseconds=1)) / 3_600_000_000


# ---- a team that spends evenly


@given(moments, kinds, zones)
@example(at("2026-11-01T00:00"), PeriodKind.MONTH, "UTC")  # the first moment of a month
@example(at("2026-11-30T23:59"), PeriodKind.MONTH, "UTC")  # its last minute
@example(at("2028-02-10T12:00"), PeriodKind.MONTH, "UTC")  # a leap day is still to come
@example(at("2028-02-29T12:00"), PeriodKind.DAY, "UTC")  # and is today
@example(at("2026-03-29T00:30"), PeriodKind.DAY, "Europe/Berlin")  # an hour will be left out tonight
@example(at("2026-03-30T00:30"), PeriodKind.WEEK, "Europe/Berlin")  # it was left out in the last 24 hours
@example(at("2026-10-25T00:30"), PeriodKind.MONTH, "Europe/Berlin")  # an hour will come twice
@example(at("2026-10-26T01:30"), PeriodKind.MONTH, "Europe/Berlin")  # it has come twice
@example(at("2026-11-01T05:30"), PeriodKind.MONTH, "America/New_York")  # the first of the two
@example(at("2026-11-01T06:30"), PeriodKind.MONTH, "America/New_York")  # the second
@example(at("2026-09-06T04:30"), PeriodKind.DAY, "America/Santiago")  # a day that has no midnight
def test_an_even_team_goes_on_as_it_did_in_every_zone_and_at_every_moment(
    as_of: datetime, kind: PeriodKind, zone: str
) -> None:
    found = end_of(steady, as_of, kind, zone, spent_usd=100)
    expected = 100 + hours_left(period_at(kind, ZoneInfo(zone), as_of), as_of)
    assert abs(found.expected_usd - expected) < TINY
    assert found.low_usd <= found.expected_usd <= found.high_usd
    assert found.left_usd == found.expected_usd - 100


@given(moments, kinds, zones, st.sets(st.integers(0, 29 * 24), max_size=100))
def test_a_gap_in_the_data_is_not_no_usage(as_of: datetime, kind: PeriodKind, zone: str, missing: set[int]) -> None:
    gap = {floor_hour(as_of) - index * HOUR for index in missing}
    mine = budget(kind, zone)
    period = period_at(kind, mine.zone, as_of)
    found = forecast(mine, period, Decimal(100), history(steady, as_of, lambda hour: hour not in gap), as_of)
    if found is not None:
        assert abs(found.expected_usd - 100 - hours_left(period, as_of)) < TINY


# ---- an hour that has cost more than any other, and is not over


def with_burst(story: Dollars, as_of: datetime, so_far: Decimal | int, kind: PeriodKind) -> Forecast:
    mine, past = budget(kind), history(story, as_of)
    past.usd[-1] = float(so_far)
    found = forecast(mine, period_at(kind, UTC_ZONE, as_of), Decimal(so_far), past, as_of)
    assert found is not None
    return found


@given(moments, kinds, st.sampled_from([steady, office_hours]), st.integers(20, 5000))
def test_a_burst_is_neither_forgotten_nor_carried_on_for_a_month(
    as_of: datetime, kind: PeriodKind, story: Dollars, burst: int
) -> None:
    usual, found = with_burst(story, as_of, 0, kind), with_burst(story, as_of, burst, kind)
    hours = float(hours_left(period_at(kind, UTC_ZONE, as_of), as_of))
    assert found.expected_usd >= found.low_usd >= burst
    assert found.high_usd >= found.expected_usd
    again = Decimal(burst - 10) * Decimal(1 - np.exp(-max(hours - 1, 0) / 8))
    assert found.high_usd - burst - found.left_usd >= again / 2
    # At its own rate a burst of one minute would come again thousands of times.
    assert found.left_usd <= 2 * usual.left_usd + 4 * burst


@given(moments, kinds, st.decimals(0, 1, places=3))
def test_an_hour_that_costs_what_hours_cost_changes_nothing(as_of: datetime, kind: PeriodKind, so_far: Decimal) -> None:
    assert with_burst(steady, as_of, so_far, kind).left_usd == with_burst(steady, as_of, 0, kind).left_usd


@given(moments, st.integers(20, 500))
def test_hours_to_come_begin_where_the_counted_ones_end(as_of: datetime, minutes: int) -> None:
    mine, period = budget(), period_at(PeriodKind.MONTH, UTC_ZONE, as_of)
    until = as_of + timedelta(minutes=minutes)
    [found] = forecasts([Request(mine, period, Decimal(7), history(steady, as_of), as_of, counted_until=until)])
    assert found is not None
    assert abs(found.left_usd - hours_left(period, until)) < TINY


# ---- where the calendar is odd

CALENDAR = [
    "2026-11-01T00:00",  # the first moment of a month
    "2026-11-01T00:00:00.000001",
    "2026-11-01T09:30",  # its first day
    "2026-11-30T00:00",  # its last day, which is the first of a week
    "2026-11-30T23:00",  # its last hour
    "2026-11-30T23:59:59.999999",
    "2026-12-31T23:30",  # the last hour of a year, within a week
    "2027-02-28T23:30",  # no leap day follows
    "2028-02-28T23:30",  # a leap day follows
    "2028-02-29T00:00",
    "2028-02-29T23:30",
    "2028-03-01T00:30",
]
"""Moments by the wall clock."""

CHANGING = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
AROUND = [
    -25 * HOUR,
    -HOUR,
    -HOUR / 2,
    -timedelta.resolution,
    timedelta(),
    HOUR / 2,
    HOUR,
    23 * HOUR,
    25 * HOUR,
    7 * DAY,
]


def changes_of_the_clock(zone: str, year: int) -> list[datetime]:
    """The moments of a year at which the wall clock jumps, in either direction."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + index * HOUR for index in range(365 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hour for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False) if before != after]


def odd_moments(zone: str) -> list[datetime]:
    by_the_wall = [datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for text in CALENDAR]
    return [*by_the_wall, *(change + around for change in changes_of_the_clock(zone, 2027) for around in AROUND)]


@pytest.mark.parametrize("zone", CHANGING)
def test_there_are_two_changes_of_the_clock_a_year(zone: str) -> None:
    changes = changes_of_the_clock(zone, 2027)
    lengths = [period_at(PeriodKind.DAY, ZoneInfo(zone), change) for change in changes]
    jump = 30 if zone == "Australia/Lord_Howe" else 60
    minutes = sorted((period.ends_at - period.starts_at) // timedelta(minutes=1) - 24 * 60 for period in lengths)
    assert minutes == [-jump, jump]


@pytest.mark.parametrize("zone", [*CHANGING, "UTC", "Asia/Kolkata", "America/Santiago"])
@pytest.mark.parametrize("kind", PeriodKind)
def test_at_every_odd_moment_an_even_team_goes_on_through_all_that_is_left(zone: str, kind: PeriodKind) -> None:
    for as_of in odd_moments(zone)[::2]:
        left = hours_left(period_at(kind, ZoneInfo(zone), as_of), as_of)
        found = end_of(steady, as_of, kind, zone, spent_usd=7)
        assert abs(found.expected_usd - 7 - left) < TINY, as_of


def young(as_of: datetime) -> Callable[[datetime], bool]:
    """Known hours of a young database: six, and the running one so far."""
    return lambda hour: hour >= floor_hour(as_of) - 6 * HOUR


def new_job(as_of: datetime) -> Dollars:
    """No usage in weeks, then a dollar an hour."""
    return lambda hour: Decimal(hour >= floor_hour(as_of) - DAY)


def ended_job(as_of: datetime) -> Dollars:
    """A dollar an hour for weeks, then no usage."""
    return lambda hour: Decimal(hour < floor_hour(as_of) - DAY)


@pytest.mark.parametrize("zone", CHANGING)
def test_at_every_odd_moment_nothing_is_divided_by_no_usage_and_no_day(zone: str) -> None:
    for index, as_of in enumerate(odd_moments(zone)[::2]):
        kind = list(PeriodKind)[index % 3]
        period = period_at(kind, ZoneInfo(zone), as_of)
        for found in (
            end_of(new_job(as_of), as_of, kind, zone, spent_usd=7),
            end_of(ended_job(as_of), as_of, kind, zone, spent_usd=7),
            end_of(steady, as_of, kind, zone, spent_usd=7, known=young(as_of)),
            end_of(lambda hour: Decimal(0), as_of, kind, zone, spent_usd=7, known=young(as_of)),
        ):
            assert 7 <= found.low_usd <= found.expected_usd <= found.high_usd, as_of
            # No hour cost more than a dollar.
            assert found.expected_usd <= 7 + (hours_left(period, as_of) * Decimal("1.02")) + TINY, as_of
            assert found.high_usd <= 7 + hours_left(period, as_of) * 4, as_of
            for crossing in found.crossings:
                for reached in (crossing.earliest, crossing.expected, crossing.latest):
                    assert reached is None or as_of <= reached < period.ends_at


# ---- the shape of the week and of the day


def near(usd: Decimal, expected: float, share: float = 0.03) -> bool:
    return abs(float(usd) - expected) <= share * expected


def test_weekends_count_as_weekends() -> None:
    # Tuesday noon, 17 November: nine and a half working days are left, with $24 each.
    assert near(end_of(working_days, at("2026-11-17T12:00")).expected_usd, 9.5 * 24, 0.15)


@pytest.mark.parametrize("as_of", ["2026-11-20T20:00", "2026-11-21T20:00", "2026-11-22T20:00", "2026-11-23T07:00"])
def test_a_quiet_weekend_behind_lowers_nothing_and_a_busy_friday_behind_raises_nothing(as_of: str) -> None:
    # After this weekend, of which two days are left at most, come six working days and another weekend.
    days_off = 2 + (at(as_of) < at("2026-11-21T18:00")) + (at(as_of) < at("2026-11-22T18:00"))
    assert near(end_of(office_hours, at(as_of)).expected_usd, 6 * 100 + days_off * 10, 0.06)


def test_in_the_evening_no_second_working_day_is_expected_of_today() -> None:
    found = end_of(office_hours, at("2026-11-17T18:00"), PeriodKind.DAY, spent_usd=100)
    assert near(found.expected_usd, 100)


def test_in_the_morning_the_whole_working_day_is_still_to_come() -> None:
    assert near(end_of(office_hours, at("2026-11-17T08:00"), PeriodKind.DAY).expected_usd, 100, 0.06)


# ---- a job that runs night and day, on top of a week with a shape


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("begun", [1, 2, 3, 7])
def test_a_new_job_adds_its_dollars_to_every_hour_through_weekends(begun: int, zone: str) -> None:
    as_of = at("2026-11-20T20:00")

    def with_job(hour: datetime) -> Decimal:
        return office_hours(hour) + (4 if hour >= as_of - begun * DAY else 0)

    before, found = end_of(office_hours, as_of, zone=zone), end_of(with_job, as_of, zone=zone)
    left = hours_left(period_at(PeriodKind.MONTH, ZoneInfo(zone), as_of), as_of)
    assert near(found.expected_usd - before.expected_usd, float(4 * left), 0.5)


@pytest.mark.parametrize("ended", [1, 2, 7])
def test_a_job_that_ended_is_not_carried_on(ended: int) -> None:
    as_of = at("2026-11-20T20:00")

    def with_job(hour: datetime) -> Decimal:
        return office_hours(hour) + (4 if hour < as_of - ended * DAY else 0)

    before, found = end_of(office_hours, as_of), end_of(with_job, as_of)
    left = hours_left(period_at(PeriodKind.MONTH, UTC_ZONE, as_of), as_of)
    assert abs(found.expected_usd - before.expected_usd) <= 4 * left * Decimal("0.3")


# ---- chance, and what is more than chance


def test_one_busy_afternoon_does_not_raise_the_rest_of_the_month() -> None:
    as_of = at("2026-11-17T18:00")
    random = np.random.default_rng(7)
    of_day = {day: Decimal(round(random.lognormal(-0.02, 0.2), 4)) for day in range(40)}

    def restless(hour: datetime, today: Decimal) -> Decimal:
        back = (as_of.date() - hour.date()).days
        return office_hours(hour) * (of_day[back] if back else today)

    usual = end_of(lambda hour: restless(hour, Decimal(1)), as_of)
    busy = end_of(lambda hour: restless(hour, Decimal("1.3")), as_of)
    assert near(busy.left_usd, float(usual.left_usd), 0.08)


def test_where_days_differ_by_chance_the_mean_of_four_weeks_is_expected() -> None:
    as_of = at("2026-11-02T00:00")
    off = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        of_day = {day: Decimal(round(random.lognormal(-0.02, 0.2), 4)) for day in range(40)}

        def restless(hour: datetime, of_day: dict[int, Decimal] = of_day) -> Decimal:
            return of_day[(as_of.date() - hour.date()).days]

        mean = float(sum(of_day[day] for day in range(1, 29)) / 28)
        off.append(abs(float(end_of(restless, as_of).left_usd) / (29 * 24 * mean) - 1))
    assert np.mean(off) < 0.03


@pytest.mark.parametrize("weekly", [0.8, 1.1, 1.2])
def test_growth_that_every_week_had_goes_on(weekly: float) -> None:
    as_of = at("2026-11-16T00:00")

    def grows(hour: datetime) -> Decimal:
        return Decimal(weekly ** ((hour - as_of) / (7 * DAY)))

    expected = sum(weekly ** ((index + 0.5) / (7 * 24)) for index in range(15 * 24))
    assert near(end_of(grows, as_of).left_usd, expected, 0.03)


# ---- what the bot and people do themselves


@pytest.mark.parametrize("hours", [0, 3, 12, 24, 72])
def test_a_change_of_mode_is_carried_on_from_its_first_minute(hours: int) -> None:
    as_of = at("2026-11-17T12:30")
    switched = as_of - hours * HOUR

    def cheaper(hour: datetime) -> Decimal:
        return office_hours(hour) * (Decimal("0.4") if hour >= floor_hour(switched) else 1)

    usual = end_of(office_hours, as_of)
    found = end_of(cheaper, as_of, shifts=[ModeShift(floor_hour(switched), 0.4)])
    assert near(found.left_usd, float(usual.left_usd) * 0.4, 0.02)


def test_a_planned_batch_is_added_and_no_habit_afterwards() -> None:
    as_of = at("2026-11-20T00:00")
    ahead = PlannedSpend(at("2026-11-25T00:00"), at("2026-11-25T10:00"), Decimal(50))
    beyond = PlannedSpend(at("2026-11-30T19:00"), at("2026-12-01T05:00"), Decimal(50))
    past = PlannedSpend(at("2026-11-18T00:00"), at("2026-11-18T10:00"), Decimal(50))

    def with_past(hour: datetime) -> Decimal:
        return steady(hour) + (5 if past.starts_at <= hour < past.ends_at else 0)

    assert near(end_of(steady, as_of, planned=[ahead]).expected_usd, 11 * 24 + 50, 1e-6)
    assert near(end_of(steady, as_of, planned=[beyond]).expected_usd, 11 * 24 + 25, 1e-6)
    assert near(end_of(with_past, as_of, planned=[past]).expected_usd, 11 * 24, 1e-6)


def test_without_any_usage_nothing_is_added() -> None:
    assert sums(end_of(lambda hour: Decimal(0), at("2026-11-20T07:45"), spent_usd=5)) == (5, 5, 5)


# ---- young databases


@pytest.mark.parametrize("hours", [0, 1, 5])
def test_nothing_is_forecast_from_less_than_six_hours(hours: int) -> None:
    as_of = at("2026-11-20T12:00")
    young = history(steady, as_of, known=lambda hour: hour >= as_of - hours * HOUR)
    assert forecast(budget(), period_at(PeriodKind.MONTH, UTC_ZONE, as_of), Decimal(100), young, as_of) is None


def test_six_hours_are_enough_and_are_carried_on_with_a_wide_range() -> None:
    as_of = at("2026-11-20T12:00")
    found = end_of(steady, as_of, spent_usd=100, known=lambda hour: hour >= as_of - 6 * HOUR)
    assert (found.days, found.known_hours) == (0, 6)
    assert found.expected_usd == Decimal(352)
    assert found.low_usd < 352 - 40
    assert found.high_usd > 352 + 40


def test_it_says_on_how_many_days_it_is_built() -> None:
    as_of = at("2026-11-20T12:00")
    assert end_of(steady, as_of).days == 28
    assert end_of(steady, as_of, known=lambda hour: hour >= as_of - 6 * DAY).days == 6


def test_a_row_that_is_shorter_or_longer_than_four_weeks_says_the_same() -> None:
    as_of = at("2026-11-20T12:30")
    whole = history(office_hours, as_of)
    period = period_at(PeriodKind.MONTH, UTC_ZONE, as_of)
    long = Hours(whole.starts_at - 5 * HOUR, np.concatenate([np.full(5, 99.0), whole.usd]))
    short = Hours(whole.starts_at + 300 * HOUR, whole.usd[300:])
    gap = Hours(whole.starts_at, np.concatenate([np.full(300, np.nan), whole.usd[300:]]))
    of = [forecast(budget(), period, Decimal(9), hours, as_of) for hours in (whole, long, short, gap)]
    assert of[0] == of[1]
    assert of[2] == of[3]


# ---- whatever the numbers


@st.composite
def stories(draw: st.DrawFn) -> Request:
    """A moment, a zone, a budget, and dollars without any order; some hours are not known."""
    as_of, kind, zone = draw(moments), draw(kinds), draw(zones)
    levels = draw(st.lists(amounts, min_size=1, max_size=12))
    weekly = Random(draw(st.integers(0, 1_000_000))).choices(levels, k=7 * 24)
    odd = draw(st.dictionaries(st.integers(0, 29 * 24), amounts, max_size=20))
    missing = draw(st.sets(st.integers(7, 29 * 24), max_size=20))
    gap = {floor_hour(as_of) - index * HOUR for index in missing}

    def dollars(hour: datetime) -> Decimal:
        back = (floor_hour(as_of) - hour) // HOUR
        return odd.get(back, weekly[hour.weekday() * 24 + hour.hour])

    soft = draw(st.decimals(1, 100_000, places=2))
    mine = budget(kind, zone, soft_usd=soft, hard_usd=soft + draw(st.decimals(1, 1_000_000, places=2)))
    spent = draw(st.decimals(0, 200_000, places=4))
    known = history(dollars, as_of, lambda hour: hour not in gap)
    return Request(mine, period_at(kind, mine.zone, as_of), spent, known, as_of)


@given(stories())
def test_the_range_holds_what_is_expected_and_none_of_it_is_below_what_is_spent(
    story: Request,
) -> None:
    (found,) = forecasts([story])
    assert found is not None
    assert story.spent_usd <= found.low_usd <= found.expected_usd <= found.high_usd


@settings(max_examples=one_in(2))
@given(st.lists(stories(), min_size=1, max_size=4))
def test_many_at_once_say_what_each_says_alone(asked: list[Request]) -> None:
    alone = [forecasts([request])[0] for request in asked]
    assert forecasts(asked + asked) == alone + alone


@given(stories(), st.sampled_from([0.01, 3.0, 1000.0]))
def test_a_team_that_spends_more_in_proportion_is_forecast_in_proportion(story: Request, factor: float) -> None:
    (found,) = forecasts([story])
    hours = Hours(story.hours.starts_at, story.hours.usd * factor)
    (scaled,) = forecasts([replace(story, hours=hours)])
    assert found is not None
    assert scaled is not None
    for name in ("low_usd", "expected_usd", "high_usd"):
        mine, theirs = (float(getattr(of, name) - story.spent_usd) for of in (found, scaled))
        assert theirs == pytest.approx(mine * factor, rel=1e-6, abs=2e-6 * (1 + factor))


@given(stories())
def test_a_limit_is_reached_within_the_period_exactly_where_the_sum_reaches_it(
    story: Request,
) -> None:
    mine, period, spent = story.budget, story.period, story.spent_usd
    (found,) = forecasts([story])
    assert found is not None
    assert [crossing.kind for crossing in found.crossings] == [LimitKind.SOFT, LimitKind.HARD]
    for crossing in found.crossings:
        limit = mine.limit(crossing.kind)
        assert limit == crossing.limit_usd
        assert crossing.passed == (spent >= limit)
        ways = (
            (crossing.earliest, found.high_usd),
            (crossing.expected, found.expected_usd),
            (crossing.latest, found.low_usd),
        )
        for reached, total in ways:
            assert (reached is not None) == (not crossing.passed and total >= limit)
            assert reached is None or story.as_of <= reached < period.ends_at
        in_order = [reached for reached, _ in ways if reached is not None]
        assert in_order == sorted(in_order)


def test_a_limit_is_reached_in_the_hour_in_which_the_path_comes_to_it() -> None:
    found = end_of(steady, at("2026-11-20T12:00"), spent_usd=380)
    soft, hard = found.crossings
    assert soft.earliest is not None
    assert soft.expected is not None
    assert soft.latest is not None
    assert soft.earliest <= soft.expected <= soft.latest
    assert soft.expected == at("2026-11-21T07:00")
    assert (hard.passed, hard.expected) == (False, at("2026-11-29T15:00"))


def test_a_limit_that_is_reached_already_has_no_day_to_come() -> None:
    soft, hard = end_of(steady, at("2026-11-20T12:00"), spent_usd=400).crossings
    assert (soft.passed, soft.earliest, soft.expected, soft.latest) == (True, None, None, None)
    assert not hard.passed


def test_a_period_that_is_over_stays_at_what_was_spent() -> None:
    as_of = at("2026-12-01T00:00")
    november = period_at(PeriodKind.MONTH, UTC_ZONE, as_of - HOUR)
    found = forecast(budget(), november, Decimal(300), history(steady, as_of), as_of)
    assert found is not None
    assert sums(found) == (300, 300, 300)


@pytest.mark.parametrize(("hours", "lasts"), [(1, False), (3, False), (5, False), (7, True), (14, True)])
def test_a_jump_counts_as_lasting_once_it_has_gone_on_for_six_hours(hours: int, lasts: bool) -> None:
    as_of = at("2026-11-15T14:00:00")

    def jumped(hour: datetime) -> Decimal:
        return steady(hour) + (5 if hour >= as_of - hours * HOUR else 0)

    more = end_of(jumped, as_of).expected_usd - end_of(steady, as_of).expected_usd
    pace = 5 * ((at("2026-12-01T00:00:00") - as_of) // HOUR)
    assert more > pace * Decimal("0.7") if lasts else 0 < more < pace * Decimal("0.05")
