"""A change of the mode wakes those who listen, whoever made it; only another copy's change waits for the next look.

Where a test sets the look to an hour, nothing but the signal after the commit can have brought the change.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from bot.db.state import BOT
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from claude_cost_client.follower import Follower
from tests.databases import postgres_database
from tests.scenario.conftest import HARD, World
from tests.scenario.http_port import PATIENCE, Event, events, free_port, next_mode, served, type_in_slack

STREAM = "/v1/fallback/stream"
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
HOUR = timedelta(hours=1)


@asynccontextmanager
async def listening(world: World, lines: str = "", **changes: str) -> AsyncIterator[tuple[Bot, AsyncIterator[Event]]]:
    """A connected bot with these lines in the table `[fallback]`, and its stream beyond the first event."""
    config = world.folder / "claude-cost.toml"
    config.write_text(f"[fallback]\n{lines}")
    async with (
        world.connected_bot(CLAUDE_COST_CONFIG=str(config), **changes) as bot,
        served(bot, look_seconds=3600) as client,
        client.stream("GET", STREAM) as answer,
    ):
        stream = events(answer)
        assert (await next_mode(stream))["mode"] == "normal"
        yield bot, stream


async def test_a_command_wakes_the_stream_also_for_another_end_of_the_same_mode(simulated: World) -> None:
    async with listening(simulated) as (_, stream):
        await type_in_slack(simulated, "fallback on because the budget is gone")
        assert (await next_mode(stream))["until"] is None
        await type_in_slack(simulated, "fallback on for 2h because the budget is gone")
        received = await next_mode(stream)
        assert (received["mode"], received["until"]) == ("degraded", "2026-11-16T11:00:00Z")
        await type_in_slack(simulated, "fallback off")
        assert (await next_mode(stream))["mode"] == "normal"


async def test_the_end_of_a_modes_time_wakes_the_stream(simulated: World, clock: HandClock) -> None:
    async with listening(simulated) as (bot, stream):
        await type_in_slack(simulated, "fallback on for 2h")
        assert (await next_mode(stream))["mode"] == "degraded"
        clock.advance(2 * HOUR)
        await bot.cycle()
        assert (await next_mode(stream))["reason"] == "its time is over"


async def test_the_chain_that_steps_down_by_itself_wakes_the_stream(simulated: World, clock: HandClock) -> None:
    for hour in range(1, 25):
        simulated.spend(5, clock() - hour * HOUR + HOUR / 2)
    async with listening(simulated, "auto = true\n") as (bot, stream):
        await bot.cycle()
        simulated.spend(HARD)
        clock.advance(timedelta(minutes=10))
        await bot.cycle()
        assert (await next_mode(stream))["by"] == BOT


async def test_the_last_approval_wakes_the_stream(simulated: World, clock: HandClock) -> None:
    async with listening(simulated, "approvals = 1\n", CLAUDE_COST_ADMINS=f"{ADMIN},{DEVELOPER}") as (bot, stream):
        await type_in_slack(simulated, "fallback on")
        await bot.cycle()
        (asked,) = [post for post in simulated.posts() if post.text.startswith("Asked for")]
        await simulated.slack.click(asked, "proposal_approve", DEVELOPER)
        assert (await next_mode(stream))["mode"] == "degraded"


async def test_a_target_that_cannot_be_written_holds_no_stream_up(simulated: World, tmp_path: Path) -> None:
    missing = tmp_path / "no folder" / "fallback.env"
    async with listening(simulated, CLAUDE_COST_FALLBACK_FILE=str(missing)) as (_, stream):
        await type_in_slack(simulated, "fallback on")
        assert (await next_mode(stream))["mode"] == "degraded"


async def test_what_another_copy_switches_on_one_postgresql_wakes_the_stream_and_answers_requests(
    simulated: World, tmp_path: Path
) -> None:
    with postgres_database() as url:
        simulated.environ["CLAUDE_COST_DATABASE_URL"] = url
        async with (
            simulated.bot(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "other.env")) as other,
            simulated.bot() as one,
            served(one) as client,
            client.stream("GET", STREAM) as answer,
        ):
            stream = events(answer)
            assert (await next_mode(stream))["mode"] == "normal"
            for mode in ("degraded", "minimal", "normal"):
                await _switch(other, mode)
                assert (await client.get("/v1/fallback")).json()["mode"] == mode
                assert (await next_mode(stream))["mode"] == mode


async def test_an_application_follows_a_copy_that_is_killed_and_started_again_while_another_one_switches(
    world: World, tmp_path: Path
) -> None:
    port = str(free_port())
    follower = Follower({"CLAUDE_COST_FALLBACK_URL": f"http://127.0.0.1:{port}"})
    try:
        async with world.bot(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "other.env")) as other:
            async with world.running(CLAUDE_COST_HTTP_PORT=port):
                assert follower.answer(OPUS) == OPUS
                await world.slack.wait_connected(seconds=PATIENCE)
                await _switch(other, "degraded")
                await _until(lambda: follower.answer(OPUS) == SONNET)
            # The block has ended with SIGKILL: what was known last holds.
            await _switch(other, "minimal")
            assert follower.answer(OPUS) == SONNET
            async with world.running(CLAUDE_COST_HTTP_PORT=port):
                await _until(lambda: follower.answer(OPUS) == HAIKU)
    finally:
        follower.close()


async def _switch(bot: Bot, mode: str) -> None:
    fallback = bot.services.fallback
    await asyncio.to_thread(fallback.switch, fallback.modes[mode], ADMIN, "a test", (), None)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # a thread of the application knows
            await asyncio.sleep(0.01)
