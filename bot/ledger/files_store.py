"""Which contents of files the ledger has read, and what they say of sessions as a whole."""

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
    """What a file was like when its content was read: it is that content as long as the file is like that."""

    key: str
    size: int
    modified: int
    changed: int


class Content(NamedTuple):
    """The content of a file by its SHA-256. `head`: of its first line. `seen`: None where it may change unseen."""

    digest: str
    head: str
    known: Known
    seen: Seen | None


def contents_of(engine: Engine, head: str) -> dict[str, Known]:
    """The contents that begin with the same line, by their SHA-256."""
    columns = ledger_files.c
    query = select(columns.sha256, columns.size, columns.records, columns.totals).where(columns.head == head)
    with engine.connect() as connection:
        return {digest: Known(*rest) for digest, *rest in connection.execute(query)}


def known_heads(engine: Engine) -> set[str]:
    """The first lines of all contents."""
    with engine.connect() as connection:
        return set(connection.execute(select(ledger_files.c.head).distinct()).scalars())


def remember_contents(connection: Connection, contents: Iterable[Content], now: datetime) -> None:
    """Note that contents were read."""
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
    """Until the transaction ends no other import reads or changes what is known of sessions."""
    lock_for_writers(connection, ledger_file_sessions)


def session_values(connection: Connection, kind: str, keys: Iterable[str]) -> dict[str, Any]:
    """What is known of these, by their keys."""
    found: dict[str, Any] = {}
    columns = ledger_file_sessions.c
    for some in _some(keys):
        query = select(columns.key, columns.value).where(columns.kind == kind, columns.key.in_(some))
        found.update((key, value) for key, value in connection.execute(query))
    return found


def summed_sessions(engine: Engine) -> set[str]:
    """The keys of all sessions of which a sum is in the ledger."""
    with engine.connect() as connection:
        query = select(ledger_file_sessions.c.key).where(ledger_file_sessions.c.kind == SUMS)
        return set(connection.execute(query).scalars())


def seen_files(engine: Engine) -> set[Seen]:
    """The files whose contents were read, as they were then."""
    columns = ledger_file_sessions.c
    with engine.connect() as connection:
        query = select(columns.key, columns.value).where(columns.kind == FILES)
        return {Seen(key, *value) for key, value in connection.execute(query)}


def write_session_values(connection: Connection, kind: str, values: Mapping[str, Any]) -> None:
    """Put these in the place of what is known; None forgets."""
    columns = ledger_file_sessions.c
    for some in _some(values):
        connection.execute(delete(ledger_file_sessions).where(columns.kind == kind, columns.key.in_(some)))
    rows = [{"kind": kind, "key": key, "value": value} for key, value in values.items() if value is not None]
    if rows:
        connection.execute(insert(ledger_file_sessions), rows)


class SingleCall(NamedTuple):
    """An event that counts as a single call without an id of its own. `at`: aware UTC."""

    id: str
    at: datetime
    counts: TokenCounts


def single_calls(
    connection: Connection, sessions: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[SingleCall]]:
    """The single calls of these sessions and models, in the order of their times."""
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
    """Which of these sessions have calls in the ledger, besides sums of a session."""
    found: set[str] = set()
    events = ledger_events.c
    for some in _some(sessions):
        query = select(events.session).distinct().where(events.session.in_(some), events.id.not_like("+%"))
        found |= set(connection.execute(query).scalars())
    return found


def copy_ledger(source: Engine, target: Engine) -> None:
    """Everything by which repeats are recognised, into a database without any of it."""
    tables = (state, ledger_dimensions, ledger_events, ledger_files, ledger_file_sessions)
    with source.connect() as reading:
        for table in tables:
            rows = reading.execution_options(yield_per=COPIED_AT_ONCE).execute(select(table)).mappings()
            for some in rows.partitions():
                with target.begin() as writing:
                    writing.execute(insert(table).prefix_with("OR REPLACE"), [dict(row) for row in some])


def digest_of(parts: object) -> str:
    """64 hexadecimal digits that stand for a key."""
    return sha256(json.dumps(parts).encode()).hexdigest()


def _some(values: Iterable[str]) -> Iterable[list[str]]:
    listed = list(values)
    return (listed[begin : begin + AT_ONCE] for begin in range(0, len(listed), AT_ONCE))
