"""Spend worked out from every single row, as slowly and plainly as it can be: what the snapshot has to agree with."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

from sqlalchemy import Engine, select

from bot.budgets.budget import ORGANIZATION, Period, Scope, ScopeKind
from bot.budgets.spend import COMPUTED_COST_TYPES, PricedUsage, Spend, in_scope, is_settled, price_usage, sum_of
from bot.budgets.trend import MOST_MOVERS, Cause, Mover, Recent, RecentUsage, Stretch, causes, recent_window
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.db.schema import billed, usage_hours
from bot.pricing.card import RateCard
from bot.pricing.cost import Hidden
from bot.pricing.tokens import TokenCounts
from bot.usage.model import BilledRow, DayUsage, UsageRow
from bot.usage.store import UsageStore

ZERO = Decimal(0)
LONG_AGO, FAR_AHEAD = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)

Key = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class PlainGroup:
    """A row of a report."""

    usd: Decimal
    counts: TokenCounts
    hidden: frozenset[Hidden]
    assumed: bool


class PlainSpend:
    """All stored usage. `hours`: bucket width of every known hour; `odd`: hours with unreadable rows."""

    def __init__(
        self,
        rows: Sequence[UsageRow],
        hours: Mapping[datetime, str],
        odd: AbstractSet[datetime],
        bills: Sequence[BilledRow],
        card: RateCard,
        read_at: datetime | None,
    ) -> None:
        self.rows, self.hours, self.odd, self.bills, self.card, self.read_at = rows, hours, odd, bills, card, read_at

    @cached_property
    def priced(self) -> list[tuple[datetime, PricedUsage]]:
        """Each row with the start of its bucket."""
        priced = price_usage((_of_day(row) for row in self.rows), self.card)
        return [(row.starts_at, one) for row, one in zip(self.rows, priced, strict=True)]

    def within(self, starts_at: datetime, ends_at: datetime, scope: Scope = ORGANIZATION) -> list[PricedUsage]:
        """The rows of the scope whose buckets begin in the stretch."""
        return [
            row
            for begins_at, row in self.priced
            if starts_at <= begins_at < ends_at and in_scope(scope, row.usage, self.card)
        ]

    def counts(self, scope: Scope, row: PricedUsage) -> bool:
        """Whether the scope counts a row."""
        return in_scope(scope, row.usage, self.card)

    def usd(self, scope: Scope, starts_at: datetime, ends_at: datetime) -> Decimal:
        """Computed dollars."""
        return sum((row.cost.usd for row in self.within(starts_at, ends_at, scope)), ZERO)

    def spend(self, scope: Scope, period: Period) -> Spend:
        """The scope's spend in a period."""
        odd_days = {
            hour.date() for hour in self.odd if floor_hour(period.starts_at + HOUR - MINUTE) <= hour < period.ends_at
        }
        rows = self.within(period.starts_at, period.ends_at)
        return spend_of(scope, period, rows, self.bills, self.card, self.read_at, odd_days)

    def minutes(self, scope: Scope, starts_at: datetime, count: int) -> list[Decimal] | None:
        """Dollars of every minute; None where an hour is not kept by the minute."""
        moments = [starts_at + index * MINUTE for index in range(count)]
        if any(self.hours.get(floor_hour(moment)) != "1m" for moment in moments):
            return None
        return [self.usd(scope, moment, moment + MINUTE) for moment in moments]

    def known(self, starts_at: datetime, ends_at: datetime) -> int:
        """Number of known hours that begin in the stretch."""
        return sum(starts_at <= hour < ends_at for hour in self.hours)

    def covered(self, until: datetime) -> timedelta:
        """How much of the 24 hours is known."""
        spans = (min(hour + HOUR, until) - max(hour, until - DAY) for hour in self.hours)
        return sum((max(span, timedelta()) for span in spans), timedelta())

    def recent(self, until: datetime) -> Recent:
        """The 24 hours against those before."""
        window = recent_window(until)
        return Recent(self._weighted(window.last), self._weighted(window.before), self.covered(until))

    def movers(self, scope: Scope, until: datetime) -> tuple[Mover, ...]:
        """The three callers with the most dollars of the last 24 hours."""
        recent = self.recent(until)
        last, before = (self._by_caller(rows, scope) for rows in (recent.last, recent.before))
        largest = sorted((caller for caller in last if last[caller] > 0), key=lambda one: (-last[one], str(one)))
        return tuple(Mover(*one, last[one], before.get(one) or None) for one in largest[:MOST_MOVERS])

    def new_models(self, until: datetime) -> frozenset[str]:
        """Models of the last 24 hours that were never used before; none where the 24 hours before cost nothing."""
        recent, since = self.recent(until), floor_hour(until - DAY)
        if not any(row.usd for row in recent.before):
            return frozenset()
        used = {row.usage.model for begins_at, row in self.priced if begins_at < since}
        return frozenset(row.priced.usage.model for row in recent.last if row.usd) - used

    def causes(self, scope: Scope, until: datetime) -> tuple[Cause, ...]:
        """Why the scope's last 24 hours cost more."""
        return causes(self.recent(until), scope, self.card, self.new_models(until))

    def groups(self, kind: ScopeKind, starts_at: datetime, ends_at: datetime) -> dict[Key, PlainGroup]:
        """The rows of a report."""
        found: dict[Key, list[PricedUsage]] = {}
        for row in self.within(starts_at, ends_at):
            found.setdefault(_key(kind, row.usage), []).append(row)
        return {
            key: PlainGroup(
                sum((row.cost.usd for row in rows), ZERO),
                sum((row.usage.counts for row in rows), TokenCounts()),
                frozenset(reason for row in rows for reason in row.cost.hidden),
                any(row.cost.assumed for row in rows),
            )
            for key, rows in found.items()
        }

    def _weighted(self, stretches: Collection[Stretch]) -> list[RecentUsage]:
        return [
            RecentUsage(row, stretch.share)
            for stretch in stretches
            for row in self.within(stretch.starts_at, stretch.ends_at)
        ]

    def _by_caller(self, rows: Iterable[RecentUsage], scope: Scope) -> dict[tuple[str, str, str | None], Decimal]:
        found: dict[tuple[str, str, str | None], Decimal] = {}
        for row in rows:
            usage = row.priced.usage
            if self.counts(scope, row.priced):
                caller = (usage.model, usage.workspace_id, usage.api_key_id)
                found[caller] = found.get(caller, ZERO) + row.usd
        return found


