"""Delivers the notices of one destination, each chain in order. Failed notices are retried; none is lost.

On PostgreSQL every copy of the bot delivers: the copy that claims a notice sends it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock, seconds_since_boot
from bot.counting import not_counted
from bot.language import kept, restored, spoken, tr_lazy
from bot.notify.claims import COMMIT_SECONDS, AskedToWaitError, Claims, nobody
from bot.notify.delivery_log import DeliveryLog
from bot.notify.model import (
    CALL_SECONDS,
    LONGEST_WAIT,
    NEEDS,
    Address,
    Capability,
    CouldNotLook,
    Delivered,
    Destination,
    Failed,
    Found,
    Look,
    May,
    NotEditable,
    Notice,
    NotThere,
    SendResult,
    Unreachable,
    UnreadableNoticeError,
    Waits,
    Withheld,
    always,
    back_off,
)
from bot.notify.results import NO_MESSAGE, UNREADABLE, CountResult, DeliveryResult, result_of
from bot.notify.store import NoticeStore
from bot.threads import InThread
from bot.traces import Value, span

log = logging.getLogger(__name__)

Render = Callable[[Notice, datetime], Any]
"""Renders a notice as of a moment, in the form that its destination takes."""

PATIENCE = 8
"""Failures of one notice, over about eight minutes, after which the next one is tried before it."""

LONGEST_LOOK_WAIT = timedelta(minutes=1)
"""The longest wait between two failed searches of the channel."""

LOOKING_AT_MOST = timedelta(minutes=10)
FEWEST_LOOKS, MOST_LOOKS = 3, 17
"""A notice is sent again once it was attempted this long ago and this many searches have failed, since a lost alert is
worse than a doubled one. `MOST_LOOKS` searches take about as long, and end it whatever the clock says."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of one run. `delivered`: number of notices settled; `waiting`: number of those left.

    `error`: why the oldest one waits; None if it was not tried. `retry_in`: time until the next retry; None if nothing
    failed in this run.
    """

    delivered: int
    waiting: int
    error: str | None
    retry_in: timedelta | None


class _TakenError(Exception):
    """Another copy has claimed this notice, or may claim it by now."""


class _Lookups:
    """The failed searches for one notice. `resume`: where the next one continues."""

    def __init__(self) -> None:
        self.count = 0
        self.resume = ""


class Outbox:
    """Delivers to one destination, one run at a time. Each copy of the bot has one per destination.

    Claims: a notice is claimed before it is tried, so that no two copies send it.

    Failures: a failure of the whole destination ends the run. A notice that is refused alone, or that this version
    cannot read or render, delays only its own chain. After more than `PATIENCE` failures a notice lets the next one go
    first: if that one gets through, the notice delays only its own chain; if not, all wait and continue in order. A run
    tries each notice once.

    Unknown outcomes: if the destination can be searched, a message that may have arrived is searched for before it is
    sent again. A failed search is repeated and delays only its own chain.

    Edits: an edit of a deleted or closed message becomes a new message if the notice allows that, otherwise it is
    dropped. A message whose own channel takes nothing moves to the main one (`bot/notify/diversion_store.py`).

    Waits: a wait that the destination asked for holds for all copies, and after a restart. The back-off holds for this
    copy, since only this one may be cut off, and ends with the process, since a restart often follows a fix.

    `may_deliver`: whether this copy may send, if only one may; called right before each send, without I/O.
    `others_alive`: whether another copy may be sending. `monotonic`: seconds of a clock that nobody sets. `count`: gets
    the result of each attempt.
    """

    def __init__(
        self,
        store: NoticeStore,
        destination: Destination,
        render: Render,
        clock: Clock,
        *,
        may_deliver: May = always,
        others_alive: Callable[[], bool] = nobody,
        monotonic: Callable[[], float] = seconds_since_boot,
        in_thread: InThread = asyncio.to_thread,
        count: CountResult = not_counted,
    ) -> None:
        self._store = store
        self._count_result = count
        self._in_thread = in_thread
        self._destination = destination
        self._render = render
        self._clock = clock
        self._log = DeliveryLog(destination.name, log)
        self._may_deliver = may_deliver
        self._monotonic = monotonic
        self._claims = Claims(others_alive, monotonic, destination.call_seconds + COMMIT_SECONDS)
        self._one_run = asyncio.Lock()
        self._all_wait: Waits[None] = Waits(clock)
        self._waits: Waits[int] = Waits(clock)
        self._lookups: dict[int, _Lookups] = {}
        self._unrecorded: dict[int, _Unrecorded] = {}
        self._suspects: set[int] = set()
        self._failed: set[int] = set()
        self._failures = 0
        """Failures of the whole destination since this copy last got through."""

        self.refused: str | None = None
        """Why the destination refuses everything until somebody fixes the cause; None if the next notice may pass."""
        self.progress_at = 0.0
        """When a notice was last tried, by `time.monotonic`."""
        self.blocked = False
        """Whether the last attempt failed for the whole destination."""

    async def deliver(self) -> Delivery:
        """Send every notice that is due, oldest first, until a failure of the whole destination."""
        delivered = 0
        waits: list[timedelta] = []
        async with self._one_run:
            self._suspects.clear()
            self._failed.clear()
            while (claimed := await self._claim(waits)) is not None:
                self.progress_at = time.monotonic()
                notice = claimed.notice
                try:
                    with span("delivery", destination=self.name, **_traced(notice)):
                        wait = await self._send(claimed)
                except _TakenError as taken:
                    self._log.taken(notice, str(taken))
                    break
                if wait is None:
                    self._waits.drop(notice.id)
                    self._lookups.pop(notice.id, None)
                    delivered += 1
                else:
                    waits.append(wait)
            self._drop_suspects()
            waiting, error = await self._in_thread(self._what_waits)
            if not waiting:
                # Another copy may have delivered what failed here.
                self.blocked = False
                self._waits.clear()
                self._unrecorded.clear()
        if self._all_wait.left(None) and waits:
            return Delivery(delivered, waiting, error, self._all_wait.left(None))
        return Delivery(delivered, waiting, error, min(waits, default=None))

    @property
    def name(self) -> str:
        """The destination's name."""
        return self._destination.name

    def try_again(self) -> None:
        """End the back-off, since the cause of the failures is over. Waits that were asked for still hold."""
        self._all_wait.clear()
        self._waits.clear()
        # The next run reads from the database what is left of them.
        self._claims.forget_waits()

    def retry_in(self) -> timedelta | None:
        """Time until the next retry; None if no notice has failed."""
        waits = [wait for wait in (self._waits.shortest(), self._all_wait.shortest()) if wait is not None]
        return max(waits, default=None)

    def _drop_suspects(self) -> None:
        """Let all notices wait with those that failed for long, unless one got through after them."""
        for notice_id in self._suspects:
            self._all_wait.put(None, max(self._waits.left(notice_id), self._all_wait.left(None)))
            self._waits.drop(notice_id)

    async def _claim(self, waits: list[timedelta]) -> "_Claimed | None":
        while not self._all_wait.left(None) and self._may_deliver():
            claimed_at = self._monotonic()
            held = self._waits.waiting() | self._failed
            try:
                notice = await self._in_thread(self._store.claim, self._clock(), held, self._claims)
            except AskedToWaitError as asked:
                self._all_wait.put(None, asked.left)
            except UnreadableNoticeError as error:
                waits.append(await self._hold(error.notice, str(error)))
            else:
                return None if notice is None else _Claimed(notice, claimed_at)
        return None

    async def _hold(self, notice: Notice, why: str) -> timedelta:
        """Delay a notice that this version cannot read or render."""
        self._count_result(UNREADABLE, timedelta())
        return await self._put_back(notice, LONGEST_WAIT, why)

    async def _put_back(self, notice: Notice, wait: timedelta, why: str) -> timedelta:
        """Delay a notice that was not tried."""
        self._note_wait(notice, wait, why)
        self._waits.put(notice.id, wait)
        await self._in_thread(self._store.put_back, notice, why)
        return wait

    def _what_waits(self) -> tuple[int, str | None]:
        error = self._store.last_error()
        return self._store.undelivered(), None if error is None else spoken(error)

    async def _send(self, claimed: "_Claimed") -> timedelta | None:
        """Deliver one notice. Returns how long it waits for a retry; None once it is settled."""
        notice = claimed.notice
        if (arrived := self._arrived(notice)) is not None:
            await self._finish(notice, arrived.address, found=True, without_details=arrived.without_details)
            self._count(notice, result_of(arrived))
            return None
        if self._address(notice) is None and not _can_be_posted(notice):
            why = "there is no message to edit or to reply to"
            await self._in_thread(self._store.give_up, notice.id, why, claim=notice.claim)
            self._count(notice, NO_MESSAGE)
            self._log.dropped(notice, why)
            return None
        try:
            # Whether its numbers are stale is read from the database.
            message = await self._in_thread(self._render, notice, self._clock())
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever rendering raises, other notices get out
            why = kept(tr_lazy("this version of the bot cannot render it ({error})", error=type(error).__name__))
            return await self._hold(notice, why)
        if notice.outcome_unknown and (notice.action != "update" or self._address(notice) is None):
            look = await self._look(notice)
            if isinstance(look, Found):
                address = look.address if notice.action == "post" or self._address(notice) is None else None
                await self._finish(notice, address, found=True)
                self._count(notice, result_of(look))
                return None
            if isinstance(look, CouldNotLook):
                return await self._look_again(notice, look)
            claimed = await self._claim_again(notice)
            notice = claimed.notice
        outcome = await self._within_time(claimed, message)
        if isinstance(outcome, Withheld):
            raise _TakenError("another copy of the bot may deliver it, so nothing was sent")
        wait = await self._settle(notice, outcome)
        self._count(notice, result_of(outcome))
        return wait

    def _arrived(self, notice: Notice) -> Delivered | None:
        """The delivery by this copy's last attempt, if the database failed to record it and no copy has tried since."""
        last = self._unrecorded.pop(notice.id, None)
        return last.outcome if last is not None and last.attempts == notice.attempts else None

    def _count(self, notice: Notice, result: DeliveryResult) -> None:
        self._count_result(result, self._clock() - notice.created_at)

    async def _claim_again(self, notice: Notice) -> "_Claimed":
        """Renew the claim after a search, which took a part of its time. Raises `_TakenError` if it is lost."""
        claimed_at = self._monotonic()
        claim = self._claims.new()
        if not self._may_deliver() or not await self._in_thread(self._store.claim_again, notice, claim):
            raise _TakenError("another copy of the bot delivers it")
        return _Claimed(replace(notice, claim=claim), claimed_at)

    async def _within_time(self, claimed: "_Claimed", message: Any) -> SendResult:
        """Make the call while this copy may deliver and its claim is recent."""
        notice = claimed.notice

        def may_send() -> bool:
            return self._may_deliver() and self._monotonic() - claimed.at < CALL_SECONDS

        try:
            async with asyncio.timeout(claimed.at + self._destination.call_seconds - self._monotonic()):
                return await self._call(notice, message, may_send)
        except TimeoutError:
            seconds = self._destination.call_seconds
            return Failed(f"{self.name} did not respond within {seconds} s.", outcome_unknown=True)
        except (_TakenError, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a destination raises, other notices get out
            self._log.crashed(notice, error)
            return Failed(self._internal_error(error), outcome_unknown=True, alone=True)

    def _internal_error(self, error: Exception) -> str:
        return kept(
            tr_lazy("{name} failed with an internal error ({error}).", name=self.name, error=type(error).__name__)
        )

    async def _settle(
        self, notice: Notice, outcome: Delivered | Failed | NotEditable | Unreachable
    ) -> timedelta | None:
        if isinstance(outcome, Delivered):
            self.refused, self.blocked, self._failures = None, False, 0
            self._all_wait.drop(None)
            self._suspects.clear()
            await self._finish(notice, outcome.address, without_details=outcome.without_details)
            return None
        if isinstance(outcome, Unreachable):
            now = self._clock()
            if await self._in_thread(self._store.divert, notice.id, now, outcome.sentence, claim=notice.claim):
                self._log.diverted(notice, outcome.sentence)
            elif await self._in_thread(self._store.give_up, notice.id, outcome.sentence, claim=notice.claim):
                # Its message is in a channel that was the main one before.
                self._log.dropped(notice, outcome.sentence)
            return None
        if isinstance(outcome, NotEditable):
            self._log.dropped(notice, outcome.sentence)
            # Forget a deleted message: Slack would post a reply to it into the channel itself.
            await self._in_thread(
                self._store.give_up, notice.id, outcome.sentence, forget_address=outcome.gone, claim=notice.claim
            )
            return None
        self.blocked = not outcome.alone
        if outcome.for_good:
            self.refused = outcome.sentence
        # Count all failures of this copy: one that is cut off tries less and less often, also new notices.
        failures = notice.attempts if outcome.alone else max(notice.attempts, self._failures)
        self._failures += not outcome.alone
        wait = min(outcome.retry_after or back_off(failures, LONGEST_WAIT), LONGEST_WAIT)
        self._note_wait(notice, wait, outcome.sentence)
        if outcome.alone:
            self._waits.put(notice.id, wait)
        elif outcome.retry_after is None and notice.attempts > PATIENCE:
            self._waits.put(notice.id, wait)
            self._suspects.add(notice.id)
        else:
            self._all_wait.put(None, wait)
        asked = outcome.retry_after is not None and not outcome.alone
        if asked:
            self._claims.heed(notice.id, notice.attempts + 1)
        await self._in_thread(
            self._store.retry,
            notice.id,
            self._clock() + wait if asked else None,
            outcome.sentence,
            # An outcome that was unknown stays so: this failure says nothing about the attempt before.
            outcome_unknown=outcome.outcome_unknown or notice.outcome_unknown,
            claim=notice.claim,
            reached=notice.reached | outcome.reached,
        )
        return wait

    def _note_wait(self, notice: Notice, wait: timedelta, why: str) -> None:
        self._log.waits(notice, wait, why)
        self._failed.add(notice.id)

    async def _finish(
        self, notice: Notice, address: Address | None, *, found: bool = False, without_details: bool = False
    ) -> None:
        try:
            settled = await self._in_thread(
                self._store.finish,
                notice.id,
                self._clock(),
                address,
                claim=notice.claim,
                without_details=without_details,
            )
        except SQLAlchemyError:
            outcome = Delivered(address, without_details=without_details)
            self._unrecorded[notice.id] = _Unrecorded(outcome, notice.attempts + 1)
            raise
        if settled:
            self._log.settled(notice, found=found)
        else:
            self._log.taken_late(notice, address)

    async def _look(self, notice: Notice) -> Look:
        """Search for the notice's message. `NotThere` also means that it is time to send it again."""
        if Capability.FIND not in self._destination.capabilities:
            return NotThere()
        lookups = self._lookups.setdefault(notice.id, _Lookups())
        below = None if notice.action in ("post", "update") else notice.address
        since = _surely_before(notice, self._clock())
        try:
            look = await self._destination.find(_identity(notice), since, below, lookups.resume, notice.channel)
        except Exception as error:  # noqa: BLE001  # whatever a search raises, other notices get out
            self._log.crashed(notice, error)
            look = CouldNotLook(self._internal_error(error))
        if isinstance(look, CouldNotLook) and not look.for_good:
            lookups.count += 1
            lookups.resume = look.resume
            if not _looked_enough(notice, lookups.count, self._clock()):
                return look
            self._log.sent_again(notice, look.why)
        self._lookups.pop(notice.id)
        return look if isinstance(look, Found) else NotThere()

    async def _look_again(self, notice: Notice, look: CouldNotLook) -> timedelta:
        """Delay a notice whose search failed."""
        wait = look.retry_after or back_off(self._lookups[notice.id].count - 1, LONGEST_LOOK_WAIT)
        why = kept(
            tr_lazy("It may be in the channel already, and searching there fails: {why}", why=restored(look.why))
        )
        return await self._put_back(notice, min(wait, LONGEST_WAIT), why)

    def _address(self, notice: Notice) -> Address | None:
        """The message to edit or to reply to; None if there is none, or if the destination cannot do that."""
        needed = NEEDS.get(notice.action)
        return notice.address if needed is None or needed in self._destination.capabilities else None

    async def _post(self, notice: Notice, message: Any, may_send: May) -> SendResult:
        return await self._destination.post(
            message, _identity(notice), reached=notice.reached, channel=notice.channel, may=may_send
        )

    async def _call(self, notice: Notice, message: Any, may_send: May) -> SendResult:
        outcome = await self._called(notice, message, may_send)
        if isinstance(outcome, NotEditable) and outcome.unreachable:
            return Unreachable(outcome.sentence)
        return outcome

    async def _called(self, notice: Notice, message: Any, may_send: May) -> SendResult:
        address = self._address(notice)
        if notice.action == "post" or address is None:
            return await self._post(notice, message, may_send)
        if notice.action != "update":
            return await self._answer(notice, address, message, may_send)
        outcome = await self._destination.update(address, message, may=may_send)
        if not isinstance(outcome, NotEditable) or not _can_be_posted(notice):
            return outcome
        if outcome.unreachable and notice.channel is not None:
            return outcome
        if notice.outcome_unknown:
            look = await self._look(notice)
            if isinstance(look, Found):
                return Delivered(look.address)
            if isinstance(look, CouldNotLook):
                return Failed(look.why, look.retry_after, outcome_unknown=True, alone=True)
        self._log.posted_again(notice, outcome.sentence)
        return await self._post(notice, message, may_send)

    async def _answer(self, notice: Notice, thread: Address, message: Any, may_send: May) -> SendResult:
        """Reply in the thread of a message. The result has no address, so the stored one stays."""
        broadcast = notice.action == "broadcast"
        result = await self._destination.post(
            message, _identity(notice), thread=thread, broadcast=broadcast, may=may_send
        )
        return Delivered() if isinstance(result, Delivered) else result


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A notice that this copy has claimed. `at`: seconds by the monotonic clock, just before the claim."""

    notice: Notice
    at: float


@dataclass(frozen=True, slots=True)
class _Unrecorded:
    """A delivery that the database did not record. `attempts`: how many there were, this one included."""

    outcome: Delivered
    attempts: int


def _traced(notice: Notice) -> dict[str, Value]:
    attempt = notice.attempts + 1
    return {"incident": notice.about, "notice": notice.id, "action": notice.action, "attempt": attempt}


def _can_be_posted(notice: Notice) -> bool:
    return notice.reposts if notice.action == "update" else notice.action == "post"


def _looked_enough(notice: Notice, failed: int, now: datetime) -> bool:
    """Whether to stop searching and to send again. `failed`: number of failed searches."""
    tried_for = timedelta(0) if notice.attempted_at is None else now - notice.attempted_at
    return failed >= MOST_LOOKS or (failed >= FEWEST_LOOKS and tried_for >= LOOKING_AT_MOST)


def _surely_before(notice: Notice, now: datetime) -> datetime | None:
    """When the notice was decided; None if the clock was set since, which makes stored times unreliable."""
    attempted_at = notice.attempted_at or notice.created_at
    return notice.created_at if notice.created_at <= attempted_at <= now else None


def _identity(notice: Notice) -> dict[str, str]:
    return {"what": notice.about, "notice": str(notice.id), "created_at": notice.created_at.isoformat()}
