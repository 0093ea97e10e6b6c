"""The Home tab for somebody who opens the app in Slack."""

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from bot.clock import DAY, HOUR
from bot.messages import in_utc
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import view_problems
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from handlers.home import MOST_VIEWERS, HomeTabs
from handlers.render.home import (
    BUDGETS_ACTION,
    ESTIMATE_ACTION,
    FALLBACK_ACTION,
    FORECAST_ACTION,
    REFRESH_ACTION,
    REPORT_ACTION,
)
from tests.scenario.conftest import World, member
from tests.scenario.test_report import ask


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.connected_bot() as bot:
        yield bot


async def home_of(world: World, user: str = DEVELOPER) -> str:
    """Text of this person's Home tab."""
    await world.slack.open_home(user)
    await world.slack.until(lambda: user in world.slack.views.homes)
    return said_by(world, user)


def said_by(world: World, user: str) -> str:
    content = world.slack.views.homes[user].content
    assert view_problems(content) == []
    return "\n".join(texts_in(content["blocks"]))


async def until_view_says(world: World, user: str, words: str) -> None:
    """The topmost form of this person says it sooner or later."""

    def says() -> bool:
        views = world.slack.views.modals.get(user) or []
        return any(words in in_utc(text) for view in views[-1:] for text in texts_in(view.content["blocks"]))

    await world.slack.until(says)


def calls_of(world: World, method: str) -> int:
    return sum(call.method == method for call in world.slack.calls)


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
    [spent] = re.findall(r"^\$([\d.]+) of ", status, re.MULTILINE)
    assert Decimal(spent) == 42
    assert all(line.strip("*`") in home for line in ("hard limit $200.00 (21%)", "Fallback mode: normal", "Data as of"))


