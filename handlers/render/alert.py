"""Alerts about spend: a limit, a forecast above one, a spike. The number first, then what it means, then what to do."""

from collections.abc import Sequence
from decimal import Decimal

from bot.alerts.decide import Reason, Status
from bot.alerts.model import ForecastAlert, LimitAlert, SpikeAlert
from bot.budgets.budget import Level
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.display import USD, Display
from bot.messages import Message, Part
from bot.mode import NORMAL
from bot.money import percent, usd
from handlers.render.parts import bullets, context, heading, lead, moment, names, paragraph, shown, warning
from handlers.render.spend import (
    COMPUTED,
    amount,
    by_mode,
    caller,
    cause_line,
    display_lines,
    end_line,
    is_over,
    mover_line,
    nothing_before,
    over_line,
    parts_line,
    saving_line,
    stale_mark,
    switch_button,
    switch_buttons,
    warning_lines,
    ways_out,
)

NOTHING_STOPPED = "Nothing has been stopped: only the limit in Anthropic's Console stops requests."

INCIDENT_LIMIT = 200
"""A visible incident id is only cut where a budget's name is longer than settings let it be."""


def alert_message(alert: LimitAlert, related_link: str | None, display: Display = USD) -> Message:
    """A limit at its present step. `related_link`: the other limit's message, where there is one.

    `display`: the money in which the sum is shown besides.
    """
    spend = alert.spend
    ended = is_over(spend, alert.decided_at)
    over = f" ({shown(spend.period)}, which is over)" if ended else ""
    parts = [
        heading(f"{_what_happened(alert).capitalize()}: {spend.budget}"),
        lead(f"{stale_mark(spend)}{_sum(alert)}: {_what_happened(alert)}, budget {shown(spend.budget)}{over}"),
        paragraph(
            f"Period {shown(spend.period)}, {shown(spend.scope)}: {parts_line(spend)}.",
            *display_lines(spend.spent_usd, display),
            *_other_limit(alert, related_link),
        ),
        warning(*warning_lines(spend)),
    ]
    if ended:
        parts.append(paragraph(over_line(spend)))
    elif alert.status is Status.OPEN:
        parts += [paragraph(end_line(spend)), *_callers(spend), *_ways_out(spend, alert.mode)]
    # Only an open alert is kept at what is in force.
    parts += _closing(alert.incident, spend, alert.mode if alert.status is Status.OPEN else NORMAL)
    return Message([*parts, context(NOTHING_STOPPED, bold=True)] if says_nothing_stopped(alert) else parts)


def forecast_alert_message(alert: ForecastAlert) -> Message:
    """A period that is expected to end above a limit: the expected sum first, then the range and the date."""
    spend = alert.spend
    parts = [
        heading(f"{_forecast_title(alert)}: {spend.budget}"),
        lead(f"{stale_mark(spend)}{_expected(alert)}, budget {shown(spend.budget)}"),
        paragraph(*_range(alert), *_date(alert), _spent_so_far(spend)),
        warning(*warning_lines(spend)),
    ]
    if alert.status is Status.OPEN:
        parts += [*_callers(spend), *_ways_out(spend, alert.mode)]
    return Message([*parts, *_closing(alert.incident, spend, NORMAL)])


def spike_message(alert: SpikeAlert) -> Message:
    """A spike at its present step: dollars an hour first, then whose they are and why, then the ways out."""
    spend = alert.spend
    parts = [
        heading(f"{_spike_state(alert)}: {spend.budget}"),
        lead(
            f"{stale_mark(spend)}{_spike_state(alert)}: {_rate(alert)} "
            f"(budget {shown(spend.budget)}, {shown(spend.scope)})"
        ),
        paragraph(_rates(alert), _spent_of_limit(spend)),
        warning(*warning_lines(spend)),
    ]
    if alert.status is Status.OPEN:
        parts += [_who_and_why("Risen most in the last hour", [_risen(mover) for mover in alert.movers], alert.causes)]
        parts += _ways_out(spend, alert.mode)
    parts += _closing(alert.incident, spend, alert.mode)
    return Message([*parts, context(NOTHING_STOPPED, bold=True)] if alert.status is Status.OPEN else parts)


