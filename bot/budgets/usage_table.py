"""Rows of one hour as arrays with exact prices, and sums of one UTC day by scope. Immutable."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.budgets.usage_index import ORGANIZATION_ID, Numbers, UsageIndex
from bot.pricing.card import RateCard, Rates
from bot.pricing.cost import MTOK, Hidden, unit_prices

ZERO = Decimal(0)

TOKEN_KINDS = 5
"""Number of token counts among the six counts of a row; the last one is web searches."""

HIDDEN = tuple(Hidden)
"""Reasons in the order of their bits in a mask."""

LEAST_PLACES = 12
"""Decimal places of the unit in USD: enough for every price of the card, and $9 million in 64 bits."""

MOST_UNITS = 2**57
"""Most units of one table of usage: those of 48 hours still fit into 64 bits."""

Money = npt.NDArray[Any]
"""Units of money: 64-bit integers, or Python's own if those are too small."""


class TooSmallError(Exception):
    """The unit is too coarse for a price, or a sum overflows 64 bits: price everything again."""

    def __init__(self, places: int, *, wide: bool) -> None:
        super().__init__()
        self.places = places
        self.wide = wide


MOST_DAYS = 400
"""Days whose prices are cached: a year and a month; then the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class DayPrices:
    """Prices of every rate on one day. `units`: per token of each kind; `hidden`: masks; `assumed`: in no price
    table.
    """

    units: Money
    hidden: npt.NDArray[np.uint8]
    assumed: npt.NDArray[np.bool_]


class UsagePrices:
    """`places`: decimal places of the unit. `wide`: Python integers of any size, which are slower."""

    def __init__(self, card: RateCard, index: UsageIndex, places: int = LEAST_PLACES, *, wide: bool = False) -> None:
        self._card = card
        self._index = index
        self.places = places
        self.wide = wide
        self._of_day: dict[date, DayPrices] = {}
        self._of_rate: dict[date, dict[int, tuple[list[int], int, bool]]] = {}

    def usd(self, units: Any) -> Decimal:
        """Exact USD of an amount of money."""
        # Normalize, so that equal amounts look alike.
        return Decimal(int(units)).scaleb(-self.places).normalize() + ZERO

    def zeros(self, *shape: int) -> Money:
        """Zero money in this shape."""
        return np.zeros(shape, dtype=object if self.wide else np.int64)

    def of_day(self, day: date) -> DayPrices:
        """Prices of all rates known so far. Raises `TooSmallError`."""
        found = self._of_day.get(day)
        if found is None or len(found.units) < len(self._index.rates):
            rows = [self._of(number, day) for number in range(len(self._index.rates))]
            found = DayPrices(
                units=np.array([units for units, _, _ in rows], dtype=object if self.wide else np.int64).reshape(-1, 6),
                hidden=np.array([hidden for _, hidden, _ in rows], dtype=np.uint8),
                assumed=np.array([assumed for _, _, assumed in rows], dtype=np.bool_),
            )
            self._of_day[day] = found
            if len(self._of_day) > MOST_DAYS:
                oldest = min(self._of_day)
                del self._of_day[oldest]
                self._of_rate.pop(oldest, None)
        return found

    def priced(self, rates: Numbers, counts: Numbers, day: date) -> Money:
        """Units of money of each row. Raises `TooSmallError`."""
        units = self.of_day(day).units[rates]
        if self.wide:
            return (counts.astype(object) * units).sum(axis=1) if len(counts) else self.zeros(0)
        if len(counts) and float(np.abs((counts * units.astype(np.float64)).sum(axis=1)).sum()) > MOST_UNITS:
            raise TooSmallError(self.places, wide=True)
        found: Money = (counts * units).sum(axis=1)
        return found

    def _of(self, number: int, day: date) -> tuple[list[int], int, bool]:
        rates = self._of_rate.setdefault(day, {})
        known = rates.get(number)
        if known is not None:
            return known
        rate = self._index.rates[number]
        found = unit_prices(self._card, rate.model, rate.terms, day, rate.prompt_tokens)
        places = max(0, *(-int(price.normalize().as_tuple().exponent) for price in found.usd_per_token))
        if places > self.places:
            raise TooSmallError(places, wide=self.wide or places > LEAST_PLACES + 2)
        units = [int(price.scaleb(self.places)) for price in found.usd_per_token]
        hidden = sum(1 << place for place, reason in enumerate(HIDDEN) if reason in found.hidden)
        known = rates[number] = units, hidden, found.assumed is not None
        return known


def places_of(card: RateCard) -> int:
    """Decimal places, in USD, of the finest price of one token in the card under any terms on any day."""
    surcharges = (card.batch_factor, card.us_factor, card.regional_factor)
    factors = [
        prod(chosen, start=Decimal(1))
        for count in range(len(surcharges) + 1)
        for chosen in combinations(surcharges, count)
    ]
    listed = {price for rates in _rates_of(card) for price in _prices_in(rates)}
    prices = {price * factor / MTOK for price in listed for factor in factors}
    return max(LEAST_PLACES, *(-int(price.normalize().as_tuple().exponent) for price in prices))


def _rates_of(card: RateCard) -> Iterator[Rates]:
    return (rates for model in card.models.values() for rates in model.price)


def _prices_in(rates: Rates) -> Iterator[Decimal]:
    """All prices, also of fast mode, in which cache prices rise with the input price."""
    inputs = (rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read)
    yield from (*inputs, rates.output)
    if rates.fast_input is not None and rates.fast_output is not None:
        yield from (price * rates.fast_input / rates.input for price in inputs)
        yield rates.fast_output


def reasons(mask: int) -> frozenset[Hidden]:
    """The reasons in a mask."""
    return frozenset(reason for place, reason in enumerate(HIDDEN) if mask >> place & 1)


HOURS = 24
COUNTS = 6

EXACT = 2.0**53
"""Floats count whole numbers below it exactly, and add them fastest."""

Assumed = frozenset[tuple[int, str]]
"""Numbers of scopes, with their models that are in no price table."""

NOBODY: Assumed = frozenset()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with minute in the hour (0 if kept by the hour), group, counts and units of money."""

    minute: npt.NDArray[np.int16]
    group: npt.NDArray[np.int32]
    counts: Numbers
    units: Money

    def __len__(self) -> int:
        return len(self.group)

    def where(self, mask: npt.NDArray[np.bool_]) -> "Table":
        """The rows of this mask."""
        return Table(self.minute[mask], self.group[mask], self.counts[mask], self.units[mask])


