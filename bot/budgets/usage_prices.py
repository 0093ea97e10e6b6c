"""Prices of tokens as whole numbers of a small unit of money, so that sums of millions of rows are exact and fast."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.budgets.usage_index import Numbers, UsageIndex
from bot.pricing.card import RateCard, Rates
from bot.pricing.unit_prices import MTOK, Hidden, unit_prices

ZERO = Decimal(0)

TOKEN_KINDS = 5
"""Of the six counts of a row; the last one is web searches."""

HIDDEN = tuple(Hidden)
"""A reason is the bit of its place in a mask."""

LEAST_PLACES = 12
"""Decimal places of the unit in USD: enough for every price of the card, and $9 million in 64 bits."""

MOST_UNITS = 2**57
"""Of one table of usage: those of the 48 hours of two days still fit into 64 bits."""

Money = npt.NDArray[Any]
"""Units of money: 64-bit integers, or Python's own where those are too small."""


class TooSmallError(Exception):
    """The unit is too large for a price, or 64 bits are too few for a sum: everything is to be priced anew."""

    def __init__(self, places: int, *, wide: bool) -> None:
        super().__init__()
        self.places = places
        self.wide = wide


MOST_DAYS = 400
"""Days whose prices are remembered: a year and a month, beside which the oldest gives way."""


@dataclass(frozen=True, slots=True)
class DayPrices:
    """Of every rate on one day. `units`: of a token of each kind; `hidden`: masks; `assumed`: in no price table."""

    units: Money
    hidden: npt.NDArray[np.uint8]
    assumed: npt.NDArray[np.bool_]


class UsagePrices:
    """`places`: decimal places of the unit. `wide`: integers of any size, which are slower."""

    def __init__(self, card: RateCard, index: UsageIndex, places: int = LEAST_PLACES, *, wide: bool = False) -> None:
        self._card = card
        self._index = index
        self.places = places
        self.wide = wide
        self._of_day: dict[date, DayPrices] = {}
        self._of_rate: dict[date, dict[int, tuple[list[int], int, bool]]] = {}

    def usd(self, units: Any) -> Decimal:
        """An amount of money in USD, exactly."""
        # Without an exponent and without zeros at the end: amounts that are equal look alike.
        return Decimal(int(units)).scaleb(-self.places).normalize() + ZERO

    def zeros(self, *shape: int) -> Money:
        """No money."""
        return np.zeros(shape, dtype=object if self.wide else np.int64)

    def of_day(self, day: date) -> DayPrices:
        """The prices of all rates that are known by now. Raises `TooSmallError`."""
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
        found = unit_prices(self._card, rate.model, rate.terms, day)
        places = max(0, *(-int(price.normalize().as_tuple().exponent) for price in found.usd_per_token))
        if places > self.places:
            raise TooSmallError(places, wide=self.wide or places > LEAST_PLACES + 2)
        units = [int(price.scaleb(self.places)) for price in found.usd_per_token]
        hidden = sum(1 << place for place, reason in enumerate(HIDDEN) if reason in found.hidden)
        known = rates[number] = units, hidden, found.assumed is not None
        return known


def places_of(card: RateCard) -> int:
    """Decimal places, in USD, of the finest price of one token that the card has under any terms on any day."""
    surcharges = (card.batch_factor, card.us_factor, card.regional_factor)
    factors = [
        prod(chosen, start=Decimal(1))
        for count in range(len(surcharges) + 1)
        for chosen in combinations(surcharges, count)
    ]
    prices = {price * factor / MTOK for rates in _rates_of(card) for price in _prices_in(rates) for factor in factors}
    return max(LEAST_PLACES, *(-int(price.normalize().as_tuple().exponent) for price in prices))


def _rates_of(card: RateCard) -> Iterator[Rates]:
    return (rates for model in card.models.values() for rates in model.price)


def _prices_in(rates: Rates) -> Iterator[Decimal]:
    """Also of fast mode, in which the cache prices rise with the input price."""
    inputs = (rates.input, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read)
    yield from (*inputs, rates.output)
    if rates.fast_input is not None and rates.fast_output is not None:
        yield from (price * rates.fast_input / rates.input for price in inputs)
        yield rates.fast_output


def reasons(mask: int) -> frozenset[Hidden]:
    """The reasons in a mask."""
    return frozenset(reason for place, reason in enumerate(HIDDEN) if mask >> place & 1)
