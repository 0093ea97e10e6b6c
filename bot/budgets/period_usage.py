"""The usage of several periods, read and priced once: budgets whose periods overlap share what they have in common."""

from collections.abc import Iterable
from datetime import date, datetime

from bot.budgets.budget import Scope
from bot.budgets.period import Period
from bot.budgets.spend import PricedUsage, Spend, price_usage, spend_of
from bot.clock import DAY
from bot.pricing.card import RateCard
from bot.store.usage import UsageStore
from bot.usage.source import BilledRow


class PeriodUsage:
    """What the store knows of these periods at one moment. `report_read_at`: how new the cost report is."""

    def __init__(
        self, store: UsageStore, card: RateCard, periods: Iterable[Period], report_read_at: datetime | None
    ) -> None:
        borders = sorted({border for period in periods for border in (period.starts_at, period.ends_at)})
        self._stretches: dict[datetime, list[PricedUsage]] = {
            starts_at: price_usage(rows, card)
            for starts_at, rows in zip(borders, store.usage_between(borders), strict=False)
        }
        self._billed: list[BilledRow] = store.billed_between(borders[0].date(), borders[-1].date()) if borders else []
        self._odd_days = store.odd_days(borders[0], borders[-1]) if borders else frozenset()
        self._report_read_at = report_read_at
        self._card = card

    def spend(self, scope: Scope, period: Period) -> Spend:
        """The scope's spend in one of the periods."""
        priced = [
            row
            for starts_at, rows in self._stretches.items()
            if period.starts_at <= starts_at < period.ends_at
            for row in rows
        ]
        odd_days = {day for day in self._odd_days if period.starts_at.date() <= day < _day_after(period)}
        return spend_of(scope, period, priced, self._billed, self._card, self._report_read_at, odd_days)


def _day_after(period: Period) -> date:
    """The UTC day after the last one that the period has a part of."""
    return (period.ends_at - period.ends_at.resolution).date() + DAY