@dataclass(frozen=True, slots=True)
class Day:
    """Sums of one UTC day by scope: arrays as long as the number of scopes at the time.

    `units`, `counts`, `hidden`: of the whole day. `hours`, `hidden_hours`: of each hour; None if only the day's roll-up
    was read. `rates`: counts of the organization by rate. `used`, `known`, `odd`: masks of hours that have rows, that
    are known, and that have an unreadable row.
    """

    units: Money
    counts: Numbers
    hidden: npt.NDArray[np.uint8]
    rates: Numbers
    assumed: tuple[Assumed, ...]
    hours: Money | None = None
    hidden_hours: npt.NDArray[np.uint8] | None = None
    used: int = 0
    known: int = 0
    odd: int = 0

    def knows(self, hour: int) -> bool:
        """Whether one of its 24 hours is known."""
        return bool(self.known >> hour & 1)

    def used_in(self, first: int, last: int) -> int:
        """Number of hours with rows from `first` to before `last`."""
        return (self.used >> first & ((1 << last - first) - 1)).bit_count()


class TableBuilder:
    """Builds tables and days from rows; numbers come from `index`, money from `prices`."""

    def __init__(self, index: UsageIndex, prices: UsagePrices) -> None:
        self._index = index
        self._prices = prices

    def table(self, rows: Sequence[Sequence[Any]], day: date, minutes: Sequence[int] | None = None) -> Table:
        """`rows`: dimensions and counts. `minutes`: of each row, if the hour is kept by the minute."""
        group = self._index.groups_of(rows, day)
        counts = np.array([row[self._index.dimensions :] for row in rows], dtype=np.int64).reshape(-1, COUNTS)
        units = self._prices.priced(self._index.rate_of_group.values[group], counts, day)
        minute = np.zeros(len(rows), np.int16) if minutes is None else np.array(minutes, np.int16)
        return Table(minute, group, counts, units)

    def joined(self, parts: Iterable[Table]) -> Table:
        """The rows of all parts."""
        tables = list(parts)
        if not tables:
            return self.table([], date.min)
        if len(tables) == 1:
            return tables[0]
        return Table(
            np.concatenate([table.minute for table in tables]),
            np.concatenate([table.group for table in tables]),
            np.concatenate([table.counts for table in tables]),
            np.concatenate([table.units for table in tables]),
        )

    def empty_day(self, *, by_hour: bool) -> Day:
        """An unknown day."""
        scopes = self._index.scopes
        return Day(
            units=self._prices.zeros(scopes),
            counts=np.zeros((scopes, COUNTS), np.int64),
            hidden=np.zeros(scopes, np.uint8),
            rates=np.zeros((len(self._index.rates), COUNTS), np.int64),
            assumed=(NOBODY,) * (HOURS if by_hour else 1),
            hours=self._prices.zeros(scopes, HOURS) if by_hour else None,
            hidden_hours=np.zeros((scopes, HOURS), np.uint8) if by_hour else None,
        )

    def rolled_up(self, rows: Sequence[Sequence[Any]], day: date) -> Day:
        """A day from its roll-up."""
        table = self.table(rows, day)
        made = self.empty_day(by_hour=False)
        self._add(table, 1, made)
        hidden, assumed = self._hidden(table, day)
        return replace(made, hidden=hidden, assumed=(assumed,))

    def with_hour(self, day_of: date, day: Day, hour: int, before: Table, gone: Table, new: Table) -> tuple[Day, Table]:
        """The day and the hour's table after rows were removed and added. `before`: the rows that stay."""
        if not len(gone) and not len(new):
            return day, before
        made = self._copied(day)
        self._add(gone, -1, made, hour)
        self._add(new, 1, made, hour)
        table = new if len(before) == 0 else self.joined([before, new])
        hidden, assumed = self._hidden(table, day_of)
        hidden_hours = made.hidden_hours
        if hidden_hours is not None:
            hidden_hours[:, hour] = hidden
            hidden = np.bitwise_or.reduce(hidden_hours, axis=1)
        all_assumed = (*day.assumed[:hour], assumed, *day.assumed[hour + 1 :])
        used = (day.used & ~(1 << hour)) | (bool(len(table)) << hour)
        return replace(made, hidden=hidden, assumed=all_assumed, used=used), table

    def scopes_in(self, table: Table) -> set[int]:
        """Numbers of all scopes that count any of the rows."""
        return {number for scope in scopes_of(table, self._index) for number in np.unique(scope).tolist()}

    def _copied(self, day: Day) -> Day:
        scopes, rates = self._index.scopes, len(self._index.rates)
        return replace(
            day,
            units=_grown(day.units, scopes),
            counts=_grown(day.counts, scopes),
            rates=_grown(day.rates, rates),
            hours=None if day.hours is None else _grown(day.hours, scopes),
            hidden_hours=None if day.hidden_hours is None else _grown(day.hidden_hours, scopes),
        )

    def _add(self, table: Table, sign: int, to: Day, hour: int | None = None) -> None:
        if not len(table):
            return
        units = sign * table.units
        rates = self._index.rate_of_group.values[table.group]
        to.rates[:] += sign * summed(rates, table.counts, len(to.rates))
        for scope in scopes_of(table, self._index):
            np.add.at(to.units, scope, units)
            to.counts[:] += sign * summed(scope, table.counts, len(to.counts))
            if hour is not None and to.hours is not None:
                np.add.at(to.hours[:, hour], scope, units)

    def _hidden(self, table: Table, day: date) -> tuple[npt.NDArray[np.uint8], Assumed]:
        found = np.zeros(self._index.scopes, np.uint8)
        if not len(table):
            return found, NOBODY
        prices, rates = self._prices.of_day(day), self._index.rate_of_group.values[table.group]
        masks = hidden_of(table, self._index, prices)
        masked = table.where(masks > 0)
        for scope in scopes_of(masked, self._index):
            np.bitwise_or.at(found, scope, masks[masks > 0])
        unknown = table.where(prices.assumed[rates])
        if not len(unknown):
            return found, NOBODY
        models = [self._index.rates[rate].model for rate in self._index.rate_of_group.values[unknown.group]]
        return found, frozenset(
            (int(number), model)
            for scope in scopes_of(unknown, self._index)
            for number, model in zip(scope, models, strict=True)
        )


