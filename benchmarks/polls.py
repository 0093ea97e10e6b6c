"""Measure a poll with many keys against the minimum work, and a new installation on day 31.

    python benchmarks/polls.py [KEYS ...]

A local Anthropic (`polls_server.py`) answers from another process. Each size runs in its own process: a new install
reads the month so far, then minutes pass, and a poll is measured after each. The floor alternates with the polls: the
same bytes parsed by msgspec, and the changed rows inserted by the bare driver. CPU seconds exclude the transfer, which
is measured separately with the same bytes. The longest stall of the event loop is seen by a ticker that sleeps for
1 ms; the longest stall of an idle loop is printed beside it.
"""

import asyncio
import gc
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import msgspec

from benchmarks.polls_server import NOW, SINCE
from bot.config.settings import Need, load_settings
from bot.db.engine import open_database
from bot.sandbox.clock import HandClock
from bot.usage.poller import build_poller
from bot.usage.store import UsageStore
from tests.scenario.http_port import free_port

ROUNDS = 5
SIZES = (500, 5_000)
CHANGED = 1_191


class _Row(msgspec.Struct, gc=False):
    uncached_input_tokens: int
    cache_creation: dict[str, int]
    cache_read_input_tokens: int
    output_tokens: int
    server_tool_use: dict[str, int]
    api_key_id: str | None
    workspace_id: str | None
    model: str | None
    service_tier: str | None
    inference_geo: str | None
    speed: str | None


class _Bucket(msgspec.Struct, gc=False):
    starting_at: str
    ending_at: str
    results: list[_Row]


class _Page(msgspec.Struct, gc=False):
    data: list[_Bucket]
    has_more: bool
    next_page: str | None = None


class Stalls:
    """The longest time in which the loop was blocked: wall time, and the process's CPU time.

    Under other load the wall time includes time in which other processes had the CPU.
    """

    longest = 0.0
    longest_of_cpu = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            begun_at, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.monotonic() - begun_at - 0.001)
            self.longest_of_cpu = max(self.longest_of_cpu, time.process_time() - cpu)


@asynccontextmanager
async def stalls() -> AsyncIterator[Stalls]:
    """Watch the loop inside this context."""
    found = Stalls()
    task = asyncio.create_task(found.watch())
    try:
        yield found
    finally:
        task.cancel()


