"""Combinations of features: raises and requests of budgets with their own channel, plans of teams, spend of users."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR, MINUTE
from bot.sandbox.anthropic_usage import Attribution
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Channel, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.budget import SET_ACTION
from handlers.render.budget_changes import UNDO_ACTION
from handlers.render.raises import APPROVE_ACTION, OPEN_ACTION
from handlers.render.spend import SWITCH_ACTION
from tests.scenario.conftest import World
from tests.scenario.http_port import served
from tests.scenario.test_attributed_budgets import later
from tests.scenario.test_attribution import spend
from tests.scenario.test_budget_channels import CONFIG, NOTE, SEARCH, posts, replies
from tests.scenario.test_home import home_of
from tests.scenario.test_logged_budgets import budget, record, send, set_budget
from tests.scenario.test_mentions import answers_to
from tests.scenario.test_raised_limits import hard_alerts, raised

OWNER = "U0ADA"


@pytest.fixture
def configured(simulated: World, tmp_path: Path) -> Callable[[str], World]:
    """The world with this configuration, and a second channel."""
    simulated.slack.workspace.channels[SEARCH] = Channel(SEARCH, "search")
    simulated.slack.workspace.users[OWNER] = "Owner"

    def world(text: str) -> World:
        file = tmp_path / "meetings.toml"
        file.write_text(text, encoding="utf-8")
        simulated.environ["CLAUDE_COST_CONFIG"] = str(file)
        return simulated

    return world


async def typed(world: World, words: str, user: str = ADMIN) -> Message:
    message = await (await world.slack.command(words, user)).first_reply()
    assert problems(message.blocks, "message") == []
    return message


async def clicked(world: World, message: Message, action: str, user: str = ADMIN) -> Message:
    return await (await world.slack.click(message, action, user)).first_reply()


# ---- a budget with its own channel


async def test_a_raise_of_a_budget_with_its_own_channel_is_asked_for_and_approved_there(
    configured: Callable[[str], World], clock: HandClock
) -> None:
    world = configured(CONFIG)
    async with world.connected_bot() as bot:
        await bot.cycle()
        answer = await typed(world, "budget raise search to=80 until=2d because of a launch", OWNER)
        assert f"the request is in <#{SEARCH}> until" in answer.text
        await bot.cycle()
        [request] = posts(world, SEARCH)
        assert "asks to raise the hard limit of budget search" in request.text
        assert "$80.00 instead of $50.00" in (await clicked(world, request, APPROVE_ACTION)).text
        await bot.cycle()
        assert f"Approved by <@{ADMIN}>" in request.text
        clock.advance(2 * DAY)
        await bot.cycle()
        await bot.cycle()
        assert "Raise ended" in request.text
        assert any("Raise ended" in text for text in replies(world, request))
        assert posts(world, ALERTS) == []


async def test_the_form_says_in_which_channel_an_admin_decides(configured: Callable[[str], World]) -> None:
    world = configured(CONFIG)
    world.spend(25)
    async with world.connected_bot() as bot:
        await bot.cycle()
        [alert] = posts(world, SEARCH)
        await world.slack.click(alert, OPEN_ACTION, OWNER)
        await world.slack.until(lambda: bool(world.slack.views.modals.get(OWNER)))
        assert f"An admin has to approve this in <#{SEARCH}>." in str(world.slack.views.modals[OWNER][-1].content)


async def test_a_raise_whose_channel_cannot_be_reached_stands_in_the_main_one_and_keeps_saying_so(
    configured: Callable[[str], World],
) -> None:
    world = configured(CONFIG)
    world.slack.workspace.channels[SEARCH].has_bot = False
    async with world.connected_bot() as bot:
        await bot.cycle()
        await typed(world, "budget raise search to=80 until=2d", OWNER)
        await bot.cycle()
        [request] = posts(world, ALERTS)
        assert NOTE in request.text
        await clicked(world, request, APPROVE_ACTION)
        await bot.cycle()
        assert NOTE in request.text
        assert f"Approved by <@{ADMIN}>" in request.text
        # Nothing has reached the channel since.
        assert f"<#{SEARCH}> cannot be reached since" in (await typed(world, "status")).text


async def test_a_raise_goes_on_in_the_main_channel_once_the_bot_is_thrown_out_of_its_own(
    configured: Callable[[str], World], clock: HandClock
) -> None:
    world = configured(CONFIG)
    world.spend(60)
    async with world.connected_bot() as bot:
        await bot.cycle()
        await typed(world, "budget raise search to=80 until=2d", OWNER)
        await bot.cycle()
        request = posts(world, SEARCH)[-1]
        refused = await clicked(world, request, APPROVE_ACTION, DEVELOPER)
        world.slack.workspace.channels[SEARCH].has_bot = False
        # A question and the admin's click arrive while the bot cannot post there.
        await clicked(world, refused, ASK_ACTION, DEVELOPER)
        await clicked(world, request, APPROVE_ACTION)
        await bot.cycle()
        [moved] = raised(world)
        assert f"Approved by <@{ADMIN}>" in moved.text
        assert NOTE in moved.text
        assert [text for text in replies(world, moved) if "asks for a decision" in text]
        clock.advance(2 * DAY)
        await bot.cycle()
        await bot.cycle()
        assert "the raise has ended" in moved.text
        assert NOTE in moved.text
        assert any("the raise has ended" in text for text in replies(world, moved))
        assert raised(world) == [moved]
        assert f"<#{SEARCH}> cannot be reached since" in (await typed(world, "status")).text


async def test_a_budget_that_is_set_back_says_so_in_the_main_channel_once_its_own_is_closed(
    configured: Callable[[str], World],
) -> None:
    world = configured(CONFIG)
    async with world.connected_bot() as bot:
        await bot.cycle()
        shown = await typed(world, f"budget set crawl scope=organization hard=90 channel={SEARCH}")
        await clicked(world, shown, SET_ACTION)
        await bot.deliver()
        change = posts(world, SEARCH)[-1]
        world.slack.workspace.channels[SEARCH].has_bot = False
        world.slack.faults.add("chat.update", Fault("error", error="not_in_channel"))
        await clicked(world, change, UNDO_ACTION)
        await bot.deliver()
        undone, removed = posts(world, ALERTS)
        assert f"<@{ADMIN}> has undone this." in undone.text
        assert NOTE in undone.text
        assert "was removed" in removed.text
        assert NOTE in removed.text


async def test_changes_of_a_budget_are_announced_and_undone_in_its_channel(configured: Callable[[str], World]) -> None:
    world = configured("")
    async with world.connected_bot() as bot:
        await bot.cycle()
        shown = await typed(world, f"budget set search hard=50 scope=workspace:Search channel={SEARCH}")
        await clicked(world, shown, SET_ACTION)
        await bot.deliver()
        [announced] = posts(world, SEARCH)
        assert announced.text.startswith("Budget search was set by")
        assert world.changes() == []
        await clicked(world, announced, UNDO_ACTION)
        await bot.deliver()
        [_, removed] = posts(world, SEARCH)
        assert "was removed" in removed.text
        assert f"<@{ADMIN}>" in announced.text
        assert UNDO_ACTION not in str(announced.blocks)


async def test_whoever_asks_an_admin_from_the_copy_of_an_own_channel_is_heard_there(
    configured: Callable[[str], World],
) -> None:
    world = configured(CONFIG)
    world.spend(25)
    async with world.connected_bot() as bot:
        await bot.cycle()
        [alert] = posts(world, SEARCH)
        switch = next(
            element["action_id"]
            for block in alert.blocks
            if block["type"] == "actions"
            for element in block["elements"]
            if element["action_id"].startswith(f"{SWITCH_ACTION}:")
        )
        refused = await clicked(world, alert, switch, DEVELOPER)
        assert (await clicked(world, refused, ASK_ACTION, DEVELOPER)).text.startswith("Asked: the admins")
        await bot.deliver()
        [asked] = [text for text in replies(world, alert) if "asks for fallback mode" in text]
        assert f"<@{ADMIN}>" in asked


async def test_of_two_copies_the_one_that_was_clicked_gets_the_question_and_only_once(
    configured: Callable[[str], World],
) -> None:
    world = configured(CONFIG)
    world.spend(60)
    async with world.connected_bot() as bot:
        await bot.cycle()
        [there], [main] = posts(world, SEARCH), posts(world, ALERTS)
        for copy in (main, there):
            switch = f"{SWITCH_ACTION}:minimal"
            refused = await clicked(world, copy, switch, DEVELOPER)
            await clicked(world, refused, ASK_ACTION, DEVELOPER)
        await bot.deliver()
        asked = [[text for text in replies(world, copy) if "asks for" in text] for copy in (there, main)]
        assert [len(each) for each in asked] == [0, 1]


async def test_the_home_tab_links_to_an_alert_that_is_in_a_budgets_own_channel_alone(
    configured: Callable[[str], World],
) -> None:
    world = configured(CONFIG)
    world.spend(25)
    async with world.connected_bot() as bot:
        bot.workspace.url = "https://sandbox.slack.com/"
        await bot.cycle()
        [alert] = posts(world, SEARCH)
        assert f"archives/{SEARCH}/p{alert.ts.replace('.', '')}|open it" in await home_of(world)


# ---- what single users spend


@pytest.mark.parametrize("words", ["who spent most? report by user", "top by user", "cache by user", "report by actor"])
async def test_a_mention_shows_nobodys_spend_to_a_channel_not_even_where_an_admin_asks(
    simulated: World, words: str
) -> None:
    async with simulated.connected_bot() as bot:
        async with served(bot) as client:
            await send(client, record(1, "3", user_id="ida"))
        await bot.cycle()
        [public] = await answers_to(simulated, await simulated.slack.ask(words, ADMIN))
        assert "is not shown to a whole channel" in public.text
        assert "ida" not in str(public.blocks)
        assert "is not shown to a whole" not in (await typed(simulated, words.removeprefix("who spent most? "))).text


async def test_a_direct_message_of_an_admin_is_answered_with_users(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        async with served(bot) as client:
            await send(client, record(1, "3", user_id="ida"))
        await bot.cycle()
        [private] = await answers_to(simulated, await simulated.slack.ask_directly("report today by user", ADMIN))
        assert "ida: $3.00" in private.text
        [refused] = await answers_to(simulated, await simulated.slack.ask_directly("report today by user", DEVELOPER))
        assert "Only the people in CLAUDE_COST_ADMINS" in refused.text


async def test_neither_home_nor_a_digest_shows_what_the_user_of_an_estimate_spends(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.connected_bot() as bot:
        async with served(bot) as client:
            await send(client, record(1, "3", user_id="ida"))
        await bot.cycle()
        for scope in ("user:ida", "feature:support"):
            name = scope.partition(":")[2]
            await typed(simulated, f"estimate opus requests=1k in=1000 out=10 as={name} for={scope}")
        clock.advance(DAY)
        await bot.cycle()
        digest, home = (await typed(simulated, "digest week", DEVELOPER)).text, await home_of(simulated)
        for shown in (digest, home):
            assert "support" in shown
            assert "ida" not in shown


# ---- budgets of every kind


async def test_a_digest_names_budgets_of_every_kind(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:
        set_budget(bot, budget("code", "product:claude_code", "50", "100"))
        set_budget(bot, budget("support", "feature:support", "50", "100"))
        spend(simulated, "30", Attribution("claude_code"))
        async with served(bot) as client:
            await send(client, record(1, "3"))
        await later(bot, clock)
        digest = (await typed(simulated, "digest month")).text
    assert [name for name in ("default", "support", "code") if f"• {name}: $" in digest] == [
        "default",
        "support",
        "code",
    ]


async def test_a_raise_of_a_logged_or_attributed_budget_shows_wherever_its_limit_does(
    simulated: World, clock: HandClock
) -> None:
    async with simulated.connected_bot() as bot:
        set_budget(bot, budget("code", "product:claude_code", "20", "40"))
        set_budget(bot, budget("support", "feature:support", "2", "4"))
        spend(simulated, "45", Attribution("claude_code"))
        async with served(bot) as client:
            await send(client, record(1, "5"))
            await later(bot, clock)
            assert len(simulated.alerts("hard")) == 2
            await typed(simulated, "budget raise code to=90 until=4h")
            await typed(simulated, "budget raise support to=9 until=4h")
            await later(bot, clock)
            assert all("not in force any more" in alert.text for alert in hard_alerts(simulated))
            for words in ("status", "budget list", "limits", "digest month"):
                text = (await typed(simulated, words)).text
                assert "$90.00" in text, words
                assert "$9.00" in text, words
                assert text.count("raised from") >= 2, words
            home = await home_of(simulated)
            assert "$90.00" in home
            assert "$9.00" in home
            clock.advance(4 * HOUR)
            await later(bot, clock)
            await later(bot, clock)
        assert all("crossed again" in alert.text for alert in hard_alerts(simulated))


TEAM = """
[[team]]
name = "Care"
scopes = ["feature:support"]
[[budget]]
name = "care"
scope = "team:care"
soft_usd = "1000"
"""


async def test_the_calendar_plans_for_a_team_and_for_what_anthropic_attributes(
    configured: Callable[[str], World], clock: HandClock
) -> None:
    world = configured(TEAM)
    async with world.connected_bot() as bot:
        set_budget(bot, budget("code", "product:claude_code", "50", "100"))
        spend(world, "3", Attribution("claude_code"))
        async with served(bot) as client:
            await send(client, record(1, "3"))
        await later(bot, clock)
        added = await typed(world, "calendar add care every day 00:00 for 24h for=team:care")
        assert "Nothing" not in added.text
        await typed(world, "calendar add all every day 00:00 for 24h")
        now, moment = clock(), timedelta.resolution
        review = bot.services.review
        [care] = [each for each in review.logged.budgets if each.name == "care"]
        [code] = [each for each in review.attributed.budgets if each.name == "code"]
        assert {each.name for each in review.logged.windows(now, now + moment) if each.covers(care.scope)} == {
            "care",
            "all",
        }
        assert {each.name for each in review.attributed.windows(now, now + moment) if each.covers(code.scope)} == {
            "all"
        }


# ---- languages


async def test_a_digest_speaks_the_language_of_the_channel_it_goes_to(
    configured: Callable[[str], World], clock: HandClock
) -> None:
    world = configured(
        f'[[digest]]\nevery = "day"\nat = "00:00"\nchannel = "{SEARCH}"\n[display]\nlanguages = {{ {SEARCH} = "ja" }}\n'
    )
    world.spend(10)
    clock.advance(16 * HOUR)
    async with world.bot() as bot:
        for _ in range(3):
            clock.advance(10 * MINUTE)
            await bot.cycle()
        [digest] = posts(world, SEARCH)
        assert "定価で $10.00" in digest.text


async def test_a_raise_is_edited_in_the_language_of_its_channel(configured: Callable[[str], World]) -> None:
    world = configured(CONFIG + f'[display]\nlanguages = {{ {SEARCH} = "ja" }}\n')
    async with world.connected_bot() as bot:
        await bot.cycle()
        await typed(world, "budget raise search to=80 until=2d", OWNER)
        await bot.cycle()
        [request] = posts(world, SEARCH)
        assert "予算" in request.text
        await clicked(world, request, APPROVE_ACTION)
        await bot.cycle()
        assert "Approved" not in request.text
