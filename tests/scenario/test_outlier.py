"""A user or feature that costs far more than usual: reported once a day with both numbers, resolved as the day ends."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from bot.clock import DAY, HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from handlers.commands import answer
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send


def day_of(now: datetime, back: int, usd: str, number: int, **more: Any) -> dict[str, Any]:
    """A response of so many days ago."""
    return record(1000 * back + number, usd, time=(now - back * DAY).isoformat(), **more)


async def team_with_history(client: httpx.AsyncClient, now: datetime) -> None:
    """Six days of a team of four, each member at $4 a day, and of a feature that all of them use."""
    await send(
        client,
        *(
            day_of(now, back, "4", number, user_id=f"dev-{number}", tags={"team": "search"})
            for back in range(1, 7)
            for number in range(4)
        ),
    )


def outliers(world: World) -> list[str]:
    return [post.texts[0].partition("\n")[0] for post in world.posts() if post.texts[0].startswith("Outlier")]


async def ask(bot: Bot, words: str) -> str:
    return (await answer(bot.services, member(DEVELOPER), words)).text


async def test_a_user_at_many_times_the_usual_day_is_reported_once_and_resolved_with_the_day(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.bot(**simulated.naming_users()) as bot, served(bot) as client:
        await team_with_history(client, clock())
        await send(client, record(1, "19", user_id="dev-2", tags={"team": "search"}))
        await bot.cycle()
        assert simulated.posts() == []
        clock.advance(HOUR)
        await send(client, record(2, "6", user_id="dev-2", tags={"team": "search"}))
        for _ in range(2):
            await bot.cycle()
            clock.advance(HOUR)
        status = await ask(bot, "status")
    assert outliers(simulated) == ["Outlier, user dev-2: $25.00 today, 6.2 times its usual day ($4.00)"]
    (reported,) = simulated.posts()
    assert "Its usual day is the median of 6 days with usage in the 28 days before: $4.00." in reported.text
    assert "The median of its team search is $4.00 (4 users)." in reported.text
    assert "· support · dev-2, team=search: $25.00" in reported.text
    assert "• user dev-2 is far above what is usual on 16 Nov: since 16 Nov 10:00 UTC" in status
    async with simulated.bot(**simulated.naming_users()) as bot, served(bot) as client:
        await bot.cycle()
        await send(client, record(3, "5", user_id="dev-2"))
        clock.advance(DAY)
        for _ in range(2):
            await bot.cycle()
            clock.advance(HOUR)
    assert simulated.posts() == [reported]
    assert reported.text.startswith("Outlier over, user dev-2: $30.00 on 16 Nov, 7.5 times its usual day ($4.00)")
    assert len(simulated.replies(reported)) == 1


async def test_who_is_new_in_a_team_is_held_against_it_and_a_feature_against_its_own_days(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.bot(**simulated.naming_users()) as bot, served(bot) as client:
        await team_with_history(client, clock())
        await send(client, record(1, "40", user_id="new", tags={"team": "search"}))
        await bot.cycle()
        assert outliers(simulated) == [
            "Outlier, user new: $40.00 today, 10.0 times the median of its team search ($4.00, 5 users)"
        ]
        await send(client, record(2, "60", user_id="batch"))
        await bot.cycle()
    assert outliers(simulated)[1:] == ["Outlier, feature support: $100.00 today, 6.2 times its usual day ($16.00)"]


async def test_hashed_users_stay_hashes_and_the_rules_are_those_of_the_file(simulated: World, clock: HandClock) -> None:
    config = simulated.folder / "rules.toml"
    config.write_text('[outlier]\nfactor = "2"\nfloor_usd = "5"\n[ledger]\nhash_users = true\n', encoding="utf-8")
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot, served(bot) as client:
        await team_with_history(client, clock())
        await send(client, record(1, "8", user_id="dev-2"))
        await bot.cycle()
    (said,) = outliers(simulated)
    assert "$8.00 today, 2.0 times its usual day ($4.00)" in said
    assert all("dev-2" not in str(message) for message in simulated.slack.messages)


@pytest.mark.parametrize("rules", ["enabled = false", 'floor_usd = "5000"'])
async def test_it_can_be_switched_off(simulated: World, clock: HandClock, rules: str) -> None:
    config = simulated.folder / "rules.toml"
    config.write_text(f"[outlier]\n{rules}\n", encoding="utf-8")
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot, served(bot) as client:
        await team_with_history(client, clock())
        await send(client, record(1, "900", user_id="dev-2"))
        await bot.cycle()
    assert outliers(simulated) == []
