"""Slack as a destination: each call ends as delivered, to be retried, of unknown outcome, or impossible."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.language import kept
from bot.messages import FOLD, Block, Message
from bot.notify.model import (
    SLACK,
    Address,
    Capability,
    CouldNotLook,
    Delivered,
    Destination,
    Failed,
    Found,
    Look,
    May,
    NotEditable,
    NotThere,
    SendResult,
    Unreachable,
    Withheld,
    always,
)
from bot.slack_api import (
    CREDENTIALS,
    MAIN_CHANNEL,
    OWN_CHANNEL,
    Answer,
    CallError,
    FailedCallError,
    LimitedCallError,
    RefusedCallError,
    as_object,
    call,
    sentence_of,
)

log = logging.getLogger(__name__)

METADATA_EVENT = "claude_cost_notice"

MESSAGE_REFUSED = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "invalid_arguments"}
    | {"too_many_attachments", "invalid_attachments", "only_one_table_allowed"}
)
"""Slack rejects the blocks: the unfolded ones, or the plain text alone, may still get through."""

METADATA_REFUSED = frozenset(
    {"metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema", "metadata_must_be_sent_from_app"}
)
"""Slack rejects the metadata: the message still gets through without it."""

NOT_EDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})
GONE = frozenset({"message_not_found", "thread_not_found"})
NOT_ANSWERABLE = frozenset(
    {"message_not_found", "thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}
)
CHANNEL_REFUSED = frozenset({"channel_not_found", "not_in_channel", "is_archived"})

LONGEST_TEXT = 4000
"""Characters of `text` that `chat.update` takes (docs.slack.dev, chat.update); `chat.postMessage` cuts later."""

HISTORY_PAGE = 200
HISTORY_PAGES = 20
LOOK_SECONDS = 20
"""Longest search in seconds; the next one continues from there."""

CLOCKS_DIFFER = timedelta(days=1)
"""A search starts this much before the notice: our clock may be that far ahead of Slack's."""

NEVER_READABLE = (
    CREDENTIALS
    | CHANNEL_REFUSED
    | {"missing_scope", "no_permission", "access_denied", "thread_not_found", "enterprise_is_restricted"}
    | {"method_not_supported_for_channel_type", "team_access_not_granted", "unknown_method", "method_deprecated"}
)
"""Errors of a search that last until somebody fixes the cause."""


