"""The outbox in the database: what is to be said, in order, until it is delivered."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Table, and_, func, insert, select, update
from sqlalchemy.exc import NoResultFound

from bot.alerts.facts import FACTS, NoticeFacts
from bot.alerts.incident_facts import AlertFacts
from bot.alerts.life_steps import Life
from bot.budgets.budget import Level
from bot.store.schema import alerts, mode_changes, notices, proposals

Action = Literal["post", "update", "reply", "broadcast"]
"""A reply stands in the thread of the message; a broadcast is a reply that the channel shows too."""


class NoticeStatus(StrEnum):
    """`sending` is written before the call to Slack: found later, its outcome is unknown."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    OBSOLETE = "obsolete"


UNDELIVERED = (NoticeStatus.PENDING, NoticeStatus.SENDING)

LONGEST_WAIT = timedelta(minutes=5)
"""Between two attempts at one notice."""


class UnreadableNoticeError(Exception):
    """A stored notice that this version cannot read."""

    def __init__(self, notice_id: int, attempts: int, outcome_unknown: bool) -> None:
        super().__init__("what was stored of it cannot be read by this version of the bot")
        self.notice_id = notice_id
        self.attempts = attempts
        self.outcome_unknown = outcome_unknown


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message stands in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One delivery. `address`: the message to edit or to answer. `related`: the message of the other level.

    `alert_id` and `life`: of an incident, the latter as it is by now. `written_at` and `write_error`: how far the
    target of a mode change has followed by now. `attempted_at`: when the last attempt began.
    """

    id: int
    action: Action
    facts: NoticeFacts
    attempts: int
    outcome_unknown: bool
    created_at: datetime
    address: Address | None
    related: Address | None
    alert_id: int | None
    life: Life
    written_at: datetime | None
    write_error: str | None
    attempted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is written down: the notice, its number, and when it began by the clock of whoever made it."""

    notice_id: int
    number: int
    at: datetime | None


def _nobody(attempt: Attempt) -> bool:
    return False


