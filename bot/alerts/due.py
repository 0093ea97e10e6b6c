"""What a delivery has to do at this moment, asked in one statement: most of the time there is nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, exists, or_, select

from bot.alerts.incident import Status
from bot.alerts.kinds import AlertKind
from bot.alerts.lifecycle import LONGEST_SNOOZE
from bot.alerts.notice_contents import in_slack, level_in
from bot.alerts.rules import AlertRules
from bot.db.schema import alerts, notices
from bot.notify.model import UNDELIVERED


@dataclass(frozen=True, slots=True)
class Due:
    """Which parts of a delivery may have something to do.

    `slack`: notices wait. `destinations`: notices wait for further destinations that are configured. `life`: time may
    have brought an open alert a step. `reports`: it stands open that a destination takes nothing.
    """

    slack: bool = True
    destinations: bool = True
    life: bool = True
    reports: bool = True

    @property
    def watch(self) -> bool:
        """Whether a destination may have failed, or may take alerts again."""
        return self.slack or self.destinations or self.reports


class DueStore:
    """Synchronous; asynchronous callers use a thread. `names`: the further destinations that are configured."""

    def __init__(self, engine: Engine, names: Collection[str], rules: AlertRules) -> None:
        self._engine = engine
        self._names = sorted(names)
        self._rules = rules

    def look(self, now: datetime) -> Due:
        """What may be due at `now`: rather too much than too little, since each part decides for itself."""
        waits = select(notices.c.id).where(notices.c.status.in_(UNDELIVERED))
        unsent = waits.where(notices.c.destination.in_(self._names))
        is_open = alerts.c.status == Status.OPEN
        reports = select(alerts.c.id).where(is_open, alerts.c.kind == AlertKind.DELIVERY)
        lives = select(alerts.c.id).where(is_open, self._life_may_be_due(now))
        with self._engine.connect() as connection:
            found = connection.execute(
                select(exists(waits.where(in_slack)), exists(unsent), exists(lives), exists(reports))
            ).one()
        return Due(*map(bool, found))

    def _life_may_be_due(self, now: datetime) -> ColumnElement[bool]:
        snoozed = alerts.c.snoozed_until
        over = or_(snoozed <= now, snoozed > now + LONGEST_SNOOZE)
        after = self._rules.escalate_after
        if after is None:
            return over
        # Nobody can have seen it before it was opened; a moment ahead of `now` was written by another clock.
        waited = or_(alerts.c.changed_at <= now - after, alerts.c.changed_at > now)
        unanswered = and_(
            snoozed.is_(None), alerts.c.acknowledged_at.is_(None), alerts.c.escalated_at.is_(None), waited
        )
        return or_(over, and_(unanswered, level_in(self._rules.escalate_levels)))
