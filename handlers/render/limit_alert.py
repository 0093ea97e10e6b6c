"""A limit as a message: the number first, then what it means, then what to do."""

from decimal import Decimal

from bot.alerts.decide import LimitReason
from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.limit import LimitAlert
from bot.amounts import percent, usd
from bot.budgets.budget import LimitKind, in_period, period_name
from bot.display import USD, Display
from bot.language import tr, tr_noop
from bot.messages import Message
from bot.mode import NORMAL
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
from handlers.render.parts import context, moment, paragraph, shown
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    NOTHING_STOPPED,
    amount,
    at_least_line,
    callers,
    capitalized,
    display_lines,
    end_line,
    is_over,
    over_line,
    parts_line,
    stale_mark,
)


def limit_message(alert: LimitAlert, related_link: str | None, display: Display = USD) -> Message:
    """A limit at its present step. `related_link`: the other limit's message, if any.

    `display`: second currency for the sum.
    """
    spend, ended = alert.spend, is_over(alert.spend, alert.decided_at)
    stands = alert.status is Status.OPEN and not ended
    passed = [] if alert.status is Status.OPEN else _other_limit(alert, related_link)
    sums = tr("{scope}: {parts}.", scope=shown(spend.scope), parts=parts_line(spend))
    details = [paragraph(sums, *display_lines(spend.spent_usd, display), *raised_lines(spend.raised))]
    if alert.status is Status.OPEN:
        details.append(paragraph(*_other_limit(alert, related_link)))
    if stands:
        details += [paragraph(end_line(spend)), *callers(spend), ways_out_lines(spend, alert.mode)]
    if spend.at_least:
        details.append(paragraph(at_least_line(spend.hidden)))
    # Only open alerts are kept up to date.
    small_print = [age_part(spend.as_of, alert.mode if alert.status is Status.OPEN else NORMAL)]
    if says_nothing_stopped(alert):
        small_print.append(context(tr(NOTHING_STOPPED), bold=True))
    return layout(
        _first(alert, ended),
        [over_line(spend)] if ended else [*passed, *why_lines(spend.causes, spend.movers)] if stands else passed,
        ways_out_row(spend, alert.mode) if stands else None,
        unknown_prices(spend),
        [*details, incident_part(alert)],
        small_print,
    )


def limit_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    subject, limit = shown(alert.identity.subject), alert.identity.limit
    when = shown(in_period(alert.identity.key, alert.since))
    if limit is None:
        return tr("limit of budget {budget} {when}", budget=subject, when=when)
    return tr(LINES[limit.kind], limit=usd(limit.usd), budget=subject, when=when)


LINES = {
    LimitKind.SOFT: tr_noop("soft limit {limit} of budget {budget} {when}"),
    LimitKind.HARD: tr_noop("hard limit {limit} of budget {budget} {when}"),
    LimitKind.THRESHOLD: tr_noop("threshold {limit} of budget {budget} {when}"),
}


def limit_step_message(alert: LimitAlert) -> Message:
    """The reply about a step caused by figures."""
    return Message([paragraph(_step(alert)), context(tr("Data as of {time}.", time=moment(alert.spend.as_of)))])


def _step(alert: LimitAlert) -> str:
    spent = amount(alert.spend)
    if alert.status is Status.SUPERSEDED:
        hard_usd = alert.spend.hard_usd
        if alert.limit.kind is LimitKind.SOFT and hard_usd is not None:
            return tr(
                "Passed: {spent} is spent, so the next limit, {limit}, is crossed too.",
                spent=spent,
                limit=usd(hard_usd),
            )
        return tr("Passed: {spent} is spent, more than the next mark.", spent=spent)
    if alert.status is Status.RESOLVED:
        return tr("Resolved: {spent} is spent, below {limit} again.", spent=spent, limit=usd(alert.limit.usd))
    if alert.status is Status.WITHDRAWN:
        return tr("Withdrawn: {limit} is not in force any more.", limit=usd(alert.limit.usd))
    if alert.status is Status.CLOSED:
        period = shown(period_name(alert.spend.period, alert.spend.as_of))
        return tr("Period closed: {period} is over. What was known last is {spent}.", period=period, spent=spent)
    if alert.reason == LimitReason.FELL_BELOW_HARD:
        return tr("Open again: {spent} of {limit} is spent.", spent=spent, limit=usd(alert.limit.usd))
    return tr("Crossed again: {spent} of {limit} is spent.", spent=spent, limit=usd(alert.limit.usd))


