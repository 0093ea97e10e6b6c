"""Dollars of the past as the snapshot knows them: what forecasts and reports are built on."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.budgets.budget import Budget, Scope
from bot.budgets.forecast import History, KnownPart, past_parts, recent_since
from bot.budgets.snapshot import Snapshot
from bot.clock import HOUR, floor_hour


def histories(snapshot: Snapshot, budgets: Sequence[Budget], as_of: datetime) -> list[History]:
    """What is known of each budget's scope up to `as_of`, which is the age of the data, by days of its zone."""
    return [_of(snapshot, budget.scope, budget.zone, as_of) for budget in budgets]


def _of(snapshot: Snapshot, scope: Scope, zone: ZoneInfo, as_of: datetime) -> History:
    parts = [part for part in past_parts(zone, as_of) if all(snapshot.knows(hour) for hour in part.hours())]
    since = recent_since(as_of)
    hours = [since + index * HOUR for index in range((floor_hour(as_of) + HOUR - since) // HOUR)]
    return History(
        zone=zone,
        as_of=as_of,
        parts=tuple(KnownPart(part, snapshot.usd(scope, part.starts_at, part.ends_at)) for part in parts),
        recent_usd=snapshot.usd(scope, since, as_of),
        recent_hours=tuple(hour for hour in hours if hour < as_of and snapshot.knows(hour)),
    )
