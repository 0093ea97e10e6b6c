"""`/claude-cost forecast`: where each budget's period will end, and when its limits are reached."""

from collections.abc import Sequence
from datetime import datetime

from bot.amounts import count, percent, usd
from bot.budgets.budget import Budget, PeriodKind, period_name
from bot.budgets.forecast import DAYS_BACK, Crossing, Forecast
from bot.budgets.review import Prospect
from bot.display import USD, Display
from bot.messages import Message
from handlers.render.parts import context, fitting, lead, moment, shown
from handlers.render.raises import raised_lines
from handlers.render.spend import amount, capitalized, display_lines, in_its_period, not_known, warning_lines

ROOM = 9000
"""Characters for all budgets; Slack was seen to refuse messages of some 13,200 in all."""

MOST_BUDGETS = 40

HOW = (
    "How: what is spent night and day goes on as it did lately; the rest follows the shape of the week in the last "
    f"{DAYS_BACK} days, at the level of the last days. The range holds in four of five cases. Days to come "
    "are at list prices."
)


def forecast_message(outlooks: Sequence[Prospect], display: Display = USD, more: int = 0) -> Message:
    """A section for each budget, as many as fit. `more`: budgets beside the first `MOST_BUDGETS`, which never do."""
    parts = [lead(*lines) for lines in fitting((_lines(one, display) for one in outlooks), ROOM, MOST_BUDGETS)]
    closing = [HOW] if any(outlook.forecast is not None for outlook in outlooks) else []
    left_out = len(outlooks) + more - len(parts)
    if left_out:
        closing.insert(0, f"and {left_out} more budgets, which do not fit into one message.")
    return Message([*parts, context(*closing)])


def _lines(outlook: Prospect, display: Display) -> list[str]:
    spend, found = outlook.spend, outlook.forecast
    name = f"budget {shown(spend.budget)}, {shown(spend.scope)}"
    end = moment(outlook.period.ends_at)
    if spend.period != outlook.period.key:
        period = shown(period_name(outlook.period.key, outlook.period.starts_at))
        return [f"Not known yet: {name}", f"The data ends before {period} began."]
    when = in_its_period(spend)
    so_far = f"spent so far {amount(spend)}"
    if found is None:
        return [
            f"Not known: {name}" if spend.stale_at is not None else f"Not known yet: {name}",
            f"Expected end: {not_known(spend)}. {capitalized(when)}, which ends {end}, {so_far}.",
            *warning_lines(spend),
        ]
    return [
        f"{usd(found.expected_usd)} expected by {end}: {name}",
        *display_lines(found.expected_usd, display),
        f"Between {usd(found.low_usd)} and {usd(found.high_usd)} {when}; {so_far}.",
        *(_crossing_line(crossing, found, outlook.budget) for crossing in found.crossings),
        *raised_lines(spend.raised),
        _basis(found),
        *warning_lines(spend),
    ]


def _crossing_line(crossing: Crossing, found: Forecast, budget: Budget) -> str:
    limit = f"{crossing.kind.capitalize()} limit {usd(crossing.limit_usd)}"
    if crossing.passed:
        return f"{limit}: reached already."
    part = f"{percent(found.expected_usd, crossing.limit_usd)} of it expected"
    worst = None if crossing.earliest is None else _when(crossing.earliest, budget)
    if crossing.expected is None:
        if worst is None:
            return f"{limit}: not reached in this period ({part})."
        return f"{limit}: not reached as expected ({part}), at the high end {worst}."
    best = "not at all" if crossing.latest is None else _when(crossing.latest, budget)
    expected = _when(crossing.expected, budget)
    return f"{limit}: reached {expected} ({part}); at the high end {worst}, at the low end {best}."


def _when(at: datetime, budget: Budget) -> str:
    """`Fri 27 Nov`, in the budget's zone; with the hour where the budget is one of a day."""
    local = at.astimezone(budget.zone)
    day = f"{local:%a} {local.day} {local:%b}"
    return f"{day} {local:%H:%M}" if budget.period is PeriodKind.DAY else day


def _basis(found: Forecast) -> str:
    if not found.days:
        return f"Built on {count(found.known_hours, 'hour')} of usage."
    return f"Built on {count(found.days, 'day')} of usage."
