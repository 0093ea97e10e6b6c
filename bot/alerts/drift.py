"""Tells the settled days on which computed and billed differ by more than known causes explain.

What goes on day after day is told on its first day; that day's message is closed when it is judged no more.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial

from bot.alerts.cycle_state import CycleState
from bot.alerts.day_drift import DayDrift, decide_drift, goes_on
from bot.alerts.decide import NO_LIMIT, Reason, Status, Step
from bot.alerts.incident_store import IncidentStore
from bot.alerts.model import BILL, DriftAlert, ExplainedDrift, at_step, restated
from bot.alerts.rules import DriftRules
from bot.alerts.store import AlertStore
from bot.budgets.budget import Level
from bot.budgets.spend import SETTLED_AFTER
from bot.clock import DAY
from bot.usage.age import DataState
from bot.usage.store import LONG_AGO, UsageStore

JUDGED_FOR = 3 * DAY
"""How long after it has settled a day is judged."""

LOOK_BACK = 7 * DAY
"""How far the last day may lie back that is held against a new one: weekends may have too little usage to differ."""

BEFORE_THE_FIRST = DAY
"""On first start, report only the most recently settled day."""

Days = Callable[[date, date], Sequence[DayDrift]]
"""The settled days from one UTC day to another, both included."""


class DriftDetector:
    """Synchronous; asynchronous callers use a thread."""

    name = "drift"

    def __init__(
        self,
        usage: UsageStore,
        alerts: AlertStore,
        incidents: IncidentStore,
        days: Days,
        rules: DriftRules,
        state: Callable[[], CycleState],
    ) -> None:
        self._usage = usage
        self._alerts = alerts
        self._incidents = incidents
        self._days = days
        self._rules = rules
        self._state = state
        self._judged: datetime | None = None
        self._billed: dict[date, Decimal] = {}
        """The bills of settled days as they were judged last."""
        self._asked: dict[date, datetime | None] = {}
        """By day: the last poll before its usage was asked for again."""

    def look(self, now: datetime, mode: str) -> None:
        """Judge the days that settled lately, once for each reading of the cost report."""
        data = self._state().data
        if not self._rules.enabled or data.billed_read_at is None or data.billed_read_at == self._judged:
            return
        first = self._first_judged(now)
        before: DayDrift | None = None
        waiting: set[date] = set()
        found = self._days(first - LOOK_BACK, now.date())
        for drift in found:
            if drift.day >= first and self._decide(drift, before, data, now, mode):
                waiting.add(drift.day)
            # The first days only tell whether what differs now has been told already.
            if drift.day >= first or self._is_known(drift.day):
                before = goes_on(drift, before, self._rules)
        self._close(first, now, mode)
        self._billed |= {drift.day: drift.billed_usd for drift in found if drift.day not in waiting}
        if not waiting:
            self._judged = data.billed_read_at

    def _first_judged(self, now: datetime) -> date:
        watching_since = self._incidents.watching_since() or now
        settled_since = max(now - JUDGED_FOR, watching_since - BEFORE_THE_FIRST)
        # A day has settled a day after its end.
        return (settled_since - SETTLED_AFTER - DAY + timedelta.resolution).date() + DAY

    def _is_known(self, day: date) -> bool:
        return any(found.level is Level.DRIFT for found in self._alerts.incidents(BILL, day.isoformat()))

    def _decide(self, drift: DayDrift, before: DayDrift | None, data: DataState, now: datetime, mode: str) -> bool:
        """Whether the day has to wait, since what has corrected the bill may correct its usage too."""
        period = drift.day.isoformat()
        known = next(
            (found for found in self._alerts.incidents(BILL, period) if found.level is Level.DRIFT),
            None,
        )
        step = decide_drift(drift, self._rules, known, before)
        if step is None:
            return False
        corrected = self._billed.get(drift.day, drift.billed_usd) != drift.billed_usd
        if step.status is Status.OPEN and corrected and self._usage_is_older(drift.day, data):
            return True
        self._asked.pop(drift.day, None)
        self._alerts.record(BILL, period, [step], _facts_of(drift, data, now, mode), now)
        return False

    def _usage_is_older(self, day: date, data: DataState) -> bool:
        """Whether the day's usage was read before the bill; it is read again then, at the next poll.

        What that poll does not read, such as a day before every budget's period, is judged as it is.
        """
        starts_at = datetime.combine(day, time(), UTC)
        hours = self._usage.hours(starts_at)
        read_at = min(hours[hour].read_at for hour in hours if hour < starts_at + DAY)
        if data.billed_read_at is None or read_at >= data.billed_read_at:
            return False
        if read_at > LONG_AGO:
            self._usage.read_again(starts_at, starts_at + DAY)
            self._asked[day] = data.polled_at
            return True
        return day in self._asked and self._asked[day] == data.polled_at

    def _close(self, first: date, now: datetime, mode: str) -> None:
        """End what is judged no more, so that nothing of it stands open for ever; the message keeps its figures."""
        step = Step(Level.DRIFT, NO_LIMIT, Status.CLOSED, Reason.DRIFT_FINAL)
        told = {facts.period: facts for facts in self._alerts.standing() if isinstance(facts, DriftAlert)}
        for subject, period in self._alerts.open_incidents(Level.DRIFT):
            if date.fromisoformat(period) >= first:
                continue
            facts = told.get(period)
            if facts is None:
                self._close_untold(date.fromisoformat(period), step, now, mode)
            else:
                self._alerts.record(subject, period, [step], partial(restated, facts, mode=mode, now=now), now)

    def _close_untold(self, day: date, step: Step, now: datetime, mode: str) -> None:
        data = self._usage.data_state()
        for drift in self._days(day, day):
            self._alerts.record(BILL, day.isoformat(), [step], _facts_of(drift, data, now, mode), now)


def _facts_of(drift: DayDrift, data: DataState, now: datetime, mode: str) -> Callable[[Step], DriftAlert]:
    def facts(step: Step) -> DriftAlert:
        return DriftAlert(
            **at_step(step, mode, now),
            day=drift.day,
            computed_usd=drift.computed_usd,
            billed_usd=drift.billed_usd,
            list_usd=drift.list_usd,
            difference_usd=drift.difference_usd,
            unexplained_usd=drift.unexplained_usd,
            causes=tuple(ExplainedDrift(cause=cause, usd=usd) for cause, usd in drift.causes.items()),
            models=drift.models if drift.by_model else (),
            report_read_at=data.billed_read_at or now,
            as_of=data.as_of or now,
        )

    return facts
