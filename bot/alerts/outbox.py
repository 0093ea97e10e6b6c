"""Delivers the outbox in order, until Slack says ok. What cannot be delivered now waits; nothing is dropped."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bot.alerts.facts import AlertFacts
from bot.alerts.slack import Delivered, NotEditable, Outcome, SlackDestination
from bot.clock import Clock
from bot.message import Message
from bot.store.alerts import AlertStore, Notice

log = logging.getLogger(__name__)

Render = Callable[[Notice], Message]

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one run over the outbox ended. `waiting`: what is left. `error`: why its oldest notice waits."""

    delivered: int
    waiting: int
    error: str | None
    retry_in: timedelta | None


class Outbox:
    """Only one run at a time, so that no notice is sent by two of them."""

    def __init__(self, store: AlertStore, destination: SlackDestination, render: Render, clock: Clock) -> None:
        self._store = store
        self._destination = destination
        self._render = render
        self._clock = clock
        self._one_run = asyncio.Lock()

    async def deliver(self) -> Delivery:
        """Send everything due, oldest first, until the first failure."""
        delivered = 0
        async with self._one_run:
            while (notice := await asyncio.to_thread(self._store.due, self._clock())) is not None:
                wait = await self._send(notice)
                if wait is not None:
                    waiting, error = await asyncio.to_thread(self._what_waits)
                    return Delivery(delivered, waiting, error, wait)
                delivered += 1
            waiting, error = await asyncio.to_thread(self._what_waits)
        return Delivery(delivered, waiting, error, None)

    def _what_waits(self) -> tuple[int, str | None]:
        return self._store.undelivered(), self._store.last_error()

    async def _send(self, notice: Notice) -> timedelta | None:
        """None when the notice is done with, otherwise how long to wait."""
        if notice.action == "update" and notice.address is None:
            await asyncio.to_thread(self._store.give_up, notice.id, "there is no message to edit")
            return None
        await asyncio.to_thread(self._store.start_attempt, notice.id, self._clock())
        outcome = await self._call(notice)
        if isinstance(outcome, Delivered):
            await asyncio.to_thread(self._store.finish, notice.id, self._clock(), outcome.address)
            return None
        if isinstance(outcome, NotEditable):
            log.warning("notice %d is not told: %s", notice.id, outcome.sentence)
            await asyncio.to_thread(self._store.give_up, notice.id, outcome.sentence)
            return None
        wait = min(outcome.retry_after or FIRST_WAIT * 2 ** min(notice.attempts, 20), LONGEST_WAIT)
        log.error("notice %d waits %d s: %s", notice.id, wait.total_seconds(), outcome.sentence)
        await asyncio.to_thread(
            self._store.retry,
            notice.id,
            self._clock() + wait,
            outcome.sentence,
            outcome_unknown=outcome.outcome_unknown,
        )
        return wait

    async def _call(self, notice: Notice) -> Outcome:
        message = self._render(notice)
        if notice.action == "update" and notice.address is not None:
            return await self._destination.update(notice.address, message)
        identity = _identity(notice)
        if notice.outcome_unknown:
            found = await self._destination.find(identity, notice.created_at)
            if found is not None:
                return Delivered(found)
        return await self._destination.post(message, identity)


def _identity(notice: Notice) -> dict[str, str]:
    what = notice.facts.incident if isinstance(notice.facts, AlertFacts) else f"mode/{notice.facts.mode}"
    return {"what": what, "notice": str(notice.id), "created_at": notice.created_at.isoformat()}
