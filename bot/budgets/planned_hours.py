"""Extra cost of planned times, from past occurrences, for use by forecasts. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

import numpy as np

from bot.budgets.calendar import Window
from bot.budgets.forecast import Hours, PlannedSpend
from bot.clock import DAY, HOUR

LEAST_ALIKE = 3
"""Fewest hours at the same time of the day that show what such an hour usually costs."""

LEAST_KNOWN = 0.5
"""Share of an occurrence that must be known to know its cost."""

MICRO = Decimal("0.000001")


def planned_spend(
    windows: Sequence[Window], hours: Hours, as_of: datetime, until: datetime
) -> tuple[PlannedSpend, ...]:
    """Cost of past windows, and of those up to `until` based on past ones with the same name.

    The cost of a window is what its hours cost beyond the usual cost of such hours. A window of unknown cost is left to
    the forecast itself. A one-off expectation continues as it began.
    """
    if not windows:
        return ()
    taken = np.zeros(len(hours.usd), dtype=np.bool_)
    for window in windows:
        first, last = _span(window, hours, as_of)
        taken[first:last] = True
    usual = _usual(hours, taken)
    found: list[PlannedSpend] = []
    costs: dict[str, list[float]] = {}
    for window in windows:
        if window.ends_at > as_of:
            continue
        usd = _beyond(window, hours, usual, as_of)
        if usd is not None:
            found.append(PlannedSpend(window.starts_at, window.ends_at, _usd(usd)))
            if window.name is not None:
                costs.setdefault(window.name, []).append(usd)
    for window in windows:
        if window.ends_at <= as_of or window.starts_at >= until:
            continue
        if window.name in costs:
            found.append(PlannedSpend(window.starts_at, window.ends_at, _usd(median(costs[window.name]))))
        elif window.name is None and (so_far := _beyond(window, hours, usual, as_of)) is not None:
            gone = (as_of - window.starts_at) / (window.ends_at - window.starts_at)
            if gone > 0:
                found.append(PlannedSpend(window.starts_at, window.ends_at, _usd(so_far / gone)))
    return tuple(each for each in found if each.usd > 0)


def _span(window: Window, hours: Hours, as_of: datetime) -> tuple[int, int]:
    """Indexes of its hours, up to the running one."""
    last = min(window.ends_at, as_of)
    first = max((window.starts_at - hours.starts_at) // HOUR, 0)
    return first, min(max(-((hours.starts_at - last) // HOUR), 0), len(hours.usd))


def _usual(hours: Hours, taken: "np.typing.NDArray[np.bool_]") -> list[float]:
    """Usual cost of each hour of a UTC day, without windows; the mean of all hours if too few are alike."""
    free = ~taken & ~np.isnan(hours.usd)
    # The running hour is incomplete.
    free[-1:] = False
    at = (np.arange(len(hours.usd)) + hours.starts_at.hour) % (DAY // HOUR)
    whole = float(np.median(hours.usd[free])) if free.any() else 0.0
    found = []
    for hour in range(DAY // HOUR):
        alike = hours.usd[free & (at == hour)]
        found.append(float(np.median(alike)) if len(alike) >= LEAST_ALIKE else whole)
    return found


def _beyond(window: Window, hours: Hours, usual: Sequence[float], as_of: datetime) -> float | None:
    """Cost of a window so far beyond the usual; None if too little of it is known."""
    first, last = _span(window, hours, as_of)
    ends_at = min(window.ends_at, as_of)
    total, known = 0.0, timedelta()
    for place in range(first, last):
        usd = float(hours.usd[place])
        hour = hours.starts_at + place * HOUR
        inside = max(min(hour + HOUR, ends_at) - max(hour, window.starts_at), timedelta())
        if np.isnan(usd):
            continue
        known += inside
        # Only part of the running hour has passed.
        length = min(hour + HOUR, as_of) - hour
        total += max(usd - usual[hour.hour] * (length / HOUR), 0.0)
    whole = ends_at - window.starts_at
    return total if whole > timedelta() and known / whole >= LEAST_KNOWN else None


def _usd(amount: float) -> Decimal:
    return Decimal(amount).quantize(MICRO)
