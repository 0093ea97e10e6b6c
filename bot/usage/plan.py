"""Which reads a poll needs, by the ages of the known hours, and which buckets of them have changed. Pure.

Recent hours still change, so the last two and the current one are read minute by minute at every poll. An hour that
leaves that window is settled: it is read again as one hour, every hour for two days, and once a day after that. At most
one slice of older hours is read again per poll, so that a poll late in the month reads no more than an early one. Only
a gap, as after an outage or a change of source, is read at once, together with all that is due.

Digests of buckets are kept in memory only. One is valid only while no other copy has written its hour since. Readings
that wait to be stored are packed, because a month of a large organization is gigabytes of rows.
"""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, overload

import msgspec

from bot.clock import DAY, HOUR, floor_hour, is_over
from bot.usage.model import Read, Seen, SeenBucket, SourceName, TooManyRowsError, UsageReading, UsageRow, Width

UNSETTLED = 2 * HOUR
RECENT = 48 * HOUR
OLDER_AGAIN = DAY
SLICE = 168 * HOUR
"""The most hours that one page of the admin report holds."""


@dataclass(frozen=True, slots=True)
class HourState:
    """The source of an hour in the store, its bucket width, and when it was last read."""

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
    if any(_unusable(hours.get(hour), source, now) for hour in _span(recent_from, settled_before)):
        # That is once an hour, since one more hour settles every hour.
        reads.append(Read("1h", recent_from, settled_before))
    due, gap = list[datetime](), False
    for hour in _span(since, recent_from):
        state = hours.get(hour)
        if state is None or _unusable(state, source, now):
            gap = True
            due.append(hour)
        elif is_over(OLDER_AGAIN, state.read_at, now):
            due.append(hour)
    slices = _slices(due, recent_from)
    return (*reads, *(slices if gap else slices[:1]))


def _unusable(state: HourState | None, source: SourceName, now: datetime) -> bool:
    """Whether an hour was read later than now: by a wrong clock, which may have considered the hour over."""
    return state is None or state.source != source or state.width != "1h" or state.read_at > now


def _span(starts_at: datetime, ends_at: datetime) -> list[datetime]:
    count = max(0, (ends_at - starts_at) // HOUR)
    return [starts_at + index * HOUR for index in range(count)]


def _slices(due: Iterable[datetime], until: datetime) -> list[Read]:
    """Whole slices that contain all of these hours: hours that are not due yet cost no further request."""
    slices: list[Read] = []
    for hour in due:
        if not slices or hour >= slices[-1].ends_at:
            slices.append(Read("1h", hour, min(until, hour + SLICE)))
    return slices


class Sizes(NamedTuple):
    """How many rows of a long read are held at once.

    `part`: planned size of a part. `most`: of one part, unless it is a single hour. `packed_from`: with fewer rows in
    all readings together, nothing is packed.
    """

    part: int = 100_000
    most: int = 250_000
    packed_from: int = 20_000


SIZES = Sizes()

Usage = Callable[[Read, int | None], Awaitable[UsageReading]]
"""Reads; the second argument is the most rows, None for any number."""


class Parts:
    """`rows_per_hour`: initial estimate; each part corrects it for the next."""

    def __init__(self, usage: Usage, rows_per_hour: float, sizes: Sizes = SIZES) -> None:
        self._sizes = sizes
        self._usage = usage
        self._span = self._part_of(rows_per_hour)

    async def of(self, read: Read) -> AsyncIterator[UsageReading]:
        """The whole `read` in parts, in order."""
        starts_at = read.starts_at
        while starts_at < read.ends_at:
            part = Read(read.width, starts_at, min(read.ends_at, starts_at + self._span))
            try:
                reading = await self._usage(part, self._sizes.most if part.ends_at - starts_at > HOUR else None)
            except TooManyRowsError:
                self._span = max(HOUR, (part.ends_at - starts_at) // 2 // HOUR * HOUR)
                continue
            hours = (part.ends_at - starts_at) // HOUR
            rows = len(reading.rows)
            yield reading
            del reading
            self._span = min(self._part_of(rows / hours), 2 * self._span)
            starts_at = part.ends_at

    def _part_of(self, rows_per_hour: float) -> timedelta:
        hours = int(self._sizes.part / max(rows_per_hour, 1))
        return max(1, hours) * HOUR


@dataclass(frozen=True, slots=True)
class _Stored:
    bucket: SeenBucket
    read_at: datetime


class StoredBuckets:
    """Digests by source, width and start."""

    def __init__(self) -> None:
        self._stored: dict[tuple[SourceName, Width], dict[datetime, _Stored]] = {}

    def of(self, source: SourceName, read: Read, hours: Mapping[datetime, HourState]) -> Seen:
        """Digests of a read that are still valid. `hours`: who last wrote each hour of the store, and when."""
        found = self._stored.get((source, read.width), {})

        def holds(starts_at: datetime, stored: _Stored) -> bool:
            state = hours.get(floor_hour(starts_at))
            return state == HourState(source, read.width, stored.read_at)

        return {
            starts_at: stored.bucket
            for starts_at, stored in found.items()
            if read.starts_at <= starts_at < read.ends_at and holds(starts_at, stored)
        }

    def keep(self, source: SourceName, reading: UsageReading, read_at: datetime) -> None:
        """Keep the digests of a stored `reading`. `read_at`: the read time of their hours in the store."""
        read = reading.read
        found = self._stored.setdefault((source, read.width), {})
        # Minutes of hours before the read have become hours; hours older than a poll reads are not needed.
        gone = [start for start in found if read.starts_at <= start < read.ends_at or self._is_past(start, read)]
        for start in gone:
            del found[start]
        found.update({start: _Stored(bucket, read_at) for start, bucket in reading.seen.items()})

    @staticmethod
    def _is_past(start: datetime, read: Read) -> bool:
        return start < read.starts_at if read.width == "1m" else (read.starts_at - start).days > KEPT_DAYS


KEPT_DAYS = 70
"""More than the longest period and the days read before it."""


ROWS_PER_PACK = 2_000
"""Small enough to pack without stalling the event loop."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[UsageRow])


class _PackedRows(Sequence[UsageRow]):
    """Rows that are unpacked a few at a time."""

    def __init__(self, rows: Sequence[UsageRow], rows_per_pack: int) -> None:
        self._count = len(rows)
        some, self._packs = iter(rows), list[bytes]()
        while pack := list(islice(some, rows_per_pack)):
            self._packs.append(zlib.compress(_ENCODER.encode(pack), 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[UsageRow]:
        for pack in self._packs:
            yield from _DECODER.decode(zlib.decompress(pack))

    @overload
    def __getitem__(self, index: int) -> UsageRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[UsageRow]: ...

    def __getitem__(self, index: int | slice) -> UsageRow | Sequence[UsageRow]:
        return list(self)[index]


def packed(reading: UsageReading, rows_per_pack: int = ROWS_PER_PACK) -> UsageReading:
    """The reading with its rows packed."""
    return replace(reading, rows=_PackedRows(reading.rows, rows_per_pack))
