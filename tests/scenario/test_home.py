"""The Home tab as somebody finds it who opens the app in Slack."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from bot.clock import DAY, HOUR
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import view_problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from handlers.render.home import ESTIMATE_ACTION, REFRESH_ACTION
from tests.scenario.conftest import World


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.connected_bot() as bot:
        yield bot


async def home_of(world: World, user: str = DEVELOPER) -> str:
    """All that the Home tab says to this person."""
    await world.slack.open_home(user)
    await world.slack.until(lambda: user in world.slack.views.homes)
    return said_by(world, user)


def said_by(world: World, user: str) -> str:
    content = world.slack.views.homes[user].content
    assert view_problems(content) == []
    return "\n".join(texts_in(content["blocks"]))


def texts_in(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for each in value.values() for text in texts_in(each)]
    return [text for each in value for text in texts_in(each)] if isinstance(value, list) else []


async def test_it_says_today_the_month_and_every_budget_and_agrees_with_status(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(DAY)
    simulated.spend(12)
    clock.advance(HOUR)
    await bot.cycle()
    home = await home_of(simulated)
    assert "*$12.00 today*" in home
    assert "*$42.00 this month*" in home
    status = (await (await simulated.slack.command("status")).first_reply()).text
    [spent] = re.findall(r"^\$([\d.]+) in ", status, re.MULTILINE)
    assert Decimal(spent) == 42
    assert all(line.strip("*`") in home for line in ("budget default", "Fallback mode: normal", "Data as of"))


async def test_before_the_first_poll_it_says_that_there_is_no_data_and_no_number(simulated: World, bot: Bot) -> None:
    home = await home_of(simulated)
    assert "No data yet" in home
    assert "$" not in home


async def test_refresh_draws_it_again_for_the_person_who_asks(simulated: World, bot: Bot, clock: HandClock) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    await home_of(simulated, ADMIN)
    await home_of(simulated, DEVELOPER)
    simulated.spend(12)
    clock.advance(HOUR)
    await bot.cycle()
    before = simulated.slack.views.homes[ADMIN]
    await simulated.slack.click(before, REFRESH_ACTION, ADMIN)
    await simulated.slack.until(lambda: simulated.slack.views.homes[ADMIN].content != before.content)
    assert "*$42.00 this month*" in said_by(simulated, ADMIN)
    assert "*$30.00 this month*" in said_by(simulated, DEVELOPER)


async def test_an_estimate_opened_here_shows_its_result_and_offers_no_channel(simulated: World, bot: Bot) -> None:
    await home_of(simulated)
    home = simulated.slack.views.homes[DEVELOPER]
    await simulated.slack.click(home, ESTIMATE_ACTION, DEVELOPER)
    await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
    values = {"model": "sonnet-4.6", "requests": "100k", "in": "2000", "out": "500"}
    await simulated.slack.submit_view(values, DEVELOPER)
    [view] = simulated.slack.views.modals[DEVELOPER]
    await simulated.slack.until(lambda: any("a month" in text for text in texts_in(view.content["blocks"])))
    assert "Share to channel" not in texts_in(view.content["blocks"])
