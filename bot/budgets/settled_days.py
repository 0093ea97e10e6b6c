"""The settled days of the whole organisation as the snapshot knows them, computed and billed."""

from datetime import date

from bot.budgets.drift import DayDrift, drift_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import is_settled, price_usage
from bot.clock import DAY
from bot.pricing.tokens import TokenCounts
from bot.usage.source import DayUsage

EVERY_HOUR = 2**24 - 1
"""The mask of a day of which everything is known."""


def settled_days(snapshot: Snapshot, first: date, last: date) -> list[DayDrift]:
    """The UTC days `first` to `last`, both included, that are settled, that the cost report has, and of which the usage
    of every hour is known; the oldest first.
    """
    read_at = snapshot.data.billed_read_at
    days = [first + index * DAY for index in range((last - first).days + 1)]
    found = [day for day in days if snapshot.bills.get(day) and is_settled(day, read_at)]
    return [
        drift_of(day, price_usage(_usage(snapshot, day), snapshot.card), snapshot.bills[day], snapshot.card)
        for day in found
        if snapshot.day(day).known == EVERY_HOUR
    ]


def _usage(snapshot: Snapshot, day: date) -> list[DayUsage]:
    """The usage of the organisation, summed up by what it costs."""
    rates, counts = snapshot.index.rates, snapshot.day(day).rates
    return [
        DayUsage(day, rates[rate].model, "", None, rates[rate].terms, TokenCounts(*counts[rate].tolist()))
        for rate in range(len(counts))
        if counts[rate].any()
    ]
