"""How old the data is, and when that is too old."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from bot.usage.model import SourceName

ADMIN_DELAY = timedelta(minutes=5)
"""The admin report has a request within about this time (platform.claude.com, Usage and Cost API)."""

LEAST_STALE = timedelta(minutes=15)

REFRESHES = 24
"""Of so many refreshes the usual age is the median, so that one outage does not become usual."""

FEWEST_REFRESHES = 2

LONGEST_GAP = timedelta(hours=2)
"""Polls are at most an hour apart."""


@dataclass(frozen=True, slots=True)
class DataState:
    """What is known of the data: its age, where it came from, and what went wrong.

    `as_of` is None before the first complete poll. `error` is the sentence of a failing poll, `error_since` when
    it began to fail. `billed_error`: why the last attempt at the cost report, at `billed_at`, failed; `billed_read_at`:
    when the stored report was read. `changed_from` and `changed_at` tell the last change of source. `odd_rows`: the
    last sentence about rows that could not be read in full. `ages_at_refresh`: how old the data of this source was, in
    seconds, each of the last times that newer data came; the newest last.
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
    ages_at_refresh: tuple[float, ...] = ()


def is_stale(data: DataState, now: datetime, poll_seconds: int) -> bool:
    """Whether there is data and it is older than `stale_after`."""
    return data.as_of is not None and now - data.as_of > stale_after(data, poll_seconds)


def refreshed(before: DataState, source: SourceName, as_of: datetime, now: datetime) -> tuple[float, ...]:
    """`ages_at_refresh` after a poll at `now` that read data as of `as_of` from `source`.

    What came while the bot was not polling says nothing of the source. Neither does a change of it.
    """
    if before.source != source or before.as_of is None or before.polled_at is None:
        return ()
    watched = timedelta() <= now - before.polled_at <= LONGEST_GAP
    if as_of <= before.as_of or not watched:
        return before.ages_at_refresh
    return (*before.ages_at_refresh, (now - before.as_of).total_seconds())[-REFRESHES:]


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


def stale_after(data: DataState, poll_seconds: int) -> timedelta:
    """The age up to which data is not stale: three polls, 15 minutes, or twice what is usual of the source.

    Analytics exports in batches, often hours apart: its usual age is the median of those at which newer data came.
    """
    least = max(timedelta(seconds=3 * poll_seconds), LEAST_STALE)
    if data.source != "analytics" or len(data.ages_at_refresh) < FEWEST_REFRESHES:
        return least
    return max(least, 2 * timedelta(seconds=median(data.ages_at_refresh)))