def says_nothing_stopped(alert: LimitAlert) -> bool:
    """Whether to say that nothing was stopped: only in an open hard alert."""
    return alert.limit.kind is LimitKind.HARD and alert.status is Status.OPEN


def _first(alert: LimitAlert, ended: bool) -> str:
    spend = alert.spend
    values = {
        "spent": capitalized(amount(spend)),
        "limit": usd(alert.limit.usd),
        "share": percent(spend.spent_usd, alert.limit.usd),
        "what": _what_happened(alert),
        "period": shown(period_name(spend.period, spend.as_of)),
        "budget": budget_clause(spend),
    }
    if ended:
        first = tr("{spent} of {limit} ({share}): {what}, {period}, which is over{budget}", **values)
    else:
        first = tr("{spent} of {limit} ({share}): {what}, {period}{budget}", **values)
    return f"{stale_mark(spend)}{first}"


def _limit_name(alert: LimitAlert) -> str:
    if alert.limit.kind is LimitKind.THRESHOLD:
        return tr("threshold {mark}", mark=_mark(alert))
    return tr("hard limit") if alert.limit.kind is LimitKind.HARD else tr("soft limit")


def _what_happened(alert: LimitAlert) -> str:
    limit = _limit_name(alert)
    if alert.status is Status.CLOSED:
        return tr("{limit} crossed, period closed", limit=limit)
    if alert.status is Status.SUPERSEDED:
        return tr("{limit} crossed, and the next one too", limit=limit)
    if alert.status is Status.WITHDRAWN:
        return tr("{limit} changed, this one is not in force any more", limit=limit)
    if alert.status is Status.RESOLVED:
        return tr("{limit} resolved, spend is below it again", limit=limit)
    if alert.reason == LimitReason.CROSSED_AGAIN:
        return tr("{limit} crossed again", limit=limit)
    return tr("{limit} crossed", limit=limit)


def _mark(alert: LimitAlert) -> str:
    """A threshold as a share of the highest limit."""
    upper = alert.spend.hard_usd or alert.spend.soft_usd
    if upper is None:
        return usd(alert.limit.usd)
    return tr("{share} of {limit}", share=percent(alert.limit.usd, upper), limit=usd(upper))


def _other_limit(alert: LimitAlert, related_link: str | None) -> list[str]:
    """What is known of the other limit."""
    soft_usd, hard_usd = alert.spend.soft_usd, alert.spend.hard_usd
    link = tr(": {link}", link=f"<{related_link}|{tr('its message')}>") if related_link else ""
    if alert.limit.kind is LimitKind.THRESHOLD:
        following = _next(alert)
        return [] if following is None or alert.status is not Status.OPEN else [_next_line(following)]
    if alert.status is Status.SUPERSEDED:
        if hard_usd is None:
            return [tr("The next limit is crossed too{link}.", link=link)]
        return [tr("The next limit, {limit}, is crossed too{link}.", limit=usd(hard_usd), link=link)]
    if alert.limit.kind is LimitKind.SOFT:
        return [_next_line(hard_usd)] if alert.status is Status.OPEN and hard_usd is not None else []
    if soft_usd is None:
        return []
    if alert.status is Status.OPEN:
        return [tr("The soft limit of {limit} is passed too{link}.", limit=usd(soft_usd), link=link)]
    if alert.reason == LimitReason.FELL_BELOW_HARD:
        return [tr("Spend is still at or above the soft limit of {limit}.", limit=usd(soft_usd))]
    return []


def _next_line(limit_usd: Decimal) -> str:
    return tr("The next limit is {limit}.", limit=usd(limit_usd))


def _next(alert: LimitAlert) -> Decimal | None:
    limits = (alert.spend.soft_usd, alert.spend.hard_usd)
    return min((limit for limit in limits if limit is not None and limit > alert.limit.usd), default=None)
