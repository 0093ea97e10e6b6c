"""A refused click shows why, and one more click asks the admins in the right place."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.alerts.asks import MOST_ASKED, Ask, Place, Wanted, unpacked
from bot.clock import DAY
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Channel, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.budget import REMOVE_ACTION, SET_ACTION
from handlers.render.budget_changes import UNDO_ACTION
from handlers.render.fallback import FORM_ACTION
from handlers.render.home import FALLBACK_ACTION
from handlers.render.proposal import APPROVE_ACTION as APPROVE_PROPOSAL
from handlers.render.proposal import REJECT_ACTION as REJECT_PROPOSAL
from handlers.render.raises import APPROVE_ACTION, CANCEL_ACTION, DECLINE_ACTION
from handlers.render.spend import SWITCH_ACTION
from tests.scenario.conftest import ADMIN, ALERTS, World

SEARCH = "C0SEARCH"
REFUSED = "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may "
IN_CHANNEL = "Asked: the admins are mentioned in the alert channel."
IN_THREAD = "Asked: the admins are mentioned in the thread of that message."


@pytest.fixture
async def bot(simulated: World, tmp_path: Path) -> AsyncIterator[Bot]:
    """A bot with a budget that has its own channel."""
    simulated.slack.workspace.channels[SEARCH] = Channel(SEARCH, "search")
    file = tmp_path / "asking.toml"
    file.write_text("[forecast]\nenabled = false\n[fallback]\napprovals = 1\n", encoding="utf-8")
    simulated.spend(250)
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(file)) as bot:
        await bot.cycle()
        words = f"budget set search scope=organization hard=500 channel={SEARCH}"
        await clicked(simulated, await typed(simulated, words), SET_ACTION)
        await bot.cycle()
        yield bot


async def typed(world: World, words: str, user: str = ADMIN) -> Message:
    return await (await world.slack.command(words, user)).first_reply()


async def clicked(world: World, message: Message, action: str, user: str = ADMIN) -> Message:
    return await (await world.slack.click(message, action, user)).first_reply()


async def asked(world: World, bot: Bot, refused: Message, answer: str = IN_CHANNEL) -> None:
    """The button of a refusal asks, once."""
    assert problems(refused.blocks, "message") == []
    assert REFUSED in refused.text
    assert (await clicked(world, refused, ASK_ACTION, DEVELOPER)).text.startswith(answer)
    assert (await clicked(world, refused, ASK_ACTION, DEVELOPER)).text.startswith("You have asked already")
    await bot.deliver()


def newest(world: World, channel: str = ALERTS) -> Message:
    [*_, last] = [each for each in world.slack.messages if each.channel == channel and each.ephemeral_to is None]
    assert problems(last.blocks, "message") == []
    return last


COMMANDS = (
    ("budget set other scope=organization hard=90", ALERTS),
    ("budget set search hard=90", SEARCH),
    ("budget remove search", SEARCH),
    ("calendar add day on 2026-12-24 00:00 for 1h", ALERTS),
    ("calendar remove day", ALERTS),
    ("fallback on minimal for 2h because <!channel> asks", ALERTS),
    ("fallback off", ALERTS),
    ("fallback auto on", ALERTS),
    ("test-alert", ALERTS),
    ("digest settings", ALERTS),
)


async def test_a_command_of_admins_is_asked_for_in_the_channel_of_what_it_is_about(simulated: World, bot: Bot) -> None:
    for words, channel in COMMANDS:
        refused = await typed(simulated, words, DEVELOPER)
        await asked(simulated, bot, refused, "Asked: the admins are mentioned in")
        request = newest(simulated, channel)
        assert request.thread_ts is None
        assert request.text.startswith(f"<@{DEVELOPER}> asks for `/claude-cost {words.partition('<')[0].strip()}")
        assert f"<@{ADMIN}>: please decide, and type it if you agree." in request.text
        assert "<!channel>" not in request.text


async def test_old_buttons_of_a_preview_ask_for_the_command_behind_them(simulated: World, bot: Bot) -> None:
    for words, action in (("budget set search hard=70", SET_ACTION), ("budget remove search", REMOVE_ACTION)):
        preview = await typed(simulated, words)
        preview.ephemeral_to = None  # as a preview that a mention was answered with
        await asked(simulated, bot, await clicked(simulated, preview, action, DEVELOPER), "Asked: the admins")
        assert f"asks for `/claude-cost budget {words.split()[1]} search" in newest(simulated, SEARCH).text


async def test_undo_of_a_budget_and_decisions_about_a_raise_are_asked_for_in_their_threads(
    simulated: World, bot: Bot
) -> None:
    change = newest(simulated, SEARCH)
    await asked(simulated, bot, await clicked(simulated, change, UNDO_ACTION, DEVELOPER), IN_THREAD)
    assert newest(simulated, SEARCH).thread_ts == change.ts
    assert newest(simulated, SEARCH).text == (
        f"<@{DEVELOPER}> asks for a decision. <@{ADMIN}>: the buttons are in the message above this thread."
    )
    await typed(simulated, "budget raise default to=900 until=2d", DEVELOPER)
    await bot.deliver()
    request = newest(simulated)
    refused = [await clicked(simulated, request, each, DEVELOPER) for each in (APPROVE_ACTION, DECLINE_ACTION)]
    await asked(simulated, bot, refused[0], IN_THREAD)
    assert newest(simulated).thread_ts == request.ts
    await clicked(simulated, request, DECLINE_ACTION)
    late = await clicked(simulated, refused[1], ASK_ACTION, DEVELOPER)
    assert late.text.startswith("Nothing was asked: this is closed by now.")
    await typed(simulated, "budget raise default to=900 until=2d")
    await bot.deliver()
    await asked(simulated, bot, await clicked(simulated, newest(simulated), CANCEL_ACTION, DEVELOPER), IN_THREAD)


async def test_a_second_approval_is_asked_for_in_the_thread_of_the_proposal(simulated: World, bot: Bot) -> None:
    await typed(simulated, "fallback on minimal")
    await bot.deliver()
    proposal = newest(simulated)
    for action, answer in ((APPROVE_PROPOSAL, IN_THREAD), (REJECT_PROPOSAL, "You have asked already")):
        refused = await clicked(simulated, proposal, action, DEVELOPER)
        assert (await clicked(simulated, refused, ASK_ACTION, DEVELOPER)).text.startswith(answer)
    await bot.deliver()
    assert newest(simulated).thread_ts == proposal.ts


async def test_a_button_of_status_asks_for_its_mode_and_an_admin_switches_below_the_request(
    simulated: World, bot: Bot
) -> None:
    for words in ("status", "fallback status"):
        message = await typed(simulated, words, DEVELOPER)
        switch = next(
            element["action_id"]
            for block in message.blocks
            if block["type"] == "actions"
            for element in block["elements"]
            if element["action_id"].startswith(f"{SWITCH_ACTION}:")
        )
        refused = await clicked(simulated, message, switch, DEVELOPER)
        answer = (await clicked(simulated, refused, ASK_ACTION, DEVELOPER)).text
        assert answer.startswith((IN_CHANNEL, "You have asked already"))
    await bot.deliver()
    request = newest(simulated)
    assert (
        f"<@{DEVELOPER}> asks for fallback mode {switch.partition(':')[2]}. <@{ADMIN}>: please decide." in request.text
    )
    assert "approval" in (await clicked(simulated, request, switch)).text


async def test_the_form_of_the_fallback_mode_opens_for_admins_alone(simulated: World, bot: Bot) -> None:
    message = await typed(simulated, "fallback status", DEVELOPER)
    refused = await clicked(simulated, message, FORM_ACTION, DEVELOPER)
    assert DEVELOPER not in simulated.slack.views.modals
    await asked(simulated, bot, refused)
    assert (
        f"<@{DEVELOPER}> asks for another fallback mode than normal. <@{ADMIN}>: please decide"
        in newest(simulated).text
    )


async def test_an_old_home_tab_refuses_and_asks_in_its_view(simulated: World, bot: Bot) -> None:
    await simulated.slack.open_home(ADMIN)
    await simulated.slack.until(lambda: ADMIN in simulated.slack.views.homes)
    await simulated.slack.click(simulated.slack.views.homes[ADMIN], FALLBACK_ACTION, DEVELOPER)
    await simulated.slack.until(lambda: view_says(simulated, "only the people named in CLAUDE_COST_ADMINS"))
    await simulated.slack.click(simulated.slack.views.modals[DEVELOPER][-1], ASK_ACTION, DEVELOPER)
    await simulated.slack.until(lambda: view_says(simulated, "Asked: the admins are mentioned in the alert channel."))
    await bot.deliver()
    assert "asks for another fallback mode" in newest(simulated).text


def view_says(world: World, words: str) -> bool:
    return any(words in str(each.content) for each in world.slack.views.modals.get(DEVELOPER, []))


async def test_one_person_asks_for_a_few_things_a_day_and_for_the_same_again_a_day_later(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    answers = []
    for number in range(MOST_ASKED + 1):
        refused = await typed(simulated, f"budget set b{number} scope=organization hard=9", DEVELOPER)
        answers.append((await clicked(simulated, refused, ASK_ACTION, DEVELOPER)).text)
    assert all(each.startswith(IN_CHANNEL) for each in answers[:-1])
    assert answers[-1].startswith("Nothing was asked: you have asked often today")
    clock.advance(DAY)
    assert (await clicked(simulated, refused, ASK_ACTION, DEVELOPER)).text.startswith(IN_CHANNEL)


async def test_two_clicks_at_once_ask_once(simulated: World, bot: Bot) -> None:
    refused = await typed(simulated, "test-alert", DEVELOPER)
    both = await asyncio.gather(*(clicked(simulated, refused, ASK_ACTION, DEVELOPER) for _ in range(2)))
    assert sum(each.text.startswith(IN_CHANNEL) for each in both) == 1


async def test_where_nobody_is_an_admin_nobody_is_asked(simulated: World) -> None:
    async with simulated.connected_bot(CLAUDE_COST_ADMINS=""):
        for words in ("fallback on minimal", "budget set x scope=organization hard=9", "test-alert"):
            refused = await typed(simulated, words, DEVELOPER)
            assert "nobody may" in refused.text
            assert ASK_ACTION not in str(refused.blocks)


FORGED = (
    "",
    "17:minimal",
    "alert:1",
    "alert:1 mode",
    "alert:1 mode gone",
    "alert:99 mode minimal",
    "alert:-1 mode minimal",
    "alert:1 decision",
    "raise:1 mode minimal",
    "raise:99 decision",
    "raise:99999999999999999999 decision",
    "raise:1 decision and more",
    "proposal:7 decision",
    "change:0 decision",
    "channel:0 decision",
    "channel:0 command",
    "channel:0 command rm -rf /",
    "channel:0 command status",
    "channel:0 other words",
    "nowhere:0 other",
    "channel:0 command budget " + "x" * 1900,
)


async def test_a_made_up_button_asks_nobody(simulated: World, bot: Bot) -> None:
    before = len(simulated.slack.messages)
    for value in FORGED:
        action: dict[str, Any] = {"type": "button", "action_id": ASK_ACTION, "block_id": "b", "value": value}
        body = {"type": "block_actions", "user": {"id": DEVELOPER}, "team": {"id": "T0"}, "actions": [action]}
        body |= {"trigger_id": "1.2.3", "token": "t", "api_app_id": "A0"}
        await simulated.slack.send_envelope("interactive", body)
    await asyncio.sleep(0.1)
    assert await bot.in_flight.drain(20)
    await bot.deliver()
    assert len(simulated.slack.messages) == before


@pytest.mark.parametrize(
    "ask",
    [
        Ask(Wanted.MODE, "minimal"),
        Ask(Wanted.MODE, "minimal", Place.ALERT, 17),
        Ask(Wanted.OTHER_MODE),
        Ask(Wanted.COMMAND, "budget set search hard=1"),
        Ask(Wanted.DECISION, "", Place.RAISE, 3),
    ],
)
def test_a_button_carries_what_it_asks(ask: Ask) -> None:
    assert unpacked(ask.packed()) == ask
