"""The age of data, and when it is stale."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import HOUR
from bot.usage.model import ADMIN_DELAY, DataState, SourceName, is_stale, not_ahead, refreshed, stale_after

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def as_of(moment: datetime) -> DataState:
    return DataState(as_of=moment, source="admin")


AGES = st.integers(0, 10**6).map(lambda seconds: seconds * SECOND)
POLL_SECONDS = st.integers(1, 3600)


@pytest.mark.parametrize(
    ("poll_seconds", "limit"),
    [(1, 15 * MINUTE), (60, 15 * MINUTE), (300, 15 * MINUTE), (301, 903 * SECOND), (3600, 180 * MINUTE)],
)
def test_data_is_stale_when_it_is_older_than_three_polls_and_than_a_quarter_of_an_hour(
    poll_seconds: int, limit: timedelta
) -> None:
    assert not is_stale(as_of(NOW - limit), NOW, poll_seconds)
    assert is_stale(as_of(NOW - limit - SECOND), NOW, poll_seconds)


@given(AGES, AGES, POLL_SECONDS)
def test_data_that_gets_older_never_becomes_fresh_again(age: timedelta, more: timedelta, poll_seconds: int) -> None:
    older, newer = as_of(NOW - age - more), as_of(NOW - age)
    assert is_stale(older, NOW, poll_seconds) >= is_stale(newer, NOW, poll_seconds)


@given(AGES, POLL_SECONDS, POLL_SECONDS)
def test_a_slower_poll_allows_older_data(age: timedelta, one: int, other: int) -> None:
    slow, quick = max(one, other), min(one, other)
    assert is_stale(as_of(NOW - age), NOW, slow) <= is_stale(as_of(NOW - age), NOW, quick)


@given(POLL_SECONDS)
def test_what_the_admin_report_showed_at_the_last_poll_is_never_stale(poll_seconds: int) -> None:
    polled_at = NOW - poll_seconds * SECOND
    assert not is_stale(as_of(polled_at - ADMIN_DELAY), NOW, poll_seconds)


def test_data_from_a_clock_that_is_ahead_is_not_stale() -> None:
    assert not is_stale(as_of(NOW + MINUTE), NOW, 60)


def test_before_the_first_poll_nothing_is_claimed() -> None:
    state = DataState()
    assert not any(getattr(state, name) for name in DataState.__dataclass_fields__)
    assert not is_stale(state, NOW, 60)


def polled(every: timedelta, refreshes: Callable[[datetime], datetime], polls: int, source: SourceName) -> DataState:
    """The state after so many polls of a source whose data is as of `refreshes(now)`; the last one is at `NOW`."""
    state = DataState()
    for index in reversed(range(polls)):
        now = NOW - index * every
        moment = refreshes(now)
        ages = refreshed(state, source, moment, now)
        state = DataState(as_of=moment, source=source, polled_at=now, ages_at_refresh=ages)
    return state


def batches(hours: int, delay: timedelta = timedelta()) -> Callable[[datetime], datetime]:
    """A source that exports every so many hours, and takes `delay` for it."""
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def exported(now: datetime) -> datetime:
        return start + (now - delay - start) // (hours * HOUR) * (hours * HOUR)

    return exported


@pytest.mark.parametrize(("hours", "delay"), [(1, 0), (4, 0), (4, 3), (24, 2)])
def test_a_source_that_refreshes_every_few_hours_is_not_stale_for_ever(hours: int, delay: int) -> None:
    state = polled(15 * MINUTE, batches(hours, delay * HOUR), 4 * 24 * 4, "analytics")
    oldest = (hours + delay) * HOUR
    assert oldest * 1.9 < stale_after(state, 900) <= oldest * 2.1
    assert not is_stale(state, (state.as_of or NOW) + oldest, 900)
    assert is_stale(state, (state.as_of or NOW) + 3 * oldest, 900)


def test_one_outage_does_not_become_usual() -> None:
    state = polled(MINUTE, lambda now: now - 6 * MINUTE, 60, "analytics")
    after = refreshed(state, "analytics", NOW + 10 * HOUR, NOW + 10 * HOUR)
    assert after == state.ages_at_refresh  # nobody polled for ten hours
    state = replace(state, polled_at=NOW + 10 * HOUR - MINUTE)
    state = replace(state, ages_at_refresh=refreshed(state, "analytics", NOW + 10 * HOUR, NOW + 10 * HOUR))
    assert stale_after(state, 60) == 15 * MINUTE


def test_the_admin_report_keeps_its_bound_and_a_change_of_source_begins_anew() -> None:
    slow = polled(15 * MINUTE, batches(4), 100, "analytics")
    assert stale_after(replace(slow, source="admin"), 60) == 15 * MINUTE
    assert refreshed(slow, "admin", NOW, NOW) == ()


def test_times_ahead_of_a_clock_that_was_set_back_are_taken_for_now_so_that_data_ages() -> None:
    ahead = DataState(as_of=NOW + timedelta(days=40), polled_at=NOW + MINUTE, error="down", error_since=NOW - MINUTE)
    found = not_ahead(ahead, NOW)
    assert (found.as_of, found.polled_at, found.error_since) == (NOW, NOW, NOW - MINUTE)
    assert is_stale(found, NOW + 16 * MINUTE, 60)
    known = DataState(as_of=NOW)
    assert not_ahead(known, NOW) == known
