"""Where periods end, as the snapshot lets it be expected: hours of the past are put together for the forecast."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from bot.budgets.budget import Budget, Scope
from bot.budgets.forecast import HOURS_BACK, Forecast, Hours, ModeShift, Request, forecasts
from bot.budgets.live import LiveSpend
from bot.budgets.period import Period
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY, HOUR, floor_hour

Shifts = Sequence[ModeShift]

HOURS_COMPARED = 6
"""After a change of the mode."""


def forecasts_of(live: LiveSpend, asked: Sequence[tuple[Budget, Period, Shifts]]) -> list[Forecast | None]:
    """The forecast of each budget's period, which the data has reached, from what is spent on, provisional or not.

    The last of the three: changes of the fallback mode, and what they mean for the scope. One that usage does not show
    counts for nothing: services may not have followed, or have nothing to follow with. Each is made once.
    """
    snapshot = live.usage
    as_of = snapshot.as_of
    if as_of is None:
        return [None for _ in asked]
    spends = [live.spend(budget.scope, period) for budget, period, _ in asked]
    keys = [("forecast", budget, period, tuple(shifts)) for budget, period, shifts in asked]
    memos = [live.forecasts if spend.provisional_usd else snapshot.memo for spend in spends]
    missing = {
        key: (*each, spend)
        for key, each, spend, memo in zip(keys, asked, spends, memos, strict=True)
        if key not in memo
    }
    hours = hours_of(snapshot, [budget.scope for budget, *_ in missing.values()], as_of)
    requests = [
        Request(
            budget=budget,
            period=period,
            spent_usd=spend.total_usd,
            hours=known,
            as_of=as_of,
            shifts=shown(shifts, known, as_of),
            counted_until=live.counted_until if spend.provisional_usd else as_of,
        )
        for (budget, period, shifts, spend), known in zip(missing.values(), hours, strict=True)
    ]
    made = dict(zip(missing, forecasts(requests), strict=True))
    for key, memo in zip(keys, memos, strict=True):
        if key in made:
            memo[key] = made[key]
    return [memo[key] for key, memo in zip(keys, memos, strict=True)]


def hours_of(snapshot: Snapshot, scopes: Sequence[Scope], as_of: datetime) -> list[Hours]:
    """What is known of each scope up to `as_of`, which is the age of the data."""
    running = floor_hour(as_of)
    first = running - HOURS_BACK * HOUR
    usd = snapshot.hourly(scopes, first, running + HOUR).astype(np.float64) / 10.0**snapshot.prices.places
    usd[:, ~snapshot.known(first, running + HOUR)] = np.nan
    return [Hours(first, row) for row in usd]


def shown(shifts: Shifts, hours: Hours, as_of: datetime) -> tuple[ModeShift, ...]:
    """Those that usage shows: it has come more than half of the way from what the same hours of the day before cost.

    Half of the way is the geometric middle: a tenth and ten times are as far.

    An hour has to be complete for that; the first ones after a change are held against the same ones before.
    """
    return tuple(shift for shift in shifts if _is_shown(shift, hours, as_of))


def _is_shown(shift: ModeShift, hours: Hours, as_of: datetime) -> bool:
    first = (floor_hour(shift.at) - hours.starts_at) // HOUR + 1
    last = min((floor_hour(as_of) - hours.starts_at) // HOUR, first + HOURS_COMPARED, len(hours.usd))
    if first < DAY // HOUR or last <= first:
        return False
    after, before = hours.usd[first:last], hours.usd[first - DAY // HOUR : last - DAY // HOUR]
    known = ~(np.isnan(after) | np.isnan(before))
    was, is_now = float(before[known].sum()), float(after[known].sum())
    half = was * shift.factor**0.5
    return was > 0 and (is_now <= half if shift.factor < 1 else is_now >= half)
