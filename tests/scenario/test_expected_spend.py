"""Spend that is expected: at a spike's alert by anybody, or by the calendar; spikes and forecasts keep quiet then."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.budgets.budget import parse_scope
from bot.budgets.calendar import Reach, reach_of
from bot.clock import DAY, HOUR, MINUTE
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from handlers.render.expected import EXPECT_ACTION, UNDO_ACTION
from tests.scenario.conftest import ADMIN, World
from tests.scenario.test_logged_budgets import budget, set_budget


def usual(world: World, days: int = 5) -> None:
    """A dollar in every hour until now, in its minutes 5 and 35."""
    now = world.clock()
    for hour in range(1, days * 24):
        for minute in (5, 35):
            world.spend("0.5", now - hour * HOUR + minute * MINUTE)


def runaway(world: World, usd: int = 60, key: str = "apikey_1") -> None:
    """Dollars in the last hour, evenly."""
    for minute in range(60):
        world.spend(Decimal(usd) / 60, world.clock() - minute * MINUTE - timedelta(seconds=30), key=key)


def spikes(world: World) -> list[Message]:
    return [post for post in world.posts() if post.texts[0].startswith("Spike")]


def actions(message: Message) -> list[str]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [element["action_id"] for row in rows for element in row]


async def asked(world: World, words: str, user: str = ADMIN) -> str:
    message = await (await world.slack.command(words, user)).first_reply()
    assert problems(message.blocks, "message") == []
    return message.text


ROOMY = {"CLAUDE_COST_SOFT_USD": "90000", "CLAUDE_COST_HARD_USD": "100000"}


async def test_anybody_expects_a_spike_until_a_time_and_takes_it_back(simulated: World, clock: HandClock) -> None:
    usual(simulated)
    runaway(simulated)
    async with simulated.connected_bot(**ROOMY) as bot:
        await bot.cycle()
        [alert] = spikes(simulated)
        assert EXPECT_ACTION in actions(alert)
        click = await simulated.slack.click(alert, EXPECT_ACTION, DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        [view] = simulated.slack.views.modals[DEVELOPER]
        assert problems(view.content["blocks"], "modal") == []
        await simulated.slack.submit_view({"until": "4h"}, DEVELOPER)
        assert "keep quiet until 16 Nov 13:00 UTC" in (await click.first_reply()).text
        await bot.cycle()
        assert "Expected until 16 Nov 13:00 UTC, says <@U0DEV>" in alert.text
        assert "Snoozed" not in alert.text
        assert problems(alert.blocks, "message") == []
        clock.advance(2 * HOUR)
        await bot.cycle()
        # It has ended, and a second one within the time is quiet.
        clock.advance(MINUTE)
        runaway(simulated, 300)
        await bot.cycle()
        assert len(spikes(simulated)) == 1
        assert "Spike resolved" in alert.text
        listed = await (await simulated.slack.command("calendar", DEVELOPER)).first_reply()
        assert "Budget default is expected to spend more until 16 Nov 13:00 UTC, says <@U0DEV>." in listed.text
        [undo] = [action for action in actions(listed) if action.startswith(UNDO_ACTION)]
        took = await (await simulated.slack.click(listed, undo, DEVELOPER)).first_reply()
        assert "come again" in took.text
        twice = await (await simulated.slack.click(listed, undo, DEVELOPER)).first_reply()
        assert twice.text.startswith("Nothing was changed")
        clock.advance(MINUTE)
        await bot.cycle()
        assert "Spike again" in alert.text or len(spikes(simulated)) == 2


async def test_when_the_time_is_over_and_it_still_stands_the_channel_is_notified(
    simulated: World, clock: HandClock
) -> None:
    usual(simulated)
    runaway(simulated)
    async with simulated.connected_bot(**ROOMY) as bot:
        await bot.cycle()
        [alert] = spikes(simulated)
        click = await simulated.slack.click(alert, EXPECT_ACTION)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        await simulated.slack.submit_view({"until": "1h"})
        await click.first_reply()
        clock.advance(HOUR + MINUTE)
        runaway(simulated)
        await bot.cycle()
        await bot.cycle()
        assert any("still stands" in reply.text for reply in simulated.replies(alert))
        assert EXPECT_ACTION in actions(alert)
        assert len(spikes(simulated)) == 1


async def test_a_planned_time_keeps_spikes_quiet_and_not_a_minute_longer(simulated: World, clock: HandClock) -> None:
    usual(simulated)
    runaway(simulated)
    async with simulated.connected_bot(**ROOMY) as bot:
        added = await asked(simulated, 'calendar add "batch night" every mon 17:00 for 6h zone=Asia/Tokyo')
        assert added.startswith("Added: `batch night`, every mon 17:00 for 6h zone=Asia/Tokyo.")
        assert "Next: 16 Nov 08:00 UTC to 16 Nov 14:00 UTC." in added
        await bot.cycle()
        assert spikes(simulated) == []
        clock.advance(5 * HOUR + 10 * MINUTE)
        runaway(simulated)
        await bot.cycle()
        # The last ten minutes are outside the plan: alone they are not yet a spike.
        assert spikes(simulated) == []
        clock.advance(HOUR)
        runaway(simulated)
        await bot.cycle()
        assert len(spikes(simulated)) == 1
        assert (await asked(simulated, "calendar remove Batch Night")).startswith("Removed from the calendar")
        assert "Nothing is planned" in await asked(simulated, "calendar list", DEVELOPER)


async def test_a_plan_of_one_key_does_not_hide_another(simulated: World, clock: HandClock) -> None:
    usual(simulated)
    runaway(simulated, key="apikey_2")
    async with simulated.connected_bot(**ROOMY) as bot:
        await bot.services.threads.cycle(lambda: None)
        await asked(simulated, "calendar add batch every day 08:00 for 6h for=key:apikey_2")
        await bot.cycle()
        assert spikes(simulated) == []
        clock.advance(HOUR)
        runaway(simulated, key="apikey_1")
        await bot.cycle()
        assert len(spikes(simulated)) == 1


async def test_only_admins_change_the_calendar_and_hostile_names_stay_harmless(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        assert "only the people named" in await asked(simulated, "calendar add x every day for 1h", DEVELOPER)
        hostile = "<!channel> *b* `c` & ‮rtl‬ :tada: every"
        text = await asked(simulated, f'calendar add "{hostile}" every day for 1h')
        assert "<!channel>" not in text
        await asked(simulated, f'calendar add "{hostile}" every day for 2h')
        listed = await asked(simulated, "calendar list")
        assert "<!channel>" not in listed
        assert "for 2h" in listed
        assert "Did you mean" in await asked(simulated, "calendar ad x")
        assert (await asked(simulated, f'calendar remove "{hostile}"')).startswith("Removed")
        assert "has no" in await asked(simulated, "calendar remove nothing")


async def test_the_words_are_checked_before_the_rights(simulated: World) -> None:
    async with simulated.connected_bot():
        for user in (ADMIN, DEVELOPER):
            assert "write friday" in await asked(simulated, "calendar add x every fryday for 1h", user)


async def test_a_forecast_alert_waits_until_a_planned_time_is_over(simulated: World, clock: HandClock) -> None:
    usual(simulated)
    async with simulated.connected_bot(CLAUDE_COST_SOFT_USD="300", CLAUDE_COST_HARD_USD="310") as bot:
        await asked(simulated, "calendar add batch every day 08:00 for 6h")
        for _ in range(3):
            await bot.cycle()
            clock.advance(HOUR)
            simulated.spend(20)
        assert [post for post in simulated.posts() if post.texts[0].startswith("Forecast")] == []
        clock.advance(3 * HOUR)
        for _ in range(3):
            await bot.cycle()
            clock.advance(DAY / 24)
            simulated.spend(2)
        assert [post for post in simulated.posts() if post.texts[0].startswith("Forecast")] != []


FEATURE = "calendar add batch every day 08:00 for 6h for=feature:nightly"


async def test_a_plan_for_a_feature_says_which_budgets_it_cannot_keep_quiet(simulated: World, clock: HandClock) -> None:
    usual(simulated)
    async with simulated.connected_bot(**ROOMY) as bot:
        await bot.cycle()
        refused = await asked(simulated, FEATURE)
        assert refused.startswith("Nothing was changed: feature:nightly would keep nothing quiet")
        assert "Leave out for=, name a key or workspace, or set a budget for=feature:nightly first." in refused
        assert "Nothing is planned" in await asked(simulated, "calendar list")
        set_budget(bot, budget("nightly", "feature:nightly", "500", "900"))
        added = await asked(simulated, FEATURE)
        assert "Added: `batch`" in added
        assert "so spikes of all other budgets still alert. To keep those quiet too, leave out for=" in added
        # As it says: the organization's budget alerts.
        runaway(simulated)
        await bot.cycle()
        assert len(spikes(simulated)) == 1


@pytest.mark.parametrize(
    ("scope", "budgets", "reach"),
    [
        ("organization", (), Reach.ALL),
        ("key:k", (), Reach.ALL),
        ("workspace:w", ("feature:a",), Reach.ALL),
        ("model:opus", (), Reach.ALL),
        ("feature:a", (), Reach.NOTHING),
        ("feature:a", ("organization",), Reach.NOTHING),
        ("feature:a", ("user:u",), Reach.LOGGED),
        ("tag:team=a", ("feature:a",), Reach.LOGGED),
        ("product:code", ("feature:a", "agent:x"), Reach.NOTHING),
        ("product:code", ("product:other",), Reach.ATTRIBUTED),
        ("team:search", ("workspace:w",), Reach.NOTHING),
        ("team:search", ("team:Search",), Reach.ALL),
    ],
)
def test_what_a_planned_time_reaches(scope: str, budgets: tuple[str, ...], reach: Reach) -> None:
    in_force = [budget(f"b{number}", each, "5", "9") for number, each in enumerate(budgets)]
    assert reach_of(parse_scope(scope), in_force) is reach
