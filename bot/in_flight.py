"""Counts running listeners, because Bolt does not wait for them at shutdown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class InFlight:
    """`async with in_flight.work():` around each listener; `drain` at the end."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Count what happens inside as one piece of work."""
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing is in flight, at most this long; return whether that was reached."""
        self._draining.set()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def drains_within(self, seconds: float) -> bool:
        """Sleep for so long, or until a drain has begun; return whether one has."""
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return False
        return True
