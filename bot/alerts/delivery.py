"""When a destination that takes nothing is reported at the others. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bot.alerts.decide import Reason, Status, Step
from bot.alerts.model import DeliveryAlert, at_step, since_of
from bot.alerts.store import AlertStore
from bot.budgets.budget import Level
from bot.clock import Clock, is_over
from bot.notify.model import SLACK

PATIENCE = timedelta(minutes=10)
"""So long a destination may fail before the others hear of it: shorter faults pass, and what waits arrives."""


@dataclass(frozen=True, slots=True)
class Failing:
    """What waits at a destination that was tried in vain. `since`: when the oldest of it was decided.

    `for_good`: nothing is taken until somebody does something about it, such as a token that was revoked.
    """

    destination: str
    since: datetime
    error: str
    count: int
    for_good: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """What was reported to the others: this destination has taken nothing since then."""

    destination: str
    since: datetime


def newly_failing(failing: Failing, reported: list[Reported], now: datetime) -> bool:
    """Whether to notify the others: once for each time that it fails."""
    if any(report.destination == failing.destination for report in reported):
        return False
    return failing.for_good or is_over(PATIENCE, failing.since, now)


def recovered(report: Reported, failing: list[Failing]) -> bool:
    """Whether the destination takes alerts again: nothing waits that it has refused."""
    return all(found.destination != report.destination for found in failing)


NO_LIMIT = Decimal(0)


class DeliveryDetector:
    """Synchronous; asynchronous callers use a thread.

    `slack_blocked`: whether Slack takes nothing at all, not only one message. `refusing`: the destinations that refuse
    for good.
    """

    def __init__(
        self,
        alerts: AlertStore,
        slack_blocked: Callable[[], bool],
        refusing: Callable[[], Collection[str]],
        mode: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._slack_blocked = slack_blocked
        self._refusing = refusing
        self._mode = mode
        self._clock = clock

    def look(self) -> None:
        """Tell what is new, and what is over."""
        now = self._clock()
        failing = self._failing()
        reported = [
            Reported(subject, since_of(period)) for subject, period in self._alerts.open_incidents(Level.DELIVERY)
        ]
        for found in failing:
            if newly_failing(found, reported, now):
                self._record(self._facts(found.destination, found.since, _OPENS, now, found), _OPENS, now)
        for report in reported:
            if report.destination != SLACK and report.destination not in self._alerts.destinations.names:
                self._record(self._facts(report.destination, report.since, _LEFT, now), _LEFT, now)
            elif recovered(report, failing):
                self._record(self._facts(report.destination, report.since, _ENDS, now), _ENDS, now)

    def _failing(self) -> list[Failing]:
        refusing = self._refusing()
        found = []
        slack = self._alerts.notices.failing()
        if slack is not None and self._slack_blocked():
            since, error = slack
            found.append(Failing(SLACK, since, error, self._alerts.notices.undelivered(), SLACK in refusing))
        for waiting in self._alerts.destinations.waiting():
            name = waiting.destination
            found.append(Failing(name, waiting.since, f"{waiting.error}.", waiting.count, name in refusing))
        return found

    def _facts(
        self, destination: str, since: datetime, step: Step, now: datetime, failing: Failing | None = None
    ) -> DeliveryAlert:
        return DeliveryAlert(
            **at_step(step, self._mode(), now),
            destination=destination,
            since=since,
            error="" if failing is None else failing.error,
            count=0 if failing is None else failing.count,
        )

    def _record(self, facts: DeliveryAlert, step: Step, now: datetime) -> None:
        self._alerts.record(facts.subject, facts.period, [step], lambda _: facts, now)


_OPENS = Step(Level.DELIVERY, NO_LIMIT, Status.OPEN, Reason.REFUSES, post=True)
_ENDS = Step(Level.DELIVERY, NO_LIMIT, Status.RESOLVED, Reason.TAKES_AGAIN)
_LEFT = Step(Level.DELIVERY, NO_LIMIT, Status.WITHDRAWN, Reason.NOT_CONFIGURED)
