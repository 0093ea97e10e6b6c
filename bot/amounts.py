"""Format USD, shares, counts and lengths of time, and parse typed amounts. Only this module rounds."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from decimal import MAX_PREC, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import TYPE_CHECKING

from bot.clock import DAY, HOUR, MINUTE
from bot.language import ENGLISH, language, locale, ntr, tr, tr_noop

if TYPE_CHECKING:
    from babel import Locale

CENT = Decimal("0.01")

LEAST_TO_COMPARE = Decimal(1)
"""USD: below this, a percentage of change is not meaningful."""

MANY_TIMES = 10
"""From this factor on, a change is shown as a factor: 10,143 % is hard to read."""

TRACE = Decimal("0.001")
"""USD: stands for an amount above zero and below a cent."""

NO_CHANGE = "±0%"

UNDER_ONE = tr_noop("under 1%")

_EXACT = Context(prec=MAX_PREC)

_dollar: ContextVar[str] = ContextVar("dollar", default="$")


@contextmanager
def with_dollar_sign(sign: str) -> Iterator[None]:
    """Write amounts in USD with this sign: `US$` if another currency is shown beside them."""
    token = _dollar.set(sign)
    try:
        yield
    finally:
        _dollar.reset(token)


def usd(amount: Decimal) -> str:
    """`$1,350.00`, half-up; a nonzero amount that rounds to zero is `under $0.01`."""
    return in_currency(amount, _dollar.get(), 2)


def in_currency(amount: Decimal, sign: str, places: int) -> str:
    """`usd` for a currency with this many decimal places: `¥202,500`, and `under ¥1`."""
    smallest = Decimal(1).scaleb(-places)
    rounded = _rounded(amount.copy_abs(), smallest)
    if rounded == 0 and amount != 0:
        return tr("under {amount}", amount=f"{sign}{smallest}")
    minus = "-" if amount < 0 else ""
    return f"{minus}{sign}{rounded:,}"


def small_usd(amount: Decimal) -> str:
    """Like `usd`, but more exact below a dollar (`$0.0135`) and below a cent (`$0.00042`)."""
    if not 0 < amount < 1:
        return usd(amount)
    places = 4 if amount >= CENT else 1 - amount.adjusted()
    return in_currency(amount, _dollar.get(), places)


def usd_parts(total: Decimal, parts: Sequence[Decimal]) -> list[str]:
    """The parts of `total` as `usd` writes them, adding up to the written total, to the cent.

    A nonzero part that rounds to zero is `under $0.01` and counts as $0.00.
    """
    return [usd(part) for part in in_cents(cents_of(total), parts)]


def in_cents(cents: int, parts: Sequence[Decimal]) -> list[Decimal]:
    """`parts` rounded to cents so that they add up to `cents`: largest remainder.

    A nonzero part that gets no cent is a tenth of one, which `usd` writes as `under $0.01`.
    """
    found = apportioned([Fraction(part) * 100 for part in parts], cents)
    return [
        TRACE if not units and part else Decimal(units).scaleb(-2, _EXACT)
        for units, part in zip(found, parts, strict=True)
    ]


def cents_of(amount: Decimal) -> int:
    """The amount in whole cents, half-up as `usd` writes it."""
    cents = int(_rounded(amount.copy_abs(), CENT).scaleb(2, _EXACT))
    return -cents if amount < 0 else cents


def apportioned(parts: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers near `parts` that add up to `total`: largest remainder.

    Exact whole parts are unchanged if others can take the difference.
    """
    if not parts:
        return []
    found = [floor(part) for part in parts]
    rests = [part - whole for part, whole in zip(parts, found, strict=True)]
    order = sorted(range(len(parts)), key=lambda index: (-rests[index], index))
    inexact = [index for index in order if rests[index]] or order
    missing = total - sum(found)
    turns = inexact if missing >= 0 else inexact[::-1]
    step = 1 if missing >= 0 else -1
    for count in range(abs(missing)):
        found[turns[count % len(turns)]] += step
    return found


def percent(part: Decimal, whole: Decimal) -> str:
    """`82%` of a limit above zero, rounded down: 99.9 % of a limit is not yet all of it."""
    return f"{floor(Fraction(part) * 100 / Fraction(whole))}%"


def share(part: Decimal, whole: Decimal) -> str:
    """`82%` of anything but a limit, half-up; `under 1%` for a nonzero share that rounds to zero."""
    rounded = floor(Fraction(part) * 100 / Fraction(whole) + Fraction(1, 2))
    return tr(UNDER_ONE) if rounded == 0 and part else f"{rounded:,}%"


