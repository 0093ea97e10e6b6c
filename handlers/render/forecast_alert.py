"""A forecast above a limit as a message: the expected sum first, then the range and the date."""

from bot.alerts.forecast import ForecastAlert
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.amounts import percent, usd
from bot.budgets.budget import in_period, period_name
from bot.budgets.budget_spend import BudgetSpend
from bot.messages import Message
from bot.mode import NORMAL
from handlers.render.parts import heading, lead, moment, paragraph, shown, warning
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    COMPUTED,
    amount,
    callers,
    closing,
    end_line,
    parts_line,
    stale_mark,
    warning_lines,
    ways_out_parts,
)


def forecast_message(alert: ForecastAlert) -> Message:
    """A period that is expected to end above a limit: the expected sum first, then the range and the date."""
    spend = alert.spend
    parts = [
        heading(f"{_title(alert)}: {spend.budget}"),
        lead(f"{stale_mark(spend)}{_expected(alert)}, budget {shown(spend.budget)}"),
        paragraph(*_range(alert), *_date(alert), _spent_so_far(spend), *raised_lines(spend.raised)),
        warning(*warning_lines(spend)),
    ]
    if alert.status is Status.OPEN:
        parts += [*callers(spend), *ways_out_parts(spend, alert.mode)]
    return Message([*parts, *closing(alert.incident, spend, NORMAL)])


def forecast_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    limit = "" if alert.identity.limit is None else f" above {usd(alert.identity.limit.usd)}"
    return (
        f"forecast{limit} of budget {shown(alert.identity.subject)} {shown(in_period(alert.identity.key, alert.since))}"
    )


def _spent_so_far(spend: BudgetSpend) -> str:
    only_computed = not (spend.billed_days or spend.report_only_usd or spend.provisional_usd)
    return f"Spent so far: {amount(spend)}, {COMPUTED if only_computed else parts_line(spend)}."


def _title(alert: ForecastAlert) -> str:
    if alert.status is Status.RESOLVED:
        return "Forecast below the limit again"
    if alert.status is Status.OPEN:
        return "Forecast above the limit"
    return "Forecast superseded" if alert.status is Status.SUPERSEDED else "Forecast ended"


def _expected(alert: ForecastAlert) -> str:
    if alert.spend.stale_at is not None and alert.status is Status.OPEN:
        return f"Forecast above {usd(alert.limit.usd)}"
    share = percent(alert.expected_usd, alert.limit.usd)
    ends = moment(alert.spend.ends_at)
    if alert.status is Status.RESOLVED:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, below {usd(alert.limit.usd)} again ({share})"
    if alert.status is Status.SUPERSEDED and alert.spend.spent_usd >= alert.limit.usd:
        return f"Forecast came true: {amount(alert.spend)} of {usd(alert.limit.usd)} is spent"
    if alert.status is Status.SUPERSEDED:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, above the limit after {usd(alert.limit.usd)} too"
    if alert.status is Status.OPEN:
        return f"Forecast {usd(alert.expected_usd)} by {ends}, above {usd(alert.limit.usd)} ({share})"
    return f"Forecast of {usd(alert.limit.usd)} is over: the limit or the period is not in force any more"


def _range(alert: ForecastAlert) -> list[str]:
    if alert.spend.stale_at is not None:
        return [end_line(alert.spend)]
    if alert.status not in (Status.OPEN, Status.RESOLVED):
        # Once it is over, the limit's own alert says what is expected.
        return []
    period = shown(period_name(alert.spend.period, alert.spend.as_of))
    return [f"Range: {usd(alert.low_usd)} to {usd(alert.high_usd)} at the end of {period}."]


def _date(alert: ForecastAlert) -> list[str]:
    if alert.status is not Status.OPEN or alert.crossed_at is None or alert.spend.stale_at is not None:
        return []
    early = alert.crossed_earliest_at
    earliest = "" if early is None or early == alert.crossed_at else f", at the earliest {moment(early)}"
    level = "hard" if alert.limit.usd == alert.spend.hard_usd else "soft"
    return [f"The {level} limit of {usd(alert.limit.usd)} is reached about {moment(alert.crossed_at)}{earliest}."]
