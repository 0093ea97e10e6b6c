"""Responses in ClickHouse: one row per id, however often it is stored.

The table replaces by id (`ReplacingMergeTree`) and keeps the state with the largest counts. All states of a response
have the time of the first, so a query may filter by hour before ClickHouse replaces (`PREWHERE`). ClickHouse itself
deletes what was received too long ago.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from threading import Lock
from typing import Any, NamedTuple, Protocol

import msgspec

from bot.addresses import ClickHouseAddress, clickhouse_address
from bot.clock import HOUR
from bot.db.engine import DatabaseError
from bot.ledger.interning import COLUMNS as DIMENSIONS
from bot.ledger.interning import row_at_prompt
from bot.ledger.model import largest
from bot.ledger.store_writes import NUMBERS
from bot.pricing.tokens import TokenCounts

TABLE = "ledger_events"

CONNECT_SECONDS, ANSWER_SECONDS, REBUILD_SECONDS = 3, 10, 120
"""Longest waits: for a connection, for an answer while a sender or the doctor waits, for one in the background."""

IDS_AT_ONCE = 100_000
"""Characters of ids in one query: ClickHouse rejects parameters of more than 128 KiB."""

FORMAT = "JSONCompactEachRow"
DURABLE = {"async_insert": 1, "wait_for_async_insert": 1}
"""Inserts of several copies become one part, and each waits until it is stored."""

READING = {"output_format_json_quote_64bit_integers": 0, "select_sequential_consistency": 1}

UNSPLIT = "unsplit_cache_writes"
_EVENT = ("id", "at", "received_at", *DIMENSIONS, *NUMBERS, "outcome", "request_id", "session", UNSPLIT)
_TEXT, _NAME = "Nullable(String)", "LowCardinality(Nullable(String))"
_TYPES = {
    "id": "String",
    "at": "DateTime64(6, 'UTC')",
    "received_at": "DateTime64(6, 'UTC')",
    "digest": "FixedString(64)",
    "model": "LowCardinality(String)",
    "user_id": _TEXT,
    "tags": "String",
    "prompts_above": "UInt32",
    **dict.fromkeys(NUMBERS, "UInt64"),
    "outcome": "LowCardinality(String)",
    "request_id": _TEXT,
    "session": _TEXT,
    UNSPLIT: "UInt64",
}
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(f'{name} {_TYPES.get(name, _NAME)}' for name in _EVENT)}, "
    "size UInt64) ENGINE = ReplacingMergeTree(size) PARTITION BY toYYYYMM(received_at) ORDER BY id "
    "TTL toDateTime(received_at) + INTERVAL {days} DAY"
)
_KEEP = f"ALTER TABLE {TABLE} MODIFY TTL toDateTime(received_at) + INTERVAL {{days}} DAY"
_ENGINE = f"SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'"

_IDENTITY = f"SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'"

_GIVEN = "(SELECT arrayJoin(arrayMap(each -> unhex(each), splitByChar(',', {ids:String}))))"
"""Texts sent as hexadecimal digits, so that none needs escaping."""

_FIND = f"SELECT {', '.join(_EVENT)} FROM {TABLE} WHERE id IN {_GIVEN}"
_SESSIONS = f"SELECT DISTINCT session FROM {TABLE} WHERE session IN {_GIVEN}"

_SUMS = ", ".join(
    (
        *(f"sum(e.{name})" for name in NUMBERS),
        "sumIf(e.requests, e.outcome = 'error')",
        "sumIf(e.requests, e.outcome = 'rate_limited')",
    )
)
_WITHIN = "e.at >= {since:DateTime64(6, 'UTC')} AND e.at < {until:DateTime64(6, 'UTC')}"
_HOUR = (
    f"SELECT toStartOfMinute(e.at) AS minute, e.digest, {', '.join(f'any(e.{name})' for name in DIMENSIONS[1:])}, "
    f"{_SUMS} FROM {TABLE} AS e FINAL PREWHERE {_WITHIN} GROUP BY minute, e.digest"
)


class ClickHouseError(Exception):
    """ClickHouse cannot be used; the message is one sentence with the remedy, without any part of the address."""


class Kept(NamedTuple):
    """A stored response. `dimensions`: a row as in `ledger_dimensions`, without its number.

    `numbers`: the six counts and the requests. `unsplit`: see `Event`.
    """

    id: str
    at: datetime
    received_at: datetime
    dimensions: tuple[Any, ...]
    numbers: tuple[int, ...]
    outcome: str
    request_id: str | None
    session: str | None
    unsplit: int = 0

    @property
    def state(self) -> tuple[int, ...]:
        """Everything that a later report of the same response may raise."""
        return (*self.numbers, self.unsplit)

    def grown_by(self, other: "Kept") -> "Kept":
        """This response with the larger of each count."""
        *counts, requests = self.numbers
        *others, others_requests = other.numbers
        found, unsplit = largest(TokenCounts(*counts), self.unsplit, TokenCounts(*others), other.unsplit)
        dimensions = row_at_prompt(self.dimensions, found.prompt_tokens)
        return self._replace(dimensions=dimensions, numbers=(*found, max(requests, others_requests)), unsplit=unsplit)


class Cell(NamedTuple):
    """Sums of one minute, in the order of `bot.ledger.store_writes.SUMS`. `dimensions`: as in `Kept`."""

    minute: datetime
    dimensions: tuple[Any, ...]
    sums: tuple[int, ...]


class Client(Protocol):
    """The methods of a `clickhouse-connect` client that are used."""

    server_version: str

    def command(self, cmd: str) -> Any: ...

    def raw_query(
        self,
        query: str,
        parameters: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        fmt: str | None = None,
    ) -> bytes: ...

    def raw_insert(
        self,
        table: str,
        column_names: Sequence[str] | None = None,
        insert_block: bytes | None = None,
        settings: dict[str, Any] | None = None,
        fmt: str | None = None,
    ) -> Any: ...


def connect_clickhouse(address: ClickHouseAddress, seconds: int) -> Client:
    """A client for any number of threads. `seconds`: longest wait for an answer. Raises `ClickHouseError`, and
    `DatabaseError` without the library.
    """
    library = _library()
    with _plain_errors():
        client: Client = library.get_client(
            host=address.host,
            port=address.port,
            interface="https" if address.is_secure else "http",
            username=address.user or "default",
            password=address.password,
            database=address.database or None,
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=seconds,
            query_retries=0,
            # Queries of one session cannot run at the same time.
            autogenerate_session_id=False,
            # Send parameters in the body: ids are too many for a URL.
            form_encode_query_params=True,
            # A proxy from the environment would see the password.
            pool_mgr=None if address.is_secure else _without_proxy(),
        )
    return client


def _without_proxy() -> Any:
    return import_module("clickhouse_connect.driver.httputil").default_pool_manager()


def _library() -> Any:
    try:
        return import_module("clickhouse_connect")
    except ModuleNotFoundError:
        raise DatabaseError(
            "CLAUDE_COST_LEDGER_URL needs the Python package clickhouse_connect: install claude-cost-bot with its "
            "extra clickhouse."
        ) from None


def clickhouse_events(url: str, keep: timedelta) -> "ClickHouseEvents":
    """The table at this address, which need not be reachable yet. Raises `DatabaseError` without the library."""
    _library()
    return ClickHouseEvents(partial(connect_clickhouse, clickhouse_address(url)), keep)


class ClickHouseEvents:
    """The table of responses, created by the first call. Several threads may use it; all calls raise `ClickHouseError`.

    `connect`: makes a client with this longest wait in seconds. `keep`: how long after its receipt a response is
    deleted.
    """

    def __init__(self, connect: Callable[[int], Client], keep: timedelta) -> None:
        self._connect = connect
        self._days = keep.days
        self._clients: dict[int, Client] = {}
        self._locks = {seconds: Lock() for seconds in (ANSWER_SECONDS, REBUILD_SECONDS)}
        self._is_made = False

    def find(self, ids: Iterable[str]) -> dict[str, Kept]:
        """The stored responses among these, with the largest of each count."""
        found: dict[str, Kept] = {}
        for some in _some(ids):
            for row in self._rows(ANSWER_SECONDS, _FIND, {"ids": some}):
                kept = _kept(row)
                other = found.get(kept.id)
                if other is not None:
                    first, later = sorted((kept, other), key=lambda one: one.received_at)
                    kept = first.grown_by(later)
                found[kept.id] = kept
        return found

    def identity(self) -> str:
        """Identity of the table; differs if it was created anew or is on another server."""
        return "".join(row[0] for row in self._rows(ANSWER_SECONDS, _IDENTITY, {}))

    def sessions(self, sessions: Iterable[str]) -> set[str]:
        """The sessions among these with a stored response. Scans the sessions of all responses."""
        return {row[0] for some in _some(sessions) for row in self._rows(REBUILD_SECONDS, _SESSIONS, {"ids": some})}

    def store(self, rows: Collection[Kept]) -> None:
        """Store rows, durable on return. The same rows may be stored again."""
        if not rows:
            return
        encoder = msgspec.json.Encoder()
        lines = [
            encoder.encode(
                (
                    *(row.id, _written(row.at), _written(row.received_at), *row.dimensions, *row.numbers),
                    *(row.outcome, row.request_id, row.session, row.unsplit, sum(row.numbers)),
                )
            )
            for row in rows
        ]
        client = self._client(REBUILD_SECONDS)
        with _plain_errors():
            client.raw_insert(TABLE, (*_EVENT, "size"), b"\n".join(lines), settings=DURABLE, fmt=FORMAT)

    def hour(self, hour: datetime) -> list[Cell]:
        """Sums of an hour by minute, each response counted once."""
        within = {"since": _written(hour), "until": _written(hour + HOUR)}
        cut = 1 + len(DIMENSIONS)
        return [
            Cell(_read(row[0]), tuple(row[1:cut]), tuple(row[cut:]))
            for row in self._rows(REBUILD_SECONDS, _HOUR, within)
        ]

    def _rows(self, seconds: int, query: str, parameters: Mapping[str, Any]) -> list[list[Any]]:
        client = self._client(seconds)
        with _plain_errors():
            lines = client.raw_query(query, dict(parameters), settings=READING, fmt=FORMAT)
            return [msgspec.json.decode(line) for line in lines.splitlines() if line]

    def _client(self, seconds: int) -> Client:
        found = self._clients.get(seconds)
        if found is not None:
            return found
        # Only callers of the same client wait here.
        with self._locks[seconds]:
            found = self._clients.get(seconds)
            if found is None:
                client = self._connect(seconds)
                if not self._is_made:
                    with _plain_errors():
                        self._make_table(client)
                    self._is_made = True
                found = self._clients[seconds] = client
        return found

    def _make_table(self, client: Client) -> None:
        client.command(_CREATE.format(days=self._days))
        engine = client.raw_query(_ENGINE, fmt=FORMAT).decode()
        if f"toIntervalDay({self._days})" not in engine:
            client.command(_KEEP.format(days=self._days))


def look_at(client: Client) -> tuple[str, bool]:
    """The server's version, and whether the table exists. Raises `ClickHouseError`."""
    with _plain_errors():
        return str(client.server_version), bool(client.raw_query(_ENGINE, fmt=FORMAT).strip())


