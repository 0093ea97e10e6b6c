"""Run the ledger on the real ClickHouse engine in this process: compare its sums with SQLite's and time them.

    python -m venv DIR && DIR/bin/pip install -e ".[clickhouse]" "chdb==4.4.0"
    DIR/bin/python benchmarks/clickhouse.py [--events 1000000]

Needs about 1 GB for the engine, so neither the tests nor CI run it. Batches repeat and grow responses at random, come
late, and meet a ClickHouse that is out of reach; after each round, the sums must be those of a `SqlLedger` that got the
same. Exits 1 where they are not.
"""

import argparse
import logging
import resource
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import clickhouse_connect
from sqlalchemy import func, select

from bot.clock import DAY, HOUR, floor_hour
from bot.db.engine import open_database
from bot.db.schema import ledger_events
from bot.ledger import clickhouse_ledger
from bot.ledger.clickhouse import ClickHouseEvents
from bot.ledger.clickhouse_ledger import ClickHouseLedger
from bot.ledger.model import Dimensions, Event, Outcome, Sums, tags_of
from bot.ledger.store import SqlLedger
from bot.pricing.tokens import TokenCounts

START = datetime(2026, 11, 1, tzinfo=UTC)
KEEP = timedelta(days=3650)
BATCH = 5_000
MODELS, FEATURES = ("claude-opus-5-5", "claude-haiku-5-5"), ("support", "search", None)


class Switch:
    """A client that can be made unreachable."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_off = False

    def __getattr__(self, name: str) -> Any:
        if self.is_off:
            raise OSError("connection refused")
        return getattr(self._client, name)


def say(line: str) -> None:
    """One line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def event(random: Random, number: int, now: datetime) -> Event:
    """A response of the last two days."""
    dimensions = Dimensions(
        random.choice(MODELS), random.choice(FEATURES), f"u{random.randrange(20)}", tags_of({"team": "cœur'\"\\"})
    )
    counts = TokenCounts(random.randrange(9000), 0, 0, random.randrange(9000), random.randrange(900), 0)
    at = now - timedelta(seconds=random.randrange(48 * 3600))
    return Event(f"msg_{number}'\\é", at, dimensions, counts, random.choice(list(Outcome)))


def sums_of(ledger: SqlLedger, now: datetime) -> dict[tuple[datetime, Dimensions], Sums]:
    """Sums by hour and by day."""
    found = {}
    half = START - 3 * DAY
    while half < now + HOUR:
        # No whole day, so these are hours.
        found |= {(row.starts_at, row.dimensions): row.sums for row in ledger.read(half, half + 12 * HOUR)}
        half += 12 * HOUR
    for row in ledger.read(START - 3 * DAY, now + 2 * DAY):
        found[row.starts_at + timedelta(seconds=1), row.dimensions] = row.sums
    return {key: sums for key, sums in found.items() if any(sums.counts) or any(sums[1:])}


def held(ledger: SqlLedger) -> int:
    """Number of responses in the bot's own database."""
    with ledger._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(ledger_events)).scalar_one()


