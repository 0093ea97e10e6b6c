"""Parts of days: the hours and minutes that make up a stretch of time, and their sums."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bot.budgets.usage_index import Numbers, UsageIndex
from bot.budgets.usage_table import (
    HOURS,
    NOBODY,
    Assumed,
    Day,
    DayPrices,
    Money,
    Table,
    UsagePrices,
    hidden_of,
    scopes_of,
)
from bot.clock import DAY, HOUR, MINUTE, floor_hour

MINUTES = HOUR // MINUTE


class Minutes:
    """Immutable; everything is computed when first asked for."""

    def __init__(self, table: Table, index: UsageIndex, prices: UsagePrices, of_day: DayPrices) -> None:
        self.table = table
        self._index = index
        self._prices = prices
        self._of_day = of_day
        self._scopes = index.scopes

    @cached_property
    def units(self) -> Money:
        """Units of money by scope and minute."""
        found = self._prices.zeros(self._scopes, MINUTES)
        for scope in scopes_of(self.table, self._index):
            np.add.at(found, (scope, self.table.minute), self.table.units)
        return found

    @cached_property
    def hidden(self) -> npt.NDArray[np.uint8]:
        """Masks of the reasons why the true cost may be higher, by scope and minute."""
        found = np.zeros((self._scopes, MINUTES), np.uint8)
        masks = hidden_of(self.table, self._index, self._of_day)
        masked = self.table.where(masks > 0)
        for scope in scopes_of(masked, self._index):
            np.bitwise_or.at(found, (scope, masked.minute), masks[masks > 0])
        return found

    def assumed(self, first: int, last: int) -> Assumed:
        """Scopes with models that are in no price table, in the minutes from `first` to before `last`."""
        rates = self._index.rate_of_group.values[self.table.group]
        unknown = self._of_day.assumed[rates] & (self.table.minute >= first) & (self.table.minute < last)
        if not unknown.any():
            return NOBODY
        models = [self._index.rates[rate].model for rate in rates[unknown].tolist()]
        return frozenset(
            (int(number), model)
            for scope in scopes_of(self.table.where(unknown), self._index)
            for number, model in zip(scope, models, strict=True)
        )


def within(ids: Numbers, count: int) -> Numbers:
    """The ids below `count`, known when an array of this length was made."""
    return ids if len(ids) == 0 or int(ids.max()) < count else ids[ids < count]


@dataclass(frozen=True, slots=True)
class Part:
    """Hours of one UTC day, from `first` to before `last`."""

    day: date
    first: int
    last: int

    @property
    def whole(self) -> bool:
        return self.first == 0 and self.last == HOURS

    def any_of(self, hours: int) -> bool:
        """Whether the mask of the day's hours has any of these."""
        return bool(hours >> self.first & ((1 << self.last - self.first) - 1))


@dataclass(frozen=True, slots=True)
class Cut:
    """Minutes of an hour that is kept by the minute, from `first` to before `last`."""

    hour: datetime
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The held days stacked: rows are days from `first` to `last`, columns are scopes.

    `odd`: days with an hour that has an unreadable row. `assumed`: days with an unknown model.
    """

    first: date
    last: date
    units: Money
    hidden: npt.NDArray[np.uint8]
    odd: tuple[date, ...]
    assumed: tuple[Part, ...]


def stacked(days: Mapping[date, Day], prices: UsagePrices) -> Stack:
    """Stack at least one day."""
    first, last = min(days), max(days)
    scopes = max(len(day.units) for day in days.values())
    units = prices.zeros((last - first).days + 1, scopes)
    hidden = np.zeros(units.shape, np.uint8)
    for day_of, day in days.items():
        row = (day_of - first).days
        units[row, : len(day.units)] = day.units
        hidden[row, : len(day.hidden)] = day.hidden
    return Stack(
        first=first,
        last=last,
        units=units,
        hidden=hidden,
        odd=tuple(day_of for day_of, day in sorted(days.items()) if day.odd),
        assumed=tuple(Part(day_of, 0, HOURS) for day_of, day in sorted(days.items()) if any(day.assumed)),
    )


def parts_of(starts_at: datetime, ends_at: datetime) -> Iterator[Part]:
    """The UTC hours that begin in [`starts_at`, `ends_at`), by day."""
    first = floor_hour(starts_at + HOUR - starts_at.resolution)
    last = floor_hour(ends_at + HOUR - ends_at.resolution)
    day = first.date()
    while midnight(day) < last:
        begin = max(0, (first - midnight(day)) // HOUR)
        end = min(HOURS, (last - midnight(day)) // HOUR)
        if begin < end:
            yield Part(day, begin, end)
        day += DAY


def units_of(day: Day, part: Part, ids: Numbers) -> int:
    """Units of money of these scopes in a part of a day."""
    if part.whole:
        units, count = day.units, len(day.units)
        return sum(int(units[number]) for number in ids.tolist() if number < count)
    ids = within(ids, len(day.units))
    return 0 if day.hours is None else sum(day.hours[ids, part.first : part.last].ravel().tolist())


def hidden_of_part(day: Day, part: Part, ids: Numbers) -> int:
    """Mask of reasons why the cost of these scopes may be higher."""
    if part.whole or day.hidden_hours is None:
        found, hidden, count = 0, day.hidden, len(day.hidden)
        for number in ids.tolist():
            if number < count:
                found |= int(hidden[number])
        return found
    ids = within(ids, len(day.hidden))
    return int(np.bitwise_or.reduce(day.hidden_hours[ids, part.first : part.last].ravel()))


def assumed_of(day: Day, part: Part, ids: Numbers) -> set[str]:
    """Models of these scopes that are in no price table."""
    by_hour = day.assumed[part.first : part.last] if len(day.assumed) == HOURS else day.assumed
    if not any(by_hour):
        return set()
    wanted = set(ids.tolist())
    return {model for assumed in by_hour for number, model in assumed if number in wanted}


def minute_of(span: timedelta) -> int:
    """Minutes of a span, rounded up: a bucket belongs to the stretch in which it begins."""
    return -(-span // MINUTE)


def midnight_from(moment: datetime) -> datetime:
    """The first midnight at or after this moment."""
    begin = midnight(moment.date())
    return begin if begin == moment else begin + DAY


def midnight(day: date) -> datetime:
    """Start of a UTC day."""
    return datetime.combine(day, time(), UTC)