_KNOWN = (
    ("authentication_failed", "it refuses the user or the password"),
    ("required_password", "it refuses the user or the password"),
    ("wrong_password", "it refuses the user or the password"),
    ("unknown_user", "it refuses the user or the password"),
    ("access_denied", "the user lacks rights in that database"),
    ("not_enough_privileges", "the user lacks rights in that database"),
    ("readonly", "the user may only read there"),
    ("unknown_database", "it has no such database"),
    ("too_many_parts", "it has too many parts to merge"),
    ("memory_limit_exceeded", "it has too little memory"),
    ("timeout_exceeded", "it has not answered in time"),
    ("name or service not known", "its host name cannot be resolved"),
    ("name resolution", "its host name cannot be resolved"),
    ("certificate", "its certificate cannot be verified"),
    ("ssl", "it does not speak TLS on that port"),
    ("connection refused", "nothing is listening on that host and port"),
    ("timed out", "it has not answered in time"),
    ("timeout", "it has not answered in time"),
)
"""Parts of messages of ClickHouse and the client, in lower case, with the clause shown instead."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn every error of the client into a `ClickHouseError`: its own text may contain the address."""
    try:
        yield
    except ClickHouseError:
        raise
    except Exception as error:  # noqa: BLE001  # the client's own, those of its HTTP library and of sockets
        raise ClickHouseError(
            f"ClickHouse cannot be used ({_reason(error)}): look at its server, at CLAUDE_COST_LEDGER_URL, or at the "
            "rights of its user."
        ) from None


def _reason(error: Exception) -> str:
    text = f"{getattr(error, 'name', '') or ''} {error}".lower()
    for sign, clause in _KNOWN:
        if sign in text:
            return clause
    code = getattr(error, "code", None)
    return type(error).__name__ if not isinstance(code, int) else f"its error {code}"


def _some(texts: Iterable[str]) -> Iterator[str]:
    """Texts as hexadecimal digits, in chunks that fit into one query."""
    some: list[str] = []
    size = 0
    for digits in (text.encode().hex() for text in texts):
        if some and size + len(digits) >= IDS_AT_ONCE:
            yield ",".join(some)
            some, size = [], 0
        some.append(digits)
        size += len(digits) + 1
    if some:
        yield ",".join(some)


def _kept(row: Sequence[Any]) -> Kept:
    event_id, at, received_at, *rest = row
    cut, end = len(DIMENSIONS), len(DIMENSIONS) + len(NUMBERS)
    return Kept(event_id, _read(at), _read(received_at), tuple(rest[:cut]), tuple(rest[cut:end]), *rest[end:])


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
