"""Large reads in parts of whole hours, each with about as many rows as memory may hold at once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from bot.clock import HOUR
from bot.usage.source import Read, TooManyRowsError, UsageReading

ROWS_PER_PART = 100_000
MOST_ROWS = 250_000
"""Of one part, unless it is a single hour."""

Usage = Callable[[Read, int | None], Awaitable[UsageReading]]
"""Reads; the second argument is the most rows, None for any number."""


class Parts:
    """`rows_per_hour`: what is known of the density before anything is read; each part corrects it for the next."""

    def __init__(self, usage: Usage, rows_per_hour: float) -> None:
        self._usage = usage
        self._span = _span(rows_per_hour)

    async def of(self, read: Read) -> AsyncIterator[UsageReading]:
        """Readings that together are the whole `read`, in order."""
        starts_at = read.starts_at
        while starts_at < read.ends_at:
            part = Read(read.width, starts_at, min(read.ends_at, starts_at + self._span))
            try:
                reading = await self._usage(part, MOST_ROWS if part.ends_at - starts_at > HOUR else None)
            except TooManyRowsError:
                self._span = max(HOUR, (part.ends_at - starts_at) // 2 // HOUR * HOUR)
                continue
            hours = (part.ends_at - starts_at) // HOUR
            rows = len(reading.rows)
            yield reading
            del reading
            self._span = min(_span(rows / hours), 2 * self._span)
            starts_at = part.ends_at


def _span(rows_per_hour: float) -> timedelta:
    hours = int(ROWS_PER_PART / max(rows_per_hour, 1))
    return max(1, hours) * HOUR
