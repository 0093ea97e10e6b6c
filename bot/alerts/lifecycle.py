"""Lifecycle of alerts: the steps that people and time cause."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bot.alerts.incident import Identity, Level
from bot.alerts.rules import AlertRules
from bot.budgets.savings import Saving
from bot.clock import DAY, HOUR, is_over
from bot.notify.model import Address


class LifecycleStep(StrEnum):
    """A step of an alert that people or time caused, not a figure."""

    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    SNOOZE_OVER = "snooze over"
    ESCALATED = "escalated"
    EXPECTED = "expected"
    NOT_EXPECTED = "not expected"


CountStep = Callable[[Level, str], None]
"""Called with the level of an alert and each step that it has taken, once that is committed."""


@dataclass(frozen=True, slots=True)
class Life:
    """What people and time have done to an open alert, apart from its status."""

    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    snoozed_by: str | None = None
    snoozed_until: datetime | None = None
    escalated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A request to the admins for something only they may do.

    `incident`: visible id of the alert. `by`: Slack user id; `admins`: ids of users and groups. `mode`: the fallback
    mode asked for, empty if something else is. `previous`: the mode in force. `saving`: of `mode`, None if unknown;
    `as_of`: its age. `budget`: whose saving it is, empty for the organization's. `command`: what an admin would type.
    `decides`: whether the request is about the buttons of the message above.
    """

    kind: Literal["ask"] = "ask"
    incident: str
    by: str
    admins: tuple[str, ...]
    mode: str
    previous: str
    saving: Saving | None
    as_of: datetime | None
    budget: str = ""
    command: str = ""
    decides: bool = False


LONGEST_SNOOZE = 2 * DAY + 2 * HOUR
"""Longer than any snooze on offer: until the end of tomorrow, when clocks change."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An open alert, posted or not. `since`: when it was last opened.

    `bound_usd_per_hour`: for a spike. `posted`: its message in Slack, None if there is none yet. `name`: display name
    of the subject if that is an id.
    """

    identity: Identity
    bound_usd_per_hour: Decimal | None
    since: datetime
    life: Life
    posted: Address | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An open alert whose message is in the channel. `seen_since`: when it was last opened or its message arrived,
    whichever is later.
    """

    alert_id: int
    level: Level
    seen_since: datetime
    life: Life


def snooze_is_over(until: datetime, now: datetime) -> bool:
    """Whether a snooze has ended. One longer than any on offer was written by a clock that has since been set back."""
    return not now < until <= now + LONGEST_SNOOZE


def due_step(alert: SeenAlert, rules: AlertRules, now: datetime) -> LifecycleStep | None:
    """The step due at `now`. An expired snooze is reported in the channel, so it is not escalated as well."""
    life = alert.life
    if life.snoozed_until is not None:
        return LifecycleStep.SNOOZE_OVER if snooze_is_over(life.snoozed_until, now) else None
    if life.acknowledged_at is not None or life.escalated_at is not None:
        return None
    if rules.escalate_after is None or alert.level not in rules.escalate_levels:
        return None
    return LifecycleStep.ESCALATED if is_over(rules.escalate_after, alert.seen_since, now) else None
