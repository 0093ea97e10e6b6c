"""`/claude-cost forecast`: where each budget's period will end, and when its limits are reached."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from bot.amounts import cents_of, percent, usd
from bot.budgets.budget import Budget, LimitKind, PeriodKind, period_name
from bot.budgets.course import Line
from bot.budgets.forecast import Crossing, Forecast
from bot.budgets.review import BudgetForecast
from bot.display import USD, Display
from bot.language import tr, tr_noop
from bot.messages import Message, Part
from handlers.render.charts import Cell, Series, chart, data_table, days_label, weekday_label
from handlers.render.parts import context, fitting, lead, moment, shown
from handlers.render.raises import raised_lines
from handlers.render.spend import amount, capitalized, display_lines, in_its_period, not_known, warning_lines

ROOM = 9000
"""Characters for all budgets; Slack was seen to reject messages of some 13,200 in all."""

MOST_BUDGETS = 40

IN_FULL = 3
"""Most budgets shown in full; with more, a table and only those that reach a limit."""

MOST_REACHED = 5


def forecast_message(
    entries: Sequence[BudgetForecast],
    display: Display = USD,
    more: int = 0,
    drawn: BudgetForecast | None = None,
    line: Line | None = None,
) -> Message:
    """The line of one budget as a chart, and each budget as text, as many as fit. `more`: number of budgets beyond the
    first `MOST_BUDGETS`. `drawn`: the budget of `line`.
    """
    groups = fitting((_lines(one, display) for one in entries), ROOM, MOST_BUDGETS)
    fitted = list(zip(entries, groups, strict=False))
    left_out = len(entries) + more - len(groups)
    closing = []
    if left_out:
        closing.append(tr("and {number} more budgets, which do not fit into one message.", number=left_out))
    if any(entry.forecast is not None for entry, _ in fitted):
        closing.append(
            tr(
                "The range holds in four of five cases. A jump counts as lasting only once it has gone on for six "
                "hours."
            )
        )
    first = [] if drawn is None or line is None else [_chart(drawn, line)]
    if len(fitted) <= IN_FULL:
        parts = [lead(*lines) for _, lines in fitted]
        return Message([*parts[:1], *first, *parts[1:], context(*closing)])
    reached = [lead(*lines) for entry, lines in fitted if _reaches(entry)][:MOST_REACHED]
    return Message(
        [
            *(Part(blocks=part.blocks) for part in reached),
            *first,
            _table([entry for entry, _ in fitted], ["\n".join(lines) for _, lines in fitted]),
            context(*closing),
        ]
    )


def _reaches(entry: BudgetForecast) -> bool:
    found = entry.forecast
    return found is not None and any(each.passed or each.expected is not None for each in found.crossings)


def _lines(entry: BudgetForecast, display: Display) -> list[str]:
    spend, found = entry.spend, entry.forecast
    name = {"budget": shown(spend.budget), "scope": shown(spend.scope)}
    end = moment(entry.period.ends_at)
    if spend.period != entry.period.key:
        period = shown(period_name(entry.period.key, entry.period.starts_at))
        return [
            tr("Not known yet: budget {budget}, {scope}", **name),
            tr("The data ends before {period} began.", period=period),
        ]
    when, so_far = in_its_period(spend), amount(spend)
    if found is None:
        is_stale = spend.stale_at is not None
        return [
            tr("Not known: budget {budget}, {scope}", **name)
            if is_stale
            else tr("Not known yet: budget {budget}, {scope}", **name),
            tr(
                "Expected end: {why}. {when}, which ends {end}, spent so far {spent}.",
                why=not_known(spend),
                when=capitalized(when),
                end=end,
                spent=so_far,
            ),
            *warning_lines(spend),
        ]
    return [
        tr("{usd} expected by {end}: budget {budget}, {scope}", usd=usd(found.expected_usd), end=end, **name),
        *display_lines(found.expected_usd, display),
        tr(
            "Between {low} and {high} {when}; spent so far {spent}.",
            low=usd(found.low_usd),
            high=usd(found.high_usd),
            when=when,
            spent=so_far,
        ),
        *(_crossing_line(crossing, found, entry.budget) for crossing in found.crossings),
        *raised_lines(spend.raised),
        *warning_lines(spend),
    ]


LIMITS = {
    LimitKind.SOFT: tr_noop("Soft limit {usd}"),
    LimitKind.HARD: tr_noop("Hard limit {usd}"),
    LimitKind.THRESHOLD: tr_noop("Threshold limit {usd}"),
}


def _crossing_line(crossing: Crossing, found: Forecast, budget: Budget) -> str:
    limit = tr(LIMITS[crossing.kind], usd=usd(crossing.limit_usd))
    if crossing.passed:
        return tr("{limit}: reached already.", limit=limit)
    part = percent(found.expected_usd, crossing.limit_usd)
    earliest = None if crossing.earliest is None else _when(crossing.earliest, budget)
    if crossing.expected is None:
        if earliest is None:
            return tr("{limit}: not reached ({part} of it).", limit=limit, part=part)
        return tr("{limit}: not reached ({part} of it), {day} at the earliest.", limit=limit, part=part, day=earliest)
    expected = _when(crossing.expected, budget)
    latest = None if crossing.latest is None else _when(crossing.latest, budget)
    if earliest == expected == latest:
        return tr("{limit}: reached {day}.", limit=limit, day=expected)
    if latest is None:
        return tr(
            "{limit}: reached {day}, {earliest} at the earliest, perhaps not at all.",
            limit=limit,
            day=expected,
            earliest=earliest,
        )
    return tr(
        "{limit}: reached {day}, between {earliest} and {latest}.",
        limit=limit,
        day=expected,
        earliest=earliest,
        latest=latest,
    )


def _when(at: datetime, budget: Budget) -> str:
    """`Fri 27 Nov`, in the budget's zone; with the hour for a daily budget."""
    local = at.astimezone(budget.zone)
    day = weekday_label(local.date())
    return f"{day} {local:%H:%M}" if budget.period is PeriodKind.DAY else day


