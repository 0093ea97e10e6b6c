"""Build an organization of any size in a database of the bot; equal arguments build equal rows.

    python benchmarks/world.py KEYS [DAYS] [--budgets N] [--cache FOLDER]

Every key is used four hours a day, each hour with half of twelve models: 5,000 keys have 3.7 million rows in 31 days.
Settled hours are one row each; the last two hours and the running one are stored by the minute. The cache folder keeps
the built databases, and each run works on a copy. Budgets are defined in a TOML file, not in the database.
"""

import argparse
import hashlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, create_engine, insert, make_url, text

from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.db.engine import DatabaseError, open_database
from bot.db.schema import usage, usage_hours
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.model import DataState, Read, UsageReading, UsageRow
from bot.usage.store import UsageStore
from bot.usage.store_reads import Name

ROOT = Path(__file__).resolve().parents[1]
FORMAT = 1
"""Increment when equal arguments build different rows."""

SEED = 7
WORKSPACES = 50
MODELS = (
    "claude-opus-5-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-sonnet-5-5",
    "claude-sonnet-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
    "claude-haiku-5-5",
    "claude-haiku-4-5",
    "claude-fable-5",
    "claude-fable-5-1",
)
USED_AT_ONCE = 6
ACTIVE_EVERY = 6
"""Hours between two hours in which a key is used."""

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
"""A month of 31 days."""