class SlackDestination(Destination):
    """Posts to the main channel, or to a notice's own channel. The client makes no retries of its own."""

    name = SLACK
    capabilities = frozenset(Capability)

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
        reached: AbstractSet[str] = frozenset(),
        channel: str | None = None,
        may: May = always,
    ) -> SendResult:
        """Post; `identity` is sent as metadata, by which `find` recognises the message.

        `thread`: the message to reply to instead; `broadcast`: the channel shows the reply too. Only a reply can end as
        `NotEditable`, and only a post with its own `channel` as `Unreachable`.
        """
        own = channel is not None and thread is None
        channel = thread.channel if thread is not None else channel or self._channel

        def calling(draft: _Draft) -> Awaitable[AsyncSlackResponse]:
            return self._client.chat_postMessage(
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
        impossible = frozenset[str]() if thread is None else NOT_ANSWERABLE
        return await self._attempt(calling, draft, channel, impossible, may, own=own)

    async def update(self, address: Address, message: Message, *, may: May = always) -> SendResult:
        """Edit one of the bot's messages."""

        def calling(draft: _Draft) -> Awaitable[AsyncSlackResponse]:
            return self._client.chat_update(
                channel=address.channel, ts=address.ts, text=draft.text, blocks=draft.blocks or []
            )

        draft = _Draft(message.text, message.blocks, None)
        return await self._attempt(calling, draft, address.channel, NOT_EDITABLE, may)

    async def find(
        self,
        identity: Mapping[str, str],
        since: datetime | None,
        thread: Address | None = None,
        resume: str = "",
        channel: str | None = None,
    ) -> Look:
        """Search for the message posted with `identity`, which needs the optional history scope.

        `since`: when it was decided, None if the clock has jumped since. `thread`: the thread it was posted in.
        `resume`: result of an earlier search. `channel`: as in `post`.
        """
        place = thread or channel or self._channel
        if since is not None and thread is None:
            found = await self._search(identity, place, str((since - CLOCKS_DIFFER).timestamp()), resume)
            if found is not None:
                return found
            # No message for a whole day: our clock may be far ahead.
            return await self._search(identity, place, None, "", pages=1) or NotThere()
        return await self._search(identity, place, None, resume) or NotThere()

    async def _search(
        self,
        identity: Mapping[str, str],
        place: Address | str,
        oldest: str | None,
        cursor: str,
        pages: int = HISTORY_PAGES,
    ) -> Look | None:
        """One search; None if not even another message was read. `place`: a thread, or a channel."""
        thread, channel = (place, place.channel) if isinstance(place, Address) else (None, place)
        wanted = {"event_type": METADATA_EVENT, "event_payload": dict(identity)}
        seen = 0
        ends_at = time.monotonic() + LOOK_SECONDS
        for _ in range(pages):
            left = max(0, ends_at - time.monotonic())
            try:
                answer = await call(self._page(channel, thread, oldest, cursor), min(left, self._client.timeout))
            except CallError as error:
                return _not_read(error, channel, cursor)
            messages = answer.data.get("messages")
            if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
                return CouldNotLook("Slack's response has no list of messages.", resume=cursor)
            for message in messages:
                if as_object(message.get("metadata")).items() >= wanted.items():
                    ts = message.get("ts")
                    if not isinstance(ts, str) or not ts:
                        return CouldNotLook("Slack's response does not say where the message is.", resume=cursor)
                    return Found(Address(channel, ts))
            seen += len(messages)
            following = as_object(answer.data.get("response_metadata")).get("next_cursor") or ""
            if not isinstance(following, str) or (not following and answer.data.get("has_more")):
                return CouldNotLook("Slack's response has no cursor for the next page.")
            if not following:
                return NotThere() if seen or cursor else None
            cursor = following
        return NotThere() if pages == 1 else CouldNotLook("The channel has many messages since.", resume=cursor)

    def _page(
        self, channel: str, thread: Address | None, oldest: str | None, cursor: str
    ) -> Awaitable[AsyncSlackResponse]:
        asked: dict[str, Any] = {
            "oldest": oldest,
            "include_all_metadata": True,
            "limit": HISTORY_PAGE,
            "cursor": cursor or None,
        }
        if thread is None:
            return self._client.conversations_history(channel=channel, **asked)
        return self._client.conversations_replies(channel=channel, ts=thread.ts, **asked)

    async def _attempt(
        self,
        calling: "_Calling",
        draft: "_Draft",
        channel: str,
        impossible: AbstractSet[str],
        may: May,
        *,
        own: bool = False,
    ) -> SendResult:
        outcome = await self._once(calling, draft, channel, may)
        whole = draft
        while isinstance(outcome, _Refused) and (plainer := draft.plainer(outcome)) is not None:
            draft = plainer
            outcome = await self._once(calling, draft, channel, may)
        if isinstance(outcome, Delivered) and draft.blocks is not None and draft.blocks != whole.blocks:
            return replace(outcome, without_details=True)
        if not isinstance(outcome, _Refused):
            return outcome
        elsewhere = channel != self._channel
        unreachable = elsewhere and _is_closed(outcome.code)
        if own and unreachable:
            return Unreachable(outcome.sentence)
        if impossible and (outcome.code in impossible or (elsewhere and outcome.code in CHANNEL_REFUSED)):
            return NotEditable(outcome.sentence, gone=outcome.code in GONE, unreachable=unreachable)
        concerns_all = _concerns_all(outcome.code, elsewhere)
        return Failed(outcome.sentence, alone=not concerns_all, for_good=concerns_all)

    async def _once(self, calling: "_Calling", draft: "_Draft", channel: str, may: May) -> "SendResult | _Refused":
        if not may():
            return Withheld()
        try:
            answer = await call(calling(draft), self._client.timeout)
        except CallError as error:
            return _classified(error, channel, MAIN_CHANNEL if channel == self._channel else OWN_CHANNEL)
        return _delivered(answer, channel)


def _delivered(answer: Answer, channel: str) -> SendResult:
    ts = answer.text("ts")
    if not ts:
        return Failed("Slack's response does not say where the message is.", outcome_unknown=True)
    return Delivered(Address(answer.text("channel") or channel, ts))


def _not_read(error: CallError, channel: str, cursor: str) -> CouldNotLook:
    why = kept(sentence_of(error, channel))
    if isinstance(error, LimitedCallError):
        return CouldNotLook(why, error.retry_after, cursor)
    if isinstance(error, RefusedCallError):
        # The cursor may be what Slack rejected.
        return CouldNotLook(why, for_good=error.code in NEVER_READABLE)
    return CouldNotLook(why, resume=cursor)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Slack refused the call. `detail`: what it reported about the message."""

    code: str
    sentence: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """The message in one of its forms."""

    text: str
    blocks: list[Block] | None
    metadata: dict[str, Any] | None

    @property
    def shown(self) -> list[Block] | None:
        """The blocks that are not folded."""
        return self.blocks and [block for block in self.blocks if block["type"] != FOLD]

    def plainer(self, refused: _Refused) -> "_Draft | None":
        """The next plainer form: first without what is folded, then without blocks.

        None if the form was not what Slack refused, or cannot be plainer.
        """
        if refused.code in METADATA_REFUSED:
            plain = replace(self, metadata=None)
        elif refused.code in MESSAGE_REFUSED and self.shown != self.blocks:
            plain = replace(self, blocks=self.shown)
        elif refused.code in MESSAGE_REFUSED:
            plain = replace(self, text=_shortened(self.text), blocks=None)
        else:
            return None
        log.warning(
            "Slack refuses the format of a message (%s); sending it in a plainer form: %s", refused.code, refused.detail
        )
        return None if plain == self else plain


_Calling = Callable[[_Draft], Awaitable[AsyncSlackResponse]]


def _concerns_all(code: str, elsewhere: bool) -> bool:
    """Whether a refusal concerns the bot or its channel. `elsewhere`: it was the channel of an older message."""
    if code in CREDENTIALS or code == "missing_scope":
        return True
    return not elsewhere and _is_closed(code)


def _is_closed(code: str) -> bool:
    """Whether the bot cannot post to the channel."""
    return code in CHANNEL_REFUSED or code.startswith(("restricted_action", "no_permission"))


def _shortened(text: str) -> str:
    """At most `LONGEST_TEXT` characters: the first lines say what happened, the last three identify the incident."""
    if len(text) <= LONGEST_TEXT:
        return text
    ending = "\n".join(["", *text.split("\n")[1:][-3:]])[: LONGEST_TEXT // 2]
    return text[: LONGEST_TEXT - len(ending) - 2].rstrip() + "\n…" + ending


def _classified(error: CallError, channel: str, setting: str) -> Failed | _Refused:
    if isinstance(error, RefusedCallError):
        return _Refused(error.code, kept(sentence_of(error, channel, setting)), "; ".join(error.details))
    if isinstance(error, LimitedCallError):
        return Failed(kept(error), retry_after=error.retry_after)
    return Failed(kept(error), outcome_unknown=not isinstance(error, FailedCallError) or error.arrived)
