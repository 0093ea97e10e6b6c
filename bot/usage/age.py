"""The age of the data, and when data is stale."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from bot.usage.model import SourceName

ADMIN_DELAY = timedelta(minutes=5)
"""The admin report has a request within about this time (platform.claude.com, Usage and Cost API)."""

LEAST_STALE = timedelta(minutes=15)

REFRESHES = 24
"""The usual age is the median over this many refreshes, so that one outage does not shift it."""

FEWEST_REFRESHES = 2

LONGEST_GAP = timedelta(hours=2)
"""Polls are at most an hour apart."""


@dataclass(frozen=True, slots=True)
class DataState:
    """The state of the data: its age, its source, and errors.

    `as_of` is None before the first complete poll. `error` is the sentence of a failing poll, `error_since` when
    it began to fail. `billed_error`: why the last attempt at the cost report, at `billed_at`, failed; `billed_read_at`:
    when the stored report was read. `changed_from` and `changed_at`: the last change of source. `odd_rows`: the last
    sentence about incomplete rows. `ages_at_refresh`: the age of this source's data, in seconds, at each of the last
    refreshes; the newest last.
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

    Data that came while the bot was not polling does not count, nor does a change of source.
    """
    if before.source != source or before.as_of is None or before.polled_at is None:
        return ()
    watched = timedelta() <= now - before.polled_at <= LONGEST_GAP
    if as_of <= before.as_of or not watched:
        return before.ages_at_refresh
    return (*before.ages_at_refresh, (now - before.as_of).total_seconds())[-REFRESHES:]


def not_ahead(data: DataState, now: datetime) -> DataState:
    """The state with times later than `now`, recorded before the clock was set back, replaced by `now`.

    Unchanged, they would hide missing data until the clock reaches them.
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
    """The age up to which data is not stale: three polls, 15 minutes, or twice the source's usual age.

    Analytics exports in batches, often hours apart: its usual age is the median of those at which newer data came.
    """
    least = max(timedelta(seconds=3 * poll_seconds), LEAST_STALE)
    if data.source != "analytics" or len(data.ages_at_refresh) < FEWEST_REFRESHES:
        return least
    return max(least, 2 * timedelta(seconds=median(data.ages_at_refresh)))
