"""Buttons and the form of the fallback mode.

Buttons never expire in old messages, so each click looks up the present state and checks rights again.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.fallback.approvals import NotApprovedError
from bot.fallback.impact import Overview
from bot.in_flight import InFlight
from bot.messages import Block, Message
from bot.mode import NORMAL
from bot.modes.model import Proposal
from bot.modes.parsing import DurationError, duration
from bot.services import Services
from handlers.fallback import switch_to
from handlers.render.fallback import FORM_ACTION, mode_and_until
from handlers.render.forms import FALLBACK_FORM, LASTS, MODE, REASON, change_form, filled_change
from handlers.render.parts import said, sentence
from handlers.render.proposal import APPROVE_ACTION, REJECT_ACTION, closed_message
from handlers.render.spend import SWITCH_ACTION, drawn_for
from handlers.render.verification import PROOF_DISMISS, proof_message
from handlers.requests import (
    Click,
    click_of,
    dated,
    in_time,
    on_click,
    open_view,
    person_of,
    replace,
    reply,
    response_url_of,
)

ERROR_LIMIT = 300

NO_PROPOSAL = 0
"""An id that no proposal has, for a made-up button."""

NOT_DISMISSED = {
    "already": "Nothing was changed: somebody has dismissed it already.",
    "over": "Nothing was changed: this change of the fallback mode is not watched any more.",
    "unknown": (
        "Nothing was changed: the bot does not know this change of the fallback mode; it may be from before its "
        "database was replaced."
    ),
}


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that switch, approve, reject and dismiss, and to the form."""

    async def on_dismiss(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            await _dismiss(services, body, click_of(body, action))

    async def on_open(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with in_flight.work():
            url = response_url_of(body) or ""
            view = await in_time(services.threads.commands(_form, services, url)) or _bare_form(services, url)
            if not await open_view(client, body, view):
                await reply(services, body, said("The form could not be opened. Type it, as in `fallback on for 2h`."))

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        async with in_flight.work():
            # Slack waits three seconds here: what needs the database is answered by message afterwards.
            values = filled_change(body["view"]["state"])
            errors, lasts = _mistakes(services, values)
            if errors:
                await ack(response_action="errors", errors=errors)
                return
            await ack()
            mode, reason = values[MODE], values.get(REASON, "")
            answer = await switch_to(services, person_of(body), mode, reason, lasts=lasts)
            await reply(services, body, await dated(services, answer))

    app.action(re.compile(f"^{SWITCH_ACTION}:"))(on_click(services, in_flight, switch_clicked))
    app.action(APPROVE_ACTION)(on_click(services, in_flight, _approve))
    app.action(REJECT_ACTION)(on_click(services, in_flight, _reject))
    app.action(PROOF_DISMISS)(on_dismiss)
    app.action(FORM_ACTION)(on_open)
    app.view(FALLBACK_FORM)(on_submit)


async def switch_clicked(services: Services, click: Click) -> Message:
    """Switch to the mode of a button, as of the moment of the click."""
    mode, until = mode_and_until(click.value)
    reason, drawn = "button in the channel", drawn_for(click.row)
    return await dated(services, await switch_to(services, click.person, mode, reason, until=until, drawn_for=drawn))


async def _approve(services: Services, click: Click) -> Message:
    return await dated(services, await _decided(services, click, services.approvals.approve))


async def _reject(services: Services, click: Click) -> Message:
    return await dated(services, await _decided(services, click, services.approvals.reject))


async def _decided(services: Services, click: Click, decide: Callable[[int, str], Proposal]) -> Message:
    permission = await services.admins.may_switch(click.person)
    if permission.refusal is not None:
        services.fallback.refused(click.person.id, "proposal", permission.refusal)
        return said(permission.refusal)
    try:
        return closed_message(await services.threads.commands(decide, click.id or NO_PROPOSAL, click.person.id))
    except NotApprovedError as error:
        return said(sentence(str(error)))


async def _dismiss(services: Services, body: dict[str, Any], click: Click) -> None:
    """Report no more about a change. Anybody in the channel may."""
    if click.id is None:
        await reply(services, body, said(NOT_DISMISSED["unknown"]))
        return
    outcome, report = await services.threads.commands(services.fallback.dismiss, click.id, click.person.id)
    if outcome == "done" and report is not None:
        await replace(services, body, proof_message(report, click.person.id))
    else:
        await reply(services, body, said(NOT_DISMISSED[outcome]))


def _form(services: Services, response_url: str) -> Block:
    fallback = services.fallback
    present = fallback.state().mode.name
    return change_form(list(fallback.modes), present, services.prospects.overview(), response_url)


def _bare_form(services: Services, response_url: str) -> Block:
    """The form without what the database knows."""
    return change_form(list(services.fallback.modes), "", Overview((), {}, None), response_url)


def _mistakes(services: Services, values: dict[str, str]) -> tuple[dict[str, str], timedelta | None]:
    """What is wrong with the words, by field, and for how long the mode is to be on."""
    mode, lasts = values.get(MODE, ""), None
    if values.get(LASTS):
        try:
            lasts = duration(values[LASTS])
        except DurationError as error:
            return {LASTS: str(error)[:ERROR_LIMIT]}, None
        if mode == NORMAL:
            return {LASTS: "normal takes no time, since it does not end by itself."}, None
    if mode not in services.fallback.modes:
        return {MODE: "There is no such mode any more: open the form again."}, None
    return {}, lasts
