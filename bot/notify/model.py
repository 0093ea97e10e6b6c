"""Notices: one delivery of one message to one destination."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

SLACK = "Slack"
"""The destination that is the alert channel in Slack."""

Action = Literal["post", "update", "reply", "broadcast"]
"""A reply goes to the thread of the message; a broadcast is a reply that the channel shows too."""

LONGEST_WAIT = timedelta(minutes=5)
"""The longest wait between two attempts at one notice."""


class NoticeStatus(StrEnum):
    """`sending` is recorded before the call to the destination: after a crash, its outcome is unknown."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    OBSOLETE = "obsolete"


UNDELIVERED = (NoticeStatus.PENDING, NoticeStatus.SENDING)


class UnreadableContentError(Exception):
    """This version cannot read the content of a notice."""


class UnreadableNoticeError(Exception):
    """A stored notice that this version cannot read."""

    def __init__(self, notice_id: int, attempts: int, outcome_unknown: bool) -> None:
        super().__init__("this version of the bot cannot read its stored content")
        self.notice_id = notice_id
        self.attempts = attempts
        self.outcome_unknown = outcome_unknown


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a message in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery. `about`: the visible id of what it reports, such as that of an incident.

    `content`: the renderer's input, opaque to delivery. `address`: the message to edit or to reply to.
    `reposts`: an edit becomes a new message where the old one cannot be edited. `attempted_at`: when the last attempt
    began. `reached`: hashes of the destination's recipients that have it already.
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """A recorded attempt: the notice, its number, and when it began by the clock of the copy that made it."""

    notice_id: int
    number: int
    at: datetime | None