class NoticeStore:
    """Synchronous; asynchronous callers use a thread.

    What becomes of an attempt is written by whoever made it, who gives its number as `attempts`. Where another copy has
    begun a later one since, or has settled the notice, the methods for that return False and change nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(
        self,
        now: datetime,
        held: AbstractSet[int] = frozenset(),
        *,
        ours: Callable[[Attempt], bool] = _nobody,
        under_way: Callable[[Attempt], bool] = _nobody,
    ) -> Notice | None:
        """The oldest undelivered notice that may be tried at `now`; None while Slack has asked to wait.

        In order within one incident, and within the announcements of modes: nothing there overtakes what waits, such as
        the notices `held`, or those with an attempt that may be `under_way` in another copy. `ours`: whether this copy
        made an attempt, so that it knows itself how long Slack has asked to wait. Raises `UnreadableNoticeError`.
        """
        # Without the facts: many may wait, and each look is at all of them.
        columns = [column for column in notices.c if column.name != "facts"]
        query = select(*columns).where(notices.c.status.in_(UNDELIVERED)).order_by(notices.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            if any(row.attempts and _waits(row, now) and not ours(_attempt(row)) for row in rows):
                return None
            firsts: dict[tuple[str, int], Row[Any]] = {}
            for row in rows:
                firsts.setdefault(_chain(row), row)
            free = [row for row in firsts.values() if row.id not in held and not _is_under_way(row, under_way)]
            if not free:
                return None
            row = min(free, key=lambda row: row.id)
            try:
                return _notice(connection, connection.execute(select(notices).where(notices.c.id == row.id)).one())
            except (ValidationError, NoResultFound) as error:
                raise UnreadableNoticeError(row.id, row.attempts, row.status == NoticeStatus.SENDING) from error

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

    def finish(self, notice_id: int, now: datetime, address: Address | None, *, attempts: int | None = None) -> bool:
        """Delivered; the address of the message is kept with what it tells of. None leaves the one that is known."""
        with self._engine.begin() as connection:
            values = {"status": NoticeStatus.SENT, "sent_at": now, "error": None}
            if not _set(connection, notice_id, attempts, values):
                return False
            if address is not None:
                _keep_address(connection, notice_id, address)
            return True

    def retry(
        self,
        notice_id: int,
        next_attempt_at: datetime,
        error: str,
        *,
        outcome_unknown: bool,
        attempts: int | None = None,
    ) -> bool:
        """Not delivered, or not known to be: to be tried again."""
        status = NoticeStatus.SENDING if outcome_unknown else NoticeStatus.PENDING
        values = {"status": status, "next_attempt_at": next_attempt_at, "error": error}
        with self._engine.begin() as connection:
            return _set(connection, notice_id, attempts, values)

    def give_up(self, notice_id: int, error: str, *, forget_address: bool = False, attempts: int | None = None) -> bool:
        """An edit or an answer that can never be made. `forget_address`: nothing can be, since its message is gone."""
        with self._engine.begin() as connection:
            if not _set(connection, notice_id, attempts, {"status": NoticeStatus.OBSOLETE, "error": error}):
                return False
            if forget_address:
                _keep_address(connection, notice_id, None)
            return True

    def last_error(self) -> str | None:
        """Why the oldest waiting notice is still waiting; None when nothing waits or nothing was tried yet."""
        waiting = self.failing()
        return None if waiting is None else waiting[1]

    def failing(self) -> tuple[datetime, str] | None:
        """Since when the oldest notice waits that was tried in vain, and why; None where there is none."""
        query = (
            select(notices.c.created_at, notices.c.error)
            .where(notices.c.status.in_(UNDELIVERED), notices.c.error.is_not(None))
            .order_by(notices.c.id)
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.created_at, row.error)


def _set(connection: Connection, notice_id: int, attempts: int | None, values: Mapping[str, object]) -> bool:
    """Whether the notice is still to be settled, and no other copy has taken it since it had so many attempts."""
    undelivered = update(notices).where(notices.c.id == notice_id, notices.c.status.in_(UNDELIVERED)).values(**values)
    if attempts is not None:
        undelivered = undelivered.where(notices.c.attempts == attempts)
    return connection.execute(undelivered).rowcount == 1


def _waits(row: Row[Any], now: datetime) -> bool:
    """Whether what Slack asked for is not over. No wait outlasts the time for which it was asked, whatever clocks do.

    Before its attempt, or further from its end than any wait is long, the clock has been set since.
    """
    if row.attempted_at is not None and now < row.attempted_at:
        return False
    return bool(now < row.next_attempt_at <= now + LONGEST_WAIT)


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(row.id, row.attempts, row.attempted_at)


def _is_under_way(row: Row[Any], under_way: Callable[[Attempt], bool]) -> bool:
    return row.status == NoticeStatus.SENDING and under_way(_attempt(row))


def enqueue(
    connection: Connection,
    action: Action,
    facts: NoticeFacts,
    now: datetime,
    *,
    alert_id: int | None = None,
    mode_change_id: int | None = None,
    proposal_id: int | None = None,
) -> None:
    """Put a notice into the outbox, within the transaction of the change that it tells."""
    connection.execute(
        insert(notices).values(
            alert_id=alert_id,
            mode_change_id=mode_change_id,
            proposal_id=proposal_id,
            action=action,
            facts=facts.model_dump(mode="json"),
            status=NoticeStatus.PENDING,
            created_at=now,
            attempts=0,
            next_attempt_at=now,
        )
    )


def is_told(connection: Connection, alert_id: int) -> bool:
    """Whether the incident has a message of its own, or is going to have one."""
    query = select(notices.c.id).where(notices.c.alert_id == alert_id, notices.c.action == "post").limit(1)
    return connection.execute(query).scalar_one_or_none() is not None


def edit(connection: Connection, alert_id: int, facts: NoticeFacts, now: datetime) -> None:
    """Have the incident's message edited; an older edit that waits gives way."""
    connection.execute(
        update(notices)
        .where(
            notices.c.alert_id == alert_id,
            notices.c.action == "update",
            notices.c.status == NoticeStatus.PENDING,
        )
        .values(status=NoticeStatus.OBSOLETE)
    )
    enqueue(connection, "update", facts, now, alert_id=alert_id)


