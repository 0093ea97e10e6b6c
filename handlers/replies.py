"""Answers to a person, through the response URL that Slack gave."""

import logging

from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_sdk.errors import SlackApiError

from bot.alerts.refusals import remedy
from bot.message import Message

log = logging.getLogger(__name__)


async def reply(respond: AsyncRespond, message: Message) -> None:
    """Answer only the person who asked. A response URL that has run out answers with a status and does not raise."""
    answer = await respond(
        text=message.text,
        blocks=message.blocks or None,
        response_type="ephemeral",
        replace_original=False,
        unfurl_links=False,
        unfurl_media=False,
    )
    if answer.status_code != 200:
        log.error("an answer was not delivered: Slack's response URL said %s", answer.status_code)


def refusal_sentence(error: SlackApiError, channel: str) -> str:
    """Slack's refusal as one sentence with the remedy."""
    data = error.response.data if isinstance(getattr(error.response, "data", None), dict) else {}
    return remedy(str(data.get("error") or "no answer"), channel=channel, needed=str(data.get("needed") or ""))
