"""Dollars and shares for people: rounded once, half-up, and never to a nothing that is none."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.money import percent, usd

amounts = st.decimals(min_value=-(10**15), max_value=10**15, allow_nan=False, allow_infinity=False)
above_zero = st.decimals(min_value=Decimal("1e-9"), max_value=10**15, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1350", "$1,350.00"),
        ("0", "$0.00"),
        ("-0", "$0.00"),
        ("0.005", "$0.01"),
        ("0.00499999999999999999999999999999999999", "under $0.01"),
        ("1e-30", "under $0.01"),
        ("-0.004", "under $0.01"),
        ("0.125", "$0.13"),
        ("2.675", "$2.68"),
        ("-5.005", "-$5.01"),
        ("-1234.5", "-$1,234.50"),
        ("4E+2", "$400.00"),
        ("123456789012345678901234567890.125", "$123,456,789,012,345,678,901,234,567,890.13"),
        ("1e27", "$1,000,000,000,000,000,000,000,000,000.00"),
    ],
)
def test_dollars_are_rounded_half_up_and_never_to_a_nothing_that_is_none(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


@given(amounts)
def test_dollars_read_back_are_the_amount_to_the_cent(amount: Decimal) -> None:
    text = usd(amount)
    if text == "under $0.01":
        assert 0 < abs(amount) < Decimal("0.005")
    else:
        assert Decimal(text.replace("$", "").replace(",", "")) == amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        ("82", "100", "82%"),
        ("99.99", "100", "99%"),
        ("99.999999999999999999999999999999999999", "100", "99%"),
        ("100", "100", "100%"),
        ("0.9", "100", "0%"),
        ("250", "0.5", "50000%"),
        ("-0.5", "100", "-1%"),
        ("1e30", "1", "100000000000000000000000000000000%"),
        ("1", "3", "33%"),
    ],
)
def test_a_share_is_rounded_down_so_that_a_limit_is_not_reached_before_it_is(part: str, whole: str, text: str) -> None:
    assert percent(Decimal(part), Decimal(whole)) == text


@given(amounts, above_zero)
def test_a_share_is_the_largest_whole_one_that_the_part_reaches(part: Decimal, whole: Decimal) -> None:
    share = int(percent(part, whole).removesuffix("%"))
    assert share * Fraction(whole) <= Fraction(part) * 100 < (share + 1) * Fraction(whole)


@given(above_zero, above_zero)
def test_a_hundred_percent_is_said_exactly_from_the_limit_on(part: Decimal, whole: Decimal) -> None:
    assert (int(percent(part, whole).removesuffix("%")) >= 100) == (part >= whole)
