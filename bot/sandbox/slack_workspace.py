"""State of the local Slack's workspace, and its errors."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from bot.clock import Clock
from bot.messages import Block


class ApiError(Exception):
    """A call that Slack answers with `ok: false`. `details` are the answer's further fields."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


class NotDispatchedError(Exception):
    """Error shown to a person when the app did not handle an action: `dispatch_failed`, `operation_timeout`."""


def invalid_blocks(problems: list[str]) -> ApiError:
    """The error for blocks that break a limit, with where and why."""
    second_table = any("only_one_table_allowed" in problem for problem in problems)
    code = "invalid_attachments" if second_table else "invalid_blocks"
    return ApiError(code, response_metadata={"messages": problems})


class Signal:
    """Fired after every change; waiters then check their condition again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return once `condition` holds. Raises `TimeoutError` after `seconds` of real time."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._event.wait()


TEAM_ID = "T0SANDBOX"
APP_ID = "A0SANDBOX"
BOT_ID = "B0BOT"
BOT_USER = "U0BOT"
ADMIN = "U0ADMIN"
DEVELOPER = "U0DEV"
SLACKBOT = "USLACKBOT"
TOMBSTONE = "This message was deleted."
"""What Slack leaves of a deleted message whose thread has replies, in Slackbot's name."""


@dataclass(frozen=True, slots=True)
class Version:
    """A message before it was edited."""

    text: str
    blocks: list[Block]


@dataclass(slots=True, eq=False)
class Message:
    """One message. `ephemeral_to`: the only person who sees it. `earlier`: its versions before the present one.

    `replies`: messages of its thread. A message deleted while it has replies becomes a tombstone.
    """

    channel: str
    ts: str
    posted_at: datetime
    user: str
    text: str
    blocks: list[Block]
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    ephemeral_to: str | None = None
    edited_at: datetime | None = None
    earlier: list[Version] = field(default_factory=list)
    replies: list["Message"] = field(default_factory=list)

    @property
    def is_tombstone(self) -> bool:
        """Whether only its thread is left."""
        return self.user == SLACKBOT

    @property
    def thread(self) -> str | None:
        """`ts` of its thread; a message with replies starts its own."""
        return self.thread_ts or (self.ts if self.replies else None)

    @property
    def texts(self) -> list[str]:
        """All texts it ever had, the current one last."""
        return [*(version.text for version in self.earlier), self.text]

    def as_slack(self, *, metadata: bool = False) -> dict[str, Any]:
        """The message object of API answers and payloads; Slack gives every block an id."""
        shown: dict[str, Any] = {
            "type": "message",
            "user": self.user,
            "ts": self.ts,
            "text": self.text,
            "team": TEAM_ID,
            "blocks": with_block_ids(self.blocks),
        }
        if self.user == BOT_USER:
            shown |= {"bot_id": BOT_ID, "app_id": APP_ID}
        if self.is_tombstone:
            shown |= {"subtype": "tombstone", "hidden": True}
        elif self.broadcast:
            shown["subtype"] = "thread_broadcast"
        if self.thread is not None:
            shown["thread_ts"] = self.thread
        if self.replies:
            users = list(dict.fromkeys(reply.user for reply in self.replies))
            shown |= {"reply_count": len(self.replies), "reply_users": users, "reply_users_count": len(users)}
            shown["latest_reply"] = self.replies[-1].ts
        if self.edited_at is not None:
            shown["edited"] = {"user": self.user, "ts": f"{self.edited_at.timestamp():.6f}"}
        if metadata and self.metadata is not None:
            shown["metadata"] = self.metadata
        return shown


@dataclass(slots=True)
class Channel:
    """`has_bot`: whether the bot is a member. A private channel does not exist for those outside."""

    id: str
    name: str
    has_bot: bool = True
    is_private: bool = False
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A visible change: a message, or a person's view (Home tab or modal)."""

    kind: Literal["posted", "edited", "deleted", "view"]
    message: Message | None = None
    user: str | None = None


def direct_id(user: str) -> str:
    """The id of the direct messages between the bot and a person."""
    return f"D{user[1:]}"


