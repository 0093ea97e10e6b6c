"""Snapshot: all known usage at one moment, priced, for decisions, commands, pages and metrics.

Immutable. Money of any scope and stretch comes from sums by day and hour; questions about callers in the last two days
use the rows of their hours. Only days older than the held ones are read from the database.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from bot.budgets.budget import ATTRIBUTED, Period, Scope, ScopeKind
from bot.budgets.day_parts import (
    MINUTES,
    Cut,
    Minutes,
    Part,
    Stack,
    assumed_of,
    hidden_of_part,
    midnight,
    midnight_from,
    minute_of,
    parts_of,
    stacked,
    units_of,
    within,
)
from bot.budgets.spend import COMPUTED_COST_TYPES, ZERO, Computed, Spend, is_settled, sum_of
from bot.budgets.usage_index import Numbers, UsageIndex
from bot.budgets.usage_table import Day, Money, Table, UsagePrices, reasons
from bot.clock import AFTER_EVERYTHING, BEFORE_EVERYTHING, DAY, HOUR, MINUTE, floor_hour
from bot.pricing.card import RateCard
from bot.pricing.cost import Hidden
from bot.usage.model import BilledRow, DataState
from bot.usage.store_reads import Head, Names

ROWS_HELD = 51 * HOUR
"""The last 24 hours, the 24 hours before, and the partial hours at both ends."""

MOST_AHEAD = 10 * MINUTE
"""Usage may be this much newer than the age of the data. A sender whose clock is further ahead has no effect on
stretches.
"""

MOST_EXACT = 2.0**62
"""Units of money that surely fit into 64 bits."""

LoadDay = Callable[[date, bool], Day]
"""Loads a day that is not held; with its hours on request."""

LoadRows = Callable[[datetime], Table]
"""Loads the rows of an hour that is not held."""

LoadMinutes = Callable[[datetime], Table | None]
"""Loads the rows of an hour that is not held, if it is stored by the minute; else None."""

LoadDays = Callable[[date, date], None]
"""Preloads the days that are not held from one day to another, both included."""


LoadAttributed = Callable[[Scope], Mapping[date, Decimal]]
"""Loads what Anthropic attributes to a scope, USD by UTC day."""


def no_attribution(scope: Scope) -> Mapping[date, Decimal]:
    """Nothing: stored usage has tokens."""
    return {}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`days` are held by hour, `tables` are the rows of the newest hours; both may lack unknown ones.

    `by_minute`: hours of `tables` that are kept by the minute. `bills`: the cost report by UTC day. `serial` rises with
    every update; `touched`: by the serial of the snapshot before, the scopes whose sums the last updates may have
    changed (None for all), and the first hour changed.
    """

    head: Head
    names: Names
    card: RateCard
    index: UsageIndex
    prices: UsagePrices
    days: Mapping[date, Day]
    tables: Mapping[datetime, Table]
    by_minute: frozenset[datetime]
    bills: Mapping[date, Sequence[BilledRow]]
    load: LoadDay
    load_days: LoadDays
    load_rows: LoadRows
    load_minutes: LoadMinutes
    load_attributed: LoadAttributed = no_attribution
    callers: int = 0
    serial: int = 0
    touched: tuple[tuple[int, frozenset[int] | None, datetime], ...] = ()
    memo: dict[object, Any] = field(default_factory=dict)
    """Cached results."""

    @property
    def data(self) -> DataState:
        """State of the last poll."""
        return self.head.data

    @property
    def as_of(self) -> datetime | None:
        """The age of the data; None before the first poll."""
        return self.head.data.as_of

    @property
    def counted_until(self) -> datetime | None:
        """End of the newest minute with usage, or the age of the data if later.

        Sums of a period count every row up to it, also those of the running minute and of a clock slightly ahead.
        """
        as_of = self.as_of
        if as_of is None:
            return None
        newest = self._newest
        return as_of if newest is None else max(as_of, min(newest + MINUTE, as_of + MOST_AHEAD))

    @property
    def rows_end(self) -> datetime:
        """End of the newest minute with usage; long ago if there is none since the hour of `as_of`."""
        newest = self._newest
        return BEFORE_EVERYTHING if newest is None else newest + MINUTE

    @property
    def _newest(self) -> datetime | None:
        """The newest minute with usage, or the hour if it is not kept by the minute; None if there is none since the
        hour of `as_of`.
        """
        if "newest" not in self.memo:
            running = AFTER_EVERYTHING if self.as_of is None else floor_hour(self.as_of)
            hours = [hour for hour, table in self.tables.items() if hour >= running and len(table)]
            last = max(hours, default=None)
            self.memo["newest"] = None if last is None else last + int(self.tables[last].minute.max()) * MINUTE
        found: datetime | None = self.memo["newest"]
        return found

    def touched_since(self, serial: int) -> frozenset[int] | None:
        """Scopes whose sums may have changed since the snapshot of that serial; None if unknown."""
        if serial == self.serial:
            return frozenset()
        found = [numbers for before, numbers, _ in self.touched if before >= serial]
        if len(found) < self.serial - serial:
            return None
        return None if None in found else frozenset().union(*(numbers for numbers in found if numbers))

    def changed_from(self, serial: int) -> datetime:
        """The first hour whose usage may have changed since the snapshot of that serial.

        Only valid if `touched_since` is not None.
        """
        found = [hour for before, _, hour in self.touched if before >= serial]
        return min(found, default=AFTER_EVERYTHING)

    def is_used(self, scope: Scope) -> bool:
        """Whether there is any usage with exactly the id of this scope."""
        if scope.kind is ScopeKind.MODEL:
            return any(model == scope.value for model, _, _ in self.index.ids(ScopeKind.MODEL))
        return bool(len(self.index.of(scope)))

    def day(self, day: date, *, by_hour: bool = False) -> Day:
        """A UTC day, read from the database if it is older than the held ones."""
        found = self.days.get(day)
        return self.load(day, by_hour) if found is None else found

    def have(self, starts_at: datetime, ends_at: datetime) -> None:
        """Preload the days of this stretch that are older than the held ones."""
        if self.as_of is not None and starts_at.date() not in self.days:
            first_held = min(self.days, default=self.as_of.date())
            if starts_at.date() < first_held:
                self.load_days(starts_at.date(), min(ends_at.date(), first_held - DAY))

    def knows(self, hour: datetime) -> bool:
        """Whether this UTC hour is known by itself."""
        return bool(self._known_by_hour(hour.date()) >> hour.hour & 1)

    def known_hours(self, starts_at: datetime, ends_at: datetime) -> int:
        """Number of known UTC hours that begin in [`starts_at`, `ends_at`).

        Hours of a day whose sum alone is kept are known together, not one by one.
        """
        self.have(starts_at, ends_at)
        return sum(
            (self._known_in(part) >> part.first & ((1 << part.last - part.first) - 1)).bit_count()
            for part in parts_of(starts_at, ends_at)
        )

    def _known_in(self, part: Part) -> int:
        day = self.day(part.day, by_hour=not part.whole)
        return day.known if part.whole or day.hours is not None else 0

    def spend(self, scope: Scope, period: Period) -> Spend:
        """The scope's spend in the period.

        A day counts as billed if it was settled when the cost report was read and the report has rows of the scope. The
        report has whole UTC days: one that lies only partly in the period (a zone other than UTC) is computed, and its
        report-only cost counts for the period in which it begins.
        """
        known = self.memo.get(("spend", scope, period))
        if known is None:
            known = self.memo["spend", scope, period] = self._spend(scope, period)
        found: Spend = known
        return found

    def _spend(self, scope: Scope, period: Period) -> Spend:
        if scope.kind is ScopeKind.TEAM and scope.is_billed:
            return self._spend_of_team(scope, period)
        self.have(period.starts_at, period.ends_at)
        if scope.kind in ATTRIBUTED:
            return self._attributed_spend(scope, period)
        bills = self._bills(scope, period)
        read_at = self.data.billed_read_at
        settled = {day for day in bills if midnight(day) + DAY <= period.ends_at and is_settled(day, read_at)}
        computed = self.computed(self.index.of(scope), period.starts_at, period.ends_at, settled)
        return Spend(
            billed_usd=sum((row.usd for day in settled for row in bills[day]), ZERO),
            billed_days=len(settled),
            computed_usd=computed.usd,
            report_only_usd=sum(
                (
                    row.usd
                    for day, rows in bills.items()
                    if day not in settled
                    for row in rows
                    if row.cost_type not in COMPUTED_COST_TYPES
                ),
                ZERO,
            ),
            hidden=computed.hidden,
            assumed=computed.assumed,
        )

    def _spend_of_team(self, scope: Scope, period: Period) -> Spend:
        """Sum of its workspaces, plus what its keys spend outside of these."""
        wholes = [part for part in scope.parts if part.kind is ScopeKind.WORKSPACE]
        if len(wholes) == len(scope.parts):
            return sum_of([self.spend(part, period) for part in wholes])
        inside = self.index.of(replace(scope, parts=tuple(wholes)))
        outside = np.setdiff1d(self.index.of(scope), inside)
        computed = self.computed(outside, period.starts_at, period.ends_at)
        keys = Spend(ZERO, 0, computed.usd, ZERO, hidden=computed.hidden, assumed=computed.assumed)
        return sum_of([*(self.spend(part, period) for part in wholes), keys])

    def computed(
        self, ids: Numbers, starts_at: datetime, ends_at: datetime, without: Collection[date] = ()
    ) -> Computed:
        """Cost of these scopes' tokens in [`starts_at`, `ends_at`), at list prices. `ids`: scope numbers.

        `without`: days that do not count.
        """
        units, hidden, assumed = 0, 0, set[str]()
        odd = False
        ends_at, cuts = self._cut(starts_at, self._end(ends_at))
        whole, others = self._split(starts_at, ends_at)
        if whole is not None:
            stack, first, last = self._stack, *whole
            counted = [index for index in range(first, last) if stack.first + index * DAY not in without]
            here = np.ix_(np.array(counted, np.intp), within(ids, stack.units.shape[1]))
            units += sum(stack.units[here].ravel().tolist())
            hidden |= int(np.bitwise_or.reduce(stack.hidden[here], axis=None))
            odd |= any(first <= (day - stack.first).days < last and day not in without for day in stack.odd)
            others = [*others, *(part for part in stack.assumed if first <= (part.day - stack.first).days < last)]
        for part in others:
            day = self.day(part.day, by_hour=not part.whole)
            assumed |= assumed_of(day, part, ids)
            # Held whole days have been counted.
            if part.day not in without and not (part.whole and part.day in self.days):
                units += units_of(day, part, ids)
                hidden |= hidden_of_part(day, part, ids)
                odd |= part.any_of(day.odd)
        for cut in cuts:
            # A day that lies only partly in the period is never billed.
            minutes = self._minutes_of(cut.hour)
            mine = within(ids, len(minutes.units))
            units += sum(minutes.units[mine, cut.first : cut.last].ravel().tolist())
            hidden |= int(np.bitwise_or.reduce(minutes.hidden[mine, cut.first : cut.last].ravel()))
            numbers = set(mine.tolist())
            assumed |= {model for number, model in minutes.assumed(cut.first, cut.last) if number in numbers}
            # The minute of the unreadable row is unknown.
            odd |= bool(self.day(cut.hour.date()).odd >> cut.hour.hour & 1)
        found = set(reasons(hidden))
        if odd:
            found.add(Hidden.ROWS)
        return Computed(self.prices.usd(units), frozenset(found), tuple(sorted(assumed)))

    def settled_days(self, scope: Scope, starts_at: datetime, ends_at: datetime) -> frozenset[date]:
        """Days of [`starts_at`, `ends_at`) that may count as billed for the scope, for all of it."""
        if scope.parts:
            return frozenset.intersection(*(self.settled_days(part, starts_at, ends_at) for part in scope.parts))
        read_at = self.data.billed_read_at
        bills = self._bills(scope, Period("", starts_at, ends_at))
        return frozenset(day for day in bills if is_settled(day, read_at))

    def settled_until(self, period: Period) -> datetime:
        """The end of the last day of the period that may count as billed."""
        read_at = self.data.billed_read_at
        first, last = midnight_from(period.starts_at).date(), (period.ends_at - period.ends_at.resolution).date()
        settled = (day for day in self.bills if first <= day <= last and is_settled(day, read_at))
        return max((midnight(day) + DAY for day in settled), default=BEFORE_EVERYTHING)

    def units(self, scopes: Sequence[Scope], period: Period) -> Numbers | None:
        """Units of money of all tokens of each scope in the period, billed or not.

        None if 64 bits may overflow, and for a period that is not held.
        """
        if self.prices.wide or not self.days or period.starts_at.date() < self._stack.first:
            return None
        owner, ids = self._members(scopes)
        if int(ids.max(initial=0)) >= self._stack.units.shape[1]:
            return None
        found, about = np.zeros(len(scopes), np.int64), np.zeros(len(scopes))
        ends_at, cuts = self._cut(period.starts_at, self._end(period.ends_at))
        whole, others = self._split(period.starts_at, ends_at)
        tables = [] if whole is None else [self._stack.units[whole[0] : whole[1], ids].T]
        for part in others:
            hours = self.day(part.day, by_hour=True).hours
            if hours is None or len(hours) <= int(ids.max(initial=0)):
                return None
            tables.append(hours[ids, part.first : part.last])
        for cut in cuts:
            minutes = self._minutes_of(cut.hour).units
            if len(minutes) <= int(ids.max(initial=0)):
                return None
            tables.append(minutes[ids, cut.first : cut.last])
        for table in tables:
            np.add.at(found, owner, table.sum(axis=1))
            np.add.at(about, owner, table.sum(axis=1, dtype=np.float64))
        return None if len(about) and float(np.abs(about).max()) >= MOST_EXACT else found

    def usd(self, scope: Scope, starts_at: datetime, ends_at: datetime) -> Decimal:
        """Computed USD of the buckets that begin in [`starts_at`, `ends_at`)."""
        ids = self.index.of(scope)
        parts, cuts = self._divided(starts_at, ends_at)
        units = sum(units_of(self.day(part.day, by_hour=not part.whole), part, ids) for part in parts)
        for cut in cuts:
            by_minute = self._minutes_of(cut.hour).units
            units += sum(by_minute[within(ids, len(by_minute)), cut.first : cut.last].ravel().tolist())
        return self.prices.usd(units)

    def hourly(self, scopes: Sequence[Scope], starts_at: datetime, ends_at: datetime) -> Money:
        """Units of money by scope and UTC hour of [`starts_at`, `ends_at`), full hours; zero for unknown hours."""
        found = self.prices.zeros(len(scopes), max(0, (ends_at - starts_at) // HOUR))
        owner, ids = self._members(scopes)
        for part in parts_of(starts_at, ends_at):
            hours = self.day(part.day, by_hour=True).hours
            if hours is not None:
                here = ids < len(hours)
                at = (midnight(part.day) + part.first * HOUR - starts_at) // HOUR
                values = hours[ids[here], part.first : part.last]
                if values.dtype == object:
                    # An older day whose money does not fit into 64 bits.
                    found = found.astype(object)
                np.add.at(found[:, at : at + part.last - part.first], owner[here], values)
        return found

    def known(self, starts_at: datetime, ends_at: datetime) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each UTC hour of [`starts_at`, `ends_at`), full hours, is known."""
        key = ("known", starts_at, ends_at)
        found = self.memo.get(key)
        if found is None:
            parts = [(self._known_by_hour(part.day), part) for part in parts_of(starts_at, ends_at)]
            known = [bool(mask >> hour & 1) for mask, part in parts for hour in range(part.first, part.last)]
            found = self.memo[key] = np.array(known, dtype=np.bool_)
        made: np.ndarray[tuple[int], np.dtype[np.bool_]] = found
        return made

    def _known_by_hour(self, day_of: date) -> int:
        day = self.day(day_of, by_hour=True)
        return 0 if day.hours is None else day.known

    def minutes(self, scopes: Sequence[Scope], starts_at: datetime, ends_at: datetime) -> Money | None:
        """Units of money by scope and minute of [`starts_at`, `ends_at`), full minutes.

        None if an hour of it is not kept by the minute.
        """
        found = self.prices.zeros(len(scopes), (ends_at - starts_at) // MINUTE)
        owner, ids = self._members(scopes)
        hour = floor_hour(starts_at)
        while hour < ends_at:
            if hour not in self.by_minute:
                return None
            at = (hour - starts_at) // MINUTE
            first, last = max(0, -at), min(MINUTES, (ends_at - hour) // MINUTE)
            by_scope = self._minutes_of(hour).units
            here = ids < len(by_scope)
            np.add.at(found[:, at + first : at + last], owner[here], by_scope[ids[here], first:last])
            hour += HOUR
        return found

    def rows(self, starts_at: datetime, ends_at: datetime) -> Iterator[tuple[datetime, Table]]:
        """The hours of [`starts_at`, `ends_at`) that have rows, each with the rows that begin in it."""
        hour = floor_hour(starts_at)
        while hour < ends_at:
            table = self.tables.get(hour)
            if table is None and self.as_of is not None and hour < floor_hour(self.as_of) - ROWS_HELD:
                table = self._known_to_this(self.load_rows(hour))
            if table is not None and len(table):
                if starts_at > hour or ends_at < hour + HOUR:
                    first, last = minute_of(starts_at - hour), minute_of(ends_at - hour)
                    table = table.where((table.minute >= first) & (table.minute < last))
                yield hour, table
            hour += HOUR

    def _known_to_this(self, table: Table) -> Table:
        """The table without callers added after this snapshot was made."""
        callers = self.index.caller_of_group.values[table.group]
        return table if len(callers) == 0 or int(callers.max()) < self.callers else table.where(callers < self.callers)

    def _members(self, scopes: Sequence[Scope]) -> tuple[Numbers, Numbers]:
        """Numbers of all of these scopes, and the index of the scope that each belongs to."""
        numbers = [self.index.of(scope) for scope in scopes]
        owner = np.repeat(np.arange(len(scopes)), [len(each) for each in numbers])
        return owner, np.concatenate([np.zeros(0, np.int64), *numbers])

    def _bills(self, scope: Scope, period: Period) -> dict[date, list[BilledRow]]:
        """The scope's rows by the days that begin in the period."""
        if scope.kind in (ScopeKind.KEY, ScopeKind.MODEL, ScopeKind.TEAM):
            return {}
        first, last = midnight_from(period.starts_at).date(), (period.ends_at - period.ends_at.resolution).date()
        found: dict[date, list[BilledRow]] = {}
        for day in (first + index * DAY for index in range((last - first).days + 1)):
            rows = [
                row
                for row in self.bills.get(day, ())
                if scope.kind is ScopeKind.ORGANIZATION or row.workspace_id == scope.value
            ]
            if rows:
                found[day] = rows
        return found

    def attributed(self, scope: Scope) -> Mapping[date, Decimal]:
        """What Anthropic attributes to a scope, USD by UTC day; days without spend are left out."""
        found = self.memo.get(("attributed", scope))
        if found is None:
            found = self.memo["attributed", scope] = self.load_attributed(scope)
        made: Mapping[date, Decimal] = found
        return made

    def _attributed_spend(self, scope: Scope, period: Period) -> Spend:
        """Attributed spend of the UTC days that begin in the period."""
        days = self.attributed(scope).items()
        usd = sum((usd for day, usd in days if period.starts_at <= midnight(day) < period.ends_at), ZERO)
        hidden = self.computed(self.index.of(scope), period.starts_at, period.ends_at).hidden
        return Spend(ZERO, 0, ZERO, usd, hidden, (), attributed=True)

    @property
    def _stack(self) -> "Stack":
        found = self.memo.get("stack")
        if found is None:
            found = self.memo["stack"] = stacked(self.days, self.prices)
        made: Stack = found
        return made

    def _split(self, starts_at: datetime, ends_at: datetime) -> tuple[tuple[int, int] | None, list[Part]]:
        """The held whole days, as a range of rows in the stack, and everything else."""
        if not self.days:
            return None, list(parts_of(starts_at, ends_at))
        begin = max(midnight_from(starts_at), midnight(self._stack.first))
        end = max(midnight(ends_at.date()), begin)
        first = midnight(self._stack.first)
        others = [*parts_of(starts_at, min(begin, ends_at)), *parts_of(max(end, starts_at), ends_at)]
        if begin == end:
            return None, list(parts_of(starts_at, ends_at))
        return ((begin - first) // DAY, (end - first) // DAY), others

    def _end(self, ends_at: datetime) -> datetime:
        """The end, limited to the newest held day; later ones are unknown."""
        return min(ends_at, midnight(self._stack.last) + DAY) if self.days else ends_at

    def _divided(self, starts_at: datetime, ends_at: datetime) -> tuple[list[Part], list[Cut]]:
        """The whole hours of [`starts_at`, `ends_at`), and the parts of hours that its borders cut, if known.

        An hour that is not kept by the minute counts for the stretch in which it begins.
        """
        ends_at, cuts = self._cut(starts_at, ends_at)
        return list(parts_of(starts_at, ends_at)), cuts

    def _cut(self, starts_at: datetime, ends_at: datetime) -> tuple[datetime, list[Cut]]:
        """The parts of `_divided`, and the end of the whole hours."""
        cuts = []
        first, last = floor_hour(starts_at), floor_hour(ends_at)
        if first < starts_at < ends_at and self._has_minutes(first):
            cuts.append(Cut(first, minute_of(starts_at - first), min(MINUTES, minute_of(ends_at - first))))
        if starts_at <= last < ends_at and self._has_minutes(last):
            cuts.append(Cut(last, 0, minute_of(ends_at - last)))
            ends_at = last
        return ends_at, cuts

    def _has_minutes(self, hour: datetime) -> bool:
        """Whether an hour is kept by the minute. Reads only if a border lies within an hour that is not held."""
        return hour in self.by_minute or self._older_minutes(hour) is not None

    def _older_minutes(self, hour: datetime) -> Table | None:
        is_older = self.as_of is not None and hour < floor_hour(self.as_of) - ROWS_HELD
        return self.load_minutes(hour) if is_older and self.knows(hour) else None

    def _minutes_of(self, hour: datetime) -> Minutes:
        """Minutes of an hour that is kept by the minute."""
        table = self.tables[hour] if hour in self.by_minute else self._older_minutes(hour)
        if table is None:
            raise LookupError(f"{hour} is not kept by the minute")
        table = self._known_to_this(table)
        found = self.memo.get(("minutes", hour))
        if not isinstance(found, Minutes) or found.table is not table:
            found = Minutes(table, self.index, self.prices, self.prices.of_day(hour.date()))
            self.memo["minutes", hour] = found
        return found
