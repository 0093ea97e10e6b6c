"""Runs outboxes in the background, so that a slow destination delays only its own notices."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from bot.db.engine import database_problem
from bot.notify.outbox import Outbox
from bot.threads import InFlight

log = logging.getLogger(__name__)


class BackgroundDelivery:
    """At most one run of each outbox at a time."""

    def __init__(self, outboxes: Sequence[Outbox], in_flight: InFlight) -> None:
        self._outboxes = tuple(outboxes)
        self._in_flight = in_flight
        self._runs: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Start a run of each outbox and return at once. A run in progress continues instead."""
        for outbox in self._outboxes:
            run = self._runs.get(outbox.name)
            if run is None or run.done():
                run = asyncio.create_task(self._run(outbox), name=outbox.name)
                run.add_done_callback(_log_crash)
                self._runs[outbox.name] = run

    async def settled(self) -> None:
        """Wait until no run is in progress."""
        if self._runs:
            await asyncio.wait(self._runs.values())

    def retry_in(self) -> timedelta | None:
        """Time until the next retry; None if no notice has failed."""
        waits = (outbox.retry_in() for outbox in self._outboxes)
        return min((wait for wait in waits if wait is not None), default=None)

    async def close(self) -> None:
        """Cancel the runs. A message that is being sent is sent again after the next start."""
        for run in self._runs.values():
            run.cancel()
        await self.settled()

    async def _run(self, outbox: Outbox) -> None:
        async with self._in_flight.work():
            try:
                await outbox.deliver()
            except SQLAlchemyError as error:
                log.error("%s waits: %s", outbox.name, database_problem(error))


def _log_crash(run: asyncio.Task[None]) -> None:
    if not run.cancelled() and (error := run.exception()) is not None:
        log.error("%s: the delivery crashed", run.get_name(), exc_info=error)
