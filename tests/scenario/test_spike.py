"""A runaway key: reported long before the budget is gone, with its name and the reason; usual work never is."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Engine

from bot.clock import DAY, HOUR
from bot.db.engine import open_database
from bot.db.schema import alerts
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, Channel, Message
from handlers.render.budget import SET_ACTION
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from tests.scenario.conftest import OPUS, World

MINUTE = timedelta(minutes=1)
FAR = {"CLAUDE_COST_SOFT_USD": "5000", "CLAUDE_COST_HARD_USD": "10000"}
"""Limits that nothing here comes near."""

CACHED_DOLLAR = TokenCounts(uncached_input_tokens=20_000, cache_read_input_tokens=1_800_000)
"""$0.10 of uncached input and $0.90 read from the cache, on Opus 4.8."""


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


def spikes(world: World) -> list[Message]:
    return [post for post in world.posts() if post.texts[0].startswith("Spike")]


def quiet_days(world: World, until: datetime, days: int = 10) -> None:
    """A dollar an hour in working hours and a tenth of it at night, nearly all of it read from the cache."""
    for hours in range(1, days * 24 + 1):
        at = until - hours * HOUR
        busy = 10 if 8 <= at.hour < 18 else 1
        counts = TokenCounts(
            uncached_input_tokens=CACHED_DOLLAR.uncached_input_tokens * busy // 10,
            cache_read_input_tokens=CACHED_DOLLAR.cache_read_input_tokens * busy // 10,
        )
        world.anthropic.history.add(UsageEvent(at + 30 * MINUTE, OPUS, counts, "wrkspc_1", "apikey_1"))


async def runs_away(
    world: World, bot: Bot, clock: HandClock, minutes: int, key: str = "apikey_1", model: str = OPUS
) -> Decimal:
    """A dollar a minute for so long, or until a spike is posted; returns how much it was."""
    spent, before = Decimal(0), len(spikes(world))
    for _ in range(minutes):
        world.spend(1, model=model, key=key)
        spent += 1
        clock.advance(MINUTE)
        await bot.cycle()
        if len(spikes(world)) > before:
            break
    return spent


@pytest.mark.parametrize("api", ["admin", "analytics"])
async def test_a_runaway_key_is_reported_before_it_has_spent_thirty_dollars(
    simulated: World, clock: HandClock, api: str
) -> None:
    simulated.anthropic.delay = simulated.anthropic.analytics_behind = 5 * MINUTE
    quiet_days(simulated, clock.now)
    async with simulated.bot(CLAUDE_COST_USAGE_API=api, **FAR) as bot:
        await bot.cycle()
        assert simulated.posts() == []
        spent = await runs_away(simulated, bot, clock, 60)
    assert spent < 30
    (spike,) = simulated.posts()
    assert first_line(spike).startswith("Spike: $1")
    assert first_line(spike).endswith(" an hour, usually $1.00")
    assert "Opus 4.8 · Search · key ingest: $1" in spike.text
    assert "Why: Opus 4.8 · key ingest: cache-read share fell from 99% to " in spike.text
    assert "The last ten minutes ran at $60.00 an hour." in spike.text
    assert "Nothing has been stopped" in spike.text
    assert "Incident default/2026-11-16T09:00Z/spike/10" in spike.text
    assert simulated.slack.unknown_calls == []


async def test_a_model_that_nobody_has_used_before_is_named(simulated: World, clock: HandClock) -> None:
    quiet_days(simulated, clock.now)
    async with simulated.bot(**FAR) as bot:
        await runs_away(simulated, bot, clock, 30, key="apikey_2", model="claude-opus-5-5")
    (spike,) = simulated.posts()
    assert "Opus 5.5 · Default · key answers: " in spike.text
    assert "in the last hour, new" in spike.text
    assert "Why: Opus 5.5 · key answers: model first seen, $" in spike.text


async def test_what_the_bots_own_switch_moved_is_named_as_moved(simulated: World, clock: HandClock) -> None:
    quiet_days(simulated, clock.now)
    async with simulated.bot(**FAR) as bot:
        await bot.cycle()
        fallback = bot.services.fallback
        fallback.switch(fallback.modes["degraded"], ADMIN, "a test", (), None)
        clock.advance(10 * MINUTE)
        await runs_away(simulated, bot, clock, 40, model="claude-sonnet-5-5")
    (spike,) = spikes(simulated)
    (mover,) = [line for line in spike.text.splitlines() if "in the last hour" in line and "Sonnet" in line]
    (why,) = [line for line in spike.text.splitlines() if line.startswith("• Why: Sonnet 5.5")]
    assert mover.endswith("(moved here by the fallback mode)")
    assert why.endswith("(moved here by the fallback mode)")


async def test_a_spike_that_ends_is_resolved_and_one_that_returns_within_hours_finds_its_message(
    simulated: World, clock: HandClock
) -> None:
    quiet_days(simulated, clock.now)
    async with simulated.bot(**FAR) as bot:
        await runs_away(simulated, bot, clock, 30)
        (spike,) = spikes(simulated)
        for _ in range(5):
            clock.advance(10 * MINUTE)
            await bot.cycle()
        first, again = spike.texts
        assert "Reported again" in again
        assert "Reported again" not in first
        for _ in range(2):
            clock.advance(10 * MINUTE)
            await bot.cycle()
        assert first_line(spike).startswith("Spike resolved: ")
        clock.advance(2 * HOUR)
        await runs_away(simulated, bot, clock, 20)
        assert first_line(spike).startswith("Spike again: ")
        assert spikes(simulated) == [spike]
        clock.advance(3 * HOUR)
        await bot.cycle()
        assert first_line(spike).startswith("Spike resolved: ")
        clock.advance(7 * HOUR)
        await runs_away(simulated, bot, clock, 30)
        assert len(spikes(simulated)) == 2


async def test_a_nightly_job_at_its_usual_hour_is_no_spike_and_at_noon_it_is(
    simulated: World, clock: HandClock
) -> None:
    clock.now = clock.now.replace(hour=1, minute=55)
    quiet_days(simulated, clock.now.replace(minute=0))
    for days in range(1, 11):
        for minute in range(0, 40, 2):
            simulated.spend(2, at=clock.now.replace(hour=2, minute=minute) - days * DAY)
    async with simulated.bot(**FAR) as bot:
        for _ in range(45):
            simulated.spend(1)
            clock.advance(MINUTE)
            await bot.cycle()
        assert simulated.posts() == []
        clock.now = clock.now.replace(hour=12, minute=0)
        assert await runs_away(simulated, bot, clock, 30) < 30
    assert len(spikes(simulated)) == 1


async def test_a_monday_morning_after_a_weekend_is_no_spike(simulated: World, clock: HandClock) -> None:
    for hours in range(1, 14 * 24):
        at = clock.now - hours * HOUR
        if at.weekday() < 5 and 9 <= at.hour < 18:
            for minute in range(0, 60, 5):
                simulated.spend(3, at=at + minute * MINUTE)
    async with simulated.bot(**FAR) as bot:
        for _ in range(30):
            simulated.spend(1)
            clock.advance(MINUTE)
            await bot.cycle()
    assert simulated.posts() == []


async def test_one_large_request_is_no_spike(simulated: World, clock: HandClock) -> None:
    quiet_days(simulated, clock.now)
    async with simulated.bot(**FAR) as bot:
        simulated.spend(25)
        for _ in range(12):
            clock.advance(MINUTE)
            await bot.cycle()
    assert simulated.posts() == []


async def test_an_organization_that_has_just_begun_has_no_spikes(simulated: World, clock: HandClock) -> None:
    async with simulated.bot(**FAR) as bot:
        await runs_away(simulated, bot, clock, 30)
    assert simulated.posts() == []


async def test_beside_an_alert_about_a_limit_the_spike_waits_an_hour(simulated: World, clock: HandClock) -> None:
    quiet_days(simulated, clock.now)
    async with simulated.bot(CLAUDE_COST_SOFT_USD="122", CLAUDE_COST_HARD_USD="10000") as bot:
        await runs_away(simulated, bot, clock, 40)
        (soft,) = simulated.posts()
        assert "soft limit crossed" in first_line(soft)
        assert "cache-read share fell from 99% to 9" in soft.text
        await runs_away(simulated, bot, clock, 40)
    assert len(spikes(simulated)) == 1


async def test_what_is_no_spike_of_a_wide_budget_is_reported_by_the_narrow_one(
    simulated: World, clock: HandClock, database_url: str
) -> None:
    written = budgets(simulated, ("search", "workspace:wrkspc_1", 9000), ("answers", "key:apikey_2", 9000))
    for days in range(1, 11):
        for hours in range(24):
            simulated.spend(20, at=clock.now - days * DAY - hours * HOUR)
    async with simulated.bot(CLAUDE_COST_DATABASE_URL=database_url, **written) as bot:
        await runs_away(simulated, bot, clock, 30, key="apikey_2")
    (spike,) = simulated.posts()
    assert "usually $0.00, budget answers" in first_line(spike)
    assert stored_spikes(database_url) == [("answers", "2026-11-16T09:00Z", "spike", Decimal(10), "open")]


def budgets(world: World, *written: tuple[str, str, int]) -> dict[str, str]:
    """The settings with these budgets alone: name, scope, and the hard limit in USD."""
    config = world.folder / "claude-cost.toml"
    config.write_text(
        "".join(
            f'[[budget]]\nname = "{name}"\nscope = "{scope}"\nhard_usd = "{usd}"\n' for name, scope, usd in written
        ),
        encoding="utf-8",
    )
    return {"CLAUDE_COST_CONFIG": str(config), "CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": ""}


async def test_one_runaway_is_reported_once_by_the_widest_budget_that_sees_it(
    simulated: World, clock: HandClock
) -> None:
    written = budgets(
        simulated,
        ("answers", "key:apikey_2", 9000),
        ("default", "workspace:wrkspc_1", 9000),
        ("opus", "model:opus", 9000),
        ("all", "organization", 9000),
    )
    quiet_days(simulated, clock.now)
    async with simulated.bot(**written) as bot:
        await runs_away(simulated, bot, clock, 30, key="apikey_2")
        for _ in range(3):
            simulated.spend(2, key="apikey_2")
            clock.advance(MINUTE)
            await bot.cycle()
    (spike,) = simulated.posts()
    assert ", budget all" in first_line(spike)
    assert "Seen by these budgets too: opus." in spike.text


async def test_beside_an_open_spike_only_one_of_other_callers_is_reported(simulated: World, clock: HandClock) -> None:
    written = budgets(
        simulated,
        ("ingest", "key:apikey_1", 9000),
        ("opus", "model:opus", 9000),
        ("answers", "key:apikey_2", 9000),
    )
    quiet_days(simulated, clock.now)
    async with simulated.bot(**written) as bot:
        await runs_away(simulated, bot, clock, 30)
        (first,) = simulated.posts()
        assert ", budget ingest" in first_line(first)
        assert "Seen by these budgets too: opus." in first.text
        for _ in range(15):
            simulated.spend(1)
            simulated.spend(1, key="apikey_2")
            clock.advance(MINUTE)
            await bot.cycle()
    _, second = simulated.posts()
    assert ", budget opus" in first_line(second)
    assert "Seen by these budgets too: answers." in second.text


def stored_spikes(database_url: str) -> list[tuple[object, ...]]:
    engine: Engine = open_database(database_url)
    query = select(alerts.c.subject, alerts.c.key, alerts.c.kind, alerts.c.bound_usd_per_hour, alerts.c.status)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query.where(alerts.c.kind == "spike"))]
    finally:
        engine.dispose()


async def test_a_spike_of_two_budgets_names_both_channels_that_cannot_be_reached(
    simulated: World, clock: HandClock
) -> None:
    quiet_days(simulated, clock.now)
    for channel in ("C0ONE", "C0TWO"):
        simulated.slack.workspace.channels[channel] = Channel(channel, channel.lower(), has_bot=False)
    async with simulated.connected_bot(**FAR) as bot:
        for words in ("everything scope=organization channel=C0ONE", "opus scope=model:opus channel=C0TWO"):
            shown = await (await simulated.slack.command(f"budget set {words} hard=9000", ADMIN)).first_reply()
            await (await simulated.slack.click(shown, SET_ACTION, ADMIN)).first_reply()
        await bot.cycle()
        await runs_away(simulated, bot, clock, 60)
        await bot.deliver()
        (spike,) = spikes(simulated)
        note = "Meant for <#C0ONE> and <#C0TWO>, which I cannot reach: invite me there."
        assert spike.text.count("which I cannot reach") == 1
        assert note in spike.text
        await (await simulated.slack.click(spike, ACKNOWLEDGE_ACTION, ADMIN)).first_reply()
        await bot.deliver()
        assert "Acknowledged by" in spike.text
        assert note in spike.text
