"""What is known of incidents beyond one period of a budget, spikes among them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Engine, func, or_, select

from bot.alerts.incident import AlertKind, Identity, Level, Status
from bot.alerts.notice_contents import identity_of, in_slack, level_in
from bot.alerts.spike_rates import Spike
from bot.budgets.budget import LIMITS
from bot.db.schema import alerts, notices
from bot.db.state import ALERTS, versions_of


@dataclass(frozen=True, slots=True)
class NewestIncident:
    """The incident of a subject and a kind that was opened last. `changed_at`: since when it has its status."""

    key: str
    status: Status
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class OpenedIncident:
    """An incident that is or was open. `changed_at`: since when it has its status."""

    identity: Identity
    bound_usd_per_hour: Decimal | None
    status: Status
    first_opened_at: datetime
    changed_at: datetime


class IncidentStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, subject: str, kind: AlertKind) -> NewestIncident | None:
        """The last incident of its kind; None where there never was one."""
        query = (
            select(alerts.c.key, alerts.c.status, alerts.c.changed_at)
            .where(alerts.c.subject == subject, alerts.c.kind == kind)
            .order_by(alerts.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else NewestIncident(row.key, Status(row.status), row.changed_at)

    def opened(self, levels: Collection[Level], closed_since: datetime) -> list[OpenedIncident]:
        """The incidents of these levels that are open, or were and are not since that moment at the earliest."""
        query = (
            select(alerts)
            .where(level_in(levels), alerts.c.first_opened_at.is_not(None))
            .where(or_(alerts.c.status == Status.OPEN, alerts.c.changed_at >= closed_since))
            .order_by(alerts.c.id)
        )
        with self._engine.connect() as connection:
            return [
                OpenedIncident(
                    identity_of(row),
                    row.bound_usd_per_hour,
                    Status(row.status),
                    row.first_opened_at,
                    row.changed_at,
                )
                for row in connection.execute(query)
            ]

    def watching_since(self) -> datetime | None:
        """When the bot first noted a limit or an incident; None where it never did."""
        with self._engine.connect() as connection:
            first: datetime | None = connection.execute(select(func.min(alerts.c.opened_at))).scalar_one()
        return first


class SpikeStore:
    """Synchronous; asynchronous callers use a thread. Spikes are recorded as every other incident is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._open: tuple[int, frozenset[str]] | None = None

    def newest(self, budget: str) -> Spike | None:
        """The budget's last spike, whatever became of it."""
        query = (
            select(alerts)
            .where(alerts.c.subject == budget, alerts.c.kind == AlertKind.SPIKE)
            .order_by(alerts.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Spike(row.key, row.bound_usd_per_hour, Status(row.status), row.opened_at, row.changed_at)

    def open(self) -> frozenset[str]:
        """The budgets that have an open spike."""
        version, known = self._versions.current(self._engine).get(ALERTS, 0), self._open
        if known is None or known[0] != version:
            query = select(alerts.c.subject).where(alerts.c.status == Status.OPEN, alerts.c.kind == AlertKind.SPIKE)
            with self._engine.connect() as connection:
                known = self._open = version, frozenset(connection.execute(query).scalars())
        return known[1]

    def limit_posted_at(self, budget: str) -> datetime | None:
        """When an alert about one of the budget's limits was last decided to be posted."""
        query = (
            select(func.max(notices.c.created_at))
            .join(alerts, alerts.c.id == notices.c.alert_id)
            .where(alerts.c.subject == budget, level_in(LIMITS), notices.c.action == "post", in_slack)
        )
        with self._engine.connect() as connection:
            posted_at: datetime | None = connection.execute(query).scalar_one()
        return posted_at
