"""Buttons of an alert: acknowledge and snooze. Anybody in the channel may."""

import re
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.alerts.lifecycle_store import Handled
from bot.in_flight import InFlight
from bot.messages import Message
from bot.services import Services
from handlers.render.elements import moment, section
from handlers.render.escape import mention
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION, SNOOZE_ACTION, SNOOZES
from handlers.replies import reply


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the buttons below an alert."""

    async def on_acknowledge(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            handled = await services.threads.commands(
                _acknowledge, services, body["user"]["id"], str(action.get("value"))
            )
            await _answer(services, body, _acknowledged(handled))

    async def on_snooze(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with in_flight.work():
            minutes = action["action_id"].partition(":")[2]
            value = str(action.get("value"))
            handled = await services.threads.commands(_snooze, services, body["user"]["id"], value, minutes)
            await _answer(services, body, _snoozed(handled))

    app.action(ACKNOWLEDGE_ACTION)(on_acknowledge)
    app.action(re.compile(f"^{SNOOZE_ACTION}:"))(on_snooze)


def _acknowledge(services: Services, user: str, value: str) -> Handled:
    if not _is_id(value):
        return Handled("unknown")
    return services.alerts.life.acknowledge(int(value), user, services.clock())


def _snooze(services: Services, user: str, value: str, minutes: str) -> Handled:
    if not _is_id(value) or minutes not in map(str, SNOOZES):
        return Handled("unknown")
    now = services.clock()
    return services.alerts.life.snooze(int(value), user, now + timedelta(minutes=int(minutes)), now)


def _is_id(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,18}", value) is not None


async def _answer(services: Services, body: dict[str, Any], text: str) -> None:
    await reply(services, body, Message(text, [section(text)]))


def _acknowledged(handled: Handled) -> str:
    if handled.outcome == "done":
        return "Acknowledged: the alert and its thread say so, and nothing is escalated any more."
    if handled.outcome == "already":
        at = "" if handled.life.acknowledged_at is None else f" at {moment(handled.life.acknowledged_at)}"
        return f"Nothing was changed: {mention(handled.life.acknowledged_by or '')} has acknowledged it{at}."
    return _not_open(handled)


def _snoozed(handled: Handled) -> str:
    if handled.outcome == "done" and handled.life.snoozed_until is not None:
        return (
            f"Snoozed until {moment(handled.life.snoozed_until)}: if the alert still stands then, the channel hears it."
        )
    return _not_open(handled)


def _not_open(handled: Handled) -> str:
    if handled.outcome == "over":
        return "Nothing was changed: this alert is not open any more."
    return "Nothing was changed: the bot does not know this alert; it may be from before its database was set up anew."
