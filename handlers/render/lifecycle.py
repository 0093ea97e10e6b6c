"""Alerts of every kind: which functions draw them, and what people and time have done to them."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bot.alerts.incident import AlertKind, Status
from bot.alerts.lifecycle import Life, LifecycleStep, OpenAlert
from bot.alerts.model import SyntheticAlert
from bot.alerts.notice_contents import LifecycleEvent
from bot.amounts import span
from bot.budgets.budget import LimitKind
from bot.messages import Message, Part
from handlers.render.expected import expected_step
from handlers.render.parts import button, buttons, context, heading, lead, mention, moment, paragraph, shown
from handlers.render.spend import NOTHING_STOPPED


def renderer(kind: AlertKind) -> Callable[[Any], Message]:
    """`spike_message`, which draws a payload of that kind."""
    found: Callable[[Any], Message] = _named(kind, "message")
    return found


def open_line(alert: OpenAlert) -> str:
    """What is open, in a list: by `spike_line` for a spike."""
    line: Callable[[OpenAlert], str] = _named(alert.identity.kind, "line")
    return line(alert)


def _named(kind: AlertKind, what: str) -> Any:
    return getattr(import_module(f"handlers.render.{kind.module}_alert"), f"{kind.module}_{what}")


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
    parts = list(message.below_first_line(context(*_lines(life))).parts)
    parts.insert(_before_the_small_print(parts), _buttons(alert_id, life))
    return Message(parts)


def life_message(event: LifecycleEvent, headline: str) -> Message:
    """The reply about a step that a person or time has caused. `headline`: what the alert's message says first."""
    lines = [_what_happened(event)]
    if event.step in (LifecycleStep.ESCALATED, LifecycleStep.SNOOZE_OVER):
        lines.append(headline)
        if event.about.figures_as_of is not None:
            age = moment(event.about.figures_as_of)
            lines.append(f"That was as of {age}; `/claude-cost status` tells how it stands now.")
        lines.append("Whoever takes it clicks Acknowledge at the alert above.")
        if event.about.level is LimitKind.HARD and event.about.status is Status.OPEN:
            lines.append(NOTHING_STOPPED)
    return Message([paragraph(*lines)])


def _what_happened(event: LifecycleEvent) -> str:
    expected = expected_step(event)
    if expected is not None:
        return expected
    if event.step is LifecycleStep.ACKNOWLEDGED:
        return f"Acknowledged by {mention(event.by)}."
    if event.step is LifecycleStep.SNOOZED:
        until = "" if event.until is None else f" until {moment(event.until)}"
        return f"Snoozed by {mention(event.by)}{until}."
    if event.step is LifecycleStep.SNOOZE_OVER:
        return "The snooze is over, and this still stands."
    return f"Nobody has acknowledged this for {span(event.at - event.since)}."


def open_alert_lines(open_alerts: Sequence[OpenAlert]) -> list[str]:
    """Every alert that stands open on one line, the oldest first: what, since when, and who has it."""
    lines = [f"• {_open_alert(alert)}" for alert in open_alerts[:MOST_OPEN]]
    more = len(open_alerts) - MOST_OPEN
    return lines if more <= 0 else [*lines, f"and {more} more open alerts, opened later."]


def _open_alert(alert: OpenAlert) -> str:
    who_has_it = [*_lines(alert.life)] or ["nobody has acknowledged it"]
    return ", ".join([f"{open_line(alert)}: since {moment(alert.since)}", *map(_uncapitalized, who_has_it)]) + "."


def _uncapitalized(line: str) -> str:
    return line[:1].lower() + line[1:]


def _lines(life: Life) -> list[str]:
    lines = []
    if life.acknowledged_at is not None:
        lines.append(f"Acknowledged by {mention(life.acknowledged_by or '')} at {moment(life.acknowledged_at)}")
    if life.snoozed_until is not None:
        lines.append(f"Snoozed until {moment(life.snoozed_until)} by {mention(life.snoozed_by or '')}")
    if life.escalated_at is not None and life.acknowledged_at is None:
        lines.append(f"Told to the channel again at {moment(life.escalated_at)}: nobody has acknowledged it since")
    return lines


def _buttons(alert_id: int, life: Life) -> Part:
    elements = []
    if life.acknowledged_at is None:
        elements.append(button("Acknowledge", ACKNOWLEDGE_ACTION, str(alert_id), style="primary"))
    for minutes, name in SNOOZES.items():
        elements.append(button(f"Snooze {name}", f"{SNOOZE_ACTION}:{minutes}", str(alert_id)))
    return buttons(elements)


def _before_the_small_print(parts: Sequence[Part]) -> int:
    at = len(parts)
    while at > 1 and all(block["type"] == "context" for block in parts[at - 1].blocks):
        at -= 1
    return at


NOTHING = "nothing was spent and no limit is crossed"


def synthetic_alert_message(alert: SyntheticAlert) -> Message:
    """Who asked for it, and how to recognise a repeat. It looks like no real alert: no sum, no limit, test first."""
    return Message(
        [
            heading("Test alert"),
            lead(f"Test alert: {NOTHING}."),
            paragraph(f"{mention(alert.by)} asked for it. It came the way of real alerts, so those arrive here too."),
            context(f"Incident {shown(alert.incident)} · asked for {moment(alert.requested_at)}"),
        ]
    )
