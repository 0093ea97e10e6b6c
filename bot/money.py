"""Dollars and shares for people. Rounding happens here and nowhere before."""

from decimal import MAX_PREC, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from math import floor

CENT = Decimal("0.01")


def usd(amount: Decimal) -> str:
    """`$1,350.00`, half-up; an amount that rounds to nothing but is not nothing is `under $0.01`."""
    return in_currency(amount, "$", 2)


def in_currency(amount: Decimal, sign: str, places: int) -> str:
    """The same in a currency with this many decimal places: `¥202,500`, and `under ¥1`."""
    smallest = Decimal(1).scaleb(-places)
    # The usual precision of 28 digits would refuse what is longer than that with its cents.
    rounded = amount.copy_abs().quantize(smallest, ROUND_HALF_UP, Context(prec=MAX_PREC))
    if rounded == 0 and amount != 0:
        return f"under {sign}{smallest}"
    minus = "-" if amount < 0 else ""
    return f"{minus}{sign}{rounded:,}"


def percent(part: Decimal, whole: Decimal) -> str:
    """`82%` of a whole above zero, rounded down: 99.9 % of a limit is not yet all of it."""
    return f"{floor(Fraction(part) * 100 / Fraction(whole))}%"