def shares(parts: Sequence[Decimal]) -> list[str] | None:
    """Each part's share of their sum, together 100 %, `under 1%` counting as zero; None if the sum is not above
    zero.
    """
    exact = [Fraction(part) for part in parts]
    whole = sum(exact, Fraction(0))
    if whole <= 0:
        return None
    found = apportioned([part * 100 / whole for part in exact], 100)
    return [tr(UNDER_ONE) if not number and part else f"{number:,}%" for number, part in zip(found, parts, strict=True)]


def change(now: Decimal, before: Decimal) -> str | None:
    """`+12%`, `±0%`, `25 times as much`; None if `before` is too small to compare."""
    if before < LEAST_TO_COMPARE:
        return None
    factor = Fraction(now) / Fraction(before)
    if factor >= MANY_TIMES:
        return tr("{factor} times as much", factor=f"{floor(factor + Fraction(1, 2)):,}")
    points = floor((factor - 1) * 100 + Fraction(1, 2))
    return f"{points:+,}%" if points else NO_CHANGE


def _rounded(amount: Decimal, smallest: Decimal) -> Decimal:
    # The default precision of 28 digits would fail for longer amounts with cents.
    return amount.quantize(smallest, ROUND_HALF_UP, _EXACT)


_AMOUNT = re.compile(r"\$?([0-9]{1,3}(?:([,_])[0-9]{3}(?:\2[0-9]{3})*)?|[0-9]{1,12})(\.[0-9]{1,9})?")
_DOTTED = re.compile(r"\$?([1-9][0-9]{0,2}(?:\.[0-9]{3})+)")
"""Thousands for some readers, a fraction for others."""

_COMMA_BEFORE_CENTS = re.compile(r"\$?([0-9]{1,12}),([0-9]{1,2})")

MOST_USD = Decimal(10) ** 12


def usd_amount(text: str) -> Decimal:
    """`500`, `499.50`, `1,000`, `1_000`, `$500`: USD above zero, without trailing zeros.

    Raises ValueError with one clause that says what to write.
    """
    dotted = _DOTTED.fullmatch(text)
    if dotted is not None:
        whole = int(dotted[1].replace(".", ""))
        raise ValueError(
            tr(
                "{text} could be read in two ways: write {whole} or {grouped}, or a fraction of two digits",
                text=text,
                whole=whole,
                grouped=f"{whole:,}",
            )
        )
    cents = _COMMA_BEFORE_CENTS.fullmatch(text)
    if cents is not None:
        written = f"{cents[1]}.{cents[2]}"
        raise ValueError(
            tr(
                "{text} could be read in two ways: write {written}, with a point before the cents",
                text=text,
                written=written,
            )
        )
    match = _AMOUNT.fullmatch(text)
    amount = Decimal(0) if match is None else Decimal(re.sub("[,_]", "", match[1]) + (match[3] or ""))
    if not 0 < amount < MOST_USD:
        raise ValueError(tr("it must be an amount of USD above zero, such as 500, 499.50 or 1,000"))
    return amount.normalize()


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 settled day`, `1,200 settled days`, in English only. `plural`: if it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def day_name(day: date, now: datetime) -> str:
    """`14 Nov`; with the year if it is not the one of `now`."""
    if language() != ENGLISH:
        return in_skeleton(day, "MMMd" if day.year == now.year else "yMMMd")
    return f"{day.day} {day:%b}" + ("" if day.year == now.year else f" {day.year}")


def in_skeleton(day: date, skeleton: str) -> str:
    """A date as the language in force writes it; `skeleton`: the fields to name, such as `yMMMd` (UTS 35, dates)."""
    return _in_skeleton(day, skeleton, locale())


@lru_cache(maxsize=1_000)
def _in_skeleton(day: date, skeleton: str, of: "Locale") -> str:
    """Cached, since finding the pattern of a skeleton takes a millisecond, and a message names few days."""
    # Import lazily: English needs no Babel.
    from babel.dates import format_skeleton

    return format_skeleton(skeleton, day, locale=of)


def span(length: timedelta) -> str:
    """`less than 1 min`, `32 min`, `5 h`, `3 days`, rounded down: minutes below two hours, hours below two days.

    A negative length counts as zero.
    """
    if length < MINUTE:
        return tr("less than 1 min")
    if length < 2 * HOUR:
        return tr("{number} min", number=length // MINUTE)
    if length < 2 * DAY:
        return tr("{number} h", number=length // HOUR)
    return ntr("{number} day", "{number} days", length // DAY)


def exact_span(length: timedelta) -> str:
    """`5 min`, `1 h 30 min`, `3 days 4 h`: a chosen length, to the minute."""
    days, rest = divmod(max(length, timedelta()), DAY)
    minutes = rest // MINUTE
    parts = [ntr("{number} day", "{number} days", days)] if days else []
    if minutes >= 60:
        parts.append(tr("{number} h", number=minutes // 60))
        minutes %= 60
    if minutes or not parts:
        parts.append(tr("{number} min", number=minutes))
    return " ".join(parts)
