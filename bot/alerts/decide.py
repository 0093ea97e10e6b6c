"""The decision on a budget's limits: given its spend and its incidents so far, which steps to take, and why.

Pure: no clock, no database, no network. A limit counts as crossed when spend is at or above it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

import numpy as np

from bot.alerts.incident import AlertKind, Incident, Status, Step
from bot.budgets.budget import LIMITS, Budget, Limit, LimitKind, Period
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import BEFORE_EVERYTHING


@dataclass(frozen=True, slots=True)
class LimitStep(Step):
    """A step of a limit's incident."""

    limit: Limit


class LimitReason(StrEnum):
    """Why a limit's incident takes a step."""

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


def decide(budget: Budget, spent_usd: Decimal, incidents: Sequence[Incident]) -> tuple[LimitStep, ...]:
    """The steps to take, in the order in which they are reported; empty when nothing has changed.

    `incidents`: all of this budget in the present period, also those of limits that were edited since. A limit is
    posted at most once: crossing it again reopens the first message. A soft limit that was only reported within a hard
    alert gets its own message once that alert no longer covers it.
    """
    known = {limit: incident for limit, incident in _of_limits(incidents) if incident.status is not Status.WATCHED}
    hard = _crossed(budget.hard_usd, spent_usd)
    soft = _crossed(budget.soft_usd, spent_usd)
    marks = budget.marks()
    steps = [_withdraw(limit, incident.status) for limit, incident in known.items() if not _in_force(budget, limit)]
    if budget.hard_usd is not None:
        limit = Limit(LimitKind.HARD, budget.hard_usd)
        soft_known = budget.soft_usd is not None and Limit(LimitKind.SOFT, budget.soft_usd) in known
        steps.append(_hard_step(limit, soft, hard, soft_known, known.get(limit)))
    if budget.soft_usd is not None:
        limit = Limit(LimitKind.SOFT, budget.soft_usd)
        steps.append(_soft_step(limit, soft, hard, known.get(limit)))
    limits = [limit.usd for limit in budget.limits()]
    # A limit below one that was reported before it was raised is not news.
    reported = [each.base_usd for each in budget.raised if Limit(each.kind, each.base_usd) in known]
    highest = max((*(usd for usd in (*marks, *limits) if spent_usd >= usd), *reported), default=None)
    thresholds = [Limit(LimitKind.THRESHOLD, mark) for mark in marks]
    steps += [_threshold_step(limit, highest, known.get(limit)) for limit in thresholds]
    return tuple(step for step in steps if step is not None)


def withdrawn(limit: Limit | None) -> Step:
    """Close an incident whose limit is no longer in force."""
    return Step(limit, Status.WITHDRAWN, LimitReason.LIMIT_CHANGED)


def closed(limit: Limit | None) -> Step:
    """Close an incident whose period is over and no longer reviewed."""
    return Step(limit, Status.CLOSED, LimitReason.PERIOD_CLOSED)


def track_limits(budget: Budget, incidents: Sequence[Incident]) -> tuple[LimitStep, ...]:
    """Silent steps that record which limits are in force, so that an ended period is judged by its own limits."""
    known = {limit for limit, _ in _of_limits(incidents)}
    limits = [*budget.limits(), *(Limit(LimitKind.THRESHOLD, mark) for mark in budget.marks())]
    return tuple(LimitStep(limit, Status.WATCHED, LimitReason.IN_FORCE) for limit in limits if limit not in known)


def taken(steps: Sequence[LimitStep], incidents: Sequence[Incident]) -> list[Incident]:
    """The incidents after these steps."""
    after = {(incident.kind, incident.limit): incident for incident in incidents}
    after |= {(AlertKind.LIMIT, step.limit): Incident(AlertKind.LIMIT, step.limit, step.status) for step in steps}
    return list(after.values())


def as_watched(budget: Budget, incidents: Sequence[Incident]) -> Budget | None:
    """The budget with the limits that were in force in the period of these incidents; None if there were none.

    Later changes of the limits do not affect a period that is over.
    """
    soft_usd, hard_usd = (_watched(kind, budget.limit(kind), incidents) for kind in LIMITS)
    if soft_usd is None and hard_usd is None:
        return None
    watched = replace(budget, soft_usd=soft_usd, hard_usd=hard_usd)
    marks = {
        limit.usd
        for limit, incident in _of_limits(incidents)
        if limit.kind is LimitKind.THRESHOLD and incident.status is not Status.WITHDRAWN
    }
    return replace(watched, thresholds=tuple(percent for usd, percent in watched.marks().items() if usd in marks))


