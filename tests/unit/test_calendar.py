"""Planned spend: the words of the calendar, its occurrences in every zone, and what they mean for a forecast."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import CHAT, ORGANIZATION, Budget, PeriodKind, parse_scope
from bot.budgets.calendar import (
    CalendarWordsError,
    Entry,
    Rule,
    Window,
    all_windows,
    entry_of,
    next_window,
    parse_entry,
    quiet,
    split_name,
    windows_of,
)
from bot.budgets.forecast import HOURS_BACK, Hours, Request, forecasts
from bot.budgets.planned_hours import planned_spend
from bot.clock import DAY, HOUR, MINUTE

TODAY = date(2026, 11, 18)
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]
ZONES += ["Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Chatham", "Europe/Dublin"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("every fri 22:00 for 6h", "every fri 22:00 for 6h zone=UTC"),
        ("every Friday at 10pm for 6 hours", "every fri 22:00 for 6h zone=UTC"),
        ("every fri, sat 22:00 for 90m", "every fri,sat 22:00 for 1h30m zone=UTC"),
        ("every mon and thursdays 9:30 for 30m", "every mon,thu 09:30 for 30m zone=UTC"),
        ("every day 02:00 for 1h30m zone=Asia/Tokyo", "every day 02:00 for 1h30m zone=Asia/Tokyo"),
        ("every weekday 08:00 for 2h", "every mon,tue,wed,thu,fri 08:00 for 2h zone=UTC"),
        ("every weekend for 1d", "every sat,sun 00:00 for 24h zone=UTC"),
        ("every 1st for 6h", "every 1st 00:00 for 6h zone=UTC"),
        ("every 1st and 15th of the month 06:00 for 3h", "every 1st,15th 06:00 for 3h zone=UTC"),
        ("on 2026-12-24 18:00 for 8h", "on 2026-12-24 18:00 for 8h zone=UTC"),
        ("on 2026-12-24 for 1d", "on 2026-12-24 00:00 for 24h zone=UTC"),
        ("on fridays 22:00 for 6h", "every fri 22:00 for 6h zone=UTC"),
        ("毎日 22:00 for 6h", "every day 22:00 for 6h zone=UTC"),
        ("毎週 金曜 22:00 for 6時間", "every fri 22:00 for 6h zone=UTC"),
        ("every fri 12am for 6h.", "every fri 00:00 for 6h zone=UTC"),
    ],
)
def test_the_words_of_an_entry_and_how_they_are_kept(words: str, kept: str) -> None:
    entry = parse_entry(f'"batch night" {words}', TODAY)
    assert (entry.name, entry.words()) == ("batch night", kept)
    assert entry_of(entry.name, kept) == entry


@pytest.mark.parametrize(
    "words",
    [
        "",
        "every fri 22:00",
        "every fri 25:00 for 6h",
        "every fryday 22:00 for 6h",
        "every fri 22:00 for 8d",
        "every fri 22:00 for 1m",
        "every fri 22:00 for ever",
        "every 32nd for 1h",
        "every for 1h",
        "on 2026-02-30 for 1h",
        "on 2025-01-01 for 1h",
        "every fri and 1st for 1h",
        "every fri 22:00 for 6h zone=Mars/Base",
        "every fri 22:00 for 6h for=planet:mars",
        "every fri 22:00 for 6h zone=UTC zone=UTC",
        "sometimes for 1h",
    ],
)
def test_words_that_make_no_entry_are_refused_with_a_sentence(words: str) -> None:
    with pytest.raises(CalendarWordsError) as refused:
        parse_entry(f'"batch night" {words}', TODAY)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"batch night" every fri for 6h', "batch night"),
        ("“batch night” every fri for 6h", "batch night"),
        ("'every fri' every fri for 6h", "every fri"),
        ("batch night every fri for 6h", "batch night"),
        ("「夜のバッチ」 every fri for 6h", "夜のバッチ"),
        ("every fri for 6h", ""),
        ("  ", ""),
        (f"{'x' * 300} every fri for 6h", "x" * 60),
    ],
)
def test_the_name_stands_first_in_quotes_or_without(text: str, name: str) -> None:
    assert split_name(text)[0] == name


def test_whose_spend_is_planned() -> None:
    entry = parse_entry("x every fri 22:00 for 6h for=feature:Search", TODAY)
    assert entry.scope == parse_scope("feature:Search")
    assert parse_entry("x every fri 22:00 for 6h for=organization", TODAY).scope is None


def entry(zone: str, rule: Rule, at: time = time(2, 30), lasts: timedelta = 6 * HOUR) -> Entry:
    return Entry("batch", rule, at, lasts, ZoneInfo(zone))


rules = st.one_of(
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: Rule(weekdays=tuple(sorted(days)))),
    st.sets(st.integers(1, 31), min_size=1).map(lambda days: Rule(month_days=tuple(sorted(days)))),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)).map(lambda day: Rule(on=day)),
)


@given(
    st.sampled_from(ZONES),
    rules,
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.integers(5, 7 * 24 * 60).map(lambda minutes: minutes * MINUTE),
    st.integers(0, 690 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE),
    st.integers(0, 40 * 24).map(lambda hours: hours * HOUR),
)
def test_every_day_of_the_rule_has_one_occurrence_by_the_wall_clock_of_the_zone(
    zone: str, rule: Rule, at: time, lasts: timedelta, since: datetime, length: timedelta
) -> None:
    planned = entry(zone, rule, at, lasts)
    until = since + length
    found = windows_of(planned, since, until)
    begins = [window.starts_at for window in found]
    assert begins == sorted(begins)
    for window in found:
        assert window.ends_at - window.starts_at == lasts
        assert window.starts_at < until
        assert window.ends_at > since
        local = window.starts_at.astimezone(planned.zone)
        if local.replace(tzinfo=None).time() != at:
            # The clocks skip this time: it begins that much later.
            named = datetime.combine(local.date(), at, planned.zone)
            assert named.astimezone(UTC).astimezone(planned.zone).time() != at
    # As a plain check of each day finds it.
    day, expected = (since - lasts - 2 * DAY).date(), []
    while day <= (until + 2 * DAY).date():
        starts_at = datetime.combine(day, at, planned.zone).astimezone(UTC)
        if rule.holds(day) and starts_at < until and starts_at + lasts > since and since < until:
            expected.append(starts_at)
        day += DAY
    assert begins == expected


def test_a_night_is_as_long_when_clocks_change() -> None:
    berlin = entry("Europe/Berlin", Rule(weekdays=(6,)), time(1), 6 * HOUR)
    [autumn] = windows_of(berlin, datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC))
    assert (autumn.starts_at, autumn.ends_at) == (
        datetime(2026, 10, 24, 23, tzinfo=UTC),
        datetime(2026, 10, 25, 5, tzinfo=UTC),
    )
    [spring] = windows_of(
        entry("Europe/Berlin", Rule(weekdays=(6,))),
        datetime(2027, 3, 27, 12, tzinfo=UTC),
        datetime(2027, 3, 29, tzinfo=UTC),
    )
    assert spring.starts_at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") == "03:30"


def test_the_next_occurrence() -> None:
    found = next_window(entry("UTC", Rule(month_days=(31,))), datetime(2027, 2, 1, tzinfo=UTC))
    assert found is not None
    assert found.starts_at == datetime(2027, 3, 31, 2, 30, tzinfo=UTC)
    assert next_window(entry("UTC", Rule(on=date(2026, 1, 1))), NOW) is None
    assert next_window(entry("UTC", Rule(on=date(2027, 10, 1))), NOW) is not None


TEAM = Budget("team", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), Decimal(400), Decimal(90000), CHAT)


def test_a_window_keeps_quiet_what_it_covers_from_its_first_to_before_its_last_moment() -> None:
    search = Budget("search", parse_scope("key:k"), PeriodKind.MONTH, ZoneInfo("UTC"), None, Decimal(7), CHAT)
    for scope, covered in (
        (None, {"team", "search"}),
        (parse_scope("key:k"), {"search"}),
        (parse_scope("key:x"), set()),
    ):
        window = Window(NOW, NOW + HOUR, scope, "batch")
        assert {each.name for each in (TEAM, search) if quiet([window], each, NOW)} == covered
        assert quiet([window], TEAM, NOW - timedelta.resolution) is None
        assert quiet([window], TEAM, NOW + HOUR) is None


def test_what_is_expected_of_the_organization_this_once_leaves_the_forecasts_of_others_alone() -> None:
    search = Budget("search", parse_scope("key:k"), PeriodKind.MONTH, ZoneInfo("UTC"), None, Decimal(7), CHAT)
    once = Window(NOW, NOW + HOUR, ORGANIZATION)
    assert quiet([once], TEAM, NOW) is once
    assert quiet([once], search, NOW) is None


def hours_with(windows: list[Window], as_of: datetime, usual: float, planned: float) -> Hours:
    first = as_of.replace(minute=0) - HOURS_BACK * HOUR
    usd = np.full(HOURS_BACK + 1, usual)
    usd[-1] = 0
    for window in windows:
        for place in range(HOURS_BACK):
            if window.starts_at <= first + place * HOUR < window.ends_at:
                usd[place] += planned
    return Hours(first, usd)


def test_a_forecast_plans_for_nights_as_they_were_instead_of_smearing_them() -> None:
    nights = entry("UTC", Rule(month_days=(1, 28)), time(22), 6 * HOUR)
    until = datetime(2026, 12, 1, tzinfo=UTC)
    windows = all_windows([nights], NOW - 28 * DAY, until)
    hours = hours_with(windows, NOW, usual=1.0, planned=100.0)
    planned = planned_spend(windows, hours, NOW, until)
    assert [(round(each.usd), each.starts_at.day) for each in planned] == [(600, 28), (600, 1), (600, 28)]
    requests = [Request(TEAM, TEAM.period_at(NOW), Decimal(1000), hours, NOW, planned=each) for each in (planned, ())]
    with_plans, without = forecasts(requests)
    assert with_plans is not None
    assert without is not None
    left = (until - NOW) / HOUR
    assert abs(float(with_plans.left_usd) - (left + 600)) < 0.05 * (left + 600)
    assert abs(float(with_plans.left_usd) - (left + 600)) < abs(float(without.left_usd) - (left + 600))


def test_a_window_of_unknown_cost_plans_nothing_and_an_expected_one_goes_on_as_it_began() -> None:
    until = datetime(2026, 12, 1, tzinfo=UTC)
    new = Window(NOW + DAY, NOW + DAY + 6 * HOUR, None, "new")
    assert planned_spend([new], hours_with([], NOW, 1.0, 0.0), NOW, until) == ()
    assert planned_spend([], hours_with([], NOW, 1.0, 0.0), NOW, until) == ()
    running = Window(NOW - 2 * HOUR, NOW + 2 * HOUR)
    [goes_on] = planned_spend([running], hours_with([running], NOW, 1.0, 50.0), NOW, until)
    assert abs(float(goes_on.usd) - 200) < 5
    unknown = Hours(NOW - HOURS_BACK * HOUR, np.full(HOURS_BACK + 1, np.nan))
    assert planned_spend([running, Window(NOW - 9 * HOUR, NOW - 8 * HOUR, None, "x"), new], unknown, NOW, until) == ()


@given(
    st.lists(st.tuples(st.integers(-700, 300), st.integers(1, 100), st.sampled_from([None, "a", "b"])), max_size=6),
    st.lists(st.one_of(st.floats(0, 1e6), st.just(float("nan"))), min_size=1, max_size=50),
    st.integers(0, 59),
)
def test_whatever_is_known_planned_spend_is_finite_and_above_zero(
    drawn: list[tuple[int, int, str | None]], values: list[float], minute: int
) -> None:
    as_of = NOW + minute * MINUTE
    hours = Hours(NOW - HOURS_BACK * HOUR, np.resize(np.array(values), HOURS_BACK + 1))
    windows = [Window(NOW + start * HOUR, NOW + (start + length) * HOUR, None, name) for start, length, name in drawn]
    for each in planned_spend(windows, hours, as_of, NOW + 10 * DAY):
        assert each.usd > 0
        assert each.usd.is_finite()
        assert each.starts_at < each.ends_at
