"""Maps dimensions to their numbers in the tables of the ledger, and ids of users to keyed hashes."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.db.schema import ledger_dimensions, state
from bot.ledger.model import Dimensions, Tags, clean_name, clean_or_none, shown_name, tags_of
from bot.pricing.tokens import Terms

MOST_KEPT = 20_000
"""Dimensions cached per process."""

COLUMNS = tuple(column.name for column in ledger_dimensions.columns if column.name != "id")
_ARRAYS = ", ".join("%s::int[]" if name == "prompts_above" else "%s::text[]" for name in COLUMNS)

_INSERT_SQLITE = (
    f"INSERT INTO ledger_dimensions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (digest) DO NOTHING"
)
_INSERT_POSTGRES = (
    f"INSERT INTO ledger_dimensions ({', '.join(COLUMNS)}) "
    f"SELECT * FROM unnest({_ARRAYS}) ON CONFLICT (digest) DO NOTHING"
)
_BY_DIGEST = "SELECT digest, id FROM ledger_dimensions WHERE digest "
_ROWS = f"SELECT id, {', '.join(COLUMNS)} FROM ledger_dimensions WHERE id "
_BY_ID = f"SELECT id, {', '.join(COLUMNS[1:])} FROM ledger_dimensions WHERE id "


class Interning:
    """Numbers of dimensions, with the latest cached; thread-safe.

    `stored`: transforms dimensions before they are stored.
    """

    def __init__(self, stored: Callable[[Dimensions], Dimensions]) -> None:
        self._stored = stored
        self._numbers: dict[Dimensions, int] = {}
        self._dimensions: dict[int, Dimensions] = {}
        self._lock = Lock()

    def numbers(self, connection: Connection, wanted: Collection[Dimensions]) -> dict[Dimensions, int]:
        """The number of each, assigned now if there is none. Call `keep` once the transaction is committed."""
        found = {one: number for one in wanted if (number := self._numbers.get(one)) is not None}
        missing = {one: _row(self._stored(one)) for one in wanted if one not in found}
        if missing:
            known = numbers_of_rows(connection, missing.values())
            found |= {one: known[row[0]] for one, row in missing.items()}
        return found

    def keep(self, numbers: Mapping[Dimensions, int]) -> None:
        """Cache numbers that the database holds."""
        with self._lock:
            _remember(self._numbers, numbers)

    def dimensions(self, connection: Connection, wanted: Iterable[int]) -> Mapping[int, Dimensions]:
        """Dimensions of these numbers."""
        numbers = set(wanted)
        found = {number: one for number in numbers if (one := self._dimensions.get(number)) is not None}
        missing = sorted(numbers - found.keys())
        if missing:
            read = {row[0]: _dimensions(row[1:]) for row in rows_where(connection, _BY_ID, missing, "bigint")}
            with self._lock:
                _remember(self._dimensions, read)
            found |= read
        return found


def numbers_of_rows(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> dict[str, int]:
    """Numbers of stored rows, by digest, assigned now if there is none."""
    by_digest = {row[0]: row for row in rows}
    known = _known(connection, by_digest.keys())
    new = sorted(row for digest, row in by_digest.items() if digest not in known)
    if new:
        _insert(connection, new)
        known |= _known(connection, by_digest.keys() - known.keys())
    return known


def rows_of_numbers(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[Any, ...]]:
    """Stored rows of these numbers, in the order of `COLUMNS`."""
    return {row[0]: tuple(row[1:]) for row in rows_where(connection, _ROWS, numbers, "bigint")}


def row_at_prompt(row: tuple[Any, ...], prompt_tokens: int) -> tuple[Any, ...]:
    """A stored row for a response whose prompt has grown to this many tokens."""
    before = _dimensions(row[1:])
    after = before.at_prompt(prompt_tokens)
    return row if after is before else _row(after)


def rows_where(connection: Connection, query: str, values: Collection[Any], kind: str, rest: str = "") -> list[Any]:
    """The rows of a query that ends in a column, where that is one of these values. One statement, however many.

    `kind`: PostgreSQL's type of the column. `rest`: what follows, such as an order.
    """
    listed = list(values)
    if connection.dialect.name == "postgresql":
        found = connection.exec_driver_sql(f"{query} = ANY(%s::{kind}[]) {rest}", (listed,))
    else:
        found = connection.exec_driver_sql(f"{query} IN (SELECT value FROM json_each(?)) {rest}", (json.dumps(listed),))
    return list(found.cursor.fetchall()) if found.cursor is not None else []


def _known(connection: Connection, digests: Collection[str]) -> dict[str, int]:
    return dict(rows_where(connection, _BY_DIGEST, digests, "text"))


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "postgresql":
        # Order by digest: two copies of the bot never deadlock.
        connection.exec_driver_sql(_INSERT_POSTGRES, tuple(map(list, zip(*rows, strict=True))))
    else:
        connection.exec_driver_sql(_INSERT_SQLITE, rows)


def _row(dimensions: Dimensions) -> tuple[Any, ...]:
    clean = Dimensions(
        model=clean_name(dimensions.model) or "unknown",
        feature=shown_name(dimensions.feature),
        user_id=shown_name(dimensions.user_id),
        tags=tags_of({clean_name(name): shown_name(value) or "" for name, value in dimensions.tags}),
        workspace=shown_name(dimensions.workspace),
        key=shown_name(dimensions.key),
        terms=Terms(*map(clean_or_none, dimensions.terms)),
        prompts_above=dimensions.prompts_above,
    )
    tags = json.dumps(dict(clean.tags), ensure_ascii=False, separators=(",", ":"))
    return (clean.digest, *clean[:3], tags, *clean[4:6], *clean.terms, clean.prompts_above)


def _dimensions(row: tuple[Any, ...]) -> Dimensions:
    model, feature, user_id, tags, workspace, key, tier, geo, speed, above = row
    return Dimensions(
        model, feature, user_id, tags_of(json.loads(tags)), workspace, key, Terms(tier, geo, speed), above
    )


def _remember(kept: dict[Any, Any], more: Mapping[Any, Any]) -> None:
    kept.update(more)
    for oldest in list(kept)[: max(0, len(kept) - MOST_KEPT)]:
        del kept[oldest]


KEY = "ledger_user_key"
"""Key in the table `state`."""

HEX_DIGITS = 16
"""Length of a stored hash: the chance that two of a million users share one is 1 in 10^7."""

_NAMES_A_USER = re.compile(
    r"(?:.*[._-])?(?:end)?user(?:s|id|name|email)?(?:[._-].*)?|.*e[._-]?mail.*|.*account[._-]?uuid.*", re.IGNORECASE
)
"""Names of tags whose value identifies a user."""


def user_key(engine: Engine) -> bytes:
    """The key of this database's hashes, made once, whichever copy of the bot asks first."""
    query = select(state.c.value).where(state.c.key == KEY)
    with engine.begin() as connection:
        found = connection.execute(query).scalar_one_or_none()
        if found is None:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            made = dialect.insert(state).values(key=KEY, value=secrets.token_hex(32))
            connection.execute(made.on_conflict_do_nothing())
            found = connection.execute(query).scalar_one()
    return bytes.fromhex(found)


def user_hash(key: bytes) -> Callable[[str], str]:
    """A function that hashes user ids."""

    def hashed(user_id: str) -> str:
        return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:HEX_DIGITS]

    return hashed


def names_a_user(tag: str) -> bool:
    """Whether a tag with this name identifies a user."""
    return _NAMES_A_USER.fullmatch(tag) is not None


def without_names(dimensions: Dimensions, hashed: Callable[[str], str]) -> Dimensions:
    """The dimensions with hashed users, in tags too."""
    user_id = None if dimensions.user_id is None else hashed(dimensions.user_id)
    return dimensions._replace(user_id=user_id, tags=tags_without_names(dimensions.tags, hashed))


def tags_without_names(tags: Tags, hashed: Callable[[str], str]) -> Tags:
    """The tags with hashed users."""
    return tuple((name, hashed(value) if names_a_user(name) else value) for name, value in tags)