async def test_every_number_is_the_one_that_status_report_and_forecast_give(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    for hours in range(200, 0, -1):
        simulated.spend("0.73", clock() - hours * HOUR, key=f"apikey_{hours % 6}")
    await bot.cycle()
    home = (await home_of(simulated)).replace("*", "")
    status = (await ask(bot, "status")).text
    forecast = (await ask(bot, "forecast")).text
    [end] = set(re.findall(r"Expected end: .*", in_utc(home)))
    assert end in status
    [expected, low, high] = re.findall(r"\$[\d.,]+", end)
    assert forecast.startswith(f"{expected} expected by")
    assert f"Between {low} and {high}" in forecast
    for words, name in (("report today", "today"), ("report", "this month")):
        [spent] = re.findall(rf"^(\S+) {name}$", home, re.MULTILINE)
        assert (await ask(bot, words)).text.startswith(f"{spent} ")
    movers = re.findall(r"^• Opus 4.8( · .*)", home, re.MULTILINE)
    assert len(movers) == 5
    assert all(line in status for line in movers[:3])
    view = simulated.slack.views.homes[DEVELOPER].content
    [chart] = [block["chart"] for block in view["blocks"] if block["type"] == "data_visualization"]
    drawn = sum(Decimal(str(point["value"])) for series in chart["series"] for point in series["data"])
    assert f"${drawn} this month" in home


async def test_open_alerts_lead_to_their_messages(simulated: World, bot: Bot, clock: HandClock) -> None:
    simulated.spend(150)
    clock.advance(HOUR)
    await bot.cycle()
    [post] = simulated.posts()
    bot.workspace.url = "https://team.slack.com/"
    home = await home_of(simulated)
    assert f"/archives/{post.channel}/p{post.ts.replace('.', '')}|open it>" in home
    assert "▰" in home
    assert "soft limit $100.00 (150%)" in home


async def test_only_admins_see_what_only_they_may_and_a_click_is_checked_again(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    await home_of(simulated, DEVELOPER)
    await home_of(simulated, ADMIN)
    assert FALLBACK_ACTION not in str(simulated.slack.views.homes[DEVELOPER].content)
    admins = simulated.slack.views.homes[ADMIN]
    await simulated.slack.click(admins, FALLBACK_ACTION, DEVELOPER)
    await until_view_says(simulated, DEVELOPER, "Nothing was changed: only the people named in CLAUDE_COST_ADMINS")


async def test_everybody_reads_the_budgets_here_and_how_one_is_set(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    await home_of(simulated, DEVELOPER)
    await simulated.slack.click(simulated.slack.views.homes[DEVELOPER], BUDGETS_ACTION, DEVELOPER)
    await until_view_says(simulated, DEVELOPER, "To set one, type `/claude-cost budget set`: it opens a form.")


async def test_an_admin_changes_the_mode_from_here_and_reads_there_what_came_of_it(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    await home_of(simulated, ADMIN)
    await simulated.slack.click(simulated.slack.views.homes[ADMIN], FALLBACK_ACTION, ADMIN)
    await until_view_says(simulated, ADMIN, "For how long")
    await simulated.slack.submit_view({"mode": "minimal", "for": "2h"}, ADMIN)
    await until_view_says(simulated, ADMIN, "minimal")
    await simulated.slack.open_home(ADMIN)
    await simulated.slack.until(lambda: "It ends in" in said_by(simulated, ADMIN))
    assert "Fallback mode: minimal" in said_by(simulated, ADMIN)
    assert "It ends in 2 h." in said_by(simulated, ADMIN)


@pytest.mark.parametrize(
    ("action", "words"), [(REPORT_ACTION, "$30.00 in November"), (FORECAST_ACTION, "expected by 1 Dec")]
)
async def test_answers_that_belong_to_no_channel_come_in_a_form(
    simulated: World, bot: Bot, clock: HandClock, action: str, words: str
) -> None:
    for hours in range(30):
        simulated.spend(1, clock() - hours * HOUR)
    clock.advance(HOUR)
    await bot.cycle()
    await home_of(simulated)
    await simulated.slack.click(simulated.slack.views.homes[DEVELOPER], action, DEVELOPER)
    await until_view_says(simulated, DEVELOPER, words)


async def test_where_slack_takes_no_chart_the_tab_is_drawn_without(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    simulated.slack.faults.add("views.publish", Fault("error", error="invalid_arguments"))
    home = await home_of(simulated)
    assert "*$30.00 this month*" in home
    assert "data_visualization" not in str(simulated.slack.views.homes[DEVELOPER].content)
    assert await bot.in_flight.drain(5)
    assert bot.services.native_blocks.refused


async def test_who_looks_sees_what_changes_and_nothing_is_sent_while_nothing_does(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.spend(30)
    clock.advance(HOUR)
    await bot.cycle()
    tabs = HomeTabs(bot.services, bot.in_flight, every=0.05)
    await tabs.show(member(ADMIN), bot.slack.client)
    await tabs.show(member(DEVELOPER), bot.slack.client)
    assert calls_of(simulated, "views.publish") == 2
    await asyncio.sleep(0.3)
    assert calls_of(simulated, "views.publish") == 2
    simulated.spend(12)
    clock.advance(HOUR)
    await bot.cycle()
    for user in (ADMIN, DEVELOPER):
        await simulated.slack.until(lambda user=user: "*$42.00 this month*" in said_by(simulated, user))  # type: ignore[misc]


async def test_who_looks_reads_their_own_language_also_when_it_is_drawn_again(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.slack.workspace.scopes.add("users:read")
    simulated.slack.workspace.locales[DEVELOPER] = "ja-JP"
    simulated.spend(30)
    await bot.cycle()
    tabs = HomeTabs(bot.services, bot.in_flight, every=600)
    for user in (ADMIN, DEVELOPER):
        await tabs.show(member(user), bot.slack.client)
    simulated.spend(12)
    clock.advance(HOUR)
    await bot.cycle()
    await tabs.refresh()
    english, japanese = said_by(simulated, ADMIN), said_by(simulated, DEVELOPER)
    assert "*$42.00 this month*" in english
    assert "Cache hit rate" in english
    assert "*今月の使用額：$42.00*" in japanese
    assert "キャッシュヒット率" in japanese


async def test_who_has_not_opened_it_for_a_while_is_sent_nothing(simulated: World, bot: Bot, clock: HandClock) -> None:
    await bot.cycle()
    tabs = HomeTabs(bot.services, bot.in_flight, every=0.05, viewed_for=0)
    await tabs.show(member(ADMIN), bot.slack.client)
    simulated.spend(12)
    clock.advance(HOUR)
    await bot.cycle()
    await asyncio.sleep(0.3)
    assert calls_of(simulated, "views.publish") == 1


async def test_many_who_look_are_bounded(simulated: World, bot: Bot, clock: HandClock) -> None:
    await bot.cycle()
    tabs = HomeTabs(bot.services, bot.in_flight, every=600)
    for number in range(MOST_VIEWERS + 5):
        await tabs.show(member(f"U{number:04}"), bot.slack.client)
    simulated.spend(5)
    clock.advance(HOUR)
    await bot.cycle()
    before = calls_of(simulated, "views.publish")
    await tabs.refresh()
    assert calls_of(simulated, "views.publish") - before == MOST_VIEWERS
    simulated.slack.faults.add("views.publish", Fault("status", 429, retry_after="30"))
    clock.advance(HOUR)
    await bot.cycle()
    before = calls_of(simulated, "views.publish")
    await tabs.refresh()
    assert calls_of(simulated, "views.publish") - before == 1


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
