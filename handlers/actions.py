"""Buttons. They never expire in old messages, so each click looks up the present state and checks rights again."""

import re
from collections.abc import Callable
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.actor import Person
from bot.fallback.approvals import NotApprovedError
from bot.in_flight import InFlight
from bot.messages import Message
from bot.modes.model import Proposal
from bot.services import Services
from handlers.fallback import age_of_data, switch_to
from handlers.people import person_of
from handlers.render.age import with_age
from handlers.render.elements import section
from handlers.render.escape import sentence
from handlers.render.fallback import mode_and_until
from handlers.render.proposal import APPROVE_ACTION, REJECT_ACTION, closed_message
from handlers.render.spend import SWITCH_ACTION, drawn_for
from handlers.replies import reply


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that switch the mode, and to those that approve or reject a change."""

    async def on_switch(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            mode, until = mode_and_until(str(action.get("value")))
            reason, drawn = "button in the channel", drawn_for(str(action.get("block_id")))
            answer = await switch_to(services, person_of(body), mode, reason, until=until, drawn_for=drawn)
            await reply(services, body, answer)

    async def on_approve(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            await reply(services, body, await _decided(services, person_of(body), action, services.approvals.approve))

    async def on_reject(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            await reply(services, body, await _decided(services, person_of(body), action, services.approvals.reject))

    app.action(re.compile(f"^{SWITCH_ACTION}:"))(on_switch)
    app.action(APPROVE_ACTION)(on_approve)
    app.action(REJECT_ACTION)(on_reject)


async def _decided(
    services: Services, person: Person, action: dict[str, Any], decide: Callable[[int, str], Proposal]
) -> Message:
    permission = await services.admins.may_switch(person)
    if permission.refusal is not None:
        services.fallback.refused(person.id, "proposal", permission.refusal)
        answer = Message(permission.refusal, [section(permission.refusal)])
    else:
        try:
            answer = closed_message(await services.threads.commands(decide, _proposal(action), person.id))
        except NotApprovedError as error:
            text = sentence(str(error))
            answer = Message(text, [section(text)])
    return with_age(answer, await age_of_data(services))


def _proposal(action: dict[str, Any]) -> int:
    """The id of a proposal; one that no proposal has where the button was made up."""
    value = str(action.get("value"))
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else 0
