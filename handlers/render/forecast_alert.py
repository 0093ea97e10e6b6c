"""A forecast above a limit as a message: the expected sum first, then the range and the date."""

from bot.alerts.forecast import ForecastAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import percent, usd
from bot.budgets.budget import LimitKind, in_period, period_name
from bot.budgets.budget_spend import BudgetSpend
from bot.language import tr
from bot.messages import Message
from handlers.render.layout import (
    age_part,
    budget_clause,
    incident_part,
    layout,
    unknown_prices,
    ways_out_lines,
    ways_out_row,
    why_lines,
)
from handlers.render.parts import moment, paragraph, shown
from handlers.render.raises import LIMIT_NAMES, raised_lines
from handlers.render.spend import (
    amount,
    at_least_line,
    callers,
    end_line,
    parts_line,
    stale_mark,
)


def forecast_message(alert: ForecastAlert) -> Message:
    """A period that is expected to end above a limit: the expected sum first, then when the limit is reached."""
    spend, stands = alert.spend, alert.status is Status.OPEN
    dated = _date(alert)
    details = [paragraph(*_range(alert), _spent_so_far(spend), *raised_lines(spend.raised))]
    if stands:
        details += [*callers(spend), ways_out_lines(spend, alert.mode)]
    if spend.at_least:
        details.append(paragraph(at_least_line(spend.hidden)))
    return layout(
        f"{stale_mark(spend)}{_expected(alert)}{budget_clause(spend)}",
        [*dated, *why_lines(spend.causes, spend.movers)] if stands else [],
        ways_out_row(spend, alert.mode) if stands else None,
        unknown_prices(spend),
        [*details, incident_part(alert)],
        [age_part(spend.as_of)],
    )


def forecast_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    values = {
        "budget": shown(alert.identity.subject),
        "when": shown(in_period(alert.identity.key, alert.since)),
    }
    if alert.identity.limit is None:
        return tr("forecast of budget {budget} {when}", **values)
    return tr("forecast above {limit} of budget {budget} {when}", limit=usd(alert.identity.limit.usd), **values)


def _spent_so_far(spend: BudgetSpend) -> str:
    only_computed = not (spend.billed_days or spend.report_only_usd or spend.provisional_usd)
    if only_computed:
        return tr("Spent so far: {spent}, computed from tokens and list prices.", spent=amount(spend))
    return tr("Spent so far: {spent}, {parts}.", spent=amount(spend), parts=parts_line(spend))


def _expected(alert: ForecastAlert) -> str:
    spend = alert.spend
    values = {
        "expected": usd(alert.expected_usd),
        "limit": usd(alert.limit.usd),
        "share": percent(alert.expected_usd, alert.limit.usd),
        "period": shown(period_name(spend.period, spend.as_of)),
    }
    if spend.stale_at is not None and alert.status is Status.OPEN:
        return tr("Forecast above {limit}, {period}", **values)
    if alert.status is Status.RESOLVED:
        return tr("Forecast {expected} by the end of {period}, below {limit} again ({share})", **values)
    if alert.status is Status.SUPERSEDED and spend.spent_usd >= alert.limit.usd:
        return tr("Forecast came true: {spent} of {limit} is spent, {period}", spent=amount(spend), **values)
    if alert.status is Status.SUPERSEDED:
        return tr("Forecast {expected} by the end of {period}, above the limit after {limit} too", **values)
    if alert.status is Status.OPEN:
        return tr("Forecast {expected} by the end of {period}, above {limit} ({share})", **values)
    return tr("Forecast of {limit} is over: the limit or the period is not in force any more", **values)


def _range(alert: ForecastAlert) -> list[str]:
    if alert.spend.stale_at is not None:
        return [end_line(alert.spend)]
    if alert.status not in (Status.OPEN, Status.RESOLVED):
        # Once it is over, the limit's own alert shows the expected end.
        return []
    period = shown(period_name(alert.spend.period, alert.spend.as_of))
    low, high = usd(alert.low_usd), usd(alert.high_usd)
    return [tr("Range: {low} to {high} at the end of {period}.", low=low, high=high, period=period)]


def _date(alert: ForecastAlert) -> list[str]:
    if alert.status is not Status.OPEN or alert.crossed_at is None or alert.spend.stale_at is not None:
        return []
    early = alert.crossed_earliest_at
    kind = LimitKind.HARD if alert.limit.usd == alert.spend.hard_usd else LimitKind.SOFT
    values = {"name": tr(LIMIT_NAMES[kind]), "limit": usd(alert.limit.usd), "time": moment(alert.crossed_at)}
    if early is None or early == alert.crossed_at:
        return [tr("The {name} of {limit} is reached about {time}.", **values)]
    return [
        tr(
            "The {name} of {limit} is reached about {time}, at the earliest {earliest}.",
            earliest=moment(early),
            **values,
        )
    ]
