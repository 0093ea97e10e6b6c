"""A destination of notices: what it can do, and how a call to it ends."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from bot.notify.model import Action, Address

CALL_SECONDS = 25
"""Seconds after an attempt is recorded in which its call may begin; Slack's calls also end within that time."""


class Capability(StrEnum):
    """Optional capabilities of a destination, besides posting."""

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
    """The destination has the message. `address`: its place, if it can be edited or replied to."""

    address: Address | None = None


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
    """The message can never be edited or replied to. `gone`: it was deleted."""

    sentence: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """This copy may no longer send: this call put nothing on the wire."""


SendResult = Delivered | Failed | NotEditable | Withheld


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
        may: May = always,
    ) -> SendResult:
        """Send a new message, as rendered for this destination. `identity`: what `find` recognises it by.

        `thread`: the message to reply to instead; `broadcast`: the reply is shown outside the thread too. `reached`:
        hashes of recipients to skip.
        """
        raise NotImplementedError

    async def update(self, address: Address, message: Any, *, may: May = always) -> SendResult:
        """Edit one of the bot's messages."""
        return NotEditable(f"{self.name} cannot edit messages.")

    async def find(
        self, identity: Mapping[str, str], since: datetime | None, thread: Address | None = None, resume: str = ""
    ) -> Look:
        """Look for the message posted with `identity`.

        `since`: when it was decided, None if the clock has jumped since. `thread`: the thread it was posted in.
        `resume`: where an earlier search stopped.
        """
        return CouldNotLook(f"{self.name} cannot search messages.", for_good=True)
