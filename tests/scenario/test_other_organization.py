"""A database holds the usage of one Anthropic organization."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from bot.runner.cycle import Bot
from bot.runner.lifecycle import CredentialsRefusedError, Lifecycle
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_KEY, ORGANIZATION_ID
from bot.sandbox.clock import HandClock
from bot.usage.anthropic.client import OWN_ORGANIZATION, Transport
from bot.usage.organization_store import Owner
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)

SENTENCE = f"holds the usage of another Anthropic organization ({ORGANIZATION_ID}, and ANTHROPIC_ADMIN_KEY is of org-b)"


def spent(bot: Bot) -> Decimal | None:
    return bot.services.review.spent_usd(bot.services.budgets.in_force()[0], bot.services.clock())


@pytest.mark.parametrize("words", [("run", "--once"), ("run",)])
async def test_a_bot_of_another_organization_does_not_start(world: World, words: tuple[str, ...]) -> None:
    async with world.bot() as bot:
        await bot.cycle()
    world.anthropic.organization = "org-b"
    world.spend(120)
    finished = await world.command(*words)
    assert (finished.code, finished.out) == (2, "")
    assert SENTENCE in finished.err
    assert "one for each bot" in finished.err
    assert "Traceback" not in finished.err
    assert world.alerts("soft") == world.alerts("hard") == []


async def test_a_copy_of_another_organization_does_not_stand_by(simulated: World) -> None:
    async with simulated.bot() as leader, simulated.bot() as other:
        await leader.cycle()
        simulated.anthropic.organization = "org-b"
        simulated.anthropic.requests.clear()
        cycle = await other.cycle()
        assert cycle.poll is not None
        assert cycle.poll.foreign
        assert SENTENCE in str(cycle.poll.error)
        with pytest.raises(CredentialsRefusedError, match="one for each bot"):
            await asyncio.wait_for(Lifecycle(other, MINUTE).run(), 20)
        assert {path for path, _ in simulated.anthropic.requests} == {OWN_ORGANIZATION}


async def test_a_copy_of_the_same_organization_asks_once(simulated: World) -> None:
    async with simulated.bot() as leader, simulated.bot() as other:
        await leader.cycle()
        simulated.anthropic.requests.clear()
        for _ in range(3):
            assert (await other.cycle()).poll is None
        assert [path for path, _ in simulated.anthropic.requests] == [OWN_ORGANIZATION]


async def test_a_key_of_another_organization_while_the_bot_runs_changes_no_number(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(40)
    async with simulated.bot() as bot:
        await bot.cycle()
        before = spent(bot)
        assert before is not None
        simulated.anthropic.organization = "org-b"
        simulated.spend(50)
        clock.advance(10 * MINUTE)
        cycle = await bot.cycle()
        assert cycle.poll is not None
        assert not cycle.poll.ok
        assert spent(bot) == before
        assert any(SENTENCE in sentence for sentence in await Lifecycle(bot, MINUTE).problems())
        simulated.anthropic.organization = ORGANIZATION_ID
        clock.advance(MINUTE)
        await bot.cycle()
        assert (spent(bot) or 0) > before
        assert not any("organization" in sentence for sentence in await Lifecycle(bot, MINUTE).problems())


async def test_other_keys_of_the_organization_and_responses_without_the_header_pass(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.bot() as bot:
        assert (await bot.cycle()).poll.ok  # type: ignore[union-attr]
    simulated.anthropic.organization = None
    clock.advance(MINUTE)
    async with simulated.bot(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY) as bot:
        assert (await bot.cycle()).poll.ok  # type: ignore[union-attr]
    simulated.anthropic.organization = ORGANIZATION_ID
    clock.advance(MINUTE)
    async with simulated.bot(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY) as bot:
        assert (await bot.cycle()).poll.ok  # type: ignore[union-attr]


@pytest.mark.parametrize("key", [ADMIN_KEY, ANALYTICS_KEY])
async def test_a_key_for_analytics_alone_tells_its_organization_too(simulated: World, key: str) -> None:
    claimed: list[str] = []
    async with httpx.AsyncClient(base_url=simulated.anthropic.origin) as http:
        transport = Transport(http, SecretStr(key))
        assert await transport.own_organization() == ORGANIZATION_ID
        owner = Owner(transport, claimed.append)
        await owner.check()
        await owner.check()
        assert claimed == [ORGANIZATION_ID]
        simulated.anthropic.organization = "what a proxy, or somebody else, wrote"
        assert await transport.own_organization() is None
        transport.close()
