"""What a poll reads. Pure: which hours are known, from where and since when, decides what is asked for next.

Recent hours still change, so the last two and the running one are read minute by minute at every poll. An hour that
leaves that window is settled: it is read again as one hour, again within two days, and once a day after that. One
slice of older hours at most is read again per poll, so that a poll late in the month asks no more than an early one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clock import DAY, HOUR, floor_hour
from bot.usage.source import Read, SourceName, Width

UNSETTLED = 2 * HOUR
RECENT = 48 * HOUR
RECENT_AGAIN = HOUR
OLDER_AGAIN = DAY
SLICE = 168 * HOUR
"""The most hours that one page of the admin report holds."""


@dataclass(frozen=True, slots=True)
class HourState:
    """Who owns an hour in the store, at which bucket width, and when it was last read."""

    source: SourceName
    width: Width
    read_at: datetime


def plan_reads(
    now: datetime, since: datetime, hours: Mapping[datetime, HourState], source: SourceName
) -> tuple[Read, ...]:
    """The reads of one poll, the minutes first. `since` is a full hour; `hours` are those from `since` on."""
    this_hour = floor_hour(now)
    settled_before = max(since, this_hour - UNSETTLED)
    recent_from = max(since, this_hour - RECENT)
    reads = [Read("1m", settled_before, this_hour + HOUR)]
    recent = _span(recent_from, settled_before)
    if recent and any(_due(hours.get(hour), source, now, RECENT_AGAIN) for hour in recent):
        reads.append(Read("1h", recent_from, settled_before))
    older = _span(since, recent_from)
    missing = [hour for hour in older if _unusable(hours.get(hour), source)]
    reads += _runs(missing)
    if not missing:
        reads += _daily_slice(older, hours, now)
    return tuple(reads)


def _daily_slice(older: list[datetime], hours: Mapping[datetime, HourState], now: datetime) -> list[Read]:
    due = [hour for hour in older if now - hours[hour].read_at >= OLDER_AGAIN]
    if not due:
        return []
    return [Read("1h", due[0], min(older[-1] + HOUR, due[0] + SLICE))]


def _due(state: HourState | None, source: SourceName, now: datetime, again: timedelta) -> bool:
    return state is None or _unusable(state, source) or now - state.read_at >= again


def _unusable(state: HourState | None, source: SourceName) -> bool:
    return state is None or state.source != source or state.width != "1h"


def _span(starts_at: datetime, ends_at: datetime) -> list[datetime]:
    count = max(0, (ends_at - starts_at) // HOUR)
    return [starts_at + index * HOUR for index in range(count)]


def _runs(hours: Iterable[datetime]) -> list[Read]:
    runs: list[Read] = []
    for hour in hours:
        if runs and runs[-1].ends_at == hour and hour - runs[-1].starts_at < SLICE:
            runs[-1] = Read("1h", runs[-1].starts_at, hour + HOUR)
        else:
            runs.append(Read("1h", hour, hour + HOUR))
    return runs
