"""The post that opens a period: what the last one came to, then what the new one allows."""

from decimal import Decimal

from bot.alerts.lifecycle import OpenAlert
from bot.alerts.new_period import BegunPeriod, NewPeriodAlert
from bot.amounts import NO_CHANGE, change, percent, usd
from bot.budgets.budget import LimitKind, period_name
from bot.language import ntr, tr, tr_noop
from bot.listed import comma_list
from bot.messages import Message
from bot.mode import NORMAL
from handlers.render.layout import age_part, incident_part, layout, named_clause, unknown_prices
from handlers.render.parts import moment, paragraph, shown
from handlers.render.raises import LIMIT_NAMES
from handlers.render.spend import amount, at_least_line, capitalized, its_period, parts_line

MOST_OTHERS = 50
"""Most further budgets. The post is never edited, so its text may be longer than an edit allows."""


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
    """The open alert in a list."""
    name = shown(period_name(alert.identity.key, alert.since))
    return tr("new period {period} of budget {budget}", period=name, budget=shown(alert.identity.subject))


def _shares(alert: NewPeriodAlert) -> list[str]:
    last = alert.last
    values: dict[str, str] = {}
    for name, limit in (("soft", last.soft_usd), ("hard", last.hard_usd)):
        if limit is not None:
            values |= {name: usd(limit), f"{name}_share": percent(last.spent_usd, limit)}
    if last.soft_usd is None and last.hard_usd is None:
        return []
    if last.hard_usd is None:
        return [tr("That is {soft_share} of its soft limit, {soft}.", **values)]
    if last.soft_usd is None:
        return [tr("That is {hard_share} of its hard limit, {hard}.", **values)]
    return [tr("That is {soft_share} of its soft limit, {soft} and {hard_share} of its hard limit, {hard}.", **values)]


def _last(alert: NewPeriodAlert) -> list[str]:
    last = alert.last
    lines = [_parts(alert)]
    if alert.missing_hours:
        lines.append(
            ntr(
                "INCOMPLETE: of {number} hour of it no usage is known here, so the true sum may be higher.",
                "INCOMPLETE: of {number} hours of it no usage is known here, so the true sum may be higher.",
                alert.missing_hours,
            )
        )
    if alert.before is not None:
        period = shown(period_name(alert.before.period, alert.as_of))
        against = _against(last.spent_usd, alert.before.spent_usd)
        lines.append(tr(BEFORE[alert.period_kind], period=period, against=against))
    return [*lines, at_least_line(last.hidden)] if last.at_least else lines


BEFORE = {
    "month": tr_noop("The month before, {period}: {against}."),
    "week": tr_noop("The week before, {period}: {against}."),
}


def _parts(alert: NewPeriodAlert) -> str:
    last = alert.last
    values = {"period": its_period(last), "scope": shown(last.scope), "parts": parts_line(last)}
    if not alert.unbilled_days:
        return tr("{period}, {scope}: {parts}.", **values)
    return ntr(
        "{period}, {scope}: {parts}, so far: {number} day is not yet billed.",
        "{period}, {scope}: {parts}, so far: {number} days are not yet billed.",
        alert.unbilled_days,
        **values,
    )


def _new(alert: NewPeriodAlert) -> list[str]:
    limits = [
        tr("{name} {limit}", name=tr(LIMIT_NAMES[kind]), limit=usd(limit))
        for kind, limit in ((LimitKind.SOFT, alert.soft_usd), (LimitKind.HARD, alert.hard_usd))
        if limit is not None
    ]
    period = capitalized(shown(period_name(alert.key, alert.as_of)))
    until = moment(alert.new_ends_at)
    lines = [tr("{period}, until {until}: {limits}.", period=period, until=until, limits=comma_list(limits))]
    mode = shown(alert.mode)
    if alert.mode == NORMAL:
        lines.append(tr("Fallback mode: {mode}.", mode=mode))
    else:
        lines.append(tr("Fallback mode {mode} is on.", mode=mode))
    return lines


def _others(alert: NewPeriodAlert) -> list[str]:
    if not alert.others:
        return []
    number = len(alert.others)
    lines = [tr("It begins for {all} budgets. The other {others}:", all=number + 1, others=number)]
    lines += [f"• {_other_line(other)}" for other in alert.others[:MOST_OTHERS]]
    more = len(alert.others) - MOST_OTHERS
    if more > 0:
        lines.append(tr("and {number} more: `status` shows them all", number=more))
    if any(other.unsure for other in alert.others):
        lines.append(
            tr("Sums with “so far” can still change: days are not billed, hours missing, or prices not certain.")
        )
    return lines


def _other_line(other: BegunPeriod) -> str:
    limit = other.last_limit_usd
    spent = tr("{usd} so far", usd=usd(other.last_usd)) if other.unsure else usd(other.last_usd)
    values = {"budget": shown(other.budget), "spent": spent, "new": _new_limits(other)}
    if limit is None:
        return tr("{budget} ended at {spent}; now {new}", **values)
    share = percent(other.last_usd, limit)
    return tr("{budget} ended at {spent}, {share} of {limit}; now {new}", share=share, limit=usd(limit), **values)


def _new_limits(other: BegunPeriod) -> str:
    if other.soft_usd is not None and other.hard_usd is not None:
        return tr("soft {soft} and hard {hard}", soft=usd(other.soft_usd), hard=usd(other.hard_usd))
    if other.soft_usd is not None:
        return tr("soft {soft}", soft=usd(other.soft_usd))
    return "" if other.hard_usd is None else tr("hard {hard}", hard=usd(other.hard_usd))


def _against(now: Decimal, before: Decimal) -> str:
    changed = change(now, before)
    if changed is None:
        return usd(before)
    if changed == NO_CHANGE:
        return tr("{before}, so this is about the same", before=usd(before))
    return tr("{before}, so this is {change}", before=usd(before), change=changed)
