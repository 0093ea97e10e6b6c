"""One call to Slack and what became of it: delivered, to be tried again, of unknown outcome, or impossible."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.refusals import CREDENTIALS, answer_of, remedy
from bot.message import Block, Message
from bot.store.notices import Address

log = logging.getLogger(__name__)

METADATA_EVENT = "claude_cost_notice"

EXECUTED_IN_PART = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Answers after which Slack may have posted all the same (docs.slack.dev, chat.postMessage)."""

MESSAGE_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "invalid_arguments"}
    | {"too_many_attachments", "invalid_attachments", "only_one_table_allowed"}
)
"""Slack refuses how the message is drawn: the plain text alone still gets through."""

METADATA_REFUSED = frozenset(
    {"metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema", "metadata_must_be_sent_from_app"}
)
"""Slack refuses what the message is recognised by: the message still gets through without."""

NOT_EDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})
GONE = frozenset({"message_not_found", "thread_not_found"})
NOT_ANSWERABLE = frozenset(
    {"message_not_found", "thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}
)
CHANNEL_REFUSED = frozenset({"channel_not_found", "not_in_channel", "is_archived"})

LONGEST_TEXT = 4000
"""Characters of `text` that `chat.update` takes (docs.slack.dev, chat.update); `chat.postMessage` cuts later."""

HISTORY_PAGE = 200
HISTORY_PAGES = 5

UNREACHABLE = (
    TimeoutError,
    SlackClientError,
    aiohttp.ClientError,
    OSError,
    ValueError,  # an answer that is not even text
    AttributeError,  # slack_sdk on an answer with status 200 that is no object, such as a proxy's page
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Slack has the message."""

    address: Address


@dataclass(frozen=True, slots=True)
class Failed:
    """`retry_after`: what Slack asked for. `outcome_unknown`: the message may stand in the channel all the same.

    `alone`: Slack refuses this one message and may take others; otherwise none would get through now. `for_good`:
    nothing will, until somebody does something about it.
    """

    sentence: str
    retry_after: timedelta | None = None
    outcome_unknown: bool = False
    alone: bool = False
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class NotEditable:
    """The message cannot be edited or answered, now or later. `gone`: it was deleted."""

    sentence: str
    gone: bool = False


Outcome = Delivered | Failed | NotEditable


class SlackDestination:
    """Posts to and edits in one channel. The client makes no retries of its own: the outbox does."""

    def __init__(self, client: AsyncWebClient, channel: str) -> None:
        self._client = client
        self._channel = channel

    async def post(
        self,
        message: Message,
        identity: Mapping[str, str],
        thread: Address | None = None,
        *,
        broadcast: bool = False,
    ) -> Outcome:
        """Post; `identity` goes along as metadata, by which `find` recognises the message.

        `thread`: the message to answer instead; `broadcast`: the channel shows the answer too. Only an answer can come
        out as `NotEditable`.
        """
        channel = self._channel if thread is None else thread.channel

        async def call(draft: _Draft) -> Any:
            return await self._client.chat_postMessage(
                channel=channel,
                text=draft.text,
                blocks=draft.blocks,
                metadata=draft.metadata,
                thread_ts=None if thread is None else thread.ts,
                reply_broadcast=True if broadcast else None,
                unfurl_links=False,
                unfurl_media=False,
            )

        metadata = {"event_type": METADATA_EVENT, "event_payload": dict(identity)}
        draft = _Draft(message.text, message.blocks, metadata)
        return await self._attempt(call, draft, channel, frozenset() if thread is None else NOT_ANSWERABLE)

    async def update(self, address: Address, message: Message) -> Outcome:
        """Edit a message of our own."""

        async def call(draft: _Draft) -> Any:
            return await self._client.chat_update(
                channel=address.channel, ts=address.ts, text=draft.text, blocks=draft.blocks or []
            )

        draft = _Draft(message.text, message.blocks, None)
        return await self._attempt(call, draft, address.channel, NOT_EDITABLE)

    async def find(self, identity: Mapping[str, str], since: datetime, thread: Address | None = None) -> Address | None:
        """The message posted with `identity`, where the optional history scope lets the bot read; otherwise None.

        `thread`: the message below which it was posted.
        """
        channel = self._channel if thread is None else thread.channel
        wanted = {"event_type": METADATA_EVENT, "event_payload": dict(identity)}
        cursor = ""
        for _ in range(HISTORY_PAGES):
            try:
                async with asyncio.timeout(self._client.timeout):
                    answer = await self._page(channel, thread, since, cursor)
            except UNREACHABLE:
                return None
            for message in answer.get("messages") or []:
                if (message.get("metadata") or {}).items() >= wanted.items():
                    return Address(channel, str(message["ts"]))
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return None

    async def _page(self, channel: str, thread: Address | None, since: datetime, cursor: str) -> Any:
        # Slack's clock and ours may differ.
        oldest = str((since - timedelta(hours=1)).timestamp())
        asked: dict[str, Any] = {
            "oldest": oldest,
            "include_all_metadata": True,
            "limit": HISTORY_PAGE,
            "cursor": cursor or None,
        }
        if thread is None:
            return await self._client.conversations_history(channel=channel, **asked)
        return await self._client.conversations_replies(channel=channel, ts=thread.ts, **asked)

    async def _attempt(
        self, call: "_Call", draft: "_Draft", channel: str, impossible: AbstractSet[str] = frozenset()
    ) -> Outcome:
        outcome = await self._once(call, draft, channel)
        while isinstance(outcome, _Refused) and (plainer := draft.plainer(outcome)) is not None:
            draft = plainer
            outcome = await self._once(call, draft, channel)
        if not isinstance(outcome, _Refused):
            return outcome
        elsewhere = channel != self._channel
        if impossible and (outcome.code in impossible or (elsewhere and outcome.code in CHANNEL_REFUSED)):
            return NotEditable(outcome.sentence, gone=outcome.code in GONE)
        concerns_all = _concerns_all(outcome.code, elsewhere)
        return Failed(outcome.sentence, alone=not concerns_all, for_good=concerns_all)

    async def _once(self, call: "_Call", draft: "_Draft", channel: str) -> "Outcome | _Refused":
        try:
            # The client's own timeout does not hold for a session that it was given.
            async with asyncio.timeout(self._client.timeout):
                answer = await call(draft)
        except SlackApiError as error:
            return _classified(error, channel)
        except UNREACHABLE as error:
            not_sent = isinstance(error, aiohttp.ClientConnectorError)
            return Failed(f"Slack cannot be reached ({type(error).__name__}).", outcome_unknown=not not_sent)
        if not answer.get("ts"):
            return Failed("Slack answers without saying where the message stands.", outcome_unknown=True)
        return Delivered(Address(str(answer.get("channel") or channel), str(answer["ts"])))


@dataclass(frozen=True, slots=True)
class _Refused:
    """Slack has understood, and has done nothing. `detail`: what it said about the message."""

    code: str
    sentence: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """The message in the form in which it is tried."""

    text: str
    blocks: list[Block] | None
    metadata: dict[str, Any] | None

    def plainer(self, refused: _Refused) -> "_Draft | None":
        """What to try instead; None where the form of the message is not what was refused, or cannot be plainer."""
        if refused.code in METADATA_REFUSED:
            plain = replace(self, metadata=None)
        elif refused.code in MESSAGE_REFUSED:
            plain = replace(self, text=_shortened(self.text), blocks=None)
        else:
            return None
        log.warning(
            "Slack refuses a message as it is drawn (%s), so it is sent plainer: %s", refused.code, refused.detail
        )
        return None if plain == self else plain


_Call = Callable[[_Draft], Awaitable[Any]]


def _concerns_all(code: str, elsewhere: bool) -> bool:
    """Whether a refusal is of the bot or its channel. `elsewhere`: it was the channel of an older message."""
    if code in CREDENTIALS or code == "missing_scope":
        return True
    return not elsewhere and (code in CHANNEL_REFUSED or code.startswith(("restricted_action", "no_permission")))


def _shortened(text: str) -> str:
    """At most `LONGEST_TEXT` characters: the first lines say what happened, the last two which incident it is."""
    if len(text) <= LONGEST_TEXT:
        return text
    ending = "\n".join(["", *text.split("\n")[1:][-2:]])[: LONGEST_TEXT // 2]
    return text[: LONGEST_TEXT - len(ending) - 2].rstrip() + "\n…" + ending


def _classified(error: SlackApiError, channel: str) -> Failed | _Refused:
    response = error.response
    # The response is aiohttp's own where the body was no JSON.
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    answer = answer_of(error)
    code = str(answer.get("error") or "")
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return Failed("Slack asks to wait.", retry_after=_retry_after(response.headers))
    if status >= 500 or code in EXECUTED_IN_PART or not code:
        return Failed(f"Slack has a fault of its own ({code or f'HTTP {status}'}).", outcome_unknown=True)
    detail = "; ".join(str(line) for line in (answer.get("response_metadata") or {}).get("messages") or [])
    return _Refused(code, remedy(code, channel=channel, needed=str(answer.get("needed") or "")), detail)


def _retry_after(headers: Mapping[str, Any]) -> timedelta | None:
    for name, value in headers.items():
        text = str(value[0] if isinstance(value, list) and value else value)
        if name.lower() == "retry-after" and text.isdecimal():
            return timedelta(seconds=min(int(text), 86_400))
    return None
