"""Budgets of which nothing is to be decided: spend has passed none of their limits since the last decision."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

import numpy as np

from bot.alerts.incident import Incident
from bot.budgets.budget import BILLED, Budget
from bot.budgets.period import Period
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import BEFORE_EVERYTHING

FAR = 2**62
"""Units of money beyond every limit."""

Reviewed = tuple[Budget, Period]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing was to be done. It is so again as long as spend passes none of the budget's limits, up or down.

    `low`, `high`: the limits around it, in units of the money of all tokens of the period. What is billed differs from
    those by a sum that stays the same as long as the bill does and no usage before `settled_until` changes. What is
    provisional is no part of them either: all of this holds while that is `provisional_usd`. None where 64 bits are
    too few.
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
        """What was found at this sum."""
        limits = [usd for usd in (budget.soft_usd, budget.hard_usd, *budget.marks()) if usd is not None]
        low_usd = max((usd for usd in limits if usd <= total_usd), default=None)
        high_usd = min((usd for usd in limits if usd > total_usd), default=None)
        low, high, settled_until = None, None, BEFORE_EVERYTHING
        besides = _besides_tokens(budget, period, total_usd, snapshot, provisional_usd)
        if besides is not None:
            low, high = _units(low_usd, besides, -FAR, snapshot), _units(high_usd, besides, FAR, snapshot)
            if budget.scope.kind in BILLED:
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
    """Those of which something may be to be decided: the budgets of a period are looked at together.

    `since`: the first hour whose usage has changed; None where the bill may have, too.
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
        billed = budget.scope.kind in BILLED
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
    """By how much the sum differs from the money of all tokens; None where 64 bits are too few for those."""
    if budget.scope.kind not in BILLED:
        return provisional_usd
    units = snapshot.units([budget.scope], period)
    return None if units is None else total_usd - snapshot.prices.usd(units[0])


def _units(limit_usd: Decimal | None, besides: Decimal, otherwise: int, snapshot: Snapshot) -> int:
    if limit_usd is None:
        return otherwise
    units = int((limit_usd - besides).scaleb(snapshot.prices.places).to_integral_value(ROUND_CEILING))
    return max(-FAR, min(units, FAR))