def _of_limits(incidents: Sequence[Incident]) -> list[tuple[Limit, Incident]]:
    return [
        (incident.limit, incident)
        for incident in incidents
        if incident.kind is AlertKind.LIMIT and incident.limit is not None
    ]


def _watched(kind: LimitKind, limit_usd: Decimal | None, incidents: Sequence[Incident]) -> Decimal | None:
    limits = [
        limit.usd
        for limit, incident in _of_limits(incidents)
        if limit.kind is kind and incident.status is not Status.WITHDRAWN
    ]
    return limit_usd if limit_usd in limits else (limits[-1] if limits else None)


def _crossed(limit_usd: Decimal | None, spent_usd: Decimal) -> bool:
    return limit_usd is not None and spent_usd >= limit_usd


def _in_force(budget: Budget, limit: Limit) -> bool:
    if limit.kind is LimitKind.THRESHOLD:
        return limit.usd in budget.marks()
    return budget.limit(limit.kind) == limit.usd


def _threshold_step(limit: Limit, highest: Decimal | None, incident: Incident | None) -> LimitStep | None:
    """`highest`: highest crossed limit, USD. Only that one is reported; the lower ones were passed on the way."""
    status = None if incident is None else incident.status
    if highest is not None and highest > limit.usd:
        passed = LimitStep(limit, Status.SUPERSEDED, LimitReason.PASSED_BY_HIGHER)
        return None if status is Status.SUPERSEDED else passed
    if highest == limit.usd:
        if status is None:
            return LimitStep(limit, Status.OPEN, LimitReason.CROSSED, post=True)
        # Falling back to it is not news after the higher alert.
        return None if status is Status.OPEN else LimitStep(limit, Status.OPEN, LimitReason.CROSSED_AGAIN)
    if status is None or status in (Status.RESOLVED, Status.WITHDRAWN):
        return None
    return LimitStep(limit, Status.RESOLVED, LimitReason.FELL_BELOW)


def _withdraw(limit: Limit, status: Status) -> LimitStep | None:
    if status in (Status.WITHDRAWN, Status.RESOLVED, Status.CLOSED):
        return None
    return LimitStep(limit, Status.WITHDRAWN, LimitReason.LIMIT_CHANGED)


def _soft_step(limit: Limit, soft: bool, hard: bool, incident: Incident | None) -> LimitStep | None:
    if hard:
        if incident is not None and incident.status is Status.SUPERSEDED:
            return None
        return LimitStep(limit, Status.SUPERSEDED, LimitReason.PASSED_BY_HARD)
    if soft:
        if incident is None:
            return LimitStep(limit, Status.OPEN, LimitReason.CROSSED, post=True)
        if incident.status is not Status.OPEN:
            reason = LimitReason.FELL_BELOW_HARD if incident.status is Status.SUPERSEDED else LimitReason.CROSSED_AGAIN
            return LimitStep(limit, Status.OPEN, reason, post=True)
        return None
    if incident is None or incident.status in (Status.RESOLVED, Status.WITHDRAWN):
        return None
    return LimitStep(limit, Status.RESOLVED, LimitReason.FELL_BELOW)


def _hard_step(limit: Limit, soft: bool, hard: bool, soft_known: bool, incident: Incident | None) -> LimitStep | None:
    if hard:
        if incident is None:
            together = soft and not soft_known
            reason = LimitReason.CROSSED_WITH_SOFT if together else LimitReason.CROSSED
            return LimitStep(limit, Status.OPEN, reason, post=True)
        if incident.status is not Status.OPEN:
            return LimitStep(limit, Status.OPEN, LimitReason.CROSSED_AGAIN)
        return None
    if incident is None or incident.status is not Status.OPEN:
        return None
    reason = LimitReason.FELL_BELOW_HARD if soft else LimitReason.FELL_BELOW
    return LimitStep(limit, Status.RESOLVED, reason)


FAR = 2**62
"""Bound above every limit, in units of money."""

