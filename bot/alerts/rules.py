"""How alerts behave towards people: what is escalated, and which levels the alert channel shows."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from bot.alerts.kinds import LEVELS, AlertKind, Level
from bot.budgets.budget import LimitKind

LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AlertRules:
    """`escalate_after`: how long an alert of `escalate_levels` may stand unacknowledged. None: never escalate.

    `channel_levels`: what the alert channel in Slack shows. `late_after`: what arrives later than this says so.
    """

    escalate_after: timedelta | None = timedelta(minutes=30)
    escalate_levels: frozenset[Level] = frozenset({LimitKind.HARD, AlertKind.SPIKE})
    channel_levels: frozenset[Level] = frozenset(LEVELS)
    late_after: timedelta = LATE


@dataclass(frozen=True, slots=True)
class ForecastRules:
    """An alert opens where the expected end of the period has been at or above a limit for `holds`.

    It is resolved where the expected end is below `clear_percent` of the limit.
    """

    enabled: bool = True
    holds: timedelta = timedelta(hours=1)
    clear_percent: Decimal = Decimal(90)


@dataclass(frozen=True, slots=True)
class SpikeRules:
    """An alert opens where dollars an hour reach `factor` times what is usual, and `floor_usd_per_hour`.

    Both in a long window of an hour and in a short one at its end, so that one large request is no spike and neither is
    one that has ended. It is resolved where the long window is below `clear_percent` of that rate.
    """

    enabled: bool = True
    factor: Decimal = Decimal(4)
    floor_usd_per_hour: Decimal = Decimal(10)
    clear_percent: Decimal = Decimal(50)


@dataclass(frozen=True, slots=True)
class DriftRules:
    """An alert opens where a settled day's computed sum differs from the bill by at least this share and this much."""

    enabled: bool = True
    limit_percent: Decimal = Decimal(10)
    floor_usd: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class DetectorRules:
    """What detectors go by. `poll_seconds`: between two polls."""

    forecast: ForecastRules = ForecastRules()
    spike: SpikeRules = SpikeRules()
    drift: DriftRules = DriftRules()
    poll_seconds: int = 60
