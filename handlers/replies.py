"""Answers to a person, through the response URL that Slack gave."""

import logging

from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.message import Message

log = logging.getLogger(__name__)


async def reply(respond: AsyncRespond, message: Message) -> None:
    """Answer only the person who asked. A response URL that has run out answers with a status and does not raise."""
    await _send(respond, message, "ephemeral")


async def say_to_channel(respond: AsyncRespond, message: Message) -> None:
    """Answer everybody in the channel, also where the bot is no member of it."""
    await _send(respond, message, "in_channel")


async def replace(respond: AsyncRespond, message: Message) -> None:
    """Put this in the place of the message whose button was clicked, for everybody."""
    await _send(respond, message, "in_channel", replace_original=True)


async def _send(respond: AsyncRespond, message: Message, response_type: str, *, replace_original: bool = False) -> None:
    answer = await respond(
        text=message.text,
        blocks=message.blocks or None,
        response_type=response_type,
        replace_original=replace_original,
        unfurl_links=False,
        unfurl_media=False,
    )
    if answer.status_code != 200:
        log.error("an answer was not delivered: Slack's response URL said %s", answer.status_code)
