"""Applications send usage to a bot that is killed again and again, and send again what was not acknowledged."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
from sqlalchemy import Connection, Engine, Table, func, select

from bot.clock import DAY, system_clock
from bot.db.engine import open_database
from bot.db.schema import ledger_days, ledger_events, ledger_hours
from bot.ledger.store import SqlLedger
from tests.scenario.http_port import free_port

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "ingest-token"
LARGEST_BATCH = 80
SENDERS = 2
LONGEST_LIFE = 0.15
"""Seconds from the first request on."""


@dataclass(slots=True)
class Outcome:
    """`acknowledged`: responses that the bot has said it stored. `lost` and `doubled`: how many of them were."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0


@dataclass(slots=True)
class Sender:
    """One application. `waiting`: a batch that was sent and not acknowledged."""

    name: str
    random: Random
    sent: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def batch(self) -> list[dict[str, Any]]:
        """The next batch: what waits, or new responses and grown states of old ones."""
        if not self.waiting:
            for _ in range(self.random.randint(1, LARGEST_BATCH)):
                self.sent += 1
                self.waiting.append(self._record(f"msg_{self.name}{self.sent}", self.random.randint(1, 9)))
            for again in self.random.sample(sorted(self.acknowledged), min(3, len(self.acknowledged))):
                self.waiting.append(self._record(again, self.acknowledged[again] + self.random.randint(0, 2)))
        return self.waiting

    def _record(self, id_: str, tokens: int) -> dict[str, Any]:
        labels = {"feature": f"f{len(id_) % 3}", "user_id": self.name}
        return {"id": id_, "model": "claude-opus-5-5", "input_tokens": tokens, "output_tokens": 1, **labels}

    def note(self) -> None:
        """The batch is acknowledged."""
        for record in self.waiting:
            self.acknowledged[record["id"]] = max(record["input_tokens"], self.acknowledged.get(record["id"], 0))
        self.waiting = []


async def kill_while_ingesting(environ: Mapping[str, str], kills: int, seed: int) -> Outcome:
    """`environ`: the bot's settings. After each crash what was acknowledged is looked for in the database."""
    outcome, random = Outcome(), Random(seed)
    engine = open_database(environ["CLAUDE_COST_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
    senders = [Sender(chr(ord("a") + number), Random(random.random())) for number in range(SENDERS)]
    try:
        async with _fork_server(environ) as (process, port):
            for _ in range(kills):
                await _life(process, port, senders, random.uniform(0, LONGEST_LIFE))
                outcome.kills += 1
                _compare(engine, senders, outcome)
            await _life(process, port, senders, None)
            _compare(engine, senders, outcome, settled=True)
    finally:
        engine.dispose()
    return outcome


@asynccontextmanager
async def _fork_server(environ: Mapping[str, str]) -> AsyncIterator[tuple[Process, int]]:
    port = free_port()
    inherited = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scenario.ingest_fork_server", str(port)),
        cwd=ROOT,
        env={**inherited, **environ, "CLAUDE_COST_INGEST_TOKEN": TOKEN},
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process, port
    finally:
        process.kill()
        await process.communicate()


async def _life(process: Process, port: int, senders: list[Sender], seconds: float | None) -> None:
    """Run one process; `seconds`: until it is killed, None to end once everything waiting is acknowledged."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"live\n")
    pid = int(await process.stdout.readline())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        await _until_open(client)
        sending = [asyncio.create_task(_send(client, sender, for_ever=seconds is not None)) for sender in senders]
        if seconds is None:
            await asyncio.gather(*sending)
        else:
            await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*sending)
    assert await process.stdout.readline() == b"ended\n"


async def _send(client: httpx.AsyncClient, sender: Sender, *, for_ever: bool) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    while for_ever or sender.waiting:
        try:
            answer = await client.post("/v1/usage", json=sender.batch(), headers=headers)
        except httpx.TransportError:
            return
        if answer.status_code == httpx.codes.OK:
            assert answer.json()["rejected"] == []
            sender.note()


async def _until_open(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get("/healthz")
            except httpx.TransportError:
                await asyncio.sleep(0.01)
            else:
                return


def _compare(engine: Engine, senders: list[Sender], outcome: Outcome, *, settled: bool = False) -> None:
    """Assert that every acknowledged state is there, and every sum is that of the events. `settled`: nothing waits any
    more.
    """
    wanted = {id_: tokens for sender in senders for id_, tokens in sender.acknowledged.items()}
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # A server may still commit for a killed process.
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        stored = dict(connection.execute(select(ledger_events.c.id, ledger_events.c.uncached_input_tokens)).all())
        tokens, requests = sum(stored.values()), len(stored)
        sums = [_totals(connection, table) for table in (ledger_hours, ledger_days)]
    outcome.acknowledged = len(wanted)
    outcome.lost += sum(stored.get(id_, 0) < tokens for id_, tokens in wanted.items())
    outcome.doubled += sum(each != (tokens, requests) for each in sums)
    if settled:
        outcome.doubled += len(stored) - len(wanted)
        now = system_clock()
        rows = SqlLedger(engine).read(now - 2 * DAY, now + DAY)
        outcome.lost += sum(wanted.values()) - sum(row.sums.counts.uncached_input_tokens for row in rows)


def _totals(connection: Connection, table: Table) -> tuple[int, ...]:
    columns = (func.coalesce(func.sum(table.c[name]), 0) for name in ("uncached_input_tokens", "requests"))
    return tuple(int(value) for value in connection.execute(select(*columns)).one())
