"""`/claude-cost report` and `cache`: a period's spend in rows, beside the stretch before; and savings by caching."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from bot.amounts import CENT, apportioned, cents_of, change, in_cents, share, shares, usd
from bot.budgets.budget import Period, in_period, period_name
from bot.budgets.course import Course, Step, Stretch, last_day
from bot.budgets.report import LOGGED_BY, CacheUse, Group, GroupBy, Report
from bot.budgets.report_words import preceding_days
from bot.budgets.spend import ZERO
from bot.display import USD, Display
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list, labelled
from bot.messages import Message, Part
from bot.usage.directory import UNKNOWN_WORKSPACE
from bot.usage.model import DEFAULT_WORKSPACE
from bot.usage.store_reads import Names
from handlers.render.charts import MOST_SERIES, Cell, Series, chart, data_table, days_label, month_label
from handlers.render.logged_requests import (
    NONE,
    Column,
    OfGroups,
    heading_of,
    nobody,
    noun,
    request_columns,
    together_lines,
)
from handlers.render.parts import context, fold, lead, model_label, moment, narrow_table, paragraph, shown
from handlers.render.spend import at_least_line, capitalized, display_lines, parts_line, total, unknown_price_line

MOST_ROWS = 15


def report_message(
    report: Report,
    known: Names,
    display: Display = USD,
    truth: Sequence[str] = (),
    requests: OfGroups | None = None,
    most: int = MOST_ROWS,
    course: Course | None = None,
) -> Message:
    """The sum first, then how final it is, then its chart, then the rows.

    `known`: names of workspaces and keys. `truth`: lines on computed against billed. `requests`: by row, if
    applications log them. `most`: rows; the rest is one line. `course`: data of the chart.
    """
    first, *rest = _lead(report)
    groups, left_out = report.groups[:most], report.groups[most:]
    rows, others = _rows(report, groups, left_out, known)
    more = []
    if others is not None:
        more = [
            tr("and {number} more, {usd} ({share})", number=len(left_out), usd=usd(others.usd), share=others.share),
        ]
    together = [] if requests is None else together_lines(report, requests)
    columns = request_columns(report, requests, groups)
    details = [_details(row, columns, index) for index, row in enumerate(rows)]
    names = [f"• {labelled(shown(row.label), detail)}" for row, detail in zip(rows, details, strict=True)]
    # The rows as text have the same.
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
    lines = [
        tr(
            "{spent} {when}, from {since} to {until}, by {by}",
            spent=total(spend),
            when=in_period(period.key, report.as_of),
            since=moment(period.starts_at),
            until=moment(report.as_of),
            by=noun(report.by, report.tag),
        )
    ]
    if not report.known.complete:
        lines.append(
            ntr(
                "INCOMPLETE: of {number} hour out of {hours} since then no usage is known here, so the true sum may be "
                "higher.",
                "INCOMPLETE: of {number} hours out of {hours} since then no usage is known here, so the true sum may "
                "be higher.",
                report.known.of_hours - report.known.hours,
                hours=f"{report.known.of_hours:,}",
            )
        )
    lines.append(tr("{parts}.", parts=parts_line(spend)))
    if report.computed_usd != spend.total_usd:
        lines.append(
            tr(
                "The rows are all computed from tokens and list prices, {usd} together: the bill is not split in this "
                "way.",
                usd=usd(report.computed_usd),
            )
        )
    lines.append(_before_line(report))
    return lines


def _before_line(report: Report) -> str:
    if not report.known.complete:
        return tr("It is not compared with the period before, since hours are missing.")
    if report.before is None:
        return tr("No data for before: the same stretch of the period before is not known as a whole.")
    before = report.before
    days = preceding_days(before.period)
    name = period_name(before.period, report.as_of) if days is None else tr("the {days} days before", days=days)
    if not before.usd:
        return tr("In the same stretch of {period} nothing was used.", period=name)
    changed = change(report.computed_usd, before.usd)
    if changed is None:
        return tr("Computed for the same stretch of {period}: {usd}.", period=name, usd=usd(before.usd))
    return tr(
        "Computed for the same stretch of {period}: {usd} (now {change}).",
        period=name,
        usd=usd(before.usd),
        change=changed,
    )


def _warnings(report: Report) -> list[str]:
    lines = []
    if report.spend.assumed:
        lines.append(unknown_price_line(report.spend.assumed))
    hidden = report.spend.hidden | {reason for group in report.groups for reason in group.hidden}
    if hidden:
        lines.append(at_least_line(hidden))
    return lines


def _headings(report: Report) -> list[str]:
    columns = [heading_of(report.by, report.tag), tr("Spend"), tr("Share")]
    return columns if report.before is None else [*columns, tr("Change")]


@dataclass(frozen=True, slots=True)
class _Row:
    """A group as shown. The amounts of all rows and the rest add up to the computed sum.

    `usd`: in whole cents, or tenths of a cent for less.
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
    """The rows, and the rest."""
    parts = [group.usd for group in groups]
    if rest:
        # Groups used only in the stretch before are not part of this period's sum.
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
"""Sort key, in per cent, of a row without anything before: above every other growth."""


