"""Measure the time from a click in Slack until a waiting application sees the other model.

    python benchmarks/switch_latency.py [ROUNDS]

The bot runs in its own process against the local Slack and the local Anthropic. Each round measures a bare round trip
to the bot's HTTP port (`GET /healthz`), clicks an alert's button, waits until every reader has the model, and switches
back. Prints medians in milliseconds, with and without the bare round trip. "database" is the moment at which another
process can read the change: time before it is the click's own work, time after it the way to the application.
Applications poll every 5 ms.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# The client is a distribution of its own, which the bot does not install.
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "client" / "src"))

import httpx

from bot.clock import system_clock
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import PATIENCE, free_port, type_in_slack
from tests.scenario.waiting_applications import LOOK_SECONDS, OWN, Reader, waiting

SONNET = "claude-sonnet-5-5"
ROUND_TRIPS = 30
ANSWER = "answer in Slack"
DATABASE = "database"
BUTTON = "fallback_switch:degraded"


class DatabaseReader:
    """Reads the mode's model from the database, as any other process may after the commit."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)

    async def sees(self, model: str) -> float:
        while await asyncio.to_thread(self._model) != model:  # noqa: ASYNC110  # a database wakes nobody
            await asyncio.sleep(LOOK_SECONDS / 2)
        return asyncio.get_running_loop().time()

    def _model(self) -> str:
        row = self._database.execute("SELECT variables FROM mode_changes ORDER BY id DESC LIMIT 1").fetchone()
        return OWN if row is None else json.loads(row[0]).get("CLAUDE_MODEL", OWN)

    def close(self) -> None:
        self._database.close()


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with world_at(system_clock, Path(folder)) as world:
            bare, found = await measured(world, rounds)
    floor, committed = median(bare), found[DATABASE]
    sys.stdout.write(f"{rounds} clicks, medians, ms\n{'bare HTTP round trip':22}{floor * 1000:9.1f}\n")
    sys.stdout.write(f"{'':22}{'click':>9} {'beyond bare':>12} {'slowest':>9} {'beyond commit and bare':>24}\n")
    for name, seconds in found.items():
        after = median(each - at - trip for each, at, trip in zip(seconds, committed, bare, strict=True))
        beyond = median(each - trip for each, trip in zip(seconds, bare, strict=True))
        figures = (median(seconds), beyond, max(seconds))
        click, more, slowest = (figure * 1000 for figure in figures)
        late = "" if name == DATABASE else f"{after * 1000:24.1f}"
        sys.stdout.write(f"{name:22}{click:9.1f} {more:12.1f} {slowest:9.1f} {late}\n")


async def measured(world: World, rounds: int) -> tuple[list[float], dict[str, list[float]]]:
    """The seconds of a bare round trip beside each click, and of the click until each reader had seen the model."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    now = asyncio.get_running_loop().time
    found: dict[str, list[float]] = {}
    async with world.running(CLAUDE_COST_HTTP_PORT=str(port)):
        await world.slack.wait_connected(seconds=PATIENCE)
        # Old enough to be in the data already, so that a saving can be computed.
        world.spend(120, world.clock() - timedelta(minutes=3))
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
        (alert,) = world.alerts("soft")
        bare = []
        async with waiting(world.folder, world.fallback_file, address) as others:
            database = DatabaseReader(world.folder / "claude-cost.db")
            readers: dict[str, Reader | DatabaseReader] = {DATABASE: database, **others}
            for _ in range(rounds):
                # The alert is redrawn after each switch and does not offer the active mode.
                await world.slack.until(lambda: BUTTON in json.dumps(alert.blocks), PATIENCE)
                bare.append(await round_trip(address))
                begun_at = now()
                async with asyncio.TaskGroup() as waits:
                    seen = {name: waits.create_task(reader.sees(SONNET)) for name, reader in readers.items()}
                    clicked = await world.slack.click(alert, BUTTON, ADMIN)
                    await clicked.first_reply(PATIENCE)
                    found.setdefault(ANSWER, []).append(now() - begun_at)
                for name, wait in seen.items():
                    found.setdefault(name, []).append(wait.result() - begun_at)
                async with asyncio.TaskGroup() as waits:
                    for reader in readers.values():
                        waits.create_task(reader.sees(OWN))
                    await type_in_slack(world, "fallback off")
            database.close()
    return bare, found


async def round_trip(address: str) -> float:
    """Median of many requests over one connection."""
    now = asyncio.get_running_loop().time
    seconds = []
    async with httpx.AsyncClient(base_url=address) as client:
        for _ in range(ROUND_TRIPS):
            begun_at = now()
            (await client.get("/healthz")).raise_for_status()
            seconds.append(now() - begun_at)
    return median(seconds)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