async def measured(port: int, keys: int, folder: Path) -> dict[str, float]:
    """Measure one size; figures by name."""
    figures: dict[str, float] = {}
    bodies: list[bytes] = []
    address = f"http://127.0.0.1:{port}"
    settings = load_settings(
        {
            "ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-local",
            "ANTHROPIC_BASE_URL": address,
            "CLAUDE_COST_USAGE_API": "admin",
            "CLAUDE_COST_HARD_USD": "100",
        },
        Need.ANTHROPIC,
    )
    database = folder / "claude-cost.db"
    engine = open_database(f"sqlite:///{database}")
    clock = HandClock(NOW)
    async with httpx.AsyncClient(base_url=address) as http:
        poller = build_poller(
            http, settings.anthropic_admin_key, settings.usage_api, UsageStore(engine), clock, most_waiting=None
        )
        async with stalls() as idle:
            await asyncio.sleep(2)
        figures["idle: longest stall, ms"] = idle.longest * 1000
        # Limit garbage collection to objects of the polls, without those of imported modules.
        gc.collect()
        gc.freeze()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with stalls() as stall:
            begun_at, cpu = time.monotonic(), time.process_time()
            outcome = await poller.poll(SINCE)
            figures["new install: wall, s"] = time.monotonic() - begun_at
            figures["new install: CPU, s"] = time.process_time() - cpu
        assert outcome.ok, outcome
        figures["new install: longest stall, ms"] = stall.longest * 1000
        figures["new install: its CPU, ms"] = stall.longest_of_cpu * 1000
        figures["new install: peak, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures["before it: MB"] = before / 1024
        with sqlite3.connect(database) as bare:
            (figures["rows in the store"],) = bare.execute("SELECT count(*) FROM usage").fetchone()
        polls, floors, transfers, longest, longest_of_cpu = [], [], [], 0.0, 0.0
        for _ in range(ROUNDS):
            (await http.post("/minute")).raise_for_status()
            clock.advance(timedelta(minutes=1))
            async with stalls() as stall:
                cpu = time.process_time()
                outcome = await poller.poll(SINCE)
                polls.append(time.process_time() - cpu)
            assert outcome.ok, outcome
            longest = max(longest, stall.longest)
            longest_of_cpu = max(longest_of_cpu, stall.longest_of_cpu)
            cpu = time.process_time()
            bodies = await _transferred(http)
            transfers.append(time.process_time() - cpu)
            floors.append(_floor(bodies, database))
        figures["poll: MB"] = sum(map(len, bodies)) / 1e6
        figures["poll: CPU with the transfer, s"] = median(polls)
        figures["transfer alone: CPU, s"] = median(transfers)
        figures["parse and store: CPU, s"] = median(polls) - median(transfers)
        figures["floor: CPU, s"] = median(floors)
        figures["parse and store against the floor"] = (median(polls) - median(transfers)) / median(floors)
        figures["poll: longest stall, ms"] = longest * 1000
        figures["poll: its CPU, ms"] = longest_of_cpu * 1000
        poller.close()
    engine.dispose()
    return figures


async def _transferred(http: httpx.AsyncClient) -> list[bytes]:
    """Transfer the bytes of a poll with the same client, page by page."""
    bodies, token = [], "0"
    while True:
        query = {
            "starting_at": "2026-10-31T10:00:00Z",
            "ending_at": "2026-10-31T13:00:00Z",
            "bucket_width": "1m",
            "limit": "45",
            "page": token,
        }
        body = (await http.get("/v1/organizations/usage_report/messages", params=query)).content
        bodies.append(body)
        if b'"has_more":false' in body[-40:]:
            return bodies
        token = str(int(token) + 45)


def _floor(bodies: list[bytes], database: Path) -> float:
    """CPU seconds to parse everything and insert the changed rows into a table like the store's."""
    decoder = msgspec.json.Decoder(_Page)
    cpu = time.process_time()
    pages = [decoder.decode(body) for body in bodies]
    parsed = time.process_time() - cpu
    rows = [
        (row.model, row.api_key_id, bucket.starting_at, row.uncached_input_tokens, row.output_tokens)
        for page in pages
        for bucket in page.data
        for row in bucket.results
    ][-CHANGED:]
    del pages
    with sqlite3.connect(database.with_name("floor.db")) as bare:
        bare.execute("CREATE TABLE IF NOT EXISTS usage (model, key, starts_at, input, output)")
        cpu = time.process_time()
        bare.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?)", rows)
        bare.commit()
        return parsed + time.process_time() - cpu


def main(sizes: list[int]) -> None:
    """Print one table."""
    columns = [_in_processes(keys) for keys in sizes]
    sys.stdout.write(f"{'':38}" + "".join(f"{keys:>12,}" for keys in sizes) + " keys\n")
    for name in columns[0]:
        sys.stdout.write(f"{name:38}" + "".join(f"{column[name]:12,.2f}" for column in columns) + "\n")


def _in_processes(keys: int) -> dict[str, float]:
    port = free_port()
    here = Path(__file__).resolve()
    server = subprocess.Popen([sys.executable, here.with_name("polls_server.py"), str(port), str(keys)])
    try:
        _until(lambda: httpx.get(f"http://127.0.0.1:{port}/v1/organizations/workspaces").status_code == 200)
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["measure", str(port), str(keys), folder]
            found = subprocess.run([sys.executable, here, *arguments], check=True, capture_output=True, text=True)
        figures: dict[str, float] = json.loads(found.stdout)
        return figures
    finally:
        server.terminate()
        server.wait()


def _until(answers: Callable[[], bool]) -> None:
    for _ in range(600):
        try:
            if answers():
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the local Anthropic does not start")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", port, keys, folder]:
            sys.stdout.write(json.dumps(asyncio.run(measured(int(port), int(keys), Path(folder)))))
        case sizes:
            main([int(size) for size in sizes] or list(SIZES))
