"""Growth that every week has had, as a logarithm per week. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS_IN_WEEK = 7
GROWTH_OF_CHANCE = 0.02
MOST_GROWTH = 0.5
EVEN = 0.6
"""Growth of a week below this share of the mean makes the trend doubtful: a step grows in one or two weeks."""
DOUBT = 8.0
"""A squared trend of this many of its own variances is carried on by half."""


def growth_of(day_usd: Floats, whole: NDArray[np.bool_]) -> Floats:
    """`day_usd`: USD of four weeks by series and day. `whole`: whether each hour of the series is known; else 0."""
    by_week = day_usd.reshape(len(day_usd), -1, DAYS_IN_WEEK)
    weeks = by_week.sum(axis=2)
    counts = whole & (weeks.min(axis=1) > 0)
    if not counts.any():
        return np.zeros(len(day_usd))
    logs = np.log(np.where(counts[:, None], weeks, 1.0))
    steps = np.diff(logs, axis=1)
    # Slope of the straight line through four points.
    slope = (3 * (logs[:, 3] - logs[:, 0]) + logs[:, 2] - logs[:, 1]) / 10
    size = np.abs(slope)
    least = np.maximum(np.where(slope > 0, steps.min(axis=1), -steps.max(axis=1)), 0.0)
    usual = np.maximum(weeks.mean(axis=1), np.finfo(np.float64).tiny) / DAYS_IN_WEEK
    off = np.diff(by_week, axis=1) / usual[:, None, None]
    off = off - off.mean(axis=(1, 2))[:, None, None]
    # Variance of a day from differences of two; of the mean of seven; of the slope, whose points vary by 5 around
    # their middle.
    variance = np.square(off).mean(axis=(1, 2)) / 2 / DAYS_IN_WEEK / 5
    score = np.square(np.square(size) / np.maximum(variance, np.finfo(np.float64).eps))
    sure = score / (score + DOUBT**2) * np.clip(least / np.maximum(size, GROWTH_OF_CHANCE) / EVEN, 0.0, 1.0)
    return np.where(counts & (size > GROWTH_OF_CHANCE), np.clip(slope, -MOST_GROWTH, MOST_GROWTH) * sure, 0.0)
