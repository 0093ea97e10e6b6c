"""Stores incidents and their notices in one transaction, and queries incidents of all periods."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, Engine, String, func, literal, or_, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.alerts.incident import LEVELS, AlertKind, Identity, Incident, Level, Status
from bot.alerts.lifecycle import CountStep
from bot.alerts.lifecycle_store import LifecycleStore
from bot.alerts.model import AlertPayload, SyntheticAlert, Transition, shown_of
from bot.alerts.notice_contents import (
    ContentStore,
    edit,
    enqueue,
    has_message,
    identity_of,
    in_every_copy,
    in_slack,
    incident_is,
    level_in,
    loaded,
    newest_notice,
)
from bot.alerts.rules import Routes
from bot.alerts.spike_rates import Spike
from bot.budgets.budget import LIMITS, Limit, LimitKind
from bot.counting import not_counted
from bot.db.schema import UTCDateTime, alerts, notices
from bot.db.state import ALERTS, audited, bump, keep, versions_of
from bot.log_fields import Event, fields
from bot.notify.model import SLACK
from bot.notify.store import BacklogStore

TEST = "test"


class Receivers:
    """`wanted`: levels that each destination receives."""

    def __init__(self, wanted: Mapping[str, AbstractSet[Level]]) -> None:
        self._wanted = wanted

    def notify(
        self, connection: Connection, alert_id: int, transition: Transition, owners: Sequence[str], now: datetime
    ) -> None:
        """Enqueue this step, once for each destination. `owners`: ids that a first message names.

        A destination is notified when an incident opens, and when it is resolved if it was notified before. Steps that
        only an edit can show are left out, such as being superseded by a higher limit.
        """
        payload, status = transition.payload, transition.payload.status
        for name, levels in self._wanted.items():
            if payload.level not in levels or payload.unreachable == name:
                continue
            if transition.post or (status is Status.RESOLVED and _was_notified(connection, name, alert_id)):
                enqueue(
                    connection, "post", payload, now, destination=name, step=status, mention=owners, alert_id=alert_id
                )

    def notify_test(self, connection: Connection, test: SyntheticAlert) -> None:
        """Enqueue a test alert for every destination of alerts, whatever levels it receives."""
        for name in (name for name, levels in self._wanted.items() if levels):
            enqueue(connection, "post", test, test.requested_at, destination=name, step=TEST)


def _was_notified(connection: Connection, destination: str, alert_id: int) -> bool:
    query = select(notices.c.id).where(
        notices.c.destination == destination, notices.c.alert_id == alert_id, notices.c.step == Status.OPEN
    )
    return connection.execute(query).first() is not None


log = logging.getLogger(__name__)

MOST_KNOWN = 8
"""Most sets of keys whose incidents are cached."""

_AS_TEXT = type_coerce(alerts.c.limit_usd, String)

OPENED, REOPENED, UPDATED = "opened", "reopened", "updated"
"""Steps to the status `open`, by what was before; every other step is called like its status."""

LIFE = ("acknowledged_by", "acknowledged_at", "snoozed_by", "snoozed_until", "escalated_at")


@dataclass(frozen=True, slots=True)
class _Known:
    """Cached incidents of some periods, at one version of all incidents."""

    version: int
    found: Mapping[tuple[str, str], Sequence[Incident]]


class AlertStore:
    """Synchronous; asynchronous callers use a thread.

    `receivers`: the levels that each further destination receives; `channel_levels`: those that Slack shows. `routes`:
    in which channels. `count`: gets each step.
    """

    def __init__(
        self,
        engine: Engine,
        receivers: Mapping[str, AbstractSet[Level]] | None = None,
        channel_levels: AbstractSet[Level] = frozenset(LEVELS),
        routes: Routes | None = None,
        count: CountStep = not_counted,
    ) -> None:
        self._engine = engine
        self._count = count
        self.routes = routes or Routes()
        self._channel_levels = channel_levels
        self.notices = ContentStore(engine)
        self.life = LifecycleStore(engine, count)
        self.destinations = BacklogStore(engine, receivers or {})
        self._receivers = Receivers(receivers or {})
        self._versions = versions_of(engine)
        self._incidents: dict[frozenset[str], _Known] = {}
        self._open: tuple[int, Mapping[str, Sequence[tuple[str, str]]]] | None = None

    def incidents(self, subject: str, key: str) -> list[Incident]:
        """All incidents of a subject and a key, such as those of a budget in a period."""
        with self._engine.connect() as connection:
            found = _incidents(connection, alerts.c.subject == subject, alerts.c.key == key)
        return found.get((subject, key), [])

    def incidents_in(self, keys: Collection[str]) -> Mapping[tuple[str, str], Sequence[Incident]]:
        """All incidents of these keys in one read, by subject and key, in the order of `incidents`.

        A subject without incidents of a key has no entry. Returns the same object while nothing has changed.
        """
        wanted = frozenset(keys)
        version, known = self._versions.current(self._engine).get(ALERTS, 0), self._incidents.get(wanted)
        if known is None or known.version != version:
            with self._engine.connect() as connection:
                known = _Known(version, _incidents(connection, alerts.c.key.in_(sorted(wanted))))
            # Entries of an older version are stale.
            kept = [(keys, one) for keys, one in self._incidents.items() if one.version == version]
            self._incidents = {**dict(kept[-MOST_KNOWN:]), wanted: known}
        return known.found

    def open_incidents(self, kind: AlertKind) -> Sequence[tuple[str, str]]:
        """Subject and key of the open incidents of this kind; those of all kinds are read at once."""
        version, known = self._versions.current(self._engine).get(ALERTS, 0), self._open
        if known is None or known[0] != version:
            query = select(alerts.c.kind, alerts.c.subject, alerts.c.key).where(alerts.c.status == Status.OPEN)
            found: dict[str, list[tuple[str, str]]] = {}
            with self._engine.connect() as connection:
                for row in connection.execute(query.order_by(alerts.c.id)):
                    found.setdefault(row.kind, []).append((row.subject, row.key))
            known = self._open = version, found
        return known[1].get(kind, ())

    def standing(self) -> list[AlertPayload]:
        """Message content of each incident that is open or superseded, oldest first.

        Incidents without a message are left out, and so are those whose figures this version cannot read.
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

    def record(self, transitions: Sequence[Transition], now: datetime) -> None:
        """Take all steps and enqueue their notices, in one transaction.

        A step that does not post and whose incident has no message changes only the incident. An incident is posted
        once, whoever repeats it. Every further step edits its message and replies in its thread. The log gets one line
        with the reason of each.
        """
        if not transitions:
            return
        # Reading the budgets may open a transaction, so do it before this one.
        named = [self.routes.owners(each.payload) if each.post else () for each in transitions]
        placed = [self.routes.copies(each.payload) if each.post else [] for each in transitions]
        steps: list[str] = []
        with self._engine.begin() as connection:
            for transition, owners, copies in zip(transitions, named, placed, strict=True):
                payload = transition.payload
                alert_id, step = _change(connection, payload.identity, payload.status, now, payload.bound)
                steps.append(step)
                if has_message(connection, alert_id):
                    edit(connection, alert_id, payload, now)
                    in_every_copy(connection, "reply", payload, now, alert_id)
                elif transition.post and self._shown_in_slack(payload):
                    for copy in copies:
                        enqueue(
                            connection,
                            "post",
                            payload,
                            now,
                            channel=copy.channel,
                            mention=copy.mention,
                            alert_id=alert_id,
                        )
                self._receivers.notify(connection, alert_id, transition, owners, now)
            bump(connection, ALERTS)
        self._versions.changed()
        for payload, step in zip((transition.payload for transition in transitions), steps, strict=True):
            if payload.status is not Status.WATCHED:
                self._count(payload.level, step)
                status = "open again" if step == REOPENED else str(payload.status)
                shown = fields(event=Event.TRANSITION, status=status, reason=payload.reason, **shown_of(payload))
                log.info("alert %s: %s, because: %s", payload.incident, status, payload.reason, extra=shown)

    def track(self, identities: Iterable[Identity], now: datetime) -> None:
        """Record without notices which limits are in force, in one transaction."""
        with self._engine.begin() as connection:
            for identity in identities:
                _change(connection, identity, Status.WATCHED, now)
            bump(connection, ALERTS)
        self._versions.changed()

    def _shown_in_slack(self, payload: AlertPayload) -> bool:
        # A failure of Slack is not posted to Slack, where it would arrive after it is over.
        return payload.level in self._channel_levels and payload.unreachable != SLACK

    def enqueue_test(self, test: SyntheticAlert) -> None:
        """A test alert for every destination and its audit entry, in one transaction. It belongs to no incident."""
        with audited(self._engine) as connection:
            keep(connection, test.requested_at, test.by, "test-alert", "done", test.incident, incident=test.incident)
            enqueue(connection, "post", test, test.requested_at)
            self._receivers.notify_test(connection, test)


