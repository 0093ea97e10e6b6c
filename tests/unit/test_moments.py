"""Times, as the logs of many languages write them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.usage.logs.moments import moment_in

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        *("2026-03-01T12:00:00Z", "2026-03-01T12:00:00z", "2026-03-01 12:00:00", "2026-03-01 12:00"),
        *("2026-03-01T13:00:00.000+01:00", "2026-03-01T13:00:00+0100", "2026-03-01 13:00:00 +0100", "2026-03-01T13+01"),
        *("2026-03-01 12:00:00 UTC", "2026-03-01T12:00:00 GMT", "2026/03/01 12:00:00", "2026-03-01 12:00:00,000"),
        *("2026-03-01 12:00:00.000000000 +0000 UTC m=+0.01", "2026-03-01T13:00:00+01:00[Europe/Berlin]"),
        *("Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 13:00:00 +0100", "Sun, 1 Mar 2026 07:00:00 EST"),
        *("Sun Mar  1 12:00:00 UTC 2026", "Sun Mar  1 12:00:00 2026", "01/Mar/2026:12:00:00 +0000"),
        *("20260301T120000Z", "20260301120000", 20260301120000),
        *(1772366400, 1772366400.0, 1772366400000, 1772366400000000, 1772366400000000000),
        *("1772366400", "1772366400.0", "1772366400000", "1772366400000000", "1772366400000000000"),
        {"$date": "2026-03-01T12:00:00Z"},
    ],
)
def test_a_moment_is_the_same_in_every_usual_writing(time: object) -> None:
    assert moment_in(time) == NOON


def test_midnight_may_end_a_day_and_a_leap_second_a_minute() -> None:
    assert moment_in("2026-03-01T24:00:00Z") == datetime(2026, 3, 2, tzinfo=UTC)
    assert moment_in("2026-02-28T23:59:60Z") == datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert moment_in("2026-03-01") == moment_in(20260301) == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        *(
            None,
            True,
            [],
            {},
            {"$date": {}},
            "",
            "yesterday",
            "2026-13-01",
            "2026-03-01 25:00:00",
            "2026-03-01T24:01:00Z",
        ),
        *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+09:00", "9" * 5000),
        *(0, -5, 3.5, 1e300, 10**400, float("inf"), float("nan")),
    ],
)
def test_what_cannot_be_a_time_of_a_call_is_none(time: object) -> None:
    assert moment_in(time) is None


@pytest.mark.parametrize("time", ["2026-03-01 12:00:00 JST", "Sun, 01 Mar 2026 12:00:00 JST", "2026-03-01 11:30 PM"])
def test_a_time_whose_zone_or_half_of_the_day_is_not_certain_is_none(time: str) -> None:
    """Read as UTC, it could lie on another day."""
    assert moment_in(time) is None


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[0-9 :/T.+-]{1,30}"), st.integers(), st.floats()))
def test_whatever_stands_there_is_a_moment_of_this_age_or_none(time: Any) -> None:
    moment = moment_in(time)
    assert moment is None or (moment.tzinfo is UTC and moment.year >= 2023)


@given(st.datetimes(datetime(2023, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_any_time_survives_being_written_in_any_way(moment: datetime) -> None:
    second = moment.replace(microsecond=0)
    assert moment_in(moment.isoformat()) == moment
    for written in ("%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT", "%Y%m%d%H%M%S"):
        assert moment_in(second.strftime(written)) == second
    for scale in (1, 10**3, 10**6, 10**9):
        assert moment_in(int(second.timestamp()) * scale) == moment_in(str(int(second.timestamp()) * scale)) == second
