"""Polls: choose the source, read everything that is due, and only then store it, in one transaction.

The very first poll may have a long month to read. It stores part by part, each of whole hours, and the state of the
data last: until then there is no data, and the poll after an interrupted one continues from there. Every later poll,
also one that changes the source, stores everything at once: sums never mix the results of two polls.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx
from pydantic import SecretStr

from bot.clock import DAY, HOUR, MINUTE, Clock, is_over
from bot.language import kept, tr_lazy
from bot.usage.anthropic.admin import AdminSource
from bot.usage.anthropic.analytics import AnalyticsSource
from bot.usage.anthropic.client import NotServedError, Query, Transport
from bot.usage.directory import Directory
from bot.usage.model import (
    ADMIN_DELAY,
    DataState,
    Read,
    RefusedError,
    SourceError,
    SourceName,
    UnavailableError,
    UsageChoice,
    UsageReading,
    UsageSource,
    not_ahead,
    refreshed,
)
from bot.usage.organization_store import OtherOrganizationError, Owner
from bot.usage.plan import SIZES, Parts, Sizes, StoredBuckets, Usage, packed, plan_reads
from bot.usage.store import Bill, UsageStore

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=15)
"""`auto` takes analytics only while its data is at most this old."""

ANALYTICS_AGAIN = HOUR
"""Time between two attempts at analytics while `auto` reads from admin."""

BILLED_AGAIN = HOUR

STUCK_AFTER = timedelta(minutes=10)

LONGEST_POLL = HOUR

DAYS_PER_BILL = 31


MayStore = Callable[[], Awaitable[bool]]


async def always() -> bool:
    """Always true, for a single copy."""
    return True


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """The result of a poll. `error`: one sentence; None if it succeeded.

    `refused`: no source accepts the key, so waiting does not help. `foreign`: the database is another organization's.
    """

    ok: bool
    source: SourceName | None
    error: str | None = None
    refused: bool = False
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """All readings of one source in one poll."""

    source: SourceName
    readings: Sequence[UsageReading]
    as_of: datetime
    odd: str | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A poll that has read its minutes, which tell the age of the data. `rest`: what is still to be read."""

    source: SourceName
    minutes: UsageReading
    rest: tuple[Read, ...]
    as_of: datetime
    odd: str | None
    rows_per_hour: float
    usage: Usage