def _incidents(connection: Connection, *conditions: ColumnElement[bool]) -> dict[tuple[str, str], list[Incident]]:
    # Cache by stored text: many rows repeat it, and each text is parsed once.
    columns = (alerts.c.subject, alerts.c.key, alerts.c.kind, alerts.c.limit_kind, _AS_TEXT, alerts.c.status)
    query = select(*columns).where(*conditions).order_by(alerts.c.id)
    found: dict[tuple[str, str], list[Incident]] = {}
    known: dict[tuple[str | None, ...], Incident] = {}
    for subject, key, *texts in connection.execute(query):
        kind, limit_kind, limit_usd, status = texts
        incident = known.get(tuple(texts))
        if incident is None:
            limit = None if limit_usd is None else Limit(LimitKind(limit_kind), Decimal(limit_usd))
            incident = known[tuple(texts)] = Incident(AlertKind(kind), limit, Status(status))
        found.setdefault((subject, key), []).append(incident)
    return found


def _change(
    connection: Connection, identity: Identity, status: Status, now: datetime, bound: Decimal | None = None
) -> tuple[int, str]:
    """Bring an incident to `status`; returns its id, and the step that this was. `bound`: USD an hour."""
    is_it = incident_is(identity)
    limit = identity.limit
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        # Of two copies that open an incident at once, the second waits here and then finds the first one's.
        dialect.insert(alerts)
        .values(
            kind=identity.kind,
            subject=identity.subject,
            key=identity.key,
            limit_kind=None if limit is None else limit.kind,
            limit_usd=None if limit is None else limit.usd,
            bound_usd_per_hour=bound,
            status=status,
            opened_at=now,
            changed_at=now,
        )
        .on_conflict_do_nothing()
    )
    first = select(alerts.c.status, alerts.c.first_opened_at).where(is_it).with_for_update()
    before, first_opened_at = connection.execute(first).one()
    opened: dict[str, object] = {}
    if status is Status.OPEN:
        opened["first_opened_at"] = func.coalesce(alerts.c.first_opened_at, literal(now, UTCDateTime()))
        # A reopened alert is unassigned; one that another copy has just opened keeps its assignee.
        if before != Status.OPEN:
            opened |= dict.fromkeys(LIFE)
    changed = update(alerts).where(is_it).values(status=status, changed_at=now, **opened)
    return int(connection.execute(changed.returning(alerts.c.id)).scalar_one()), _step(status, before, first_opened_at)


