"""Detector of missing data: start and end of a gap are reported, and a gap never counts as zero spend.

Pure. A gap begins when data becomes stale and ends when it is clearly fresh again, so that an age near the bound does
not flap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import ATTRIBUTION, DATA, AlertKind, Identity, Status, Step, minute_key
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.budgets.account import Detail
from bot.budgets.budget_spend import BudgetSpend, KnownSum
from bot.clock import HOUR, floor_hour
from bot.language import Text, kept, tr_noop
from bot.usage.attributed_days import worst_of
from bot.usage.model import DataState, not_ahead, stale_after

if TYPE_CHECKING:
    from bot.alerts.store import NewestIncident
    from bot.usage.attributed_store import AttributedStore

RETURNS_WITHIN = timedelta(minutes=30)
"""A gap that begins this soon after the last one is the same incident."""


class NoDataReason(StrEnum):
    MISSING = "no data has come"
    MISSING_AGAIN = "no data has come again"
    BACK = "data has come again"
    NOT_NEEDED = "no budget needs the data any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDataAlert(AlertPayload):
    """No data since `since`. `because`: one sentence on why.

    `began_at`: start of the first of several gaps in a row, which identifies the incident. `as_of`: age of the data,
    None before the first. `missing_hours`: hours of usage still missing once data is back. `source`: the subject,
    Anthropic's usage data or its attribution of spend, of which `dimensions` are missing.
    """

    kind: Literal[AlertKind.NO_DATA] = AlertKind.NO_DATA
    began_at: datetime
    since: datetime
    because: str
    as_of: datetime | None
    sums: tuple[KnownSum, ...]
    missing_hours: int = 0
    source: str = DATA
    dimensions: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.NO_DATA, self.source, minute_key(self.began_at))

    @property
    def is_urgent(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Gap:
    """The last reported gap: when it began, and when its status last changed."""

    began_at: datetime
    status: Status
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class GapStep:
    """What to report. `began_at` identifies the incident; `since`: when the present gap began."""

    step: Step
    began_at: datetime
    since: datetime


def missing_since(data: DataState, now: datetime, poll_seconds: int) -> datetime | None:
    """Since when data has been missing, if for too long.

    Before the first data, the first failure counts; None if nothing was tried yet.
    """
    since = data.error_since if data.as_of is None else data.as_of
    return since if since is not None and now - since > stale_after(data, poll_seconds) else None


def is_fresh(data: DataState, now: datetime, poll_seconds: int) -> bool:
    """Whether the data is younger than two thirds of the age at which it becomes stale."""
    return data.as_of is not None and (now - data.as_of) * 3 <= stale_after(data, poll_seconds) * 2


def decide_no_data(data: DataState, now: datetime, poll_seconds: int, last: Gap | None) -> GapStep | None:
    """The step to take after a poll, whether it succeeded or not."""
    since = missing_since(data, now, poll_seconds)
    if last is not None and last.status is Status.OPEN:
        if not is_fresh(data, now, poll_seconds):
            return None
        return GapStep(_step(Status.RESOLVED, NoDataReason.BACK), last.began_at, last.began_at)
    if since is None:
        return None
    if last is not None and since - last.changed_at <= RETURNS_WITHIN:
        return GapStep(_step(Status.OPEN, NoDataReason.MISSING_AGAIN), last.began_at, since)
    return GapStep(_step(Status.OPEN, NoDataReason.MISSING), since, since)


def _step(status: Status, reason: NoDataReason) -> Step:
    return Step(None, status, reason, post=status is Status.OPEN)


NOT_REFRESHED = tr_noop("Anthropic answers, but its data is not refreshed.")


class Watched(Protocol):
    """A source of data whose age is watched. `source`: the subject of its incidents."""

    source: str

    def data(self, now: datetime) -> DataState | None:
        """State of the data; None if nothing needs it."""

    def dimensions(self) -> tuple[str, ...]:
        """Missing dimensions, for attribution."""

    def last(self) -> Gap | None:
        """The last reported gap."""

    def missing_hours(self, since: datetime, data: DataState) -> int:
        """How many hours since then are not in the store."""


class WatchedUsage:
    """Anthropic's usage data."""

    source = DATA

    def __init__(self, context: DetectorContext) -> None:
        self._context = context

    def data(self, now: datetime) -> DataState:
        stored = self._context.state().data
        data = not_ahead(stored, now)
        if data != stored:
            self._context.usage.save_state(data)
        return data

    def dimensions(self) -> tuple[str, ...]:
        return ()

    def last(self) -> Gap | None:
        return _gap(self._context.state().no_data)

    def missing_hours(self, since: datetime, data: DataState) -> int:
        if data.as_of is None:
            return 0
        first = floor_hour(since)
        known = self._context.usage.hours(first)
        count = -((first - data.as_of) // HOUR)
        return sum(1 for index in range(count) if first + index * HOUR not in known)


class WatchedAttribution:
    """What Anthropic itself attributes to products, groups, agents and actors, where a budget counts it."""

    source = ATTRIBUTION

    def __init__(self, context: DetectorContext, attribution: "AttributedStore") -> None:
        self._context = context
        self._attribution = attribution
        self._may_stand = True

    def data(self, now: datetime) -> DataState | None:
        states = self._attribution.states()
        return not_ahead(worst_of(states)[0], now) if states else None

    def dimensions(self) -> tuple[str, ...]:
        return tuple(by.value for by in worst_of(self._attribution.states())[1])

    def last(self) -> Gap | None:
        is_needed = bool(self._attribution.states())
        if not is_needed and not self._may_stand:
            return None
        gap = _gap(self._context.incidents.newest(ATTRIBUTION, AlertKind.NO_DATA))
        self._may_stand = is_needed or (gap is not None and gap.status is Status.OPEN)
        return gap

    def missing_hours(self, since: datetime, data: DataState) -> int:
        """Always 0: the next refresh reads everything since the last one."""
        return 0


def _gap(newest: "NewestIncident | None") -> Gap | None:
    return None if newest is None else Gap(datetime.fromisoformat(newest.key), newest.status, newest.changed_at)


class NoDataDetector:
    """Watches the age of the data. Run after each poll, and while one hangs."""

    name = "no data"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        attribution = context.attribution
        self._watched: Watched = (
            WatchedUsage(context) if attribution is None else WatchedAttribution(context, attribution)
        )

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The step that is due, if any."""
        data, last = self._watched.data(now), self._watched.last()
        if data is None:
            found = None
            if last is not None and last.status is Status.OPEN:
                found = GapStep(_step(Status.WITHDRAWN, NoDataReason.NOT_NEEDED), last.began_at, last.began_at)
        else:
            found = decide_no_data(data, now, self._context.rules.poll_seconds, last)
        if found is not None:
            yield [Transition(self._payload(found, data or DataState(), now, mode), found.step.post)]

    def _payload(self, found: GapStep, data: DataState, now: datetime, mode: str) -> NoDataAlert:
        is_back, dimensions = found.step.status is Status.RESOLVED, self._watched.dimensions()
        spends = [
            spend
            for spend in self._context.review.spend(now, Detail.NONE)
            if not dimensions or spend.scope.partition(":")[0] in dimensions
        ]
        return NoDataAlert(
            **at_step(found.step, mode, now),
            began_at=found.began_at,
            since=found.since,
            because=data.error or kept(Text(NOT_REFRESHED, {})),
            as_of=data.as_of,
            sums=tuple(map(_sum, spends)),
            missing_hours=self._watched.missing_hours(found.since, data) if is_back else 0,
            source=self._watched.source,
            dimensions=dimensions,
        )


def _sum(spend: BudgetSpend) -> KnownSum:
    limit_usd = spend.soft_usd if spend.hard_usd is None else spend.hard_usd
    return KnownSum(budget=spend.budget, period=spend.period, spent_usd=spend.spent_usd, limit_usd=limit_usd)