class Poller:
    """Runs one poll at a time. `may_store`: asked before storing, since another copy may poll by then."""

    def __init__(
        self,
        store: UsageStore,
        sources: Mapping[SourceName, UsageSource],
        choice: UsageChoice,
        clock: Clock,
        may_store: MayStore = always,
        close: Callable[[], None] = lambda: None,
        sizes: Sizes = SIZES,
        owner: Owner | None = None,
    ) -> None:
        self.owner = owner
        """Checks the organization of the database; None for no check."""

        self.close = close
        """Closes the sources."""
        self.stuck_after = STUCK_AFTER
        """Time without a whole response after which a poll is aborted. One with many pages may take longer."""

        self._sizes = sizes

        self.may_store = may_store
        self._store = store
        self._sources = sources
        self._choice = choice
        self._clock = clock
        self._one_poll = asyncio.Lock()
        self._deadline: asyncio.Timeout | None = None
        self._give_up_at = 0.0
        self._analytics_tried_at: datetime | None = None
        self._stored = StoredBuckets()

    async def poll(self, since: datetime) -> PollOutcome:
        """Read and store what is due from `since`, a full hour, on. A failure changes no number."""
        async with self._one_poll:
            now = self._clock()
            before = not_ahead(await asyncio.to_thread(self._store.data_state), now)
            try:
                async with self._bounded():
                    reading = await self._read(now, since, before)
            except _AnotherPollsError as error:
                return PollOutcome(False, before.source, str(error))
            except OtherOrganizationError as error:
                return _foreign(error)
            except SourceError as error:
                failed = replace(before, error=kept(error), error_since=before.error_since or now)
                if await self.may_store():
                    await asyncio.to_thread(self._store.save_state, failed)
                log.error("poll failed: %s", error)
                return PollOutcome(False, before.source, str(error), isinstance(error, RefusedError))
            after, bill = await self._with_bill(reading, _after(before, reading, now), since, now)
            try:
                await self._save(reading.readings, reading.source, now, after, bill)
            except _AnotherPollsError as error:
                return PollOutcome(False, before.source, str(error))
            except OtherOrganizationError as error:
                return _foreign(error)
            return PollOutcome(True, reading.source)

    async def foreign(self) -> PollOutcome | None:
        """Check the organization of the database without a poll. Returns a failed outcome if it is another one.

        Raises `SourceError` if Anthropic does not answer.
        """
        try:
            if self.owner is not None:
                await self.owner.ask()
        except OtherOrganizationError as error:
            return _foreign(error)
        return None

    async def _save(
        self,
        readings: Sequence[UsageReading],
        source: SourceName,
        now: datetime,
        data: DataState | None = None,
        bill: Bill | None = None,
    ) -> None:
        """Store readings. `data`: the state after the poll, None for a part of one. Raises `_AnotherPollsError`."""
        if not await self.may_store():
            # A reading from before a freeze is older than what another copy has stored since.
            raise _AnotherPollsError("Another copy of the bot polls by now; nothing was stored.")
        if self.owner is not None:
            await self.owner.check()
        await asyncio.to_thread(self._store.save, readings, source, now, data, bill)
        for reading in readings:
            self._stored.keep(source, reading, now)

    def progress(self) -> None:
        """Note a whole response, which restarts the time limit of the running poll."""
        if self._deadline is not None:
            self._deadline.reschedule(min(_in(self.stuck_after), self._give_up_at))

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Bound the time of a poll. Raises `UnavailableError` if it is stuck or takes too long."""
        self._give_up_at = _in(LONGEST_POLL)
        try:
            async with asyncio.timeout_at(_in(self.stuck_after)) as self._deadline:
                yield
        except TimeoutError:
            raise UnavailableError(
                tr_lazy(
                    "Anthropic has given no whole answer for {stuck} minutes, or is not done after {longest}; the "
                    "next poll starts again.",
                    stuck=self.stuck_after // MINUTE,
                    longest=LONGEST_POLL // MINUTE,
                )
            ) from None
        finally:
            self._deadline = None

    async def _read(self, now: datetime, since: datetime, before: DataState) -> _Reading:
        if self._choice != "auto":
            return await self._from(self._choice, now, since, before)
        admin_error: SourceError | None = None
        if before.source == "admin" and not self._analytics_due(now):
            try:
                return await self._from("admin", now, since, before)
            except SourceError as error:
                admin_error = error
        self._analytics_tried_at = now
        behind: _Begun | None = None
        try:
            begun = await self._begin("analytics", now, since, before)
            if now - begun.as_of <= FRESH:
                return await self._finish(begun, now, before)
            behind, analytics_error = begun, _behind(begun.as_of)
        except SourceError as error:
            analytics_error = error
        if admin_error is None:
            try:
                return await self._from("admin", now, since, before)
            except SourceError as error:
                admin_error = error
        if behind is not None and _no_step_back(behind, before):
            log.info("analytics is behind, and admin cannot stand in: %s", admin_error)
            return await self._finish(behind, now, before)
        raise _both(analytics_error, admin_error)

    def _analytics_due(self, now: datetime) -> bool:
        return self._analytics_tried_at is None or is_over(ANALYTICS_AGAIN, self._analytics_tried_at, now)

    async def _from(self, name: SourceName, now: datetime, since: datetime, before: DataState) -> _Reading:
        return await self._finish(await self._begin(name, now, since, before), now, before)

    async def _begin(self, name: SourceName, now: datetime, since: datetime, before: DataState) -> _Begun:
        hours = await asyncio.to_thread(self._store.hours, since)

        async def usage(read: Read, most_rows: int | None = None) -> UsageReading:
            return await self._sources[name].usage(read, self._stored.of(name, read, hours), most_rows)

        first, *rest = plan_reads(now, since, hours, name)
        minutes = await usage(first)
        if self.owner is not None:
            # A long poll would otherwise be decided beside on what another organization has used.
            await self.owner.check()
        is_long = rest and len(minutes.rows) >= self._sizes.packed_from
        return _Begun(
            source=name,
            minutes=await asyncio.to_thread(packed, minutes) if is_long else minutes,
            rest=tuple(rest),
            as_of=_as_of(minutes, name, before, now, since),
            odd=minutes.odd.sentence,
            rows_per_hour=len(minutes.rows) / max(1, (first.ends_at - first.starts_at) // HOUR),
            usage=usage,
        )

    async def _finish(self, begun: _Begun, now: datetime, before: DataState) -> _Reading:
        parts, odd = Parts(begun.usage, begun.rows_per_hour, self._sizes), begun.odd
        held: list[UsageReading] = []
        rows = 0
        for read in begun.rest:
            async for reading in parts.of(read):
                odd = odd or reading.odd.sentence
                held.append(reading)
                rows += len(reading.rows)
                if rows < self._sizes.packed_from:
                    continue
                if before.as_of is None:
                    await self._save(held, begun.source, now)
                    held, rows = [], 0
                else:
                    held[-1] = await asyncio.to_thread(packed, reading)
        return _Reading(begun.source, [begun.minutes, *held], begun.as_of, odd)

    async def _with_bill(
        self, reading: _Reading, after: DataState, since: datetime, now: datetime
    ) -> tuple[DataState, Bill | None]:
        if after.billed_at is not None and not is_over(BILLED_AGAIN, after.billed_at, now):
            return after, None
        last = now.date()
        first = max(since.date(), last - (DAYS_PER_BILL - 1) * DAY)
        try:
            async with self._bounded():
                bill = await self._sources[reading.source].billed(first, last)
        except SourceError as error:
            log.warning("no cost report: %s", error)
            return replace(after, billed_error=kept(error), billed_at=now), None
        if bill.odd is not None:
            log.warning("%s", bill.odd)
        state = replace(after, billed_error=bill.odd, billed_at=now, billed_read_at=now)
        return state, Bill(first, last, bill.rows, bill.odd_days)


def _foreign(error: OtherOrganizationError) -> PollOutcome:
    log.error("%s", error)
    return PollOutcome(False, None, str(error), refused=True, foreign=True)


class _AnotherPollsError(Exception):
    """This copy does not hold the lease any more."""


def _as_of(minutes: UsageReading, name: SourceName, before: DataState, now: datetime, since: datetime) -> datetime:
    """The moment up to which a poll's data is complete, from its minutes: earlier hours have been complete for long."""
    if name == "admin":
        return now - ADMIN_DELAY
    if minutes.refreshed_at is not None:
        return min(minutes.refreshed_at, now)
    # A source without an `as of` has at least the data that it has returned, now or before.
    known = before.as_of if before.source == name else None
    return max([row.starts_at for row in minutes.rows] + [known or since])


