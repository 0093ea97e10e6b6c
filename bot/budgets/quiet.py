"""Budgets of which nothing is to be decided: spend has passed none of their limits since the last decision."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np

from bot.budgets.budget import Budget, ScopeKind
from bot.budgets.decide import Incident
from bot.budgets.period import Period
from bot.budgets.snapshot import Snapshot

NEVER_BILLED = (ScopeKind.KEY, ScopeKind.MODEL)
"""What of these has been spent follows from tokens alone: the bill is not split that way."""

FAR = 2**62
"""Units of money beyond every limit."""

Reviewed = tuple[Budget, Period]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing was to be done. It is so again as long as spend passes none of the budget's limits, up or down."""

    budget: Budget
    incidents: Sequence[Incident]
    low_usd: Decimal | None
    high_usd: Decimal | None

    @classmethod
    def at(cls, budget: Budget, incidents: Sequence[Incident], total_usd: Decimal) -> "Quiet":
        """What was found at this sum."""
        limits = [usd for usd in (budget.soft_usd, budget.hard_usd, *budget.marks()) if usd is not None]
        return cls(
            budget,
            incidents,
            max((usd for usd in limits if usd <= total_usd), default=None),
            min((usd for usd in limits if usd > total_usd), default=None),
        )

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
) -> list[Reviewed]:
    """Those of which something may be to be decided: many budgets of keys are looked at together."""
    found: list[Reviewed] = []
    groups: dict[Period, list[tuple[Reviewed, Quiet, int]]] = {}
    for pair in due:
        budget, period = pair
        key = (budget.name, period.key)
        quiet = known.get(key)
        if quiet is None or quiet.budget is not budget or incidents_of.get(key) is not quiet.incidents:
            found.append(pair)
            continue
        numbers = snapshot.index.of(budget.scope)
        if budget.scope.kind not in NEVER_BILLED or len(numbers) != 1:
            found.append(pair)
            continue
        groups.setdefault(period, []).append((pair, quiet, int(numbers[0])))
    for period, group in groups.items():
        units = snapshot.units([number for _, _, number in group], period)
        if units is None:
            found += [pair for pair, _, _ in group]
            continue
        low = np.array([_units(quiet.low_usd, -FAR, snapshot) for _, quiet, _ in group])
        high = np.array([_units(quiet.high_usd, FAR, snapshot) for _, quiet, _ in group])
        passed = (units < low) | (units >= high)
        found += [group[index][0] for index in np.flatnonzero(passed).tolist()]
    return found


def _units(limit_usd: Decimal | None, otherwise: int, snapshot: Snapshot) -> int:
    if limit_usd is None:
        return otherwise
    return min(int(limit_usd.scaleb(snapshot.prices.places).to_integral_value(ROUND_CEILING)), FAR)
