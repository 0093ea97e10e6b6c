"""The form that changes the fallback mode, opened by a button of `fallback status`."""

import logging
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.fallback.impact import Overview
from bot.in_flight import InFlight
from bot.messages import Block, Message
from bot.mode import NORMAL
from bot.modes.parsing import DurationError, duration
from bot.services import Services
from bot.slack_api import CallError, call
from handlers.fallback import switch_to
from handlers.form_content import in_time
from handlers.people import person_of
from handlers.render.fallback import FORM_ACTION
from handlers.render.fallback_form import FORM, LASTS, MODE, REASON, change_form, filled
from handlers.replies import reply, response_url_of

log = logging.getLogger(__name__)

ERROR_LIMIT = 300


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to the button and to the form."""

    async def on_open(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        async with in_flight.work():
            url = response_url_of(body) or ""
            view = await in_time(services.threads.commands(_form, services, url)) or _bare_form(services, url)
            try:
                await call(client.views_open(trigger_id=str(body.get("trigger_id")), view=view))
            except CallError as error:
                log.warning("the form was not opened: %s", error)
                text = "The form could not be opened. Type it, as in `fallback on for 2h`."
                await reply(services, body, Message(text))

    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        async with in_flight.work():
            # Slack waits three seconds here: what needs the database is answered by message afterwards.
            values = filled(body["view"]["state"])
            errors, lasts = _mistakes(services, values)
            if errors:
                await ack(response_action="errors", errors=errors)
                return
            await ack()
            mode, reason = values[MODE], values.get(REASON, "")
            await reply(services, body, await switch_to(services, person_of(body), mode, reason, lasts=lasts))

    app.action(FORM_ACTION)(on_open)
    app.view(FORM)(on_submit)


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
            return {LASTS: "normal takes no time, since it is not left by itself."}, None
    if services.fallback.modes.get(mode) is None:
        return {MODE: "There is no such mode any more: open the form again."}, None
    return {}, lasts
