"""Answers to a person, through the response URL of their request. Every handler answers here."""

import json
from collections.abc import Mapping
from typing import Any

from bot.messages import Message
from bot.services import Services


async def reply(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Answer only the person whose request this is. Nothing is raised where Slack takes no answer any more."""
    await _send(services, body, message, "ephemeral")


async def say_to_channel(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Answer everybody in the channel, also where the bot is no member of it."""
    await _send(services, body, message, "in_channel")


async def replace(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Put this in the place of the message whose button was clicked, for everybody."""
    await _send(services, body, message, "in_channel", replace_original=True)


def response_url_of(body: Mapping[str, Any]) -> str | None:
    """The response URL of a request; a view has none of its own, and carries that of the command that opened it."""
    own = body.get("response_url")
    if isinstance(own, str) and own:
        return own
    view = body.get("view")
    packed = view.get("private_metadata") if isinstance(view, Mapping) else None
    try:
        carried = json.loads(packed) if isinstance(packed, str) else None
    except (ValueError, RecursionError):
        return None
    url = carried.get("response_url") if isinstance(carried, dict) else None
    return url if isinstance(url, str) and url else None


async def _send(
    services: Services,
    body: Mapping[str, Any],
    message: Message,
    response_type: str,
    *,
    replace_original: bool = False,
) -> None:
    url = response_url_of(body)
    if url is None:
        return
    answer: dict[str, Any] = {
        "text": message.text,
        "response_type": response_type,
        "replace_original": replace_original,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if message.blocks:
        answer["blocks"] = message.blocks
    await services.response_urls.post(url, answer)