def says_nothing_stopped(alert: LimitAlert) -> bool:
    """An open hard alert ends by saying so; once it is over there is nothing to stop."""
    return alert.level is Level.HARD and alert.status is Status.OPEN


def _callers(spend: BudgetSpend) -> list[Part]:
    return [_who_and_why("Largest in the last day", [mover_line(mover) for mover in spend.movers], spend.causes)]


def _who_and_why(title: str, who: Sequence[str], causes: Sequence[NamedCause]) -> Part:
    return bullets(title if who else "What changed", [*who, *(f"Why: {cause_line(cause)}" for cause in causes)])


def _ways_out(spend: BudgetSpend, mode: str) -> list[Part]:
    savings = ways_out(spend, mode)
    return [
        bullets("Ways out", [f"Fallback mode {saving_line(saving)}." for saving in savings]),
        switch_buttons([switch_button(saving, spend.as_of) for saving in savings], mode),
    ]


def _closing(incident: str, spend: BudgetSpend, mode: str) -> list[Part]:
    small_print = context(f"Incident {shown(incident, INCIDENT_LIMIT)} · data as of {moment(spend.as_of)}")
    return [small_print] if mode == NORMAL else [paragraph(f"Fallback mode {shown(mode)} is on."), small_print]


def _sum(alert: LimitAlert) -> str:
    share = percent(alert.spend.spent_usd, alert.limit_usd)
    return f"{amount(alert.spend)} of {usd(alert.limit_usd)} ({share})"


def _what_happened(alert: LimitAlert) -> str:
    limit = f"{alert.level} limit"
    if alert.level is Level.THRESHOLD:
        limit = f"threshold {_mark(alert)}"
    if alert.status is Status.CLOSED:
        return f"{limit} crossed, period closed"
    if alert.status is Status.SUPERSEDED:
        return f"{limit} crossed, superseded"
    if alert.status is Status.WITHDRAWN:
        return f"{limit} changed, this one is not in force any more"
    if alert.status is Status.RESOLVED:
        return f"{limit} resolved, spend is below it again"
    return f"{limit} crossed again" if alert.reason is Reason.CROSSED_AGAIN else f"{limit} crossed"


def _mark(alert: LimitAlert) -> str:
    """A threshold as the share that it is of the upper limit."""
    upper = alert.spend.hard_usd or alert.spend.soft_usd
    return usd(alert.limit_usd) if upper is None else f"{percent(alert.limit_usd, upper)} of {usd(upper)}"


def _other_limit(alert: LimitAlert, related_link: str | None) -> list[str]:
    """What is known of the other limit."""
    soft_usd, hard_usd = alert.spend.soft_usd, alert.spend.hard_usd
    link = f": <{related_link}|its message>" if related_link else ""
    if alert.level is Level.THRESHOLD:
        following = _next(alert)
        return [] if following is None or alert.status is not Status.OPEN else [f"The next limit is {usd(following)}."]
    if alert.status is Status.SUPERSEDED:
        return [f"The next limit{'' if hard_usd is None else f', {usd(hard_usd)},'} is crossed too{link}."]
    if alert.level is Level.SOFT:
        return [f"The next limit is {usd(hard_usd)}."] if alert.status is Status.OPEN and hard_usd is not None else []
    if soft_usd is None:
        return []
    if alert.status is Status.OPEN:
        return [f"The soft limit of {usd(soft_usd)} is passed too{link}."]
    if alert.reason is Reason.FELL_BELOW_HARD:
        return [f"Spend is still at or above the soft limit of {usd(soft_usd)}."]
    return []


def _next(alert: LimitAlert) -> Decimal | None:
    limits = (alert.spend.soft_usd, alert.spend.hard_usd)
    return min((limit for limit in limits if limit is not None and limit > alert.limit_usd), default=None)


