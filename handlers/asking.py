"""Refusals of admin actions, with the button *Ask an admin*, for all commands and buttons.

Any member of the bot's own workspace may ask; `AskStore` limits how often.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.asks import Ask, Place, Wanted, unpacked
from bot.alerts.lifecycle import AdminRequest
from bot.budgets.parsing import named_first
from bot.db.state import Person
from bot.fallback.admins import Permission
from bot.fallback.impact import own_saving
from bot.language import tr, tr_noop
from bot.messages import Message
from bot.services import Services
from bot.threads import InFlight
from bot.typed_text import first_word
from handlers.render.asking import ASK_ACTION, refusal_message
from handlers.render.forms import text_view
from handlers.render.help import COMMAND
from handlers.render.parts import channel_mention, said
from handlers.render.spend import narrower
from handlers.requests import Click, answering, click_of, person_of, reply, response_url_of, update_view

IN_THE_THREAD = tr_noop("Asked: the admins are mentioned in the thread of that message.")
NOT_ASKED = {
    "already": tr_noop("You have asked already: the admins were mentioned."),
    "many": tr_noop("Nothing was asked: you have asked often today, so talk to the admins yourself."),
    "over": tr_noop("Nothing was asked: this is closed by now."),
    "unknown": tr_noop("Nothing was asked: the bot does not know any more what this is about."),
    "stranger": tr_noop("Nothing was asked: only members of the bot's own Slack workspace may ask the admins."),
}
AT_AN_ALERT = {
    "done": tr_noop("Asked: the admins are mentioned in the alert's thread."),
    "already": tr_noop("You have asked already: it stands in the alert's thread."),
    "over": tr_noop("Nothing was asked: this alert is not open any more."),
    "unknown": tr_noop("Nothing was asked: the bot does not know this alert or this mode any more."),
}

OF_ADMINS = ("budget", "calendar", "digest", "fallback", "test-alert")
"""Commands with forms for admins only."""


def refused(
    services: Services, person: Person, permission: Permission, action: str, detail: str, ask: Ask | None
) -> Message:
    """Refuse with a button that asks the admins, and record the refusal in the audit trail."""
    recorded = f"{detail}: {permission.recorded}" if detail else permission.recorded
    services.fallback.refused(person.id, action, recorded)
    return refusal_message(permission.refusal or "", askable(services, ask))


def askable(services: Services, ask: Ask | None) -> Ask | None:
    """The request, or None if there are no admins to ask."""
    return ask if services.admins.ids else None


def command_ask(words: str) -> Ask:
    """A request that an admin types `/claude-cost WORDS`."""
    return Ask(Wanted.COMMAND, " ".join(words.split()))


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to *Ask an admin* in messages and views."""

    async def on_ask(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with answering(services, in_flight, body):
            answer = await _asked(services, person_of(body), click_of(body, action))
            view = body.get("view")
            if response_url_of(body) is None and isinstance(view, Mapping):
                # A view has no channel to answer in.
                title = view.get("title")
                text = title.get("text") if isinstance(title, Mapping) else None
                await update_view(client, str(view.get("id")), text_view(str(text or tr("Ask an admin")), answer))
            else:
                await reply(services, body, answer)

    app.action(ASK_ACTION)(on_ask)


async def _asked(services: Services, person: Person, click: Click) -> Message:
    if any(map(services.workspace.excludes, person.teams | person.enterprises)):
        return said(tr(NOT_ASKED["stranger"]))
    ask = unpacked(click.value)
    if ask is None or not _is_ours(services, ask):
        return said(tr(NOT_ASKED["unknown"]))
    return await services.threads.commands(_enqueued, services, ask, person.id, click)


def _is_ours(services: Services, ask: Ask) -> bool:
    """Whether the mode or command of a request exists; buttons can be forged."""
    if ask.wanted is Wanted.MODE:
        return ask.words in services.fallback.modes
    return ask.wanted is not Wanted.COMMAND or first_word(ask.words)[0] in OF_ADMINS


def _enqueued(services: Services, ask: Ask, by: str, click: Click) -> Message:
    clicked = None if click.message is None else click.message.channel
    channel = clicked if ask.place is Place.ALERT else _channel_of(services, ask)
    mode = ask.words if ask.wanted is Wanted.MODE else ""
    previous = services.fallback.in_force().mode.name
    wanted = AdminRequest(
        incident="",
        by=by,
        admins=services.admins.ids,
        mode=mode,
        previous=previous,
        saving=None,
        as_of=None,
        command=f"{COMMAND} {ask.words}" if ask.wanted is Wanted.COMMAND else "",
        decides=ask.wanted is Wanted.DECISION,
    )
    if mode:
        wanted = _with_saving(services, wanted, ask)

    def request(incident: str) -> AdminRequest:
        return replace(wanted, incident=incident)

    outcome = services.asks.ask(ask, request, by, services.clock(), channel)
    if ask.place is Place.ALERT and outcome in AT_AN_ALERT:
        return said(tr(AT_AN_ALERT[outcome]))
    if outcome != "done":
        return said(tr(NOT_ASKED[outcome]))
    if ask.place is not Place.CHANNEL:
        return said(tr(IN_THE_THREAD))
    if channel is None:
        return said(tr("Asked: the admins are mentioned in the alert channel."))
    return said(tr("Asked: the admins are mentioned in {channel}.", channel=channel_mention(channel)))


def _with_saving(services: Services, request: AdminRequest, ask: Ask) -> AdminRequest:
    """The request with the mode's saving, for the budget of the clicked alert or for the organization."""
    subject = services.lifecycle.subject(ask.place_id) if ask.place is Place.ALERT else None
    spends = {} if subject is None else services.review.spend_by_name([subject], services.clock())
    if subject is not None and narrower(spends.get(subject)):
        own = own_saving(spends[subject], request.mode, request.previous)
        if own is not None:
            return replace(request, saving=own.saving, as_of=own.as_of, budget=own.budget)
    impact = services.mode_impacts.of(services.fallback.modes[request.mode], None)
    saving = next((each for each in impact.savings if each.mode == request.mode), None)
    return replace(request, saving=saving, as_of=impact.as_of, budget=narrower(impact.spend))


def _channel_of(services: Services, ask: Ask) -> str | None:
    """Channel of the budget that the command names; None for the main one."""
    command, rest = first_word(ask.words)
    name = named_first(first_word(rest)[1])[0] if command == "budget" else ""
    budget = services.budgets.effective(name) if name else None
    return None if budget is None else services.raises.channel_of(budget)
