"""Mentions and direct messages: words, answered like `/claude-cost`. No language model reads them."""

import dataclasses
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.language import tr
from bot.messages import Message
from bot.services import Services
from bot.slack_api import CallError, RefusedCallError, as_object, call
from bot.threads import InFlight
from handlers.commands import answer_question, is_command, split_command
from handlers.questions import meant
from handlers.render.parts import paragraph, said
from handlers.requests import answering, drawings, person_of

log = logging.getLogger(__name__)

REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long"})
"""Errors of `chat.postMessage` about the content of the message (docs.slack.dev)."""

MOST_KEPT = 1000
"""Events remembered to recognise repeats: Slack tries three times within an hour."""


def command_of(text: str, bot_user: str = "") -> str | None:
    """The words after `/claude-cost` that answer a sentence; None if nothing in it is known.

    A sentence that begins with a command is that command. Any other only leads to answers, never to a change.
    """
    words = text.replace(f"<@{bot_user}>", " ") if bot_user else text
    words = re.sub(r"^\s*(?:<@[A-Z0-9]+(?:\|[^>]*)?>[\s,:、]*)+", "", words).strip()
    name, _ = split_command(words)
    if not words or is_command(name):
        return words or "help"
    return meant(words)


def register(app: AsyncApp, services: Services, in_flight: InFlight) -> None:
    """Listen to mentions in channels and to direct messages."""
    seen: OrderedDict[str, None] = OrderedDict()
    in_public = dataclasses.replace(services, user_spend=services.user_spend.in_public)

    async def on_message(event: dict[str, Any], body: dict[str, Any], client: AsyncWebClient) -> None:
        if not _is_asked(event) or _is_again(str(body.get("event_id") or ""), seen):
            return
        asking = {**body, "user": {"id": event["user"], "team_id": event.get("user_team") or event.get("team")}}
        async with answering(services, in_flight, asking):
            text = str(event.get("text") or "")
            words = command_of(text, _bot_user(body))
            asked = services if _is_private(event) else in_public
            channel = str(event.get("channel") or "")
            if services.workspace.excludes(str(asking["user"]["team_id"] or "")):
                services.fallback.refused(str(event["user"]), "mention", "of another workspace")
                message = said(tr("Only members of the bot's own Slack workspace get answers."))
            elif words is None:
                message = _not_understood()
            else:
                message = await answer_question(asked, person_of(asking), words, text, channel)
            await _say(services, client, event, message)

    app.event("app_mention")(on_message)
    app.event("message")(on_message)


def _is_asked(event: Mapping[str, Any]) -> bool:
    """Whether a person has written this to the bot: no bot, no edit, no ordinary channel message."""
    if event.get("bot_id") or event.get("subtype") or event.get("edited") or not event.get("user"):
        return False
    return event.get("type") == "app_mention" or _is_private(event)


def _is_private(event: Mapping[str, Any]) -> bool:
    """Whether only the person reads the answer. A mention is answered where everybody reads it."""
    return event.get("type") == "message" and event.get("channel_type") == "im"


def _is_again(event_id: str, seen: OrderedDict[str, None]) -> bool:
    if not event_id:
        return False
    again = event_id in seen
    seen[event_id] = None
    while len(seen) > MOST_KEPT:
        seen.popitem(last=False)
    return again


def _bot_user(body: Mapping[str, Any]) -> str:
    authorizations = body.get("authorizations")
    first = as_object(authorizations[0]) if isinstance(authorizations, list) and authorizations else {}
    return str(first.get("user_id") or "") if first.get("is_bot") else ""


def _not_understood() -> Message:
    return Message(
        [
            paragraph(
                tr("I know a few words, not every sentence. For example:"),
                tr("• `what do we spend?` or `status`: spend against every budget"),
                tr("• `who spent most last week?` or `report last week by key`"),
                tr("• `set a budget`: the form"),
                tr("• `help`: all commands"),
            )
        ]
    )


async def _say(services: Services, client: AsyncWebClient, event: Mapping[str, Any], message: Message) -> None:
    """Answer where the question is: in its thread, or in a direct message below it."""
    thread = event.get("thread_ts") or (None if event.get("channel_type") == "im" else event.get("ts"))
    place: dict[str, Any] = {"channel": str(event["channel"]), "unfurl_links": False, "unfurl_media": False}
    if thread:
        place["thread_ts"] = str(thread)
    drawn = drawings(services, message)
    # Text alone is better than no answer.
    bodies: list[dict[str, Any]] = [
        *({"text": each.text, "blocks": each.blocks} for each in drawn if each.blocks),
        {"text": message.text},
    ]
    for index, body in enumerate(bodies):
        try:
            await call(client.chat_postMessage(**body, **place))
        except CallError as error:
            refused = isinstance(error, RefusedCallError) and error.code in REFUSED
            if refused and index + 1 < len(bodies):
                continue
            log.warning("a question was not answered: %s", error)
            return
        if index == 1 and len(drawn) > 1:
            services.native_blocks.refuse()
        return