def scopes_of(table: Table, index: UsageIndex) -> tuple[Numbers, ...]:
    """For each kind of scope, the scope of each row."""
    callers = index.caller_of_group.values[table.group]
    return (
        np.full(len(table), ORGANIZATION_ID),
        index.workspace_of_caller.values[callers],
        index.key_of_caller.values[callers],
        index.model_of_caller.values[callers],
    )


def hidden_of(table: Table, index: UsageIndex, prices: DayPrices) -> npt.NDArray[np.uint8]:
    """For each row, the mask of reasons why its true cost may be higher; searches alone hide nothing."""
    masks = prices.hidden[index.rate_of_group.values[table.group]]
    return np.where(table.counts[:, :TOKEN_KINDS].any(axis=1), masks, 0).astype(np.uint8)


def summed(numbers: Numbers, counts: Numbers, length: int) -> Numbers:
    """Counts of rows summed by number, below `length`."""
    if len(counts) and _is_beyond_floats(counts):
        found = np.zeros((length, COUNTS), np.int64)
        np.add.at(found, numbers, counts)
        return found
    columns = [np.bincount(numbers, weights=counts[:, kind], minlength=length) for kind in range(COUNTS)]
    return np.stack(columns, axis=1).astype(np.int64)


def _is_beyond_floats(counts: Numbers) -> bool:
    """Whether a sum of these may be too large for floats; the largest one usually decides."""
    if float(counts.max()) * len(counts) < EXACT:
        return False
    return float(counts.sum(axis=0, dtype=np.float64).max()) >= EXACT


def _grown(values: Any, length: int) -> Any:
    """A copy with this many rows."""
    made = np.zeros((length, *values.shape[1:]), dtype=values.dtype)
    made[: len(values)] = values
    return made
