"""Alerts of every kind: their renderers, and what people and time have done to them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from bot.alerts.incident import AlertKind, Status
from bot.alerts.lifecycle import Life, LifecycleStep, OpenAlert
from bot.alerts.model import SyntheticAlert
from bot.alerts.notice_contents import LifecycleEvent
from bot.amounts import exact_span, span
from bot.budgets.budget import LimitKind
from bot.language import tr
from bot.listed import comma_list
from bot.messages import Message, Part
from handlers.render.expected import expected_step
from handlers.render.layout import layout
from handlers.render.parts import button, buttons, context, escape, lead, mention, moment, paragraph, said, shown
from handlers.render.spend import NOTHING_STOPPED


def renderer(kind: AlertKind) -> Callable[[Any], Message]:
    """The function that renders a payload of that kind, such as `spike_message`."""
    found: Callable[[Any], Message] = _named(kind, "message")
    return found


def open_line(alert: OpenAlert) -> str:
    """The open alert in a list, rendered by `spike_line` for a spike."""
    line: Callable[[OpenAlert], str] = _named(alert.identity.kind, "line")
    return line(alert)


def _named(kind: AlertKind, what: str) -> Any:
    return getattr(import_module(f"handlers.render.{kind.module}_alert"), f"{kind.module}_{what}")


ACKNOWLEDGE_ACTION = "alert_acknowledge"
SNOOZE_ACTION = "alert_snooze"

SNOOZES = (60, 8 * 60)
"""Offered snoozes in minutes."""

MOST_OPEN = 8
"""Most alerts that `status` lists one by one."""


def with_life(message: Message, alert_id: int, status: Status, life: Life) -> Message:
    """An incident's message with its acknowledgement below the first line, or the buttons."""
    if status is not Status.OPEN:
        return message
    parts = list(message.below_first_line(context(*_lines(life))).parts)
    parts.insert(_where_buttons_go(parts), _buttons(alert_id, life))
    return Message(parts)


def life_message(event: LifecycleEvent, headline: str) -> Message:
    """The reply about a step caused by a person or time. `headline`: first line of the alert's message."""
    lines = [_what_happened(event)]
    if event.step in (LifecycleStep.ESCALATED, LifecycleStep.SNOOZE_OVER):
        lines.append(headline)
        if event.about.figures_as_of is not None:
            age = moment(event.about.figures_as_of)
            lines.append(tr("That was as of {time}; `/claude-cost status` shows how it stands now.", time=age))
        lines.append(tr("Whoever takes it clicks Acknowledge at the alert above."))
        if event.about.level is LimitKind.HARD and event.about.status is Status.OPEN:
            lines.append(tr(NOTHING_STOPPED))
    return Message([paragraph(*lines)])


def _what_happened(event: LifecycleEvent) -> str:
    expected = expected_step(event)
    if expected is not None:
        return expected
    if event.step is LifecycleStep.ACKNOWLEDGED:
        return tr("Acknowledged by {user}.", user=mention(event.by))
    if event.step is LifecycleStep.SNOOZED:
        if event.until is None:
            return tr("Snoozed by {user}.", user=mention(event.by))
        return tr("Snoozed by {user} until {until}.", user=mention(event.by), until=moment(event.until))
    if event.step is LifecycleStep.SNOOZE_OVER:
        return tr("The snooze is over, and this still stands.")
    return tr("Nobody has acknowledged this for {span}.", span=span(event.at - event.since))


def open_alert_lines(open_alerts: Sequence[OpenAlert]) -> list[str]:
    """Every open alert on one line, oldest first: what, since when, and who has acknowledged it."""
    lines = [f"• {_open_alert(alert)}" for alert in open_alerts[:MOST_OPEN]]
    more = len(open_alerts) - MOST_OPEN
    return lines if more <= 0 else [*lines, tr("and {number} more open alerts, opened later.", number=more)]


def open_alerts_message(opened: Sequence[tuple[OpenAlert, str | None]]) -> Message:
    """The open alerts, each with the link to its message, and what the buttons there do."""
    if not opened:
        return said(tr("No alert is open."))
    lines = [
        f"• {_open_alert(alert)}" if link is None else f"• {_open_alert(alert)} <{escape(link)}|{tr('open it')}>"
        for alert, link in opened[:MOST_OPEN]
    ]
    if len(opened) > MOST_OPEN:
        lines.append(tr("and {number} more open alerts, opened later.", number=len(opened) - MOST_OPEN))
    uses = [
        tr("• *Acknowledge* or *Snooze*: no reminders."),
        tr("• *Expected*, at spikes and forecasts: spike and forecast alerts of that budget keep quiet for a while."),
        tr("• *Switch to …*: spend less, in another fallback mode."),
        tr("• *Raise this limit*: a higher limit until a time that you choose."),
    ]
    return Message([lead(tr("Open alerts:"), *lines), paragraph(tr("The buttons below an alert:"), *uses)])


def _open_alert(alert: OpenAlert) -> str:
    who_has_it = [*_lines(alert.life)] or [tr("nobody has acknowledged it")]
    return tr(
        "{alert}: since {since}, {life}.",
        alert=open_line(alert),
        since=moment(alert.since),
        life=comma_list([_uncapitalized(line) for line in who_has_it]),
    )


def _uncapitalized(line: str) -> str:
    return line[:1].lower() + line[1:]


def _lines(life: Life) -> list[str]:
    lines = []
    if life.acknowledged_at is not None:
        by, at = mention(life.acknowledged_by or ""), moment(life.acknowledged_at)
        lines.append(tr("Acknowledged by {user} at {time}", user=by, time=at))
    if life.snoozed_until is not None:
        by, until = mention(life.snoozed_by or ""), moment(life.snoozed_until)
        lines.append(tr("Snoozed until {until} by {user}", until=until, user=by))
    if life.escalated_at is not None and life.acknowledged_at is None:
        lines.append(tr("Reported again at {time}, and nobody has acknowledged it yet", time=moment(life.escalated_at)))
    return lines


def _buttons(alert_id: int, life: Life) -> Part:
    elements = []
    if life.acknowledged_at is None:
        elements.append(button(tr("Acknowledge"), ACKNOWLEDGE_ACTION, str(alert_id)))
    for minutes in SNOOZES:
        name = exact_span(timedelta(minutes=minutes))
        elements.append(button(tr("Snooze {span}", span=name), f"{SNOOZE_ACTION}:{minutes}", str(alert_id)))
    return buttons(elements)


def _where_buttons_go(parts: Sequence[Part]) -> int:
    """Index for the buttons: below the switch buttons, or else above the details."""
    for number, part in enumerate(parts):
        if any(block["type"] == "actions" for block in part.blocks):
            return number + 1
    for number, part in enumerate(parts):
        if part.is_folded:
            return number
    return len(parts)


def synthetic_alert_message(alert: SyntheticAlert) -> Message:
    """Who requested it, and how to recognise a repeat. Looks like no real alert: no sum, no limit, test first."""
    asked = tr("{user} asked for it. It came the way of real alerts, so those arrive here too.", user=mention(alert.by))
    return layout(
        tr("Test alert: nothing was spent and no limit is crossed."),
        [asked],
        small_print=[
            context(
                tr(
                    "Incident {incident} · asked for {time}",
                    incident=shown(alert.incident),
                    time=moment(alert.requested_at),
                )
            )
        ],
    )
