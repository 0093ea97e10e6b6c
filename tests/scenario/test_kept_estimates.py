"""A kept estimate against what was used: bound to a scope, shown beside its pace, with the inputs that differ."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.clock import DAY, HOUR, MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from tests.scenario.conftest import World
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import ask, send

SUPPORT = "sonnet-4.6 requests=240/day in=2000 out=500 cached=1500 hit=60% as=support-bot"
"""7,200 requests a month: 3.6M uncached at $3, 4.32M writes at $3.75, 6.48M reads at $0.30, 3.6M output at $15: $82.94."""


def response(number: int, **more: Any) -> dict[str, Any]:
    """2,000 tokens in, of which 1,500 are cached: read by 3 of 5 requests, written by the others; 500 out."""
    kind = "cache_read" if number % 5 < 3 else "cache_create"
    return {
        "id": f"msg_{number}",
        "feature": "support",
        "model": "claude-sonnet-4-6",
        "input_tokens": 500,
        "output_tokens": 500,
        kind: 1500,
        **more,
    }


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


async def log_hours(bot: Bot, clock: HandClock, hours: int, per_hour: int = 10, **more: Any) -> None:
    start = clock.now
    async with served(bot) as client:
        for hour in range(hours):
            clock.now = start + hour * HOUR
            await send(client, *(response(hour * 1000 + n, **more) for n in range(per_hour)))
    clock.now = start + hours * HOUR + MINUTE
    await bot.cycle()


async def test_an_estimate_is_compared_with_what_its_feature_used(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:

        async def typed(words: str) -> str:
            return (await (await simulated.slack.command(words, DEVELOPER)).first_reply()).text

        kept = await typed(f"estimate {SUPPORT} for=feature:support")
        assert "$82.94 a month" in kept
        assert "`estimate show support-bot` compares it with the usage of feature:support." in kept
        assert "No usage is logged with the feature support yet" in kept
        shown = await typed("estimate show support-bot")
        assert "estimated $82.94 a month, pace not known yet. No usage is logged" in shown
        assert "$82.94 a month estimated, pace not known yet (feature:support)" in await typed("estimate list")

        await log_hours(bot, clock, 10, output_tokens=640)
        shown = await typed("estimate show support-bot")
        # 140 more tokens for each of 7,200 requests, at $15 per million.
        assert "estimated $82.94 a month, on pace for $98.06 (+18%): " in shown
        assert "output 640 tokens a request instead of 500 (+$15.12)." in shown
        assert "in the 10 hours up to 16 Nov 19:00 UTC" in shown
        assert "on pace for $98.06 (feature:support)" in await typed("estimate list")
