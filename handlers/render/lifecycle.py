"""What people and time have done to an alert: lines and buttons on its message, and the replies in its thread."""

from collections.abc import Callable, Sequence
from datetime import datetime

from bot.alerts.decide import Reason, Status
from bot.alerts.lifecycle import Life, LifeStep, OpenAlert
from bot.alerts.model import LifecycleEvent, LimitAlert
from bot.budgets.budget import Level
from bot.messages import Block, Message
from bot.money import usd
from bot.phrases import span
from handlers.render.alert import NOTHING_STOPPED
from handlers.render.elements import actions, button, context, local_moment, moment, section
from handlers.render.escape import mention, shown
from handlers.render.spend import amount

ACKNOWLEDGE_ACTION = "alert_acknowledge"
SNOOZE_ACTION = "alert_snooze"

SNOOZES = {60: "1 h", 8 * 60: "8 h"}
"""Minutes, and how they are called."""

MOST_OPEN = 8
"""Alerts that `status` names one by one."""


def with_life(message: Message, alert_id: int, status: Status, life: Life) -> Message:
    """An incident's message with who has seen it, below its first line, and the buttons for those who have not."""
    if status is not Status.OPEN:
        return message
    first, *rest = message.text.split("\n")
    blocks = list(message.blocks)
    lines = _lines(life, moment)
    if lines:
        blocks.insert(1, context(" · ".join(_lines(life, local_moment))))
    blocks.insert(_before_the_small_print(blocks), _buttons(alert_id, life))
    return Message("\n".join([first, *lines, *rest]), blocks)


def life_message(facts: LifecycleEvent, headline: str) -> Message:
    """The reply about a step that a person or time has caused. `headline`: what the alert's message says first."""
    lines = [_what_happened(facts)]
    if facts.step in (LifeStep.ESCALATED, LifeStep.SNOOZE_OVER):
        lines.append(headline)
        if facts.about.figures_as_of is not None:
            age = moment(facts.about.figures_as_of)
            lines.append(f"That was as of {age}; `/claude-cost status` tells how it stands now.")
        lines.append("Whoever takes it clicks Acknowledge at the alert above.")
        if facts.about.level is Level.HARD and facts.about.status is Status.OPEN:
            lines.append(NOTHING_STOPPED)
    text = "\n".join(lines)
    return Message(text, [section(text)])


def step_message(facts: LimitAlert) -> Message:
    """The reply about a step that the figures have caused."""
    lines = [_step(facts), f"Data as of {moment(facts.spend.as_of)}."]
    blocks: list[Block] = [section(lines[0]), context(f"Data as of {local_moment(facts.spend.as_of)}")]
    return Message("\n".join(lines), blocks)


def _step(facts: LimitAlert) -> str:
    spent = amount(facts.spend)
    if facts.status is Status.SUPERSEDED:
        hard_usd = facts.spend.hard_usd
        if facts.level is Level.SOFT and hard_usd is not None:
            return f"Superseded: {spent} is spent, so that the next limit, {usd(hard_usd)}, is crossed too."
        return f"Superseded: {spent} is spent, more than the next mark."
    if facts.status is Status.RESOLVED:
        return f"Resolved: {spent} is spent, below {usd(facts.limit_usd)} again."
    if facts.status is Status.WITHDRAWN:
        return f"Withdrawn: {usd(facts.limit_usd)} is not in force any more."
    if facts.status is Status.CLOSED:
        return f"Period closed: {shown(facts.spend.period)} is over. What was known last is {spent}."
    again = "Open again" if facts.reason is Reason.FELL_BELOW_HARD else "Crossed again"
    return f"{again}: {spent} of {usd(facts.limit_usd)} is spent."


def _what_happened(facts: LifecycleEvent) -> str:
    if facts.step is LifeStep.ACKNOWLEDGED:
        return f"Acknowledged by {mention(facts.by)}."
    if facts.step is LifeStep.SNOOZED:
        until = "" if facts.until is None else f" until {moment(facts.until)}"
        return f"Snoozed by {mention(facts.by)}{until}."
    if facts.step is LifeStep.SNOOZE_OVER:
        return "The snooze is over, and this still stands."
    return f"Nobody has acknowledged this for {span(facts.at - facts.since)}."


def open_alert_lines(open_alerts: Sequence[OpenAlert]) -> list[str]:
    """Every alert that stands open on one line, the oldest first: what, since when, and who has it."""
    lines = [f"• {_open_alert(alert)}" for alert in open_alerts[:MOST_OPEN]]
    more = len(open_alerts) - MOST_OPEN
    return lines if more <= 0 else [*lines, f"and {more} more open alerts, opened later."]


def _open_alert(alert: OpenAlert) -> str:
    who_has_it = [*_lines(alert.life, moment)] or ["nobody has acknowledged it"]
    return ", ".join([f"{_what_is_open(alert)}: since {moment(alert.since)}", *map(_uncapitalized, who_has_it)]) + "."


def _what_is_open(alert: OpenAlert) -> str:
    subject, period, limit = shown(alert.subject), shown(alert.period), usd(alert.limit_usd)
    match alert.level:
        case Level.SOFT | Level.HARD:
            return f"{alert.level} limit {limit} of budget {subject} in {period}"
        case Level.THRESHOLD:
            return f"threshold {limit} of budget {subject} in {period}"
        case Level.FORECAST:
            return f"forecast above {limit} of budget {subject} in {period}"
        case Level.SPIKE:
            return f"spike in budget {subject}, from {limit} an hour"
        case Level.STALE:
            return "no data"
        case Level.DRIFT:
            return f"computed and billed differ for {period}"
        case Level.DELIVERY:
            return f"{subject} takes no alerts"
        case Level.PERIOD:
            return f"new period {period} of budget {subject}"


def _uncapitalized(line: str) -> str:
    return line[:1].lower() + line[1:]


def _lines(life: Life, told: Callable[[datetime], str]) -> list[str]:
    lines = []
    if life.acknowledged_at is not None:
        lines.append(f"Acknowledged by {mention(life.acknowledged_by or '')} at {told(life.acknowledged_at)}")
    if life.snoozed_until is not None:
        lines.append(f"Snoozed until {told(life.snoozed_until)} by {mention(life.snoozed_by or '')}")
    if life.escalated_at is not None and life.acknowledged_at is None:
        lines.append(f"Told to the channel again at {told(life.escalated_at)}: nobody has acknowledged it since")
    return lines


def _buttons(alert_id: int, life: Life) -> Block:
    elements = []
    if life.acknowledged_at is None:
        elements.append(button("Acknowledge", ACKNOWLEDGE_ACTION, str(alert_id), style="primary"))
    for minutes, name in SNOOZES.items():
        elements.append(button(f"Snooze {name}", f"{SNOOZE_ACTION}:{minutes}", str(alert_id)))
    return actions(elements)


def _before_the_small_print(blocks: list[Block]) -> int:
    at = len(blocks)
    while at > 1 and blocks[at - 1]["type"] == "context":
        at -= 1
    return at
