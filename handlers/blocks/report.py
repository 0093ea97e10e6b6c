"""`/claude-cost report`: a period's spend in rows, beside the same stretch before."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from bot.budgets.report import Group, GroupBy, Report
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.message import Message
from bot.money import percent, usd
from bot.store.usage import Names
from bot.usage.source import DEFAULT_WORKSPACE
from handlers.blocks.elements import moment, sections
from handlers.blocks.outside import names, shown
from handlers.blocks.spend import at_least_line, display_lines
from handlers.blocks.table import table

MOST_ROWS = 15

HEADINGS = {GroupBy.MODEL: "Model", GroupBy.WORKSPACE: "Workspace", GroupBy.KEY: "Key"}
NONE = "–"


def report_message(report: Report, known: Names, display: Display = USD, truth: Sequence[str] = ()) -> Message:
    """The sum first, then how sure it is, then the rows.

    `known`: the names of workspaces and keys. `truth`: lines on computed against billed.
    """
    first, *lead = _lead(report)
    lead = [*display_lines(report.spend.total_usd, display), *lead]
    rows, rest = report.groups[:MOST_ROWS], report.groups[MOST_ROWS:]
    closing = []
    if rest:
        # What was used before and is not now is no part of this period's sum.
        closing.append(f"and {len(rest)} more, {usd(sum((group.usd for group in rest), ZERO))}")
    closing += [*_warnings(report), *truth]
    labels = [_label(group, report.by, known) for group in rows]
    twin = [_line(group, label, report) for group, label in zip(rows, labels, strict=True)]
    blocks = sections([f"*{first}*", *lead, *closing])
    if rows:
        cells = [_cells(group, label, report) for group, label in zip(rows, labels, strict=True)]
        blocks.append(table(_headings(report), cells))
    return Message("\n".join([first, *lead, *twin, *closing]), blocks)


def _lead(report: Report) -> list[str]:
    spend, period = report.spend, report.period
    sum_ = f"at least {usd(spend.total_usd)}" if spend.at_least else usd(spend.total_usd)
    lines = [f"{sum_} in {period.key}, from {moment(period.starts_at)} to {moment(report.as_of)}, by {report.by}"]
    if not report.known.complete:
        missing = report.known.of_hours - report.known.hours
        hours = "1 hour" if missing == 1 else f"{missing:,} hours"
        lines.append(
            f"INCOMPLETE: of {hours} out of {report.known.of_hours:,} since then no usage is known here, so the true "
            "sum may be higher."
        )
    parts = []
    if spend.billed_days:
        days = "1 settled day" if spend.billed_days == 1 else f"{spend.billed_days} settled days"
        parts.append(f"{usd(spend.billed_usd)} billed for {days}")
    parts.append(f"{usd(spend.computed_usd)} computed from tokens and list prices")
    if spend.report_only_usd:
        parts.append(f"{usd(spend.report_only_usd)} that only the cost report knows")
    lines.append(f"{' + '.join(parts)}.")
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
        return f"In the same stretch of {before.period} nothing was used."
    change = _change(report.computed_usd, before.usd)
    return f"Computed for the same stretch of {before.period}: {usd(before.usd)} (now {change})."


def _warnings(report: Report) -> list[str]:
    lines = []
    if assumed := report.spend.assumed:
        verb = "is" if len(assumed) == 1 else "are"
        lines.append(
            f"Unknown price: {names(assumed)} {verb} not in the rate card and {verb} counted at the dearest rate known "
            "for the family, or of all models where the family is unknown."
        )
    hidden = report.spend.hidden | {reason for group in report.groups for reason in group.hidden}
    if hidden:
        lines.append(at_least_line(hidden))
    return lines


def _headings(report: Report) -> list[str]:
    columns = [HEADINGS[report.by], "USD", "Share", "Tokens in", "Tokens out"]
    return columns if report.before is None else [*columns, "Before"]


def _cells(group: Group, label: str, report: Report) -> list[str]:
    cells = [
        label,
        _amount(group),
        _share(group.usd, report.computed_usd),
        short(group.counts.prompt_tokens),
        short(group.counts.output_tokens),
    ]
    return cells if report.before is None else [*cells, _before(group)]


def _line(group: Group, label: str, report: Report) -> str:
    line = f"• {shown(label)}: {_amount(group)} ({_share(group.usd, report.computed_usd)}), "
    line += f"{short(group.counts.prompt_tokens)} tokens in, {short(group.counts.output_tokens)} out"
    return line if report.before is None else f"{line}; before: {_before(group)}"


def _amount(group: Group) -> str:
    return f"≥ {usd(group.usd)}" if group.at_least else usd(group.usd)


def _before(group: Group) -> str:
    return "new" if group.before_usd is None else f"{usd(group.before_usd)} ({_change(group.usd, group.before_usd)})"


def _change(now: Decimal, before: Decimal) -> str:
    share = ((now / before - 1) * 100).quantize(Decimal(1), ROUND_HALF_UP)
    return "±0%" if share == 0 else f"{share:+,}%"


def _share(part: Decimal, whole: Decimal) -> str:
    if not whole:
        return NONE
    share = percent(part, whole)
    return "under 1%" if share == "0%" and part else share


def _label(group: Group, by: GroupBy, known: Names) -> str:
    if by is GroupBy.MODEL:
        return f"{group.id} (price assumed)" if group.assumed else str(group.id)
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
        # A number that would round up to the next unit is told in that one.
        if tokens >= size - size // 20_000:
            amount = (Decimal(tokens) / size).quantize(Decimal("0.1"), ROUND_HALF_UP)
            return f"{amount:,}{unit}"
    return f"{tokens:,}"
