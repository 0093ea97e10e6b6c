"""Answers that join what applications log with what Anthropic counts: shares, requests, caches, limits, estimates."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.clock import HOUR, MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_limits import LimitGroup
from bot.sandbox.clock import HandClock
from tests.scenario.conftest import OPUS, World
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import ask, record, send


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot(**simulated.naming_users()) as bot:
        yield bot


async def test_a_report_says_what_share_is_logged_and_what_nobody_logs(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    start = clock.now
    simulated.spend("50", at=start, key="apikey_1")
    simulated.spend("50", at=start, key="apikey_2", workspace=None)
    async with served(bot) as client:
        await send(client, record(1, "19", key="ingest"), record(2, "50", "search", key="apikey_2"))
    clock.now = start + HOUR + 10 * MINUTE
    await bot.cycle()
    for words in ("report by feature", "report today by key"):
        answered = await ask(bot, words)
        assert "Applications logged 69% of the $100.00 that Anthropic counted in the closed hours" in answered
        assert "16 Nov 10:00 UTC" in answered
        assert "In no log: key ingest: 62% of its Opus 4.8 tokens." in answered
    assert "no log" not in await ask(bot, "report by model")


async def test_the_largest_rows_say_what_share_is_logged_as_a_report_by_key_does(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    start = clock.now
    simulated.spend("50", at=start, key="apikey_1")
    await bot.cycle()
    async with served(bot) as client:
        assert "apikey_1" in await ask(bot, "top today") or "ingest" in await ask(bot, "top today")
        await send(client, record(1, "19", key="ingest"))
        # The minute that runs is logged too, so the rows are the features from now on.
        assert "support: $19.00 (100%)" in await ask(bot, "top today")
        assert "Logged: 1 request, $19.00 a request." in await ask(bot, "report today by feature")
    clock.now = start + HOUR + 10 * MINUTE
    await bot.cycle()
    by_key = await ask(bot, "report today by key")
    [share] = re.findall(r"Applications logged [^\n]*\nIn no log[^\n]*", by_key)
    for words in ("top today by key", "top by key"):
        assert share in await ask(bot, words)


async def test_logs_without_a_key_leave_the_least_that_is_missing(simulated: World, bot: Bot, clock: HandClock) -> None:
    start = clock.now
    simulated.spend("50", at=start, key="apikey_1")
    async with served(bot) as client:
        await send(client, record(1, "10", key="ingest"), record(2, "10", key="never heard of"))
    clock.now = start + HOUR + 10 * MINUTE
    await bot.cycle()
    assert "key ingest: at least 60% of its Opus 4.8 tokens" in await ask(bot, "report by user")


async def test_logs_may_have_more_than_anthropic_counted(simulated: World, bot: Bot, clock: HandClock) -> None:
    start = clock.now
    simulated.spend("1.97", at=start)
    async with served(bot) as client:
        await send(client, record(1, "8.90"))
    clock.now = start + HOUR + 10 * MINUTE
    await bot.cycle()
    answered = await ask(bot, "report by feature")
    assert "Logs have more than Anthropic counted: Opus 4.8 $8.90 against $1.97" in answered
    assert "logged 100% of the $1.97" in answered


async def test_no_share_is_given_of_hours_that_are_not_closed(simulated: World, bot: Bot, clock: HandClock) -> None:
    clock.now = clock.now.replace(hour=0, minute=5)
    async with served(bot) as client:
        await send(client, record(1, "1"))
    clock.now += timedelta(minutes=10)
    await bot.cycle()
    assert "Anthropic's figures of this time are not known here" in await ask(bot, "report today by feature")


async def test_a_report_shows_requests_and_what_one_costs_against_before(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    clock.now = clock.now.replace(hour=0, minute=0)
    async with served(bot) as client:
        await send(client, *(record(number, "1") for number in range(4)), record(9, "2", "search"))
        clock.now += timedelta(days=1, minutes=1)
        limited = {"outcome": "rate_limited"}
        await send(client, record(10, "1.5"), record(11, "1.5"), record(12, "0", **limited), record(13, "1", "search"))
        clock.now += timedelta(hours=3, minutes=29)
        await bot.cycle()
    answered = await ask(bot, "report today by feature")
    for row in (
        "support: $3.00 (75%), 600.0k tokens in, 0 out, 3 requests, $1.00 (±0%) a request, 33% rate-limited",
        "search: $1.00 (25%), 200.0k tokens in, 0 out, 1 request, $1.00 (-50%) a request, 0% rate-limited",
    ):
        assert row in answered
    assert "Logged: 4 requests, $1.00 a request; 25% hit a rate limit." in answered


async def test_top_shows_the_five_largest(simulated: World, bot: Bot, clock: HandClock) -> None:
    simulated.spend("3", key="apikey_1")
    await bot.cycle()
    assert "ingest" in await ask(bot, "top today")
    async with served(bot) as client:
        await send(client, *(record(number, str(number), f"f{number}") for number in range(1, 8)))
    clock.advance(MINUTE)
    await bot.cycle()
    answered = await ask(bot, "top today")
    assert all(f"f{number}: ${number}.00" in answered for number in range(3, 8))
    assert "f2:" not in answered
    assert "and 2 more, $3.00" in answered
    assert "f2" not in await ask(bot, "top by key")
    assert "is not known" in await ask(bot, "top nonsense")


async def test_cache_shows_hit_rates_against_the_break_even(simulated: World, bot: Bot, clock: HandClock) -> None:
    await bot.cycle()
    assert "so there is nothing that could be cached" in await ask(bot, "cache")
    async with served(bot) as client:
        await send(
            client,
            # Opus 4.8: $5 for input, $6.25 for a write, $0.50 for a read; break-even 1.25 / 5.75 = 22%.
            record(1, "0", cache_create=900_000, cache_read=100_000),
            record(2, "5", "search", cache_create=100_000, cache_read=900_000),
            record(3, "1", "plain"),
        )
    clock.advance(MINUTE)
    await bot.cycle()
    answered = await ask(bot, "cache today")
    assert "Caching saved $3.25 on 16 Nov, up to 16 Nov 09:01 UTC, by feature" in answered
    assert "Below the break-even: 1 row, which lost $0.68." in answered
    assert "support: hit rate 10%, 10% reused (break-even 22%): lost $0.68" in answered
    assert "search: hit rate 45%, 90% reused (break-even 22%): saved $3.93" in answered
    assert "plain: nothing is cached" in answered


async def test_cache_by_model_where_nothing_is_logged(simulated: World, bot: Bot, clock: HandClock) -> None:
    simulated.spend("3")
    clock.advance(MINUTE)
    await bot.cycle()
    answered = await ask(bot, "cache")
    assert "claude-opus-4-8: nothing is cached" in answered
    assert "from Anthropic's usage" in answered
    assert "ingest: nothing is cached" in await ask(bot, "cache by key")
    assert "not by workspace" in await ask(bot, "cache by workspace")


async def test_limits_show_429s_and_the_headroom_of_the_busiest_minute(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.limits.groups = [
        LimitGroup("model_group", {"requests_per_minute": 4, "input_tokens_per_minute": 300_000}, (OPUS,), "Opus")
    ]
    await bot.cycle()
    assert "429" not in await ask(bot, "limits")
    async with served(bot) as client:
        await send(client, record(1, "1"), record(2, "1", cache_read=9_000_000), record(3, "0", outcome="rate_limited"))
        await send(client, record(4, "5", "nightly", service_tier="batch"))
        clock.advance(MINUTE)
        await send(client, record(5, "1", "search"))
    answered = await ask(bot, "limits")
    assert "feature support: 33% of 3 requests" in answered
    assert "model claude-opus-4-8: 20% of 5 requests" in answered
    assert "feature search" not in answered
    assert "Opus: 3 of 4 requests a minute at 16 Nov 09:00 UTC, 25% headroom" in answered
    assert "Opus: 400,000 of 300,000 input tokens a minute at 16 Nov 09:00 UTC, over the limit" in answered
