"""Compare the last 24 hours of a snapshot with the 24 hours before: who spent most, and on what."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from bot.budgets.budget import ORGANIZATION, Scope
from bot.budgets.savings import Move, is_moved_by
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO, PricedUsage, price_usage
from bot.budgets.trend import (
    LEAST_SHARE,
    LEAST_USD,
    MOST_MOVERS,
    Cause,
    Mover,
    Recent,
    RecentUsage,
    Stretch,
    causes,
    costs_more,
    recent_window,
)
from bot.budgets.usage_index import Caller, Numbers
from bot.budgets.usage_table import Money, Table, summed
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.tokens import TokenCounts
from bot.usage.model import DayUsage

CLOSE = 1 - 1e-9
"""Sums closer than this ratio may be equal: which is larger is decided exactly."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Callers:
    """Money by caller of some stretches, each with the share of it that counts.

    `about`: units of every caller, as floats.
    """

    parts: tuple[tuple[Decimal, Money], ...]
    about: npt.NDArray[np.float64]

    @classmethod
    def of(cls, parts: Sequence[tuple[Decimal, Money]]) -> "Callers":
        """Sum up at least one stretch."""
        about = np.zeros(len(parts[0][1]))
        for share, units in parts:
            about += units.astype(np.float64) * float(share)
        return cls(tuple(parts), about)

    def units(self, caller: int) -> Decimal:
        """Exact units of one caller."""
        return sum((Decimal(int(units[caller])) * share for share, units in self.parts), ZERO)

    def total(self, mask: Mask) -> Decimal:
        """Exact units of all of these callers."""
        return sum((Decimal(sum(units[mask].tolist())) * share for share, units in self.parts), ZERO)


@dataclass(frozen=True, slots=True)
class _DaySums:
    """Usage of one UTC day that counts with one share: a row per group, in order of first use."""

    share: Decimal
    day: date
    group: npt.NDArray[np.int64]
    counts: Numbers


