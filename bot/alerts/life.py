"""What time does to an open alert: a snooze ends, and what nobody acknowledges is escalated. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.alerts.life_steps import Life, LifeStep
from bot.alerts.rules import AlertRules
from bot.budgets.budget import Level
from bot.clock import DAY, is_over

LONGEST_SNOOZE = DAY
"""Longer than any that is offered."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that stands open, whether or not the channel was told. `since`: when it was opened last.

    `subject`, `period` and `limit_usd` are the incident's identity: see `AlertPayload`.
    """

    subject: str
    period: str
    level: Level
    limit_usd: Decimal
    since: datetime
    life: Life


@dataclass(frozen=True, slots=True)
class Living:
    """An open alert that people can see. `seen_since`: when it was opened last, or when its message came if later."""

    alert_id: int
    level: Level
    seen_since: datetime
    life: Life


def snooze_is_over(until: datetime, now: datetime) -> bool:
    """Whether a snooze has ended; one that would last longer than any was made by a clock that has been set back."""
    return not now < until <= now + LONGEST_SNOOZE


def due_step(alert: Living, rules: AlertRules, now: datetime) -> LifeStep | None:
    """What is due at `now`. A snooze that ends is told in the channel, so that nothing is escalated besides."""
    life = alert.life
    if life.snoozed_until is not None:
        return LifeStep.SNOOZE_OVER if snooze_is_over(life.snoozed_until, now) else None
    if life.acknowledged_at is not None or life.escalated_at is not None:
        return None
    if rules.escalate_after is None or alert.level not in rules.escalate_levels:
        return None
    return LifeStep.ESCALATED if is_over(rules.escalate_after, alert.seen_since, now) else None
