"""How the buckets in the store were answered, so that a poll parses and stores only those that are answered otherwise.

Kept in memory alone. It holds only as long as the store says that nobody else has written the hour since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.clock import floor_hour
from bot.usage.model import Read, Seen, SeenBucket, SourceName, UsageReading, Width
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
