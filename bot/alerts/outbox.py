"""Delivers the outbox in order, until Slack says ok. What cannot be delivered now waits; nothing is dropped."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.alerts.facts import AlertFacts, TestFacts
from bot.alerts.slack import Delivered, NotEditable, Outcome, SlackDestination
from bot.budgets.decide import Status
from bot.clock import Clock
from bot.message import Message
from bot.store.alerts import AlertStore, Notice

log = logging.getLogger(__name__)

Render = Callable[[Notice], Message]

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one run over the outbox ended. `delivered`: how many notices are done with, `waiting`: how many are left.

    `error`: why the oldest one waits. `retry_in`: how long, where this run has just failed to deliver it.
    """

    delivered: int
    waiting: int
    error: str | None
    retry_in: timedelta | None


class _TakenError(Exception):
    """Another copy delivers this notice."""


class Outbox:
    """Only one run at a time, so that no notice is sent by two of them.

    An edit of a message that is gone or closed is told anew: as a new post where the limit stands crossed again, so
    that somebody sees it; otherwise as an answer below the closed message, or not at all where nobody sees that either.

    Only what Slack asks for is waited for across a restart. Our own back-off ends with the process, since a start often
    is what follows the remedy.
    """

    def __init__(self, store: AlertStore, destination: SlackDestination, render: Render, clock: Clock) -> None:
        self._store = store
        self._destination = destination
        self._render = render
        self._clock = clock
        self._one_run = asyncio.Lock()
        self._not_before: datetime | None = None

    async def deliver(self) -> Delivery:
        """Send everything due, oldest first, until the first failure."""
        delivered = 0
        async with self._one_run:
            while (notice := await self._due()) is not None:
                try:
                    wait = await self._send(notice)
                except _TakenError:
                    log.warning("another copy of the bot delivers notice %d", notice.id)
                    break
                if wait is not None:
                    waiting, error = await asyncio.to_thread(self._what_waits)
                    return Delivery(delivered, waiting, error, wait)
                delivered += 1
            waiting, error = await asyncio.to_thread(self._what_waits)
        return Delivery(delivered, waiting, error, None)

    async def _due(self) -> Notice | None:
        now = self._clock()
        if self._not_before is not None and now < self._not_before:
            return None
        return await asyncio.to_thread(self._store.due, now)

    def _what_waits(self) -> tuple[int, str | None]:
        return self._store.undelivered(), self._store.last_error()

    async def _send(self, notice: Notice) -> timedelta | None:
        """None when the notice is done with, otherwise how long to wait."""
        if notice.action == "update" and notice.address is None:
            await asyncio.to_thread(self._store.give_up, notice.id, "there is no message to edit")
            return None
        message = self._render(notice)
        if not await asyncio.to_thread(self._store.start_attempt, notice, self._clock()):
            raise _TakenError
        outcome = await self._call(notice, message)
        if isinstance(outcome, _Answered):
            await asyncio.to_thread(self._store.finish, notice.id, self._clock(), None)
            return None
        if isinstance(outcome, Delivered):
            await asyncio.to_thread(self._store.finish, notice.id, self._clock(), outcome.address)
            return None
        if isinstance(outcome, NotEditable):
            log.warning("notice %d is not told: %s", notice.id, outcome.sentence)
            await asyncio.to_thread(self._store.give_up, notice.id, outcome.sentence)
            return None
        wait = min(outcome.retry_after or FIRST_WAIT * 2 ** min(notice.attempts, 20), LONGEST_WAIT)
        log.error("notice %d waits %d s: %s", notice.id, wait.total_seconds(), outcome.sentence)
        now = self._clock()
        self._not_before = now + wait
        await asyncio.to_thread(
            self._store.retry,
            notice.id,
            now if outcome.retry_after is None else now + wait,
            outcome.sentence,
            # What was unknown stays so: that this attempt did nothing says nothing of the one before.
            outcome_unknown=outcome.outcome_unknown or notice.outcome_unknown,
        )
        return wait

    async def _call(self, notice: Notice, message: Message) -> "Outcome | _Answered":
        if notice.action == "post" or notice.address is None:
            return await self._post(notice, message)
        outcome = await self._destination.update(notice.address, message)
        if not isinstance(outcome, NotEditable):
            return outcome
        if isinstance(notice.facts, AlertFacts) and notice.facts.status is Status.OPEN:
            log.warning("notice %d is posted anew: %s", notice.id, outcome.sentence)
            return await self._post(notice, message)
        if outcome.gone:
            return outcome
        answered = await self._destination.post(message, _identity(notice), thread=notice.address)
        return _Answered() if isinstance(answered, Delivered) else answered

    async def _post(self, notice: Notice, message: Message) -> Outcome:
        identity = _identity(notice)
        if notice.outcome_unknown:
            found = await self._destination.find(identity, notice.created_at)
            if found is not None:
                return Delivered(found)
        return await self._destination.post(message, identity)


@dataclass(frozen=True, slots=True)
class _Answered:
    """Told below the message, which stays the incident's own."""


def _identity(notice: Notice) -> dict[str, str]:
    facts = notice.facts
    what = facts.incident if isinstance(facts, AlertFacts | TestFacts) else f"mode/{facts.mode}"
    return {"what": what, "notice": str(notice.id), "created_at": notice.created_at.isoformat()}
