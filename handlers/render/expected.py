"""Expected spend: the button and form below an alert, its note, and the calendar of planned spend."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts.incident import Status
from bot.alerts.lifecycle import LifecycleStep
from bot.alerts.lifecycle_store import MAY_BE_EXPECTED, Handled
from bot.alerts.model import AlertPayload
from bot.alerts.notice_contents import LifecycleEvent
from bot.budgets.calendar import Entry, Reach, Window
from bot.budgets.calendar_store import Expectation, KeptEntry
from bot.clock import HOUR
from bot.language import tr, tr_noop
from bot.messages import Block, Message
from handlers.render.fields import plain_label, select_field
from handlers.render.parts import (
    button,
    buttons,
    code,
    context,
    fitting,
    lead,
    mention,
    moment,
    paragraph,
    plain,
    said,
    sentence,
    shown,
)
from handlers.render.raises import with_quiet_button

EXPECT_ACTION = "alert_expect"
UNDO_ACTION = "alert_expect_undo"
FORM = "alert_expected"
UNTIL = "until"
ROOM = 9000
MOST_BUTTONS = 5

CHOICES = {
    "1h": tr_noop("For 1 hour"),
    "4h": tr_noop("For 4 hours"),
    "today": tr_noop("Until the end of today"),
    "tomorrow": tr_noop("Until the end of tomorrow"),
}
"""Durations of an expectation in the form."""

LENGTHS: Mapping[str, timedelta] = {"1h": HOUR, "4h": 4 * HOUR}
DAYS = {"today": 1, "tomorrow": 2}


def with_expected(
    message: Message, payload: AlertPayload, alert_id: int, expected: Expectation | None, now: datetime
) -> Message:
    """An open alert about high spend, with the button, or with who expects it until when."""
    if payload.status is not Status.OPEN or payload.identity.kind not in MAY_BE_EXPECTED:
        return message
    if expected is None or not expected.holds(now):
        return with_quiet_button(message, button(tr("Expected"), EXPECT_ACTION, str(alert_id)))
    note = tr(
        "Expected until {until}, says {who}: spike and forecast alerts of this budget keep quiet until then.",
        until=moment(expected.until),
        who=mention(expected.by),
    )
    undo = button(tr("Not expected after all"), UNDO_ACTION, str(expected.id))
    return with_quiet_button(message.below_first_line(context(note)), undo)


def expected_step(event: LifecycleEvent) -> str | None:
    """The reply in the alert's thread; None for other steps."""
    if event.step is LifecycleStep.EXPECTED and event.until is not None:
        return tr("{who} expects this until {until}.", who=mention(event.by), until=moment(event.until))
    if event.step is LifecycleStep.NOT_EXPECTED:
        return tr("{who} does not expect this any more.", who=mention(event.by))
    return None


def expected_form(alert_id: int, response_url: str) -> Block:
    """Form that asks until when."""
    choices = {value: tr(text) for value, text in CHOICES.items()}
    about = paragraph(tr("Spike and forecast alerts of this budget keep quiet until then. Limits still alert."))
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": json.dumps({"response_url": response_url, "alert": alert_id}),
        "title": plain_label(tr("Expected")),
        "submit": plain_label(tr("Save")),
        "close": plain_label(tr("Cancel")),
        "blocks": [*about.blocks, select_field(UNTIL, tr("Until when"), choices, "4h")],
    }