def _step(status: Status, before: str, first_opened_at: datetime | None) -> str:
    if status is not Status.OPEN:
        return status
    return OPENED if first_opened_at is None else REOPENED if before != Status.OPEN else UPDATED


@dataclass(frozen=True, slots=True)
class NewestIncident:
    """The newest incident of a subject and kind. `changed_at`: since when it has its status."""

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
        """The newest incident of this kind; None if there never was one."""
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
        """Incidents of these levels that are open, or were closed at or after `closed_since`."""
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
        """When the bot first recorded a limit or an incident; None if it never did."""
        with self._engine.connect() as connection:
            first: datetime | None = connection.execute(select(func.min(alerts.c.opened_at))).scalar_one()
        return first


class SpikeStore:
    """Synchronous; asynchronous callers use a thread. Spikes are recorded like every other incident."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions = versions_of(engine)
        self._open: tuple[int, frozenset[str]] | None = None

    def newest(self, budget: str) -> Spike | None:
        """The budget's last spike, open or not."""
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
        """When an alert about one of the budget's limits was last queued for posting."""
        query = (
            select(func.max(notices.c.created_at))
            .join(alerts, alerts.c.id == notices.c.alert_id)
            .where(alerts.c.subject == budget, level_in(LIMITS), notices.c.action == "post", in_slack)
        )
        with self._engine.connect() as connection:
            posted_at: datetime | None = connection.execute(query).scalar_one()
        return posted_at
