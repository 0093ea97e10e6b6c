"""The settled days of the whole organisation as the store knows them, computed and billed."""

from datetime import UTC, date, datetime, time

from bot.budgets.drift import DayDrift, drift_of
from bot.budgets.spend import is_settled, price_usage
from bot.clock import DAY, HOUR
from bot.pricing.card import RateCard
from bot.store.usage import UsageStore


class SettledDays:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: UsageStore, card: RateCard) -> None:
        self._usage = usage
        self._card = card

    def between(self, first: date, last: date) -> list[DayDrift]:
        """The UTC days `first` to `last`, both included, that are settled, that the cost report has, and of which
        the usage of every hour is known; the oldest first.
        """
        read_at = self._usage.data_state().billed_read_at
        billed = self._usage.billed_between(first, last)
        days = sorted({row.day for row in billed if is_settled(row.day, read_at)})
        if not days:
            return []
        starts_at, ends_at = _midnight(days[0]), _midnight(days[-1]) + DAY
        hours = self._usage.hours(starts_at)
        priced = price_usage(self._usage.usage_by_day(starts_at, ends_at), self._card)
        return [
            drift_of(day, priced, billed, self._card)
            for day in days
            if all(_midnight(day) + index * HOUR in hours for index in range(24))
        ]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
