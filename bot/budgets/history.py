"""Dollars of the past, read from the store and priced: what forecasts and reports are built on."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from bot.budgets.budget import ORGANIZATION, Budget, Scope
from bot.budgets.forecast import DayPart, History, KnownPart, past_parts, recent_since
from bot.budgets.outlook import WHOLE, RecentUsage, Stretch
from bot.budgets.period import Period
from bot.budgets.report import GroupBy, Known, Report, report_of
from bot.budgets.spend import ZERO, PricedUsage, in_scope, price_usage, spend_of
from bot.clock import HOUR, floor_hour
from bot.pricing.card import RateCard
from bot.store.usage import UsageStore

REPORTS_IN = ZoneInfo("UTC")

SECOND = timedelta(seconds=1)
SECONDS_IN_HOUR = HOUR // SECOND


class SpendHistory:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: UsageStore, card: RateCard) -> None:
        self._usage = usage
        self._card = card

    def of_budgets(self, budgets: Sequence[Budget], as_of: datetime) -> list[History]:
        """What is known of each budget's scope up to `as_of`, which is the age of the data, by days of its zone."""
        zones = {budget.zone: _OfZone(budget.zone, as_of, self._usage, self._card) for budget in budgets}
        return [zones[budget.zone].of(budget.scope) for budget in budgets]

    def report(self, period: Period, before: Period, by: GroupBy) -> Report | None:
        """The report of some UTC days, held against the same stretch of `before`; None where nothing is known of them.

        Of a period that is not over, what the data reaches.
        """
        state = self._usage.data_state()
        if state.as_of is None or state.as_of <= period.starts_at:
            return None
        as_of = min(state.as_of, period.ends_at)
        known = self.known(period.starts_at, as_of)
        priced = self._priced(period.starts_at, period.ends_at)
        billed = self._usage.billed_between(period.starts_at.date(), (period.ends_at - SECOND).date())
        if not (known.hours or billed):
            return None
        spend = spend_of(ORGANIZATION, period, priced, billed, self._card, state.billed_read_at)
        same = self._before(period, before, as_of) if known.complete else None
        return report_of(period, by, as_of, known, spend, priced, same)

    def _before(self, period: Period, before: Period, as_of: datetime) -> tuple[str, list[RecentUsage]] | None:
        until = min(before.starts_at + (as_of - period.starts_at), before.ends_at)
        if not self.known(before.starts_at, until).complete:
            return None
        rows = [
            RecentUsage(priced, stretch.share)
            for stretch in _stretches(before.starts_at, until)
            for priced in self._priced(stretch.starts_at, stretch.ends_at)
        ]
        return before.key, rows

    def known(self, starts_at: datetime, ends_at: datetime) -> Known:
        """Of how many hours of this stretch the usage is known."""
        hours = self._usage.hours(floor_hour(starts_at))
        return Known(
            hours=sum(1 for hour in hours if starts_at <= hour < ends_at), of_hours=-((starts_at - ends_at) // HOUR)
        )

    def _priced(self, starts_at: datetime, ends_at: datetime) -> list[PricedUsage]:
        return price_usage(self._usage.usage_by_day(starts_at, ends_at), self._card)


class _OfZone:
    """The usage of past days of one zone, read once for all of its budgets."""

    def __init__(self, zone: ZoneInfo, as_of: datetime, usage: UsageStore, card: RateCard) -> None:
        self._zone = zone
        self._as_of = as_of
        self._card = card
        parts = past_parts(zone, as_of)
        since = recent_since(as_of)
        hours = usage.hours(min([since, *(floor_hour(part.starts_at) for part in parts)]))
        self._parts: list[tuple[DayPart, list[PricedUsage]]] = [
            (part, price_usage(usage.usage_by_day(part.starts_at, part.ends_at), card))
            for part in parts
            if all(hour in hours for hour in part.hours())
        ]
        self._recent = price_usage(usage.usage_by_day(since, as_of), card)
        self._recent_hours = tuple(hour for hour in hours if since <= hour < as_of)

    def of(self, scope: Scope) -> History:
        return History(
            zone=self._zone,
            as_of=self._as_of,
            parts=tuple(KnownPart(part, self._dollars(rows, scope)) for part, rows in self._parts),
            recent_usd=self._dollars(self._recent, scope),
            recent_hours=self._recent_hours,
        )

    def _dollars(self, rows: Iterable[PricedUsage], scope: Scope) -> Decimal:
        return sum((row.cost.usd for row in rows if in_scope(scope, row.usage, self._card)), ZERO)


def _stretches(starts_at: datetime, ends_at: datetime) -> list[Stretch]:
    """Whole hours, and of the last one the share that lies before `ends_at`: older usage is kept by the hour."""
    border = floor_hour(ends_at)
    found = [Stretch(starts_at, border, WHOLE)] if starts_at < border else []
    if border < ends_at:
        found.append(Stretch(border, border + HOUR, Decimal((ends_at - border) // SECOND) / SECONDS_IN_HOUR))
    return found
