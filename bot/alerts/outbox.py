"""Delivers the outbox, each incident in order, until Slack says ok. What cannot be delivered waits; nothing is lost."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.alerts.facts import LifeFacts, TestFacts
from bot.alerts.incident_facts import IncidentFacts
from bot.alerts.slack import Delivered, NotEditable, Outcome, SlackDestination
from bot.budgets.decide import Status
from bot.clock import Clock
from bot.message import Message
from bot.store.notices import Notice, NoticeStore, UnreadableNoticeError

log = logging.getLogger(__name__)

Render = Callable[[Notice, datetime], Message]
"""The message of a notice as it is sent at this moment."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=5)
PATIENCE = 8
"""Failures, about eight minutes of them, after which what fails like Slack as a whole may be due to one notice."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one run over the outbox ended. `delivered`: how many notices are done with, `waiting`: how many are left.

    `error`: why the oldest one waits. `retry_in`: how long until the next try, where this run has failed.
    """

    delivered: int
    waiting: int
    error: str | None
    retry_in: timedelta | None


class _TakenError(Exception):
    """Another copy delivers this notice."""


class Outbox:
    """Only one run at a time, so that no notice is sent by two of them.

    An edit of a message that is gone or closed becomes a new post where the incident stands open, so that somebody sees
    it. Otherwise the reply in its thread tells enough, or nobody sees that either.

    What fails because of Slack or its channel ends the run, since nothing else would get through. A notice that is
    refused by itself, or cannot be read or drawn by this version, holds up only what is told of the same incident
    later. So does one that has failed for longer than `PATIENCE` though the next one gets through at the same moment;
    where that fails too, everything waits and goes on in order.

    Only what Slack asks for is waited for across a restart. Our own back-off ends with the process, since a start often
    is what follows the remedy.
    """

    def __init__(self, store: NoticeStore, destination: SlackDestination, render: Render, clock: Clock) -> None:
        self._store = store
        self._destination = destination
        self._render = render
        self._clock = clock
        self._one_run = asyncio.Lock()
        self._all_wait_until: datetime | None = None
        self._not_before: dict[int, datetime] = {}
        self._doubted: set[int] = set()
        self.refused: str | None = None
        """Why Slack takes nothing until somebody does something about it; None where it may take the next notice."""
        self.blocked = False
        """Whether the last try failed in a way that would stop every notice."""

    async def deliver(self) -> Delivery:
        """Send everything due, oldest first, until a failure that concerns all."""
        delivered = 0
        waits: list[timedelta] = []
        async with self._one_run:
            self._doubted.clear()
            while (notice := await self._due(waits)) is not None:
                try:
                    wait = await self._send(notice)
                except _TakenError:
                    log.warning("another copy of the bot delivers notice %d", notice.id)
                    break
                if wait is None:
                    self._not_before.pop(notice.id, None)
                    delivered += 1
                else:
                    waits.append(wait)
            self._acquit()
            waiting, error = await asyncio.to_thread(self._what_waits)
        if self._all_wait_until is not None and waits:
            return Delivery(delivered, waiting, error, self._all_wait_until - self._clock())
        return Delivery(delivered, waiting, error, min(waits, default=None))

    def _acquit(self) -> None:
        """Let all wait for those notices that failed long, unless another one got through since."""
        until = [self._not_before.pop(notice_id) for notice_id in self._doubted]
        if until:
            self._all_wait_until = max([*until, *([] if self._all_wait_until is None else [self._all_wait_until])])

    async def _due(self, waits: list[timedelta]) -> Notice | None:
        while True:
            now = self._clock()
            if self._all_wait_until is not None:
                if now < self._all_wait_until:
                    return None
                self._all_wait_until = None
            held = {notice_id for notice_id, until in self._not_before.items() if now < until}
            try:
                return await asyncio.to_thread(self._store.due, now, held)
            except UnreadableNoticeError as error:
                waits.append(await self._hold(error.notice_id, str(error), outcome_unknown=error.outcome_unknown))

    async def _hold(self, notice_id: int, why: str, *, outcome_unknown: bool) -> timedelta:
        """Let a notice wait that was not tried, because of a fault that is not Slack's."""
        log.error("notice %d waits %d s: %s", notice_id, LONGEST_WAIT.total_seconds(), why)
        now = self._clock()
        self._not_before[notice_id] = now + LONGEST_WAIT
        await asyncio.to_thread(self._store.retry, notice_id, now, why, outcome_unknown=outcome_unknown)
        return LONGEST_WAIT

    def _what_waits(self) -> tuple[int, str | None]:
        return self._store.undelivered(), self._store.last_error()

    async def _send(self, notice: Notice) -> timedelta | None:
        """None when the notice is done with, otherwise how long to wait."""
        if notice.address is None and not _can_be_posted(notice):
            await asyncio.to_thread(self._store.give_up, notice.id, "there is no message to edit or to answer")
            return None
        try:
            message = self._render(notice, self._clock())
        except Exception as error:  # noqa: BLE001  # whatever a fault in drawing one raises, the others get out
            why = f"it cannot be drawn by this version of the bot ({type(error).__name__})"
            return await self._hold(notice.id, why, outcome_unknown=notice.outcome_unknown)
        if not await asyncio.to_thread(self._store.start_attempt, notice, self._clock()):
            raise _TakenError
        outcome = await self._call(notice, message)
        if isinstance(outcome, Delivered | _Answered):
            self.refused, self.blocked = None, False
            self._doubted.clear()
        if isinstance(outcome, _Answered):
            await asyncio.to_thread(self._store.finish, notice.id, self._clock(), None)
            return None
        if isinstance(outcome, Delivered):
            await asyncio.to_thread(self._store.finish, notice.id, self._clock(), outcome.address)
            return None
        if isinstance(outcome, NotEditable):
            log.warning("notice %d is not told: %s", notice.id, outcome.sentence)
            # Slack would put the answer to a message that was deleted into the channel itself.
            await asyncio.to_thread(self._store.give_up, notice.id, outcome.sentence, forget_address=outcome.gone)
            return None
        self.blocked = not outcome.alone
        if outcome.for_good:
            self.refused = outcome.sentence
        wait = min(outcome.retry_after or FIRST_WAIT * 2 ** min(notice.attempts, 20), LONGEST_WAIT)
        log.error("notice %d waits %d s: %s", notice.id, wait.total_seconds(), outcome.sentence)
        now = self._clock()
        if outcome.alone:
            self._not_before[notice.id] = now + wait
        elif outcome.retry_after is None and notice.attempts > PATIENCE:
            self._not_before[notice.id] = now + wait
            self._doubted.add(notice.id)
        else:
            self._all_wait_until = now + wait
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
        if notice.action != "update":
            return await self._answer(notice, message)
        outcome = await self._destination.update(notice.address, message)
        if not isinstance(outcome, NotEditable):
            return outcome
        if _can_be_posted(notice):
            log.warning("notice %d is posted anew: %s", notice.id, outcome.sentence)
            return await self._post(notice, message)
        return outcome

    async def _post(self, notice: Notice, message: Message) -> Outcome:
        identity = _identity(notice)
        if notice.outcome_unknown:
            found = await self._destination.find(identity, notice.created_at)
            if found is not None:
                return Delivered(found)
        return await self._destination.post(message, identity)

    async def _answer(self, notice: Notice, message: Message) -> "Outcome | _Answered":
        """Below the message, which stays what the notice tells of."""
        identity, thread = _identity(notice), notice.address
        found = None
        if notice.outcome_unknown:
            found = await self._destination.find(identity, notice.created_at, thread)
        if found is None:
            broadcast = notice.action == "broadcast"
            answered = await self._destination.post(message, identity, thread=thread, broadcast=broadcast)
            if not isinstance(answered, Delivered):
                return answered
        return _Answered()


@dataclass(frozen=True, slots=True)
class _Answered:
    """Told below the message, which stays the incident's own."""


def _can_be_posted(notice: Notice) -> bool:
    """Whether it may become a message of its own; an edit may where the incident stands open."""
    if notice.action == "update":
        return isinstance(notice.facts, IncidentFacts) and notice.facts.status is Status.OPEN
    return notice.action == "post"


def _identity(notice: Notice) -> dict[str, str]:
    facts = notice.facts
    if isinstance(facts, LifeFacts):
        what = facts.about.incident
    else:
        what = facts.incident if isinstance(facts, IncidentFacts | TestFacts) else f"mode/{facts.mode}"
    return {"what": what, "notice": str(notice.id), "created_at": notice.created_at.isoformat()}
