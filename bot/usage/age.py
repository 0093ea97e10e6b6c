"""How old the data is, and when that is too old."""

from dataclasses import dataclass, replace
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
    when the stored report was read. `changed_from` and `changed_at` tell the last change of source. `odd_rows`: the
    last sentence about rows that could not be read in full.
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
    odd_rows: str | None = None


def is_stale(as_of: datetime, now: datetime, poll_seconds: int) -> bool:
    """Older than three polls, and older than 15 minutes."""
    return now - as_of > stale_after(poll_seconds)


def not_ahead(data: DataState, now: datetime) -> DataState:
    """The same with the times that a clock which has been set back since wrote down ahead of `now`, taken for `now`.

    Left as they are, they would hide for as long that no data comes.
    """

    def present(moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment, now)

    return replace(
        data,
        as_of=present(data.as_of),
        polled_at=present(data.polled_at),
        error_since=present(data.error_since),
        billed_at=present(data.billed_at),
        billed_read_at=present(data.billed_read_at),
        changed_at=present(data.changed_at),
    )


def stale_after(poll_seconds: int) -> timedelta:
    """The age up to which data is not stale."""
    return max(timedelta(seconds=3 * poll_seconds), LEAST_STALE)
