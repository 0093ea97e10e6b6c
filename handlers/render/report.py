"""`/claude-cost report` and `cache`: a period's spend in rows, beside the stretch before; what caching saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from bot.amounts import change, count, share, shares, usd, usd_parts
from bot.budgets.budget import Period, in_period, period_name
from bot.budgets.report import LOGGED_BY, CacheUse, Group, GroupBy, Report
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.messages import Message
from bot.usage.model import DEFAULT_WORKSPACE
from bot.usage.store_reads import Names
from handlers.render.logged_requests import NONE, Column, OfGroups, request_columns, together_lines
from handlers.render.parts import context, lead, moment, paragraph, table
from handlers.render.spend import at_least_line, display_lines, parts_line, total, unknown_price_line

MOST_ROWS = 15

HEADINGS = {by: by.value.capitalize() for by in GroupBy}


def report_message(
    report: Report,
    known: Names,
    display: Display = USD,
    truth: Sequence[str] = (),
    requests: OfGroups | None = None,
    most: int = MOST_ROWS,
) -> Message:
    """The sum first, then how sure it is, then the rows.

    `known`: the names of workspaces and keys. `truth`: lines on computed against billed. `requests`: by row, where
    applications log them. `most`: rows; the rest is one line.
    """
    first, *rest = _lead(report)
    groups, left_out = report.groups[:most], report.groups[most:]
    rows, more = _rows(report, groups, left_out, known)
    together = [] if requests is None else together_lines(report, requests)
    closing = [*([] if more is None else [more]), *together, *_warnings(report), *truth]
    columns = request_columns(report, requests, groups)
    headings = [*_headings(report), *(column.heading for column in columns)]
    cells = [[*_cells(row, report), *(column.cells[index] for column in columns)] for index, row in enumerate(rows)]
    return Message(
        [
            lead(first, *display_lines(report.spend.total_usd, display), *rest),
            table(headings, cells, lambda row: _in_words(row, columns, with_before=report.before is not None)),
            paragraph(*closing),
        ]
    )


def _lead(report: Report) -> list[str]:
    spend, period = report.spend, report.period
    sum_ = total(spend)
    when = in_period(period.key, report.as_of)
    lines = [f"{sum_} {when}, from {moment(period.starts_at)} to {moment(report.as_of)}, by {report.grouped_by}"]
    if not report.known.complete:
        missing = report.known.of_hours - report.known.hours
        lines.append(
            f"INCOMPLETE: of {count(missing, 'hour')} out of {report.known.of_hours:,} since then no usage is known "
            "here, so the true sum may be higher."
        )
    lines.append(f"{parts_line(spend)}.")
    if report.computed_usd != spend.total_usd:
        lines.append(
            f"The rows are all computed from tokens and list prices, {usd(report.computed_usd)} together: the bill is "
            "not split in this way."
        )
    lines.append(_before_line(report))
    return lines


def _before_line(report: Report) -> str:
    if not report.known.complete:
        return "It is not compared with the period before, since hours are missing."
    if report.before is None:
        return "No data for before: the same stretch of the period before is not known as a whole."
    before = report.before
    if not before.usd:
        return f"In the same stretch of {period_name(before.period, report.as_of)} nothing was used."
    changed = change(report.computed_usd, before.usd)
    now = "" if changed is None else f" (now {changed})"
    return f"Computed for the same stretch of {period_name(before.period, report.as_of)}: {usd(before.usd)}{now}."


def _warnings(report: Report) -> list[str]:
    lines = []
    if report.spend.assumed:
        lines.append(unknown_price_line(report.spend.assumed))
    hidden = report.spend.hidden | {reason for group in report.groups for reason in group.hidden}
    if hidden:
        lines.append(at_least_line(hidden))
    return lines


def _headings(report: Report) -> list[str]:
    columns = [report.tag or HEADINGS[report.by], "USD", "Share", "Tokens in", "Tokens out"]
    return columns if report.before is None else [*columns, "Before"]


@dataclass(frozen=True, slots=True)
class _Row:
    """A group as it is written. The amounts of all rows, and of what is left out, add up to the computed sum."""

    group: Group
    label: str
    amount: str
    share: str


def _rows(
    report: Report, groups: Sequence[Group], rest: Sequence[Group], known: Names
) -> tuple[list[_Row], str | None]:
    """The rows, and a line about those that are left out."""
    parts = [group.usd for group in groups]
    if rest:
        # What was used before and is not now is no part of this period's sum.
        parts.append(sum((group.usd for group in rest), ZERO))
    amounts = usd_parts(report.computed_usd, parts)
    found = shares(parts) or [NONE] * len(parts)
    rows = [
        _Row(group, _label(group, report.by, known), f"≥ {amount}" if group.at_least else amount, share)
        for group, amount, share in zip(groups, amounts, found, strict=False)
    ]
    return rows, f"and {len(rest)} more, {amounts[-1]} ({found[-1]})" if rest else None


def _cells(row: _Row, report: Report) -> list[str]:
    counts = row.group.counts
    cells = [row.label, row.amount, row.share, short(counts.prompt_tokens), short(counts.output_tokens)]
    return cells if report.before is None else [*cells, _before(row.group)]


def _in_words(cells: Sequence[str], columns: Sequence[Column], *, with_before: bool) -> str:
    who, amount, share, tokens_in, tokens_out, *others = cells
    before, more = (others[:1], others[1:]) if with_before else ([], others)
    extra = "".join(f", {cell} {column.said(cell)}" for cell, column in zip(more, columns, strict=True) if cell != NONE)
    line = f"• {who}: {amount} ({share}), {tokens_in} tokens in, {tokens_out} out{extra}"
    return f"{line}; before: {before[0]}" if before else line


def _before(group: Group) -> str:
    if group.before_usd is None:
        # Of the same stretch before; whether it was ever used the report does not know.
        return "nothing"
    changed = change(group.usd, group.before_usd)
    return usd(group.before_usd) if changed is None else f"{usd(group.before_usd)} ({changed})"


def _label(group: Group, by: GroupBy, known: Names) -> str:
    if by is GroupBy.MODEL:
        return f"{group.id} (price assumed)" if group.assumed else str(group.id)
    if by in LOGGED_BY:
        return group.id or f"no {by}"
    if by is GroupBy.WORKSPACE:
        return _workspace(str(group.id), known)
    key = "no key" if group.id is None else known.keys.get(group.id, group.id)
    return f"{key} · {_workspace(str(group.workspace_id), known)}"


def _workspace(id_: str, known: Names) -> str:
    name = known.workspaces.get(id_, id_)
    # The Console calls the default workspace "Default", which alone says little.
    return "default workspace" if id_ == DEFAULT_WORKSPACE and name.lower() == DEFAULT_WORKSPACE else name


def short(tokens: int) -> str:
    """`950`, `12.3k`, `1.2M`, `3.4B`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        # A number that would round up to the next unit is written in that one.
        if tokens >= size - size // 20_000:
            amount = (Decimal(tokens) / size).quantize(Decimal("0.1"), ROUND_HALF_UP)
            return f"{amount:,}{unit}"
    return f"{tokens:,}"


