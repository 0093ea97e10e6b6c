"""How long it takes from a click in Slack until a waiting application sees the other model.

    python benchmarks/switch_latency.py [ROUNDS]

The bot runs as a process of its own against the local Slack and the local Anthropic. Each round clicks the button of an
alert and waits until everybody has the model, then switches back. Prints medians in milliseconds, beyond a bare round
trip: a ping through the same Slack connection would take about as long as one to the same HTTP port (`GET /healthz`),
which is measured before each click. "since commit" starts at the moment that the database holds the change, as the
bot recorded it.
"""

import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from bot.clock import system_clock
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import PATIENCE, free_port, type_in_slack
from tests.scenario.waiting_applications import OWN, waiting

SONNET = "claude-sonnet-5-5"
ROUND_TRIPS = 200
ANSWER = "answer in Slack"


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with world_at(system_clock, Path(folder)) as world:
            bare, found = await measured(world, rounds)
    sys.stdout.write(f"{rounds} clicks, medians\n{'bare HTTP round trip':22}{bare * 1000:9.1f} ms\n")
    for name, seconds in found.items():
        middle = median(seconds)
        sys.stdout.write(
            f"{name:22}{middle * 1000:9.1f} ms {middle / bare:7.0f} times bare, slowest {max(seconds) * 1000:.1f} ms\n"
        )


async def measured(world: World, rounds: int) -> tuple[float, dict[str, list[float]]]:
    """The seconds of a bare round trip, and of each click until each reader had seen the model."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    now = asyncio.get_running_loop().time
    found: dict[str, list[float]] = {}
    async with world.running(CLAUDE_COST_HTTP_PORT=str(port)):
        await world.slack.wait_connected(seconds=PATIENCE)
        # Some minutes old, so that it lies before what the data is as of, and a saving can be told.
        world.spend(120, world.clock() - timedelta(minutes=3))
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
        (alert,) = world.alerts("soft")
        bare = await round_trip(address)
        async with waiting(world.folder, world.fallback_file, address) as readers:
            for _ in range(rounds):
                begun_at = now()
                async with asyncio.TaskGroup() as waits:
                    seen = {name: waits.create_task(reader.sees(SONNET)) for name, reader in readers.items()}
                    clicked = await world.slack.click(alert, "fallback_switch:degraded", ADMIN)
                    await clicked.first_reply(PATIENCE)
                    found.setdefault(ANSWER, []).append(now() - begun_at)
                for name, wait in seen.items():
                    found.setdefault(name, []).append(wait.result() - begun_at)
                async with asyncio.TaskGroup() as waits:
                    for reader in readers.values():
                        waits.create_task(reader.sees(OWN))
                    await type_in_slack(world, "fallback off")
    return bare, found


async def round_trip(address: str) -> float:
    """The median of many requests over one connection."""
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
