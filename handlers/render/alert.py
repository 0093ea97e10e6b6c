"""An incident as a message: the number first, then what it means, then what to do."""

from decimal import Decimal

from bot.alerts.decide import Reason, Status
from bot.alerts.model import LimitAlert
from bot.budgets.budget import Level
from bot.display import USD, Display
from bot.messages import Block, Message
from bot.mode import NORMAL
from bot.money import percent, usd
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, shown
from handlers.render.spend import (
    amount,
    cause_line,
    display_lines,
    end_line,
    is_over,
    mover_line,
    over_line,
    parts_line,
    saving_line,
    stale_mark,
    switch_actions,
    switch_button,
    warning_lines,
    ways_out,
)

NOTHING_STOPPED = "Nothing has been stopped: only the limit in Anthropic's Console stops requests."

INCIDENT_LIMIT = 200
"""A visible incident id is only cut where a budget's name is longer than settings let it be."""


def alert_message(facts: LimitAlert, related_link: str | None, display: Display = USD) -> Message:
    """The incident at its present step. `related_link`: the other level's message, where there is one.

    `display`: the money in which the sum is told besides.
    """
    standing = [*display_lines(facts.spend.spent_usd, display), *_standing(facts, related_link)]
    return Message("\n".join(_lines(facts, standing)), _blocks(facts, standing))


def _lines(facts: LimitAlert, standing: list[str]) -> list[str]:
    spend = facts.spend
    over = f" ({shown(spend.period)}, which is over)" if _over(facts) else ""
    lines = [
        f"{stale_mark(spend)}{_sum(facts)}: {_what_happened(facts)}, budget {shown(spend.budget)}{over}",
        _figures(facts),
        *standing,
        *warning_lines(spend),
    ]
    if _over(facts):
        lines.append(over_line(spend))
    elif facts.status is Status.OPEN:
        lines.append(end_line(spend))
        lines += [f"• {mover_line(mover)}" for mover in spend.movers]
        lines += [f"• Why: {cause_line(cause)}" for cause in spend.causes]
        lines += [f"Fallback mode {saving_line(saving)}." for saving in ways_out(spend, facts.mode)]
    if facts.mode != NORMAL and facts.status is Status.OPEN:
        lines.append(f"Fallback mode {shown(facts.mode)} is on.")
    lines.append(f"Incident {shown(facts.incident, INCIDENT_LIMIT)} · data as of {moment(spend.as_of)}")
    if says_nothing_stopped(facts):
        lines.append(NOTHING_STOPPED)
    return lines


def _blocks(facts: LimitAlert, standing: list[str]) -> list[Block]:
    spend = facts.spend
    over = ", which is over" if _over(facts) else ""
    figures = [f"*{stale_mark(spend)}{_sum(facts)}* in {shown(spend.period)}{over}", _figures(facts), *standing]
    blocks = [header(f"{_what_happened(facts).capitalize()}: {spend.budget}"), section("\n".join(figures))]
    if _over(facts):
        blocks.append(section(over_line(spend)))
    elif facts.status is Status.OPEN:
        blocks += _outlook(facts)
    warnings = warning_lines(spend)
    if warnings:
        blocks.append(section("\n".join(f"*{line}*" for line in warnings)))
    mode = ""
    # Only an open alert is kept at what is in force.
    if facts.mode != NORMAL and facts.status is Status.OPEN:
        mode = f" · fallback mode {shown(facts.mode)} is on"
    incident = code(facts.incident, INCIDENT_LIMIT)
    blocks.append(context(f"Incident {incident} · data as of {local_moment(spend.as_of)}{mode}"))
    if says_nothing_stopped(facts):
        blocks.append(context(f"*{NOTHING_STOPPED}*"))
    return blocks


def says_nothing_stopped(facts: LimitAlert) -> bool:
    """An open hard alert ends by saying so; once it is over there is nothing to stop."""
    return facts.level is Level.HARD and facts.status is Status.OPEN


def _outlook(facts: LimitAlert) -> list[Block]:
    spend = facts.spend
    blocks = [section(end_line(spend))]
    if spend.movers:
        blocks.append(section(_bullets("*Largest in the last 24 hours*", [mover_line(m) for m in spend.movers])))
    if spend.causes:
        blocks.append(section(_bullets("*What changed*", [cause_line(cause) for cause in spend.causes])))
    savings = ways_out(spend, facts.mode)
    if savings:
        blocks.append(section(_bullets("*Ways out*", [f"Fallback mode {saving_line(s)}" for s in savings])))
        blocks.append(switch_actions([switch_button(saving, spend.as_of) for saving in savings], facts.mode))
    return blocks


def _bullets(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(f"• {line}" for line in lines)])


def _sum(facts: LimitAlert) -> str:
    share = percent(facts.spend.spent_usd, facts.limit_usd)
    return f"{amount(facts.spend)} of {usd(facts.limit_usd)} ({share})"


def _over(facts: LimitAlert) -> bool:
    return is_over(facts.spend, facts.decided_at)


def _what_happened(facts: LimitAlert) -> str:
    limit = f"{facts.level} limit"
    if facts.level is Level.THRESHOLD:
        limit = f"threshold {_mark(facts)}"
    if facts.status is Status.CLOSED:
        return f"{limit} crossed, period closed"
    if facts.status is Status.SUPERSEDED:
        return f"{limit} crossed, superseded"
    if facts.status is Status.WITHDRAWN:
        return f"{limit} changed, this one is not in force any more"
    if facts.status is Status.RESOLVED:
        return f"{limit} resolved, spend is below it again"
    return f"{limit} crossed again" if facts.reason is Reason.CROSSED_AGAIN else f"{limit} crossed"


def _mark(facts: LimitAlert) -> str:
    """A threshold as the share that it is of the upper limit."""
    upper = facts.spend.hard_usd or facts.spend.soft_usd
    return usd(facts.limit_usd) if upper is None else f"{percent(facts.limit_usd, upper)} of {usd(upper)}"


def _figures(facts: LimitAlert) -> str:
    return f"Period {shown(facts.spend.period)}, {shown(facts.spend.scope)}: {parts_line(facts.spend)}."


def _standing(facts: LimitAlert, related_link: str | None) -> list[str]:
    """How the other limit stands."""
    soft_usd, hard_usd = facts.spend.soft_usd, facts.spend.hard_usd
    link = f": <{related_link}|its message>" if related_link else ""
    if facts.level is Level.THRESHOLD:
        following = _next(facts)
        return [] if following is None or facts.status is not Status.OPEN else [f"The next limit is {usd(following)}."]
    if facts.status is Status.SUPERSEDED:
        return [f"The next limit{'' if hard_usd is None else f', {usd(hard_usd)},'} is crossed too{link}."]
    if facts.level is Level.SOFT:
        return [f"The next limit is {usd(hard_usd)}."] if facts.status is Status.OPEN and hard_usd is not None else []
    if soft_usd is None:
        return []
    if facts.status is Status.OPEN:
        return [f"The soft limit of {usd(soft_usd)} is passed too{link}."]
    if facts.reason is Reason.FELL_BELOW_HARD:
        return [f"Spend is still at or above the soft limit of {usd(soft_usd)}."]
    return []


def _next(facts: LimitAlert) -> Decimal | None:
    limits = (facts.spend.soft_usd, facts.spend.hard_usd)
    return min((limit for limit in limits if limit is not None and limit > facts.limit_usd), default=None)
