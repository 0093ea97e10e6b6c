"""When a mode ends by itself, and when its end is announced. Pure: all times are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.budgets.budget import Budget, ScopeKind
from bot.mode import NORMAL

LONGEST_WARNING = timedelta(minutes=15)
WARNING_SHARE = 10
"""The warning comes a tenth of the time before the end, but at most `LONGEST_WARNING` before it."""


class Cause(StrEnum):
    """Why a mode ends."""

    TIME = "time"
    PERIOD = "period"


class Due(StrEnum):
    """What is to be done about a mode now."""

    WARN = "warn"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class End:
    """When a mode returns to normal, and why then."""

    at: datetime
    cause: Cause


def period_end(budgets: Sequence[Budget], moment: datetime) -> datetime | None:
    """The end of the period around `moment`: of the organization's first budget, or of the first; None without any."""
    if not budgets:
        return None
    widest = min(budgets, key=lambda budget: budget.scope.kind is not ScopeKind.ORGANIZATION)
    return widest.period_at(moment).ends_at


def end_of(mode: str, until: datetime | None, ends_period: datetime | None) -> End | None:
    """`until`: what somebody has asked for. `ends_period`: the end of the period in which the mode was switched on."""
    if mode == NORMAL:
        return None
    if until is not None:
        return End(until, Cause.TIME)
    return None if ends_period is None else End(ends_period, Cause.PERIOD)


def due(end: End, since: datetime, now: datetime, *, warned: bool) -> Due | None:
    """`since`: when the mode was switched on. `warned`: whether its end has been announced."""
    if now >= end.at:
        return Due.RETURN
    ahead = min((end.at - since) / WARNING_SHARE, LONGEST_WARNING)
    return Due.WARN if not warned and now >= end.at - ahead else None
