"""The small state that every cycle asks for, read in one statement."""

from dataclasses import dataclass, fields

from sqlalchemy import Engine, Select, exists, literal, select, true

from bot.alerts.incident import DATA, Status
from bot.alerts.incident_store import NewestIncident
from bot.alerts.kinds import AlertKind
from bot.db.schema import alerts, mode_changes, proposals, state
from bot.modes.changes import AUTO_KEY, AUTO_SWITCH, AutoSwitch, ModeChange
from bot.modes.model import ProposalStatus
from bot.usage.age import DataState
from bot.usage.store_reads import DATA_STATE, DATA_STATE_KEY

CHANGE = tuple(field.name for field in fields(ModeChange))


@dataclass(frozen=True, slots=True)
class CycleState:
    """As of one moment. `data`: what is known of the last poll. `change`: the newest change of the fallback mode.

    `auto`: what was said in chat about stepping down by itself. `proposals`: whether a change waits for approval.
    `no_data`: the newest incident about data that does not come.
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
        """The state at this moment, which is the latest one from now on."""
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
        """What was read last, or where that failed, what is read now."""
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
