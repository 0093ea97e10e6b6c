"""Counts and lengths of time: one way of saying each."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bot.amounts import change, count, exact_span, share, shares, span, usd
from bot.budgets.budget import in_period, period_name
from bot.display import Display
from bot.language import in_language
from bot.messages import in_utc
from handlers.render.parts import moment


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
def test_an_age_is_shown_in_the_unit_that_fits(length: timedelta, text: str) -> None:
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
def test_a_chosen_time_is_shown_to_the_minute(length: timedelta, text: str) -> None:
    assert exact_span(length) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (1200, "1,200 days")])
def test_one_is_no_plural(number: int, text: str) -> None:
    assert count(number, "day") == text


MARCH = datetime(2026, 3, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "now", "name", "inside"),
    [
        ("2026-11", NOVEMBER, "11月", "11月"),
        ("2025-12", NOVEMBER, "2025年12月", "2025年12月"),
        ("2026-W46", NOVEMBER, "11月9日の週", "11月9日の週"),
        ("week-2026-11-15", NOVEMBER, "11月15日の週", "11月15日の週"),
        ("2026-11-14", NOVEMBER, "11月14日", "11月14日"),
        ("2025-11-14", MARCH, "2025年11月14日", "2025年11月14日"),
        ("2026-11-10..2026-11-15", NOVEMBER, "11月10日〜11月15日", "11月10日〜11月15日"),
        ("2026-13", NOVEMBER, "2026-13", "2026-13"),
    ],
)
def test_a_period_is_named_as_japanese_writes_dates(key: str, now: datetime, name: str, inside: str) -> None:
    with in_language("ja"):
        assert (period_name(key, now), in_period(key, now)) == (name, inside)


def test_a_time_keeps_slacks_format_and_has_a_japanese_date_where_slack_draws_none() -> None:
    with in_language("ja"):
        said = moment(NOVEMBER)
    assert said == "<!date^1795442700^{date_short_pretty} {time}|11月23日 14:05 UTC>"
    assert in_utc(said) == "11月23日 14:05 UTC"


@pytest.mark.parametrize(
    ("length", "text", "chosen"),
    [
        (timedelta(seconds=59), "1 分未満", "0 分"),
        (timedelta(minutes=90), "90 分", "1 時間 30 分"),
        (timedelta(hours=5), "5 時間", "5 時間"),
        (timedelta(days=3, hours=4), "3 日", "3 日 4 時間"),
        (timedelta(days=1000), "1,000 日", "1,000 日"),
    ],
)
def test_lengths_of_time_are_japanese_too(length: timedelta, text: str, chosen: str) -> None:
    with in_language("ja"):
        assert (span(length), exact_span(length)) == (text, chosen)


def test_amounts_and_shares_that_are_words_are_japanese_too() -> None:
    yen = Display("JPY", Decimal(150), Decimal(10))
    with in_language("ja"):
        assert usd(Decimal("0.001")) == "$0.01 未満"
        assert share(Decimal(1), Decimal(1000)) == "1% 未満"
        assert shares([Decimal(1000), Decimal(1)]) == ["100%", "1% 未満"]
        assert change(Decimal(250), Decimal(10)) == "25 倍"
        assert yen.of(Decimal("440.80")) == "税抜 ¥66,120、税込 ¥72,732（税率 10%）、1 USD = 150 JPY で換算"
