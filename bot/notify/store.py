"""The outbox in the database: notices in order, until they are delivered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    delete,
    func,
    select,
    type_coerce,
    update,
)

from bot.db.schema import (
    UTCDateTime,
    notices,
    unreachable_channels,
)
from bot.notify.claims import TURN_SECONDS, AskedToWaitError, AskedWait, Claim, Claims
from bot.notify.diversion_store import divert, meant_for
from bot.notify.model import (
    SLACK,
    UNDELIVERED,
    Address,
    Notice,
    NoticeStatus,
    UnreadableContentError,
    UnreadableNoticeError,
)
from bot.notify.queue_store import OWNERS, insert_details

ReadContent = Callable[[Connection, Row[Any]], Any]
"""The renderer's input from a row of `notices`. Raises `UnreadableContentError`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A destination with failed notices. `since`: when the oldest was decided; `error`: a clause."""

    destination: str
    count: int
    since: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """Notices that wait for one destination. `since`: when the oldest was decided."""

    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class UnreachableChannel:
    """A channel of a budget or a digest that takes nothing from the bot. `error`: one sentence."""

    channel: str
    since: datetime
    error: str


class NoticeStore:
    """The notices of one destination. Synchronous.

    A notice is claimed before it is tried, and only the copy with its claim records the outcome. The methods that
    record one return False and change nothing if another copy has claimed or settled the notice since.
    """

    def __init__(self, engine: Engine, read_content: ReadContent, destination: str = SLACK) -> None:
        self._engine = engine
        self._read_content = read_content
        self._undelivered = (notices.c.destination == destination, notices.c.status.in_(UNDELIVERED))

    def claim(self, now: datetime, held: AbstractSet[int] = frozenset(), claims: Claims | None = None) -> Notice | None:
        """Claim the oldest notice that may be tried now, and record the attempt. Returns None if there is none.

        A chain is an incident, a proposal, or all announcements of modes. Within it no notice overtakes another that
        waits, such as those in `held`, or that another copy may be sending. `claims`: what this copy knows of others.

        For some seconds after another copy has begun to send a message, no message of the same moment for the same
        channel is claimed. So a hard alert can link to its soft one, and of many alerts at once only one copy runs into
        Slack's rate limit.

        Raises `AskedToWaitError` if the destination has asked for a wait since the last look, and
        `UnreadableNoticeError` for a notice that is claimed but cannot be read.
        """
        claims = claims or Claims()
        # Leave out the content, since this query reads every waiting notice.
        columns = [column for column in notices.c if column.name != "facts"]
        query: Select[Any] = select(*columns, type_coerce(func.now(), UTCDateTime).label("now"))
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(*self._undelivered).order_by(notices.c.id)).all()
        if left := claims.asked(_asked_waits(rows)):
            raise AskedToWaitError(left)
        under_way = claims.under_way(_claims(rows))
        taken = {_turn(row) for row in rows if under_way.get(row.id, TURN_SECONDS) < TURN_SECONDS}
        firsts: dict[tuple[str, int, str], Row[Any]] = {}
        for row in rows:
            firsts.setdefault(_chain(row), row)
        for row in firsts.values():
            if row.id in held or row.id in under_way or _turn(row) in taken:
                continue
            if (notice := self._claimed(row, claims.new(), now)) is not None:
                return notice
            # Another copy has claimed it since the query.
            taken.add(_turn(row))
        return None

    def _claimed(self, row: Row[Any], claim: str, now: datetime) -> Notice | None:
        """Claim a notice. Returns None if another copy has claimed or settled it since `row` was read."""
        as_read = (
            notices.c.id == row.id,
            notices.c.status == row.status,
            notices.c.attempts == row.attempts,
            notices.c.claim.is_not_distinct_from(row.claim),
        )
        begun = {
            "status": NoticeStatus.SENDING,
            "attempts": row.attempts + 1,
            "attempted_at": now,
            "next_attempt_at": now,
            "claim": claim,
            "claimed_at": func.now(),
        }
        with self._engine.begin() as connection:
            found = connection.execute(select(notices).where(*as_read).with_for_update(skip_locked=True)).one_or_none()
            if found is None:
                return None
            connection.execute(update(notices).where(notices.c.id == row.id).values(**begun))
            try:
                content = self._read_content(connection, found)
            except UnreadableContentError as error:
                unreadable = error
            else:
                return _notice(found, claim, content, _address(connection, found), meant_for(connection, found))
        raise UnreadableNoticeError(_notice(found, claim, None, None, ())) from unreadable

    def claim_again(self, notice: Notice, claim: str) -> bool:
        """Replace this copy's claim by a new one, whose time starts anew. False if another copy has the notice."""
        with self._engine.begin() as connection:
            return _set(connection, notice.id, notice.claim, {"claim": claim, "claimed_at": func.now()})

    def put_back(self, notice: Notice, error: str) -> bool:
        """Undo a claim whose notice was not tried. `error`: why it was not."""
        values = {
            "status": NoticeStatus.SENDING if notice.outcome_unknown else NoticeStatus.PENDING,
            "attempts": notice.attempts,
            "attempted_at": notice.attempted_at,
            "next_attempt_at": notice.attempted_at or notice.created_at,
            "claim": None,
            "error": error,
        }
        with self._engine.begin() as connection:
            return _set(connection, notice.id, notice.claim, values)

    def undelivered(self) -> int:
        """How many notices wait for delivery, due or not."""
        query = select(func.count()).select_from(notices).where(*self._undelivered)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def finish(
        self,
        notice_id: int,
        now: datetime,
        address: Address | None,
        *,
        claim: str | None = None,
        without_details: bool = False,
    ) -> bool:
        """Record the delivery, and store the message's `address` with the notice's owner; None keeps the stored one.

        `without_details`: whether the details were left out; they become a reply, in the same transaction.
        """
        with self._engine.begin() as connection:
            values = {"status": NoticeStatus.SENT, "sent_at": now, "error": None}
            if not _set(connection, notice_id, claim, values):
                return False
            if address is not None:
                _keep_address(connection, notice_id, address)
            if without_details:
                insert_details(connection, notice_id, now)
            reached = select(notices.c.channel).where(notices.c.id == notice_id).scalar_subquery()
            connection.execute(delete(unreachable_channels).where(unreachable_channels.c.channel == reached))
            return True

    def retry(
        self,
        notice_id: int,
        next_attempt_at: datetime | None,
        error: str,
        *,
        outcome_unknown: bool,
        claim: str | None = None,
        reached: AbstractSet[str] | None = None,
    ) -> bool:
        """Record a failed or unknown attempt, and give the notice back for a retry.

        `next_attempt_at`: the end of the wait that the destination asked for; None if it asked for none, or for this
        notice alone. `reached`: hashes of the recipients that have it; None keeps the stored ones.
        """
        status = NoticeStatus.SENDING if outcome_unknown else NoticeStatus.PENDING
        until = (
            func.coalesce(notices.c.attempted_at, notices.c.created_at) if next_attempt_at is None else next_attempt_at
        )
        values: dict[str, object] = {"status": status, "next_attempt_at": until, "claim": None, "error": error}
        if reached is not None:
            values["reached"] = sorted(reached)
        with self._engine.begin() as connection:
            return _set(connection, notice_id, claim, values)

    def divert(self, notice_id: int, now: datetime, error: str, *, claim: str | None) -> bool:
        """Move a message to the main channel, since its own takes nothing. See `diversion_store`."""
        with self._engine.begin() as connection:
            return divert(connection, notice_id, now, error, claim)

    def unreachable(self) -> dict[str, UnreachableChannel]:
        """The channels of budgets and digests that could not be reached at the last attempt, by id."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(unreachable_channels).order_by(unreachable_channels.c.channel)).all()
        return {row.channel: UnreachableChannel(row.channel, row.since, row.error) for row in rows}

    def give_up(self, notice_id: int, error: str, *, forget_address: bool = False, claim: str | None = None) -> bool:
        """Drop an edit or a reply that can never be made. `forget_address`: its message is gone."""
        with self._engine.begin() as connection:
            if not _set(connection, notice_id, claim, {"status": NoticeStatus.OBSOLETE, "error": error}):
                return False
            if forget_address:
                _keep_address(connection, notice_id, None)
            return True

    def last_error(self) -> str | None:
        """Why the oldest failed notice waits; None if none has failed."""
        waiting = self.failing()
        return None if waiting is None else waiting[1]

    def failing(self) -> tuple[datetime, str] | None:
        """Since when the oldest failed notice waits, and why; None if none has failed."""
        query = (
            select(notices.c.created_at, notices.c.error)
            .where(*self._undelivered, notices.c.error.is_not(None))
            .order_by(notices.c.id)
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.created_at, row.error)


class BacklogStore:
    """The notices that wait, by destination. `names`: those that are configured besides Slack. Synchronous."""

    def __init__(self, engine: Engine, names: Collection[str]) -> None:
        self._engine = engine
        self.names = tuple(names)

    def backlog(self) -> dict[str, Backlog]:
        """What waits, tried or not, by destination, Slack included. Destinations with nothing have no entry."""
        query = (
            select(notices.c.destination, func.count(), func.min(notices.c.created_at))
            .where(notices.c.destination.in_((SLACK, *self.names)), notices.c.status.in_(UNDELIVERED))
            .group_by(notices.c.destination)
        )
        with self._engine.connect() as connection:
            return {name: Backlog(count, since) for name, count, since in connection.execute(query)}

    def undelivered(self) -> dict[str, int]:
        """How many notices wait for each configured destination, tried or not."""
        counts = self._counts()
        return {name: counts[name] for name in self.names if name in counts}

    def stranded(self) -> dict[str, int]:
        """How many notices wait for destinations that are no longer configured."""
        return {name: count for name, count in self._counts().items() if name not in self.names}

    def waiting(self) -> list[Waiting]:
        """The destinations with failed notices."""
        query = (
            select(notices.c.destination, notices.c.created_at, notices.c.error)
            .where(notices.c.destination.in_(self.names), notices.c.status.in_(UNDELIVERED))
            .order_by(notices.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        found = []
        for name in self.names:
            own = [row for row in rows if row.destination == name]
            errors = [row.error for row in own if row.error is not None]
            if errors:
                found.append(Waiting(name, len(own), own[0].created_at, errors[0]))
        return found

    def _counts(self) -> dict[str, int]:
        query = (
            select(notices.c.destination, func.count())
            .where(notices.c.destination != SLACK, notices.c.status.in_(UNDELIVERED))
            .group_by(notices.c.destination)
        )
        with self._engine.connect() as connection:
            return {str(name): int(count) for name, count in connection.execute(query)}


def _set(connection: Connection, notice_id: int, claim: str | None, values: Mapping[str, object]) -> bool:
    """Change an undelivered notice if `claim` still holds; None is any claim. Returns whether it was changed."""
    undelivered = update(notices).where(notices.c.id == notice_id, notices.c.status.in_(UNDELIVERED)).values(**values)
    if claim is not None:
        undelivered = undelivered.where(notices.c.claim == claim)
    return connection.execute(undelivered).rowcount == 1


def _asked_waits(rows: Sequence[Row[Any]]) -> list[AskedWait]:
    return [
        AskedWait(row.id, row.attempts, row.next_attempt_at - row.attempted_at, row.now - row.claimed_at)
        for row in rows
        if row.claimed_at is not None and row.attempted_at is not None and row.attempted_at < row.next_attempt_at
    ]


def _claims(rows: Sequence[Row[Any]]) -> list[Claim]:
    return [Claim(row.id, row.claim, row.now - row.claimed_at) for row in rows if row.claim is not None]


def _turn(row: Row[Any]) -> tuple[datetime, str]:
    """Messages with the same turn are sent by one copy at a time: their moment, and their channel."""
    return row.created_at, row.channel or ""


def _chain(row: Row[Any]) -> tuple[str, int, str]:
    """The chain of a notice. The messages of one alert in two channels are two chains."""
    if row.alert_id is not None:
        return "alert", row.alert_id, row.channel or ""
    for column in ("proposal_id", "raise_id", "budget_change_id", "digest_change_id"):
        if row._mapping[column] is not None:
            return column.removesuffix("_id"), row._mapping[column], ""
    return ("mode", 0, "") if row.mode_change_id is not None else ("notice", row.id, "")


def _keep_address(connection: Connection, notice_id: int, address: Address | None) -> None:
    about = connection.execute(select(notices.c.alert_id, notices.c.channel).where(notices.c.id == notice_id)).one()
    if about.alert_id is not None and about.channel is not None:
        post = _post_in(about.alert_id, about.channel)
        connection.execute(update(notices).where(post).values(ts=None if address is None else address.ts))
        return
    values = {"channel": None, "ts": None} if address is None else {"channel": address.channel, "ts": address.ts}
    for column, table in OWNERS:
        owner = select(notices.c[column]).where(notices.c.id == notice_id).scalar_subquery()
        connection.execute(update(table).where(table.c.id == owner).values(values))


def _post_in(alert_id: int, channel: str) -> ColumnElement[bool]:
    """The condition that a notice is an alert's post in its own channel."""
    return and_(notices.c.alert_id == alert_id, notices.c.channel == channel, notices.c.action == "post")


