"""An incident as a message: the number first, then what it means, then what to do."""

from bot.alerts.facts import AlertFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Reason, Status
from bot.fallback.modes import NORMAL
from bot.message import Block, Message
from bot.money import percent, usd
from handlers.blocks.elements import actions, context, escape, header, local_moment, moment, section
from handlers.blocks.spend import (
    amount,
    assumed_line,
    at_least_line,
    mover_line,
    pace_line,
    parts_line,
    saving_line,
    switch_button,
    worthwhile,
)

NOTHING_STOPPED = "Nothing has been stopped: only the limit in Anthropic's Console stops requests."


def alert_message(facts: AlertFacts, related_link: str | None) -> Message:
    """The incident at its present step. `related_link`: the other level's message, where there is one."""
    lines = [_figures(facts), *_standing(facts, related_link), *_outlook(facts)]
    closing = [f"Incident {escape(facts.incident)} · data as of {moment(facts.spend.as_of)}"]
    if facts.level is Level.HARD:
        closing.append(NOTHING_STOPPED)
    return Message("\n".join(_first_line(facts) + lines + closing), _blocks(facts, related_link))


def _first_line(facts: AlertFacts) -> list[str]:
    return [f"{_sum(facts)}: {_what_happened(facts)}, budget {escape(facts.spend.budget)}"]


def _sum(facts: AlertFacts) -> str:
    share = percent(facts.spend.spent_usd, facts.limit_usd)
    return f"{amount(facts.spend)} of {usd(facts.limit_usd)} ({share})"


def _what_happened(facts: AlertFacts) -> str:
    limit = f"{facts.level} limit"
    if facts.status is Status.OPEN:
        return f"{limit} crossed" if facts.reason is not Reason.CROSSED_AGAIN else f"{limit} crossed again"
    if facts.status is Status.SUPERSEDED:
        return f"{limit} crossed, superseded"
    if facts.status is Status.WITHDRAWN:
        return f"{limit} changed, this one is not in force any more"
    return f"{limit} resolved, spend is below it again"


def _figures(facts: AlertFacts) -> str:
    return f"Period {facts.spend.period}, {escape(facts.spend.scope)}: {parts_line(facts.spend)}."


def _standing(facts: AlertFacts, related_link: str | None) -> list[str]:
    lines = []
    link = f": <{related_link}|its message>" if related_link else ""
    if facts.status is Status.SUPERSEDED:
        lines.append(f"The next limit, {usd(facts.spend.hard_usd or facts.limit_usd)}, is crossed too{link}.")
    elif facts.level is Level.HARD and facts.spend.soft_usd is not None and facts.status is Status.OPEN:
        lines.append(f"The soft limit of {usd(facts.spend.soft_usd)} is passed too{link}.")
    elif facts.reason is Reason.FELL_BELOW_HARD and facts.level is Level.HARD and facts.spend.soft_usd is not None:
        lines.append(f"Spend is still at or above the soft limit of {usd(facts.spend.soft_usd)}.")
    elif facts.level is Level.SOFT and facts.spend.hard_usd is not None and facts.status is Status.OPEN:
        lines.append(f"The next limit is {usd(facts.spend.hard_usd)}.")
    return lines


def _outlook(facts: AlertFacts) -> list[str]:
    spend = facts.spend
    lines = [line for line in (assumed_line(spend), at_least_line(spend)) if line is not None]
    if facts.status is not Status.OPEN:
        return lines
    lines.append(pace_line(spend))
    lines += [f"• {mover_line(mover)}" for mover in spend.movers]
    lines += [f"Fallback mode {saving_line(saving)}." for saving in spend.savings]
    if facts.mode != NORMAL:
        lines.append(f"Fallback mode {facts.mode} is on.")
    return lines


def _blocks(facts: AlertFacts, related_link: str | None) -> list[Block]:
    spend = facts.spend
    blocks = [
        header(f"{_what_happened(facts).capitalize()}: {spend.budget}"),
        section(f"*{_sum(facts)}* in {spend.period}\n" + "\n".join([_figures(facts), *_standing(facts, related_link)])),
    ]
    if facts.status is Status.OPEN:
        blocks.append(section(pace_line(spend)))
        if spend.movers:
            blocks.append(section("*Largest in the last 24 hours*\n" + _bullets([mover_line(m) for m in spend.movers])))
        if spend.savings:
            blocks.append(
                section("*Ways out*\n" + _bullets([f"Fallback mode {saving_line(s)}" for s in spend.savings]))
            )
        buttons = [switch_button(saving) for saving in worthwhile(spend.savings)]
        if buttons:
            blocks.append(actions(buttons))
    warnings = [line for line in (assumed_line(spend), at_least_line(spend)) if line is not None]
    if warnings:
        blocks.append(section("\n".join(f"*{line}*" for line in warnings)))
    mode = "" if facts.mode == NORMAL else f" · fallback mode {escape(facts.mode)} is on"
    blocks.append(context(f"Incident `{escape(facts.incident)}` · data as of {local_moment(spend.as_of)}{mode}"))
    if facts.level is Level.HARD:
        blocks.append(context(f"*{NOTHING_STOPPED}*"))
    return blocks


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"• {line}" for line in lines)
