"""Alerts of budgets that have a channel of their own: who gets them, whom they call, and what if the channel fails."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.clock import MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import BOT_USER, DEVELOPER, Channel, Message
from handlers.commands import answer
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from tests.databases import postgres_database
from tests.scenario.conftest import World, member

SEARCH = "C0SEARCH"
NOTE = f"Meant for <#{SEARCH}>, which I cannot reach: invite me there."
CONFIG = f"""
[[budget]]
name = "search"
scope = "workspace:Search"
soft_usd = "20"
hard_usd = "50"
channel = "{SEARCH}"
owners = ["U0ADA", "S0TEAM"]
"""


@pytest.fixture
def owned(simulated: World, tmp_path: Path) -> World:
    """A world whose budget `search` has a channel and owners."""
    file = tmp_path / "owned.toml"
    file.write_text(CONFIG)
    simulated.environ["CLAUDE_COST_CONFIG"] = str(file)
    simulated.slack.workspace.channels[SEARCH] = Channel(SEARCH, "search")
    return simulated


@pytest.fixture(params=["sqlite", "postgres"])
def on_either(owned: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world on both databases."""
    if request.param == "sqlite":
        yield owned
        return
    with postgres_database() as url:
        owned.environ["CLAUDE_COST_DATABASE_URL"] = url
        yield owned


def posts(world: World, channel: str) -> list[Message]:
    return [
        message
        for message in world.slack.messages
        if message.user == BOT_USER
        and message.channel == channel
        and message.thread_ts is None
        and not message.ephemeral_to
        and message not in world.greetings()
    ]


def replies(world: World, to: Message) -> list[str]:
    return [each.text for each in world.slack.messages if each.channel == to.channel and each.thread_ts == to.ts]


def buttons(message: Message) -> list[str]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [element["action_id"] for row in rows for element in row]


async def status(bot: Bot) -> str:
    return (await answer(bot.services, member(DEVELOPER), "status")).text


async def test_soft_goes_to_the_budgets_channel_and_hard_to_both_each_once(on_either: World, clock: HandClock) -> None:
    on_either.spend(25)
    async with on_either.connected_bot() as bot:
        bot.workspace.url = "https://sandbox.slack.com/"
        await bot.cycle()
        [soft] = posts(on_either, SEARCH)
        assert "soft limit" in soft.text
        assert "U0ADA" not in soft.text
        assert posts(on_either, ALERTS) == []
        on_either.spend(30)
        await bot.cycle()
        await bot.cycle()
        [_, hard] = posts(on_either, SEARCH)
        [main] = posts(on_either, ALERTS)
        assert "Owners: <@U0ADA> <!subteam^S0TEAM>" in hard.text
        assert "U0ADA" not in main.text
        link = soft.ts.replace(".", "")
        assert all(f"archives/{SEARCH}/p{link}" in each.text for each in (hard, main))
        assert "Passed: " in replies(on_either, soft)[0]
    async with on_either.bot() as bot:
        await bot.cycle()
    assert [len(posts(on_either, channel)) for channel in (SEARCH, ALERTS)] == [2, 1]


@pytest.mark.parametrize("clicked", [SEARCH, ALERTS])
async def test_acknowledging_one_copy_edits_both_and_answers_in_both_threads(owned: World, clicked: str) -> None:
    owned.spend(60)
    async with owned.connected_bot() as bot:
        await bot.cycle()
        [there], [main] = posts(owned, SEARCH), posts(owned, ALERTS)
        at = there if clicked == SEARCH else main
        await (await owned.slack.click(at, ACKNOWLEDGE_ACTION, DEVELOPER)).first_reply()
        await bot.deliver()
        for message in (there, main):
            assert f"Acknowledged by <@{DEVELOPER}>" in message.text
            assert ACKNOWLEDGE_ACTION not in buttons(message)
            assert replies(owned, message) == [f"Acknowledged by <@{DEVELOPER}>."]
            assert "U0ADA" not in message.text, "an edit calls nobody"


async def test_what_nobody_acknowledges_is_escalated_in_both(owned: World, clock: HandClock) -> None:
    owned.spend(60)
    async with owned.bot() as bot:
        await bot.cycle()
        for _ in range(5):
            clock.advance(10 * MINUTE)
            await bot.cycle()
        for channel in (SEARCH, ALERTS):
            [message] = [post for post in posts(owned, channel) if "hard limit" in post.texts[0]]
            reported = [text for text in replies(owned, message) if "Nobody has acknowledged" in text]
            assert len(reported) == 1


