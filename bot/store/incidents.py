"""What is known of the incidents that belong to no period of a budget."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from bot.budgets.budget import Level
from bot.budgets.decide import Status
from bot.store.schema import alerts


@dataclass(frozen=True, slots=True)
class NewestIncident:
    """The incident of a subject and a level that was opened last. `changed_at`: since when it has its status."""

    period: str
    status: Status
    changed_at: datetime


class IncidentStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, subject: str, level: Level) -> NewestIncident | None:
        """The last incident of its kind; None where there never was one."""
        query = (
            select(alerts.c.period, alerts.c.status, alerts.c.changed_at)
            .where(alerts.c.budget == subject, alerts.c.level == level)
            .order_by(alerts.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else NewestIncident(row.period, Status(row.status), row.changed_at)

    def watching_since(self) -> datetime | None:
        """When the bot first noted a limit or an incident; None where it never did."""
        with self._engine.connect() as connection:
            first: datetime | None = connection.execute(select(func.min(alerts.c.opened_at))).scalar_one()
        return first