class RecentSpend:
    """Two stretches of a snapshot. Everything is computed once, when first asked for.

    `since`, `until`: start and end of the last one. Lengths may differ if the shares make up for it.
    """

    def __init__(
        self, snapshot: Snapshot, since: datetime, until: datetime, last: Sequence[Stretch], before: Sequence[Stretch]
    ) -> None:
        self._snapshot = snapshot
        self._since = since
        self.until = until
        self._stretches = {True: tuple(last), False: tuple(before)}
        self._callers: dict[bool, Callers] = {}
        self._by_rate: dict[Scope, Recent] = {}
        self._sums: dict[bool, list[_DaySums]] = {}
        self._seen: dict[datetime, Mask] = {}
        self._new: dict[datetime, frozenset[str]] = {}

    @cached_property
    def covered(self) -> timedelta:
        """How much of the last stretch is known; less than all on a young database."""
        until = self.until
        hour, found = floor_hour(self._since), timedelta()
        while hour < until:
            if self._snapshot.knows(hour):
                found += min(hour + HOUR, until) - max(hour, self._since)
            hour += HOUR
        return found

    def usd(self, scope: Scope) -> Decimal:
        """USD of the last stretch."""
        return self._usd(self._of_callers(last=True).total(self._inside(scope)))

    def movers(self, scope: Scope, most: int = MOST_MOVERS) -> tuple[Mover, ...]:
        """The largest callers by USD of the last stretch, largest first."""
        last = self._of_callers(last=True)
        found = [(last.units(caller), caller) for caller in self._largest(last.about, scope, most)]
        return self._movers(found, most)

    def risen(self, scope: Scope) -> tuple[Mover, ...]:
        """The three callers that rose most against the stretch before; largest rise first."""
        last, before = self._of_callers(last=True), self._of_callers(last=False)
        rises = last.about - before.about
        found = [(last.units(caller) - before.units(caller), caller) for caller in self._largest(rises, scope)]
        return self._movers(found)

    def by_caller(self, scope: Scope) -> list[tuple[Caller, Decimal]]:
        """USD of the last stretch by caller in the scope."""
        last, callers = self._of_callers(last=True), self._snapshot.index.callers
        inside = np.flatnonzero(self._inside(scope) & (last.about > 0))
        return [(callers[caller], self._usd(last.units(caller))) for caller in inside.tolist()]

    def is_moved(
        self, moves: Sequence[Move], found: Mover | Cause, usd: Decimal, before_usd: Decimal | None, on: date
    ) -> bool:
        """Whether a mode change that moved a caller to or back to this model explains its rise from `before_usd`. `on`:
        the day whose prices decide which model is more expensive.
        """
        if not moves or (before_usd is not None and usd <= before_usd):
            return False
        used = self.models_of(found.workspace_id, found.api_key_id)
        costlier = partial(costs_more, on=on, card=self._snapshot.card)
        return is_moved_by(moves, found.model, used, costlier)

    def causes(self, scope: Scope, known_since: datetime) -> tuple[Cause, ...]:
        """What explains most of the last stretch. `known_since`: models first used after it are new."""
        last, inside = self._of_callers(last=True), self._inside(scope)
        total = self._usd(last.total(inside))
        least = max(LEAST_USD, LEAST_SHARE * total)
        about = last.about * float(self._usd(Decimal(1)))
        callers = {int(caller) for caller in np.flatnonzero(inside & (about >= float(least) * CLOSE))}
        if not callers:
            return ()
        recent = Recent(self._rows(True, callers), self._rows(False, callers), self.covered)
        return causes(recent, ORGANIZATION, self._snapshot.card, self.new_models(known_since), total_usd=total)

    def new_models(self, since: datetime) -> frozenset[str]:
        """Models of the last stretch that were never used before `since`; none if there was no usage at all before."""
        if not self._anything_before:
            return frozenset()
        found = self._new.get(since)
        if found is None:
            index, count = self._snapshot.index, self._snapshot.callers
            model, used = index.model_of_caller.values[:count], self._of_callers(last=True).about > 0
            # One caller of each model.
            models, callers = np.unique(model[used], return_index=True)
            new = ~np.isin(models, model[self._earlier(since)])
            callers = np.flatnonzero(used)[callers[new]]
            found = self._new[since] = frozenset(index.callers[caller].model for caller in callers.tolist())
        return found

    @cached_property
    def _anything_before(self) -> bool:
        return any(bool(units.any()) for _, units in self._of_callers(last=False).parts)

    def _earlier(self, since: datetime) -> Mask:
        """Which callers have usage before this moment."""
        found = self._seen.get(since)
        if found is None:
            index, count = self._snapshot.index, self._snapshot.callers
            found = index.first_day_of_caller.values[:count] < since.toordinal()
            for _, table in self._snapshot.rows(since.replace(hour=0), since):
                found[index.caller_of_group.values[table.group]] = True
            self._seen[since] = found
        return found

    def seen_before(self, mover: Mover, since: datetime) -> bool | None:
        """Whether this caller was used before `since`; None if nothing at all was."""
        if not self._anything_before:
            return None
        caller = self._snapshot.index.caller(Caller(mover.model, mover.workspace_id, mover.api_key_id))
        return caller is not None and caller < self._snapshot.callers and bool(self._earlier(since)[caller])

    def models_of(self, workspace_id: str, api_key_id: str | None) -> frozenset[str]:
        """Models used in either stretch."""
        index, count = self._snapshot.index, self._snapshot.callers
        mine = index.key_of_caller.values[:count] == index.key_number(workspace_id, api_key_id)
        used = mine & ((self._of_callers(last=True).about > 0) | (self._of_callers(last=False).about > 0))
        return frozenset(index.callers[caller].model for caller in np.flatnonzero(used).tolist())

    def of_scope(self, scope: Scope) -> Recent:
        """Usage of the scope, summed by price, without callers."""
        found = self._by_rate.get(scope)
        if found is None:
            found = Recent(self._rates(True, scope), self._rates(False, scope), self.covered)
            self._by_rate[scope] = found
        return found

    def _movers(self, found: list[tuple[Decimal, int]], most: int = MOST_MOVERS) -> tuple[Mover, ...]:
        last, before, callers = self._of_callers(last=True), self._of_callers(last=False), self._snapshot.index.callers
        largest = sorted(found, key=lambda item: (-item[0], str(tuple(callers[item[1]]))))[:most]
        return tuple(
            Mover(*callers[caller], self._usd(last.units(caller)), self._usd(before.units(caller)) or None)
            for units, caller in largest
            if units > 0
        )

    def _largest(self, about: npt.NDArray[np.float64], scope: Scope, most: int = MOST_MOVERS) -> Numbers:
        """Callers that include the largest ones despite rounding of floats."""
        inside = np.flatnonzero(self._inside(scope) & (about > 0))
        if len(inside) <= most:
            return inside
        bound = np.partition(about[inside], -most)[-most]
        largest: Numbers = inside[about[inside] >= bound * CLOSE]
        return largest

    def _of_callers(self, *, last: bool) -> Callers:
        found = self._callers.get(last)
        if found is None:
            index, count = self._snapshot.index, self._snapshot.callers
            parts = []
            for stretch in self._stretches[last]:
                units = self._snapshot.prices.zeros(count)
                for _, table in self._snapshot.rows(stretch.starts_at, stretch.ends_at):
                    np.add.at(units, index.caller_of_group.values[table.group], table.units)
                parts.append((stretch.share, units))
            found = self._callers[last] = Callers.of(parts)
        return found

    def _inside(self, scope: Scope) -> Mask:
        return self._snapshot.index.callers_in(scope, self._snapshot.callers)

    def _day_sums(self, last: bool) -> list[_DaySums]:
        found = self._sums.get(last)
        if found is None:
            tables: dict[tuple[Decimal, date], list[Table]] = {}
            for stretch in self._stretches[last]:
                for hour, table in self._snapshot.rows(stretch.starts_at, stretch.ends_at):
                    if len(table):
                        tables.setdefault((stretch.share, hour.date()), []).append(table)
            found = self._sums[last] = [_day_sums(*key, parts) for key, parts in tables.items()]
        return found

    def _rows(self, last: bool, callers: Collection[int]) -> list[RecentUsage]:
        """Usage of these callers."""
        index = self._snapshot.index
        wanted = np.zeros(self._snapshot.callers, np.bool_)
        wanted[sorted(callers)] = True
        rows = []
        for sums in self._day_sums(last):
            mask = wanted[index.caller_of_group.values[sums.group]]
            for group, counts in zip(sums.group[mask].tolist(), sums.counts[mask], strict=True):
                caller = index.callers[int(index.caller_of_group.values[group])]
                rate = int(index.rate_of_group.values[group])
                rows.append(self._row(sums.share, sums.day, rate, counts, caller))
        return rows

    def _rates(self, last: bool, scope: Scope) -> list[RecentUsage]:
        index, inside = self._snapshot.index, self._inside(scope)
        rows = []
        for sums in self._day_sums(last):
            mask = inside[index.caller_of_group.values[sums.group]]
            if mask.any():
                counts = summed(index.rate_of_group.values[sums.group[mask]], sums.counts[mask], len(index.rates))
                rows += [
                    self._row(sums.share, sums.day, int(rate), counts[rate], None)
                    for rate in np.flatnonzero(counts.any(axis=1))
                ]
        return rows

    def _row(self, share: Decimal, day: date, rate: int, counts: Numbers, caller: Caller | None) -> RecentUsage:
        of = self._snapshot.index.rates[rate]
        usage = DayUsage(
            day=day,
            model=of.model,
            workspace_id="" if caller is None else caller.workspace_id,
            api_key_id=None if caller is None else caller.api_key_id,
            terms=of.terms,
            counts=TokenCounts(*counts.tolist()),
            prompt_tokens=of.prompt_tokens,
        )
        (priced,) = price_usage([usage], self._snapshot.card)
        return RecentUsage(PricedUsage(usage, priced.cost), share)

    def _usd(self, units: Decimal) -> Decimal:
        return units.scaleb(-self._snapshot.prices.places)


