"""How old the data is, and when that is too old."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.usage.source import SourceName

ADMIN_DELAY = timedelta(minutes=5)
"""The admin report has a request within about this time (platform.claude.com, Usage and Cost API)."""

LEAST_STALE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class DataState:
    """What is known of the data: its age, where it came from, and what went wrong.

    `as_of` is None before the first complete poll. `error` is the sentence of a failing poll, `error_since` when
    it began to fail. `billed_error`: why the last attempt at the cost report, at `billed_at`, failed; `billed_read_at`:
    when the stored report was read. `changed_from` and `changed_at` tell the last change of source.
    """

    as_of: datetime | None = None
    source: SourceName | None = None
    polled_at: datetime | None = None
    error: str | None = None
    error_since: datetime | None = None
    billed_error: str | None = None
    billed_at: datetime | None = None
    billed_read_at: datetime | None = None
    changed_from: SourceName | None = None
    changed_at: datetime | None = None


def is_stale(as_of: datetime, now: datetime, poll_seconds: int) -> bool:
    """Older than three polls, and older than 15 minutes."""
    return now - as_of > stale_after(poll_seconds)


def stale_after(poll_seconds: int) -> timedelta:
    """The age up to which data is not stale."""
    return max(timedelta(seconds=3 * poll_seconds), LEAST_STALE)
