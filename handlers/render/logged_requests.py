"""Columns of a report by feature, user or tag: requests, what one costs, and which of them failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bot.budgets.logged_requests import Requests, usd_a_request
from bot.budgets.report import Group, Report
from bot.money import change, share, small_usd
from bot.phrases import count

OfGroups = Mapping[str | None, Requests]

NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """`unit`: what follows a cell in a line of words."""

    heading: str
    unit: str
    cells: Sequence[str]

    def said(self, cell: str) -> str:
        """The unit after this cell."""
        return self.unit.removesuffix("s") if cell == "1" else self.unit


def request_columns(report: Report, requests: OfGroups | None, groups: Sequence[Group]) -> list[Column]:
    """None where applications do not log requests; failures only where there are any."""
    if requests is None:
        return []
    found = [requests.get(group.id) for group in groups]
    columns = [
        Column(
            "Requests",
            "requests",
            [NONE if each is None or each.count is None else f"{each.count:,}" for each in found],
        ),
        Column("USD a request", "a request", [_each(group, of) for group, of in zip(groups, found, strict=True)]),
    ]
    if any(each.rate_limited for each in requests.values()):
        columns.append(Column("429", "rate-limited", [_part(each, "rate_limited") for each in found]))
    if any(each.errors for each in requests.values()):
        columns.append(Column("Errors", "failed", [_part(each, "errors") for each in found]))
    return columns


def together_lines(report: Report, requests: OfGroups) -> list[str]:
    """All requests of the report in one line; nothing where tokens were logged without requests."""
    if not requests or any(each.count is None for each in requests.values()):
        return []
    number = sum(each.count or 0 for each in requests.values())
    limited, errors = (sum(getattr(each, name) for each in requests.values()) for name in ("rate_limited", "errors"))
    line = f"Logged: {count(number, 'request')}"
    each = usd_a_request(report.computed_usd, number)
    if each is not None:
        # What was logged before and is not now counts in the stretch before as well.
        line += f", {small_usd(each)} a request"
    failed = [
        f"{share(Decimal(part), Decimal(number))} {word}"
        for part, word in ((limited, "hit a rate limit"), (errors, "failed"))
        if part
    ]
    return [f"{line}{'; ' if failed else ''}{', '.join(failed)}."]


def _each(group: Group, of: Requests | None) -> str:
    each = None if of is None else usd_a_request(group.usd, of.count)
    if of is None or each is None:
        return NONE
    text = f"≥ {small_usd(each)}" if group.at_least else small_usd(each)
    changed = _change(group, of)
    return text if changed is None else f"{text} ({changed})"


def _change(group: Group, of: Requests) -> str | None:
    """Against a request of the stretch before, where that is known and cost enough for a comparison."""
    if not of.before or not of.count or group.before_usd is None:
        return None
    as_then = Fraction(group.usd) * of.before / of.count
    return change(Decimal(as_then.numerator) / Decimal(as_then.denominator), group.before_usd)


def _part(of: Requests | None, name: str) -> str:
    if of is None or not of.count:
        return NONE
    return share(Decimal(getattr(of, name)), Decimal(of.count))
