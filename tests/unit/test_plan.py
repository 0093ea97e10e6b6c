"""Reads of a poll: every gap, the hours that may still change, and late in a month no more than early."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import DAY, HOUR, floor_hour
from bot.usage.model import Read, SourceName
from bot.usage.plan import SLICE, HourState, plan_reads

MONTH = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

MOST_READS = 3
"""Reads of a poll without a gap: the minutes, the hours of two days, one slice of older hours."""


class Polled:
    """The hours that a store would know, filled by every poll as the store fills them."""

    def __init__(self, since: datetime = MONTH, source: SourceName = "admin") -> None:
        self.since = since
        self.source: SourceName = source
        self.hours: dict[datetime, HourState] = {}

    def poll(self, now: datetime) -> tuple[Read, ...]:
        reads = plan_reads(now, self.since, {h: s for h, s in self.hours.items() if h >= self.since}, self.source)
        for read in reads:
            for hour in hours_of(read):
                if hour <= floor_hour(now):
                    self.hours[hour] = HourState(self.source, read.width, now)
        return reads

    def wide(self, now: datetime) -> list[Read]:
        """The reads of a poll apart from its minutes."""
        minutes, *rest = self.poll(now)
        assert minutes.width == "1m"
        return rest


def hours_of(read: Read) -> Iterator[datetime]:
    for index in range((read.ends_at - read.starts_at) // HOUR):
        yield read.starts_at + index * HOUR


def polled_until(now: datetime, since: datetime = MONTH) -> Polled:
    """A store that has been polled hourly up to an hour before `now`, and then once a minute."""
    polled = Polled(since)
    moment = since + HOUR
    while moment < now - HOUR:
        polled.poll(moment)
        moment += HOUR
    while moment <= now:
        polled.poll(moment)
        moment += MINUTE
    return polled


def test_a_poll_reads_the_last_two_hours_and_the_running_one_by_the_minute() -> None:
    now = MONTH + 12 * HOUR + 34 * MINUTE
    minutes = Polled().poll(now)[0]
    assert minutes == Read("1m", MONTH + 10 * HOUR, MONTH + 13 * HOUR)


def test_the_first_poll_reads_everything_before_them_by_the_hour() -> None:
    now = MONTH + 19 * DAY + 12 * HOUR + 34 * MINUTE
    _, recent, *older = Polled().poll(now)
    assert recent == Read("1h", MONTH + 17 * DAY + 12 * HOUR, MONTH + 19 * DAY + 10 * HOUR)
    assert older == [
        Read("1h", MONTH, MONTH + 7 * DAY),
        Read("1h", MONTH + 7 * DAY, MONTH + 14 * DAY),
        Read("1h", MONTH + 14 * DAY, MONTH + 17 * DAY + 12 * HOUR),
    ]


def test_the_poll_after_it_reads_the_minutes_only() -> None:
    polled = Polled()
    now = MONTH + 19 * DAY + 12 * HOUR + 34 * MINUTE
    polled.poll(now)
    assert polled.wide(now + MINUTE) == []


def test_in_the_first_hours_of_what_is_needed_there_are_only_minutes() -> None:
    for hours in range(3):
        reads = Polled().poll(MONTH + hours * HOUR + MINUTE)
        assert reads == (Read("1m", MONTH, MONTH + (hours + 1) * HOUR),)


def test_an_hour_that_settles_is_read_again_as_one_hour() -> None:
    polled = polled_until(MONTH + 12 * HOUR + 59 * MINUTE)
    assert polled.hours[MONTH + 10 * HOUR].width == "1m"
    assert polled.wide(MONTH + 13 * HOUR) == [Read("1h", MONTH, MONTH + 11 * HOUR)]
    assert polled.hours[MONTH + 10 * HOUR].width == "1h"
    assert polled.wide(MONTH + 13 * HOUR + MINUTE) == []


def test_two_days_are_read_again_once_an_hour() -> None:
    now = MONTH + 9 * DAY + 12 * HOUR
    polled = polled_until(now - MINUTE)
    reads = {minute: polled.wide(now + minute * MINUTE) for minute in range(120)}
    recent = {minute: found for minute, found in reads.items() if found}
    assert recent == {
        0: [Read("1h", now - 2 * DAY, now - 2 * HOUR)],
        60: [Read("1h", now + HOUR - 2 * DAY, now - HOUR)],
    }


def test_older_hours_are_read_again_once_a_day_and_one_slice_at_a_time() -> None:
    now = MONTH + 25 * DAY + 12 * HOUR + 5 * MINUTE
    polled = Polled()
    polled.poll(now)
    for minute in range(1, 24 * 60):
        assert all(read.starts_at >= now - 3 * DAY for read in polled.wide(now + minute * MINUTE))
    again = [polled.wide(now + DAY + minute * MINUTE) for minute in range(6)]
    assert [len(reads) for reads in again] == [1, 1, 1, 1, 0, 0]
    slices = [read for reads in again for read in reads]
    assert slices[0].starts_at == MONTH
    assert [read.ends_at for read in slices[:-1]] == [read.starts_at for read in slices[1:]]
    assert slices[-1].ends_at == floor_hour(now) - DAY


@pytest.mark.parametrize("day", [2, 3, 4, 10, 20, 30, 31])
def test_a_quiet_poll_asks_for_one_thing_on_every_day_of_the_month(day: int) -> None:
    now = datetime(2026, 10, day, 12, 30, tzinfo=UTC)
    polled = polled_until(now, datetime(2026, 10, 1, tzinfo=UTC))
    assert [len(polled.poll(now + minute * MINUTE)) for minute in range(1, 29)] == [1] * 28


def test_a_whole_day_of_polls_asks_for_four_more_things_at_the_end_of_a_month_than_at_its_beginning() -> None:
    since = datetime(2026, 10, 1, tzinfo=UTC)
    polled = Polled(since)
    reads: Counter[int] = Counter()
    now = since
    while now < since + 31 * DAY:
        found = len(polled.poll(now))
        assert found <= MOST_READS
        reads[now.day] += found
        now += 5 * MINUTE if now.day in (2, 31) else HOUR
    # One for each of 288 polls, one each hour for the last two days, and a slice for each week that is older.
    assert reads[2] == 288 + 24
    assert reads[31] == 288 + 24 + 4


def test_the_first_poll_after_an_outage_fills_every_gap_and_the_next_is_quiet_again() -> None:
    before, after = MONTH + 4 * DAY + 30 * MINUTE, MONTH + 24 * DAY + 30 * MINUTE
    polled = polled_until(before)
    reads = polled.poll(after)
    assert sorted(polled.hours) == [MONTH + index * HOUR for index in range(24 * 24 + 1)]
    narrow = {hour for hour, state in polled.hours.items() if state.width == "1m"}
    assert narrow == {floor_hour(after) - index * HOUR for index in range(3)}
    # Minutes, two days, and everything before in slices of a week: what was known is older than a day by now.
    assert len(reads) == 2 + 4
    assert all(state.read_at == after for state in polled.hours.values())
    assert [polled.wide(after + minute * MINUTE) for minute in range(1, 30)] == [[]] * 29


def test_single_hours_that_are_missing_are_read_with_as_few_requests_as_a_whole_month() -> None:
    now = MONTH + 24 * DAY + 30 * MINUTE
    polled = polled_until(now)
    for hours in range(50, 24 * 24, 2):
        del polled.hours[floor_hour(now) - hours * HOUR]
    assert [read.width for read in polled.wide(now + MINUTE)] == ["1h"] * 4
    assert len(polled.hours) == 24 * 24 + 1


def test_a_month_that_begins_asks_for_nothing_new() -> None:
    polled = polled_until(MONTH + 30 * DAY - MINUTE)
    december = MONTH + 30 * DAY
    polled.since = december - 2 * DAY
    assert polled.wide(december) == [Read("1h", december - 2 * DAY, december - 2 * HOUR)]
    for minute in range(1, 60):
        assert polled.wide(december + minute * MINUTE) == []


def test_a_budget_whose_period_began_earlier_has_its_gap_read_at_once_and_only_once() -> None:
    now = MONTH + 20 * DAY + 12 * HOUR + 30 * MINUTE
    polled = polled_until(now, since=MONTH + 16 * DAY)
    polled.since = MONTH
    assert polled.wide(now + MINUTE) == [
        Read("1h", MONTH, MONTH + 7 * DAY),
        Read("1h", MONTH + 7 * DAY, MONTH + 14 * DAY),
        Read("1h", MONTH + 14 * DAY, MONTH + 18 * DAY + 12 * HOUR),
    ]
    assert polled.wide(now + 2 * MINUTE) == []


def test_a_change_of_source_reads_the_whole_period_again() -> None:
    now = MONTH + 20 * DAY + 12 * HOUR + 30 * MINUTE
    polled = polled_until(now)
    polled.source = "analytics"
    reads = polled.poll(now + MINUTE)
    assert sorted(hour for read in reads for hour in hours_of(read)) == sorted(polled.hours)
    assert {state.source for state in polled.hours.values()} == {"analytics"}
    assert polled.wide(now + 2 * MINUTE) == []


def test_minutes_that_an_outage_left_behind_become_hours() -> None:
    before = MONTH + 4 * DAY + 30 * MINUTE
    polled = polled_until(before)
    polled.poll(before + 5 * DAY)
    assert all(polled.hours[floor_hour(before) - index * HOUR].width == "1h" for index in range(3))


@st.composite
def lives(draw: st.DrawFn) -> tuple[datetime, list[tuple[datetime, SourceName]]]:
    """Start of the needed usage, and polls with their source: mostly regular, sometimes after a gap."""
    step = draw(st.sampled_from([MINUTE, 7 * MINUTE, 20 * MINUTE, HOUR]))
    now = MONTH + draw(st.integers(0, 40 * 24 * 60)) * MINUTE
    since = floor_hour(now - draw(st.integers(0, 31 * 24)) * HOUR)
    polls: list[tuple[datetime, SourceName]] = []
    source: SourceName = "admin"
    for gap in draw(st.lists(st.integers(0, 200), min_size=1, max_size=40)):
        now += step if gap < 150 else gap * HOUR if gap < 180 else timedelta(seconds=gap)
        if gap in (1, 2, 3):
            source = draw(st.sampled_from(["admin", "analytics"]))
        polls.append((now, source))
    return since, polls


@given(lives())
def test_after_every_poll_each_hour_has_one_owner_and_none_is_missing(
    life: tuple[datetime, list[tuple[datetime, SourceName]]],
) -> None:
    since, polls = life
    polled = Polled(since)
    for now, source in polls:
        polled.source = source
        reads = polled.poll(now)
        asked = [hour for read in reads for hour in hours_of(read)]
        assert len(set(asked)) == len(asked)
        for read in reads:
            assert since <= read.starts_at < read.ends_at <= floor_hour(now) + HOUR
            assert floor_hour(read.starts_at) == read.starts_at
            assert read.ends_at - read.starts_at <= (DAY if read.width == "1m" else SLICE)
        first_unsettled = max(since, floor_hour(now) - 2 * HOUR)
        expected = {
            since + index * HOUR: "1m" if since + index * HOUR >= first_unsettled else "1h"
            for index in range((floor_hour(now) - since) // HOUR + 1)
        }
        assert {hour: state.width for hour, state in polled.hours.items()} == expected
        assert {state.source for state in polled.hours.values()} == {source}


@given(st.integers(10, 60), st.integers(0, 31 * 24 * 60 - 1))
def test_no_hour_is_ever_older_than_its_age_allows(step: int, start: int) -> None:
    since = datetime(2026, 10, 1, tzinfo=UTC)
    polled = Polled(since)
    for index in range(50 * 60 // step):
        now = since + (start + index * step) * MINUTE
        reads = polled.poll(now)
        assert index == 0 or len(reads) <= MOST_READS
        unsettled, recent = floor_hour(now) - 2 * HOUR, floor_hour(now) - 2 * DAY
        ages = [(hour, now - state.read_at) for hour, state in polled.hours.items()]
        assert {age for hour, age in ages if hour >= unsettled} <= {timedelta(0)}
        assert all(age < HOUR for hour, age in ages if recent <= hour < unsettled)
        # Five slices of a month wait for each other, one poll each.
        assert all(age < DAY + 5 * step * MINUTE for hour, age in ages if hour < recent)


def test_a_clock_that_was_set_back_asks_for_no_more_than_before() -> None:
    now = MONTH + 20 * DAY + 12 * HOUR + 30 * MINUTE
    polled = polled_until(now)
    assert polled.wide(now - 10 * SECOND) == []


def test_hours_that_a_clock_which_was_ahead_has_read_are_read_again_when_their_time_has_come() -> None:
    now = MONTH + 10 * DAY
    span = range(10 * 24 - 2)
    known = {MONTH + index * HOUR: HourState("admin", "1h", now - HOUR) for index in span}
    assert len(plan_reads(now, MONTH, known, "admin")) == 1
    wrong = {hour: HourState("admin", "1h", now + 40 * DAY) for hour in known if hour >= MONTH + 5 * DAY}
    read = plan_reads(now, MONTH, {**known, **wrong}, "admin")
    assert all(any(each.starts_at <= hour < each.ends_at for each in read) for hour in wrong)
