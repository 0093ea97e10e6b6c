"""What further destinations than Slack are told: written in the transaction of the incident's change."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.alerts.facts import FACTS, TestFacts
from bot.alerts.incident_facts import DeliveryFacts, IncidentFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Status, Step
from bot.store.schema import outside_notices

TEST = "test"


@dataclass(frozen=True, slots=True)
class OutsideNotice:
    """One letter to one destination. `reached`: marks of its recipients that have it already.

    `attempted_at`: when the attempt began that has not ended, if any. A test alert has no `alert_id`. `facts` is None
    where this version cannot read what was stored.
    """

    id: int
    alert_id: int | None
    facts: IncidentFacts | TestFacts | None
    created_at: datetime
    attempts: int
    attempted_at: datetime | None
    reached: frozenset[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A destination that has failed to take something. `since`: when the oldest was decided; `error`: a clause."""

    destination: str
    count: int
    since: datetime
    error: str


class OutsideStore:
    """Synchronous; asynchronous callers use a thread. `wanted`: the levels that each destination is told."""

    def __init__(self, engine: Engine, wanted: Mapping[str, AbstractSet[Level]]) -> None:
        self._engine = engine
        self._wanted = wanted

    @property
    def names(self) -> AbstractSet[str]:
        """The destinations that are configured."""
        return self._wanted.keys()

    def enqueue(self, connection: Connection, alert_id: int, step: Step, facts: IncidentFacts, now: datetime) -> None:
        """Note what is to be told of this step, once for each destination.

        An incident is told when it opens, and once when it is resolved, to those who were told that it opened. Nothing
        is told of what can only be shown by an edit, such as that a higher limit supersedes it.
        """
        for name, levels in self._wanted.items():
            if step.level not in levels or (isinstance(facts, DeliveryFacts) and facts.destination == name):
                continue
            if step.post or (step.status is Status.RESOLVED and _is_told(connection, name, alert_id)):
                _insert(connection, name, alert_id, step.status, facts, now)

    def enqueue_test(self, connection: Connection, facts: TestFacts) -> None:
        """A test alert for every destination, whatever levels it is told."""
        for name in self._wanted:
            _insert(connection, name, None, TEST, facts, facts.requested_at)

    def pending(self, destination: str) -> list[OutsideNotice]:
        """What this destination has not taken yet, oldest first."""
        query = (
            select(outside_notices)
            .where(outside_notices.c.destination == destination, outside_notices.c.sent_at.is_(None))
            .order_by(outside_notices.c.id)
        )
        with self._engine.connect() as connection:
            return [
                OutsideNotice(
                    id=row.id,
                    alert_id=row.alert_id,
                    facts=_letter_facts(row.facts),
                    created_at=row.created_at,
                    attempts=row.attempts,
                    attempted_at=row.attempted_at,
                    reached=frozenset(row.reached),
                )
                for row in connection.execute(query)
            ]

    def start_attempt(self, notice: OutsideNotice, now: datetime) -> bool:
        """Write down that the destination is about to be called. False where another copy has done so since."""
        with self._engine.begin() as connection:
            taken = connection.execute(
                update(outside_notices)
                .where(
                    outside_notices.c.id == notice.id,
                    outside_notices.c.sent_at.is_(None),
                    outside_notices.c.attempts == notice.attempts,
                )
                .values(attempts=notice.attempts + 1, attempted_at=now)
            )
            return taken.rowcount == 1

    def finish(self, notice_id: int, now: datetime, *, attempts: int | None = None) -> bool:
        """The destination has it. False where another copy has begun a later attempt: that one's result counts."""
        return self._set(notice_id, attempts, sent_at=now, error=None)

    def keep(self, notice_id: int, error: str, reached: AbstractSet[str], *, attempts: int | None = None) -> bool:
        """Not taken, or not by all recipients: to be tried again. False as of `finish`."""
        return self._set(notice_id, attempts, attempted_at=None, error=error, reached=sorted(reached))

    def undelivered(self) -> dict[str, int]:
        """How many letters wait for each destination that is configured, tried or not."""
        counts = self._counts()
        return {name: counts[name] for name in self._wanted if name in counts}

    def stranded(self) -> dict[str, int]:
        """How many letters wait for destinations that are not configured any more."""
        return {name: count for name, count in self._counts().items() if name not in self._wanted}

    def waiting(self) -> list[Waiting]:
        """The destinations that have failed to take what waits for them."""
        query = (
            select(outside_notices.c.destination, outside_notices.c.created_at, outside_notices.c.error)
            .where(outside_notices.c.sent_at.is_(None))
            .order_by(outside_notices.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        found = []
        for name in self._wanted:
            own = [row for row in rows if row.destination == name]
            errors = [row.error for row in own if row.error is not None]
            if errors:
                found.append(Waiting(name, len(own), own[0].created_at, errors[0]))
        return found

    def _counts(self) -> dict[str, int]:
        query = (
            select(outside_notices.c.destination, func.count())
            .where(outside_notices.c.sent_at.is_(None))
            .group_by(outside_notices.c.destination)
        )
        with self._engine.connect() as connection:
            return {str(name): int(count) for name, count in connection.execute(query)}

    def _set(self, notice_id: int, attempts: int | None, **values: object) -> bool:
        own = outside_notices.c.id == notice_id
        untaken = update(outside_notices).where(own, outside_notices.c.sent_at.is_(None)).values(**values)
        if attempts is not None:
            untaken = untaken.where(outside_notices.c.attempts == attempts)
        with self._engine.begin() as connection:
            return connection.execute(untaken).rowcount == 1


def _insert(
    connection: Connection,
    destination: str,
    alert_id: int | None,
    step: str,
    facts: IncidentFacts | TestFacts,
    now: datetime,
) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(outside_notices)
        .values(
            destination=destination,
            alert_id=alert_id,
            step=step,
            facts=facts.model_dump(mode="json"),
            created_at=now,
            attempts=0,
            reached=[],
        )
        .on_conflict_do_nothing()
    )


def _letter_facts(stored: object) -> IncidentFacts | TestFacts | None:
    try:
        facts = FACTS.validate_python(stored)
    except ValidationError:
        return None
    return facts if isinstance(facts, IncidentFacts | TestFacts) else None


def _is_told(connection: Connection, destination: str, alert_id: int) -> bool:
    query = select(outside_notices.c.id).where(
        outside_notices.c.destination == destination,
        outside_notices.c.alert_id == alert_id,
        outside_notices.c.step == Status.OPEN,
    )
    return connection.execute(query).first() is not None
