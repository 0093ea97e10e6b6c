"""Notices: one delivery of one message to one destination."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

SLACK = "Slack"
"""The destination that is the alert channel in Slack."""

Action = Literal["post", "update", "reply", "broadcast"]
"""A reply stands in the thread of the message; a broadcast is a reply that the channel shows too."""

LONGEST_WAIT = timedelta(minutes=5)
"""Between two attempts at one notice."""


class NoticeStatus(StrEnum):
    """`sending` is written before the call to the destination: found later, its outcome is unknown."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    OBSOLETE = "obsolete"


UNDELIVERED = (NoticeStatus.PENDING, NoticeStatus.SENDING)


class UnreadableContentError(Exception):
    """This version cannot read what a notice says."""


class UnreadableNoticeError(Exception):
    """A stored notice that this version cannot read."""

    def __init__(self, notice_id: int, attempts: int, outcome_unknown: bool) -> None:
        super().__init__("what was stored of it cannot be read by this version of the bot")
        self.notice_id = notice_id
        self.attempts = attempts
        self.outcome_unknown = outcome_unknown


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message stands in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery. `about`: the visible id of what it reports, such as that of an incident.

    `content`: what the renderer gets; delivery does not look into it. `address`: the message to edit or to answer.
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
    """An attempt that is written down: the notice, its number, and when it began by the clock of whoever made it."""

    notice_id: int
    number: int
    at: datetime | None
