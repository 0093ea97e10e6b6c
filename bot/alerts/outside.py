"""Delivers alerts to further destinations than Slack, each at its own pace. What cannot be delivered now waits."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.facts import TestFacts
from bot.alerts.incident_facts import IncidentFacts
from bot.clock import Clock
from bot.in_flight import InFlight
from bot.message import PlainMessage
from bot.notify.attempts import CALL_SECONDS, Attempts
from bot.notify.back_off import Waits, back_off
from bot.notify.slack import May, always
from bot.notify.store import LONGEST_WAIT, Attempt
from bot.store.engine import database_problem
from bot.store.outside import OutsideNotice, OutsideStore
from bot.threads import InThread

log = logging.getLogger(__name__)

ATTEMPT_SECONDS = 100
"""After which an attempt of another copy is over: longer than it may take to begin, and a destination to answer."""

RenderLetter = Callable[[IncidentFacts | TestFacts, datetime, datetime], PlainMessage]
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

    async def tell(self, letter: PlainMessage, reached: frozenset[str]) -> Told:
        """Send to those recipients that are not in `reached`."""


class OutsideOutbox:
    """One run for each destination, beside everything else: nobody waits for a destination but its own letters.

    A letter that fails holds up only what is told of the same incident later. Like Slack's outbox it is tried again
    after a wait that grows, and at once after a start. What another copy may be sending at this moment waits until that
    is surely over.

    `still_leads`, `predecessor_alive`, `monotonic`: as of `Outbox`.
    """

    def __init__(
        self,
        store: OutsideStore,
        destinations: Sequence[Destination],
        render: RenderLetter,
        clock: Clock,
        in_flight: InFlight,
        *,
        still_leads: May = always,
        predecessor_alive: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._store = store
        self._in_thread = in_thread
        self._destinations = tuple(destinations)
        self._render = render
        self._clock = clock
        self._in_flight = in_flight
        self._still_leads = still_leads
        self._monotonic = monotonic
        self._attempts = Attempts(clock, predecessor_alive, monotonic, ATTEMPT_SECONDS)
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._waits: Waits[int] = Waits(clock)
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
        return self._waits.shortest()

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
                log.error("%s waits: %s", destination.name, database_problem(error))

    async def _deliver(self, destination: Destination) -> None:
        held: set[int | None] = set()
        for notice in await self._in_thread(self._store.pending, destination.name):
            early = bool(self._waits.left(notice.id)) or self._is_under_way(notice)
            if notice.alert_id in held or early or not await self._tell(destination, notice):
                held.update({notice.alert_id} - {None})

    def _is_under_way(self, notice: OutsideNotice) -> bool:
        at = notice.attempted_at
        return at is not None and self._attempts.under_way(Attempt(notice.id, notice.attempts, at))

    async def _tell(self, destination: Destination, notice: OutsideNotice) -> bool:
        now = self._clock()
        began_at = self._monotonic()
        number = notice.attempts + 1
        if not self._still_leads() or not await self._in_thread(self._store.start_attempt, notice, now):
            log.warning("%s: another copy of the bot delivers letter %d", destination.name, notice.id)
            return False
        self._attempts.begun(notice.id, number)
        if not self._still_leads() or self._monotonic() - began_at >= CALL_SECONDS:
            log.warning("%s: another copy of the bot may deliver letter %d by now", destination.name, notice.id)
            return False
        told = await self._told(destination, notice, now)
        if told.for_good:
            self.refusing.add(destination.name)
        if told.error is None:
            self.refusing.discard(destination.name)
            ended = await self._in_thread(self._store.finish, notice.id, self._clock(), attempts=number)
            self._waits.drop(notice.id)
            self._attempts.over(notice.id)
        else:
            ended = await self._in_thread(self._store.keep, notice.id, told.error, told.reached, attempts=number)
            wait = back_off(notice.attempts, LONGEST_WAIT)
            waits = wait.total_seconds()
            log.error("%s: letter %d waits %d s, because %s", destination.name, notice.id, waits, told.error)
            self._waits.put(notice.id, wait)
        if not ended:
            name = destination.name
            log.warning("%s: letter %d, tried here, is taken over by another copy of the bot", name, notice.id)
        return told.error is None

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
