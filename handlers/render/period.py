"""The post that opens a period: what the last one came to, then what the new one allows."""

from decimal import Decimal

from bot.alerts.model import BegunPeriod, NewPeriodAlert
from bot.messages import Message
from bot.mode import NORMAL
from bot.money import NO_CHANGE, change, percent, usd
from bot.phrases import count
from handlers.render.elements import context, header, local_moment, moment, section, sections
from handlers.render.escape import code, shown
from handlers.render.spend import amount, parts_line, warning_lines

INCIDENT_LIMIT = 200

MOST_OTHERS = 60
"""The post is never edited, so that its text may be longer than an edit takes."""


def period_message(facts: NewPeriodAlert) -> Message:
    """A new week or month of a budget, and of those that begin with it."""
    first = (
        f"New {facts.period_kind} {shown(facts.key)} for budget {shown(facts.budget)}: "
        f"{shown(facts.last.period)} ended at {amount(facts.last)}"
    )
    last, new, others = _last(facts), _new(facts), _others(facts)
    name = f"{len(facts.others) + 1} budgets" if others else facts.budget
    blocks = [
        header(f"New {facts.period_kind}: {name}"),
        section("\n".join([f"*{first}*", *last])),
        section("\n".join(new)),
        *sections(others),
        context(f"Incident {code(facts.incident, INCIDENT_LIMIT)} · data as of {local_moment(facts.as_of)}"),
    ]
    closing = f"Incident {shown(facts.incident, INCIDENT_LIMIT)} · data as of {moment(facts.as_of)}"
    return Message("\n".join([first, *last, *new, *others, closing]), blocks)


def _last(facts: NewPeriodAlert) -> list[str]:
    last = facts.last
    lines = [f"{shown(last.period)}, {shown(last.scope)}: {parts_line(last)}{_so_far(facts)}."]
    shares = [
        f"{percent(last.spent_usd, limit)} of its {level} limit, {usd(limit)}"
        for level, limit in (("soft", last.soft_usd), ("hard", last.hard_usd))
        if limit is not None
    ]
    if shares:
        lines.append(f"That is {' and '.join(shares)}.")
    if facts.missing_hours:
        lines.append(
            f"INCOMPLETE: of {count(facts.missing_hours, 'hour')} of it no usage is known here, so the true sum may "
            "be higher."
        )
    if facts.before is not None:
        against = _against(last.spent_usd, facts.before.spent_usd)
        lines.append(f"The {facts.period_kind} before, {shown(facts.before.period)}: {against}.")
    return lines + warning_lines(last)


def _so_far(facts: NewPeriodAlert) -> str:
    if not facts.unbilled_days:
        return ""
    verb = "is" if facts.unbilled_days == 1 else "are"
    return f", so far: {count(facts.unbilled_days, 'day')} {verb} not yet billed"


def _new(facts: NewPeriodAlert) -> list[str]:
    limits = [
        f"{level} limit {usd(limit)}"
        for level, limit in (("soft", facts.soft_usd), ("hard", facts.hard_usd))
        if limit is not None
    ]
    lines = [f"{shown(facts.key)}, until {moment(facts.new_ends_at)}: {', '.join(limits)}."]
    mode = shown(facts.mode)
    lines.append(f"Fallback mode: {mode}." if facts.mode == NORMAL else f"Fallback mode {mode} is on.")
    return lines


def _others(facts: NewPeriodAlert) -> list[str]:
    if not facts.others:
        return []
    lines = [f"It begins for {len(facts.others) + 1} budgets. The other {len(facts.others)}:"]
    lines += [f"• {_other_line(other)}" for other in facts.others[:MOST_OTHERS]]
    more = len(facts.others) - MOST_OTHERS
    if more > 0:
        lines.append(f"and {more} more: `status` shows them all")
    if any(other.unsure for other in facts.others):
        lines.append("Sums with “so far” can still change: days are not billed, hours missing, or prices not certain.")
    return lines


def _other_line(other: BegunPeriod) -> str:
    limit = other.last_limit_usd
    share = "" if limit is None else f", {percent(other.last_usd, limit)} of {usd(limit)}"
    so_far = " so far" if other.unsure else ""
    limits = (("soft", other.soft_usd), ("hard", other.hard_usd))
    new = " and ".join(f"{level} {usd(each)}" for level, each in limits if each is not None)
    return f"{shown(other.budget)} ended at {usd(other.last_usd)}{so_far}{share}; now {new}"


def _against(now: Decimal, before: Decimal) -> str:
    changed = change(now, before)
    if changed is None:
        return usd(before)
    return f"{usd(before)}, so this is {'about the same' if changed == NO_CHANGE else changed}"
