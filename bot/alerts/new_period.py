"""Detector of new periods: what the last one came to, and what the new one allows. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Literal

from bot.alerts.decide import as_watched
from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Incident, Status, Step
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.budgets.budget import LIMITS, Budget, Period, PeriodKind
from bot.budgets.budget_spend import BudgetSpend, KnownSum
from bot.budgets.raises import at_end_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import is_settled
from bot.clock import BEFORE_EVERYTHING, DAY, HOUR, floor_hour
from bot.usage.model import DataState

OPENED_KINDS = (PeriodKind.WEEK, PeriodKind.MONTH)
"""Periods that get an opening post; daily posts would go unread."""

REPORT_WITHIN = 2 * DAY
"""How long after its start a period is still reported."""


MOST_POSTS = 3
"""Most budgets of a channel that get a post each when they begin at the same moment; more share one."""


class NewPeriodReason(StrEnum):
    BEGUN = "the period has begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunPeriod:
    """One line about another budget whose period has begun. `last_usd`: spend of the period before, USD.

    `last_limit_usd`: the higher limit in force in it. `unsure`: the sum may still change, or is incomplete.
    """

    budget: str
    last_usd: Decimal
    last_limit_usd: Decimal | None
    unsure: bool
    soft_usd: Decimal | None
    hard_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPeriodAlert(AlertPayload):
    """A budget's period has begun. `last`: the period before, with the limits in force in it.

    `unbilled_days`: its days that the cost report has not settled. `missing_hours`: its hours of unknown usage.
    `before`: USD of the period before that, None if not fully known. `others`: budgets that begin at the same moment,
    if there are too many for a post each.
    """

    can_be_acknowledged: ClassVar[bool] = False

    kind: Literal[AlertKind.NEW_PERIOD] = AlertKind.NEW_PERIOD
    budget: str
    scope: str
    period_kind: Literal["week", "month"]
    key: str
    new_ends_at: datetime
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    last: BudgetSpend
    unbilled_days: int
    missing_hours: int
    before: KnownSum | None
    as_of: datetime
    others: tuple[BegunPeriod, ...] = ()

    @property
    def budgets(self) -> tuple[str, ...]:
        """All in the same channel."""
        return (self.budget,)

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.NEW_PERIOD, self.budget, self.key)


def may_open(budget: Budget, period: Period, now: datetime, as_of: datetime) -> bool:
    """Whether to post now: data has reached the period, and its start is recent."""
    return may_still_open(budget, period, now) and period.starts_at <= as_of


def may_still_open(budget: Budget, period: Period, now: datetime) -> bool:
    """Whether the time for the post has not passed."""
    return budget.period in OPENED_KINDS and now - period.starts_at < REPORT_WITHIN


def opening(before: Sequence[Incident], present: Sequence[Incident]) -> Step | None:
    """The post, once, if the budget was watched in the period before. Both: all incidents of their period.

    It is closed at once and never open.
    """
    watched = any(incident.limit_kind in LIMITS for incident in before if incident.kind is AlertKind.LIMIT)
    posted = any(incident.kind is AlertKind.NEW_PERIOD for incident in present)
    return Step(None, Status.CLOSED, NewPeriodReason.BEGUN, post=True) if watched and not posted else None


def unbilled_days(budget: Budget, period: Period, report_read_at: datetime | None) -> int:
    """UTC days of the period that may still change when they are billed."""
    if not budget.scope.is_billed:
        return 0
    first = period.starts_at.astimezone(UTC).date()
    days = (first + index * DAY for index in range((period.ends_at - period.starts_at) // DAY + 2))
    begun = (day for day in days if period.starts_at <= datetime.combine(day, time(), UTC) < period.ends_at)
    return sum(1 for day in begun if not is_settled(day, report_read_at))


@dataclass(frozen=True, slots=True)
class _Due:
    """A budget whose period needs its post. `watched`: with the limits that were in force in the period that ended."""

    budget: Budget
    period: Period
    ended: Period
    before: Period
    watched: Budget
    step: Step


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of a budget's last period. `before`: of the one before, USD; None if not fully known."""

    last: BudgetSpend
    before: BudgetSpend | None
    missing_hours: int
    unbilled_days: int