def _after(before: DataState, reading: _Reading, now: datetime) -> DataState:
    odd = reading.odd
    if odd is not None and odd != before.odd_rows:
        log.warning("%s", odd)
    after = replace(
        before,
        as_of=reading.as_of,
        source=reading.source,
        polled_at=now,
        error=None,
        error_since=None,
        odd_rows=odd or before.odd_rows,
        ages_at_refresh=refreshed(before, reading.source, reading.as_of, now),
    )
    if before.source is None or before.source == reading.source:
        return after
    log.warning("usage is read from %s now, from %s before", reading.source, before.source)
    return replace(after, changed_from=before.source, changed_at=now, billed_at=None)


def _behind(as_of: datetime) -> SourceError:
    return UnavailableError(
        tr_lazy("The data is as of {as_of} UTC, which is too old.", as_of=f"{as_of:%Y-%m-%d %H:%M}")
    )


def _no_step_back(behind: _Begun, before: DataState) -> bool:
    """Whether late data is newer than the stored data. Older data would lower numbers."""
    return before.as_of is None or before.source == behind.source or behind.as_of > before.as_of


def _both(analytics_error: SourceError, admin_error: SourceError) -> SourceError:
    errors = (admin_error, analytics_error)
    refusals = [error for error in errors if isinstance(error, RefusedError)]
    if refusals and all(isinstance(error, RefusedError | NotServedError) for error in errors):
        return refusals[0]
    return SourceError(
        tr_lazy(
            "Neither usage API can be read. Analytics: {analytics} Admin: {admin}",
            analytics=analytics_error,
            admin=admin_error,
        )
    )


def _in(span: timedelta) -> float:
    """A moment of the event loop's clock."""
    return asyncio.get_running_loop().time() + span.total_seconds()


class _Noting(Transport):
    """A transport that reports each whole response."""

    answered: Callable[[], None] = staticmethod(lambda: None)

    async def body(self, path: str, query: Query, betas: Sequence[str] = (), most: int | None = None) -> bytes:
        body = await super().body(path, query, betas, most)
        self.answered()
        return body


def build_poller(
    http: httpx.AsyncClient,
    key: SecretStr | None,
    choice: UsageChoice,
    store: UsageStore,
    clock: Clock,
    *,
    most_waiting: timedelta | None,
    may_store: MayStore = always,
    claim: Callable[[str], None] | None = None,
) -> Poller:
    """A poller of both sources, over one transport with the admin `key`.

    `most_waiting`: see `Transport`. `may_store`: see `Poller`. `claim`: see `Owner`; None for no check.
    """
    transport = _Noting(http, key, most_waiting=most_waiting)
    directory = Directory(transport, store, clock)
    sources: dict[SourceName, UsageSource] = {
        "analytics": AnalyticsSource(transport, directory),
        "admin": AdminSource(transport, directory, clock),
    }
    owner = None if claim is None else Owner(transport, claim)
    poller = Poller(store, sources, choice, clock, may_store, transport.close, owner=owner)
    transport.answered = poller.progress
    return poller
