"""The form that changes the fallback mode, opened by a button of `fallback status`."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.refusals import answer_of
from bot.fallback.modes import NORMAL
from bot.fallback.words import DurationError, duration
from bot.in_flight import InFlight
from bot.message import Block, Message
from bot.services import Services
from handlers.blocks.fallback import FORM_ACTION, not_cheaper
from handlers.blocks.fallback_form import FORM, LASTS, MODE, REASON, change_form, filled, response_url_of
from handlers.fallback import switch_to
from handlers.replies import reply

log = logging.getLogger(__name__)

ERROR_LIMIT = 300


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the button and to the form."""

    async def on_open(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient, respond: AsyncRespond) -> None:
        await ack()
        async with in_flight.work():
            view = await asyncio.to_thread(_form, services, str(body["response_url"]))
            try:
                await client.views_open(trigger_id=body["trigger_id"], view=view)
            except SlackApiError as error:
                log.warning("the form was not opened: %s", answer_of(error).get("error"))
                await reply(respond, Message("The form could not be opened. Type it, as in `fallback on for 2h`."))

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        async with in_flight.work():
            view = body["view"]
            values = filled(view["state"])
            errors, lasts = await asyncio.to_thread(_mistakes, services, values)
            if errors:
                await ack(response_action="errors", errors=errors)
                return
            await ack()
            answer = await switch_to(services, body["user"]["id"], values[MODE], values.get(REASON, ""), lasts=lasts)
            await reply(AsyncRespond(response_url=response_url_of(view["private_metadata"])), answer)

    app.action(FORM_ACTION)(on_open)
    app.view(FORM)(on_submit)


def _form(services: Services, response_url: str) -> Block:
    fallback = services.fallback
    present = fallback.state().mode.name
    return change_form(list(fallback.modes), present, services.prospects.overview(), response_url)


def _mistakes(services: Services, values: dict[str, str]) -> tuple[dict[str, str], timedelta | None]:
    """What is wrong, by field, and for how long the mode is to be on."""
    lasts = None
    if values.get(LASTS):
        try:
            lasts = duration(values[LASTS])
        except DurationError as error:
            return {LASTS: str(error)[:ERROR_LIMIT]}, None
        if values[MODE] == NORMAL:
            return {LASTS: "normal takes no time, since it is not left by itself."}, None
    mode = services.fallback.modes.get(values[MODE])
    if mode is None:
        return {MODE: "There is no such mode any more: open the form again."}, None
    refused = services.prospects.of(mode)
    if refused.not_cheaper is not None:
        return {MODE: not_cheaper(mode.name, refused.not_cheaper, refused.as_of)[:ERROR_LIMIT]}, None
    return {}, lasts
