"""A spike as a message: dollars an hour first, then whose they are and why, then the ways out."""

from decimal import Decimal

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
    by_mode,
    caller,
    cause_line,
    in_its_period,
    nothing_before,
    stale_mark,
    who_and_why,
)


def spike_message(alert: SpikeAlert) -> Message:
    """A spike at its present step: dollars an hour first, then whose they are and why, then the ways out."""
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
        details += [who_and_why("Risen most in the last hour", risen, alert.causes), ways_out_lines(spend, alert.mode)]
    if spend.at_least:
        details.append(paragraph(at_least_line(spend.hidden)))
    small_print = [age_part(spend.as_of, alert.mode)]
    if stands:
        small_print.append(context(NOTHING_STOPPED, bold=True))
    return layout(
        f"{stale_mark(spend)}{_first(alert)}{budget_clause(spend)}",
        why if stands else [_spent_of_limit(spend)],
        ways_out_row(spend, alert.mode) if stands else None,
        unknown_prices(spend),
        [*details, incident_part(alert)],
        small_print,
    )


def spike_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    rate = "" if alert.bound_usd_per_hour is None else f", from {usd(alert.bound_usd_per_hour)} an hour"
    return f"spike in budget {shown(alert.identity.subject)}{rate}"


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
    figures = (
        f"The last ten minutes ran at {usd(alert.short_usd_per_hour)} an hour. It is a spike from "
        f"{usd(alert.bound_usd_per_hour)} an hour on. First seen {moment(alert.since)}."
    )
    return f"{figures} Seen by these budgets too: {names(alert.within)}." if alert.within else figures


def _spent_of_limit(spend: BudgetSpend) -> str:
    highest = spend.hard_usd or spend.soft_usd
    of = "" if highest is None else f" of {usd(highest)} ({percent(spend.spent_usd, highest)})"
    return f"Spent {in_its_period(spend)}: {amount(spend)}{of}."


def _risen(mover: NamedMover) -> str:
    before = f"on average {usd(mover.before_usd or Decimal(0))} an hour"
    if mover.before_usd is None:
        before = nothing_before(mover, "two weeks")
    return f"{caller(mover)}: {usd(mover.usd)} in the last hour, {before}{by_mode(mover)}"