def _change(group: Group) -> Cell:
    before = group.before_usd
    if before is None:
        return Cell(tr("nothing before"), MOST_CHANGE)
    difference = group.usd - before
    percent = min(_in_tenths(difference * 100 / before), MOST_CHANGE)
    written = change(group.usd, before)
    if written is None:
        # Too little before for a meaningful percentage.
        written = f"+{usd(difference)}" if difference > 0 else usd(difference)
    return Cell(written, percent)


def _in_tenths(number: Decimal) -> Decimal:
    return number.quantize(Decimal("0.1"), ROUND_HALF_UP) if abs(number) < MOST_CHANGE else MOST_CHANGE


def _in_words(row: _Row, detail: str, report: Report) -> str:
    values = {"who": shown(row.label), "amount": row.amount, "share": row.share, "detail": detail}
    if report.before is None:
        return tr("• {who}: {amount} ({share}), {detail}", **values)
    return tr("• {who}: {amount} ({share}), {detail}; before: {before}", before=_before(row.group), **values)


def _before(group: Group) -> str:
    if group.before_usd is None:
        # In the same stretch before; the report does not know earlier use.
        return tr("nothing")
    changed = change(group.usd, group.before_usd)
    if changed is None:
        return usd(group.before_usd)
    return tr("{usd} ({change})", usd=usd(group.before_usd), change=changed)


def _details(row: _Row, columns: Sequence[Column], index: int) -> str:
    counts = row.group.counts
    tokens = tr(
        "{tokens_in} tokens in, {tokens_out} out",
        tokens_in=short(counts.prompt_tokens),
        tokens_out=short(counts.output_tokens),
    )
    return comma_list([tokens, *(column.words[index] for column in columns if column.words[index])])


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
        spans = comma_list([_span(each, course.step) for each in course.unknown])
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
    """Whole cents that add up to the row. A row below a cent has no bar."""
    cents = apportioned([Fraction(amount) * 100 for amount in amounts], cents_of(total_usd))
    return [Decimal(each).scaleb(-2) for each in cents]


def _stretch(stretch: Stretch, step: Step) -> str:
    """Category: `14:00`, `3 Nov`, `3–4 Nov`, `Nov 2026`."""
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
        return group.id or nobody(by)
    if by is GroupBy.WORKSPACE:
        return _workspace(str(group.id), known)
    key = nobody(by) if group.id is None else known.keys.get(group.id, group.id)
    return f"{key} · {_workspace(str(group.workspace_id), known)}"


def _workspace(id_: str, known: Names) -> str:
    name = known.workspaces.get(id_, tr("unknown") if id_ == UNKNOWN_WORKSPACE else id_)
    # The Console calls the default workspace "Default", which is too little as a label.
    return tr("default workspace") if id_ == DEFAULT_WORKSPACE and name.lower() == DEFAULT_WORKSPACE else name


