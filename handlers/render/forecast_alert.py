"""An alert about a period that is expected to end above a limit."""

from bot.alerts.decide import Status
from bot.alerts.model import ForecastAlert
from bot.budgets.budget_spend import BudgetSpend
from bot.messages import Block, Message
from bot.money import percent, usd
from handlers.render.alert import INCIDENT_LIMIT
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, shown
from handlers.render.spend import (
    COMPUTED,
    amount,
    cause_line,
    end_line,
    mover_line,
    parts_line,
    saving_line,
    stale_mark,
    switch_actions,
    switch_button,
    warning_lines,
    ways_out,
)


def forecast_alert_message(facts: ForecastAlert) -> Message:
    """The expected sum and its share of the limit first, then the range, the date, who spends, and the ways out."""
    spend = facts.spend
    sum_ = f"{stale_mark(spend)}{_sum(facts)}"
    first = f"{sum_}, budget {shown(spend.budget)}"
    lines = [*_range(facts), *_date(facts), _spent(spend)]
    details = []
    if facts.status is Status.OPEN:
        details = [f"• {mover_line(mover)}" for mover in spend.movers]
        details += [f"• Why: {cause_line(cause)}" for cause in spend.causes]
        details += [f"Fallback mode {saving_line(saving)}." for saving in ways_out(spend, facts.mode)]
    closing = f"Incident {shown(facts.incident, INCIDENT_LIMIT)} · data as of {moment(spend.as_of)}"
    text = "\n".join([first, *lines, *details, *warning_lines(spend), closing])
    blocks: list[Block] = [
        header(f"{_title(facts)}: {spend.budget}"),
        section("\n".join([f"*{sum_}*", *lines])),
    ]
    if details:
        blocks.append(section("\n".join(details)))
    warnings = warning_lines(spend)
    if warnings:
        blocks.append(section("\n".join(f"*{line}*" for line in warnings)))
    if facts.status is Status.OPEN:
        buttons = [switch_button(saving, spend.as_of) for saving in ways_out(spend, facts.mode)]
        if buttons:
            blocks.append(switch_actions(buttons, facts.mode))
    blocks.append(context(f"Incident {code(facts.incident, INCIDENT_LIMIT)} · data as of {local_moment(spend.as_of)}"))
    return Message(text, blocks)


def _spent(spend: BudgetSpend) -> str:
    only_computed = not spend.billed_days and not spend.report_only_usd
    return f"Spent so far: {amount(spend)}, {COMPUTED if only_computed else parts_line(spend)}."


def _title(facts: ForecastAlert) -> str:
    if facts.status is Status.RESOLVED:
        return "Forecast below the limit again"
    if facts.status is Status.OPEN:
        return "Forecast above the limit"
    return "Forecast superseded" if facts.status is Status.SUPERSEDED else "Forecast ended"


def _sum(facts: ForecastAlert) -> str:
    if facts.spend.stale_at is not None and facts.status is Status.OPEN:
        return f"Forecast above {usd(facts.limit_usd)}"
    share = percent(facts.expected_usd, facts.limit_usd)
    ends = moment(facts.spend.ends_at)
    if facts.status is Status.RESOLVED:
        return f"Forecast {usd(facts.expected_usd)} by {ends}, below {usd(facts.limit_usd)} again ({share})"
    if facts.status is Status.SUPERSEDED and facts.spend.spent_usd >= facts.limit_usd:
        return f"Forecast came true: {amount(facts.spend)} of {usd(facts.limit_usd)} is spent"
    if facts.status is Status.SUPERSEDED:
        return f"Forecast {usd(facts.expected_usd)} by {ends}, above the limit after {usd(facts.limit_usd)} too"
    if facts.status is Status.OPEN:
        return f"Forecast {usd(facts.expected_usd)} by {ends}, above {usd(facts.limit_usd)} ({share})"
    return f"Forecast of {usd(facts.limit_usd)} is over: the limit or the period is not in force any more"


def _range(facts: ForecastAlert) -> list[str]:
    if facts.spend.stale_at is not None:
        return [end_line(facts.spend)]
    if facts.status not in (Status.OPEN, Status.RESOLVED):
        # Once it is over, what is expected stands in the limit's own alert.
        return []
    return [f"Range: {usd(facts.low_usd)} to {usd(facts.high_usd)} at the end of {shown(facts.spend.period)}."]


def _date(facts: ForecastAlert) -> list[str]:
    if facts.status is not Status.OPEN or facts.crossed_at is None or facts.spend.stale_at is not None:
        return []
    early = facts.crossed_earliest_at
    earliest = "" if early is None or early == facts.crossed_at else f", at the earliest {moment(early)}"
    level = "hard" if facts.limit_usd == facts.spend.hard_usd else "soft"
    return [f"The {level} limit of {usd(facts.limit_usd)} is reached about {moment(facts.crossed_at)}{earliest}."]