def newest_notice() -> Select[tuple[int]]:
    """Within a query of alerts: the id of the notice that holds what the message says now, or is about to say."""
    told = notices.c.alert_id == alerts.c.id, notices.c.action.in_(("post", "update"))
    return select(func.max(notices.c.id)).where(*told).correlate(alerts)


def incident_is(budget: str, period: str, level: Level, limit_usd: Decimal) -> ColumnElement[bool]:
    """The condition that a row of `alerts` is this incident."""
    return and_(
        alerts.c.budget == budget,
        alerts.c.period == period,
        alerts.c.level == level,
        alerts.c.limit_usd == limit_usd,
    )


_OWNERS: tuple[tuple[str, Table], ...] = (
    ("alert_id", alerts),
    ("mode_change_id", mode_changes),
    ("proposal_id", proposals),
)
"""What a notice may tell of, by the column that names it: each keeps where its message stands."""


def _chain(row: Row[Any]) -> tuple[str, int]:
    if row.alert_id is not None:
        return "alert", row.alert_id
    if row.proposal_id is not None:
        return "proposal", row.proposal_id
    return ("mode", 0) if row.mode_change_id is not None else ("notice", row.id)


def _keep_address(connection: Connection, notice_id: int, address: Address | None) -> None:
    values = {"channel": None, "ts": None} if address is None else {"channel": address.channel, "ts": address.ts}
    for column, table in _OWNERS:
        owner = select(notices.c[column]).where(notices.c.id == notice_id).scalar_subquery()
        connection.execute(update(table).where(table.c.id == owner).values(values))


def _notice(connection: Connection, row: Row[tuple[object, ...]]) -> Notice:
    values = row._mapping
    facts = FACTS.validate_python(values["facts"])
    address = related = None
    life = Life()
    if values["alert_id"] is not None:
        alert = connection.execute(select(alerts).where(alerts.c.id == values["alert_id"])).one()
        address, life = _address(alert), life_of(alert)
        if isinstance(facts, AlertFacts):
            related = _related(connection, alert.budget, alert.period, facts)
    change = connection.execute(select(mode_changes).where(mode_changes.c.id == values["mode_change_id"])).one_or_none()
    if change is not None:
        address = _address(change)
    if values["proposal_id"] is not None:
        address = _address(connection.execute(select(proposals).where(proposals.c.id == values["proposal_id"])).one())
    return Notice(
        id=values["id"],
        action=values["action"],
        facts=facts,
        attempts=values["attempts"],
        outcome_unknown=values["status"] == NoticeStatus.SENDING,
        created_at=values["created_at"],
        attempted_at=values["attempted_at"],
        address=address,
        related=related,
        alert_id=values["alert_id"],
        life=life,
        written_at=None if change is None else change.written_at,
        write_error=None if change is None else change.write_error,
    )


def life_of(alert: Row[Any]) -> Life:
    """The life of a row of `alerts`."""
    return Life(alert.acknowledged_by, alert.acknowledged_at, alert.snoozed_by, alert.snoozed_until, alert.escalated_at)


def _related(connection: Connection, budget: str, period: str, facts: AlertFacts) -> Address | None:
    """The message of the budget's other limit as it was at the decision; never that of a limit edited since."""
    hard = facts.level is Level.HARD
    level, limit_usd = (Level.SOFT, facts.spend.soft_usd) if hard else (Level.HARD, facts.spend.hard_usd)
    if limit_usd is None:
        return None
    query = select(alerts).where(incident_is(budget, period, level, limit_usd))
    other = connection.execute(query).one_or_none()
    return None if other is None else _address(other)


def _address(row: Row[Any]) -> Address | None:
    return None if row.channel is None or row.ts is None else Address(row.channel, row.ts)
