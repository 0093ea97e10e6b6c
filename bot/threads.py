"""Work in progress: threads for blocking work, and the count of running listeners.

Blocking work is the database, files and computing. The poll and the start use asyncio's own pool.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, Protocol, TypeVar


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
        """Sleep this long, or until a drain has begun; returns whether one has."""
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return False
        return True


P = ParamSpec("P")
Result = TypeVar("Result")

COMMANDS, WEB, CYCLE, DELIVERY, DESTINATIONS, LATER, INGEST, LEDGER, SNAPSHOTS = 6, 2, 3, 2, 2, 1, 2, 1, 3
"""Threads of each pool. A hanging fallback target holds one of the cycle's; background writes run in order; each
snapshot is read for answers in its own thread.
"""

POLLING = 6
"""Threads of asyncio's own pool that the poll, the doctor and the start may use at one time."""

MOST_CONNECTIONS = COMMANDS + WEB + CYCLE + DELIVERY + DESTINATIONS + LATER + INGEST + LEDGER + SNAPSHOTS + POLLING
"""One database connection per thread, so that no thread waits for another's."""


class InThread(Protocol):
    """Runs `work` in a thread, as `asyncio.to_thread` does."""

    async def __call__(self, work: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """Result of `work`, or its exception."""


class Pool:
    """An `InThread` with at most `size` threads, started on demand."""

    def __init__(self, name: str, size: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def __call__(self, work: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """See `InThread`."""
        call = partial(contextvars.copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def submit(self, work: Callable[[], Result]) -> "Future[Result]":
        """Queue `work`, from any thread. Raises `RuntimeError` once closed."""
        return self._executor.submit(work)

    def close(self) -> None:
        """Accept no more work and wait for none: a hanging thread is abandoned."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Threads:
    """The pools of one bot. The composition root makes and closes them."""

    def __init__(self) -> None:
        self.commands = Pool("commands", COMMANDS)
        self.web = Pool("web", WEB)
        self.cycle = Pool("cycle", CYCLE)
        self.delivery = Pool("delivery", DELIVERY)
        self.destinations = Pool("destinations", DESTINATIONS)
        self.later = Pool("later", LATER)
        self.ingest = Pool("ingest", INGEST)
        self.ledger = Pool("ledger", LEDGER)
        self.snapshots = Pool("snapshots", SNAPSHOTS)

    def close(self) -> None:
        """Close every pool."""
        first = (self.commands, self.web, self.cycle, self.delivery)
        pools = (*first, self.destinations, self.later, self.ingest, self.ledger, self.snapshots)
        for pool in pools:
            pool.close()
