"""A spike as a message: dollars an hour first, then callers and causes, then the ways out."""

from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.spike import SpikeAlert
from bot.alerts.spike_rates import SpikeReason
from bot.amounts import percent, usd
from bot.budgets.budget_spend import BudgetSpend, NamedMover
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
)
from handlers.render.parts import context, moment, names, paragraph, shown
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    NOTHING_STOPPED,
    amount,
    at_least_line,
    caller,
    cause_line,
    in_its_period,
    is_new,
    stale_mark,
    who_and_why,
    with_mode,
)


def spike_message(alert: SpikeAlert) -> Message:
    """A spike at its present step: dollars an hour first, then callers and causes, then the ways out."""
    spend, stands = alert.spend, alert.status is Status.OPEN
    risen = [_risen(mover) for mover in alert.movers]
    why = [tr("Why: {cause}.", cause=cause_line(alert.causes[0]))] if alert.causes else []
    if not why and risen:
        why = [tr("Mostly {caller}.", caller=risen[0])]
    details = [
        paragraph(
            tr("{spent} Scope: {scope}.", spent=_spent_of_limit(spend), scope=shown(spend.scope)),
            _rates(alert),
            *raised_lines(spend.raised),
        )
    ]
    if stands:
        details += [
            who_and_why(tr("Risen most in the last hour"), risen, alert.causes),
            ways_out_lines(spend, alert.mode),
        ]
    if spend.at_least:
        details.append(paragraph(at_least_line(spend.hidden)))
    small_print = [age_part(spend.as_of, alert.mode)]
    if stands:
        small_print.append(context(tr(NOTHING_STOPPED), bold=True))
    return layout(
        f"{stale_mark(spend)}{_first(alert)}{budget_clause(spend)}",
        why if stands else [_spent_of_limit(spend)],
        ways_out_row(spend, alert.mode) if stands else None,
        unknown_prices(spend),
        [*details, incident_part(alert)],
        small_print,
    )


def spike_line(alert: OpenAlert) -> str:
    """The open alert in a list."""
    budget = shown(alert.identity.subject)
    if alert.bound_usd_per_hour is None:
        return tr("spike in budget {budget}", budget=budget)
    return tr("spike in budget {budget}, from {rate} an hour", budget=budget, rate=usd(alert.bound_usd_per_hour))


def _first(alert: SpikeAlert) -> str:
    usual = alert.usual_usd_per_hour
    values = {"rate": usd(alert.long_usd_per_hour), "usual": "" if usual is None else usd(usual)}
    if alert.status is Status.RESOLVED:
        if usual is None:
            return tr("Spike resolved: {rate} an hour, what is usual is not known", **values)
        return tr("Spike resolved: {rate} an hour, usually {usual}", **values)
    if alert.status is not Status.OPEN:
        return tr("Spike not watched any more: {rate} an hour", **values)
    if alert.reason == SpikeReason.AGAIN:
        if usual is None:
            return tr("Spike again: {rate} an hour, what is usual is not known", **values)
        return tr("Spike again: {rate} an hour, usually {usual}", **values)
    if usual is None:
        return tr("Spike: {rate} an hour, what is usual is not known", **values)
    return tr("Spike: {rate} an hour, usually {usual}", **values)


def _rates(alert: SpikeAlert) -> str:
    figures = tr(
        "The last ten minutes ran at {rate} an hour. It is a spike from {bound} an hour on. First seen {since}.",
        rate=usd(alert.short_usd_per_hour),
        bound=usd(alert.bound_usd_per_hour),
        since=moment(alert.since),
    )
    if not alert.within:
        return figures
    return tr("{figures} Seen by these budgets too: {budgets}.", figures=figures, budgets=names(alert.within))


def _spent_of_limit(spend: BudgetSpend) -> str:
    highest = spend.hard_usd or spend.soft_usd
    values = {"when": in_its_period(spend), "spent": amount(spend)}
    if highest is None:
        return tr("Spent {when}: {spent}.", **values)
    share = percent(spend.spent_usd, highest)
    return tr("Spent {when}: {spent} of {limit} ({share}).", limit=usd(highest), share=share, **values)


def _risen(mover: NamedMover) -> str:
    values = {"caller": caller(mover), "usd": usd(mover.usd)}
    if mover.before_usd is not None:
        average = usd(mover.before_usd)
        line = tr("{caller}: {usd} in the last hour, on average {average} an hour", average=average, **values)
    elif is_new(mover):
        line = tr("{caller}: {usd} in the last hour, new", **values)
    else:
        line = tr("{caller}: {usd} in the last hour, nothing in the two weeks before", **values)
    return with_mode(line, mover)