@pytest.mark.parametrize("broken", ["not_in_channel", "channel_not_found", "is_archived", "restricted_action"])
async def test_a_soft_alert_falls_back_to_the_main_channel_once_and_says_so(owned: World, broken: str) -> None:
    async with owned.bot() as bot:
        # The greeting is out.
        await bot.cycle()
    owned.spend(25)
    channel = owned.slack.workspace.channels[SEARCH]
    if broken == "channel_not_found":
        del owned.slack.workspace.channels[SEARCH]
    elif broken == "restricted_action":
        owned.slack.faults.add("chat.postMessage", Fault("error", error="restricted_action_read_only_channel"))
    else:
        channel.has_bot = broken != "not_in_channel"
        channel.is_archived = broken == "is_archived"
    async with owned.bot() as bot:
        await bot.cycle()
        [fallen] = posts(owned, ALERTS)
        assert NOTE in fallen.text
        assert "soft limit" in fallen.text.partition("\n")[0]
        assert posts(owned, SEARCH) == []
        assert f"<#{SEARCH}> cannot be reached since" in await status(bot)
        await bot.cycle()
        assert posts(owned, ALERTS) == [fallen]
        # Its edits stay there, and say so; the next alert tries the channel again.
        owned.slack.workspace.channels[SEARCH] = Channel(SEARCH, "search")
        owned.spend(35)
        await bot.cycle()
        assert NOTE in fallen.text
        assert "Passed: " in replies(owned, fallen)[0]
        [hard] = posts(owned, SEARCH)
        assert "hard limit" in hard.text
        assert "cannot be reached" not in await status(bot)
    assert len(posts(owned, ALERTS)) == 2


async def test_a_hard_alert_whose_channel_is_gone_is_one_post_in_main_that_calls_the_owners(on_either: World) -> None:
    on_either.slack.workspace.channels[SEARCH].has_bot = False
    on_either.spend(60)
    async with on_either.connected_bot() as bot:
        await bot.cycle()
        [main] = posts(on_either, ALERTS)
        assert NOTE in main.text
        assert "Owners: <@U0ADA> <!subteam^S0TEAM>" in main.text
        await (await on_either.slack.click(main, ACKNOWLEDGE_ACTION, DEVELOPER)).first_reply()
        await bot.deliver()
        assert NOTE in main.text
        assert "U0ADA" not in main.text
    assert len(posts(on_either, ALERTS)) == 1


async def test_a_bot_that_is_thrown_out_goes_on_in_the_main_channel(on_either: World) -> None:
    on_either.spend(25)
    async with on_either.connected_bot() as bot:
        await bot.cycle()
        [soft] = posts(on_either, SEARCH)
        on_either.slack.workspace.channels[SEARCH].has_bot = False
        on_either.slack.faults.add("chat.update", Fault("error", error="not_in_channel"))
        await (await on_either.slack.click(soft, ACKNOWLEDGE_ACTION, DEVELOPER)).first_reply()
        await bot.deliver()
        [fallen] = posts(on_either, ALERTS)
        assert NOTE in fallen.text
        assert f"Acknowledged by <@{DEVELOPER}>" in fallen.text
        assert replies(on_either, fallen) == [f"Acknowledged by <@{DEVELOPER}>."]


async def test_a_busy_slack_and_a_restart_between_the_two_posts_double_nothing(owned: World, clock: HandClock) -> None:
    async with owned.bot() as bot:
        await bot.cycle()
        owned.spend(60)
        owned.slack.faults.add("chat.postMessage", Fault("slow"))
        owned.slack.faults.add("chat.postMessage", Fault("status", status=429, retry_after="1"))
        clock.advance(MINUTE)
        await bot.cycle()
        assert len(posts(owned, SEARCH)) + len(posts(owned, ALERTS)) == 1
    async with owned.bot() as bot:
        clock.advance(MINUTE)
        await bot.cycle()
        # What is left of the second that Slack asked for holds after the restart too.
        clock.advance(timedelta(seconds=1))
        await bot.deliver()
    assert [len(posts(owned, channel)) for channel in (SEARCH, ALERTS)] == [1, 1]


async def test_doctor_checks_every_channel_of_a_budget(owned: World) -> None:
    async def found(bot: Bot) -> list[str]:
        return [f"{each.state}: {each.text}" for each in await bot.services.examine() if each.name == "budget_channels"]

    scopes = owned.slack.workspace.scopes
    scopes.add("channels:read")
    async with owned.bot() as bot:
        assert await found(bot) == [f"ok: Budget search: The bot is a member of #search ({SEARCH})."]
        owned.slack.workspace.channels[SEARCH].has_bot = False
        gone = f"The bot is not in {SEARCH}: type /invite @claude-cost there."
        assert await found(bot) == [f"fail: Budget search: {gone} Until then its alerts go to the alert channel."]
        del owned.slack.workspace.channels[SEARCH]
        assert "correct the budget's channel, or type /invite" in (await found(bot))[0]
        scopes -= {"channels:read", "groups:read"}
        assert (await found(bot))[0].startswith("skipped: Budget search: Whether the bot may post in")
        owned.spend(25)
        await bot.cycle()
        assert (await found(bot))[0].startswith(f"fail: Budget search: The bot can see no channel {SEARCH}")
