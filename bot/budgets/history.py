"""Dollars by the hour as the snapshot knows them: what forecasts are built on."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from bot.budgets.budget import Scope
from bot.budgets.forecast import HOURS_BACK, Hours
from bot.budgets.snapshot import Snapshot
from bot.clock import HOUR, floor_hour


def hours_of(snapshot: Snapshot, scopes: Sequence[Scope], as_of: datetime) -> list[Hours]:
    """What is known of each scope up to `as_of`, which is the age of the data."""
    running = floor_hour(as_of)
    first = running - HOURS_BACK * HOUR
    usd = snapshot.hourly(scopes, first, running + HOUR).astype(np.float64) / 10.0**snapshot.prices.places
    usd[:, ~snapshot.known(first, running + HOUR)] = np.nan
    return [Hours(first, row) for row in usd]
