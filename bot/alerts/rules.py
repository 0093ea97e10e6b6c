"""Rules of alerts: what is escalated, which channels and levels they go to, and whom they mention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import TypeVar

from pydantic import SecretStr

from bot.alerts.incident import LEVELS, AlertKind, Level
from bot.alerts.model import AlertPayload
from bot.budgets.budget import Budget, LimitKind
from bot.budgets.owners import mentioned, owners_of
from bot.strict_fields import Factor, Minutes, Percent, Table, Usd

LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AlertRules:
    """`escalate_after`: how long an alert of `escalate_levels` may stay unacknowledged. None: never escalate.

    `channel_levels`: levels that the alert channel in Slack shows. `late_after`: a notice that arrives later than this
    says so.
    """

    escalate_after: timedelta | None = timedelta(minutes=30)
    escalate_levels: frozenset[Level] = frozenset({LimitKind.HARD, AlertKind.SPIKE})
    channel_levels: frozenset[Level] = frozenset(LEVELS)
    late_after: timedelta = LATE


class ForecastRules(Table):
    """`[forecast]`. An alert opens where the expected end of the period has been at or above a limit for `holds`.

    It is resolved where the expected end is below `clear_percent` of the limit.
    """

    enabled: bool = True
    holds_minutes: Minutes = 60
    clear_percent: Percent = Decimal(90)

    @property
    def holds(self) -> timedelta:
        return timedelta(minutes=self.holds_minutes)


class SpikeRules(Table):
    """`[spike]`. An alert opens where dollars an hour reach `factor` times what is usual, and `floor_usd_per_hour`.

    Both in a long window of an hour and in a short one at its end, so that one large request is no spike and neither is
    one that has ended. It is resolved where the long window is below `clear_percent` of that rate.
    """

    enabled: bool = True
    factor: Factor = Decimal(4)
    floor_usd_per_hour: Usd = Decimal(10)
    clear_percent: Percent = Decimal(50)


class DriftRules(Table):
    """`[drift]`. An alert opens where a settled day's computed sum differs from the bill by at least both of these."""

    enabled: bool = True
    limit_percent: Percent = Decimal(10)
    floor_usd: Usd = Decimal(1)


Rules = TypeVar("Rules", bound=Table)


@dataclass(frozen=True, slots=True)
class DetectorRules:
    """Rules of all detectors. `tables`: from the TOML file. `poll_seconds`: time between two polls."""

    tables: tuple[Table, ...] = ()
    poll_seconds: int = 60

    def of(self, kind: type[Rules]) -> Rules:
        """The rules of this type; the defaults if the file has no such table."""
        return next((table for table in self.tables if isinstance(table, kind)), kind())


def rules_type(kind: AlertKind) -> type[Table] | None:
    """The class of table `[spike]`, `SpikeRules` in `bot/alerts/spike.py`; None for a kind without rules."""
    found: type[Table] | None = getattr(import_module(f"bot.alerts.{kind.module}"), f"{kind.class_prefix}Rules", None)
    return found


ALL_BUT_ROUTINE = frozenset(LEVELS) - {AlertKind.NEW_PERIOD}
"""Levels that a destination receives by default: all but the start of a period."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """`name`: what people see instead of `url`, an Apprise address, which may hold a secret."""

    name: str
    url: SecretStr
    levels: frozenset[Level] = ALL_BUT_ROUTINE


@dataclass(frozen=True, slots=True)
class Copy:
    """One message of an alert in Slack. `channel`: None for the main one. `mention`: ids of owners."""

    channel: str | None = None
    mention: tuple[str, ...] = ()


class Routes:
    """`main`: the id of the main channel. `in_force`: the budgets, asked at every alert."""

    def __init__(self, main: str = "", in_force: Callable[[], Sequence[Budget]] = tuple) -> None:
        self._main = main
        self._in_force = in_force

    def copies(self, payload: AlertPayload) -> list[Copy]:
        """The messages of a new alert, those in channels of their own first.

        The main channel gets what no other takes, and every hard limit. Each owner is mentioned in one of them.
        """
        found: dict[str | None, list[str]] = {}
        notified: set[str] = set()
        for budget in self._budgets(payload):
            here = found.setdefault(self.own_channel(budget), [])
            owners = [owner for owner in mentioned(budget, payload.level) if owner not in notified]
            here += owners
            notified.update(owners)
        if not found or payload.level is LimitKind.HARD:
            found.setdefault(None, [])
        own = [Copy(channel, tuple(owners)) for channel, owners in found.items() if channel is not None]
        return [*own, *(Copy(None, tuple(owners)) for channel, owners in found.items() if channel is None)]

    def owners(self, payload: AlertPayload) -> tuple[str, ...]:
        """Owners of every budget that an alert is about, for destinations that cannot mention."""
        return tuple(dict.fromkeys(owner for budget in self._budgets(payload) for owner in owners_of(budget)))

    def own_channel(self, budget: Budget) -> str | None:
        """Channel for posts about a budget; None for the main one."""
        return None if budget.channel == self._main else budget.channel

    def _budgets(self, payload: AlertPayload) -> list[Budget]:
        names = payload.budgets
        by_name = {budget.name: budget for budget in self._in_force()} if names else {}
        return [by_name[name] for name in names if name in by_name]
