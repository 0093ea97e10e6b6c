"""Dollars and shares for people: rounded once, half-up, and never to a nothing that is none."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.amounts import apportioned, change, percent, share, shares, usd, usd_parts

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


def in_dollars(text: str) -> Decimal:
    return Decimal(0) if text == "under $0.01" else Decimal(text.replace("$", "").replace(",", ""))


@given(st.lists(amounts, max_size=40))
def test_parts_add_up_to_their_sum_as_it_is_written(parts: list[Decimal]) -> None:
    total = _exact_sum(parts)
    written = usd_parts(total, parts)
    assert sum(map(in_dollars, written), Decimal(0)) == in_dollars(usd(total))
    for part, text in zip(parts, written, strict=True):
        assert abs(Fraction(in_dollars(text)) - Fraction(part)) < Fraction(1, 100)
        assert (text == "$0.00") <= (part == 0)


def _exact_sum(parts: list[Decimal]) -> Decimal:
    with localcontext(prec=200):
        return sum(parts, Decimal(0))


@given(st.lists(st.decimals(0, 10**12, places=9), min_size=1, max_size=60))
def test_shares_add_up_to_a_hundred(parts: list[Decimal]) -> None:
    found = shares(parts)
    if not any(parts):
        assert found is None
        return
    assert found is not None
    numbers = [0 if text == "under 1%" else int(text.rstrip("%")) for text in found]
    assert sum(numbers) == 100
    whole = sum(map(Fraction, parts), Fraction(0))
    for part, number, text in zip(parts, numbers, found, strict=True):
        assert abs(number - Fraction(part) * 100 / whole) < 1
        assert (text == "0%") <= (part == 0)


@given(st.lists(st.fractions(-1000, 1000), max_size=30), st.integers(-2000, 2000))
def test_whole_numbers_are_apportioned_to_the_very_total(parts: list[Fraction], total: int) -> None:
    assert sum(apportioned(parts, total)) == (total if parts else 0)


@pytest.mark.parametrize(
    ("total", "parts", "written"),
    [
        ("730.245", ["588.295", "141.95"], ["$588.30", "$141.95"]),
        ("0.01", ["0.005", "0.005"], ["$0.01", "under $0.01"]),
        ("-0.005", ["-0.01", "0.005"], ["-$0.01", "under $0.01"]),
        ("5", ["5", "0"], ["$5.00", "$0.00"]),
    ],
)
def test_an_odd_cent_goes_to_the_largest_remainder(total: str, parts: list[str], written: list[str]) -> None:
    assert usd_parts(Decimal(total), [Decimal(part) for part in parts]) == written


def test_shares_are_rounded_and_a_limit_is_reached_only_when_it_is() -> None:
    assert (share(Decimal("62.97"), Decimal(100)), percent(Decimal("62.97"), Decimal(100))) == ("63%", "62%")
    assert shares([Decimal(1)] * 3) == ["34%", "33%", "33%"]
    assert shares([Decimal(1000), Decimal(1)]) == ["100%", "under 1%"]


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        ("12", "10", "+20%"),
        ("10", "10.01", "±0%"),
        ("0", "10", "-100%"),
        ("1024.3", "10", "102 times as much"),
        ("1024.3", "0.99", None),
        ("0", "0", None),
    ],
)
def test_a_change_is_no_percentage_of_a_few_cents(now: str, before: str, text: str | None) -> None:
    assert change(Decimal(now), Decimal(before)) == text
