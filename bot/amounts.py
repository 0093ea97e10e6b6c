"""Amounts of money as people write them: what could be read in two ways is refused."""

import re
from decimal import Decimal

_AMOUNT = re.compile(r"\$?([0-9]{1,3}(?:([,_])[0-9]{3}(?:\2[0-9]{3})*)?|[0-9]{1,12})(\.[0-9]{1,9})?")
_DOTTED = re.compile(r"\$?([1-9][0-9]{0,2}(?:\.[0-9]{3})+)")
"""Thousands to some, a fraction to others."""

_COMMA_BEFORE_CENTS = re.compile(r"\$?([0-9]{1,12}),([0-9]{1,2})")

MOST_USD = Decimal(10) ** 12


def usd_amount(text: str) -> Decimal:
    """`500`, `499.50`, `1,000`, `1_000`, `$500`: USD above zero, without trailing zeros.

    Raises ValueError with one clause that says what to write.
    """
    dotted = _DOTTED.fullmatch(text)
    if dotted is not None:
        whole = int(dotted[1].replace(".", ""))
        raise ValueError(f"{text} could be read in two ways: write {whole} or {whole:,}, or a fraction of two digits")
    cents = _COMMA_BEFORE_CENTS.fullmatch(text)
    if cents is not None:
        written = f"{cents[1]}.{cents[2]}"
        raise ValueError(f"{text} could be read in two ways: write {written}, with a point before the cents")
    match = _AMOUNT.fullmatch(text)
    amount = Decimal(0) if match is None else Decimal(re.sub("[,_]", "", match[1]) + (match[3] or ""))
    if not 0 < amount < MOST_USD:
        raise ValueError("it must be an amount of USD above zero, such as 500, 499.50 or 1,000")
    return amount.normalize()
