"""Compare ingestion over HTTP with bare SQLite, and a month's report with one over a hundredth of the responses.

    python benchmarks/ingest.py [--records 200000] [--events 10000000] [--keep FOLDER] [--quick]

The floor of ingestion writes the same rows to the same tables in equal durable batches, with the bare driver. The
report is read from ledgers with `--events` events and with a hundredth of them, alternating.
With `--keep`, these ledgers are made in FOLDER, stay there, and are used again by the next run: ten million
responses take 4 GB and half an hour.
"""

import argparse
import asyncio
import json
import logging
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import func, select

from benchmarks.figures import Figure, emit
from benchmarks.ingest_port import TOKEN, port_in
from bot.clock import HOUR
from bot.db.engine import open_database
from bot.db.schema import ledger_events
from bot.ledger.model import Dimensions, Event, tags_of
from bot.ledger.store import SqlLedger
from bot.pricing.tokens import TokenCounts

BATCH = 5_000
FEATURES, USERS, MODELS, TEAMS = 10, 10, ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"), 3
REPORT_USERS = 3
"""Few enough that the smaller ledger has every sum of the larger one."""

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
GOAL_SHARE, GOAL_GROWTH = 0.25, 1.2
TURNS = 9
SCHEMA = "SELECT sql FROM sqlite_master WHERE tbl_name = 'ledger_events' AND sql IS NOT NULL ORDER BY type DESC"


def records(count: int, seed: int, stretch: timedelta = HOUR) -> list[dict[str, Any]]:
    """Bodies as applications send them. `stretch`: time up to now over which they are spread."""
    random, now = Random(seed), datetime.now(UTC)
    return [
        {
            "id": f"msg_{random.getrandbits(96):024x}",
            "time": (now - timedelta(seconds=random.randrange(int(stretch.total_seconds())))).isoformat(),
            "feature": f"feature-{feature}",
            "user_id": f"user-{random.randrange(USERS)}",
            "model": random.choice(MODELS),
            "input_tokens": random.randrange(5000),
            "output_tokens": random.randrange(1000),
            "cache_read": random.randrange(20_000),
            "cache_create": random.randrange(500),
            "tags": {"team": f"team-{feature % TEAMS}"},
        }
        for feature in random.choices(range(FEATURES), k=count)
    ]


async def over_http(folder: Path, bodies: list[bytes]) -> float:
    """Seconds to send all bodies in sequence, each acknowledged."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
    async with port_in(folder) as (client, _):
        await client.post("/v1/usage", content=bodies[0].partition(b"\n")[0], headers=headers)
        begun = time.perf_counter()
        for body in bodies:
            answer = await client.post("/v1/usage", content=body, headers=headers)
            answer.raise_for_status()
        return time.perf_counter() - begun


def bare(folder: Path, database: Path) -> float:
    """Seconds to write the same rows in the same order, in batches, each committed to disk."""
    with closing(sqlite3.connect(database)) as source:
        schema = [row[0] for row in source.execute(SCHEMA)]
        rows = source.execute("SELECT * FROM ledger_events").fetchall()
    Random(1).shuffle(rows)
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as target:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *schema):
            target.execute(statement)
        insert = f"INSERT INTO ledger_events VALUES ({', '.join('?' * len(rows[0]))})"
        begun = time.perf_counter()
        for first in range(0, len(rows), BATCH):
            target.execute("BEGIN IMMEDIATE")
            target.executemany(insert, rows[first : first + BATCH])
            target.execute("COMMIT")
        return time.perf_counter() - begun


def taking_in(folder: Path, count: int) -> None:
    """Print the rate of ingestion."""
    lines = [json.dumps(each).encode() for each in records(count, 1)]
    bodies = [b"\n".join(lines[first : first + BATCH]) for first in range(0, count, BATCH)]
    seconds = asyncio.run(over_http(folder, bodies))
    floor = bare(folder, folder / "claude-cost.db")
    share = Figure(
        f"HTTP ingest beside bare SQLite, {count} records",
        count / seconds,
        "records/s",
        floor=count / floor,
        goal=GOAL_SHARE,
        measure="ratio",
        bound="at least",
    )
    emit(share)


def events(count: int, seed: int) -> Iterator[list[Event]]:
    """A month of responses, batch by batch."""
    random = Random(seed)
    dimensions = [
        Dimensions(model, f"feature-{feature}", f"user-{user}", tags_of({"team": f"team-{feature % TEAMS}"}))
        for model in MODELS
        for feature in range(FEATURES)
        for user in range(REPORT_USERS)
    ]
    hours = MONTH // HOUR
    for first in range(0, count, BATCH):
        yield [
            Event(
                f"msg_{number:024x}",
                FIRST + number % hours * HOUR,
                dimensions[random.randrange(len(dimensions))],
                TokenCounts(random.randrange(5000), 0, 0, random.randrange(20_000), random.randrange(1000)),
            )
            for number in range(first, min(first + BATCH, count))
        ]


def filled(folder: Path, count: int) -> SqlLedger:
    """A ledger with this many responses, filled by the bot's appends; continues an interrupted run."""
    engine = open_database(f"sqlite:///{folder / f'{count}.db'}")
    with engine.connect() as connection:
        there = connection.execute(select(func.count()).select_from(ledger_events)).scalar_one()
    ledger, begun, grown = SqlLedger(engine), time.perf_counter(), peak()
    for number, batch in enumerate(events(count, 1)):
        if number * BATCH >= there:
            ledger.append(batch, FIRST + MONTH)
    sys.stderr.write(f"{count} responses are stored, {count - there} of them now\n")
    if count > there:
        rate = (count - there) / (time.perf_counter() - begun)
        emit(Figure(f"appends without HTTP, {count} responses", rate, "responses/s"))
        emit(Figure(f"memory beyond that before {count} appends", peak() - grown, "MB", goal=100))
    return ledger


def peak() -> float:
    """Peak memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reports(folder: Path, count: int) -> None:
    """Print how much longer the month's report takes with a hundred times the responses."""
    ledgers = [filled(folder, size) for size in (count // 100, count)]
    times: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for ledger, found in zip(ledgers, times, strict=True):
            begun = time.perf_counter()
            ledger.read(FIRST, FIRST + MONTH)
            found.append(time.perf_counter() - begun)
    few, many = (statistics.median(found) * 1000 for found in times)
    title = f"month's report of {count} responses beside one of {count // 100}"
    emit(Figure(title, many, "ms", floor=few, goal=GOAL_GROWTH, measure="ratio"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--keep", type=Path, help="a folder for the ledgers of the report")
    words = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        taking_in(Path(folder), 20_000 if words.quick else words.records)
        before = peak()
        if words.keep:
            words.keep.mkdir(parents=True, exist_ok=True)
        reports(words.keep or Path(folder), 1_000_000 if words.quick else words.events)
        emit(Figure("memory beyond that of taking in", peak() - before, "MB", goal=100))


if __name__ == "__main__":
    main()