def plain_spend(engine: Engine, card: RateCard) -> PlainSpend:
    """Everything in a database."""
    store = UsageStore(engine)
    with engine.connect() as connection:
        hours = connection.execute(select(usage_hours.c.hour, usage_hours.c.width, usage_hours.c.odd_rows)).all()
    return PlainSpend(
        store.buckets(LONG_AGO, FAR_AHEAD),
        {hour: width for hour, width, _ in hours},
        {hour for hour, _, odd in hours if odd},
        billed_rows(engine),
        card,
        store.data_state().billed_read_at,
    )


def billed_rows(engine: Engine, first: date = date.min, last: date = date.max) -> list[BilledRow]:
    """The stored cost report of some UTC days, both included."""
    query = select(billed).where(billed.c.day >= first, billed.c.day <= last).order_by(billed.c.day, billed.c.id)
    with engine.connect() as connection:
        return [
            BilledRow(row.day, row.workspace_id, row.cost_type, row.usd, row.list_usd, row.model)
            for row in connection.execute(query)
        ]


def spend_of(
    scope: Scope,
    period: Period,
    priced: Sequence[PricedUsage],
    billed: Sequence[BilledRow],
    card: RateCard,
    report_read_at: datetime | None,
    odd_days: AbstractSet[date] = frozenset(),
) -> Spend:
    """The scope's spend. `priced`: all usage of the period. `odd_days`: days with unreadable rows.

    `billed`: the cost report as of `report_read_at`. It has whole UTC days: one that is only partly in the period is
    computed, and its report-only cost counts for the period in which it begins.
    """
    if scope.kind is ScopeKind.TEAM and scope.is_billed:
        wholes = [part for part in scope.parts if part.kind is ScopeKind.WORKSPACE]
        others = [row for row in priced if not any(in_scope(part, row.usage, card) for part in wholes)]
        keys = Scope(ScopeKind.TEAM, scope.value, tuple(part for part in scope.parts if part not in wholes))
        parts = [spend_of(part, period, priced, billed, card, report_read_at, odd_days) for part in wholes]
        return sum_of([*parts, spend_of(keys, period, others, billed, card, report_read_at, odd_days)])
    mine = [row for row in priced if in_scope(scope, row.usage, card)]
    bills = _bills_by_day(scope, period, billed)
    settled = {day for day in bills if _starts_at(day) + DAY <= period.ends_at and is_settled(day, report_read_at)}
    computed = [row for row in mine if row.usage.day not in settled]
    hidden = {reason for row in computed for reason in row.cost.hidden}
    if odd_days - settled:
        hidden.add(Hidden.ROWS)
    unsettled = [row for day, rows in bills.items() if day not in settled for row in rows]
    return Spend(
        billed_usd=sum((row.usd for day in settled for row in bills[day]), ZERO),
        billed_days=len(settled),
        computed_usd=sum((row.cost.usd for row in computed), ZERO),
        report_only_usd=sum((row.usd for row in unsettled if row.cost_type not in COMPUTED_COST_TYPES), ZERO),
        hidden=frozenset(hidden),
        assumed=tuple(sorted({row.usage.model for row in mine if row.cost.assumed is not None})),
    )


def _bills_by_day(scope: Scope, period: Period, billed: Iterable[BilledRow]) -> dict[date, list[BilledRow]]:
    if scope.kind in (ScopeKind.KEY, ScopeKind.MODEL, ScopeKind.TEAM):
        return {}
    bills: dict[date, list[BilledRow]] = {}
    for row in billed:
        mine = scope.kind is ScopeKind.ORGANIZATION or row.workspace_id == scope.value
        if mine and period.starts_at <= _starts_at(row.day) < period.ends_at:
            bills.setdefault(row.day, []).append(row)
    return bills


def _of_day(row: UsageRow) -> DayUsage:
    return DayUsage(row.starts_at.date(), row.model, row.workspace_id, row.api_key_id, row.terms, row.counts)


def _key(kind: ScopeKind, usage: DayUsage) -> Key:
    if kind is ScopeKind.KEY:
        return usage.api_key_id, usage.workspace_id
    return (usage.model if kind is ScopeKind.MODEL else usage.workspace_id), None


def _starts_at(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
