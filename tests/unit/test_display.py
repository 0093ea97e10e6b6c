"""Sums in another currency and with tax: rounded once, half-up, to the places that the currency has."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.display import MINOR_UNITS, USD, Display

YEN = Display("JPY", Decimal(150), Decimal(10))
CURRENCIES = ["EUR", "CHF", *MINOR_UNITS]
amounts = st.decimals(0, 10**9, allow_nan=False, places=9)
rates = st.decimals("0.000001", 10**6, allow_nan=False, places=6)


@pytest.mark.parametrize(
    ("display", "usd", "text"),
    [
        (YEN, "440.80", "¥66,120 without tax, ¥72,732 with 10% tax (at 150 JPY for 1 USD)"),
        (Display("JPY", Decimal("151.20")), "0.01", "¥2 (at 151.2 JPY for 1 USD)"),
        (Display("JPY", Decimal(150)), "0.01", "¥2 (at 150 JPY for 1 USD)"),
        (Display("JPY", Decimal(150)), "0.001", "under ¥1 (at 150 JPY for 1 USD)"),
        (Display("JPY", Decimal(150)), "0", "¥0 (at 150 JPY for 1 USD)"),
        (
            Display("EUR", Decimal("0.9"), Decimal(19)),
            "100",
            "€90.00 without tax, €107.10 with 19% tax (at 0.9 EUR for 1 USD)",
        ),
        (Display("CHF", Decimal("0.8")), "1234.5", "CHF 987.60 (at 0.8 CHF for 1 USD)"),
        (Display("KWD", Decimal("0.307")), "10", "KWD 3.070 (at 0.307 KWD for 1 USD)"),
        (Display(tax_percent=Decimal("8.10")), "100", "$100.00 without tax, $108.10 with 8.1% tax"),
        (Display("JPY", Decimal(1000)), "1.0005", "¥1,001 (at 1000 JPY for 1 USD)"),
        (YEN, "-1", "-¥150 without tax, -¥165 with 10% tax (at 150 JPY for 1 USD)"),
    ],
)
def test_an_amount_is_shown_in_the_currency_and_with_tax(display: Display, usd: str, text: str) -> None:
    assert display.of(Decimal(usd)) == text


@given(amounts)
def test_dollars_without_tax_have_nothing_beside_them(usd: Decimal) -> None:
    assert USD.of(usd) is None


@given(amounts, rates, st.sampled_from(CURRENCIES))
def test_the_amount_shown_is_the_exact_one_rounded_half_up(usd: Decimal, rate: Decimal, currency: str) -> None:
    text = Display(currency, rate).of(usd)
    assert text is not None
    shown = text.partition(" (at ")[0].removeprefix(currency).strip(" ¥€₩").replace(",", "")
    exact = Fraction(usd) * Fraction(rate)
    step = Fraction(1, 10 ** MINOR_UNITS.get(currency, 2))
    if shown.startswith("under"):
        assert 0 < exact < step / 2
        return
    # Half-up: the value lies in [shown - half a step, shown + half a step).
    assert Fraction(shown) - step / 2 <= exact < Fraction(shown) + step / 2
    assert len(shown.partition(".")[2]) == MINOR_UNITS.get(currency, 2)


@given(amounts, rates, st.decimals("0.01", 100, places=2))
def test_tax_is_put_on_the_exact_amount_and_not_on_the_rounded_one(
    usd: Decimal, rate: Decimal, tax_percent: Decimal
) -> None:
    text = Display("CHF", rate, tax_percent).of(usd)
    assert text is not None
    shown = text.partition("without tax, CHF ")[2].partition(" with ")[0].replace(",", "")
    exact = Fraction(usd) * Fraction(rate) * (1 + Fraction(tax_percent) / 100)
    if shown:
        assert Fraction(shown) - Fraction(1, 200) <= exact < Fraction(shown) + Fraction(1, 200)
    else:
        assert exact < Fraction(1, 200)


def test_halves_are_rounded_up_as_everywhere() -> None:
    assert Display("JPY", Decimal("0.5")).of(Decimal(1)) == "¥1 (at 0.5 JPY for 1 USD)"