def short(tokens: int) -> str:
    """`950`, `12.3k`, `1.2M`, `3.4B`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        # Use the next unit if rounding would reach it.
        if tokens >= size - size // 20_000:
            amount = (Decimal(tokens) / size).quantize(Decimal("0.1"), ROUND_HALF_UP)
            return f"{amount:,}{unit}"
    return f"{tokens:,}"


CACHE_ON_PHONE = (0, 1, 2, 4)
"""Columns of the table on a phone: all but the break-even."""


def cache_message(
    uses: Sequence[tuple[str, CacheUse]],
    period: Period,
    until: datetime,
    by: GroupBy,
    on: date,
    *,
    logged: bool,
    tag: str | None = None,
) -> Message:
    """`uses`: label and values of each row, largest loss first. `on`: UTC day of the rates. `tag`: name of the tag
    whose values are the rows.
    """
    rows = [_cache_cells(label, use) for label, use in uses[:MOST_ROWS]]
    # English headings of tags keep their case: `Tag:team`.
    first = heading_of(by) if tag is None else noun(by, tag).capitalize()
    return Message(
        [
            lead(*_cache_lines(uses, period, until, noun(by, tag))),
            *narrow_table(
                (first, tr("Hit rate"), tr("Reused"), tr("Break-even"), tr("USD")),
                rows,
                _cache_in_words,
                CACHE_ON_PHONE,
            ),
            context(_cache_source(on, logged=logged)),
        ]
    )


def _cache_lines(uses: Sequence[tuple[str, CacheUse]], period: Period, until: datetime, by: str) -> list[str]:
    net = sum((use.saved_usd for _, use in uses), Decimal(0))
    lost = [-use.saved_usd for _, use in uses if use.saved_usd < 0]
    values = {"when": in_period(period.key, until), "until": moment(until), "by": by, "usd": usd(abs(net))}
    if net > 0:
        lines = [tr("Caching saved {usd} {when}, up to {until}, by {by}", **values)]
    elif net < 0:
        lines = [tr("Caching lost {usd} {when}, up to {until}, by {by}", **values)]
    else:
        del values["usd"]
        lines = [tr("Caching saved and lost nothing {when}, up to {until}, by {by}", **values)]
    if lost:
        lines.append(
            ntr(
                "Below the break-even: {number} row, which lost {usd}.",
                "Below the break-even: {number} rows, which lost {usd}.",
                len(lost),
                usd=usd(sum(lost, Decimal(0))),
            )
        )
    if len(uses) > MOST_ROWS:
        rest = sum((use.saved_usd for _, use in uses[MOST_ROWS:]), Decimal(0))
        lines.append(_cache_rest(len(uses) - MOST_ROWS, rest))
    return lines


def _cache_rest(number: int, saved: Decimal) -> str:
    if not saved:
        return tr("And {number} more rows, which saved and lost nothing.", number=number)
    if saved > 0:
        return tr("And {number} more rows, which saved {usd}.", number=number, usd=usd(saved))
    return tr("And {number} more rows, which lost {usd}.", number=number, usd=usd(-saved))


def _cache_source(on: date, *, logged: bool) -> str:
    if logged:
        return tr(
            "Hit rate: cache reads in the whole prompt. Reused: cache reads in all that was read and written. Against "
            "the same tokens without caching, from the usage log of your applications, at the rates of {day}.",
            day=on.isoformat(),
        )
    return tr(
        "Hit rate: cache reads in the whole prompt. Reused: cache reads in all that was read and written. Against the "
        "same tokens without caching, from Anthropic's usage, all of it at standard terms, at the rates of {day}.",
        day=on.isoformat(),
    )


def _saved(amount: Decimal) -> str:
    if not amount:
        return tr("saved and lost nothing")
    return tr("saved {usd}", usd=usd(amount)) if amount > 0 else tr("lost {usd}", usd=usd(-amount))


def _cache_cells(label: str, use: CacheUse) -> list[str]:
    money = NONE if use.reused is None else _saved(use.saved_usd)
    return [label, _percent(use.hit_rate), _percent(use.reused), _percent(use.break_even), money]


def _cache_in_words(cells: Sequence[str]) -> str:
    who, hit_rate, reused, break_even, money = cells
    if reused == NONE:
        return tr("• {who}: nothing is cached", who=who)
    values = {"who": who, "rate": hit_rate, "reused": reused, "money": money}
    if break_even == NONE:
        return tr("• {who}: hit rate {rate}, {reused} reused: {money}", **values)
    return tr("• {who}: hit rate {rate}, {reused} reused (break-even {even}): {money}", even=break_even, **values)


def _percent(part: Fraction | None) -> str:
    return NONE if part is None else share(Decimal(part.numerator), Decimal(part.denominator))