def check(folder: Path, ledger: ClickHouseLedger, switch: Switch, events: ClickHouseEvents) -> datetime:
    """Fifty rounds into both, with repeats, growth, late ones and outages; returns the time at the end."""
    random, now = Random(13), START
    alone = SqlLedger(open_database(f"sqlite:///{folder / 'alone.db'}"))
    sent: list[Event] = []
    compared = outages = 0
    ledger.roll_up(now)
    for batch in range(50):
        new = [event(random, len(sent) + number, now) for number in range(200)]
        again = random.choices(sent, k=100) if sent else []
        repeats = [replace(each, at=now, dimensions=Dimensions("claude-opus-5-5", "retry")) for each in again[:50]]
        more = TokenCounts(output_tokens=7)
        grown = [replace(each, counts=each.counts + more) for each in again[50:]]
        all_ = [*new, *repeats, *grown]
        random.shuffle(all_)
        switch.is_off = random.random() < 0.2
        answers = [each.append(all_, now) for each in (ledger, alone)]
        if answers[0] != answers[1] and not switch.is_off:
            raise SystemExit(f"batch {batch}: {answers[0]} and {answers[1]}")
        outages += switch.is_off
        switch.is_off = False
        ledger._retry_at = None
        sent += new
        now += timedelta(minutes=random.randrange(60, 600))
        ledger.roll_up(now)
        ours, theirs = sums_of(ledger, now), sums_of(alone, now)
        if ours != theirs:
            raise SystemExit(f"batch {batch}: sums differ, of {len(theirs)}")
        compared += len(ours)
    now += 2 * HOUR
    ledger.roll_up(now)
    if held(ledger):
        raise SystemExit(f"{held(ledger)} responses were not moved")
    rebuilt: dict[tuple[datetime, str], list[int]] = {}
    hour = START - 3 * DAY
    while hour < now:
        for cell in events.hour(hour):
            key = (hour, cell.dimensions[0])
            before = rebuilt.get(key, [0] * len(cell.sums))
            rebuilt[key] = [one + other for one, other in zip(before, cell.sums, strict=True)]
        hour += HOUR
    expected = {
        (starts_at, dimensions.digest): [*sums.counts, *sums[1:]]
        for (starts_at, dimensions), sums in sums_of(alone, now).items()
        if starts_at == floor_hour(starts_at)
    }
    if rebuilt != expected:
        raise SystemExit(f"ClickHouse has other sums, of {len(expected)}")
    say(
        f"50 batches of {len(sent):,} responses, repeats and growth, {outages} of them while ClickHouse was out of "
        f"reach: {compared:,} sums agree with SQLite's, and {len(rebuilt):,} of FINAL"
    )
    return now


def timed(what: str, work: Any) -> None:
    """Print how long this takes."""
    start = time.perf_counter()
    work()
    say(f"{what}: {time.perf_counter() - start:.2f} s")


def measure(ledger: ClickHouseLedger, events: ClickHouseEvents, now: datetime, count: int) -> None:
    """Print how long an append, a move and a rebuild take among so many."""
    random, took = Random(7), list[float]()
    first_hour = floor_hour(now)
    for first in range(0, count, BATCH):
        received_at = now + first * timedelta(milliseconds=36)
        batch = [replace(event(random, 10**9 + first + number, received_at), at=received_at) for number in range(BATCH)]
        start = time.perf_counter()
        ledger.append(batch, received_at)
        took.append(time.perf_counter() - start)
    took.sort()
    say(
        f"{count:,} responses appended: {count / sum(took):,.0f} a second in batches of {BATCH:,}, median "
        f"{took[len(took) // 2]:.3f} s, slowest {took[-1]:.3f} s"
    )
    clickhouse_ledger.MOVING_SECONDS = 10**6
    later = now + count * timedelta(milliseconds=36) + 3 * HOUR
    start = time.perf_counter()
    while ledger._move(later):
        pass
    say(f"moved: {count / (time.perf_counter() - start):,.0f} a second")
    ids = [f"msg_{10**9 + random.randrange(2 * count)}'\\é" for _ in range(BATCH)]
    timed(f"look-up of {BATCH:,} ids of which half are known", lambda: events.find(ids))
    timed("sums of one hour with FINAL", lambda: events.hour(first_hour + HOUR))
    timed("roll-up of all closed hours", lambda: ledger.roll_up(later))


def main() -> None:
    """Check, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client = clickhouse_connect.get_client(dsn=f"chdb://{folder}/engine")
        say(f"ClickHouse {client.server_version}")
        switch = Switch(client)
        events = ClickHouseEvents(lambda _: switch, KEEP)
        ledger = ClickHouseLedger(open_database(f"sqlite:///{folder / 'claude-cost.db'}"), events, KEEP)
        now = check(folder, ledger, switch, events)
        measure(ledger, events, now, arguments.events)
    say(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")


if __name__ == "__main__":
    main()
