"""Measure the time from a logged event that crosses a budget to its alert in Slack.

    python benchmarks/alert_latency.py [--crossings 200] [--quick]

The bot runs in its own process against the local Slack and the local Anthropic. It polls once an hour, so no poll can
trigger the alert. Every crossing has its own budget, each for one feature. Each round sends one event that crosses the
next budget to `POST /v1/usage` and waits until a post in the channel names that budget. The floor is the
acknowledgement of the same request.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from benchmarks.figures import Figure, emit, percentile, say
from bot.clock import system_clock
from tests.scenario.conftest import OPUS, TOKENS_FOR_ONE_USD, World, world_at
from tests.scenario.http_port import PATIENCE, free_port

GOAL_MS = 2_000
PAUSE_SECONDS = 0.2
"""Pause between two crossings."""


def budgets(count: int) -> str:
    """TOML for `count` budgets; the first event of a feature crosses its budget."""
    return "".join(
        f'[[budget]]\nname = "team-{number:04}"\nscope = "feature:feature-{number:04}"\nhard_usd = "1"\n'
        for number in range(count)
    )


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the bot has its first data."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if "no usage data" not in (await client.get("/readyz")).text:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def measured(world: World, crossings: int) -> tuple[list[float], list[float]]:
    """Milliseconds until each event was acknowledged and until its alert was posted."""
    path = world.folder / "claude-cost.toml"
    path.write_text(budgets(crossings))
    changes = {
        "CLAUDE_COST_HTTP_PORT": str(port := free_port()),
        "CLAUDE_COST_CONFIG": str(path),
        "CLAUDE_COST_POLL_SECONDS": "3600",
    }
    now = asyncio.get_running_loop().time
    acknowledged, posted = list[float](), list[float]()
    async with world.running(**changes), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await ready(client)
        for number in range(crossings):
            name = f"team-{number:04}"
            event = {
                "id": f"msg_{number}",
                "feature": f"feature-{number:04}",
                "model": OPUS,
                "input_tokens": 2 * TOKENS_FOR_ONE_USD,
                "output_tokens": 0,
            }
            begun = now()
            (await client.post("/v1/usage", json=[event])).raise_for_status()
            acknowledged.append((now() - begun) * 1000)
            await world.slack.until(lambda name=name: any(name in post.text for post in world.posts()), PATIENCE)  # type: ignore[misc]
            posted.append((now() - begun) * 1000)
            if number % 50 == 49:
                say(f"{number + 1} crossings")
            await asyncio.sleep(PAUSE_SECONDS)
    return acknowledged, posted


async def run(crossings: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with world_at(system_clock, Path(folder)) as world:
            acknowledged, posted = await measured(world, crossings)
    for share, goal in ((0.5, None), (0.99, GOAL_MS)):
        title = f"event that crosses a budget until its alert, p{share * 100:.0f} of {crossings}"
        emit(Figure(title, percentile(posted, share), "ms", floor=percentile(acknowledged, share), goal=goal))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crossings", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="a few crossings only, as a smoke test")
    words = parser.parse_args()
    asyncio.run(run(10 if words.quick else words.crossings))


if __name__ == "__main__":
    main()
