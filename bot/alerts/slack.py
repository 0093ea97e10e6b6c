"""One call to Slack and what became of it: delivered, to be tried again, of unknown outcome, or impossible."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.refusals import remedy
from bot.message import Block, Message
from bot.store.alerts import Address

METADATA_EVENT = "claude_cost_notice"

EXECUTED_IN_PART = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Answers after which Slack may have posted all the same (docs.slack.dev, chat.postMessage)."""

MESSAGE_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "metadata_too_large"}
    | {"too_many_attachments", "invalid_attachments", "only_one_table_allowed", "invalid_metadata_format"}
)
"""Slack refuses how the message is drawn: the plain text alone still gets through."""

NOT_EDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})


@dataclass(frozen=True, slots=True)
class Delivered:
    """Slack has the message."""

    address: Address


@dataclass(frozen=True, slots=True)
class Failed:
    """`retry_after`: what Slack asked for. `outcome_unknown`: the message may stand in the channel all the same."""

    sentence: str
    retry_after: timedelta | None = None
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class NotEditable:
    """The message to edit is gone or closed."""

    sentence: str


Outcome = Delivered | Failed | NotEditable


class SlackDestination:
    """Posts to and edits in one channel. The client makes no retries of its own: the outbox does."""

    def __init__(self, client: AsyncWebClient, channel: str) -> None:
        self._client = client
        self._channel = channel

    async def post(self, message: Message, identity: Mapping[str, str]) -> Outcome:
        """Post; `identity` goes along as metadata, by which `find` recognises the message."""
        metadata = {"event_type": METADATA_EVENT, "event_payload": dict(identity)}

        async def call(blocks: list[Block] | None) -> Any:
            return await self._client.chat_postMessage(
                channel=self._channel,
                text=message.text,
                blocks=blocks,
                metadata=metadata,
                unfurl_links=False,
                unfurl_media=False,
            )

        return await self._attempt(call, message)

    async def update(self, address: Address, message: Message) -> Outcome:
        """Edit a message of our own."""

        async def call(blocks: list[Block] | None) -> Any:
            return await self._client.chat_update(
                channel=address.channel, ts=address.ts, text=message.text, blocks=blocks or []
            )

        return await self._attempt(call, message)

    async def find(self, identity: Mapping[str, str], since: datetime) -> Address | None:
        """The message posted with `identity`, where the optional history scope lets the bot read; otherwise None."""
        try:
            answer = await self._client.conversations_history(
                channel=self._channel,
                oldest=str((since - timedelta(hours=1)).timestamp()),
                include_all_metadata=True,
                limit=200,
            )
        except (TimeoutError, SlackClientError, aiohttp.ClientError, OSError):
            return None
        for message in answer.get("messages") or []:
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == METADATA_EVENT and metadata.get("event_payload") == dict(identity):
                return Address(self._channel, str(message["ts"]))
        return None

    async def _attempt(self, call: Callable[[list[Block] | None], Awaitable[Any]], message: Message) -> Outcome:
        outcome = await self._once(call, message.blocks)
        if isinstance(outcome, _Undrawable):
            outcome = await self._once(call, None)
        if isinstance(outcome, _Undrawable):
            return Failed(outcome.sentence)
        return outcome

    async def _once(
        self, call: Callable[[list[Block] | None], Awaitable[Any]], blocks: list[Block] | None
    ) -> "Outcome | _Undrawable":
        try:
            answer = await call(blocks)
        except SlackApiError as error:
            return _classified(error, self._channel)
        except (TimeoutError, SlackClientError, aiohttp.ClientError, OSError) as error:
            not_sent = isinstance(error, aiohttp.ClientConnectorError)
            return Failed(f"Slack cannot be reached ({type(error).__name__}).", outcome_unknown=not not_sent)
        return Delivered(Address(str(answer.get("channel") or self._channel), str(answer["ts"])))


@dataclass(frozen=True, slots=True)
class _Undrawable:
    sentence: str


def _classified(error: SlackApiError, channel: str) -> "Outcome | _Undrawable":
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    answer = response.data if isinstance(getattr(response, "data", None), dict) else {}
    code = str(answer.get("error") or "")
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return Failed("Slack asks to wait.", retry_after=_retry_after(response.headers))
    if status >= 500 or code in EXECUTED_IN_PART or not code:
        return Failed(f"Slack has a fault of its own ({code or f'HTTP {status}'}).", outcome_unknown=True)
    sentence = remedy(code, channel=channel, needed=str(answer.get("needed") or ""))
    if code in MESSAGE_REFUSED:
        return _Undrawable(sentence)
    if code in NOT_EDITABLE:
        return NotEditable(sentence)
    return Failed(sentence)


def _retry_after(headers: Mapping[str, Any]) -> timedelta | None:
    for name, value in headers.items():
        text = str(value[0] if isinstance(value, list) and value else value)
        if name.lower() == "retry-after" and text.isdigit():
            return timedelta(seconds=min(int(text), 86_400))
    return None
