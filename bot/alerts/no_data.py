"""No data is a state of its own: its start and its end are reported, and it is never taken for no spend.

Pure. A silence begins where the data becomes stale and ends where it is clearly fresh again, so that an age about the
bound does not tell both in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.alerts.cycle_state import CycleState
from bot.alerts.decide import NO_LIMIT, Reason, Status, Step
from bot.alerts.model import DATA, NoDataAlert, at_step, minute_key
from bot.alerts.store import AlertStore
from bot.budgets.account import Detail
from bot.budgets.budget import Level
from bot.budgets.budget_spend import BudgetSpend, KnownSum
from bot.budgets.review import BudgetReview
from bot.clock import HOUR, floor_hour
from bot.usage.age import DataState, not_ahead, stale_after
from bot.usage.store import UsageStore

RETURNS_WITHIN = timedelta(minutes=30)
"""A silence that begins so soon after the end of the last one is the same incident."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The last reported gap in the data: when it began, and since when it has its status."""

    began_at: datetime
    status: Status
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SilenceStep:
    """What to report. `began_at` identifies the incident; `since`: when the present gap began."""

    step: Step
    began_at: datetime
    since: datetime


def silent_since(data: DataState, now: datetime, poll_seconds: int) -> datetime | None:
    """Since when no data has come, where that is too long ago.

    Before any data has come, the first failure counts; without one, nothing was tried yet.
    """
    since = data.error_since if data.as_of is None else data.as_of
    return since if since is not None and now - since > stale_after(data, poll_seconds) else None


def is_fresh(data: DataState, now: datetime, poll_seconds: int) -> bool:
    """Whether the data is younger than two thirds of what would be stale."""
    return data.as_of is not None and (now - data.as_of) * 3 <= stale_after(data, poll_seconds) * 2


def decide_silence(data: DataState, now: datetime, poll_seconds: int, last: Silence | None) -> SilenceStep | None:
    """The step to take after a poll, whether it succeeded or not."""
    since = silent_since(data, now, poll_seconds)
    if last is not None and last.status is Status.OPEN:
        if not is_fresh(data, now, poll_seconds):
            return None
        return SilenceStep(_step(Status.RESOLVED, Reason.DATA_AGAIN), last.began_at, last.began_at)
    if since is None:
        return None
    if last is not None and since - last.changed_at <= RETURNS_WITHIN:
        return SilenceStep(_step(Status.OPEN, Reason.SILENT_AGAIN), last.began_at, since)
    return SilenceStep(_step(Status.OPEN, Reason.SILENT), since, since)


def _step(status: Status, reason: Reason) -> Step:
    return Step(Level.STALE, NO_LIMIT, status, reason, post=status is Status.OPEN)


NOT_REFRESHED = "Anthropic answers, but its data is not refreshed."


class NoDataDetector:
    """Synchronous; asynchronous callers use a thread. To be asked after a poll, or while one hangs."""

    name = "no data"

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        state: Callable[[], CycleState],
        review: BudgetReview,
        poll_seconds: int,
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._state = state
        self._review = review
        self._poll_seconds = poll_seconds

    def look(self, now: datetime, mode: str) -> None:
        """Take and record the step that is due, if any."""
        stored = self._state().data
        data = not_ahead(stored, now)
        if data != stored:
            self._usage.save_state(data)
        told = decide_silence(data, now, self._poll_seconds, self._last())
        if told is not None:
            facts_of = self._facts_of(told, data, now, mode)
            self._alerts.record(DATA, minute_key(told.began_at), [told.step], facts_of, now)

    def _last(self) -> Silence | None:
        newest = self._state().no_data
        if newest is None:
            return None
        return Silence(datetime.fromisoformat(newest.period), newest.status, newest.changed_at)

    def _facts_of(self, told: SilenceStep, data: DataState, now: datetime, mode: str) -> Callable[[Step], NoDataAlert]:
        sums = tuple(_sum(spend) for spend in self._review.spend(now, Detail.NONE))
        missing = self._missing_hours(told.since, data) if told.step.status is Status.RESOLVED else 0

        def facts(step: Step) -> NoDataAlert:
            return NoDataAlert(
                **at_step(step, mode, now),
                began_at=told.began_at,
                since=told.since,
                because=data.error or NOT_REFRESHED,
                as_of=data.as_of,
                sums=sums,
                missing_hours=missing,
            )

        return facts

    def _missing_hours(self, since: datetime, data: DataState) -> int:
        if data.as_of is None:
            return 0
        first = floor_hour(since)
        known = self._usage.hours(first)
        count = -((first - data.as_of) // HOUR)
        return sum(1 for index in range(count) if first + index * HOUR not in known)


def _sum(spend: BudgetSpend) -> KnownSum:
    limit_usd = spend.soft_usd if spend.hard_usd is None else spend.hard_usd
    return KnownSum(budget=spend.budget, period=spend.period, spent_usd=spend.spent_usd, limit_usd=limit_usd)
