"""What alerts are about. Light to import, unlike what detects and draws them."""

from enum import StrEnum

from bot.budgets.budget import LimitKind


class AlertKind(StrEnum):
    """Every kind of alert, in the order in which a cycle looks for them.

    The value is what people write in the TOML file, what is stored, and part of the visible id. The name leads to all
    that there is of it: `NoDataAlert` and `NoDataDetector` in `bot/alerts/no_data.py`, `no_data_message` and
    `no_data_line` in `handlers/render/no_data_alert.py`.
    """

    LIMIT = "limit"
    NO_DATA = "stale"
    NEW_PERIOD = "period"
    FORECAST = "forecast"
    SPIKE = "spike"
    DRIFT = "drift"
    DELIVERY = "delivery"
    FIRST_SEEN = "first_seen"
    OUTLIER = "outlier"
    UNATTRIBUTED = "unattributed"

    @property
    def module(self) -> str:
        """`no_data`: what its files are called."""
        return self.name.lower()

    @property
    def class_prefix(self) -> str:
        """`NoData`: how the names of its payload and its detector begin."""
        return self.module.title().replace("_", "")


Level = LimitKind | AlertKind
"""What a destination may receive, under its name in the TOML file: a limit is named by its own kind."""

LEVELS: tuple[Level, ...] = (*LimitKind, *(kind for kind in AlertKind if kind is not AlertKind.LIMIT))
"""In the order in which people read them."""


def level_of(name: object) -> Level:
    """The level of this name. Raises ValueError with one clause where there is none."""
    found = next((level for level in LEVELS if level == name), None)
    if found is None:
        raise ValueError(f"use {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
    return found
