"""Keep importing events into a running bot's database, with `claude-cost import` or over the bot's HTTP port.

    python benchmarks/busy_database.py PORT TOKEN FILE

posts FILE in portions to `/v1/usage`, in its own process: the measuring one has to stay idle.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from benchmarks.figures import say
from benchmarks.ingest import BATCH, records
from bot.clock import DAY

Way = Literal["import", "http"]
ROOT = Path(__file__).resolve().parents[1]
PORTION = 50_000
STRETCH = 14 * DAY
"""Time over which the events are spread: an import is of the past."""


@dataclass(slots=True)
class Busy:
    """Progress of the import. `first`: seconds for the first file; None while it is being read."""

    events: int
    files: int = 0
    first: float | None = None
    problem: str | None = None


def write_events(path: Path, count: int, seed: int, stretch: timedelta = STRETCH) -> None:
    """Write a file of this many records as applications log them."""
    with path.open("wb") as lines:
        for begin in range(0, count, PORTION):
            some = records(min(PORTION, count - begin), seed * 1_000_003 + begin, stretch)
            lines.write(b"".join(json.dumps(each).encode() + b"\n" for each in some))


@asynccontextmanager
async def busy(way: Way, folder: Path, environ: Mapping[str, str], count: int, target: str) -> AsyncIterator[Busy]:
    """Import files of `count` events, one after the other. `target`: arguments of the script for "http".

    The next file is written once the one before has been read.
    """
    path = folder / "events.jsonl"
    await asyncio.to_thread(write_events, path, count, 0)
    busy = Busy(count)
    work = asyncio.create_task(_bring(way, path, environ, target, busy))
    try:
        yield busy
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        path.unlink(missing_ok=True)


async def _bring(way: Way, path: Path, environ: Mapping[str, str], target: str, busy: Busy) -> None:
    words = ["-m", "bot", "import", str(path)] if way == "import" else [__file__, *target.split(), str(path)]
    while True:
        begun_at = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, errors = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            busy.problem = errors.decode()[-300:] or f"exit code {process.returncode}"
            return
        busy.files += 1
        if busy.first is None:
            busy.first = time.monotonic() - begun_at
            say(f"{busy.events:,} events are in after {busy.first:.0f} s")
        await asyncio.to_thread(write_events, path, busy.events, busy.files)


def post(port: int, token: str, path: Path) -> None:
    """Post a file in portions, each acknowledged."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client, path.open("rb") as lines:
        while portion := b"".join(line for _, line in zip(range(BATCH), lines, strict=False)):
            client.post("/v1/usage", content=portion, headers=headers).raise_for_status()


if __name__ == "__main__":
    post(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
