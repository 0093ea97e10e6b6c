"""The fallback mode in Slack: the command, buttons and form. Permissions are checked at the moment of the change.

Buttons never expire in old messages, so each click looks up the current state and checks permissions again.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.asks import Ask, Place, Wanted
from bot.db.state import Person
from bot.fallback.approvals import NotApprovedError
from bot.fallback.impact import Overview, own_saving
from bot.fallback.service import ModeState
from bot.language import ENGLISH, in_language, kept, tr, tr_lazy, tr_noop
from bot.messages import Block, Message, in_utc
from bot.mode import DEGRADED, NORMAL, Mode
from bot.modes.changes import Cause, DurationError, duration, switch_words
from bot.modes.model import Proposal
from bot.notify.model import Address
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import first_word, nearest, words_in
from handlers.asking import command_ask, refused
from handlers.render.fallback import (
    FORM_ACTION,
    already,
    costs_more,
    history_message,
    mode_and_until,
    mode_status,
    not_cheaper,
    switched,
)
from handlers.render.fields import filled_fields
from handlers.render.forms import FALLBACK_FORM, LASTS, MODE, REASON, change_form, text_view
from handlers.render.parts import code, moment, names, said, sentence, shown
from handlers.render.proposal import APPROVE_ACTION, REJECT_ACTION, asked_message, closed_message
from handlers.render.spend import SWITCH_ACTION, drawn_for, drawn_of
from handlers.render.verification import PROOF_DISMISS, proof_message
from handlers.requests import (
    SETTLES_SECONDS,
    Click,
    Request,
    answering,
    click_of,
    dated,
    form_taken,
    in_time,
    on_click,
    open_view,
    person_of,
    replace,
    reply,
    response_url_of,
    update_view,
)

ACTIONS = ("status", "on", "off", "auto", "history")
MOST_HISTORY = 15


async def fallback_command(services: Services, request: Request) -> Message:
    """`fallback [status | on [MODE] [for TIME] [because …] | off [because …] | auto on|off | history]`."""
    action, rest = first_word(request.typed)
    action = action.lower() or "status"
    if action in ("status", "history"):
        if more := words_in(rest):
            values = {"word": code(more[0]), "action": action}
            return said(tr("{word} is not known here: `fallback {action}` takes no words.", **values))
        return await services.threads.commands(_status if action == "status" else _history, services)
    if action == "auto":
        return await _auto(services, request.person, rest)
    if action not in ACTIONS:
        return said(_not_an_action(services, action))
    try:
        asked = switch_words(rest)
    except DurationError as error:
        return said(tr("Nothing was changed: {why}", why=sentence(str(error))))
    if action == "on":
        wrong = _not_a_mode(services, asked.mode.split()) if asked.mode else None
        if wrong is not None:
            return said(wrong)
        mode, words = asked.mode or DEGRADED, f"fallback {request.words}"
        return await switch_to(services, request.person, mode, asked.reason, lasts=asked.lasts, words=words)
    if asked.mode or asked.lasts is not None:
        extra = code(asked.mode) if asked.mode else tr("the time")
        text = tr(
            "`fallback off` takes no mode and no time: remove {extra}, or give a reason after because.", extra=extra
        )
        return said(text)
    return await switch_to(services, request.person, NORMAL, asked.reason, words=f"fallback {request.words}")


async def switch_to(
    services: Services,
    person: Person,
    name: str,
    reason: str,
    *,
    lasts: timedelta | None = None,
    until: datetime | None = None,
    drawn_for: str | None = None,
    message: Address | None = None,
    words: str = "",
    budget: str = "",
) -> Message:
    """Switch, if this user may and the mode exists; otherwise say why nothing was changed.

    `lasts`: for how long. `until`: end time instead, for the way back to a mode that had an end; ignored if past.
    `drawn_for`: the mode in force when the clicked button was drawn; None if typed. `message`: where it was clicked;
    somebody without permission asks the admins in the thread of an alert. `words`: the same as a command, for an admin
    to type. `budget`: the budget whose saving the button showed, if not the organization's.
    """
    mode = services.fallback.modes.get(name.lower())
    if mode is None:
        modes = names(list(services.fallback.modes))
        text = tr("Nothing was changed: there is no mode {mode}; the modes are {modes}.", mode=code(name), modes=modes)
        return said(text)
    permission = await services.admins.may_switch(person)
    if permission.refusal is not None:
        ask = command_ask(words) if words else await _mode_ask(services, mode.name, message)
        return refused(services, person, permission, "mode", mode.name, ask)
    if mode.name == NORMAL and lasts is not None:
        return said(tr("Nothing was changed: normal takes no time, since it does not end by itself."))
    return await services.threads.commands(_switch, services, person.id, mode, reason, lasts, until, drawn_for, budget)


async def _mode_ask(services: Services, mode: str, message: Address | None) -> Ask:
    """A request for a mode: in the thread of the alert whose button was clicked, or else in the alert channel."""
    alert_id = None if message is None else await services.threads.commands(services.lifecycle.alert_at, message)
    return Ask(Wanted.MODE, mode) if alert_id is None else Ask(Wanted.MODE, mode, Place.ALERT, alert_id)


def _not_a_mode(services: Services, words: list[str]) -> str | None:
    """Why the words after `fallback on` are rejected, if they are more than a mode or a time."""
    word = words[-1] if len(words) < 2 else words[1]
    try:
        duration(word)
    except DurationError:
        if len(words) < 2:
            return None
        command = None
    else:
        meant = "" if len(words) < 2 else words[0].lower()
        known = not meant or meant in services.fallback.modes
        command = f"`fallback on{meant and f' {shown(meant)}'} for {shown(word)}`" if known else None
    text = tr(
        "Nothing was changed: {word} is not known here. Give a time after for, and a reason after because.",
        word=code(word),
    )
    return text if command is None else _with_hint(text, command)


def _not_an_action(services: Services, action: str) -> str:
    text = tr("{word} is not known here: use fallback status, on, off, auto or history.", word=code(action))
    meant = nearest(action, ACTIONS)
    if action in services.fallback.modes:
        meant = "off" if action == NORMAL else f"on {action}"
    return _with_hint(text, f"`fallback {meant}`") if meant else text


def _with_hint(text: str, command: str) -> str:
    return tr("{text} Did you mean {command}?", text=text, command=command)


def _switch(
    services: Services,
    user: str,
    mode: Mode,
    reason: str,
    lasts: timedelta | None,
    until: datetime | None,
    drawn_for: str | None,
    budget: str,
) -> Message:
    fallback, now = services.fallback, services.clock()
    before = fallback.in_force()
    ends = now + lasts if lasts is not None else until
    if ends is not None and ends <= now:
        ends = None
    if before.mode.name == mode.name and ends in (None, before.until):
        return already(fallback.state())
    impact = services.mode_impacts.of(mode, ends)
    if impact.not_cheaper is not None:
        with in_language(ENGLISH):
            kept = in_utc(not_cheaper(mode.name, impact.not_cheaper, impact.as_of))
        fallback.refused(user, "mode", f"{mode.name}: {kept}")
        return said(not_cheaper(mode.name, impact.not_cheaper, impact.as_of))
    if drawn_for not in (None, before.mode.name) and impact.steps_back:
        return said(costs_more(mode.name, before.mode.name, drawn_for or "", impact))
    if services.approvals.are_needed(mode):
        left = None if ends is None else ends - now
        return asked_message(services.approvals.ask(mode, user, reason, left, impact))
    own = None
    if budget:
        spend = services.review.spend_by_name([budget], now).get(budget)
        own = own_saving(spend, mode.name, before.mode.name, ends)
    after = fallback.switch(mode, user, reason, impact.savings, impact.as_of, costs=impact.costs, until=ends)
    # Redraw at once, so that no open alert offers the mode in force.
    services.lifecycle.show_mode(after.mode.name, now, partial(services.review.spend_by_name, now=now))
    return switched(after, before.mode.name, before.until, impact, own)


def _status(services: Services) -> Message:
    fallback = services.fallback
    return mode_status(fallback.state(), fallback.auto(), services.mode_impacts.overview())


def _history(services: Services) -> Message:
    return history_message(services.fallback.history(MOST_HISTORY))


async def _auto(services: Services, person: Person, words: str) -> Message:
    listed = [word.lower() for word in words_in(words)]
    word = "".join(listed[:1])
    if extra := listed[1:]:
        text = tr(
            "Nothing was changed: {word} is not known here: use `fallback auto on` or `… off`.", word=code(extra[0])
        )
        return said(text)
    if word not in ("on", "off"):
        return said(tr("Nothing was changed: use `fallback auto on` or `fallback auto off`."))
    permission = await services.admins.may_switch(person, tr_noop("say whether the chain steps down by itself"))
    if permission.refusal is not None:
        return refused(services, person, permission, "auto", word, command_ask(f"fallback auto {word}"))
    await services.threads.commands(services.fallback.set_auto, person.id, on=word == "on")
    if word == "on":
        levels = names(sorted(services.fallback.rules.auto_levels))
        text = tr("From now on the chain steps down by itself at an alert of these levels: {levels}.", levels=levels)
        return said(text)
    return said(_what_remains(await services.threads.commands(services.fallback.state)))


def _what_remains(state: ModeState) -> str:
    """What still happens automatically once the chain no longer steps down."""
    if state.ends is None:
        return tr("From now on the chain does not step down by itself. The mode changes only when an admin changes it.")
    values = {"mode": shown(state.mode.name), "time": moment(state.ends.at)}
    if state.ends.cause is Cause.TIME:
        return tr(
            "From now on the chain does not step down by itself. Fallback mode {mode} still returns to normal by "
            "itself {time}, because its time is over then; `fallback off` ends it now.",
            **values,
        )
    return tr(
        "From now on the chain does not step down by itself. Fallback mode {mode} still returns to normal by itself "
        "{time}, because a new period begins then; `fallback off` ends it now.",
        **values,
    )


ERROR_LIMIT = 300

TITLE = tr_noop("Fallback mode")

NO_PROPOSAL = 0
"""Id of no proposal, for a forged button."""

NOT_DISMISSED = {
    "already": tr_noop("Nothing was changed: somebody has dismissed it already."),
    "over": tr_noop("Nothing was changed: this change of the fallback mode is not watched any more."),
    "unknown": tr_noop(
        "Nothing was changed: the bot does not know this change of the fallback mode; it may be from before its "
        "database was replaced."
    ),
}


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that switch, approve, reject and dismiss, and to the form."""

    async def on_dismiss(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await _dismiss(services, body, click_of(body, action))

    async def on_open(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            person = person_of(body)
            view, permission = await asyncio.gather(
                change_view(services, response_url_of(body) or ""), in_time(services.admins.may_switch(person))
            )
            # If Slack is slow to list members of a group, the form checks again when it is submitted.
            if permission is not None and permission.refusal is not None:
                answer = refused(services, person, permission, "mode", "form", Ask(Wanted.OTHER_MODE))
                await reply(services, body, answer)
                return
            if not await open_view(client, body, view):
                await reply(
                    services, body, said(tr("The form could not be opened. Type it, as in `fallback on for 2h`."))
                )

    async def on_submit(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        values = filled_fields(body["view"]["state"])
        # There is no channel to answer in.
        from_home = response_url_of(body) is None
        shows = (lambda: text_view(tr(TITLE), said(tr("Changing …")))) if from_home else None
        if not await form_taken(services, body, ack, lambda: _mistakes(services, values)[0], shows):
            return
        async with answering(services, in_flight, body):
            _, lasts = _mistakes(services, values)
            mode, reason, words = values[MODE], values.get(REASON, ""), _as_typed(values)
            switched_to = await switch_to(services, person_of(body), mode, reason, lasts=lasts, words=words)
            answer = await dated(services, switched_to)
            if from_home:
                await asyncio.sleep(SETTLES_SECONDS)
                await update_view(client, str(body["view"]["id"]), text_view(tr(TITLE), answer))
            else:
                await reply(services, body, answer)

    app.action(re.compile(f"^{SWITCH_ACTION}:"))(on_click(services, in_flight, switch_clicked))
    app.action(APPROVE_ACTION)(on_click(services, in_flight, _approve))
    app.action(REJECT_ACTION)(on_click(services, in_flight, _reject))
    app.action(PROOF_DISMISS)(on_dismiss)
    app.action(FORM_ACTION)(on_open)
    app.view(FALLBACK_FORM)(on_submit)


async def change_view(services: Services, response_url: str) -> Block:
    """The form that changes the mode; without content from the database if that takes long."""
    form = await in_time(services.threads.commands(_form, services, response_url))
    return form or _bare_form(services, response_url)


def _as_typed(values: dict[str, str]) -> str:
    """The command equivalent to the form."""
    lasts = f" for {values[LASTS]}" if values.get(LASTS) else ""
    because = f" because {values[REASON]}" if values.get(REASON) else ""
    action = "off" if values[MODE] == NORMAL else f"on {values[MODE]}"
    return f"fallback {action}{lasts}{because}"


async def switch_clicked(services: Services, click: Click) -> Message:
    """Switch to the mode of a button, as of the moment of the click."""
    mode, until = mode_and_until(click.value)
    answer = await switch_to(
        services,
        click.person,
        mode,
        kept(tr_lazy("button in the channel")),
        until=until,
        drawn_for=drawn_for(click.row),
        message=click.message,
        budget=drawn_of(click.row),
    )
    return await dated(services, answer)


async def _approve(services: Services, click: Click) -> Message:
    return await dated(services, await _decided(services, click, services.approvals.approve))


async def _reject(services: Services, click: Click) -> Message:
    return await dated(services, await _decided(services, click, services.approvals.reject))


async def _decided(services: Services, click: Click, decide: Callable[[int, str], Proposal]) -> Message:
    permission = await services.admins.may_switch(click.person)
    if permission.refusal is not None:
        ask = Ask(Wanted.DECISION, "", Place.PROPOSAL, click.id or NO_PROPOSAL)
        return refused(services, click.person, permission, "proposal", "", ask)
    try:
        return closed_message(await services.threads.commands(decide, click.id or NO_PROPOSAL, click.person.id))
    except NotApprovedError as error:
        return said(sentence(str(error)))


async def _dismiss(services: Services, body: dict[str, Any], click: Click) -> None:
    """Report no more about a change. Anybody in the channel may."""
    if click.id is None:
        await reply(services, body, said(tr(NOT_DISMISSED["unknown"])))
        return
    outcome, report = await services.threads.commands(services.fallback.dismiss, click.id, click.person.id)
    if outcome == "done" and report is not None:
        await replace(services, body, proof_message(report, click.person.id))
    else:
        await reply(services, body, said(tr(NOT_DISMISSED[outcome])))


def _form(services: Services, response_url: str) -> Block:
    fallback = services.fallback
    present = fallback.state().mode.name
    return change_form(list(fallback.modes), present, services.mode_impacts.overview(), response_url)


def _bare_form(services: Services, response_url: str) -> Block:
    """The form without content from the database."""
    return change_form(list(services.fallback.modes), "", Overview((), {}, None), response_url)


def _mistakes(services: Services, values: dict[str, str]) -> tuple[dict[str, str], timedelta | None]:
    """Mistakes by field, and the duration of the mode."""
    mode, lasts = values.get(MODE, ""), None
    if values.get(LASTS):
        try:
            lasts = duration(values[LASTS])
        except DurationError as error:
            return {LASTS: str(error)[:ERROR_LIMIT]}, None
        if mode == NORMAL:
            return {LASTS: tr("normal takes no time, since it does not end by itself.")}, None
    if mode not in services.fallback.modes:
        return {MODE: tr("There is no such mode any more: open the form again.")}, None
    return {}, lasts
