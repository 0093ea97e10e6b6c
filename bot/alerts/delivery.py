"""When to report a failing destination at the others. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Status, Step, minute_key, moment_of
from bot.alerts.model import AlertPayload, Transition, at_step
from bot.clock import is_over
from bot.language import Text, restored
from bot.notify.model import SLACK

PATIENCE = timedelta(minutes=10)
"""How long a destination may fail before the others are notified: shorter faults pass, and waiting notices arrive."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Notices waiting at a failing destination. `since`: when the oldest was decided.

    `for_good`: nothing is delivered until somebody fixes the cause, such as a revoked token.
    """

    destination: str
    since: datetime
    error: str
    count: int
    for_good: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """A failure as reported to the others: the destination has failed since then."""

    destination: str
    since: datetime


def newly_failing(failing: Failing, reported: list[Reported], now: datetime) -> bool:
    """Whether to notify the others: once per failure."""
    if any(report.destination == failing.destination for report in reported):
        return False
    return failing.for_good or is_over(PATIENCE, failing.since, now)


def recovered(report: Reported, failing: list[Failing]) -> bool:
    """Whether the destination has recovered: nothing waits that it has refused."""
    return all(found.destination != report.destination for found in failing)


class DeliveryReason(StrEnum):
    REFUSES = "a destination takes nothing"
    TAKES_AGAIN = "the destination takes alerts again"
    NOT_CONFIGURED = "the destination is not configured any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAlert(AlertPayload):
    """A failing destination. `since`: when the oldest waiting notice was decided; `error`: one sentence.

    `count`: notices waiting at the decision. After recovery it is 0 and there is no error.
    """

    kind: Literal[AlertKind.DELIVERY] = AlertKind.DELIVERY
    destination: str
    since: datetime
    error: str
    count: int

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.DELIVERY, self.destination, minute_key(self.since))

    @property
    def is_urgent(self) -> bool:
        return True

    @property
    def unreachable(self) -> str:
        return self.destination


class DeliveryDetector:
    """Watches every destination, Slack included."""

    name = "delivery health"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """New failures and recoveries."""
        context = self._context
        failing = self._failing()
        opened = context.alerts.open_incidents(AlertKind.DELIVERY)
        reported = [Reported(subject, moment_of(key)) for subject, key in opened]
        for found in failing:
            if newly_failing(found, reported, now):
                yield [_transition(_OPENS, found.destination, found.since, mode, now, found.error, found.count)]
        for report in reported:
            if report.destination != SLACK and report.destination not in context.alerts.destinations.names:
                yield [_transition(_LEFT, report.destination, report.since, mode, now)]
            elif recovered(report, failing):
                yield [_transition(_ENDS, report.destination, report.since, mode, now)]

    def _failing(self) -> list[Failing]:
        alerts, refusing = self._context.alerts, self._context.refusing()
        found = []
        slack = alerts.notices.failing()
        if slack is not None and self._context.slack_blocked():
            since, error = slack
            found.append(Failing(SLACK, since, error, alerts.notices.undelivered(), SLACK in refusing))
        for waiting in alerts.destinations.waiting():
            name = waiting.destination
            found.append(Failing(name, waiting.since, _as_sentence(waiting.error), waiting.count, name in refusing))
        return found


def _as_sentence(clause: str) -> str:
    """Turn a destination's error, a clause, into a sentence as the outbox writes it."""
    return clause if isinstance(restored(clause), Text) else f"{clause}."


_OPENS = Step(None, Status.OPEN, DeliveryReason.REFUSES, post=True)
_ENDS = Step(None, Status.RESOLVED, DeliveryReason.TAKES_AGAIN)
_LEFT = Step(None, Status.WITHDRAWN, DeliveryReason.NOT_CONFIGURED)


def _transition(
    step: Step, destination: str, since: datetime, mode: str, now: datetime, error: str = "", count: int = 0
) -> Transition:
    payload = DeliveryAlert(**at_step(step, mode, now), destination=destination, since=since, error=error, count=count)
    return Transition(payload, step.post)
