"""Counts and lengths of time: one way of saying each."""

from datetime import timedelta

import pytest

from bot.amounts import count, exact_span, span


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(minutes=-5), "less than 1 min"),
        (timedelta(seconds=59), "less than 1 min"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=119, seconds=59), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=12, minutes=9), "12 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(minutes=2888), "2 days"),
        (timedelta(days=1000), "1,000 days"),
    ],
)
def test_an_age_is_told_in_the_unit_that_fits(length: timedelta, text: str) -> None:
    assert span(length) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=3, hours=4), "3 days 4 h"),
    ],
)
def test_a_chosen_time_is_told_to_the_minute(length: timedelta, text: str) -> None:
    assert exact_span(length) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (1200, "1,200 days")])
def test_one_is_no_plural(number: int, text: str) -> None:
    assert count(number, "day") == text