class SlackWorkspace:
    """`scopes`: granted to the app. `usergroups`: members by group id. `admins`: of the workspace. `locales`: people's
    own, if not American English.

    `revision` counts changes; `signal` is fired after each one and after each call of the app.
    """

    def __init__(self, clock: Clock, channels: Iterable[str]) -> None:
        self.clock = clock
        self.users = {ADMIN: "Ada (admin)", DEVELOPER: "Dev", BOT_USER: "claude-cost"}
        self.admins = {ADMIN}
        self.usergroups: dict[str, list[str]] = {}
        self.locales: dict[str, str] = {}
        self.scopes = {"chat:write", "commands"}
        self.unknown_blocks: set[str] = set()
        """Types of blocks that this Slack rejects, as a workspace that does not have them yet."""
        self.channels = {id_: Channel(id_, id_.removeprefix("C0").lower()) for id_ in channels}
        self.messages: list[Message] = []
        self.revision = 0
        self._last_ts = 0
        self._numbers = itertools.count(1)
        self.signal = Signal()
        self._subscribers: set[asyncio.Queue[Change]] = set()

    def new_id(self, prefix: str) -> str:
        """A new unique id."""
        return f"{prefix}{next(self._numbers):06d}"

    def new_ts(self) -> str:
        """The clock's time in microseconds, always later than the last one given."""
        at = self.clock() - datetime(1970, 1, 1, tzinfo=UTC)
        micros = (at.days * 86_400 + at.seconds) * 1_000_000 + at.microseconds
        self._last_ts = max(micros, self._last_ts + 1)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def direct_channel(self, user: str) -> Channel:
        """The direct messages between the bot and a person."""
        id_ = direct_id(user)
        return self.channels.setdefault(id_, Channel(id_, self.users[user], is_private=True))

    def post(
        self,
        channel: str,
        user: str,
        text: str,
        blocks: list[Block],
        *,
        thread_ts: str | None = None,
        broadcast: bool = False,
        metadata: dict[str, Any] | None = None,
        ephemeral_to: str | None = None,
    ) -> Message:
        """Post a message.

        If the message of `thread_ts` does not exist, Slack silently posts the reply to the channel; only the missing
        `thread_ts` of the response shows that (github.com/slack-go/slack/issues/1571).
        """
        parent = None if thread_ts is None else self.at(thread_ts, channel)
        if parent is None:
            thread_ts, broadcast = None, False
        message = Message(
            channel, self.new_ts(), self.clock(), user, text, blocks, thread_ts, broadcast, metadata, ephemeral_to
        )
        self.messages.append(message)
        if parent is not None and ephemeral_to is None:
            parent.replies.append(message)
        self.publish(Change("posted", message))
        return message

    def edit(self, message: Message, text: str, blocks: list[Block]) -> None:
        """A new version of a message."""
        message.earlier.append(Version(message.text, message.blocks))
        message.text, message.blocks, message.edited_at = text, blocks, self.clock()
        self.publish(Change("edited", message))

    def delete(self, message: Message) -> None:
        """Delete a message; above replies a tombstone stays, until the last of them is deleted too."""
        if message.replies:
            message.user, message.text, message.blocks = SLACKBOT, TOMBSTONE, []
            message.metadata = message.edited_at = None
        else:
            self.messages.remove(message)
        parent = None if message.thread_ts is None else self.at(message.thread_ts, message.channel)
        if parent is not None and message in parent.replies:
            parent.replies.remove(message)
            if parent.is_tombstone and not parent.replies:
                self.messages.remove(parent)
        self.publish(Change("deleted", message))

    def may_delete(self, user: str, message: Message) -> bool:
        """People may delete their own messages, admins of the workspace any message that everyone sees."""
        lasting = message.ephemeral_to is None and not message.is_tombstone
        return lasting and (user == message.user or user in self.admins)

    def find(self, ts: str, channel: str | None = None) -> Message:
        """The message with this `ts`. Raises `ApiError` (`message_not_found`)."""
        message = self.at(ts, channel)
        if message is None or message.is_tombstone:
            raise ApiError("message_not_found")
        return message

    def at(self, ts: str, channel: str | None = None) -> Message | None:
        """The message at this `ts`, which may be a tombstone."""
        for message in self.messages:
            if message.ts == ts and channel in (None, message.channel):
                return message
        return None

    def visible_to(self, user: str, channel: str | None = None) -> list[Message]:
        """What a person sees, in order of time."""
        return [
            message
            for message in self.messages
            if message.ephemeral_to in (None, user) and channel in (None, message.channel)
        ]

    def publish(self, change: Change) -> None:
        """Wake everyone who waits for changes."""
        self.revision += 1
        for queue in self._subscribers:
            queue.put_nowait(change)
        self.signal.fire()

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[Change]]:
        """A queue that gets every change from now on."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    async def until(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Return once `condition`, a question about this state, holds. Raises `TimeoutError`."""
        await self.signal.until(condition, seconds)


def with_block_ids(blocks: list[Block]) -> list[Block]:
    """Blocks with ids, generated as Slack does if missing."""
    return [{**block, "block_id": block.get("block_id") or f"b{index}"} for index, block in enumerate(blocks)]
