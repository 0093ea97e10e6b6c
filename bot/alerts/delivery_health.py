"""When a destination that takes nothing is reported at the others. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clock import is_over

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
    """What the others were told: that this destination takes nothing, since then."""

    destination: str
    since: datetime


def newly_failing(failing: Failing, reported: list[Reported], now: datetime) -> bool:
    """Whether the others are to be told. Once for each time that it fails."""
    if any(report.destination == failing.destination for report in reported):
        return False
    return failing.for_good or is_over(PATIENCE, failing.since, now)


def recovered(report: Reported, failing: list[Failing]) -> bool:
    """Whether the destination takes alerts again: nothing waits that it has refused."""
    return all(found.destination != report.destination for found in failing)
