"""The spikes of a budget, and which of its limits were reported."""

from datetime import datetime

from sqlalchemy import Engine, func, select

from bot.alerts.incident import Status
from bot.alerts.kinds import AlertKind
from bot.alerts.notice_contents import in_slack, level_in
from bot.alerts.spike_rates import Spike
from bot.budgets.budget import LIMITS
from bot.db.schema import alerts, notices
from bot.db.state import ALERTS, versions_of


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
