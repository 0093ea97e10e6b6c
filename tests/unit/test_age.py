"""How old the data is, and from when on that is too old."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.usage.age import ADMIN_DELAY, DataState, is_stale

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

AGES = st.integers(0, 10**6).map(lambda seconds: seconds * SECOND)
POLL_SECONDS = st.integers(1, 3600)


@pytest.mark.parametrize(
    ("poll_seconds", "limit"),
    [(1, 15 * MINUTE), (60, 15 * MINUTE), (300, 15 * MINUTE), (301, 903 * SECOND), (3600, 180 * MINUTE)],
)
def test_data_is_stale_when_it_is_older_than_three_polls_and_than_a_quarter_of_an_hour(
    poll_seconds: int, limit: timedelta
) -> None:
    assert not is_stale(NOW - limit, NOW, poll_seconds)
    assert is_stale(NOW - limit - SECOND, NOW, poll_seconds)


@settings(deadline=None)
@given(AGES, AGES, POLL_SECONDS)
def test_data_that_gets_older_never_becomes_fresh_again(age: timedelta, more: timedelta, poll_seconds: int) -> None:
    assert is_stale(NOW - age - more, NOW, poll_seconds) >= is_stale(NOW - age, NOW, poll_seconds)


@settings(deadline=None)
@given(AGES, POLL_SECONDS, POLL_SECONDS)
def test_a_slower_poll_allows_older_data(age: timedelta, one: int, other: int) -> None:
    slow, quick = max(one, other), min(one, other)
    assert is_stale(NOW - age, NOW, slow) <= is_stale(NOW - age, NOW, quick)


@settings(deadline=None)
@given(POLL_SECONDS)
def test_what_the_admin_report_showed_at_the_last_poll_is_never_stale(poll_seconds: int) -> None:
    polled_at = NOW - poll_seconds * SECOND
    assert not is_stale(polled_at - ADMIN_DELAY, NOW, poll_seconds)


def test_data_from_a_clock_that_is_ahead_is_not_stale() -> None:
    assert not is_stale(NOW + MINUTE, NOW, 60)


def test_before_the_first_poll_nothing_is_claimed() -> None:
    state = DataState()
    assert all(getattr(state, name) is None for name in DataState.__dataclass_fields__)
