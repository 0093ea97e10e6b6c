"""Incidents: a change and its notices are one transaction."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, String, func, literal, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.alerts.decide import Incident, Status, Step
from bot.alerts.lifecycle_store import LifeStore
from bot.alerts.model import AlertPayload, DeliveryAlert, SyntheticAlert
from bot.alerts.notice_contents import ContentStore, edit, enqueue, has_message, incident_is, newest_notice
from bot.alerts.payloads import loaded
from bot.alerts.receivers import Receivers
from bot.budgets.budget import Level
from bot.db.audit import keep
from bot.db.schema import UTCDateTime, alerts, notices
from bot.db.state import ALERTS, bump, versions_of
from bot.notify.model import SLACK
from bot.notify.store import BacklogStore

log = logging.getLogger(__name__)

MOST_KNOWN = 4
"""Sets of periods of which the incidents are remembered."""

_AS_TEXT = type_coerce(alerts.c.limit_usd, String)

LIFE = ("acknowledged_by", "acknowledged_at", "snoozed_by", "snoozed_until", "escalated_at")


@dataclass(frozen=True, slots=True)
class _Known:
    """Incidents of some periods, as of a version of all incidents."""

    version: int
    found: Mapping[tuple[str, str], Sequence[Incident]]


class AlertStore:
    """Synchronous; asynchronous callers use a thread.

    `receivers`: the levels that each further destination receives; `channel_levels`: those that Slack's channel shows.
    """

    def __init__(
        self,
        engine: Engine,
        receivers: Mapping[str, AbstractSet[Level]] | None = None,
        channel_levels: AbstractSet[Level] = frozenset(Level),
    ) -> None:
        self._engine = engine
        self._channel_levels = channel_levels
        self.notices = ContentStore(engine)
        self.life = LifeStore(engine)
        self.destinations = BacklogStore(engine, receivers or {})
        self._receivers = Receivers(receivers or {})
        self._versions = versions_of(engine)
        self._incidents: dict[frozenset[str], _Known] = {}

    def incidents(self, budget: str, period: str) -> list[Incident]:
        """All incidents of a budget in a period."""
        query = select(alerts).where(alerts.c.budget == budget, alerts.c.period == period).order_by(alerts.c.id)
        with self._engine.connect() as connection:
            return [Incident(Level(row.level), row.limit_usd, Status(row.status)) for row in connection.execute(query)]

    def incidents_in(self, periods: Collection[str]) -> Mapping[tuple[str, str], Sequence[Incident]]:
        """All incidents of these periods, by budget and period, in the order of `incidents`; read at once.

        A budget without incidents in a period has no entry. The same value as long as nothing has changed.
        """
        wanted = frozenset(periods)
        version, known = self._versions.current(self._engine).get(ALERTS, 0), self._incidents.get(wanted)
        if known is None or known.version != version:
            with self._engine.connect() as connection:
                known = _Known(version, _incidents(connection, wanted))
            # Of an older version none is right any more.
            kept = [(periods, one) for periods, one in self._incidents.items() if one.version == version]
            self._incidents = {**dict(kept[-MOST_KNOWN:]), wanted: known}
        return known.found

    def open_incidents(self, level: Level) -> list[tuple[str, str]]:
        """Subject and period of the incidents of this level that stand open."""
        query = select(alerts.c.budget, alerts.c.period).where(alerts.c.level == level, alerts.c.status == Status.OPEN)
        with self._engine.connect() as connection:
            return [(row.budget, row.period) for row in connection.execute(query.order_by(alerts.c.id))]

    def standing(self) -> list[AlertPayload]:
        """What the message of each incident says that stands open or superseded, the oldest first.

        One without a message is left out, and so is one whose figures this version cannot read.
        """
        newest = newest_notice().scalar_subquery()
        query = (
            select(notices.c.facts)
            .join(alerts, notices.c.id == newest)
            .where(alerts.c.status.in_((Status.OPEN, Status.SUPERSEDED)))
            .order_by(alerts.c.id)
        )
        with self._engine.connect() as connection:
            stored = connection.execute(query).scalars().all()
        return [payload for value in stored if isinstance(payload := loaded(value), AlertPayload)]

    def record(
        self, budget: str, period: str, steps: Sequence[Step], facts_of: Callable[[Step], AlertPayload], now: datetime
    ) -> None:
        """Take all steps and enqueue their notices, in one transaction.

        A step whose incident has no message of its own and that does not post one changes only the incident. An
        incident is posted once, whatever is repeated and by whom. Every further step edits its message, and a reply in
        the thread below that tells it. The log gets a line with the reason of each.
        """
        taken = [(step, facts_of(step)) for step in steps]
        with self._engine.begin() as connection:
            for step, facts in taken:
                alert_id = _change(connection, budget, period, step, now)
                if has_message(connection, alert_id):
                    edit(connection, alert_id, facts, now)
                    enqueue(connection, "reply", facts, now, alert_id=alert_id)
                elif step.post and self._shown_in_slack(facts):
                    enqueue(connection, "post", facts, now, alert_id=alert_id)
                self._receivers.notify(connection, alert_id, step, facts, now)
            bump(connection, ALERTS)
        self._versions.changed()
        for step, facts in taken:
            if step.status is not Status.WATCHED:
                log.info("alert %s: %s, because: %s", facts.incident, step.status, step.reason)

    def note(self, budget: str, period: str, steps: Sequence[Step], now: datetime) -> None:
        """Take steps without notices, such as which limits are in force, in one transaction."""
        with self._engine.begin() as connection:
            for step in steps:
                _change(connection, budget, period, step, now)
            bump(connection, ALERTS)
        self._versions.changed()

    def _shown_in_slack(self, facts: AlertPayload) -> bool:
        # That Slack takes nothing is told elsewhere; in Slack it would arrive when it is over.
        return facts.level in self._channel_levels and not (
            isinstance(facts, DeliveryAlert) and facts.destination == SLACK
        )

    def enqueue_test(self, facts: SyntheticAlert) -> None:
        """A test alert for every destination and its audit entry, in one transaction. It belongs to no incident."""
        with self._engine.begin() as connection:
            keep(connection, facts.requested_at, facts.by, "test-alert", "done", facts.incident)
            enqueue(connection, "post", facts, facts.requested_at)
            self._receivers.notify_test(connection, facts)


def _incidents(connection: Connection, periods: AbstractSet[str]) -> dict[tuple[str, str], list[Incident]]:
    # Text as it is stored: many rows say the same, and each different one is turned into an incident once.
    columns = (alerts.c.budget, alerts.c.period, alerts.c.level, _AS_TEXT, alerts.c.status)
    query = select(*columns).where(alerts.c.period.in_(sorted(periods))).order_by(alerts.c.id)
    found: dict[tuple[str, str], list[Incident]] = {}
    known: dict[tuple[str, str, str], Incident] = {}
    for budget, period, level, limit_usd, status in connection.execute(query):
        incident = known.get((level, limit_usd, status))
        if incident is None:
            incident = known[level, limit_usd, status] = Incident(Level(level), Decimal(limit_usd), Status(status))
        found.setdefault((budget, period), []).append(incident)
    return found


def _change(connection: Connection, budget: str, period: str, step: Step, now: datetime) -> int:
    identity = incident_is(budget, period, step.level, step.limit_usd)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        # Of two copies that open the same incident at once, the second waits here and finds the first one's.
        dialect.insert(alerts)
        .values(
            budget=budget,
            period=period,
            level=step.level,
            limit_usd=step.limit_usd,
            status=step.status,
            opened_at=now,
            changed_at=now,
        )
        .on_conflict_do_nothing()
    )
    before = connection.execute(select(alerts.c.status).where(identity).with_for_update()).scalar_one()
    opened: dict[str, object] = {}
    if step.status is Status.OPEN:
        opened["first_opened_at"] = func.coalesce(alerts.c.first_opened_at, literal(now, UTCDateTime()))
        # An alert that opens again is nobody's yet; one that another copy has just opened stays whose it is.
        if before != Status.OPEN:
            opened |= dict.fromkeys(LIFE)
    changed = update(alerts).where(identity).values(status=step.status, changed_at=now, **opened)
    return int(connection.execute(changed.returning(alerts.c.id)).scalar_one())
