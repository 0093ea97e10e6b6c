"""Incidents and the outbox: a change of an incident and the notices that tell it are one transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoResultFound

from bot.alerts.facts import FACTS, AlertFacts, NoticeFacts, TestFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Incident, Status, Step
from bot.store.outside import OutsideStore
from bot.store.schema import alerts, audit, mode_changes, notices

Action = Literal["post", "update"]


class NoticeStatus(StrEnum):
    """`sending` is written before the call to Slack: found later, its outcome is unknown."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    OBSOLETE = "obsolete"


UNDELIVERED = (NoticeStatus.PENDING, NoticeStatus.SENDING)


PATIENCE = 8
"""Failures, about eight minutes of them, after which what fails with Slack as a whole may be due to one notice."""


class UnreadableNoticeError(Exception):
    """A stored notice that this version cannot read."""

    def __init__(self, notice_id: int, outcome_unknown: bool) -> None:
        super().__init__("what was stored of it cannot be read by this version of the bot")
        self.notice_id = notice_id
        self.outcome_unknown = outcome_unknown


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message stands in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery. `address`: the message to edit. `related`: the message of the other level, to link to.

    `written_at` and `write_error`: how far the target of a mode change has followed by now.
    """

    id: int
    action: Action
    facts: NoticeFacts
    attempts: int
    outcome_unknown: bool
    created_at: datetime
    address: Address | None
    related: Address | None
    written_at: datetime | None
    write_error: str | None


class AlertStore:
    """Synchronous; asynchronous callers use a thread. `outside`: the levels that each further destination is told."""

    def __init__(self, engine: Engine, outside: Mapping[str, AbstractSet[Level]] | None = None) -> None:
        self._engine = engine
        self.outside = OutsideStore(engine, outside or {})

    def incidents(self, budget: str, period: str) -> list[Incident]:
        """All incidents of a budget in a period."""
        query = select(alerts).where(alerts.c.budget == budget, alerts.c.period == period).order_by(alerts.c.id)
        with self._engine.connect() as connection:
            return [Incident(Level(row.level), row.limit_usd, Status(row.status)) for row in connection.execute(query)]

    def told_without(self, budgets: Collection[str]) -> list[AlertFacts]:
        """What was decided last of each incident that stands open or superseded and whose budget is none of these.

        One without a message is left out, and so is one whose figures this version cannot read.
        """
        newest = select(func.max(notices.c.id)).group_by(notices.c.alert_id)
        query = (
            select(notices.c.facts)
            .join(alerts, alerts.c.id == notices.c.alert_id)
            .where(
                notices.c.id.in_(newest),
                alerts.c.status.in_((Status.OPEN, Status.SUPERSEDED)),
                alerts.c.budget.not_in(budgets),
            )
            .order_by(alerts.c.id)
        )
        with self._engine.connect() as connection:
            kept = connection.execute(query).scalars().all()
        found = []
        for facts in kept:
            with suppress(ValidationError):
                found.append(AlertFacts.model_validate(facts))
        return found

    def record(
        self, budget: str, period: str, steps: Sequence[Step], facts_of: Callable[[Step], AlertFacts], now: datetime
    ) -> None:
        """Take all steps and enqueue what tells them, in one transaction.

        A step whose incident has no message of its own and that does not post one changes only the incident. An
        incident is posted once, whatever is repeated and by whom: a step that would post it again edits its message.
        """
        with self._engine.begin() as connection:
            for step in steps:
                alert_id = _change(connection, budget, period, step, now)
                if _is_told(connection, alert_id):
                    _drop_obsolete_updates(connection, alert_id)
                    enqueue(connection, "update", facts_of(step), now, alert_id=alert_id)
                elif step.post:
                    enqueue(connection, "post", facts_of(step), now, alert_id=alert_id)
                self.outside.enqueue(connection, alert_id, step, facts_of(step), now)

    def enqueue_test(self, facts: TestFacts) -> None:
        """A test alert and its audit entry, in one transaction. It belongs to no incident."""
        at = facts.requested_at
        entry = {"at": at, "actor": facts.by, "action": "test-alert", "outcome": "done", "detail": facts.incident}
        with self._engine.begin() as connection:
            connection.execute(insert(audit).values(entry))
            enqueue(connection, "post", facts, at)

    def due(self, now: datetime, held: AbstractSet[int] = frozenset()) -> Notice | None:
        """The oldest undelivered notice that may be tried at `now`; None while Slack has asked to wait.

        In order within one incident, and within the announcements of modes: nothing there overtakes what waits, such as
        the notices `held`. One that has failed more often than `PATIENCE` lets the others go first. Raises
        `UnreadableNoticeError`.
        """
        query = select(notices).where(notices.c.status.in_(UNDELIVERED)).order_by(notices.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            if any(row.attempts and row.next_attempt_at > now for row in rows):
                return None
            firsts: dict[tuple[str, int], Row[Any]] = {}
            for row in rows:
                firsts.setdefault(_chain(row), row)
            free = [row for row in firsts.values() if row.id not in held]
            if not free:
                return None
            row = min(free, key=lambda row: (row.attempts > PATIENCE, row.id))
            try:
                return _notice(connection, row)
            except (ValidationError, NoResultFound) as error:
                raise UnreadableNoticeError(row.id, row.status == NoticeStatus.SENDING) from error

    def undelivered(self) -> int:
        """How many notices wait for delivery, due or not."""
        query = select(func.count()).where(notices.c.status.in_(UNDELIVERED))
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def start_attempt(self, notice: Notice, now: datetime) -> bool:
        """Write down that Slack is about to be called. False where another copy has taken the notice since."""
        with self._engine.begin() as connection:
            taken = connection.execute(
                update(notices)
                .where(
                    notices.c.id == notice.id,
                    notices.c.status.in_(UNDELIVERED),
                    notices.c.attempts == notice.attempts,
                )
                .values(status=NoticeStatus.SENDING, attempts=notice.attempts + 1, attempted_at=now)
            )
            return taken.rowcount == 1

    def finish(self, notice_id: int, now: datetime, address: Address | None) -> None:
        """Delivered; the address of the incident's message is kept with it. None leaves the one that is known."""
        with self._engine.begin() as connection:
            connection.execute(
                update(notices)
                .where(notices.c.id == notice_id)
                .values(status=NoticeStatus.SENT, sent_at=now, error=None)
            )
            if address is not None:
                alert_id = select(notices.c.alert_id).where(notices.c.id == notice_id).scalar_subquery()
                connection.execute(
                    update(alerts).where(alerts.c.id == alert_id).values(channel=address.channel, ts=address.ts)
                )

    def retry(self, notice_id: int, next_attempt_at: datetime, error: str, *, outcome_unknown: bool) -> None:
        """Not delivered, or not known to be: to be tried again."""
        status = NoticeStatus.SENDING if outcome_unknown else NoticeStatus.PENDING
        self._set(notice_id, status=status, next_attempt_at=next_attempt_at, error=error)

    def give_up(self, notice_id: int, error: str) -> None:
        """An edit that can never be made, because its message is gone."""
        self._set(notice_id, status=NoticeStatus.OBSOLETE, error=error)

    def last_error(self) -> str | None:
        """Why the oldest waiting notice is still waiting; None when nothing waits or nothing was tried yet."""
        query = (
            select(notices.c.error)
            .where(notices.c.status.in_(UNDELIVERED), notices.c.error.is_not(None))
            .order_by(notices.c.id)
            .limit(1)
        )
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _set(self, notice_id: int, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(notices).where(notices.c.id == notice_id).values(**values))


