"""Delivers alerts to further destinations than Slack, each at its own pace. What cannot be delivered now waits."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.facts import TestFacts
from bot.alerts.incident_facts import IncidentFacts
from bot.alerts.outbox import FIRST_WAIT, LONGEST_WAIT
from bot.clock import Clock
from bot.in_flight import InFlight
from bot.message import Letter
from bot.store.outside import OutsideNotice, OutsideStore

log = logging.getLogger(__name__)

RenderLetter = Callable[[IncidentFacts | TestFacts, datetime, datetime], Letter]
"""The letter about an incident, decided at the first moment, as it is sent at the second."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a letter. `error`: a clause on why not everybody has it. `reached`: marks of those who have.

    `for_good`: nothing will be taken until somebody does something about it.
    """

    error: str | None
    reached: frozenset[str] = frozenset()
    for_good: bool = False


class Destination(Protocol):
    """Something that takes letters."""

    name: str

    async def tell(self, letter: Letter, reached: frozenset[str]) -> Told:
        """Send to those recipients that are not in `reached`."""


class OutsideOutbox:
    """One run for each destination, beside everything else: nobody waits for a destination but its own letters.

    A letter that fails holds up only what is told of the same incident later. Like Slack's outbox it is tried again
    after a wait that grows, and at once after a start.
    """

    def __init__(
        self,
        store: OutsideStore,
        destinations: Sequence[Destination],
        render: RenderLetter,
        clock: Clock,
        in_flight: InFlight,
    ) -> None:
        self._store = store
        self._destinations = tuple(destinations)
        self._render = render
        self._clock = clock
        self._in_flight = in_flight
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[int, datetime] = {}
        self.refusing: set[str] = set()
        """The destinations that take nothing until somebody does something about it."""

    def begin(self) -> None:
        """Start what is due, and return at once. A destination that is still at work goes on with that."""
        for destination in self._destinations:
            run = self._runs.get(destination.name)
            if run is None or run.done():
                run = asyncio.create_task(self._run(destination), name=destination.name)
                run.add_done_callback(_log_crash)
                self._runs[destination.name] = run

    async def settled(self) -> None:
        """Wait for what was begun."""
        if self._runs:
            await asyncio.wait(self._runs.values())

    def retry_in(self) -> timedelta | None:
        """How long until the next letter may be tried again; None where none has failed."""
        if not self._not_before:
            return None
        return max(timedelta(0), min(self._not_before.values()) - self._clock())

    async def close(self) -> None:
        """Stop. What is being sent at this moment is sent once more after the next start."""
        for run in self._runs.values():
            run.cancel()
        await self.settled()

    async def _run(self, destination: Destination) -> None:
        async with self._in_flight.work():
            try:
                await self._deliver(destination)
            except SQLAlchemyError as error:
                log.error("%s: the database fails (%s)", destination.name, type(error).__name__)

    async def _deliver(self, destination: Destination) -> None:
        held: set[int | None] = set()
        for notice in await asyncio.to_thread(self._store.pending, destination.name):
            not_before = self._not_before.get(notice.id)
            early = not_before is not None and self._clock() < not_before
            if notice.alert_id in held or early or not await self._tell(destination, notice):
                held.update({notice.alert_id} - {None})

    async def _tell(self, destination: Destination, notice: OutsideNotice) -> bool:
        now = self._clock()
        if not await asyncio.to_thread(self._store.start_attempt, notice, now):
            log.warning("%s: another copy of the bot delivers letter %d", destination.name, notice.id)
            return False
        told = await self._told(destination, notice, now)
        if told.for_good:
            self.refusing.add(destination.name)
        if told.error is None:
            self.refusing.discard(destination.name)
            await asyncio.to_thread(self._store.finish, notice.id, self._clock())
            self._not_before.pop(notice.id, None)
            return True
        await asyncio.to_thread(self._store.keep, notice.id, told.error, told.reached)
        wait = min(FIRST_WAIT * 2 ** min(notice.attempts, 20), LONGEST_WAIT)
        log.error("%s: letter %d waits %d s, because %s", destination.name, notice.id, wait.total_seconds(), told.error)
        self._not_before[notice.id] = self._clock() + wait
        return False

    async def _told(self, destination: Destination, notice: OutsideNotice, now: datetime) -> Told:
        if notice.facts is None:
            return Told("a letter cannot be read by this version of the bot", notice.reached)
        try:
            letter = self._render(notice.facts, notice.created_at, now)
        except Exception as error:  # whatever a fault in drawing one raises, the others get out
            log.error("letter %d cannot be drawn", notice.id, exc_info=error)
            why = f"a letter cannot be drawn by this version of the bot ({type(error).__name__})"
            return Told(why, notice.reached)
        try:
            return await destination.tell(letter, notice.reached)
        except Exception as error:  # noqa: BLE001  # a service's own fault is no reason to hold up the next letter
            log.error("%s failed at letter %d (%s)", destination.name, notice.id, type(error).__name__)
            return Told(f"it fails with an error of its own ({type(error).__name__})", notice.reached)


def _log_crash(run: asyncio.Task[None]) -> None:
    if not run.cancelled() and (error := run.exception()) is not None:
        log.error("%s: the delivery ended with an error of its own", run.get_name(), exc_info=error)
