"""When the verification of a mode change is reported: soon, then seldom while it is wrong, once at the end.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.clock import DAY, HOUR, is_over
from bot.modes.verification import Caller, Verification, VerificationState, VerificationTarget

AGAIN = HOUR
"""Least time between two reports of what is still wrong."""

WATCHED_FOR = DAY
"""Who has not followed by then will not by being named once more."""

MOST_REPORTS = 5
"""Reports about one change, the last one included."""

MOST_CALLERS = 3


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `callers`: those that it named. `last`: nothing is watched after it."""

    state: VerificationState
    callers: frozenset[Caller]
    at: datetime
    last: bool


def report_due(
    found: Verification, target: VerificationTarget, reported: Sequence[Report], dismissed: bool, now: datetime
) -> Report | None:
    """The report to make now, None for none. `reported`: of this change, the oldest first.

    The first one as soon as there is something to say; while it is not right at most one an hour, and only of something
    new; one when it is right or when it is not watched any more, and nothing after that.
    """
    if dismissed or (reported and reported[-1].last):
        return None
    named = frozenset(calling.caller for calling in found.callers[:MOST_CALLERS])
    if found.state is VerificationState.CONFIRMED or is_over(WATCHED_FOR, target.since, now):
        return Report(found.state, named, now, last=True)
    if found.state in (VerificationState.WAITING, VerificationState.IDLE):
        return None
    if reported:
        nothing_new = (reported[-1].state, reported[-1].callers) == (found.state, named)
        if nothing_new or not is_over(AGAIN, reported[-1].at, now) or len(reported) >= MOST_REPORTS - 1:
            return None
    return Report(found.state, named, now, last=False)
