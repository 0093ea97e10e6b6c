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
"""A reply goes to the thread of the message; a broadcast is a reply that the channel shows too. `details` is a
reply with the details that the destination could not fold in the message."""

LONGEST_WAIT = timedelta(minutes=5)
"""The longest wait between two attempts at one notice."""


class NoticeStatus(StrEnum):
    """State of a notice. `sending` is recorded before the call, so that after a crash its outcome counts as unknown.

    A `sending` notice with a claim is being sent by that copy; without one it waits for a retry.
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
    """One delivery. `about`: visible id of what it reports, such as an incident.

    `content`: input of the renderer, opaque to delivery. `address`: the message to edit or to reply to. `reposts`:
    whether an edit becomes a new message if the old one cannot be edited. `attempts`: number of earlier ones;
    `attempted_at`: when the last of them began. `reached`: hashes of the recipients that have it already. `channel`: id
    of its own channel in Slack; None for the main one. `meant_for`: ids of the channels that could not be reached,
    whose message goes to the main one instead. `mention`: ids of the owners that a new message mentions. `claim`: id of
    this copy's claim.
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
    """This version cannot read a stored notice. `notice`: as claimed, without its content."""

    def __init__(self, notice: Notice) -> None:
        super().__init__("this version of the bot cannot read its stored content")
        self.notice = notice


CALL_SECONDS = 25
"""Seconds after the claim of a notice within which its call may begin. Slack's calls also end within them."""


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
"""The capability that an action needs; none for a post."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the message. `address`: where, if it can be edited or replied to.

    `without_details`: the destination refused the folded details, which have to follow in a reply.
    """

    address: Address | None = None
    without_details: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The message did not get through. `sentence`: why.

    `retry_after`: the wait that the destination asked for. `outcome_unknown`: the message may have arrived anyway.
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
    """The message can never be edited or replied to. `gone`: it was deleted. `unreachable`: its channel is closed."""

    sentence: str
    gone: bool = False
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A notice's own channel takes no message until somebody lets the bot in."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """This copy may no longer send, and has sent nothing."""


SendResult = Delivered | Failed | NotEditable | Unreachable | Withheld


@dataclass(frozen=True, slots=True)
class Found:
    """The search found the message."""

    address: Address


@dataclass(frozen=True, slots=True)
class NotThere:
    """The search read every candidate, and the message is not among them."""


@dataclass(frozen=True, slots=True)
class CouldNotLook:
    """The search is unfinished. `resume`: where the next search continues; empty for the newest message.

    `retry_after`: the wait that the destination asked for. `for_good`: the bot may not read there until somebody
    changes that.
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
    """Sends notices to one place, without retries: the outbox makes those.

    `call_seconds`: longest duration of an attempt. Subclasses override the methods that their `capabilities` name.
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
        """Send a new message, rendered for this destination. `identity`: by which `find` recognises it.

        `thread`: the message to reply to instead; `broadcast`: whether the channel shows the reply too. `reached`:
        hashes of recipients to skip. `channel`: id of the channel, if not the main one. `may`: asked right before each
        call.
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
        """Search for the message posted with `identity`.

        `since`: when it was decided; None if the clock has jumped since. `thread`: the thread it was posted in.
        `resume`: where an earlier search stopped. `channel`: as in `post`.
        """
        return CouldNotLook(f"{self.name} cannot search messages.", for_good=True)


FIRST_WAIT = timedelta(seconds=1)


def back_off(failures: int, longest: timedelta, first: timedelta = FIRST_WAIT) -> timedelta:
    """The wait before the next retry: `first`, doubled for each of the earlier `failures`, at most `longest`."""
    return min(first * (1 << min(failures, 20)), longest)


Key = TypeVar("Key", bound=Hashable)


class Waits(Generic[Key]):
    """The wait of each key, by a clock that may be set.

    If the clock is set back between two calls, the waits move with it, so that none lasts longer by more than the time
    between the calls. If the clock is set forward, they end early.
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
        """The rest of a wait; zero if there is none."""
        now = self._now()
        return max(timedelta(0), self._until.get(key, now) - now)

    def waiting(self) -> set[Key]:
        """The keys that still wait."""
        now = self._now()
        return {key for key, until in self._until.items() if now < until}

    def shortest(self) -> timedelta | None:
        """Time until the first wait is over, zero if one is over already; None if there is none."""
        return min((self.left(key) for key in list(self._until)), default=None)

    def _now(self) -> datetime:
        now = self._clock()
        if now < self._looked_at:
            shift = now - self._looked_at
            self._until = {key: until + shift for key, until in self._until.items()}
        self._looked_at = now
        return now
