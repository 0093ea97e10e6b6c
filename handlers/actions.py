"""Buttons. They never expire in old messages, so each click looks up the present state and checks rights again."""

import re
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.in_flight import InFlight
from bot.services import Services
from handlers.blocks.spend import SWITCH_ACTION
from handlers.fallback import switch_to
from handlers.replies import reply


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons that switch the mode."""

    async def on_switch(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any], respond: AsyncRespond) -> None:
        await ack()
        async with in_flight.work():
            answer = await switch_to(services, body["user"]["id"], action["value"], "button in the channel")
            await reply(respond, answer)

    app.action(re.compile(f"^{SWITCH_ACTION}:"))(on_switch)
