"""A spike as a message: dollars an hour first, then whose they are and why, then the ways out."""

from decimal import Decimal

from bot.alerts.incident import Status
from bot.alerts.lifecycle import OpenAlert
from bot.alerts.spike import SpikeAlert
from bot.alerts.spike_rates import SpikeReason
from bot.amounts import percent, usd
from bot.budgets.budget_spend import BudgetSpend, NamedMover
from bot.messages import Message
from handlers.render.parts import context, heading, lead, moment, names, paragraph, shown, warning
from handlers.render.raises import raised_lines
from handlers.render.spend import (
    NOTHING_STOPPED,
    amount,
    by_mode,
    caller,
    closing,
    in_its_period,
    nothing_before,
    stale_mark,
    warning_lines,
    ways_out_parts,
    who_and_why,
)


def spike_message(alert: SpikeAlert) -> Message:
    """A spike at its present step: dollars an hour first, then whose they are and why, then the ways out."""
    spend = alert.spend
    parts = [
        heading(f"{_state(alert)}: {spend.budget}"),
        lead(
            f"{stale_mark(spend)}{_state(alert)}: {_rate(alert)} (budget {shown(spend.budget)}, {shown(spend.scope)})"
        ),
        paragraph(_rates(alert), _spent_of_limit(spend), *raised_lines(spend.raised)),
        warning(*warning_lines(spend)),
    ]
    if alert.status is Status.OPEN:
        parts += [who_and_why("Risen most in the last hour", [_risen(mover) for mover in alert.movers], alert.causes)]
        parts += ways_out_parts(spend, alert.mode)
    parts += closing(alert.incident, spend, alert.mode)
    return Message([*parts, context(NOTHING_STOPPED, bold=True)] if alert.status is Status.OPEN else parts)


def spike_line(alert: OpenAlert) -> str:
    """What is open, in a list."""
    rate = "" if alert.bound_usd_per_hour is None else f", from {usd(alert.bound_usd_per_hour)} an hour"
    return f"spike in budget {shown(alert.identity.subject)}{rate}"


def _state(alert: SpikeAlert) -> str:
    if alert.status is Status.RESOLVED:
        return "Spike resolved"
    if alert.status is not Status.OPEN:
        return "Spike not watched any more"
    return "Spike again" if alert.reason == SpikeReason.AGAIN else "Spike"


def _rate(alert: SpikeAlert) -> str:
    usual = alert.usual_usd_per_hour
    return f"{usd(alert.long_usd_per_hour)} an hour, " + (
        "what is usual is not known" if usual is None else f"usually {usd(usual)}"
    )


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
