"""Spend that no application has logged: reported once with its keys, resolved when enough is logged again."""

from contextlib import AbstractAsyncContextManager

import httpx
import pytest

from bot.clock import DAY, HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from handlers.commands import answer
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send
from tests.scenario.test_statements import counted

RULES = "[first_seen]\nenabled = false\n[outlier]\nenabled = false\n[unattributed]\nenabled = true\n"
NO_LIMITS = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": "9000"}


def watching(world: World, rules: str = RULES) -> AbstractAsyncContextManager[Bot]:
    config = world.folder / "rules.toml"
    config.write_text(rules, encoding="utf-8")
    return world.bot(**NO_LIMITS, CLAUDE_COST_CONFIG=str(config))


async def work(
    world: World, clock: HandClock, bot: Bot, client: httpx.AsyncClient, count: int, logged: str | None
) -> None:
    """Repeat `count` times four hours, in each of which $20 are counted for the key ingest and a part of them is
    logged.
    """
    for _ in range(count):
        world.spend(20)
        if logged is not None:
            at = clock()
            await send(client, record(int(at.timestamp()), logged, key="ingest", time=at.isoformat()))
        clock.advance(4 * HOUR)
        await bot.cycle()


def reported(world: World) -> list[Message]:
    return [post for post in world.posts() if post.texts[0].startswith("Spend in no log")]


async def test_it_is_reported_once_with_its_key_and_resolved_below_the_bound(
    simulated: World, clock: HandClock
) -> None:
    async with watching(simulated) as bot, served(bot) as client:
        await work(simulated, clock, bot, client, 5, "8")
        assert simulated.posts() == []
        await work(simulated, clock, bot, client, 2, "8")
        (alert,) = simulated.posts()
        lines = alert.text.splitlines()
        assert lines[0].startswith("Spend in no log: 60% of what Anthropic counted in the 24 h to 17 Nov ")
        assert lines[0].endswith("$72.00 of $120.00")
        assert "• key ingest: 60% of its Opus 4.8 tokens are in no log, about $72.00" in lines
        assert "It is reported from 30% and $20.00 on, and resolved below 24%." in alert.text
        status = (await answer(bot.services, member(DEVELOPER), "status")).text
        assert "• too much spend is in no log of an application: since 17 Nov " in status
    async with watching(simulated) as bot, served(bot) as client:
        await work(simulated, clock, bot, client, 3, "20")
        assert len(alert.texts) == 1
        await work(simulated, clock, bot, client, 1, "20")
        assert alert.text.startswith("Resolved: ")
        await work(simulated, clock, bot, client, 2, None)
    assert simulated.posts() == [alert]
    assert alert.text.startswith("Spend in no log again: ")


@pytest.mark.parametrize("rules", ["", RULES], ids=["off by default", "nothing is logged"])
async def test_it_is_silent_by_default_and_where_nobody_logs(simulated: World, clock: HandClock, rules: str) -> None:
    async with watching(simulated, rules) as bot, served(bot) as client:
        await work(simulated, clock, bot, client, 7, None if rules else "1")
    assert simulated.posts() == []


async def test_an_open_one_is_withdrawn_when_it_is_switched_off(simulated: World, clock: HandClock) -> None:
    async with watching(simulated) as bot, served(bot) as client:
        await work(simulated, clock, bot, client, 6, "1")
    async with watching(simulated, "") as bot:
        for _ in range(2):
            await bot.cycle()
            clock.advance(DAY)
    (alert,) = reported(simulated)
    assert alert.text.startswith("Spend in no log: it is not watched any more")
    assert len(simulated.replies(alert)) == 1


async def test_within_an_hour_the_stores_are_not_asked_again(simulated: World, clock: HandClock) -> None:
    async with watching(simulated) as bot, served(bot) as client:
        await work(simulated, clock, bot, client, 6, "1")
        clock.advance(HOUR / 4)
        await bot.cycle()
        clock.advance(HOUR / 4)
        with counted(bot) as cycle:
            await bot.cycle()
    assert not [each for each in cycle.statements if "ledger_hours" in each or "usage_days" in each]
