"""When the verification of a mode change is reported: soon, then seldom while it is wrong, once at the end.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.clock import DAY, HOUR, is_over
from bot.modes.verification import Caller, Proof, ProofState, Watch

AGAIN = HOUR
"""Least time between two reports of what is still wrong."""

WATCHED_FOR = DAY
"""Who has not followed by then will not by being named once more."""

MOST_TOLD = 5
"""Reports about one change, the last one included."""

MOST_CALLERS = 3


@dataclass(frozen=True, slots=True)
class Told:
    """One report. `callers`: those that it named. `last`: nothing is watched after it."""

    state: ProofState
    callers: frozenset[Caller]
    at: datetime
    last: bool


def report_due(proof: Proof, watch: Watch, told: Sequence[Told], dismissed: bool, now: datetime) -> Told | None:
    """The report to make now, None for none. `told`: what was reported of this change, the oldest first.

    The first one as soon as there is something to say; while it is not right at most one an hour, and only of something
    new; one when it is right or when it is not watched any more, and nothing after that.
    """
    if dismissed or (told and told[-1].last):
        return None
    named = frozenset(calling.caller for calling in proof.callers[:MOST_CALLERS])
    if proof.state is ProofState.CONFIRMED or is_over(WATCHED_FOR, watch.since, now):
        return Told(proof.state, named, now, last=True)
    if proof.state in (ProofState.WAITING, ProofState.IDLE):
        return None
    if told:
        nothing_new = (told[-1].state, told[-1].callers) == (proof.state, named)
        if nothing_new or not is_over(AGAIN, told[-1].at, now) or len(told) >= MOST_TOLD - 1:
            return None
    return Told(proof.state, named, now, last=False)