def alert_of(view: Mapping[str, Any]) -> int:
    """The alert of a submitted form; 0, an id of none, if forged."""
    try:
        return int(json.loads(str(view.get("private_metadata") or ""))["alert"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def expected_answer(handled: Handled) -> Message:
    """The answer to the person who expects it."""
    if handled.outcome == "done" and handled.life.snoozed_until is not None:
        text = tr(
            "Noted: spike and forecast alerts of this budget keep quiet until {until}.",
            until=moment(handled.life.snoozed_until),
        )
        return said(text)
    if handled.outcome == "over":
        return said(tr("Nothing was changed: this alert is not open any more."))
    return said(tr("Nothing was changed: the bot does not know this alert."))


def undo_answer(found: Expectation | None) -> Message:
    """The answer to the person who withdraws it."""
    if found is None:
        return said(tr("Nothing was changed: this is not expected any more."))
    return said(tr("Spike and forecast alerts of budget {budget} come again.", budget=shown(found.subject)))


def calendar_list(
    kept: Sequence[KeptEntry], following: Sequence[Window | None], expected: Sequence[Expectation]
) -> Message:
    """All planned entries, each with its next time, and current expectations."""
    lines = [f"• {_entry(one, window)}" for one, window in zip(kept, following, strict=True)]
    lines += [
        "• "
        + tr(
            "Budget {budget} is expected to spend more until {until}, says {who}.",
            budget=shown(each.subject),
            until=moment(each.until),
            who=mention(each.by),
        )
        for each in expected
    ]
    if not lines:
        text = tr("Nothing is planned. {command} adds something.", command=code(ADD_EXAMPLE, 120))
        return said(text)
    listed = [line for [line] in fitting(([line] for line in lines), ROOM)]
    if len(listed) < len(lines):
        listed.append(tr("and {number} more, which do not fit into one message.", number=len(lines) - len(listed)))
    undo = [
        button(tr("Not expected: {budget}", budget=plain(each.subject, 40)), f"{UNDO_ACTION}:{each.id}", str(each.id))
        for each in expected[:MOST_BUTTONS]
    ]
    title = tr("Spike and forecast alerts keep quiet at these times, and forecasts plan for them.")
    return Message([lead(title), paragraph(*listed), buttons(undo)])


ADD_EXAMPLE = 'calendar add "batch night" every fri 22:00 for 6h'


NARROW = {
    Reach.LOGGED: tr_noop(
        "This concerns budgets that count your applications' log alone: Anthropic's data does not say which usage is "
        "of {scope}, so spikes of all other budgets still alert. To keep those quiet too, leave out for=, or name a "
        "key or workspace."
    ),
    Reach.ATTRIBUTED: tr_noop(
        "This concerns budgets that count what Anthropic attributes alone: its usage by the hour does not say what is "
        "of {scope}, so spikes of all other budgets still alert. To keep those quiet too, leave out for=, or name a "
        "key or workspace."
    ),
}
"""Which alerts an entry with such a scope does not mute, and why."""


def was_added(entry: Entry, following: Window | None, replaced: bool, reach: Reach) -> Message:
    """The answer to whoever added it. `reach`: which budgets it affects."""
    values = {"name": code(entry.name), "what": _what(entry)}
    text = tr("Changed: {name}, {what}.", **values) if replaced else tr("Added: {name}, {what}.", **values)
    lines = [text] if following is None else [text, _next(following)]
    lines.append(tr("Spike and forecast alerts keep quiet then; limits still alert."))
    if reach in NARROW:
        lines.append(tr(NARROW[reach], scope=shown(str(entry.scope))))
    return Message([paragraph(*lines)])


def would_quiet_nothing(entry: Entry) -> Message:
    """The refusal of a scope that no budget counts, if only such a budget could be muted."""
    return said(
        tr(
            "Nothing was changed: {scope} would keep nothing quiet, since no budget counts it and the usage of the "
            "other budgets does not say what is of it. Leave out for=, name a key or workspace, or set a budget "
            "for={scope} first.",
            scope=shown(str(entry.scope)),
        )
    )


def was_removed(name: str) -> Message:
    """The answer to whoever removed it."""
    return said(tr("Removed from the calendar: {name}.", name=code(name)))


def not_in_calendar(name: str, near: str | None) -> Message:
    """The answer if there is no entry with that name."""
    if near is not None:
        text = tr("The calendar has no {name}. Did you mean {near}?", name=code(name), near=code(near))
        return said(text)
    return said(tr("The calendar has no {name}: `calendar list` shows what it has.", name=code(name)))


def would_count_nothing(entry: Entry, why: str) -> Message:
    """The refusal of an unknown scope."""
    scope = shown(str(entry.scope))
    return said(tr("Nothing was changed: {scope} would count nothing. {why}", scope=scope, why=sentence(why)))


def _entry(one: KeptEntry, following: Window | None) -> str:
    line = tr(
        "{name}: {what}. Added by {who}.", name=shown(one.entry.name), what=_what(one.entry), who=mention(one.added_by)
    )
    return line if following is None else f"{line} {_next(following)}"


def _what(entry: Entry) -> str:
    scope = "" if entry.scope is None else f" for={shown(str(entry.scope))}"
    return f"{shown(entry.words(), 120)}{scope}"


def _next(window: Window) -> str:
    return tr("Next: {start} to {end}.", start=moment(window.starts_at), end=moment(window.ends_at))
