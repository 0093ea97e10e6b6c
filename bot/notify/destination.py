"""A destination of notices: what it can do, and how a call to it ends."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from bot.notify.model import Action, Address

CALL_SECONDS = 25
"""How long after an attempt is written down its call may still begin; Slack's calls end within that time, too."""


class Capability(StrEnum):
    """What a destination can do besides taking new messages."""

    EDIT = "edit"
    THREAD = "thread"
    FIND = "find"


NEEDS: Mapping[Action, Capability] = {
    "update": Capability.EDIT,
    "reply": Capability.THREAD,
    "broadcast": Capability.THREAD,
}
"""The capability that an action needs."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the message. `address`: where it stands, if it can be edited or answered."""

    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """`retry_after`: what the destination asked for. `outcome_unknown`: the message may have arrived all the same.

    `alone`: this one message is refused and others may be taken; otherwise none would get through now. `for_good`:
    nothing will, until somebody does something about it. `reached`: hashes of the recipients that have it.
    """

    sentence: str
    retry_after: timedelta | None = None
    outcome_unknown: bool = False
    alone: bool = False
    for_good: bool = False
    reached: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NotEditable:
    """The message cannot be edited or answered, now or later. `gone`: it was deleted."""

    sentence: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """This copy may not send any more: nothing was put on the wire by this call."""


SendResult = Delivered | Failed | NotEditable | Withheld


@dataclass(frozen=True, slots=True)
class Found:
    """The message stands there."""

    address: Address


@dataclass(frozen=True, slots=True)
class NotThere:
    """Everything that could be the message was read, and it is not there."""


@dataclass(frozen=True, slots=True)
class CouldNotLook:
    """The message may or may not be there. `resume`: from where the next look goes on; empty for the newest message.

    `retry_after`: what the destination asked for. `for_good`: the bot may not read there until somebody changes that.
    """

    why: str
    retry_after: timedelta | None = None
    resume: str = ""
    for_good: bool = False


Look = Found | NotThere | CouldNotLook

May = Callable[[], bool]
"""Whether this copy may still send, asked right before every call that sends something."""


def always() -> bool:
    """For a copy that is the only one."""
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
        may: May = always,
    ) -> SendResult:
        """Send a new message, as it is rendered for this destination. `identity`: what `find` recognises it by.

        `thread`: the message to answer instead; `broadcast`: the answer is shown outside of the thread, too. `reached`:
        hashes of recipients to skip.
        """
        raise NotImplementedError

    async def update(self, address: Address, message: Any, *, may: May = always) -> SendResult:
        """Edit a message of our own."""
        return NotEditable(f"{self.name} cannot edit messages.")

    async def find(
        self, identity: Mapping[str, str], since: datetime | None, thread: Address | None = None, resume: str = ""
    ) -> Look:
        """Look for the message posted with `identity`.

        `since`: when it was decided, None where the clock has jumped since. `thread`: the message below which it was
        posted. `resume`: where an earlier look ended.
        """
        return CouldNotLook(f"{self.name} cannot search messages.", for_good=True)