Reviewed = tuple[Budget, Period]


@dataclass(frozen=True, slots=True)
class Quiet:
    """A decision without a step, which stays valid while spend passes none of the budget's limits, up or down.

    `low`, `high`: the nearest limits around spend, in units of the token money of the period, excluding billed
    corrections and provisional spend. Valid while the bill, usage before `settled_until` and `provisional_usd` stay the
    same. None on 64-bit overflow.
    """

    budget: Budget
    incidents: Sequence[Incident]
    low_usd: Decimal | None
    high_usd: Decimal | None
    low: int | None
    high: int | None
    provisional_usd: Decimal
    settled_until: datetime

    @classmethod
    def at(
        cls,
        budget: Budget,
        period: Period,
        incidents: Sequence[Incident],
        total_usd: Decimal,
        snapshot: Snapshot,
        provisional_usd: Decimal = ZERO,
    ) -> "Quiet":
        """Record that nothing was to be done at this sum."""
        limits = [usd for usd in (budget.soft_usd, budget.hard_usd, *budget.marks()) if usd is not None]
        low_usd = max((usd for usd in limits if usd <= total_usd), default=None)
        high_usd = min((usd for usd in limits if usd > total_usd), default=None)
        low, high, settled_until = None, None, BEFORE_EVERYTHING
        besides = _besides_tokens(budget, period, total_usd, snapshot, provisional_usd)
        if besides is not None:
            low, high = _units(low_usd, besides, -FAR, snapshot), _units(high_usd, besides, FAR, snapshot)
            if budget.scope.is_in_dollars:
                settled_until = snapshot.settled_until(period)
        return cls(budget, incidents, low_usd, high_usd, low, high, provisional_usd, settled_until)

    def holds(self, budget: Budget, incidents: Sequence[Incident], total_usd: Decimal) -> bool:
        """Whether nothing is to be done at this sum either."""
        above = self.low_usd is None or self.low_usd <= total_usd
        below = self.high_usd is None or total_usd < self.high_usd
        return above and below and self.incidents is incidents and self.budget == budget


def unquiet(
    due: Iterable[Reviewed],
    known: Mapping[tuple[str, str], Quiet],
    incidents_of: Mapping[tuple[str, str], Sequence[Incident]],
    snapshot: Snapshot,
    since: datetime | None,
) -> list[Reviewed]:
    """The pairs that need a decision. Budgets of the same period are checked together.

    `since`: the first hour whose usage has changed; None if the bill may have changed too.
    """
    found: list[Reviewed] = []
    groups: dict[Period, list[tuple[Reviewed, int, int]]] = {}
    for pair in due:
        budget, period = pair
        key = (budget.name, period.key)
        quiet = known.get(key)
        if quiet is None or quiet.budget is not budget or incidents_of.get(key) is not quiet.incidents:
            found.append(pair)
            continue
        billed = budget.scope.is_in_dollars
        if quiet.low is None or quiet.high is None or (billed and (since is None or since < quiet.settled_until)):
            found.append(pair)
            continue
        groups.setdefault(period, []).append((pair, quiet.low, quiet.high))
    for period, group in groups.items():
        units = snapshot.units([budget.scope for (budget, _), _, _ in group], period)
        if units is None:
            found += [pair for pair, _, _ in group]
            continue
        passed = (units < np.array([low for _, low, _ in group])) | (units >= np.array([high for _, _, high in group]))
        found += [group[index][0] for index in np.flatnonzero(passed).tolist()]
    return found


def _besides_tokens(
    budget: Budget, period: Period, total_usd: Decimal, snapshot: Snapshot, provisional_usd: Decimal
) -> Decimal | None:
    """Difference between the sum and the token money, USD; None on 64-bit overflow."""
    if not budget.scope.is_in_dollars:
        return provisional_usd
    units = snapshot.units([budget.scope], period)
    return None if units is None else total_usd - snapshot.prices.usd(units[0])


def _units(limit_usd: Decimal | None, besides: Decimal, otherwise: int, snapshot: Snapshot) -> int:
    if limit_usd is None:
        return otherwise
    units = int((limit_usd - besides).scaleb(snapshot.prices.places).to_integral_value(ROUND_CEILING))
    return max(-FAR, min(units, FAR))
