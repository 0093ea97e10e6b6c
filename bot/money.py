"""Dollars and shares for people. Rounding happens here and nowhere before."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def usd(amount: Decimal) -> str:
    """`$1,350.00`, half-up; an amount that rounds to nothing but is not nothing is `under $0.01`."""
    rounded = abs(amount).quantize(CENT, ROUND_HALF_UP)
    if rounded == 0 and amount > 0:
        return "under $0.01"
    sign = "-" if amount < 0 and rounded else ""
    return f"{sign}${rounded:,}"


def percent(part: Decimal, whole: Decimal) -> str:
    """`82%` of a whole above zero, rounded down: 99.9 % of a limit is not yet all of it."""
    return f"{int(part * 100 / whole)}%"