class NewPeriodDetector:
    """Opens the periods of every weekly and monthly budget."""

    name = "new periods"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._present: Sequence[tuple[Budget, Period]] = ()
        self._opened: set[tuple[str, str]] = set()
        self._waiting: list[tuple[Budget, Period, Period]] = []
        """Running periods that may be opened now or later, each with the one before."""
        self._looked_at = BEFORE_EVERYTHING

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The posts that are due."""
        data = self._context.snapshots.current().data
        if data.as_of is None:
            return
        groups: dict[tuple[object, ...], list[_Due]] = {}
        for due in self._all_due(now, data.as_of):
            period = due.period
            together = due.budget.period, period.key, period.starts_at, period.ends_at, due.budget.channel
            groups.setdefault(together, []).append(due)
        all_due = [due for group in groups.values() for due in group]
        if not all_due:
            return
        sums = self._sums(all_due, data, now)
        for group in groups.values():
            shared = len(group) > MOST_POSTS
            others = [_line(due, sums[due.budget.name]) for due in group[1:]] if shared else []
            for index, due in enumerate(group):
                payload = _payload(due, sums[due.budget.name], others if index == 0 else [], now, mode)
                yield [Transition(payload, post=due.step.post and not (shared and index))]

    def _all_due(self, now: datetime, as_of: datetime) -> list[_Due]:
        present = self._context.review.present(now)
        if present is not self._present or now < self._looked_at:
            self._present = present
            self._opened &= {(budget.name, period.key) for budget, period in present}
            self._waiting = [
                (budget, period, budget.period_before(period))
                for budget, period in present
                if (budget.name, period.key) not in self._opened and may_still_open(budget, period, now)
            ]
        self._looked_at = now
        asked = [
            (budget, period, ended)
            for budget, period, ended in self._waiting
            if (budget.name, period.key) not in self._opened and may_open(budget, period, now, as_of)
        ]
        if not asked:
            return []
        incidents = self._context.alerts.incidents_in(self._context.review.agenda(now).periods)
        return [due for each in asked if (due := self._due(*each, incidents)) is not None]

    def _due(
        self,
        budget: Budget,
        period: Period,
        ended: Period,
        known: Mapping[tuple[str, str], Sequence[Incident]],
    ) -> _Due | None:
        incidents, present = known.get((budget.name, ended.key), ()), known.get((budget.name, period.key), ())
        if any(incident.kind is AlertKind.NEW_PERIOD for incident in present):
            self._opened.add((budget.name, period.key))
        step = opening(incidents, present)
        if step is None:
            return None
        held_to = at_end_of(budget, ended)
        watched = as_watched(held_to, incidents) or held_to
        return _Due(budget, period, ended, budget.period_before(ended), watched, step)

    def _sums(self, all_due: Sequence[_Due], data: DataState, now: datetime) -> dict[str, _Sums]:
        """Sums by budget name, all from one read."""
        asked = [pair for due in all_due for pair in ((due.watched, due.ended), (due.budget, due.before))]
        spends = self._context.review.spends_in(asked, now)
        snapshot = self._context.snapshots.current()
        periods = {period for due in all_due for period in (due.ended, due.before)}
        missing = {period: _missing_hours(period, snapshot) for period in periods}
        return {
            due.budget.name: _Sums(
                last=last,
                before=None if missing[due.ended] or missing[due.before] else before,
                missing_hours=missing[due.ended],
                unbilled_days=unbilled_days(due.budget, due.ended, data.billed_read_at),
            )
            for due, last, before in zip(all_due, spends[::2], spends[1::2], strict=True)
        }


def _payload(due: _Due, sums: _Sums, others: Sequence[BegunPeriod], now: datetime, mode: str) -> NewPeriodAlert:
    budget, before = due.budget, sums.before
    return NewPeriodAlert(
        **at_step(due.step, mode, now),
        budget=budget.name,
        scope=str(budget.scope),
        period_kind="week" if budget.period is PeriodKind.WEEK else "month",
        key=due.period.key,
        new_ends_at=due.period.ends_at,
        soft_usd=budget.soft_usd,
        hard_usd=budget.hard_usd,
        last=sums.last,
        unbilled_days=sums.unbilled_days,
        missing_hours=sums.missing_hours,
        before=None
        if before is None
        else KnownSum(budget=budget.name, period=before.period, spent_usd=before.spent_usd, limit_usd=None),
        as_of=sums.last.as_of,
        others=tuple(others),
    )


def _line(due: _Due, sums: _Sums) -> BegunPeriod:
    last = sums.last
    return BegunPeriod(
        budget=due.budget.name,
        last_usd=last.spent_usd,
        last_limit_usd=due.watched.highest_usd,
        unsure=bool(sums.unbilled_days or sums.missing_hours or last.at_least or last.assumed),
        soft_usd=due.budget.soft_usd,
        hard_usd=due.budget.hard_usd,
    )


def _missing_hours(period: Period, snapshot: Snapshot) -> int:
    first = floor_hour(period.starts_at)
    return (period.ends_at - first) // HOUR - snapshot.known_hours(first, period.ends_at)