def _address(connection: Connection, row: Row[Any]) -> Address | None:
    if row.alert_id is not None and row.channel is not None:
        query = select(notices.c.ts).where(_post_in(row.alert_id, row.channel), notices.c.ts.is_not(None))
        ts = connection.execute(query.limit(1)).scalar_one_or_none()
        return None if ts is None else Address(row.channel, ts)
    for column, table in OWNERS:
        owner_id = row._mapping[column]
        if owner_id is not None:
            return address_of(connection.execute(select(table).where(table.c.id == owner_id)).one())
    return None


def address_of(owner: Row[Any]) -> Address | None:
    """The address of the message of an owner; None if it has none. `owner`: a row of a table in `OWNERS`."""
    return None if owner.channel is None or owner.ts is None else Address(owner.channel, owner.ts)


def _notice(row: Row[Any], claim: str, content: Any, address: Address | None, meant_for: tuple[str, ...]) -> Notice:
    return Notice(
        id=row.id,
        action=row.action,
        about=row.about,
        content=content,
        attempts=row.attempts,
        outcome_unknown=row.status == NoticeStatus.SENDING,
        created_at=row.created_at,
        address=address,
        reposts=row.reposts,
        attempted_at=row.attempted_at,
        reached=frozenset(row.reached),
        channel=row.channel,
        meant_for=meant_for,
        mention=tuple(row.mention),
        claim=claim,
    )
