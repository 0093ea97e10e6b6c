"""Notices, their destinations, and the waits between attempts to deliver them."""

from collections.abc import Callable, Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeVar

from bot.clock import Clock

SLACK = "Slack"
"""The destination that is the alert channel in Slack."""

Action = Literal["post", "update", "reply", "broadcast", "details"]
"""A reply goes to the thread of the message; a broadcast is a reply that the channel shows too. Details: a reply with
what the message would have folded, where the destination cannot fold."""

LONGEST_WAIT = timedelta(minutes=5)
"""The longest wait between two attempts at one notice."""


class NoticeStatus(StrEnum):
    """`sending` is recorded before the call to the destination: after a crash, its outcome is unknown.

    While a copy may be at it, the notice has its claim; without one, nobody is.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    OBSOLETE = "obsolete"


UNDELIVERED = (NoticeStatus.PENDING, NoticeStatus.SENDING)


class UnreadableContentError(Exception):
    """This version cannot read the content of a notice."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a message in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery. `about`: the visible id of what it reports, such as that of an incident.

    `content`: the renderer's input, opaque to delivery. `address`: the message to edit or to reply to.
    `reposts`: an edit becomes a new message where the old one cannot be edited. `attempts`: the earlier ones;
    `attempted_at`: when the last of them began. `reached`: hashes of the destination's recipients that have it already.
    `channel`: of its own in Slack; None for the main one. `meant_for`: the channels that could not be reached, instead
    of which it goes to the main one. `mention`: ids of the owners that a new message names. `claim`: this copy's.
    """

    id: int
    action: Action
    about: str
    content: Any
    attempts: int
    outcome_unknown: bool
    created_at: datetime
    address: Address | None
    reposts: bool = False
    attempted_at: datetime | None = None
    reached: frozenset[str] = frozenset()
    channel: str | None = None
    meant_for: tuple[str, ...] = ()
    mention: tuple[str, ...] = ()
    claim: str | None = None


class UnreadableNoticeError(Exception):
    """A stored notice that this version cannot read. `notice`: as claimed, without its content."""

    def __init__(self, notice: Notice) -> None:
        super().__init__("this version of the bot cannot read its stored content")
        self.notice = notice


CALL_SECONDS = 25
"""Seconds after a notice is claimed in which its call may begin; Slack's calls also end within that time."""


class Capability(StrEnum):
    """Optional capabilities of a destination, besides posting."""

    EDIT = "edit"
    THREAD = "thread"
    FIND = "find"


NEEDS: Mapping[Action, Capability] = {
    "update": Capability.EDIT,
    "reply": Capability.THREAD,
    "broadcast": Capability.THREAD,
    "details": Capability.THREAD,
}
"""The capability that an action needs."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the message. `address`: its place, if it can be edited or replied to.

    `without_details`: it refused what was folded, which has to follow in a reply.
    """

    address: Address | None = None
    without_details: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """`retry_after`: what the destination asked for. `outcome_unknown`: the message may have arrived anyway.

    `alone`: only this message is refused; otherwise no message would get through now. `for_good`: none will until
    somebody fixes the cause. `reached`: hashes of the recipients that have it.
    """

    sentence: str
    retry_after: timedelta | None = None
    outcome_unknown: bool = False
    alone: bool = False
    for_good: bool = False
    reached: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NotEditable:
    """The message can never be edited or replied to. `gone`: it was deleted. `unreachable`: its channel cannot be."""

    sentence: str
    gone: bool = False
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The channel of its own that a notice has takes no message, until somebody lets the bot in."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """This copy may no longer send: this call put nothing on the wire."""


SendResult = Delivered | Failed | NotEditable | Unreachable | Withheld


@dataclass(frozen=True, slots=True)
class Found:
    """The message is there."""

    address: Address


@dataclass(frozen=True, slots=True)
class NotThere:
    """Every candidate was read, and the message is not there."""


@dataclass(frozen=True, slots=True)
class CouldNotLook:
    """The search is unfinished. `resume`: where the next search continues; empty for the newest message.

    `retry_after`: what the destination asked for. `for_good`: the bot may not read there until somebody changes that.
    """

    why: str
    retry_after: timedelta | None = None
    resume: str = ""
    for_good: bool = False


Look = Found | NotThere | CouldNotLook

May = Callable[[], bool]
"""Whether this copy may still send; called right before each call that sends."""


def always() -> bool:
    """Always true, for a single copy."""
    return True


class Destination(Protocol):
    """Sends notices to one place. Makes no retries of its own: the outbox does.

    `call_seconds`: how long an attempt may take in all. Subclasses override what their `capabilities` name.
    """

    name: str
    capabilities: AbstractSet[Capability] = frozenset()
    call_seconds: float = CALL_SECONDS

    async def post(
        self,
        message: Any,
        identity: Mapping[str, str],
        thread: Address | None = None,
        *,
        broadcast: bool = False,
        reached: AbstractSet[str] = frozenset(),
        channel: str | None = None,
        may: May = always,
    ) -> SendResult:
        """Send a new message, as rendered for this destination. `identity`: what `find` recognises it by.

        `thread`: the message to reply to instead; `broadcast`: the reply is shown outside the thread too. `reached`:
        hashes of recipients to skip. `channel`: where to, instead of the usual place.
        """
        raise NotImplementedError

    async def update(self, address: Address, message: Any, *, may: May = always) -> SendResult:
        """Edit one of the bot's messages."""
        return NotEditable(f"{self.name} cannot edit messages.")

    async def find(
        self,
        identity: Mapping[str, str],
        since: datetime | None,
        thread: Address | None = None,
        resume: str = "",
        channel: str | None = None,
    ) -> Look:
        """Look for the message posted with `identity`.

        `since`: when it was decided, None if the clock has jumped since. `thread`: the thread it was posted in.
        `resume`: where an earlier search stopped. `channel`: as of `post`.
        """
        return CouldNotLook(f"{self.name} cannot search messages.", for_good=True)


FIRST_WAIT = timedelta(seconds=1)


def back_off(failures: int, longest: timedelta, first: timedelta = FIRST_WAIT) -> timedelta:
    """The wait before the next retry, after `failures` earlier failures: `first`, then doubled each time."""
    return min(first * (1 << min(failures, 20)), longest)


Key = TypeVar("Key", bound=Hashable)


class Waits(Generic[Key]):
    """Until when each key waits.

    If the clock is set back between two calls, the waits move with it: none is prolonged by more than the time between
    the calls. If the clock is set forward, they end early.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._until: dict[Key, datetime] = {}

    def put(self, key: Key, wait: timedelta) -> None:
        """Start a wait."""
        self._until[key] = self._now() + wait

    def drop(self, key: Key) -> None:
        """End a wait."""
        self._until.pop(key, None)

    def clear(self) -> None:
        """End every wait."""
        self._until.clear()

    def left(self, key: Key) -> timedelta:
        """The rest of a wait; zero where there is none."""
        now = self._now()
        return max(timedelta(0), self._until.get(key, now) - now)

    def waiting(self) -> set[Key]:
        """The keys that still wait."""
        now = self._now()
        return {key for key, until in self._until.items() if now < until}

    def shortest(self) -> timedelta | None:
        """How long until the first wait is over, zero if one is; None where there is none."""
        return min((self.left(key) for key in list(self._until)), default=None)

    def _now(self) -> datetime:
        now = self._clock()
        if now < self._looked_at:
            shift = now - self._looked_at
            self._until = {key: until + shift for key, until in self._until.items()}
        self._looked_at = now
        return now
