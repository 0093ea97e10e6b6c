"""Requests as applications logged them: columns of a report, coverage of Anthropic's figures, and rate limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from bot.amounts import change, count, share, small_usd, usd
from bot.budgets.logged_requests import Busiest, Coverage, Gap, Requests, usd_a_request
from bot.budgets.report import Group, Report
from bot.ledger.model import Sums
from bot.messages import Part
from bot.pricing.throughput import UNITS
from handlers.render.parts import lead, moment, shown

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


MOST_GAPS = 3
MOST_MODELS = 4
UNKNOWN = "From the usage log of your applications alone: Anthropic's figures of this time are not known here."


def coverage_lines(coverage: Coverage | None) -> list[str]:
    """What share is logged, what is in no log, and what only logs have. None: no closed hour is known."""
    if coverage is None:
        return [UNKNOWN]
    if not coverage.known.complete:
        missing = coverage.known.of_hours - coverage.known.hours
        return [
            f"From the usage log of your applications. Anthropic's figures lack {count(missing, 'hour')} of this time, "
            "so no share is given."
        ]
    until, counted = moment(coverage.until), coverage.counted_usd
    lines = [f"Anthropic counted nothing in the closed hours up to {until}."]
    if counted:
        lines = [
            f"Applications logged {share(coverage.covered_usd, counted)} of the {usd(counted)} that Anthropic counted "
            f"in the closed hours up to {until}{_by_model(coverage)}."
        ]
    if coverage.gaps:
        gaps = [_gap(gap) for gap in coverage.gaps[:MOST_GAPS]]
        if len(coverage.gaps) > MOST_GAPS:
            gaps.append(f"and {len(coverage.gaps) - MOST_GAPS} more")
        lines.append(f"In no log: {'; '.join(gaps)}.")
    beyond = [
        f"{shown(each.model)} {usd(each.logged_usd)} against {usd(each.counted_usd)}"
        for each in coverage.models
        if each.is_beyond
    ]
    if beyond:
        more = f" and {len(beyond) - MOST_GAPS} more" if len(beyond) > MOST_GAPS else ""
        lines.append(f"Logs have more than Anthropic counted: {', '.join(beyond[:MOST_GAPS])}{more}.")
    return lines


def _by_model(coverage: Coverage) -> str:
    counted = [each for each in coverage.models if each.counted_usd]
    if len(counted) < 2:
        return ""
    named = [f"{shown(each.model)} {share(each.covered_usd, each.counted_usd)}" for each in counted[:MOST_MODELS]]
    return f" ({', '.join(named)}{', …' if len(counted) > MOST_MODELS else ''})"


def _gap(gap: Gap) -> str:
    who = "usage without a key" if gap.key is None else f"key {shown(gap.key)}"
    part = gap.missing * 100 // gap.counted
    return f"{who}: {'at least ' if gap.at_least else ''}{max(1, part)}% of its {shown(gap.model)} tokens"


MOST = 5
MOST_MINUTES = 9


@dataclass(frozen=True, slots=True)
class Traffic:
    """Logged requests from `since` to `until`. `by`: sums by the values of each dimension, such as `feature`."""

    since: datetime
    until: datetime
    by: Mapping[str, Mapping[str | None, Sums]]
    busiest: Sequence[Busiest]


def traffic_parts(traffic: Traffic | None) -> list[Part]:
    """Nothing where no application logs usage."""
    if traffic is None:
        return []
    since = f"{moment(traffic.since)} to {moment(traffic.until)}"
    minutes = [_minute(each) for each in traffic.busiest[:MOST_MINUTES]]
    if len(traffic.busiest) > MOST_MINUTES:
        minutes.append(f"and {len(traffic.busiest) - MOST_MINUTES} more")
    return [
        lead(f"Requests that hit a rate limit (429), logged {since}", *_limited(traffic)),
        *([lead(f"Busiest minute that applications logged, {since}", *minutes)] if minutes else []),
    ]


def _limited(traffic: Traffic) -> list[str]:
    lines = []
    for by, sums in traffic.by.items():
        hit = [(at, each) for at, each in sums.items() if each.rate_limited and each.requests]
        hit.sort(key=lambda pair: (-pair[1].rate_limited, str(pair[0])))
        lines += [
            f"• {by} {shown(at) if at else 'not named'}: {share(Decimal(of.rate_limited), Decimal(of.requests))} of "
            f"{count(of.requests, 'request')}"
            for at, of in hit[:MOST]
        ]
        if len(hit) > MOST:
            lines.append(f"and {len(hit) - MOST} more by {by}")
    if lines:
        return lines
    number = sum(each.requests for each in next(iter(traffic.by.values())).values())
    return [f"• none of {count(number, 'request')}" if number else "• no request was logged"]


def _minute(each: Busiest) -> str:
    need, unit, at = f"{each.need:,}", UNITS[each.limiter], moment(each.minute)
    if each.limit is None:
        return f"• {shown(each.pool.name)}: {need} {unit} at {at}; the limit is not known"
    if each.need > each.limit:
        return f"• {shown(each.pool.name)}: {need} of {each.limit:,} {unit} at {at}, over the limit"
    left = (each.limit - each.need) * 100 // each.limit
    return f"• {shown(each.pool.name)}: {need} of {each.limit:,} {unit} at {at}, {left}% headroom"
