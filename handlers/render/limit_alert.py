"""A limit as a message: the number first, then what it means, then what to do."""

from decimal import Decimal

from bot.alerts.decide import LimitReason
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.limit import LimitAlert
from bot.amounts import percent, usd
from bot.budgets.budget import LimitKind, in_period, period_name
from bot.display import USD, Display
from bot.messages import Message
from bot.mode import NORMAL
from handlers.render.parts import context, heading, lead, moment, paragraph, shown, warning
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    NOTHING_STOPPED,
    amount,
    callers,
    closing,
    display_lines,
    end_line,
    is_over,
    its_period,
    over_line,
    parts_line,
    stale_mark,
    warning_lines,
    ways_out_parts,
)


def limit_message(alert: LimitAlert, related_link: str | None, display: Display = USD) -> Message:
    """A limit at its present step. `related_link`: the other limit's message, where there is one.

    `display`: the money in which the sum is shown besides.
    """
    spend = alert.spend
    ended = is_over(spend, alert.decided_at)
    over = f" ({shown(period_name(spend.period, spend.as_of))}, which is over)" if ended else ""
    parts = [
        heading(f"{_what_happened(alert).capitalize()}: {spend.budget}"),
        lead(f"{stale_mark(spend)}{_sum(alert)}: {_what_happened(alert)}, budget {shown(spend.budget)}{over}"),
        paragraph(
            f"{its_period(spend)}, {shown(spend.scope)}: {parts_line(spend)}.",
            *display_lines(spend.spent_usd, display),
            *_other_limit(alert, related_link),
            *raised_lines(spend.raised),
        ),
        warning(*warning_lines(spend)),
    ]
    if ended:
        parts.append(paragraph(over_line(spend)))
    elif alert.status is Status.OPEN:
        parts += [paragraph(end_line(spend)), *callers(spend), *ways_out_parts(spend, alert.mode)]
    # Only an open alert is kept at what is in force.
    parts += closing(alert.incident, spend, alert.mode if alert.status is Status.OPEN else NORMAL)
    return Message([*parts, context(NOTHING_STOPPED, bold=True)] if says_nothing_stopped(alert) else parts)


def limit_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    subject, limit = shown(alert.identity.subject), alert.identity.limit
    when = shown(in_period(alert.identity.key, alert.since))
    if limit is None:
        return f"limit of budget {subject} {when}"
    name = "threshold" if limit.kind is LimitKind.THRESHOLD else f"{limit.kind} limit"
    return f"{name} {usd(limit.usd)} of budget {subject} {when}"


def limit_step_message(alert: LimitAlert) -> Message:
    """The reply about a step that the figures have caused."""
    return Message([paragraph(_step(alert)), context(f"Data as of {moment(alert.spend.as_of)}.")])


def _step(alert: LimitAlert) -> str:
    spent = amount(alert.spend)
    if alert.status is Status.SUPERSEDED:
        hard_usd = alert.spend.hard_usd
        if alert.limit.kind is LimitKind.SOFT and hard_usd is not None:
            return f"Superseded: {spent} is spent, so that the next limit, {usd(hard_usd)}, is crossed too."
        return f"Superseded: {spent} is spent, more than the next mark."
    if alert.status is Status.RESOLVED:
        return f"Resolved: {spent} is spent, below {usd(alert.limit.usd)} again."
    if alert.status is Status.WITHDRAWN:
        return f"Withdrawn: {usd(alert.limit.usd)} is not in force any more."
    if alert.status is Status.CLOSED:
        period = shown(period_name(alert.spend.period, alert.spend.as_of))
        return f"Period closed: {period} is over. What was known last is {spent}."
    again = "Open again" if alert.reason == LimitReason.FELL_BELOW_HARD else "Crossed again"
    return f"{again}: {spent} of {usd(alert.limit.usd)} is spent."


def says_nothing_stopped(alert: LimitAlert) -> bool:
    """An open hard alert ends by saying so; once it is over there is nothing to stop."""
    return alert.limit.kind is LimitKind.HARD and alert.status is Status.OPEN


def _sum(alert: LimitAlert) -> str:
    share = percent(alert.spend.spent_usd, alert.limit.usd)
    return f"{amount(alert.spend)} of {usd(alert.limit.usd)} ({share})"


def _what_happened(alert: LimitAlert) -> str:
    limit = f"{alert.limit.kind} limit"
    if alert.limit.kind is LimitKind.THRESHOLD:
        limit = f"threshold {_mark(alert)}"
    if alert.status is Status.CLOSED:
        return f"{limit} crossed, period closed"
    if alert.status is Status.SUPERSEDED:
        return f"{limit} crossed, superseded"
    if alert.status is Status.WITHDRAWN:
        return f"{limit} changed, this one is not in force any more"
    if alert.status is Status.RESOLVED:
        return f"{limit} resolved, spend is below it again"
    return f"{limit} crossed again" if alert.reason == LimitReason.CROSSED_AGAIN else f"{limit} crossed"


def _mark(alert: LimitAlert) -> str:
    """A threshold as the share that it is of the upper limit."""
    upper = alert.spend.hard_usd or alert.spend.soft_usd
    return usd(alert.limit.usd) if upper is None else f"{percent(alert.limit.usd, upper)} of {usd(upper)}"


def _other_limit(alert: LimitAlert, related_link: str | None) -> list[str]:
    """What is known of the other limit."""
    soft_usd, hard_usd = alert.spend.soft_usd, alert.spend.hard_usd
    link = f": <{related_link}|its message>" if related_link else ""
    if alert.limit.kind is LimitKind.THRESHOLD:
        following = _next(alert)
        return [] if following is None or alert.status is not Status.OPEN else [f"The next limit is {usd(following)}."]
    if alert.status is Status.SUPERSEDED:
        return [f"The next limit{'' if hard_usd is None else f', {usd(hard_usd)},'} is crossed too{link}."]
    if alert.limit.kind is LimitKind.SOFT:
        return [f"The next limit is {usd(hard_usd)}."] if alert.status is Status.OPEN and hard_usd is not None else []
    if soft_usd is None:
        return []
    if alert.status is Status.OPEN:
        return [f"The soft limit of {usd(soft_usd)} is passed too{link}."]
    if alert.reason == LimitReason.FELL_BELOW_HARD:
        return [f"Spend is still at or above the soft limit of {usd(soft_usd)}."]
    return []


def _next(alert: LimitAlert) -> Decimal | None:
    limits = (alert.spend.soft_usd, alert.spend.hard_usd)
    return min((limit for limit in limits if limit is not None and limit > alert.limit.usd), default=None)
