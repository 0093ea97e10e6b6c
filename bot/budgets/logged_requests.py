"""Requests by feature, user or tag, as applications logged them, and what one request costs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bot.budgets.report import GroupBy
from bot.ledger.model import Dimensions, Sums


@dataclass(frozen=True, slots=True)
class Requests:
    """`count`: None where the source logged tokens without requests. `errors`, `rate_limited`: parts of `count`.

    `before`: of the same stretch before, its last hour in proportion; None where that is not known.
    """

    count: int | None
    errors: int = 0
    rate_limited: int = 0
    before: Fraction | None = None


def group_of(dimensions: Dimensions, by: GroupBy, tag: str | None = None) -> str | None:
    """In which row of a report what has these dimensions counts; None: without the value."""
    if by is GroupBy.FEATURE:
        return dimensions.feature or None
    if by is GroupBy.USER:
        return dimensions.user_id or None
    if by is GroupBy.TAG:
        return dict(dimensions.tags).get(tag or "")
    if by is GroupBy.MODEL:
        return dimensions.model
    return (dimensions.workspace if by is GroupBy.WORKSPACE else dimensions.key) or None


def grouped(totals: Mapping[Dimensions, Sums], by: GroupBy, tag: str | None = None) -> dict[str | None, Sums]:
    """The sums of each row."""
    found: dict[str | None, Sums] = {}
    for dimensions, sums in totals.items():
        at = group_of(dimensions, by, tag)
        found[at] = found.get(at, Sums()).plus(sums)
    return found


def requests_of(
    now: Mapping[str | None, Sums],
    before: Mapping[str | None, Sums] | None,
    last_hour: Mapping[str | None, Sums],
    share: Fraction,
) -> dict[str | None, Requests]:
    """By row. `before`: whole hours of the stretch before; of the hour in which that ends, `share` counts."""
    found = {}
    for at, sums in now.items():
        earlier = None
        if before is not None:
            earlier = before.get(at, Sums()).requests + share * last_hour.get(at, Sums()).requests
        unknown = not sums.requests and sums.counts.tokens > 0
        found[at] = Requests(None if unknown else sums.requests, sums.errors, sums.rate_limited, earlier)
    return found


def usd_a_request(usd: Decimal, requests: int | Fraction | None) -> Decimal | None:
    """None where no request is known."""
    if not requests:
        return None
    exact = Fraction(usd) / Fraction(requests)
    return Decimal(exact.numerator) / Decimal(exact.denominator)
