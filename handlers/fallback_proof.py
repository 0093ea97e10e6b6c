"""The button below a proof that is not right: to hear no more of it. Anybody in the channel may."""

import re
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.fallback.verification_store import Dismissal
from bot.in_flight import InFlight
from bot.messages import Message
from bot.modes.model import ProofReport
from bot.services import Services
from handlers.render.elements import section
from handlers.render.verification import PROOF_DISMISS, proof_message
from handlers.replies import replace, reply

NOTHING_CHANGED = {
    "already": "Nothing was changed: somebody has dismissed it already.",
    "over": "Nothing was changed: this change of the fallback mode is not watched any more.",
    "unknown": (
        "Nothing was changed: the bot does not know this change of the fallback mode; it may be from before its "
        "database was set up anew."
    ),
}


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the button."""

    async def on_dismiss(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            user = body["user"]["id"]
            outcome, facts = await services.threads.commands(_dismiss, services, user, str(action.get("value")))
            if outcome == "done" and facts is not None:
                await replace(services, body, proof_message(facts, user))
            else:
                text = NOTHING_CHANGED[outcome]
                await reply(services, body, Message(text, [section(text)]))

    app.action(PROOF_DISMISS)(on_dismiss)


def _dismiss(services: Services, user: str, value: str) -> tuple[Dismissal, ProofReport | None]:
    """What became of it, and the last report about the change."""
    if not re.fullmatch(r"[0-9]{1,18}", value):
        return "unknown", None
    store = services.fallback.store
    in_force = [change.id for change in store.in_force()]
    outcome = store.proofs.dismiss(int(value), in_force, user, services.clock())
    told = store.proofs.told(in_force) if outcome == "done" else []
    return outcome, told[-1] if told else None
