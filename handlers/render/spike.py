"""A spike as a message: dollars an hour first, then whose they are and why, then the ways out."""

from decimal import Decimal

from bot.alerts.decide import Reason, Status
from bot.alerts.model import SpikeAlert
from bot.budgets.budget_spend import NamedMover
from bot.messages import Block, Message
from bot.mode import NORMAL
from bot.money import percent, usd
from handlers.render.alert import INCIDENT_LIMIT, NOTHING_STOPPED
from handlers.render.elements import context, header, local_moment, moment, section
from handlers.render.escape import code, names, shown
from handlers.render.spend import (
    amount,
    by_mode,
    caller,
    cause_line,
    nothing_before,
    saving_line,
    stale_mark,
    switch_actions,
    switch_button,
    warning_lines,
    ways_out,
)


def spike_message(facts: SpikeAlert) -> Message:
    """The spike at its present step."""
    return Message("\n".join(_lines(facts)), _blocks(facts))


def _lines(facts: SpikeAlert) -> list[str]:
    spend = facts.spend
    budget = f"budget {shown(spend.budget)}, {shown(spend.scope)}"
    lines = [f"{stale_mark(spend)}{_state(facts)}: {_rate(facts)} ({budget})", _figures(facts), _spent(facts)]
    if facts.status is Status.OPEN:
        lines += [f"• {_mover_line(mover)}" for mover in facts.movers]
        lines += [f"• Why: {cause_line(cause)}" for cause in facts.causes]
        lines += [f"Fallback mode {saving_line(saving)}." for saving in ways_out(spend, facts.mode)]
    lines += warning_lines(spend)
    if facts.mode != NORMAL:
        lines.append(f"Fallback mode {shown(facts.mode)} is on.")
    lines.append(f"Incident {shown(facts.incident, INCIDENT_LIMIT)} · data as of {moment(spend.as_of)}")
    if facts.status is Status.OPEN:
        lines.append(NOTHING_STOPPED)
    return lines


def _blocks(facts: SpikeAlert) -> list[Block]:
    spend = facts.spend
    first = f"*{stale_mark(spend)}{_rate(facts)}*, {shown(spend.scope)}"
    blocks = [
        header(f"{_state(facts)}: {spend.budget}"),
        section("\n".join([first, _figures(facts), _spent(facts)])),
    ]
    if facts.status is Status.OPEN:
        blocks += _why(facts)
    warnings = warning_lines(spend)
    if warnings:
        blocks.append(section("\n".join(f"*{line}*" for line in warnings)))
    mode = "" if facts.mode == NORMAL else f" · fallback mode {shown(facts.mode)} is on"
    incident = code(facts.incident, INCIDENT_LIMIT)
    blocks.append(context(f"Incident {incident} · data as of {local_moment(spend.as_of)}{mode}"))
    if facts.status is Status.OPEN:
        blocks.append(context(f"*{NOTHING_STOPPED}*"))
    return blocks


def _why(facts: SpikeAlert) -> list[Block]:
    savings = ways_out(facts.spend, facts.mode)
    parts = (
        ("*Risen most in the last hour*", [_mover_line(mover) for mover in facts.movers]),
        ("*What changed*", [cause_line(cause) for cause in facts.causes]),
        ("*Ways out*", [f"Fallback mode {saving_line(saving)}" for saving in savings]),
    )
    blocks = [section("\n".join([title, *(f"• {line}" for line in lines)])) for title, lines in parts if lines]
    buttons = [switch_button(saving, facts.spend.as_of) for saving in savings]
    return [*blocks, switch_actions(buttons, facts.mode)] if buttons else blocks


def _state(facts: SpikeAlert) -> str:
    if facts.status is Status.RESOLVED:
        return "Spike resolved"
    if facts.status is not Status.OPEN:
        return "Spike not watched any more"
    return "Spike again" if facts.reason is Reason.SPIKE_AGAIN else "Spike"


def _rate(facts: SpikeAlert) -> str:
    usual = facts.usual_usd_per_hour
    return f"{usd(facts.long_usd_per_hour)} an hour, " + (
        "what is usual is not known" if usual is None else f"usually {usd(usual)}"
    )


def _figures(facts: SpikeAlert) -> str:
    figures = (
        f"The last ten minutes ran at {usd(facts.short_usd_per_hour)} an hour. It is a spike from "
        f"{usd(facts.limit_usd)} an hour on. First seen {moment(facts.since)}."
    )
    return f"{figures} Seen by these budgets too: {names(facts.within)}." if facts.within else figures


def _spent(facts: SpikeAlert) -> str:
    spend = facts.spend
    highest = spend.hard_usd or spend.soft_usd
    of = "" if highest is None else f" of {usd(highest)} ({percent(spend.spent_usd, highest)})"
    return f"Spent in {shown(spend.period)}: {amount(spend)}{of}."


def _mover_line(mover: NamedMover) -> str:
    before = f"on average {usd(mover.before_usd or Decimal(0))} an hour"
    if mover.before_usd is None:
        before = nothing_before(mover, "two weeks")
    return f"{caller(mover)}: {usd(mover.usd)} in the last hour, {before}{by_mode(mover)}"
