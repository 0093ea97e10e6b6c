"""The post that opens a period: what the last one came to, then what the new one allows."""

from decimal import Decimal

from bot.alerts.lifecycle import OpenAlert
from bot.alerts.new_period import BegunPeriod, NewPeriodAlert
from bot.amounts import NO_CHANGE, change, count, percent, usd
from bot.budgets.budget import period_name
from bot.language import tr
from bot.messages import Message
from bot.mode import NORMAL
from handlers.render.layout import age_part, incident_part, layout, named_clause, unknown_prices
from handlers.render.parts import moment, paragraph, shown
from handlers.render.spend import amount, at_least_line, capitalized, its_period, parts_line

MOST_OTHERS = 60
"""The post is never edited, so that its text may be longer than an edit takes."""


def new_period_message(alert: NewPeriodAlert) -> Message:
    """A new week or month of a budget, and of those that begin with it."""
    last = alert.last
    kinds = {"month": tr("New month"), "week": tr("New week"), "day": tr("New day")}
    first = tr(
        "{new}: {period} ended at {spent}{budget}",
        new=kinds.get(alert.period_kind, alert.period_kind),
        period=(shown(period_name(last.period, alert.as_of))),
        spent=amount(last),
        budget=named_clause(alert.budget, last.scope),
    )
    return layout(
        first,
        [*_shares(alert), *_new(alert)],
        visible=unknown_prices(last),
        details=[paragraph(*_last(alert)), paragraph(*_others(alert)), incident_part(alert)],
        small_print=[age_part(alert.as_of)],
    )


def new_period_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    name = shown(period_name(alert.identity.key, alert.since))
    return f"new period {name} of budget {shown(alert.identity.subject)}"


def _shares(alert: NewPeriodAlert) -> list[str]:
    last = alert.last
    shares = [
        f"{percent(last.spent_usd, limit)} of its {level} limit, {usd(limit)}"
        for level, limit in (("soft", last.soft_usd), ("hard", last.hard_usd))
        if limit is not None
    ]
    return [f"That is {' and '.join(shares)}."] if shares else []


def _last(alert: NewPeriodAlert) -> list[str]:
    last = alert.last
    lines = [f"{its_period(last)}, {shown(last.scope)}: {parts_line(last)}{_so_far(alert)}."]
    if alert.missing_hours:
        lines.append(
            f"INCOMPLETE: of {count(alert.missing_hours, 'hour')} of it no usage is known here, so the true sum may "
            "be higher."
        )
    if alert.before is not None:
        against = _against(last.spent_usd, alert.before.spent_usd)
        lines.append(
            f"The {alert.period_kind} before, {shown(period_name(alert.before.period, alert.as_of))}: {against}."
        )
    return [*lines, at_least_line(last.hidden)] if last.at_least else lines


def _so_far(alert: NewPeriodAlert) -> str:
    if not alert.unbilled_days:
        return ""
    verb = "is" if alert.unbilled_days == 1 else "are"
    return f", so far: {count(alert.unbilled_days, 'day')} {verb} not yet billed"


def _new(alert: NewPeriodAlert) -> list[str]:
    limits = [
        f"{level} limit {usd(limit)}"
        for level, limit in (("soft", alert.soft_usd), ("hard", alert.hard_usd))
        if limit is not None
    ]
    period = capitalized(shown(period_name(alert.key, alert.as_of)))
    lines = [f"{period}, until {moment(alert.new_ends_at)}: {', '.join(limits)}."]
    mode = shown(alert.mode)
    lines.append(f"Fallback mode: {mode}." if alert.mode == NORMAL else f"Fallback mode {mode} is on.")
    return lines


def _others(alert: NewPeriodAlert) -> list[str]:
    if not alert.others:
        return []
    lines = [f"It begins for {len(alert.others) + 1} budgets. The other {len(alert.others)}:"]
    lines += [f"• {_other_line(other)}" for other in alert.others[:MOST_OTHERS]]
    more = len(alert.others) - MOST_OTHERS
    if more > 0:
        lines.append(f"and {more} more: `status` shows them all")
    if any(other.unsure for other in alert.others):
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
