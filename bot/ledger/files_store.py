"""Stores which contents of files the ledger has read, and what they say of whole sessions."""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select

from bot.db.engine import lock_for_writers
from bot.db.schema import TOKENS, ledger_dimensions, ledger_events, ledger_file_sessions, ledger_files, state
from bot.ledger.file_events import SINGLE, Known
from bot.pricing.tokens import TokenCounts

TOTALS, SUMS, FILES = "totals", "sum", "file"
AT_ONCE = 500
"""Values in one statement."""

COPIED_AT_ONCE = 10_000
"""Rows."""


class Seen(NamedTuple):
    """Metadata of a file when its content was read: unchanged metadata means unchanged content."""

    key: str
    size: int
    modified: int
    changed: int


class Content(NamedTuple):
    """The content of a file by its SHA-256. `head`: hash of its first line. `seen`: None if it may change without a
    trace.
    """

    digest: str
    head: str
    known: Known
    seen: Seen | None


def contents_of(engine: Engine, head: str) -> dict[str, Known]:
    """Contents with this first line, by their SHA-256."""
    columns = ledger_files.c
    query = select(columns.sha256, columns.size, columns.records, columns.totals).where(columns.head == head)
    with engine.connect() as connection:
        return {digest: Known(*rest) for digest, *rest in connection.execute(query)}


def known_heads(engine: Engine) -> set[str]:
    """First lines of all contents."""
    with engine.connect() as connection:
        return set(connection.execute(select(ledger_files.c.head).distinct()).scalars())


def remember_contents(connection: Connection, contents: Iterable[Content], now: datetime) -> None:
    """Record that contents were read."""
    contents = list(contents)
    rows = {
        one.digest: {"sha256": one.digest, "head": one.head, **one.known._asdict(), "read_at": now} for one in contents
    }
    seen = {one.seen.key: one.seen[1:] for one in contents if one.seen is not None}
    write_session_values(connection, FILES, seen)
    for some in _some(rows):
        connection.execute(delete(ledger_files).where(ledger_files.c.sha256.in_(some)))
    if rows:
        connection.execute(insert(ledger_files), list(rows.values()))


def lock_sessions(connection: Connection) -> None:
    """Lock out other imports from what is known of sessions until the transaction ends."""
    lock_for_writers(connection, ledger_file_sessions)


def session_values(connection: Connection, kind: str, keys: Iterable[str]) -> dict[str, Any]:
    """Stored values of these keys."""
    found: dict[str, Any] = {}
    columns = ledger_file_sessions.c
    for some in _some(keys):
        query = select(columns.key, columns.value).where(columns.kind == kind, columns.key.in_(some))
        found.update((key, value) for key, value in connection.execute(query))
    return found


def summed_sessions(engine: Engine) -> set[str]:
    """Keys of all sessions with a sum in the ledger."""
    with engine.connect() as connection:
        query = select(ledger_file_sessions.c.key).where(ledger_file_sessions.c.kind == SUMS)
        return set(connection.execute(query).scalars())


def seen_files(engine: Engine) -> set[Seen]:
    """Files whose contents were read, with their metadata then."""
    columns = ledger_file_sessions.c
    with engine.connect() as connection:
        query = select(columns.key, columns.value).where(columns.kind == FILES)
        return {Seen(key, *value) for key, value in connection.execute(query)}


def write_session_values(connection: Connection, kind: str, values: Mapping[str, Any]) -> None:
    """Replace the stored values; None deletes."""
    columns = ledger_file_sessions.c
    for some in _some(values):
        connection.execute(delete(ledger_file_sessions).where(columns.kind == kind, columns.key.in_(some)))
    rows = [{"kind": kind, "key": key, "value": value} for key, value in values.items() if value is not None]
    if rows:
        connection.execute(insert(ledger_file_sessions), rows)


class SingleCall(NamedTuple):
    """An event counted as a single call without its own id. `at`: aware UTC."""

    id: str
    at: datetime
    counts: TokenCounts


def single_calls(
    connection: Connection, sessions: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[SingleCall]]:
    """Single calls of these sessions and models, ordered by time."""
    found: dict[tuple[str, str], list[SingleCall]] = {one: [] for one in sessions}
    events, named = ledger_events.c, ledger_dimensions.c
    for some in _some(sorted({session for session, _ in found})):
        query = (
            select(events.session, named.model, events.id, events.at, *(events[name] for name in TOKENS))
            .join_from(ledger_events, ledger_dimensions, events.dimensions_id == named.id)
            .where(events.session.in_(some), events.id.like(f"{SINGLE}%"))
            .order_by(events.at)
        )
        for session, model, event_id, at, *counts in connection.execute(query):
            if (session, model) in found:
                found[session, model].append(SingleCall(event_id, at, TokenCounts(*counts)))
    return found


def sessions_with_calls(connection: Connection, sessions: Iterable[str]) -> set[str]:
    """The sessions among these with calls in the ledger, apart from session sums."""
    found: set[str] = set()
    events = ledger_events.c
    for some in _some(sessions):
        query = select(events.session).distinct().where(events.session.in_(some), events.id.not_like("+%"))
        found |= set(connection.execute(query).scalars())
    return found


def copy_ledger(source: Engine, target: Engine) -> None:
    """Copy everything that identifies repeats into a database without any of it."""
    tables = (state, ledger_dimensions, ledger_events, ledger_files, ledger_file_sessions)
    with source.connect() as reading:
        for table in tables:
            rows = reading.execution_options(yield_per=COPIED_AT_ONCE).execute(select(table)).mappings()
            for some in rows.partitions():
                with target.begin() as writing:
                    writing.execute(insert(table).prefix_with("OR REPLACE"), [dict(row) for row in some])


def digest_of(parts: object) -> str:
    """Hash of a key, 64 hexadecimal digits."""
    return sha256(json.dumps(parts).encode()).hexdigest()


def _some(values: Iterable[str]) -> Iterable[list[str]]:
    listed = list(values)
    return (listed[begin : begin + AT_ONCE] for begin in range(0, len(listed), AT_ONCE))
