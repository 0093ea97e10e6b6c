"""A new installation introduces itself in its channel, once; an old one never does."""

import pytest

from bot.clock import MINUTE
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import ADMIN
from handlers.commands import answer
from tests.scenario.conftest import World, member


@pytest.fixture
def installation(simulated: World, database_url: str) -> World:
    simulated.environ["CLAUDE_COST_DATABASE_URL"] = database_url
    return simulated


async def test_the_first_successful_poll_introduces_the_bot_before_any_alert(simulated: World) -> None:
    simulated.spend(130)
    async with simulated.bot() as bot:
        await bot.cycle()
    [greeted] = simulated.greetings()
    lines = greeted.text.splitlines()
    assert lines[0] == (
        "claude-cost watches what this organization spends on Claude, and reports at $100 and at $200 a month."
    )
    assert lines[1] == f"The people in `CLAUDE_COST_ADMINS` (`{ADMIN}`) may change budgets and the fallback mode."
    assert len([line for line in lines if line.startswith("• `/claude-cost ")]) == 3
    assert "<@" not in greeted.text + str(greeted.blocks)
    [alert] = simulated.posts()
    assert greeted.ts < alert.ts


async def test_it_is_said_once_whatever_restarts_and_copies_do(installation: World) -> None:
    async with installation.bot() as one, installation.bot() as other:
        for bot in (one, other, one):
            await bot.cycle()
    async with installation.bot() as bot:
        await bot.cycle()
        await bot.cycle()
    assert len(installation.greetings()) == 1


async def test_it_is_said_once_by_runs_of_one_poll_each(world: World) -> None:
    assert [(await world.once()).code for _ in range(2)] == [0, 0]
    assert len(world.greetings()) == 1


async def test_it_waits_for_a_poll_that_succeeds(simulated: World) -> None:
    async with simulated.bot(ANTHROPIC_ADMIN_KEY="sk-ant-refused") as bot:
        await bot.cycle()
    assert simulated.greetings() == []
    async with simulated.bot() as bot:
        await bot.cycle()
    assert len(simulated.greetings()) == 1


async def test_a_bot_that_was_killed_between_its_poll_and_its_post_greets_later(
    simulated: World,
) -> None:
    async with simulated.bot() as bot:
        bot.greeter.prepare()
        await bot.poller.poll(bot.services.clock())
    assert simulated.greetings() == []
    async with simulated.bot() as bot:
        await bot.cycle()
    assert len(simulated.greetings()) == 1


async def test_a_bot_that_was_killed_before_it_could_send_greets_after_its_restart(installation: World) -> None:
    async with installation.bot() as bot:
        bot.greeter.prepare()
        await bot.poller.poll(bot.services.clock())
        assert bot.greeter.look(bot.services.clock(), "normal") == 1
    async with installation.bot() as bot:
        await bot.cycle()
    assert len(installation.greetings()) == 1


async def test_a_database_that_an_older_version_has_polled_is_never_greeted(installation: World) -> None:
    async with installation.bot() as bot:
        await bot.poller.poll(bot.services.clock())
    for _ in range(2):
        async with installation.bot() as bot:
            await bot.cycle()
    assert installation.greetings() == []


async def test_a_database_that_an_older_version_has_posted_from_is_never_greeted(simulated: World) -> None:
    async with simulated.bot() as bot:
        fallback = bot.services.fallback
        fallback.switch(fallback.modes["degraded"], ADMIN, "too dear", (), None)
    async with simulated.bot() as bot:
        await bot.cycle()
    assert simulated.greetings() == []
    assert len(simulated.posts()) == 1


async def test_a_wrong_channel_shows_at_once_and_gets_the_greeting_once_it_is_mended(
    simulated: World, clock: HandClock
) -> None:
    channel = simulated.slack.workspace.channels[ALERTS]
    channel.has_bot = False
    async with simulated.bot() as bot:
        await bot.cycle()
        status = (await answer(bot.services, member(ADMIN), "status")).text
        assert "/invite" in status
        assert simulated.greetings() == []
        channel.has_bot = True
        for _ in range(10):
            clock.advance(MINUTE)
            await bot.deliver()
    assert len(simulated.greetings()) == 1


async def test_a_channel_in_japanese_is_greeted_in_japanese(simulated: World) -> None:
    async with simulated.bot(CLAUDE_COST_LANGUAGE="ja") as bot:
        await bot.cycle()
    [greeted] = simulated.slack.messages
    assert "/claude-cost status" in greeted.text
    assert "watches" not in greeted.text