def cache_message(
    uses: Sequence[tuple[str, CacheUse]], period: Period, until: datetime, by: str, on: date, *, logged: bool
) -> Message:
    """`uses`: the label of each row and the row, the largest loss first. `on`: the UTC day of the rates."""
    net = sum((use.saved_usd for _, use in uses), Decimal(0))
    lost = [-use.saved_usd for _, use in uses if use.saved_usd < 0]
    lines = [f"Caching {_saved(net)} {in_period(period.key, until)}, up to {moment(until)}, by {by}"]
    if lost:
        lines.append(f"Below the break-even: {count(len(lost), 'row')}, which lost {usd(sum(lost, Decimal(0)))}.")
    rows = [_cache_cells(label, use) for label, use in uses[:MOST_ROWS]]
    if len(uses) > MOST_ROWS:
        rest = sum((use.saved_usd for _, use in uses[MOST_ROWS:]), Decimal(0))
        lines.append(f"And {len(uses) - MOST_ROWS} more rows, which {_saved(rest)}.")
    source = "the usage log of your applications" if logged else "Anthropic's usage, all of it at standard terms"
    return Message(
        [
            lead(*lines),
            table((by.capitalize(), "Hit rate", "Reused", "Break-even", "USD"), rows, _cache_in_words),
            context(
                "Hit rate: cache reads in the whole prompt. Reused: cache reads in all that was read and written. "
                f"Against the same tokens without caching, from {source}, at the rates of {on.isoformat()}."
            ),
        ]
    )


def _saved(amount: Decimal) -> str:
    if not amount:
        return "saved and lost nothing"
    return f"saved {usd(amount)}" if amount > 0 else f"lost {usd(-amount)}"


def _cache_cells(label: str, use: CacheUse) -> list[str]:
    money = NONE if use.reused is None else _saved(use.saved_usd)
    return [label, _percent(use.hit_rate), _percent(use.reused), _percent(use.break_even), money]


def _cache_in_words(cells: Sequence[str]) -> str:
    who, hit_rate, reused, break_even, money = cells
    if reused == NONE:
        return f"• {who}: nothing is cached"
    against = "" if break_even == NONE else f" (break-even {break_even})"
    return f"• {who}: hit rate {hit_rate}, {reused} reused{against}: {money}"


def _percent(part: Fraction | None) -> str:
    return NONE if part is None else share(Decimal(part.numerator), Decimal(part.denominator))
