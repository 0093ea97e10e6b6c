"""The last 24 hours of a snapshot against the 24 hours before: who spent most, and on what."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bot.budgets.budget import ORGANIZATION, Scope
from bot.budgets.causes import LEAST_SHARE, LEAST_USD, Cause, causes
from bot.budgets.outlook import MOST_MOVERS, Mover, Recent, RecentUsage, Stretch, recent_window
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO, PricedUsage, price_usage
from bot.budgets.usage_index import Caller, Numbers
from bot.budgets.usage_prices import Money
from bot.budgets.usage_table import Table, summed
from bot.clock import DAY, HOUR, floor_hour
from bot.pricing.tokens import TokenCounts
from bot.usage.source import DayUsage

CLOSE = 1 - 1e-9
"""Sums that are this near to each other may be equal: which is larger is decided exactly."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Callers:
    """Money by caller of some stretches, each with the share of it that counts."""

    parts: tuple[tuple[Decimal, Money], ...]

    def about(self) -> npt.NDArray[np.float64]:
        """Units of every caller, as nearly as floating point tells."""
        found = np.zeros(len(self.parts[0][1]))
        for share, units in self.parts:
            found += units.astype(np.float64) * float(share)
        return found

    def units(self, caller: int) -> Decimal:
        """Units of one caller, exactly."""
        return sum((Decimal(int(units[caller])) * share for share, units in self.parts), ZERO)

    def total(self, mask: Mask) -> Decimal:
        """Units of all of these callers, exactly."""
        return sum((Decimal(sum(units[mask].tolist())) * share for share, units in self.parts), ZERO)


