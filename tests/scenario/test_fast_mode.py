"""Fast mode costs twice as much: it is detected if the API lets the bot ask, and otherwise sums say "at least"."""

from datetime import timedelta

import pytest

from bot.clock import HOUR
from bot.pricing.tokens import Terms, TokenCounts
from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import ADMIN, World

FAST = Terms("standard", "global", "fast")
MILLION = TokenCounts(uncached_input_tokens=1_000_000, output_tokens=1_000_000)
OPUS = "claude-opus-5-5"
LIMITS = {"CLAUDE_COST_USAGE_API": "admin", "CLAUDE_COST_SOFT_USD": "30", "CLAUDE_COST_HARD_USD": "1000"}


async def status(world: World) -> str:
    return (await (await world.slack.command("status", ADMIN)).first_reply()).text


@pytest.mark.parametrize("key", ["apikey_1", "apikey_unlisted", None])
async def test_fast_mode_counts_at_its_own_price_and_crosses_the_limit(simulated: World, key: str | None) -> None:
    simulated.anthropic.history.add(UsageEvent(simulated.clock() - HOUR, OPUS, MILLION, None, key, FAST))
    async with simulated.connected_bot(**LIMITS) as bot:
        for _ in range(2):
            await bot.cycle()
        assert (await status(simulated)).startswith("$48.00 of $1,000.00 (4%), November")
    (alert,) = simulated.alerts("soft")
    assert "$48.00 of $30.00 (160%)" in alert.text


async def test_where_speed_cannot_be_asked_for_sums_are_at_least_and_doctor_warns(
    simulated: World, clock: HandClock
) -> None:
    simulated.anthropic.history.add(UsageEvent(simulated.clock() - HOUR, OPUS, MILLION, None, "apikey_1", FAST))
    simulated.anthropic.refuses_speed = True
    async with simulated.connected_bot(**LIMITS) as bot:
        await bot.cycle()
        text = await status(simulated)
        assert text.startswith("At least $24.00 of $1,000.00 (2%), November")
        assert "does not say here which tokens ran in fast mode" in text
        doctor = await simulated.slack.command("doctor", ADMIN)
        assert "leaves the speed of some of this month's usage open" in (await doctor.first_reply()).text
        # The refusal is temporary.
        simulated.anthropic.refuses_speed = False
        clock.advance(HOUR + timedelta(minutes=1))
        await bot.cycle()
        assert (await status(simulated)).startswith("$48.00 of $1,000.00 (4%), November")


async def test_usage_that_cannot_be_fast_stays_an_exact_sum(simulated: World) -> None:
    simulated.anthropic.history.add(UsageEvent(simulated.clock() - HOUR, "claude-haiku-4-5", MILLION, None, "apikey_1"))
    simulated.anthropic.refuses_speed = True
    async with simulated.connected_bot(**LIMITS) as bot:
        await bot.cycle()
        assert (await status(simulated)).startswith("$6.00 of $1,000.00 (0%), November")
