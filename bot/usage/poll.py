"""One poll: choose the source, read everything that is due, and only then store it, in one transaction."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from bot.clock import DAY, HOUR, Clock
from bot.settings import Settings, UsageChoice
from bot.store.usage import Bill, UsageStore
from bot.usage.admin import AdminSource
from bot.usage.age import ADMIN_DELAY, DataState
from bot.usage.analytics import AnalyticsSource
from bot.usage.names import Directory
from bot.usage.plan import plan_reads
from bot.usage.source import RefusedError, SourceError, SourceName, UnavailableError, UsageReading, UsageSource
from bot.usage.transport import Transport

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=15)
"""`auto` takes analytics only while its data is at most this old."""

ANALYTICS_AGAIN = HOUR
"""While `auto` reads from admin, analytics is tried again this often."""

BILLED_AGAIN = HOUR
DAYS_PER_BILL = 31


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """`error` is the sentence of a failed poll; `refused`: no source accepts the key, so that waiting is no use."""

    ok: bool
    source: SourceName | None
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """Everything that one source answered in one poll."""

    source: SourceName
    readings: tuple[UsageReading, ...]
    as_of: datetime


class Poller:
    """Never two polls at once."""

    def __init__(
        self, store: UsageStore, sources: Mapping[SourceName, UsageSource], choice: UsageChoice, clock: Clock
    ) -> None:
        self._store = store
        self._sources = sources
        self._choice = choice
        self._clock = clock
        self._one_poll = asyncio.Lock()
        self._analytics_tried_at: datetime | None = None

    async def poll(self, since: datetime) -> PollOutcome:
        """Read what is due from `since` (a full hour) on. A failure leaves every number as it was."""
        async with self._one_poll:
            now = self._clock()
            before = await asyncio.to_thread(self._store.data_state)
            try:
                reading = await self._read(now, since, before)
            except SourceError as error:
                failed = replace(before, error=str(error), error_since=before.error_since or now)
                await asyncio.to_thread(self._store.save_state, failed)
                log.error("poll failed: %s", error)
                return PollOutcome(False, before.source, str(error), isinstance(error, RefusedError))
            after, bill = await self._with_bill(reading, _after(before, reading, now), since, now)
            await asyncio.to_thread(self._store.save, reading.readings, reading.source, now, after, bill)
            return PollOutcome(True, reading.source)

    async def _read(self, now: datetime, since: datetime, before: DataState) -> _Reading:
        if self._choice != "auto":
            return await self._from(self._choice, now, since)
        if before.source == "admin" and not self._analytics_due(now):
            return await self._from_admin_or_analytics(now, since)
        self._analytics_tried_at = now
        try:
            reading = await self._from("analytics", now, since)
        except SourceError as analytics_error:
            try:
                return await self._from("admin", now, since)
            except SourceError as admin_error:
                raise _both(analytics_error, admin_error) from None
        if now - reading.as_of <= FRESH:
            return reading
        try:
            return await self._from("admin", now, since)
        except SourceError as error:
            log.info("analytics is behind, and admin cannot stand in: %s", error)
            return reading

    async def _from_admin_or_analytics(self, now: datetime, since: datetime) -> _Reading:
        try:
            return await self._from("admin", now, since)
        except SourceError as admin_error:
            self._analytics_tried_at = now
            try:
                return await self._from("analytics", now, since)
            except SourceError as analytics_error:
                raise _both(analytics_error, admin_error) from None

    def _analytics_due(self, now: datetime) -> bool:
        return self._analytics_tried_at is None or now - self._analytics_tried_at >= ANALYTICS_AGAIN

    async def _from(self, name: SourceName, now: datetime, since: datetime) -> _Reading:
        hours = await asyncio.to_thread(self._store.hours, since)
        source = self._sources[name]
        readings = [await source.usage(read) for read in plan_reads(now, since, hours, name)]
        if name == "admin":
            return _Reading(name, tuple(readings), now - ADMIN_DELAY)
        # The minutes are read first, and their age is the age of the whole: older hours have long been complete.
        return _Reading(name, tuple(readings), min(readings[0].refreshed_at or _newest(readings, since), now))

    async def _with_bill(
        self, reading: _Reading, after: DataState, since: datetime, now: datetime
    ) -> tuple[DataState, Bill | None]:
        if after.billed_at is not None and now - after.billed_at < BILLED_AGAIN:
            return after, None
        last = now.date()
        first = max(since.date(), last - (DAYS_PER_BILL - 1) * DAY)
        try:
            rows = await self._sources[reading.source].billed(first, last)
        except SourceError as error:
            log.warning("no cost report: %s", error)
            return replace(after, billed_error=str(error), billed_at=now), None
        return replace(after, billed_error=None, billed_at=now), Bill(first, last, rows)


def _after(before: DataState, reading: _Reading, now: datetime) -> DataState:
    after = replace(before, source=reading.source, polled_at=now, error=None, error_since=None)
    # A source that says it is further behind than the one before does not make what is known older than it was.
    after = replace(after, as_of=reading.as_of if before.as_of is None else max(before.as_of, reading.as_of))
    if before.source is not None and before.source != reading.source:
        log.warning("usage is read from %s now, from %s before", reading.source, before.source)
        after = replace(after, as_of=reading.as_of, changed_from=before.source, changed_at=now, billed_at=None)
    return after


def _newest(readings: list[UsageReading], since: datetime) -> datetime:
    """A source that does not say how old its data is has at least what it has told."""
    return max((row.starts_at for reading in readings for row in reading.rows), default=since)


def _both(analytics_error: SourceError, admin_error: SourceError) -> SourceError:
    refusals = [error for error in (admin_error, analytics_error) if isinstance(error, RefusedError)]
    if refusals and not any(isinstance(error, UnavailableError) for error in (admin_error, analytics_error)):
        return refusals[0]
    return SourceError(f"Neither usage API can be read. Analytics: {analytics_error} Admin: {admin_error}")


def build_poller(
    settings: Settings, http: httpx.AsyncClient, store: UsageStore, clock: Clock, *, most_waiting: timedelta | None
) -> Poller:
    """Both sources over one transport. `most_waiting`: see `Transport`."""
    transport = Transport(http, settings.anthropic_admin_key, most_waiting=most_waiting)
    directory = Directory(transport, store, clock)
    sources: dict[SourceName, UsageSource] = {
        "analytics": AnalyticsSource(transport, directory),
        "admin": AdminSource(transport),
    }
    return Poller(store, sources, settings.usage_api, clock)
