"""A new key, model or feature that spends: reported once each, and not where the fallback mode has moved a caller."""

import asyncio
from datetime import timedelta

from bot.clock import DAY, HOUR
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from handlers.commands import answer
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send
from tests.scenario.test_statements import counted

OPUS_4_7, HAIKU = "claude-opus-4-7", "claude-haiku-4-5"
NO_LIMITS = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": "9000"}


def new(world: World) -> list[Message]:
    """The posts about what is new."""
    return [post for post in world.posts() if post.texts[0].startswith("New ")]


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


async def test_a_new_key_is_reported_once_with_its_new_model_and_known_after_a_week(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(50)
    async with simulated.bot(**NO_LIMITS) as bot:
        await bot.cycle()
        clock.advance(HOUR)
        simulated.spend("19.99", key="apikey_2", workspace=None, model=OPUS_4_7)
        await bot.cycle()
        assert simulated.posts() == []
        clock.advance(HOUR)
        simulated.spend(30, key="apikey_2", workspace=None, model=OPUS_4_7)
        await bot.cycle()
        status = await answer(bot.services, member(DEVELOPER), "status")
    (reported,) = simulated.posts()
    assert first_line(reported).startswith("New key: answers has spent $")
    assert "New with it: model Opus 4.7." in reported.text
    assert "Opus 4.7 · Default · key answers: $" in reported.text
    assert "apikey_2/key/first_seen/0" in reported.text
    assert "• key answers is new: since 16 Nov 11:00 UTC, nobody has acknowledged it." in status.text
    async with simulated.bot(**NO_LIMITS) as bot:
        for _ in range(8):
            clock.advance(DAY)
            simulated.spend(40, key="apikey_2", workspace=None, model=OPUS_4_7)
            await bot.cycle()
    assert new(simulated) == [reported]
    assert first_line(reported) == "New key: answers, known for a week by now"
    assert [reply.text for reply in simulated.replies(reported)] == [reported.texts[-1].partition("\n")[0]]


async def test_nothing_is_new_at_the_first_start_and_nothing_below_the_floor(
    simulated: World, clock: HandClock
) -> None:
    for key, days in (("apikey_1", 3), ("apikey_2", 0)):
        simulated.spend(60, at=clock() - days * DAY - HOUR, key=key)
    async with simulated.bot(**NO_LIMITS) as bot:
        for _ in range(3):
            await bot.cycle()
            clock.advance(HOUR)
            simulated.spend(6, key="apikey_3")
    assert simulated.posts() == []


async def test_a_model_that_a_known_key_turns_to_is_new_and_one_that_the_mode_sets_is_not(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(50)
    async with simulated.bot(**NO_LIMITS) as bot:
        await bot.cycle()
        fallback = bot.services.fallback
        await asyncio.to_thread(fallback.switch, fallback.modes["degraded"], "U1", "a test", (), None)
        for _ in range(4):
            clock.advance(DAY)
            simulated.spend(200, model=fallback.modes["degraded"].ceiling or "")
            await bot.cycle()
        assert new(simulated) == []
        clock.advance(HOUR)
        simulated.spend(500, model=HAIKU)
        await bot.cycle()
        (reported,) = new(simulated)
        assert first_line(reported).startswith("New model: Haiku 4.5 has spent $")
        await bot.cycle()
    assert new(simulated) == [reported]


async def test_a_new_feature_is_reported_once_and_an_import_of_old_logs_makes_nothing_new(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.bot(**NO_LIMITS) as bot, served(bot) as client:
        simulated.spend(1)
        await send(client, record(1, "90", "support"))
        await bot.cycle()
        clock.advance(HOUR)
        before = (clock() - 2 * DAY).isoformat()
        await send(
            client, record(2, "25", "search", user_id="u1"), record(3, "90", "old"), record(4, "1", "old", time=before)
        )
        for _ in range(2):
            await bot.cycle()
            clock.advance(timedelta(minutes=1))
    (reported,) = new(simulated)
    assert first_line(reported) == "New feature: search has spent $25.00 in 24 h"
    assert "as your applications log it" in reported.text


async def test_it_can_be_switched_off_and_its_floor_set(simulated: World, clock: HandClock) -> None:
    for table, expected in (("enabled = false", 0), ('floor_usd = "5"', 1)):
        config = simulated.folder / "rules.toml"
        config.write_text(f"[first_seen]\n{table}\n", encoding="utf-8")
        key = f"apikey_new_{expected}"
        async with simulated.bot(**NO_LIMITS, CLAUDE_COST_CONFIG=str(config)) as bot:
            simulated.spend(1)
            await bot.cycle()
            clock.advance(HOUR)
            simulated.spend(6, key=key)
            await bot.cycle()
        assert len(new(simulated)) == expected


async def test_an_open_alert_and_a_model_of_the_mode_add_no_statement_to_a_quiet_cycle(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(50)
    async with simulated.bot(**NO_LIMITS, CLAUDE_COST_USAGE_API="admin") as bot:
        await bot.cycle()
        fallback = bot.services.fallback
        await asyncio.to_thread(fallback.switch, fallback.modes["degraded"], "U1", "a test", (), None)
        asked = []
        for _ in range(2):
            for _ in range(3):
                clock.advance(timedelta(minutes=1))
                await bot.cycle()
            with counted(bot) as cycle:
                await bot.cycle()
            asked.append(len(cycle.statements))
            clock.advance(HOUR)
            simulated.spend(40, key="apikey_2")
            simulated.spend(90, model=fallback.modes["degraded"].ceiling or "")
            await bot.cycle()
    assert len(new(simulated)) == 1
    before, after = asked
    assert after <= before
