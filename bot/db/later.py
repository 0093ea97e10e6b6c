"""Small writes in the background: a reply is sent without waiting for the database's write lock."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import ParamSpec, Protocol

from sqlalchemy.exc import SQLAlchemyError

from bot.db.engine import database_problem
from bot.threads import InFlight, Pool

log = logging.getLogger(__name__)

P = ParamSpec("P")


class Writes(Protocol):
    """Runs `work` now or later. `what`: clause for the log if it fails."""

    def __call__(self, what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Write now or queue the write; a queued write that fails is logged, not raised."""


def at_once(what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Write at once, for callers without an event loop."""
    work(*args, **kwargs)


class Later:
    """Queues writes from any thread and runs them in order. Create it in the event loop.

    `pool`: of one thread. A write that has not run yet counts as in flight. A failure is one line in the log.
    """

    def __init__(self, pool: Pool, in_flight: InFlight) -> None:
        self._pool = pool
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._left: set[Future[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    def __call__(self, what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """See `Writes`."""
        try:
            done = self._pool.submit(partial(_do, what, partial(work, *args, **kwargs)))
        except RuntimeError:
            log.warning("%s: the bot has ended", what)
            return
        self._left.add(done)
        done.add_done_callback(self._left.discard)
        with suppress(RuntimeError):  # The loop has ended, so nothing counts work in flight any more.
            self._loop.call_soon_threadsafe(self._count, done)

    async def close(self) -> None:
        """Wait for every write queued so far."""
        while left := [asyncio.wrap_future(one) for one in tuple(self._left)]:
            await asyncio.wait(left)

    def _count(self, done: "Future[None]") -> None:
        task = asyncio.create_task(self._until(done))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _until(self, done: "Future[None]") -> None:
        async with self._in_flight.work():
            await asyncio.wrap_future(done)


def _do(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except SQLAlchemyError as error:
        log.warning("%s: %s", what, database_problem(error))
    except Exception as error:  # noqa: BLE001  # the writes after it must still run
        log.error("%s (%s)", what, type(error).__name__)