def _chart(entry: BudgetForecast, line: Line) -> Part:
    """Cumulative spend, from actual to the expected range, below the limits."""
    budget, spend = entry.budget, entry.spend
    period = period_name(entry.period.key, entry.period.starts_at)
    limits = ((tr("Soft limit"), budget.soft_usd), (tr("Hard limit"), budget.hard_usd))
    points = line.points
    series = [
        Series(capitalized(tr("expected")), [_to_the_cent(point.expected_usd) for point in points]),
        Series(tr("High end"), [_to_the_cent(point.high_usd) for point in points]),
        Series(tr("Low end"), [_to_the_cent(point.low_usd) for point in points]),
        *(Series(name, [limit] * len(points), said=False) for name, limit in limits if limit is not None),
    ]
    last = _day(line.until, budget)
    return chart(
        tr("{budget}, {period}: spent, then expected", budget=budget.name, period=period),
        [_point(point.at, budget) for point in points],
        series,
        usd,
        kind="line",
        x_label=tr("Spent until {day}, then expected", day=last),
        y_label=tr("USD (at least)") if spend.at_least else "USD",
    )


def _point(at: datetime, budget: Budget) -> str:
    """The day or hour that ends at this moment."""
    if budget.period is PeriodKind.DAY:
        return f"{at.astimezone(budget.zone):%H:%M}"
    return _day(at - timedelta.resolution, budget)


def _day(at: datetime, budget: Budget) -> str:
    local = at.astimezone(budget.zone)
    return f"{local:%H:%M}" if budget.period is PeriodKind.DAY else days_label(local.date(), local.date())


def _to_the_cent(amount_usd: Decimal) -> Decimal:
    return Decimal(cents_of(amount_usd)).scaleb(-2)


def _table(entries: Sequence[BudgetForecast], lines: Sequence[str]) -> Part:
    headings = [tr("Budget"), tr("Spent"), capitalized(tr("expected")), tr("Of the limit")]
    return data_table(tr("Budgets"), headings, [_cells(entry) for entry in entries], lines)


UNKNOWN = Decimal(-1)
"""Sort key of unknown sums, below everything."""


def _cells(entry: BudgetForecast) -> list[Cell]:
    spend, found = entry.spend, entry.forecast
    not_yet = Cell(tr("not known"), UNKNOWN)
    if spend.period != entry.period.key:
        return [Cell(spend.budget), not_yet, not_yet, not_yet]
    so_far = Cell(
        f"≥ {usd(spend.spent_usd)}" if spend.at_least else usd(spend.spent_usd), _to_the_cent(spend.spent_usd)
    )
    if found is None:
        return [Cell(spend.budget), so_far, not_yet, not_yet]
    limit = entry.budget.highest_usd
    part = not_yet
    if limit is not None:
        part = Cell(percent(found.expected_usd, limit), (found.expected_usd * 100 / limit).quantize(Decimal("0.1")))
    return [Cell(spend.budget), so_far, Cell(usd(found.expected_usd), _to_the_cent(found.expected_usd)), part]
