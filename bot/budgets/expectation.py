"""When a forecast is worth an alert. Pure.

One limit is told at a time, the highest that the expected end of the period passes: a lower one is superseded by it. An
alert opens once that has held for a while, is superseded when the limit itself is crossed, and is resolved when the
expected end has fallen well below the limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.budgets.budget import LIMITS, Budget, Level
from bot.budgets.decide import Incident, Reason, Status, Step
from bot.budgets.rules import ForecastRules

Since = Mapping[Decimal, datetime]
"""By limit: since when the expected end of the period has been at or above it without a break."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The steps to take, and what to remember until the next look."""

    steps: tuple[Step, ...]
    since: Since


def expect(
    budget: Budget,
    spent_usd: Decimal,
    expected_usd: Decimal,
    incidents: Sequence[Incident],
    since: Since,
    rules: ForecastRules,
    as_of: datetime,
) -> Expected:
    """`incidents`: all of the budget in the present period. `since`: what was remembered at the look before.

    `as_of`: the age of the data, by whose time it is measured how long something holds.
    """
    limits = [limit for level in LIMITS if (limit := budget.limit(level)) is not None]
    passed = {limit: since.get(limit, as_of) for limit in limits if spent_usd < limit <= expected_usd}
    told = max((limit for limit, begun in passed.items() if as_of - begun >= rules.holds), default=None)
    known = {i.limit_usd: i for i in incidents if i.level is Level.FORECAST}
    # What has been told stands until it is cleared: while it does, a lower limit is no news.
    standing = [
        limit
        for limit in limits
        if limit in known
        and known[limit].status is Status.OPEN
        and spent_usd < limit
        and not _is_cleared(limit, expected_usd, rules)
    ]
    told = max((limit for limit in (told, *standing) if limit is not None), default=None)
    steps = [_step(limit, spent_usd, expected_usd, told, known.get(limit), rules) for limit in limits]
    steps += [_withdraw(incident) for limit, incident in known.items() if limit not in limits]
    return Expected(tuple(step for step in steps if step is not None), passed)


def _step(
    limit_usd: Decimal,
    spent_usd: Decimal,
    expected_usd: Decimal,
    told: Decimal | None,
    incident: Incident | None,
    rules: ForecastRules,
) -> Step | None:
    is_open = incident is not None and incident.status is Status.OPEN
    if limit_usd == told:
        if is_open:
            return None
        reason = Reason.EXPECTED if incident is None else Reason.EXPECTED_AGAIN
        return Step(Level.FORECAST, limit_usd, Status.OPEN, reason, post=True)
    if incident is None or incident.status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    if _is_cleared(limit_usd, expected_usd, rules) and spent_usd < limit_usd:
        # One that was superseded is over too: its message would go on speaking of a limit that is not in reach.
        return Step(Level.FORECAST, limit_usd, Status.RESOLVED, Reason.EXPECTED_BELOW)
    if not is_open:
        return None
    if spent_usd >= limit_usd:
        return Step(Level.FORECAST, limit_usd, Status.SUPERSEDED, Reason.CROSSED)
    if told is not None and told > limit_usd:
        return Step(Level.FORECAST, limit_usd, Status.SUPERSEDED, Reason.EXPECTED_HIGHER)
    return None


def _is_cleared(limit_usd: Decimal, expected_usd: Decimal, rules: ForecastRules) -> bool:
    return expected_usd < limit_usd * rules.clear_percent / 100


def _withdraw(incident: Incident) -> Step | None:
    if incident.status not in (Status.OPEN, Status.SUPERSEDED):
        return None
    return Step(Level.FORECAST, incident.limit_usd, Status.WITHDRAWN, Reason.LIMIT_CHANGED)
