"""Requests as applications logged them: columns of a report, coverage of Anthropic's figures, and rate limits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from bot.amounts import change, share, small_usd, usd
from bot.budgets.logged_requests import Busiest, Coverage, Gap, Requests, usd_a_request
from bot.budgets.report import Group, Report
from bot.language import ntr, tr, tr_noop
from bot.ledger.model import Sums
from bot.listed import comma_list
from bot.messages import Part
from bot.pricing.throughput import OF_ONE, UNITS
from handlers.render.parts import lead, model_label, moment, shown

OfGroups = Mapping[str | None, Requests]

NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """`words`: each cell in a line of text, empty to omit it."""

    heading: str
    cells: Sequence[str]
    words: Sequence[str]


def request_columns(report: Report, requests: OfGroups | None, groups: Sequence[Group]) -> list[Column]:
    """Columns on requests; none if applications do not log requests; failures only if there are any."""
    if requests is None:
        return []
    found = [requests.get(group.id) for group in groups]  # nosec B113  # a mapping of counts, no library
    numbers = [None if each is None else each.count for each in found]
    columns = [
        Column(
            tr("Requests"),
            [NONE if number is None else f"{number:,}" for number in numbers],
            ["" if number is None else _requests(number) for number in numbers],
        ),
        _column(
            tr("USD a request"),
            [_each(group, of) for group, of in zip(groups, found, strict=True)],
            lambda cell: tr("{usd} a request", usd=cell),
        ),
    ]
    if any(each.rate_limited for each in requests.values()):
        limited = [_part(each, "rate_limited") for each in found]
        columns.append(_column("429", limited, lambda cell: tr("{share} rate-limited", share=cell)))
    if any(each.errors for each in requests.values()):
        errors = [_part(each, "errors") for each in found]
        columns.append(_column(tr("Errors"), errors, lambda cell: tr("{share} failed", share=cell)))
    return columns


def _column(heading: str, cells: Sequence[str], said: Callable[[str], str]) -> Column:
    return Column(heading, cells, ["" if cell == NONE else said(cell) for cell in cells])


def _requests(number: int) -> str:
    return ntr("{number} request", "{number} requests", number)


def together_lines(report: Report, requests: OfGroups) -> list[str]:
    """All requests of the report in one line; empty if tokens were logged without requests."""
    if not requests or any(each.count is None for each in requests.values()):
        return []
    number = sum(each.count or 0 for each in requests.values())
    limited, errors = (sum(getattr(each, name) for each in requests.values()) for name in ("rate_limited", "errors"))
    logged = [_requests(number)]
    each = usd_a_request(report.computed_usd, number)
    if each is not None:
        # Groups logged only in the stretch before count there as well.
        logged.append(tr("{usd} a request", usd=small_usd(each)))
    failed = []
    if limited:
        failed.append(tr("{share} hit a rate limit", share=share(Decimal(limited), Decimal(number))))
    if errors:
        failed.append(tr("{share} failed", share=share(Decimal(errors), Decimal(number))))
    if failed:
        return [tr("Logged: {requests}; {failed}.", requests=comma_list(logged), failed=comma_list(failed))]
    return [tr("Logged: {requests}.", requests=comma_list(logged))]


def _each(group: Group, of: Requests | None) -> str:
    each = None if of is None else usd_a_request(group.usd, of.count)
    if of is None or each is None:
        return NONE
    text = f"≥ {small_usd(each)}" if group.at_least else small_usd(each)
    changed = _change(group, of)
    return text if changed is None else tr("{usd} ({change})", usd=text, change=changed)


def _change(group: Group, of: Requests) -> str | None:
    """Change of cost per request against the stretch before, if that is known and large enough to compare."""
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
UNKNOWN = tr_noop("From the usage log of your applications alone: Anthropic's figures of this time are not known here.")


def coverage_lines(coverage: Coverage | None) -> list[str]:
    """Logged share, what is in no log, and what only logs have. None: no closed hour is known."""
    if coverage is None:
        return [tr(UNKNOWN)]
    if not coverage.known.complete:
        return [
            ntr(
                "From the usage log of your applications. Anthropic's figures lack {number} hour of this time, so no "
                "share is given.",
                "From the usage log of your applications. Anthropic's figures lack {number} hours of this time, so no "
                "share is given.",
                coverage.known.of_hours - coverage.known.hours,
            )
        ]
    lines = [_covered(coverage)]
    if coverage.gaps:
        gaps = [_gap(gap) for gap in coverage.gaps[:MOST_GAPS]]
        if len(coverage.gaps) > MOST_GAPS:
            gaps.append(tr("and {number} more", number=len(coverage.gaps) - MOST_GAPS))
        lines.append(tr("In no log: {gaps}.", gaps=listed_apart(gaps)))
    beyond = [
        tr(
            "{model} {logged} against {counted}",
            model=shown(model_label(each.model)),
            logged=usd(each.logged_usd),
            counted=usd(each.counted_usd),
        )
        for each in coverage.models
        if each.is_beyond
    ]
    if len(beyond) > MOST_GAPS:
        more = len(beyond) - MOST_GAPS
        models = comma_list(beyond[:MOST_GAPS])
        lines.append(
            tr("Logs have more than Anthropic counted: {models} and {number} more.", models=models, number=more)
        )
    elif beyond:
        lines.append(tr("Logs have more than Anthropic counted: {models}.", models=comma_list(beyond)))
    return lines


def _covered(coverage: Coverage) -> str:
    until, counted = moment(coverage.until), coverage.counted_usd
    if not counted:
        return tr("Anthropic counted nothing in the closed hours up to {until}.", until=until)
    values = {"share": share(coverage.covered_usd, counted), "usd": usd(counted), "until": until}
    models = [each for each in coverage.models if each.counted_usd]
    if len(models) < 2:
        return tr(
            "Applications logged {share} of the {usd} that Anthropic counted in the closed hours up to {until}.",
            **values,
        )
    named = [
        f"{shown(model_label(each.model))} {share(each.covered_usd, each.counted_usd)}" for each in models[:MOST_MODELS]
    ]
    return tr(
        "Applications logged {share} of the {usd} that Anthropic counted in the closed hours up to {until} ({models}).",
        models=comma_list([*named, *(["…"] if len(models) > MOST_MODELS else [])]),
        **values,
    )


def _gap(gap: Gap) -> str:
    part = f"{max(1, gap.missing * 100 // gap.counted)}%"
    if gap.key is None:
        if gap.at_least:
            return tr(
                "usage without a key: at least {share} of its {model} tokens",
                share=part,
                model=shown(model_label(gap.model)),
            )
        return tr("usage without a key: {share} of its {model} tokens", share=part, model=shown(model_label(gap.model)))
    values = {"key": shown(gap.key), "share": part, "model": shown(model_label(gap.model))}
    if gap.at_least:
        return tr("key {key}: at least {share} of its {model} tokens", **values)
    return tr("key {key}: {share} of its {model} tokens", **values)


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
    """Parts on logged traffic; none if no application logs usage."""
    if traffic is None:
        return []
    span = {"since": moment(traffic.since), "until": moment(traffic.until)}
    minutes = [_minute(each) for each in traffic.busiest[:MOST_MINUTES]]
    if len(traffic.busiest) > MOST_MINUTES:
        minutes.append(tr("and {number} more", number=len(traffic.busiest) - MOST_MINUTES))
    busiest = tr("Busiest minute that applications logged, {since} to {until}", **span)
    return [
        lead(tr("Requests that hit a rate limit (429), logged {since} to {until}", **span), *_limited(traffic)),
        *([lead(busiest, *minutes)] if minutes else []),
    ]


def _limited(traffic: Traffic) -> list[str]:
    lines = []
    for by, sums in traffic.by.items():
        hit = [(at, each) for at, each in sums.items() if each.rate_limited and each.requests]
        hit.sort(key=lambda pair: (-pair[1].rate_limited, str(pair[0])))
        lines += [_hit(by, at, of) for at, of in hit[:MOST]]
        if len(hit) > MOST:
            lines.append(tr("and {number} more by {by}", number=len(hit) - MOST, by=noun(by)))
    if lines:
        return lines
    number = sum(each.requests for each in next(iter(traffic.by.values())).values())
    if not number:
        return [tr("• no request was logged")]
    return [ntr("• none of {number} request", "• none of {number} requests", number)]


def _hit(by: str, at: str | None, of: Sums) -> str:
    part = share(Decimal(of.rate_limited), Decimal(of.requests))
    if not at:
        return ntr(
            "• {by} not named: {share} of {number} request",
            "• {by} not named: {share} of {number} requests",
            of.requests,
            by=noun(by),
            share=part,
        )
    return ntr(
        "• {by} {name}: {share} of {number} request",
        "• {by} {name}: {share} of {number} requests",
        of.requests,
        by=noun(by),
        name=shown(at),
        share=part,
    )


def _minute(each: Busiest) -> str:
    values = {
        "name": shown(model_label(each.pool.name)),
        "need": f"{each.need:,}",
        "unit": tr((UNITS if each.need != 1 else OF_ONE)[each.limiter]),
        "time": moment(each.minute),
    }
    if each.limit is None:
        return tr("• {name}: {need} {unit} at {time}; the limit is not known", **values)
    values["limit"] = f"{each.limit:,}"
    if each.need > each.limit:
        return tr("• {name}: {need} of {limit} {unit} at {time}, over the limit", **values)
    left = f"{(each.limit - each.need) * 100 // each.limit}%"
    return tr("• {name}: {need} of {limit} {unit} at {time}, {share} headroom", share=left, **values)


NOUNS: Mapping[str, str] = {
    "model": tr_noop("model"),
    "workspace": tr_noop("workspace"),
    "key": tr_noop("key"),
    "feature": tr_noop("feature"),
    "user": tr_noop("user"),
    "tag": tr_noop("tag"),
    "product": tr_noop("product"),
    "group": tr_noop("group"),
    "agent": tr_noop("agent"),
    "actor": tr_noop("actor"),
    "organization": tr_noop("organization"),
}

HEADINGS: Mapping[str, str] = {
    "model": tr_noop("Model"),
    "workspace": tr_noop("Workspace"),
    "key": tr_noop("Key"),
    "feature": tr_noop("Feature"),
    "user": tr_noop("User"),
    "tag": tr_noop("Tag"),
    "product": tr_noop("Product"),
    "group": tr_noop("Group"),
    "agent": tr_noop("Agent"),
    "actor": tr_noop("Actor"),
    "organization": tr_noop("Organization"),
}

NOBODY: Mapping[str, str] = {
    "model": tr_noop("no model"),
    "workspace": tr_noop("no workspace"),
    "key": tr_noop("no key"),
    "feature": tr_noop("no feature"),
    "user": tr_noop("no user"),
    "tag": tr_noop("no tag"),
    "product": tr_noop("no product"),
    "group": tr_noop("no group"),
    "agent": tr_noop("no agent"),
    "actor": tr_noop("no actor"),
    "organization": tr_noop("no organization"),
}
"""Labels of usage without such a dimension."""


def noun(by: str, tag: str | None = None) -> str:
    """`feature`, `tag:team`. `by`: a `GroupBy` or an `AttributedBy`."""
    return tr(NOUNS[by]) if tag is None else f"{by}:{tag}"


def heading_of(by: str, tag: str | None = None) -> str:
    """Heading of the column of labels; by tag, the name of the tag."""
    return tag or tr(HEADINGS[by])


def nobody(by: str) -> str:
    """Label of usage without such a dimension."""
    return tr(NOBODY[by])


def listed_apart(parts: Iterable[str]) -> str:
    """`one; two; three`: a list whose parts may have commas inside."""
    return tr("; ").join(parts)