TIME_OF_DAY = timedelta(hours=15, minutes=30)
BEHIND = 5 * MINUTE
"""The age of the data of the admin source."""

ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin")
PERIODS = ("month", "day", "week")
DEFAULT_CACHE = Path(tempfile.gettempdir()) / "claude-cost-benchmarks"

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Usage of one hour as parallel arrays; `minutes` of the hour, 0 for hourly rows; `counts` has six columns."""

    keys: Ints
    models: Ints
    minutes: Ints
    counts: Ints


@dataclass(frozen=True, slots=True)
class Size:
    """`days`: including the running one."""

    keys: int
    days: int = 31

    @property
    def now(self) -> datetime:
        return FIRST + (self.days - 1) * DAY + TIME_OF_DAY

    @property
    def workspaces(self) -> int:
        return min(WORKSPACES, self.keys)

    def __str__(self) -> str:
        return f"{self.keys:,} keys × {len(MODELS)} models × {self.days} days"


def key_id(index: int) -> str:
    return f"apikey_{index:05}"


def workspace_id(index: int) -> str:
    return f"wrkspc_{index:02}"


def terms_of(key: int) -> Terms:
    """Some keys are used in batches, some in one region."""
    return Terms("batch" if key % 10 == 9 else "standard", "us" if key % 7 == 3 else "global", "standard")


def hourly(size: Size, hour: datetime) -> Rows:
    """Usage of an hour, one row per key and model."""
    number, day = (hour - FIRST) // HOUR, (hour - FIRST) // DAY
    keys = np.arange(size.keys, dtype=np.int64)
    keys = keys[(keys * 5 + hour.hour) % ACTIVE_EVERY == 0]
    models = (keys[:, None] + np.arange(USED_AT_ONCE) + USED_AT_ONCE * (day % 2)) % len(MODELS)
    keys, models = np.repeat(keys, USED_AT_ONCE), models.ravel()
    return Rows(keys, models, np.zeros_like(keys), _counts(len(keys), number, 20_000))


def by_minute(size: Size, hour: datetime, until: datetime) -> Rows:
    """The hourly usage by minute, for minutes that begin before `until`."""
    whole = hourly(size, hour)
    minutes = np.arange(60, dtype=np.int64)
    used = (minutes[None, :] * 7 + (whole.keys * 3 + whole.models)[:, None]) % 11 < 2
    used &= hour.timestamp() + minutes * 60 < until.timestamp()
    rows, found = np.nonzero(used)
    # Draw the whole hour, so that reported minutes do not change.
    number = (hour - FIRST) // HOUR
    counts = _counts(len(whole.keys) * 60, number, 2_000).reshape(len(whole.keys), 60, 6)
    return Rows(whole.keys[rows], whole.models[rows], found.astype(np.int64), counts[rows, found])


def _counts(rows: int, hour: int, most: int) -> Ints:
    random = np.random.default_rng([SEED, hour, most])
    counts = random.integers(1, most, size=(rows, 6), dtype=np.int64)
    counts[:, 3] *= 5
    counts[:, 5] = counts[:, 5] % 97 == 0
    return counts


def reading(size: Size, hour: datetime, now: datetime) -> UsageReading:
    """Usage of one hour by the minute, as a poll at `now` reads it."""
    rows = by_minute(size, hour, now - BEHIND)
    found = tuple(
        UsageRow(
            hour + minute * MINUTE,
            MODELS[model],
            workspace_id(key % size.workspaces),
            key_id(key),
            terms_of(key),
            TokenCounts(*counts),
        )
        for key, model, minute, counts in zip(
            rows.keys.tolist(), rows.models.tolist(), rows.minutes.tolist(), rows.counts.tolist(), strict=True
        )
    )
    return UsageReading(Read("1m", hour, hour + HOUR), found, None)


def data_state(now: datetime) -> DataState:
    """The state after a poll at `now`. The cost report is not due for an hour."""
    return DataState(as_of=now - BEHIND, source="admin", polled_at=now, billed_at=now)


def budgets_toml(size: Size, count: int) -> str:
    """`count` budgets of every kind. Every fiftieth is over its limit, the others are far below."""
    tables = []
    for index in range(count):
        scope = "organization"
        if index:
            turn, number = index % 4, index // 4
            scope = (
                f"key:{key_id(number * 13 % size.keys)}",
                f"workspace:{workspace_id(number % size.workspaces)}",
                f"model:{MODELS[number % len(MODELS)]}",
                f"key:{key_id((number * 17 + 3) % size.keys)}",
            )[turn]
        soft, hard = ("0.01", "900000000") if index % 50 == 49 else ("800000000", "900000000")
        tables.append(
            f'[[budget]]\nname = "b{index:04}"\nscope = "{scope}"\nperiod = "{PERIODS[index // 4 % 3]}"\n'
            f'zone = "{ZONES[index // 12 % 4]}"\nsoft_usd = "{soft}"\nhard_usd = "{hard}"\n'
        )
    return "\n".join(tables)


@contextmanager
def database(size: Size, folder: Path, cache: Path = DEFAULT_CACHE, postgres: str | None = None) -> Iterator[str]:
    """Address of a copy of this organization. `postgres`: the server for it, instead of an SQLite file."""
    if postgres is None:
        copy = folder / "claude-cost.db"
        shutil.copy(built(size, cache), copy)
        yield f"sqlite:///{copy}"
        return
    server = create_engine(make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = f"claude_cost_run_{secrets.token_hex(4)}"
    try:
        template = _built_on(server, size)
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        try:
            yield _address(server, name)
        finally:
            with server.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        server.dispose()


def built(size: Size, cache: Path = DEFAULT_CACHE) -> Path:
    """The SQLite file with this organization, built if not cached; a bot must not open it.

    Checkouts with different stores have separate files, built from each other's rows where possible.
    """
    cache.mkdir(parents=True, exist_ok=True)
    kind = f"{size.keys}-keys-{size.days}-days-{FORMAT}"
    file = cache / f"{kind}-{_code_of_the_store()}.db"
    if file.exists():
        return file
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        begun = Path(folder) / "begun.db"
        for other in sorted(cache.glob(f"{kind}*.db")):
            shutil.copy(other, begun)
            # Databases of newer checkouts cannot be opened.
            with suppress(DatabaseError):
                _bring_up_to_date(f"sqlite:///{begun}", size)
                break
            begun.unlink()
        else:
            _bring_up_to_date(f"sqlite:///{begun}", size)
        begun.replace(file)
    return file


def _built_on(server: Engine, size: Size) -> str:
    """`built` on a PostgreSQL server; returns the database's name."""
    name = f"claude_cost_bench_{size.keys}_{size.days}_{FORMAT}_{_code_of_the_store()}"
    with server.connect() as connection:
        if connection.execute(text(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")).scalar():
            return name
        begun = f"{name}_{secrets.token_hex(2)}"
        connection.execute(text(f"CREATE DATABASE {begun}"))
        try:
            _bring_up_to_date(_address(server, begun), size)
            connection.execute(text(f"ALTER DATABASE {begun} RENAME TO {name}"))
        except BaseException:
            connection.execute(text(f"DROP DATABASE {begun} WITH (FORCE)"))
            raise
    return name


def _address(server: Engine, name: str) -> str:
    return server.url.set(database=name).render_as_string(hide_password=False)


def _bring_up_to_date(address: str, size: Size) -> None:
    """Migrate it, fill it if empty, and rebuild its roll-ups. Raises `DatabaseError`."""
    engine = open_database(address)
    try:
        if UsageStore(engine).data_state().as_of is None:
            _fill(engine, size)
        # Older stores have no roll-ups.
        rebuild = getattr(UsageStore(engine), "rebuild_rollups", None)
        if rebuild is not None:
            rebuild()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_sqlite = engine.dialect.name == "sqlite"
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)" if is_sqlite else "ANALYZE"))
    finally:
        engine.dispose()


def _code_of_the_store() -> str:
    usage, db = ROOT / "bot" / "usage", ROOT / "bot" / "db"
    files = sorted([*usage.glob("*store*.py"), *db.glob("migrations/versions/*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in [*files, db / "schema.py"])).hexdigest()[:8]


def _fill(engine: Engine, size: Size) -> None:
    now = size.now
    this_hour = floor_hour(now)
    hours = [FIRST + index * HOUR for index in range((this_hour - FIRST) // HOUR + 1)]
    with engine.begin() as connection:
        states = [
            {"hour": hour, "source": "admin", "width": "1m" if hour >= this_hour - 2 * HOUR else "1h", "read_at": now}
            for hour in hours
        ]
        connection.execute(insert(usage_hours), states)
    for first in range(0, len(hours), 24):
        _bulk(engine, [row for hour in hours[first : first + 24] for row in _tuples(engine, size, hour)])
    store = UsageStore(engine)
    workspaces = [Name("workspace", workspace_id(i), f"team {i}") for i in range(size.workspaces)]
    keys = [Name("key", key_id(i), f"service {i}", workspace_id(i % size.workspaces)) for i in range(size.keys)]
    store.save_names([*workspaces, *keys], now)
    store.save([], "admin", now, data_state(now), None)


def _tuples(engine: Engine, size: Size, hour: datetime) -> Iterator[tuple[Any, ...]]:
    minutes = hour >= floor_hour(size.now) - 2 * HOUR
    rows = by_minute(size, hour, size.now - BEHIND) if minutes else hourly(size, hour)
    bind: Any = usage.c.hour.type.dialect_impl(engine.dialect).bind_processor(engine.dialect) or (lambda value: value)
    starts = [bind(hour + minute * MINUTE) for minute in range(60)]
    terms = {key: terms_of(key) for key in set(rows.keys.tolist())}
    for key, model, minute, counts in zip(
        rows.keys.tolist(), rows.models.tolist(), rows.minutes.tolist(), rows.counts.tolist(), strict=True
    ):
        its = terms[key]
        yield (
            *(starts[0], starts[minute], MODELS[model], workspace_id(key % size.workspaces), key_id(key)),
            *(its.service_tier, its.inference_geo, its.speed),
            *counts,
        )


def _bulk(engine: Engine, rows: Sequence[tuple[Any, ...]]) -> None:
    names = [column.name for column in usage.columns if column.name != "id"]
    columns = ", ".join(names)
    connection = engine.raw_connection()
    try:
        cursor: Any = connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany(f"INSERT INTO usage ({columns}) VALUES ({', '.join('?' * len(names))})", rows)
        else:
            with cursor.copy(f"COPY usage ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        connection.commit()
    finally:
        connection.close()


def main() -> None:
    """Build the organization; print its address and its budgets."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("keys", type=int)
    arguments.add_argument("days", type=int, nargs="?", default=31)
    arguments.add_argument("--budgets", type=int, default=0)
    arguments.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    chosen = arguments.parse_args()
    size = Size(chosen.keys, chosen.days)
    sys.stdout.write(f"{built(size, chosen.cache)}\n{budgets_toml(size, chosen.budgets)}")


if __name__ == "__main__":
    main()
