"""Stores what is known of OTLP senders: the last points of series, and who reports in which way."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import ledger_senders, ledger_series
from bot.ledger.otlp.series import Known, Period, SeriesState, Way

AT_ONCE = 500


class OtlpStore:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def series(self, digests: Collection[str]) -> dict[str, SeriesState]:
        """The known states of these series."""
        table = ledger_series.c
        found: dict[str, SeriesState] = {}
        with self._engine.connect() as connection:
            for some in _in_parts(digests):
                query = select(table.digest, table.at_ns, table.value, table["values"]).where(table.digest.in_(some))
                found.update((row[0], SeriesState(*row[1:])) for row in connection.execute(query))
        return found

    def keep_series(self, states: Mapping[str, SeriesState], now: datetime) -> None:
        """Store new states; a state older than the known one changes nothing."""
        rows = [{"digest": one, **states[one]._asdict(), "seen_at": now} for one in sorted(states)]
        if not rows:
            return
        statement: Any = self._insert(ledger_series)
        statement = statement.on_conflict_do_update(
            index_elements=["digest"],
            set_={name: statement.excluded[name] for name in ("at_ns", "value", "values", "seen_at")},
            where=statement.excluded.at_ns > ledger_series.c.at_ns,
        )
        with self._engine.begin() as connection:
            connection.execute(statement, rows)

    def senders(self, digests: Collection[str]) -> Known:
        """Known periods of these senders."""
        table = ledger_senders.c
        found: dict[tuple[str, Way], Period] = {}
        with self._engine.connect() as connection:
            for some in _in_parts(digests):
                query = select(table.digest, table.kind, table.first_ns, table.last_ns).where(table.digest.in_(some))
                found.update(((row[0], Way(row[1])), Period(row[2], row[3])) for row in connection.execute(query))
        return found

    def keep_senders(self, periods: Known, now: datetime) -> None:
        """Store periods of senders."""
        rows = [
            {"digest": digest, "kind": way.value, **period._asdict(), "seen_at": now}
            for (digest, way), period in sorted(periods.items(), key=lambda item: (item[0][0], item[0][1].value))
        ]
        if not rows:
            return
        statement: Any = self._insert(ledger_senders)
        statement = statement.on_conflict_do_update(
            index_elements=["digest", "kind"],
            set_={name: statement.excluded[name] for name in ("first_ns", "last_ns", "seen_at")},
        )
        with self._engine.begin() as connection:
            connection.execute(statement, rows)

    def prune(self, before: datetime) -> int:
        """Delete series and senders not seen since; returns how many."""
        gone = 0
        with self._engine.begin() as connection:
            for table in (ledger_series, ledger_senders):
                gone += connection.execute(delete(table).where(table.c.seen_at < before)).rowcount
        return gone

    def _insert(self, table: Any) -> Any:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)


def _in_parts(texts: Iterable[str]) -> Iterator[list[str]]:
    left = iter(sorted(set(texts)))
    while some := list(islice(left, AT_ONCE)):
        yield some