def _spent_so_far(spend: BudgetSpend) -> str:
    only_computed = not spend.billed_days and not spend.report_only_usd
    return f"Spent so far: {amount(spend)}, {COMPUTED if only_computed else parts_line(spend)}."


def _forecast_title(alert: ForecastAlert) -> str:
    if alert.status is Status.RESOLVED:
        return "Forecast below the limit again"
    if alert.status is Status.OPEN:
        return "Forecast above the limit"
    return "Forecast superseded" if alert.status is Status.SUPERSEDED else "Forecast ended"


def _expected(alert: ForecastAlert) -> str:
    if alert.spend.stale_at is not None and alert.status is Status.OPEN:
        return f"Forecast above {usd(alert.limit_usd)}"
    share = percent(alert.expected_usd, alert.limit_usd)
    ends = moment(alert.spend.ends_at)
    if alert.status is Status.RESOLVED:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, below {usd(alert.limit_usd)} again ({share})"
    if alert.status is Status.SUPERSEDED and alert.spend.spent_usd >= alert.limit_usd:
        return f"Forecast came true: {amount(alert.spend)} of {usd(alert.limit_usd)} is spent"
    if alert.status is Status.SUPERSEDED:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, above the limit after {usd(alert.limit_usd)} too"
    if alert.status is Status.OPEN:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, above {usd(alert.limit_usd)} ({share})"
    return f"Forecast of {usd(alert.limit_usd)} is over: the limit or the period is not in force any more"


def _range(alert: ForecastAlert) -> list[str]:
    if alert.spend.stale_at is not None:
        return [end_line(alert.spend)]
    if alert.status not in (Status.OPEN, Status.RESOLVED):
        # Once it is over, the limit's own alert says what is expected.
        return []
    return [f"Range: {usd(alert.low_usd)} to {usd(alert.high_usd)} at the end of {shown(alert.spend.period)}."]


def _date(alert: ForecastAlert) -> list[str]:
    if alert.status is not Status.OPEN or alert.crossed_at is None or alert.spend.stale_at is not None:
        return []
    early = alert.crossed_earliest_at
    earliest = "" if early is None or early == alert.crossed_at else f", at the earliest {moment(early)}"
    level = "hard" if alert.limit_usd == alert.spend.hard_usd else "soft"
    return [f"The {level} limit of {usd(alert.limit_usd)} is reached about {moment(alert.crossed_at)}{earliest}."]


def _spike_state(alert: SpikeAlert) -> str:
    if alert.status is Status.RESOLVED:
        return "Spike resolved"
    if alert.status is not Status.OPEN:
        return "Spike not watched any more"
    return "Spike again" if alert.reason is Reason.SPIKE_AGAIN else "Spike"


def _rate(alert: SpikeAlert) -> str:
    usual = alert.usual_usd_per_hour
    return f"{usd(alert.long_usd_per_hour)} an hour, " + (
        "what is usual is not known" if usual is None else f"usually {usd(usual)}"
    )


def _rates(alert: SpikeAlert) -> str:
    figures = (
        f"The last ten minutes ran at {usd(alert.short_usd_per_hour)} an hour. It is a spike from "
        f"{usd(alert.limit_usd)} an hour on. First seen {moment(alert.since)}."
    )
    return f"{figures} Seen by these budgets too: {names(alert.within)}." if alert.within else figures


def _spent_of_limit(spend: BudgetSpend) -> str:
    highest = spend.hard_usd or spend.soft_usd
    of = "" if highest is None else f" of {usd(highest)} ({percent(spend.spent_usd, highest)})"
    return f"Spent in {shown(spend.period)}: {amount(spend)}{of}."


def _risen(mover: NamedMover) -> str:
    before = f"on average {usd(mover.before_usd or Decimal(0))} an hour"
    if mover.before_usd is None:
        before = nothing_before(mover, "two weeks")
    return f"{caller(mover)}: {usd(mover.usd)} in the last hour, {before}{by_mode(mover)}"