def enqueue(
    connection: Connection,
    action: Action,
    facts: NoticeFacts,
    now: datetime,
    *,
    alert_id: int | None = None,
    mode_change_id: int | None = None,
) -> None:
    """Put a notice into the outbox, within the transaction of the change that it tells."""
    connection.execute(
        insert(notices).values(
            alert_id=alert_id,
            mode_change_id=mode_change_id,
            action=action,
            facts=facts.model_dump(mode="json"),
            status=NoticeStatus.PENDING,
            created_at=now,
            attempts=0,
            next_attempt_at=now,
        )
    )


def _change(connection: Connection, budget: str, period: str, step: Step, now: datetime) -> int:
    identity = _identity(budget, period, step.level, step.limit_usd)
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
    changed = update(alerts).where(identity).values(status=step.status, changed_at=now).returning(alerts.c.id)
    return int(connection.execute(changed).scalar_one())


def _identity(budget: str, period: str, level: Level, limit_usd: Decimal) -> ColumnElement[bool]:
    return and_(
        alerts.c.budget == budget,
        alerts.c.period == period,
        alerts.c.level == level,
        alerts.c.limit_usd == limit_usd,
    )


def _is_told(connection: Connection, alert_id: int) -> bool:
    query = select(notices.c.id).where(notices.c.alert_id == alert_id, notices.c.action == "post").limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


def _drop_obsolete_updates(connection: Connection, alert_id: int) -> None:
    connection.execute(
        update(notices)
        .where(
            notices.c.alert_id == alert_id,
            notices.c.action == "update",
            notices.c.status == NoticeStatus.PENDING,
        )
        .values(status=NoticeStatus.OBSOLETE)
    )


def _chain(row: Row[Any]) -> tuple[str, int]:
    if row.alert_id is not None:
        return "alert", row.alert_id
    return ("mode", 0) if row.mode_change_id is not None else ("notice", row.id)


def _notice(connection: Connection, row: Row[tuple[object, ...]]) -> Notice:
    values = row._mapping
    facts = FACTS.validate_python(values["facts"])
    own = related = None
    if isinstance(facts, AlertFacts):
        alert = connection.execute(select(alerts).where(alerts.c.id == values["alert_id"])).one()
        own = _address(alert.channel, alert.ts)
        related = _related(connection, alert.budget, alert.period, facts)
    change = connection.execute(
        select(mode_changes.c.written_at, mode_changes.c.write_error).where(
            mode_changes.c.id == values["mode_change_id"]
        )
    ).one_or_none()
    return Notice(
        id=values["id"],
        action=values["action"],
        facts=facts,
        attempts=values["attempts"],
        outcome_unknown=values["status"] == NoticeStatus.SENDING,
        created_at=values["created_at"],
        address=own,
        related=related,
        written_at=None if change is None else change.written_at,
        write_error=None if change is None else change.write_error,
    )


def _related(connection: Connection, budget: str, period: str, facts: AlertFacts) -> Address | None:
    """The message of the budget's other limit as it was at the decision; never that of a limit edited since."""
    soft = facts.level is Level.SOFT
    level, limit_usd = (Level.HARD, facts.spend.hard_usd) if soft else (Level.SOFT, facts.spend.soft_usd)
    if limit_usd is None:
        return None
    query = select(alerts.c.channel, alerts.c.ts).where(_identity(budget, period, level, limit_usd))
    other = connection.execute(query).one_or_none()
    return None if other is None else _address(other.channel, other.ts)


def _address(channel: str | None, ts: str | None) -> Address | None:
    return None if channel is None or ts is None else Address(channel, ts)
