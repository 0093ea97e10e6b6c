"""How alerts behave towards people: what is escalated, and which levels the alert channel shows."""

from dataclasses import dataclass
from datetime import timedelta

from bot.budgets.budget import Level

LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AlertRules:
    """`escalate_after`: how long an alert of `escalate_levels` may stand unacknowledged; None for as long as it likes.

    `channel_levels`: what the alert channel in Slack is told. `late_after`: what arrives later than this says so.
    """

    escalate_after: timedelta | None = timedelta(minutes=30)
    escalate_levels: frozenset[Level] = frozenset({Level.HARD, Level.SPIKE})
    channel_levels: frozenset[Level] = frozenset(Level)
    late_after: timedelta = LATE
