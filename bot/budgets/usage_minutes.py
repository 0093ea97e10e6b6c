"""An hour that is kept by the minute: what each of its minutes comes to, by scope."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from bot.budgets.usage_index import Numbers, UsageIndex
from bot.budgets.usage_prices import DayPrices, Money, UsagePrices
from bot.budgets.usage_table import NOBODY, Assumed, Table, hidden_of, scopes_of
from bot.clock import HOUR, MINUTE

MINUTES = HOUR // MINUTE


class Minutes:
    """Immutable; nothing is worked out before it is asked for."""

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
        """Scopes of the minutes from `first` up to `last` with models of theirs that are in no price table."""
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
    """Without those that were not known yet when an array of this length was made."""
    return ids if len(ids) == 0 or int(ids.max()) < count else ids[ids < count]
