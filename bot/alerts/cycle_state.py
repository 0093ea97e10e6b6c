"""State that every cycle and every delivery needs, each read in one statement."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Select, and_, exists, literal, or_, select, true

from bot.alerts.incident import DATA, AlertKind, Status
from bot.alerts.lifecycle import LONGEST_SNOOZE
from bot.alerts.notice_contents import in_slack, level_in
from bot.alerts.rules import AlertRules
from bot.alerts.store import NewestIncident
from bot.db.schema import alerts, mode_changes, notices, proposals, state
from bot.modes.changes import AUTO_KEY, AUTO_SWITCH, AutoSwitch, ModeChange
from bot.modes.model import ProposalStatus
from bot.notify.model import UNDELIVERED
from bot.usage.model import DataState
from bot.usage.store_reads import DATA_STATE, DATA_STATE_KEY

CHANGE = tuple(field.name for field in fields(ModeChange))


@dataclass(frozen=True, slots=True)
class CycleState:
    """State at one moment. `data`: result of the last poll. `change`: the newest change of the fallback mode.

    `auto`: setting of automatic steps down from chat. `proposals`: whether a change waits for approval.
    `no_data`: the newest no-data incident.
    """

    data: DataState
    change: ModeChange | None
    auto: AutoSwitch | None
    proposals: bool
    no_data: NewestIncident | None


class CycleStateStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._latest: CycleState | None = None

    def read(self) -> CycleState:
        """Read the state now; `latest` returns it from then on."""
        self._latest = None
        with self._engine.connect() as connection:
            row = connection.execute(_QUERY).one()
        change = None if row.id is None else ModeChange(**{name: row._mapping[name] for name in CHANGE})
        no_data = None if row.key is None else NewestIncident(row.key, Status(row.status), row.since)
        self._latest = CycleState(
            data=DataState() if row.data is None else DATA_STATE.validate_python(row.data),
            change=change,
            auto=None if row.auto is None else AUTO_SWITCH.validate_python(row.auto),
            proposals=bool(row.proposals),
            no_data=no_data,
        )
        return self._latest

    def latest(self) -> CycleState:
        """The state as last read; read it now if that failed."""
        return self._latest or self.read()


def _value_of(key: str) -> Select[tuple[object]]:
    return select(state.c.value).where(state.c.key == key)


def _query() -> Select[tuple[object, ...]]:
    newest = select(*(mode_changes.c[name] for name in CHANGE)).order_by(mode_changes.c.id.desc()).limit(1)
    no_data = (
        select(alerts.c.key, alerts.c.status, alerts.c.changed_at.label("since"))
        .where(alerts.c.subject == DATA, alerts.c.kind == AlertKind.NO_DATA)
        .order_by(alerts.c.id.desc())
        .limit(1)
    )
    is_open = select(proposals.c.id).where(proposals.c.status == ProposalStatus.OPEN)
    one, change, incident = select(literal(1)).subquery(), newest.subquery(), no_data.subquery()
    return select(
        _value_of(DATA_STATE_KEY).scalar_subquery().label("data"),
        _value_of(AUTO_KEY).scalar_subquery().label("auto"),
        exists(is_open).label("proposals"),
        *change.c,
        *incident.c,
    ).select_from(one.outerjoin(change, true()).outerjoin(incident, true()))


_QUERY = _query()


@dataclass(frozen=True, slots=True)
class Due:
    """Which parts of a delivery may have work.

    `slack`: notices wait. `destinations`: notices wait for further destinations that are configured. `life`: a timed
    step of an open alert may be due. `reports`: a delivery alert is open.
    """

    slack: bool = True
    destinations: bool = True
    life: bool = True
    reports: bool = True

    @property
    def watch(self) -> bool:
        """Whether a destination may have started to fail, or may have recovered."""
        return self.slack or self.destinations or self.reports


class DueStore:
    """Synchronous; asynchronous callers use a thread. `names`: the further destinations that are configured."""

    def __init__(self, engine: Engine, names: Collection[str], rules: AlertRules) -> None:
        self._engine = engine
        self._names = sorted(names)
        self._rules = rules

    def look(self, now: datetime) -> Due:
        """What may be due at `now`. False positives are fine, since each part checks again."""
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
