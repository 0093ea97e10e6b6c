"""The current snapshot: built once at the start, then updated with what has changed."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Protocol, TypeVar

import numpy as np

from bot.budgets.snapshot import ROWS_HELD, LoadAttributed, Snapshot, no_attribution
from bot.budgets.usage_index import UsageIndex
from bot.budgets.usage_table import LEAST_PLACES, Day, Table, TableBuilder, TooSmallError, UsagePrices, places_of
from bot.clock import AFTER_EVERYTHING, BEFORE_EVERYTHING, DAY, HOUR, MINUTE, floor_hour
from bot.pricing.card import RateCard
from bot.usage.attributed_store import AttributedStore
from bot.usage.model import AttributedBy, BilledRow
from bot.usage.store_reads import NO_NAMES, Head, HourRead, Names

log = logging.getLogger(__name__)

DAYS_HELD = 33
"""Days held by the hour: four weeks for a forecast, and the same day of the month before for a report."""

OLDER_HELD = 100
"""Older days cached after they were read."""

UPDATES_KNOWN = 64
"""Updates for which the touched scopes are kept."""

OLDER_ROWS_HELD = 60
"""Older hours cached with their rows."""

LONGEST_BILL = 100 * DAY

SPEND_KEPT = 3 * DAY
"""How long sums of an ended period stay cached: longer than it is reviewed."""

WAITS_SECONDS = 1.5
"""Longest total time an answer waits for snapshots to be updated."""

_waits_until: ContextVar[float | None] = ContextVar("waits_until", default=None)

Made = TypeVar("Made")


@contextmanager
def what_is_there() -> Iterator[None]:
    """For answers: wait at most `WAITS_SECONDS` for new data, then use what is there.

    Decisions wait until it is read, since they are not repeated.
    """
    token = _waits_until.set(monotonic() + WAITS_SECONDS)
    try:
        yield
    finally:
        _waits_until.reset(token)


def _waits() -> float | None:
    """Seconds left to wait; None for no limit."""
    until = _waits_until.get()
    return None if until is None else max(0.0, until - monotonic())


class InBackground(Protocol):
    """Runs `work` in another thread, as `Executor.submit` does."""

    def __call__(self, work: Callable[[], Made], /) -> "Future[Made]":
        """Future of the result of `work`."""


class Reader(Protocol):
    """Reads stored usage as of one moment, in the shapes of `UsageReader`."""

    def head(self) -> Head: ...
    def changed(self, since: int, until: int) -> list[HourRead]: ...
    def hours(self, starts_at: datetime, ends_at: datetime) -> list[HourRead]: ...
    def used_hours(self, starts_at: datetime, ends_at: datetime) -> frozenset[datetime]: ...
    def hour_rows(self, hour: datetime) -> Iterator[Sequence[Any]]: ...
    def bucket_rows(self, hour: datetime, buckets: frozenset[datetime] | None) -> Iterator[Sequence[Any]]: ...
    def day_rows(self, first: date, last: date) -> dict[date, list[Any]]: ...
    def callers_before(self, day: date) -> list[tuple[str, str, str]]: ...
    def billed_rows(self, first: date) -> list[BilledRow]: ...
    def names(self) -> Names: ...


class StoredUsage(Protocol):
    """A store of usage: Anthropic's in `UsageStore`, the applications' log in `SqlLedger`."""

    def head(self) -> Head:
        """A value that changes whenever the store changes."""

    def reading(self) -> AbstractContextManager[Reader]:
        """A reader that sees one moment, whatever is written meanwhile."""


class Snapshots:
    """Synchronous; asynchronous callers use a thread. One thread at a time updates the snapshot.

    `index`: numbers the dimensions of `store`. `attributed`: reads what Anthropic attributes to a scope.
    `in_background`: for answers, which do not wait until all is read; without it, they do.
    """

    def __init__(
        self,
        store: StoredUsage,
        card: RateCard,
        index: Callable[[RateCard], UsageIndex] = UsageIndex,
        attributed: LoadAttributed = no_attribution,
        in_background: InBackground | None = None,
    ) -> None:
        self._attributed = attributed
        self._in_background = in_background
        self._next: Future[Snapshot] | None = None
        self._choosing = Lock()
        self._store = store
        self._card = card
        self._index_of = index
        self._lock = Lock()
        self._present: Snapshot | None = None
        self._serial = 0
        self._seen: Head | None = None
        self._older: dict[tuple[date, bool], Day] = {}
        self._older_rows: dict[datetime, Table] = {}
        self._older_minutes: dict[datetime, Table | None] = {}
        # Also fine enough for everything that may be read later.
        places = places_of(card)
        self._reset(places, wide=places > LEAST_PLACES + 2)

    def current(self) -> Snapshot:
        """The current snapshot. Cheap if nothing has changed since the last call."""
        seen, present = self._store.head(), self._present
        if present is not None and seen is self._seen:
            return present
        waits = _waits()
        if present is None or waits is None or self._in_background is None:
            return self._caught_up()
        reading = self._read_next(self._in_background)
        done, _ = wait([reading], waits)
        return reading.result() if done else self._present or present

    def _read_next(self, in_background: InBackground) -> "Future[Snapshot]":
        """The next update that has not begun: a running one may have missed what is stored by now."""
        with self._choosing:
            if self._next is None or self._next.running() or self._next.done():
                self._next = in_background(self._caught_up)
            return self._next

    def _caught_up(self) -> Snapshot:
        with self._lock:
            # Another thread may have made a newer one, compared with which this head is old.
            seen, present = self._store.head(), self._present
            head = seen
            if present is None or present.head != head:
                with self._store.reading() as reader:
                    if present is None or not present.head.has_rows_of(head):
                        # Read the head with the rows, which may have changed since.
                        head = reader.head()
                    if present is None or present.head != head:
                        present = self._present = self._brought_up_to_date(reader, head)
                        self._serial = present.serial
            self._seen = seen
        return present

    def _brought_up_to_date(self, reader: Reader, head: Head) -> Snapshot:
        try:
            return self._updated(reader, head)
        except TooSmallError as error:
            log.info("usage is priced anew with %d decimal places", error.places)
            self._present = None
            self._reset(max(error.places, self._prices.places), wide=error.wide or self._prices.wide)
            return self._brought_up_to_date(reader, head)

    def _reset(self, places: int, *, wide: bool) -> None:
        self._index = self._index_of(self._card)
        self._prices = UsagePrices(self._card, self._index, places, wide=wide)
        self._builder = TableBuilder(self._index, self._prices)
        self._empty = self._builder.table([], date.min)

    def _updated(self, reader: Reader, head: Head) -> Snapshot:
        before = self._present
        if before is None or before.head.version.rebuilt != head.version.rebuilt or _reaches_back(head, before):
            return self._built(reader, head)
        if head.version.usage < before.head.version.usage:
            # The database was restored from a backup.
            return self._built(reader, head)
        names = before.names if before.head.names_read_at == head.names_read_at else reader.names()
        bills = before.bills if before.head.version.billed == head.version.billed else _bills(reader, head)
        after = replace(before, head=head, names=names, bills=bills, memo={}, serial=before.serial + 1)
        touched: frozenset[int] | None = frozenset()
        since = AFTER_EVERYTHING
        if before.head.version.usage != head.version.usage:
            changed = reader.changed(before.head.version.usage, head.version.usage)
            after, touched = self._with_changes(reader, after, changed)
            since = min((hour.hour for hour in changed), default=AFTER_EVERYTHING)
        if before.data.billed_read_at != head.data.billed_read_at or bills is not before.bills:
            # Any day may count as billed now.
            touched = None
        after.memo.update(_kept(before, after, touched, since))
        return replace(after, touched=(*before.touched, (before.serial, touched, since))[-UPDATES_KNOWN:])

    def _built(self, reader: Reader, head: Head) -> Snapshot:
        """Read everything held again; drop older days, since any of them may have changed."""
        self._older, self._older_rows, self._older_minutes = {}, {}, {}
        days: dict[date, Day] = {}
        tables: dict[datetime, Table] = {}
        by_minute: set[datetime] = set()
        as_of = head.data.as_of
        if as_of is not None:
            first = as_of.date() - DAYS_HELD * DAY
            self._index.add_callers(reader.callers_before(first), first - DAY)
            within = _midnight(first), _midnight(date.max - DAY)
            used = reader.used_hours(*within)
            for hour in reader.hours(*within):
                day = days.get(hour.hour.date()) or self._builder.empty_day(by_hour=True)
                day, table = self._with_hour(reader, day, hour, self._empty, self._builder, used=used)
                days[hour.hour.date()] = day
                if hour.hour >= floor_hour(as_of) - ROWS_HELD:
                    tables[hour.hour] = table
                    if hour.width == "1m":
                        by_minute.add(hour.hour)
        return Snapshot(
            head=head,
            names=NO_NAMES if head.names_read_at is None else reader.names(),
            card=self._card,
            index=self._index,
            prices=self._prices,
            days=days,
            tables=tables,
            by_minute=frozenset(by_minute),
            bills=_bills(reader, head),
            load=self._load,
            load_days=self._load_days,
            load_rows=self._load_rows,
            load_minutes=self._load_minutes,
            load_attributed=self._attributed,
            callers=len(self._index.callers),
            # Holders of an earlier snapshot have to look at everything again.
            serial=self._serial + 1,
            touched=((self._serial, None, BEFORE_EVERYTHING),),
        )

    def _with_changes(
        self, reader: Reader, before: Snapshot, changed: Sequence[HourRead]
    ) -> tuple[Snapshot, frozenset[int] | None]:
        """The snapshot after these hours have changed, and the scopes this may have touched; None for any."""
        days, tables, by_minute = dict(before.days), dict(before.tables), set(before.by_minute)
        anew: set[date] = set()
        touched: set[int] = set()
        everywhere = False
        as_of = before.as_of or AFTER_EVERYTHING
        rows_from, days_from = floor_hour(as_of) - ROWS_HELD, as_of.date() - DAYS_HELD * DAY
        for hour in changed:
            of_day = hour.hour.date()
            self._older.pop((of_day, True), None)
            self._older.pop((of_day, False), None)
            self._older_rows.pop(hour.hour, None)
            self._older_minutes.pop(hour.hour, None)
            if of_day < days_from:
                # Its sums are read on request, but its scopes must be known before.
                self._index.groups_of(reader.day_rows(of_day, of_day).get(of_day, []), of_day)
                everywhere = True
                continue
            day = days.get(of_day) or self._builder.empty_day(by_hour=True)
            if day.knows(hour.hour.hour) and hour.hour not in tables:
                # Its earlier usage is only known within its day's sums.
                anew.add(of_day)
                continue
            had = tables.get(hour.hour, self._empty)
            everywhere |= hour.odd != bool(day.odd >> hour.hour.hour & 1)
            same_width = (hour.hour in by_minute) == (hour.width == "1m")
            if hour.buckets is not None and not same_width:
                hour = replace(hour, buckets=None)
            days[of_day], tables[hour.hour] = self._with_hour(reader, day, hour, had, self._builder, touched)
            by_minute.discard(hour.hour)
            if hour.width == "1m":
                by_minute.add(hour.hour)
        for of_day in anew:
            days[of_day] = self._read_day(reader, of_day, self._builder)
        kept = {hour: table for hour, table in tables.items() if hour >= rows_from}
        after = replace(
            before,
            days={day: one for day, one in days.items() if day >= days_from},
            tables=kept,
            by_minute=frozenset(by_minute & kept.keys()),
            callers=len(self._index.callers),
        )
        return after, None if anew or everywhere else frozenset(touched)

    def _with_hour(
        self,
        reader: Reader,
        day: Day,
        hour: HourRead,
        had: Table,
        builder: TableBuilder,
        touched: set[int] | None = None,
        used: frozenset[datetime] | None = None,
    ) -> tuple[Day, Table]:
        """The day with the current rows of the hour; `had`: the rows that its sums include now.

        `touched`: collects the numbers of the scopes whose sums may have changed. `used`: the hours with rows; None if
        that is not known.
        """
        of_day = hour.hour.date()
        gone, left = had, self._empty
        if used is not None and hour.hour not in used:
            new = self._empty
        elif hour.width == "1m":
            new = _by_minute(reader, hour.hour, hour.buckets, builder)
            if hour.buckets is not None and len(had):
                replaced = [_minute(bucket, hour.hour) for bucket in hour.buckets]
                mask = np.isin(had.minute, replaced)
                gone, left = had.where(mask), had.where(~mask)
        else:
            new = builder.joined(builder.table(rows, of_day) for rows in reader.hour_rows(hour.hour))
        if touched is not None:
            touched |= builder.scopes_in(gone) | builder.scopes_in(new)
        made, table = builder.with_hour(of_day, day, hour.hour.hour, left, gone, new)
        bit = 1 << hour.hour.hour
        return replace(made, known=made.known | bit, odd=made.odd | bit if hour.odd else made.odd & ~bit), table

    def _read_day(self, reader: Reader, day: date, builder: TableBuilder) -> Day:
        within = _midnight(day), _midnight(day) + DAY
        hours = reader.hours(*within)
        if any(hour.width == "1d" for hour in hours):
            return _rolled_up(reader, day, day, builder)[day]
        made, used = builder.empty_day(by_hour=True), reader.used_hours(*within)
        for hour in hours:
            made, _ = self._with_hour(reader, made, hour, self._empty, builder, used=used)
        return made

    def _load(self, day: date, by_hour: bool) -> Day:
        """A day outside the snapshot, because it is older or unknown."""
        present = self._present
        if present is None or present.as_of is None or day >= present.as_of.date() - DAYS_HELD * DAY:
            return self._builder.empty_day(by_hour=True)
        found = self._older.get((day, by_hour)) or self._older.get((day, True))
        if found is not None:
            return found
        with self._lock, self._store.reading() as reader:
            if by_hour:
                found = self._of_any_width(lambda builder: self._read_day(reader, day, builder))
            else:
                found = self._of_any_width(lambda builder: _rolled_up(reader, day, day, builder))[day]
            self._keep_older({(day, by_hour): found})
        return found

    def _load_days(self, first: date, last: date) -> None:
        """Preload the days from `first` to `last`, both included, for `_load`."""
        present = self._present
        if present is None or present.as_of is None:
            return
        last = min(last, present.as_of.date() - (DAYS_HELD + 1) * DAY)
        wanted = [first + index * DAY for index in range((last - first).days + 1)]
        missing = [day for day in wanted if (day, False) not in self._older and (day, True) not in self._older]
        if len(missing) > 1:
            with self._lock, self._store.reading() as reader:
                first, last = missing[0], missing[-1]
                found = self._of_any_width(lambda builder: _rolled_up(reader, first, last, builder))
                self._keep_older({(day, False): one for day, one in found.items() if day in missing})

    def _load_rows(self, hour: datetime) -> Table:
        """Rows of an hour outside the snapshot, such as the last 24 hours before a mode that has lasted for days."""
        found = self._older_rows.get(hour)
        if found is None:
            with self._lock, self._store.reading() as reader:
                parts = list(reader.hour_rows(hour))
                found = self._of_any_width(
                    lambda builder: builder.joined(builder.table(rows, hour.date()) for rows in parts)
                )
                self._older_rows = dict([*self._older_rows.items(), (hour, found)][-OLDER_ROWS_HELD:])
        return found

    def _load_minutes(self, hour: datetime) -> Table | None:
        """Rows of an hour outside the snapshot that is stored by the minute: a period begins within it."""
        if hour not in self._older_minutes:
            with self._lock, self._store.reading() as reader:
                found = None
                if any(each.width == "1m" for each in reader.hours(hour, hour + HOUR)):
                    found = self._of_any_width(partial(_by_minute, reader, hour, None))
                kept = {**self._older_minutes, hour: found}
                self._older_minutes = dict(list(kept.items())[-OLDER_ROWS_HELD:])
        return self._older_minutes.get(hour)

    def _of_any_width(self, make: Callable[[TableBuilder], Made]) -> Made:
        """Build from older days; if 64 bits overflow, only this build uses larger numbers."""
        try:
            return make(self._builder)
        except TooSmallError:
            prices = UsagePrices(self._card, self._index, self._prices.places, wide=True)
            return make(TableBuilder(self._index, prices))

    def _keep_older(self, days: Mapping[tuple[date, bool], Day]) -> None:
        """Cache under the lock under which they were read, so that an update of one of them comes before or after."""
        self._older = dict([*self._older.items(), *days.items()][-OLDER_HELD:])


def attributed_snapshots(
    store: AttributedStore, card: RateCard, in_background: InBackground | None = None
) -> Snapshots:
    """Snapshots of what Anthropic itself attributes."""
    return Snapshots(
        store,
        card,
        in_background=in_background,
        attributed=lambda scope: store.usd(AttributedBy(scope.kind.value), scope.value or ""),
    )


def _by_minute(reader: Reader, hour: datetime, buckets: frozenset[datetime] | None, builder: TableBuilder) -> Table:
    """Rows of an hour that is stored by the minute; only of `buckets` if given."""
    return builder.joined(
        builder.table([row[1:] for row in rows], hour.date(), [_minute(row[0], hour) for row in rows])
        for rows in reader.bucket_rows(hour, buckets)
    )


def _rolled_up(reader: Reader, first: date, last: date, builder: TableBuilder) -> dict[date, Day]:
    rows = reader.day_rows(first, last)
    known = {hour.hour: hour.odd for hour in reader.hours(_midnight(first), _midnight(last) + DAY)}
    found = {}
    for day in (first + index * DAY for index in range((last - first).days + 1)):
        hours = {number: known[hour] for number in range(24) if (hour := _midnight(day) + number * HOUR) in known}
        found[day] = replace(
            builder.rolled_up(rows.get(day, []), day),
            known=sum(1 << number for number in hours),
            odd=sum(1 << number for number, odd in hours.items() if odd),
        )
    return found


def _reaches_back(head: Head, before: Snapshot) -> bool:
    """Whether to hold hours that the snapshot before has dropped or never had."""
    if before.as_of is None or head.data.as_of is None:
        return True
    return floor_hour(head.data.as_of) < floor_hour(before.as_of)


def _bills(reader: Reader, head: Head) -> Mapping[date, Sequence[BilledRow]]:
    as_of = head.data.as_of
    found: dict[date, list[BilledRow]] = {}
    for row in reader.billed_rows(date.min if as_of is None else (as_of - LONGEST_BILL).date()):
        found.setdefault(row.day, []).append(row)
    return found


def _kept(before: Snapshot, after: Snapshot, touched: frozenset[int] | None, since: datetime) -> dict[Any, Any]:
    """Cached results that are still right: of single hours, of untouched scopes, of ended periods.

    `since`: the first changed hour. Results that are no longer needed are dropped: hours no longer kept by the minute,
    and periods that ended long ago.
    """
    found = {}
    oldest = BEFORE_EVERYTHING if after.as_of is None else after.as_of - SPEND_KEPT
    # Copy in one go: another thread may add results.
    for key, value in list(before.memo.items()):
        if not isinstance(key, tuple):
            continue
        if key[0] == "minutes":
            if key[1] in after.by_minute and value.table is after.tables[key[1]]:
                found[key] = value
        elif key[0] == "spend" and touched is not None:
            _, scope, period = key
            untouched = period.ends_at <= since or touched.isdisjoint(before.index.of(scope).tolist())
            if untouched and period.ends_at > oldest:
                found[key] = value
    return found


def _minute(moment: datetime, hour: datetime) -> int:
    return (moment - hour) // MINUTE


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
