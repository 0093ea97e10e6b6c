"""Small writes that no answer waits for: a person hears the answer first, whoever holds the database's write lock."""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, Protocol

from sqlalchemy.exc import SQLAlchemyError

from bot.db.engine import database_problem
from bot.in_flight import InFlight
from bot.threads import InThread

log = logging.getLogger(__name__)

P = ParamSpec("P")


class Writes(Protocol):
    """Does `work` at once or later. `what`: the plain clause for the log where it fails."""

    def __call__(self, what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises nothing that a later write would raise."""


def at_once(what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """For who has no event loop."""
    work(*args, **kwargs)


class Later:
    """Does what it is given in the order in which it comes. Made in the event loop; called from any thread.

    `in_thread`: of one thread. What is not done yet is in flight. A failure is one line in the log.
    """

    def __init__(self, in_thread: InThread, in_flight: InFlight) -> None:
        self._in_thread = in_thread
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, what: str, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """See `Writes`."""
        call = partial(work, *args, **kwargs)
        if threading.get_ident() == self._thread:
            self._begin(what, call)
        else:
            self._loop.call_soon_threadsafe(self._begin, what, call)

    async def close(self) -> None:
        """Wait until everything is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, what: str, call: Callable[[], object]) -> None:
        task = asyncio.create_task(self._do(what, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, what: str, call: Callable[[], object]) -> None:
        async with self._in_flight.work():
            try:
                await self._in_thread(call)
            except SQLAlchemyError as error:
                log.warning("%s: %s", what, database_problem(error))