def _day_sums(share: Decimal, day: date, tables: Sequence[Table]) -> _DaySums:
    group = np.concatenate([table.group for table in tables])
    count, rows = int(group.max()) + 1, len(group)
    first = np.full(count, rows)
    # For duplicate indexes numpy keeps the last assignment, here the first row.
    first[group[::-1]] = np.arange(rows)[::-1]
    groups = np.flatnonzero(first < rows)
    groups = groups[np.argsort(first[groups])]
    place = first
    place[groups] = np.arange(len(groups))
    counts = summed(place[group], np.concatenate([table.counts for table in tables]), len(groups))
    return _DaySums(share, day, groups, counts)


def recent_spend(snapshot: Snapshot, until: datetime | None = None) -> RecentSpend:
    """The 24 hours up to `until` against those before, cached per snapshot. The snapshot has an age.

    Without `until`, or with one after the end of the data, up to the newest counted data, including the running minute.
    """
    present = snapshot.counted_until
    if present is None:
        raise LookupError("nothing is known before the first poll")
    is_present = until is None or until >= present
    until = present if until is None or is_present else until
    found = snapshot.memo.get(("recent", until))
    if not isinstance(found, RecentSpend):
        window = recent_window(until)
        last = list(window.last)
        if is_present:
            # Rows stamped by a clock far ahead count as present.
            last[-1] = replace(last[-1], ends_at=max(until, snapshot.rows_end))
        found = snapshot.memo["recent", until] = RecentSpend(snapshot, until - DAY, until, last, window.before)
    return found