class RecentSpend:
    """Two stretches of a snapshot. Nothing is worked out before it is asked for, and nothing twice.

    `since`: where the last one begins. They may be of different lengths where their shares make up for it.
    """

    def __init__(self, snapshot: Snapshot, since: datetime, last: Sequence[Stretch], before: Sequence[Stretch]) -> None:
        self._snapshot = snapshot
        self._since = since
        self._stretches = {True: tuple(last), False: tuple(before)}
        self._callers: dict[bool, Callers] = {}
        self._by_rate: dict[Scope, Recent] = {}
        self._seen: dict[datetime, frozenset[int]] = {}
        self._new: dict[datetime, frozenset[str]] = {}

    @cached_property
    def covered(self) -> timedelta:
        """How much of the last stretch is known: all of it, or less on a young database."""
        until = self._stretches[True][-1].ends_at
        hour, found = floor_hour(self._since), timedelta()
        while hour < until:
            if self._snapshot.knows(hour):
                found += min(hour + HOUR, until) - max(hour, self._since)
            hour += HOUR
        return found

    def usd(self, scope: Scope) -> Decimal:
        """Dollars of the last stretch."""
        return self._usd(self._of_callers(last=True).total(self._inside(scope)))

    def movers(self, scope: Scope) -> tuple[Mover, ...]:
        """The three largest by dollars of the last stretch, the largest first."""
        last = self._of_callers(last=True)
        found = [(last.units(caller), caller) for caller in self._largest(last.about(), scope)]
        return self._movers(found)

    def risen(self, scope: Scope) -> tuple[Mover, ...]:
        """The three that rose most against the stretch before; the largest rise first."""
        last, before = self._of_callers(last=True), self._of_callers(last=False)
        rises = last.about() - before.about()
        found = [(last.units(caller) - before.units(caller), caller) for caller in self._largest(rises, scope)]
        return self._movers(found)

    def causes(self, scope: Scope, known_since: datetime) -> tuple[Cause, ...]:
        """What explains most of the last stretch. `known_since`: a model is new that was never used before."""
        last, inside = self._of_callers(last=True), self._inside(scope)
        total = self._usd(last.total(inside))
        least = max(LEAST_USD, LEAST_SHARE * total)
        about = last.about() * float(self._usd(Decimal(1)))
        callers = {int(caller) for caller in np.flatnonzero(inside & (about >= float(least) * CLOSE))}
        if not callers:
            return ()
        recent = Recent(self._rows(True, callers), self._rows(False, callers), self.covered)
        return causes(recent, ORGANIZATION, self._snapshot.card, self.new_models(known_since), total_usd=total)

    def new_models(self, since: datetime) -> frozenset[str]:
        """Models of the last stretch that were never used before `since`; none where nothing at all was."""
        if not self._anything_before:
            return frozenset()
        found = self._new.get(since)
        if found is None:
            callers = self._snapshot.index.callers
            last = {callers[caller].model for caller in np.flatnonzero(self._of_callers(last=True).about()).tolist()}
            found = self._new[since] = frozenset(last - {callers[caller].model for caller in self._earlier(since)})
        return found

    @cached_property
    def _anything_before(self) -> bool:
        return any(bool(units.any()) for _, units in self._of_callers(last=False).parts)

    def _earlier(self, since: datetime) -> frozenset[int]:
        """The callers of whom there is any usage before this moment."""
        found = self._seen.get(since)
        if found is None:
            index = self._snapshot.index
            days = index.first_day_of_caller.values[: self._snapshot.callers]
            earlier = set(np.flatnonzero(days < since.toordinal()).tolist())
            for _, table in self._snapshot.rows(since.replace(hour=0), since):
                earlier |= set(np.unique(index.caller_of_group.values[table.group]).tolist())
            found = self._seen[since] = frozenset(earlier)
        return found

    def seen_before(self, mover: Mover, since: datetime) -> bool | None:
        """Whether this caller was ever used before `since`; None where nothing at all was."""
        if not self._anything_before:
            return None
        index = self._snapshot.index
        caller = index.caller(Caller(mover.model, mover.workspace_id, mover.api_key_id))
        return caller in self._earlier(since)

    def models_of(self, workspace_id: str, api_key_id: str | None) -> frozenset[str]:
        """What somebody has used in both stretches."""
        index = self._snapshot.index
        used = np.flatnonzero(self._of_callers(last=True).about() + self._of_callers(last=False).about()).tolist()
        callers = (index.callers[caller] for caller in used)
        return frozenset(
            caller.model for caller in callers if (caller.workspace_id, caller.api_key_id) == (workspace_id, api_key_id)
        )

    def of_scope(self, scope: Scope) -> Recent:
        """Usage of the scope, summed up by what it costs: for whoever does not ask who the callers are."""
        found = self._by_rate.get(scope)
        if found is None:
            found = Recent(self._rates(True, scope), self._rates(False, scope), self.covered)
            self._by_rate[scope] = found
        return found

    def _movers(self, found: list[tuple[Decimal, int]]) -> tuple[Mover, ...]:
        last, before, callers = self._of_callers(last=True), self._of_callers(last=False), self._snapshot.index.callers
        largest = sorted(found, key=lambda item: (-item[0], str(tuple(callers[item[1]]))))[:MOST_MOVERS]
        return tuple(
            Mover(*callers[caller], self._usd(last.units(caller)), self._usd(before.units(caller)) or None)
            for units, caller in largest
            if units > 0
        )

    def _largest(self, about: npt.NDArray[np.float64], scope: Scope) -> Numbers:
        """Callers among which the largest ones are, whatever floating point has rounded."""
        inside = np.flatnonzero(self._inside(scope) & (about > 0))
        if len(inside) <= MOST_MOVERS:
            return inside
        bound = np.partition(about[inside], -MOST_MOVERS)[-MOST_MOVERS]
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
            found = self._callers[last] = Callers(tuple(parts))
        return found

    def _inside(self, scope: Scope) -> Mask:
        return self._snapshot.index.callers_in(scope, self._snapshot.callers)

    def _tables(self, last: bool) -> Iterator[tuple[Stretch, date, Table]]:
        for stretch in self._stretches[last]:
            for hour, table in self._snapshot.rows(stretch.starts_at, stretch.ends_at):
                yield stretch, hour.date(), table

    def _rows(self, last: bool, callers: Collection[int]) -> list[RecentUsage]:
        """The usage of these callers."""
        index = self._snapshot.index
        wanted = np.array(sorted(callers), dtype=np.int64)
        sums: dict[tuple[Decimal, date, int], Numbers] = {}
        for stretch, day, table in self._tables(last):
            mask = np.isin(index.caller_of_group.values[table.group], wanted)
            for group, counts in zip(table.group[mask].tolist(), table.counts[mask], strict=True):
                key = (stretch.share, day, group)
                sums[key] = sums[key] + counts if key in sums else counts
        rows = []
        for (share, day, group), counts in sums.items():
            caller = index.callers[int(index.caller_of_group.values[group])]
            rows.append(self._row(share, day, int(index.rate_of_group.values[group]), counts, caller))
        return rows

    def _rates(self, last: bool, scope: Scope) -> list[RecentUsage]:
        index, inside = self._snapshot.index, self._inside(scope)
        sums: dict[tuple[Decimal, date], Numbers] = {}
        for stretch, day, table in self._tables(last):
            mask = inside[index.caller_of_group.values[table.group]]
            if mask.any():
                rates = index.rate_of_group.values[table.group[mask]]
                counts = summed(rates, table.counts[mask], len(index.rates))
                key = (stretch.share, day)
                sums[key] = sums[key] + counts if key in sums else counts
        return [
            self._row(share, day, int(rate), counts[rate], None)
            for (share, day), counts in sums.items()
            for rate in np.flatnonzero(counts.any(axis=1))
        ]

    def _row(self, share: Decimal, day: date, rate: int, counts: Numbers, caller: Caller | None) -> RecentUsage:
        of = self._snapshot.index.rates[rate]
        usage = DayUsage(
            day=day,
            model=of.model,
            workspace_id="" if caller is None else caller.workspace_id,
            api_key_id=None if caller is None else caller.api_key_id,
            terms=of.terms,
            counts=TokenCounts(*counts.tolist()),
        )
        (priced,) = price_usage([usage], self._snapshot.card)
        return RecentUsage(PricedUsage(usage, priced.cost), share)

    def _usd(self, units: Decimal) -> Decimal:
        return units.scaleb(-self._snapshot.prices.places)


def recent_spend(snapshot: Snapshot, until: datetime) -> RecentSpend:
    """The 24 hours up to `until` against those before; worked out once for each snapshot."""
    found = snapshot.memo.get(("recent", until))
    if not isinstance(found, RecentSpend):
        window = recent_window(until)
        found = snapshot.memo["recent", until] = RecentSpend(snapshot, until - DAY, window.last, window.before)
    return found
