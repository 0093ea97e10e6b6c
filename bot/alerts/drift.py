"""Detector of drift: settled days on which computed and billed differ by more than known causes explain.

A difference that repeats day after day is reported on its first day; that message is closed when the day is no longer
judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from bot.alerts.day_drift import DayDrift, DriftReason, decide_drift, goes_on, settled_days
from bot.alerts.detector import DetectorContext
from bot.alerts.incident import BILL, AlertKind, Identity, Incident, Status, Step
from bot.alerts.model import AlertPayload, Transition, at_step, restated
from bot.alerts.rules import DriftRules
from bot.budgets.spend import SETTLED_AFTER
from bot.clock import DAY
from bot.usage.model import DataState
from bot.usage.store import LONG_AGO

JUDGED_FOR = 3 * DAY
"""How long a day is judged after it has settled."""

LOOK_BACK = 7 * DAY
"""How far back the day may lie that a new one is compared with: weekends may have too little usage to differ."""

BEFORE_THE_FIRST = DAY
"""On first start, report only the most recently settled day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlert(AlertPayload):
    """A settled day on which computed and billed differ by more than known causes explain.

    `as_of`: the age of the usage, `report_read_at` that of the bill.
    """

    kind: Literal[AlertKind.DRIFT] = AlertKind.DRIFT
    drift: DayDrift
    report_read_at: datetime
    as_of: datetime

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.DRIFT, BILL, self.drift.day.isoformat())


class DriftDetector:
    """Judges recently settled days, once per reading of the cost report."""

    name = "drift"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._rules = context.rules.of(DriftRules)
        self._judged: datetime | None = None
        self._billed: dict[date, Decimal] = {}
        """USD billed for settled days, as last judged."""
        self._asked: dict[date, datetime | None] = {}
        """For each day, when data was last polled before its usage was requested again."""

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The steps of judged days, and the closing of days that are no longer judged."""
        data = self._context.state().data
        if not self._rules.enabled or data.billed_read_at is None or data.billed_read_at == self._judged:
            return
        first = self._first_judged(now)
        before: DayDrift | None = None
        waiting: set[date] = set()
        found = self._days(first - LOOK_BACK, now.date())
        for drift in found:
            if drift.day >= first:
                step = decide_drift(drift, self._rules, self._known(drift.day), before)
                if step is not None and self._has_to_wait(step, drift, data):
                    waiting.add(drift.day)
                elif step is not None:
                    self._asked.pop(drift.day, None)
                    yield [_transition(step, drift, data, mode, now)]
            # The first days only show whether today's difference was already reported.
            if drift.day >= first or self._known(drift.day) is not None:
                before = goes_on(drift, before, self._rules)
        yield from self._final(first, now, mode)
        self._billed |= {drift.day: drift.billed_usd for drift in found if drift.day not in waiting}
        if not waiting:
            self._judged = data.billed_read_at

    def _days(self, first: date, last: date) -> list[DayDrift]:
        return settled_days(self._context.snapshots.current(), first, last)

    def _first_judged(self, now: datetime) -> date:
        watching_since = self._context.incidents.watching_since() or now
        settled_since = max(now - JUDGED_FOR, watching_since - BEFORE_THE_FIRST)
        # A day settles one day after its end.
        return (settled_since - SETTLED_AFTER - DAY + timedelta.resolution).date() + DAY

    def _known(self, day: date) -> Incident | None:
        incidents = self._context.alerts.incidents(BILL, day.isoformat())
        return next((found for found in incidents if found.kind is AlertKind.DRIFT), None)

    def _has_to_wait(self, step: Step, drift: DayDrift, data: DataState) -> bool:
        """Whether to wait for newer usage: the correction of the bill may also correct the day's usage."""
        corrected = self._billed.get(drift.day, drift.billed_usd) != drift.billed_usd
        return step.status is Status.OPEN and corrected and self._usage_is_older(drift.day, data)

    def _usage_is_older(self, day: date, data: DataState) -> bool:
        """Whether the day's usage was read before the bill; if so, the next poll reads it again.

        Days that the poll does not read, such as those before every budget's period, are judged as they are.
        """
        starts_at = datetime.combine(day, time(), UTC)
        hours = self._context.usage.hours(starts_at)
        read_at = min(hours[hour].read_at for hour in hours if hour < starts_at + DAY)
        if data.billed_read_at is None or read_at >= data.billed_read_at:
            return False
        if read_at > LONG_AGO:
            self._context.usage.read_again(starts_at, starts_at + DAY)
            self._asked[day] = data.polled_at
            return True
        return day in self._asked and self._asked[day] == data.polled_at

    def _final(self, first: date, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """Close days that are no longer judged, so that none stays open forever; their messages keep their figures."""
        step = Step(None, Status.CLOSED, DriftReason.FINAL)
        standing = {each.drift.day: each for each in self._context.alerts.standing() if isinstance(each, DriftAlert)}
        for _, key in self._context.alerts.open_incidents(AlertKind.DRIFT):
            day = date.fromisoformat(key)
            if day >= first:
                continue
            if day in standing:
                yield [Transition(restated(standing[day], step, mode=mode, now=now))]
            else:
                data = self._context.usage.data_state()
                yield from ([_transition(step, drift, data, mode, now)] for drift in self._days(day, day))


def _transition(step: Step, drift: DayDrift, data: DataState, mode: str, now: datetime) -> Transition:
    payload = DriftAlert(
        **at_step(step, mode, now), drift=drift, report_read_at=data.billed_read_at or now, as_of=data.as_of or now
    )
    return Transition(payload, step.post)
