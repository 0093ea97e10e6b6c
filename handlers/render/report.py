"""`/claude-cost report` and `cache`: a period's spend in rows, beside the stretch before; what caching saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from bot.amounts import CENT, apportioned, cents_of, change, count, in_cents, share, shares, usd
from bot.budgets.budget import Period, in_period, period_name
from bot.budgets.course import Course, Step, Stretch, last_day
from bot.budgets.report import LOGGED_BY, CacheUse, Group, GroupBy, Report
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.language import tr, tr_noop
from bot.messages import Message, Part
from bot.usage.model import DEFAULT_WORKSPACE
from bot.usage.store_reads import Names
from handlers.render.charts import MOST_SERIES, Cell, Series, chart, data_table, days_label, month_label
from handlers.render.logged_requests import NONE, Column, OfGroups, request_columns, together_lines
from handlers.render.parts import context, fold, lead, model_label, moment, paragraph, shown, table
from handlers.render.spend import at_least_line, capitalized, display_lines, parts_line, total, unknown_price_line

MOST_ROWS = 15

HEADINGS = {by: by.value.capitalize() for by in GroupBy}


def report_message(
    report: Report,
    known: Names,
    display: Display = USD,
    truth: Sequence[str] = (),
    requests: OfGroups | None = None,
    most: int = MOST_ROWS,
    course: Course | None = None,
) -> Message:
    """The sum first, then how sure it is, then its course, then the rows.

    `known`: the names of workspaces and keys. `truth`: lines on computed against billed. `requests`: by row, where
    applications log them. `most`: rows; the rest is one line. `course`: what is drawn as a chart.
    """
    first, *rest = _lead(report)
    groups, left_out = report.groups[:most], report.groups[most:]
    rows, others = _rows(report, groups, left_out, known)
    more = [] if others is None else [f"and {len(left_out)} more, {usd(others.usd)} ({others.share})"]
    together = [] if requests is None else together_lines(report, requests)
    columns = request_columns(report, requests, groups)
    details = [_details(row, columns, index) for index, row in enumerate(rows)]
    names = [f"• {shown(row.label)}: {detail}" for row, detail in zip(rows, details, strict=True)]
    # The rows in words have the same.
    words = fold(tr("Tokens and requests") if columns else tr("Tokens"), [paragraph(*names)])
    return Message(
        [
            lead(first, *display_lines(report.spend.total_usd, display), *rest),
            *([] if course is None else _course_parts(report, course, rows, others)),
            data_table(
                capitalized(period_name(report.period.key, report.as_of)),
                _headings(report),
                [_cells(row, report) for row in rows],
                [_in_words(row, detail, report) for row, detail in zip(rows, details, strict=True)],
            ),
            paragraph(*more, *together, *_warnings(report), *truth),
            Part(blocks=words.blocks, older=words.older),
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
    columns = [report.tag or HEADINGS[report.by], tr("Spend"), tr("Share")]
    return columns if report.before is None else [*columns, tr("Change")]


@dataclass(frozen=True, slots=True)
class _Row:
    """A group as it is written. The amounts of all rows, and of what is left out, add up to the computed sum.

    `usd`: in whole cents, or a tenth of one for what is less.
    """

    group: Group
    label: str
    usd: Decimal
    share: str

    @property
    def amount(self) -> str:
        return f"≥ {usd(self.usd)}" if self.group.at_least else usd(self.usd)


@dataclass(frozen=True, slots=True)
class _Others:
    usd: Decimal
    share: str


def _rows(
    report: Report, groups: Sequence[Group], rest: Sequence[Group], known: Names
) -> tuple[list[_Row], _Others | None]:
    """The rows, and what is left out."""
    parts = [group.usd for group in groups]
    if rest:
        # What was used before and is not now is no part of this period's sum.
        parts.append(sum((group.usd for group in rest), ZERO))
    amounts = in_cents(cents_of(report.computed_usd), parts)
    found = shares(parts) or [NONE] * len(parts)
    rows = [
        _Row(group, _label(group, report.by, known), amount, share)
        for group, amount, share in zip(groups, amounts, found, strict=False)
    ]
    return rows, _Others(amounts[-1], found[-1]) if rest else None


def _cells(row: _Row, report: Report) -> list[Cell]:
    group = row.group
    whole = report.computed_usd or Decimal(1)
    cells = [Cell(row.label), Cell(row.amount, row.usd), Cell(row.share, _in_tenths(group.usd * 100 / whole))]
    return cells if report.before is None else [*cells, _change(group)]


MOST_CHANGE = Decimal(10) ** 9
"""Per cent that a row without anything before is sorted by: it has grown more than every other."""


def _change(group: Group) -> Cell:
    before = group.before_usd
    if before is None:
        return Cell(tr("nothing before"), MOST_CHANGE)
    difference = group.usd - before
    percent = min(_in_tenths(difference * 100 / before), MOST_CHANGE)
    written = change(group.usd, before)
    if written is None:
        # Too little before for a percentage to say anything.
        written = f"+{usd(difference)}" if difference > 0 else usd(difference)
    return Cell(written, percent)


def _in_tenths(number: Decimal) -> Decimal:
    return number.quantize(Decimal("0.1"), ROUND_HALF_UP) if abs(number) < MOST_CHANGE else MOST_CHANGE


def _in_words(row: _Row, detail: str, report: Report) -> str:
    line = f"• {shown(row.label)}: {row.amount} ({row.share}), {detail}"
    return line if report.before is None else f"{line}; before: {_before(row.group)}"


def _before(group: Group) -> str:
    if group.before_usd is None:
        # Of the same stretch before; whether it was ever used the report does not know.
        return "nothing"
    changed = change(group.usd, group.before_usd)
    return usd(group.before_usd) if changed is None else f"{usd(group.before_usd)} ({changed})"


def _details(row: _Row, columns: Sequence[Column], index: int) -> str:
    counts = row.group.counts
    line = f"{short(counts.prompt_tokens)} tokens in, {short(counts.output_tokens)} out"
    cells = [(column, column.cells[index]) for column in columns]
    return line + "".join(f", {cell} {column.said(cell)}" for column, cell in cells if cell != NONE)


TITLES = {
    Step.HOURS: tr_noop("Spend every 2 hours"),
    Step.DAY: tr_noop("Spend by day"),
    Step.TWO_DAYS: tr_noop("Spend every 2 days"),
    Step.WEEK: tr_noop("Spend by week"),
    Step.MONTH: tr_noop("Spend by month"),
}


def course_parts(report: Report, course: Course, known: Names, most: int = MOST_ROWS) -> list[Part]:
    """The chart of a report without its rows."""
    rows, others = _rows(report, report.groups[:most], report.groups[most:], known)
    return _course_parts(report, course, rows, others)


def _course_parts(report: Report, course: Course, rows: Sequence[_Row], others: _Others | None) -> list[Part]:
    """The chart, and what it leaves out. Its values add up to the rows, to the cent."""
    at_least = any(group.at_least for group in report.groups)
    lines = []
    if course.unknown:
        spans = ", ".join(_span(each, course.step) for each in course.unknown)
        lines.append(tr("No usage is known of {stretches}: the chart leaves that time out.", stretches=spans))
    if report.spend.provisional_usd:
        lines.append(
            tr("The chart is without what is provisional, {amount}.", amount=usd(report.spend.provisional_usd))
        )
    drawn = chart(
        tr(TITLES[course.step]),
        [_stretch(each, course.step) for each in course.stretches],
        _series(course, rows, others),
        usd,
        y_label=tr("USD (at least)") if at_least else "USD",
    )
    return [drawn, context(*lines)]


def _series(course: Course, rows: Sequence[_Row], others: _Others | None) -> list[Series]:
    spent = [row for row in rows if row.usd >= CENT]
    most = MOST_SERIES if others is None and len(spent) <= MOST_SERIES else MOST_SERIES - 1
    found, rest = [], [ZERO] * len(course.stretches)
    left_usd = ZERO if others is None or others.usd < CENT else others.usd
    for index, row in enumerate(spent):
        amounts = course.usd.get((row.group.id, row.group.workspace_id), (ZERO,) * len(course.stretches))
        if index < most:
            found.append(Series(row.label, _to_the_cent(row.usd, amounts)))
        else:
            left_usd += row.usd
    named = {(row.group.id, row.group.workspace_id) for row in spent[:most]}
    for key, amounts in course.usd.items():
        if key not in named:
            rest = [one + other for one, other in zip(rest, amounts, strict=True)]
    if left_usd >= CENT:
        found.append(Series(tr("other"), _to_the_cent(left_usd, rest)))
    return found


def _to_the_cent(total_usd: Decimal, amounts: Sequence[Decimal]) -> list[Decimal]:
    """Whole cents that add up to the row. A row below a cent is drawn as nothing."""
    cents = apportioned([Fraction(amount) * 100 for amount in amounts], cents_of(total_usd))
    return [Decimal(each).scaleb(-2) for each in cents]


def _stretch(stretch: Stretch, step: Step) -> str:
    """A category: `14:00`, `3 Nov`, `3–4 Nov`, `Nov 2026`."""
    if step is Step.HOURS:
        name = f"{stretch.starts_at:%H:%M}"
    elif step is Step.MONTH:
        name = month_label(stretch.starts_at.date())
    else:
        name = days_label(stretch.starts_at.date(), last_day(stretch))
    return tr("{stretch} so far", stretch=name) if stretch.runs else name


def _span(stretch: Stretch, step: Step) -> str:
    if step is Step.HOURS:
        return f"{stretch.starts_at:%H:%M}–{stretch.ends_at:%H:%M} UTC"
    return days_label(stretch.starts_at.date(), last_day(stretch))


def _label(group: Group, by: GroupBy, known: Names) -> str:
    if by is GroupBy.MODEL:
        name = model_label(str(group.id))
        return tr("{model} (price assumed)", model=name) if group.assumed else name
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
