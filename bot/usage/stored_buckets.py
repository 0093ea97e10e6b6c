"""Digests of the stored buckets, so that a poll parses and stores only changed ones, and packed rows of a poll.

Kept in memory only. A digest is valid only while no other copy has written its hour since. Readings that wait to be
stored are packed, because a month of a large organization is gigabytes of rows.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import overload

import msgspec

from bot.clock import floor_hour
from bot.usage.model import Read, Seen, SeenBucket, SourceName, UsageReading, UsageRow, Width
from bot.usage.plan import HourState


@dataclass(frozen=True, slots=True)
class _Stored:
    bucket: SeenBucket
    read_at: datetime


class StoredBuckets:
    """By source, width and start."""

    def __init__(self) -> None:
        self._stored: dict[tuple[SourceName, Width], dict[datetime, _Stored]] = {}

    def of(self, source: SourceName, read: Read, hours: Mapping[datetime, HourState]) -> Seen:
        """Those of a read that still hold. `hours`: who wrote each hour of the store last, and when."""
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
        """What `reading` says of its buckets, which are stored by now. `read_at`: what the store has of their hours."""
        read = reading.read
        found = self._stored.setdefault((source, read.width), {})
        # Minutes of hours before the read have become hours; older hours than those of a poll are not read any more.
        gone = [start for start in found if read.starts_at <= start < read.ends_at or self._is_past(start, read)]
        for start in gone:
            del found[start]
        found.update({start: _Stored(bucket, read_at) for start, bucket in reading.seen.items()})

    @staticmethod
    def _is_past(start: datetime, read: Read) -> bool:
        return start < read.starts_at if read.width == "1m" else (read.starts_at - start).days > KEPT_DAYS


KEPT_DAYS = 70
"""More than the longest period and the days before it that are read."""


ROWS_PER_PACK = 2_000
"""Few enough to be packed without stalling the event loop."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[UsageRow])


class _PackedRows(Sequence[UsageRow]):
    """Unpacked a few at a time."""

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
    """The same with its rows packed."""
    return replace(reading, rows=_PackedRows(reading.rows, rows_per_pack))
