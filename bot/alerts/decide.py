"""The decision: given a budget, its spend and its incidents so far, what should happen now, and why.

Pure. It reads no clock, no database and no network. A limit counts as crossed when spend is at or above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from bot.budgets.budget import LIMITS, Budget, Level

OF_A_BUDGET = frozenset({Level.SOFT, Level.HARD, Level.THRESHOLD})
"""What spend alone decides."""

NO_LIMIT = Decimal(0)
"""The limit of an incident that is about none: it is part of every incident's identity."""


class Status(StrEnum):
    """Where an incident stands. `watched`: the limit is in force and was not seen crossed yet."""

    WATCHED = "watched"
    OPEN = "open"
    SUPERSEDED = "superseded"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class Reason(StrEnum):
    """Why something is done, or nothing."""

    IN_FORCE = "the limit is in force"
    CROSSED = "crossed"
    CROSSED_WITH_SOFT = "crossed together with the soft limit"
    PASSED_BY_HARD = "the hard limit is crossed too"
    PASSED_BY_HIGHER = "more than the next mark is spent"
    CROSSED_AGAIN = "crossed again"
    FELL_BELOW = "fell back below the limit"
    FELL_BELOW_HARD = "fell back below the hard limit, still at or above the soft one"
    LIMIT_CHANGED = "the limit is not in force any more"
    PERIOD_CLOSED = "the period is over and its figures are final"
    EXPECTED = "the period is expected to end above the limit"
    EXPECTED_AGAIN = "the period is expected to end above the limit again"
    EXPECTED_HIGHER = "the period is expected to end above the next limit too"
    EXPECTED_BELOW = "the period is expected to end below the limit"
    REFUSES = "a destination takes nothing"
    TAKES_AGAIN = "the destination takes alerts again"
    NOT_CONFIGURED = "the destination is not configured any more"
    SPIKE_BEGAN = "dollars an hour far above what is usual"
    SPIKE_AGAIN = "dollars an hour far above what is usual again"
    SPIKE_ENDED = "dollars an hour are no longer far above what is usual"
    SILENT = "no data has come"
    SILENT_AGAIN = "no data has come again"
    DATA_AGAIN = "data has come again"
    DRIFTED = "computed and billed differ"
    DRIFTED_AGAIN = "computed and billed differ again"
    DRIFT_GONE = "computed and billed agree now"
    DRIFTED_LIKE_BEFORE = "computed and billed differ by the same share as on the day before"
    DRIFT_FINAL = "the day is judged no more"
    BEGUN = "the period has begun"


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known of one (budget, period, level, limit)."""

    level: Level
    limit_usd: Decimal
    status: Status


@dataclass(frozen=True, slots=True)
class Step:
    """One incident changes to `status`, and the message that it has, if any, is edited.

    `post`: it is to stand in the channel, so one that has no message yet gets it; never a second one.
    """

    level: Level
    limit_usd: Decimal
    status: Status
    reason: Reason
    post: bool = False


def decide(budget: Budget, spent_usd: Decimal, incidents: Sequence[Incident]) -> tuple[Step, ...]:
    """The steps to take, in the order in which they are reported; empty when nothing has changed.

    `incidents`: all of this budget in the present period, also those of limits that were edited since. The same
    limit is posted at most once: whoever crosses it again finds the first message reopened. A soft limit that was only
    told within a hard alert gets a message of its own as soon as that alert does not stand for it any more.
    """
    incidents = [i for i in incidents if i.level in OF_A_BUDGET and i.status is not Status.WATCHED]
    known = {(incident.level, incident.limit_usd): incident for incident in incidents}
    hard = _crossed(budget.hard_usd, spent_usd)
    soft = _crossed(budget.soft_usd, spent_usd)
    marks = budget.marks()
    steps = [_withdraw(incident) for incident in incidents if not _in_force(budget, incident)]
    if budget.hard_usd is not None:
        soft_known = budget.soft_usd is not None and (Level.SOFT, budget.soft_usd) in known
        steps.append(_hard_step(budget.hard_usd, soft, hard, soft_known, known.get((Level.HARD, budget.hard_usd))))
    if budget.soft_usd is not None:
        steps.append(_soft_step(budget.soft_usd, soft, hard, known.get((Level.SOFT, budget.soft_usd))))
    limits = [usd for usd in (budget.soft_usd, budget.hard_usd) if usd is not None]
    highest = max((usd for usd in (*marks, *limits) if spent_usd >= usd), default=None)
    steps += [_mark_step(mark, highest, known.get((Level.THRESHOLD, mark))) for mark in marks]
    return tuple(step for step in steps if step is not None)


def withdrawn(incident: Incident) -> Step:
    """The end of an incident whose limit is not in force any more."""
    return Step(incident.level, incident.limit_usd, Status.WITHDRAWN, Reason.LIMIT_CHANGED)


def closed(incident: Incident) -> Step:
    """The end of an incident whose period is over and is reviewed no more."""
    return Step(incident.level, incident.limit_usd, Status.CLOSED, Reason.PERIOD_CLOSED)


def watch(budget: Budget, incidents: Sequence[Incident]) -> tuple[Step, ...]:
    """Steps that note which limits are in force, silently, so that a period that is over can be held to its own."""
    known = {(incident.level, incident.limit_usd) for incident in incidents}
    limits = [(level, budget.limit(level)) for level in LIMITS]
    limits += [(Level.THRESHOLD, mark) for mark in budget.marks()]
    return tuple(
        Step(level, limit_usd, Status.WATCHED, Reason.IN_FORCE)
        for level, limit_usd in limits
        if limit_usd is not None and (level, limit_usd) not in known
    )


def taken(steps: Sequence[Step], incidents: Sequence[Incident]) -> list[Incident]:
    """The incidents after these steps."""
    after = {(incident.level, incident.limit_usd): incident for incident in incidents}
    after |= {(step.level, step.limit_usd): Incident(step.level, step.limit_usd, step.status) for step in steps}
    return list(after.values())


def as_watched(budget: Budget, incidents: Sequence[Incident]) -> Budget | None:
    """The budget with the limits that were in force in the period of these incidents; None where none was.

    A period that is over is not held to limits that came later, nor freed from one that was lifted since.
    """
    soft_usd, hard_usd = (_watched(level, budget.limit(level), incidents) for level in LIMITS)
    if soft_usd is None and hard_usd is None:
        return None
    watched = replace(budget, soft_usd=soft_usd, hard_usd=hard_usd)
    marks = {
        incident.limit_usd
        for incident in incidents
        if incident.level is Level.THRESHOLD and incident.status is not Status.WITHDRAWN
    }
    return replace(watched, thresholds=tuple(percent for usd, percent in watched.marks().items() if usd in marks))


def _watched(level: Level, limit_usd: Decimal | None, incidents: Sequence[Incident]) -> Decimal | None:
    limits = [
        incident.limit_usd
        for incident in incidents
        if incident.level is level and incident.status is not Status.WITHDRAWN
    ]
    return limit_usd if limit_usd in limits else (limits[-1] if limits else None)


def _crossed(limit_usd: Decimal | None, spent_usd: Decimal) -> bool:
    return limit_usd is not None and spent_usd >= limit_usd


def _in_force(budget: Budget, incident: Incident) -> bool:
    if incident.level is Level.THRESHOLD:
        return incident.limit_usd in budget.marks()
    return budget.limit(incident.level) == incident.limit_usd


def _mark_step(mark_usd: Decimal, highest: Decimal | None, incident: Incident | None) -> Step | None:
    """`highest`: of everything that is crossed. Only that is reported: what lies below it was passed on the way."""
    status = None if incident is None else incident.status
    if highest is not None and highest > mark_usd:
        passed = Step(Level.THRESHOLD, mark_usd, Status.SUPERSEDED, Reason.PASSED_BY_HIGHER)
        return None if status is Status.SUPERSEDED else passed
    if highest == mark_usd:
        if status is None:
            return Step(Level.THRESHOLD, mark_usd, Status.OPEN, Reason.CROSSED, post=True)
        # Spend that falls back to it tells nothing that was not told by the higher one.
        return None if status is Status.OPEN else Step(Level.THRESHOLD, mark_usd, Status.OPEN, Reason.CROSSED_AGAIN)
    if status is None or status in (Status.RESOLVED, Status.WITHDRAWN):
        return None
    return Step(Level.THRESHOLD, mark_usd, Status.RESOLVED, Reason.FELL_BELOW)


def _withdraw(incident: Incident) -> Step | None:
    if incident.status in (Status.WITHDRAWN, Status.RESOLVED, Status.CLOSED):
        return None
    return withdrawn(incident)


def _soft_step(limit_usd: Decimal, soft: bool, hard: bool, incident: Incident | None) -> Step | None:
    if hard:
        if incident is not None and incident.status is Status.SUPERSEDED:
            return None
        return Step(Level.SOFT, limit_usd, Status.SUPERSEDED, Reason.PASSED_BY_HARD)
    if soft:
        if incident is None:
            return Step(Level.SOFT, limit_usd, Status.OPEN, Reason.CROSSED, post=True)
        if incident.status is not Status.OPEN:
            reason = Reason.FELL_BELOW_HARD if incident.status is Status.SUPERSEDED else Reason.CROSSED_AGAIN
            return Step(Level.SOFT, limit_usd, Status.OPEN, reason, post=True)
        return None
    if incident is None or incident.status in (Status.RESOLVED, Status.WITHDRAWN):
        return None
    return Step(Level.SOFT, limit_usd, Status.RESOLVED, Reason.FELL_BELOW)


def _hard_step(limit_usd: Decimal, soft: bool, hard: bool, soft_known: bool, incident: Incident | None) -> Step | None:
    if hard:
        if incident is None:
            together = soft and not soft_known
            reason = Reason.CROSSED_WITH_SOFT if together else Reason.CROSSED
            return Step(Level.HARD, limit_usd, Status.OPEN, reason, post=True)
        if incident.status is not Status.OPEN:
            return Step(Level.HARD, limit_usd, Status.OPEN, Reason.CROSSED_AGAIN)
        return None
    if incident is None or incident.status is not Status.OPEN:
        return None
    reason = Reason.FELL_BELOW_HARD if soft else Reason.FELL_BELOW
    return Step(Level.HARD, limit_usd, Status.RESOLVED, reason)
