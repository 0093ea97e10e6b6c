"""A model in use that is to retire is posted once at each stage, and a price that changes once."""

from datetime import datetime, timedelta

import pytest

from bot.clock import DAY
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import World

OPUS_4_5 = "claude-opus-4-5-20251101"
"""Its last day is 2027-01-22."""


def reported(world: World) -> list[Message]:
    found = [post for post in world.posts() if "retire" in post.text or "Prices of" in post.text]
    for post in found:
        assert problems(post.blocks, "message") == []
        assert len(post.texts) == 1
    return found


@pytest.fixture
def clock() -> HandClock:
    """Two days before the first stage."""
    return HandClock(datetime.fromisoformat("2026-11-21T09:00:00+00:00"))


async def test_each_stage_is_posted_once_with_the_successor_and_its_cost(simulated: World, clock: HandClock) -> None:
    found, begin = [], clock()
    for days in (0, 1, 2, 30, 47, 48, 49, 58, 59, 61):
        clock.now = begin + days * DAY
        simulated.spend(10, model=OPUS_4_5)
        # A new process each time: what was posted is known from the database.
        async with simulated.bot() as bot:
            await bot.cycle()
            await bot.cycle()
        found.append(len(reported(simulated)))
    assert found == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    first, *_, last = reported(simulated)
    assert first.text.splitlines()[0] == "Opus 4.5 retires on 2027-01-22, in 60 days"
    assert "Its successor is Opus 5.5: what cost $30.00 in the last 14 days would cost $" in first.text
    assert last.text.splitlines()[0] == "Opus 4.5 retires on 2027-01-22, in 3 days"


async def test_a_late_start_posts_the_stage_that_has_come_and_no_other(simulated: World, clock: HandClock) -> None:
    clock.advance(50 * DAY)
    simulated.spend(10, model=OPUS_4_5)
    async with simulated.bot() as bot:
        await bot.cycle()
    (only,) = reported(simulated)
    assert "in 12 days" in only.text


async def test_what_nobody_uses_any_more_is_no_news(simulated: World, clock: HandClock) -> None:
    simulated.spend(10, model=OPUS_4_5, at=clock())
    simulated.spend(10)
    clock.advance(20 * DAY)
    async with simulated.bot() as bot:
        await bot.cycle()
    assert reported(simulated) == []


async def test_a_price_that_changed_this_week_is_posted_once(simulated: World, clock: HandClock) -> None:
    clock.now = datetime.fromisoformat("2026-10-09T09:00:00+00:00")
    simulated.spend(10, model="claude-sonnet-5-5", at=clock() - timedelta(hours=3))
    async with simulated.bot() as bot:
        await bot.cycle()
        await bot.cycle()
    (only,) = reported(simulated)
    assert only.text.startswith("Prices of Sonnet 5.5 changed on 2026-10-07: ")
    assert "The usage of 14 days costs $" in only.text


async def test_a_channel_that_does_not_want_it_gets_none(simulated: World, clock: HandClock) -> None:
    clock.advance(30 * DAY)
    simulated.spend(10, model=OPUS_4_5)
    config = simulated.folder / "quiet.toml"
    config.write_text('[alerts]\nchannel_levels = ["soft", "hard"]\n')
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
    assert reported(simulated) == []
