"""The words for what people and time do to an alert."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LifeStep(StrEnum):
    """A step in the life of an alert that no figure has caused."""

    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    SNOOZE_OVER = "snooze over"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Life:
    """What people and time have done to an open alert besides its status."""

    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    snoozed_by: str | None = None
    snoozed_until: datetime | None = None
    escalated_at: datetime | None = None
