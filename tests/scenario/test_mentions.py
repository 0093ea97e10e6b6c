"""People who write to the app as to a colleague, and shortcuts that open the form of an estimate."""

from collections.abc import AsyncIterator

import pytest

from bot.notify.slack_connection import Workspace
from bot.runner.cycle import Bot
from bot.sandbox.slack_payloads import written
from bot.sandbox.slack_workspace import BOT_USER, DEVELOPER, Message
from handlers.estimate import FORM_SHORTCUT, PROMPT_SHORTCUT
from handlers.render.estimate_form import MORE, PROMPT
from handlers.render.fields import FIELD
from tests.scenario.conftest import ALERTS, World


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.connected_bot() as bot:
        yield bot


async def answers_to(world: World, question: Message) -> list[Message]:
    def found() -> list[Message]:
        own = [one for one in world.slack.messages if one.user == BOT_USER and one.ephemeral_to is None]
        return [one for one in own if one.thread_ts == question.ts or (one.channel[0] == "D" and one.ts > question.ts)]

    await world.slack.until(lambda: bool(found()))
    return found()


async def test_a_mention_is_answered_in_its_thread_as_the_command_answers(simulated: World, bot: Bot) -> None:
    simulated.spend(42)
    await bot.cycle()
    [answer] = await answers_to(simulated, await simulated.slack.ask("what do we spend?"))
    command = await (await simulated.slack.command("status")).first_reply()
    assert answer.text == command.text
    assert answer.blocks


async def test_a_direct_message_is_answered_below_it_and_only_there(simulated: World, bot: Bot) -> None:
    simulated.spend(42)
    await bot.cycle()
    question = await simulated.slack.ask_directly("how much did we spend today?", DEVELOPER)
    [answer] = await answers_to(simulated, question)
    assert answer.channel == question.channel
    assert answer.thread_ts is None
    assert "$42.00" in answer.text


async def test_a_question_that_names_a_workspace_is_about_it_alone(simulated: World, bot: Bot) -> None:
    simulated.spend(42)
    simulated.spend("3.50", key="apikey_2", workspace=None)
    await bot.cycle()
    question = await simulated.slack.ask_directly("what did the search workspace cost today?", DEVELOPER)
    [answer] = await answers_to(simulated, question)
    assert "$42.00 spent" in answer.text
    assert "This is about workspace:Search alone." in answer.text
    assert "$45.50" not in answer.text
    question = await simulated.slack.ask_directly("what did foo cost today?", DEVELOPER)
    [answer] = await answers_to(simulated, question)
    assert "$45.50" in answer.text
    assert "is called `foo`: this is the whole organization." in answer.text


async def test_a_mention_within_a_thread_is_answered_in_that_thread(simulated: World, bot: Bot) -> None:
    first = simulated.slack.say("look at this")
    await simulated.slack.ask("help", thread_ts=first.ts)
    [answer] = await answers_to(simulated, first)
    assert answer.thread_ts == first.ts


async def test_what_is_not_understood_is_answered_with_examples(simulated: World, bot: Bot) -> None:
    [answer] = await answers_to(simulated, await simulated.slack.ask("good morning"))
    assert "`help`: all commands" in answer.text


async def test_a_mention_may_change_no_more_than_the_person_may(simulated: World, bot: Bot) -> None:
    question = await simulated.slack.ask("fallback on minimal", DEVELOPER)
    [answer] = await answers_to(simulated, question)
    assert "Nothing was changed" in answer.text


async def test_bots_edits_and_repeats_are_not_answered(simulated: World, bot: Bot) -> None:
    event = {"type": "app_mention", "user": DEVELOPER, "text": "help", "ts": "1.0", "channel": "C0ALERTS"}
    body = {"type": "event_callback", "team_id": "T0", "event": event, "event_id": "Ev1"}
    for changes in ({"bot_id": "B1"}, {"subtype": "message_changed"}, {"edited": {"ts": "2.0"}}):
        await simulated.slack.send_envelope("events_api", body | {"event": event | changes, "event_id": "Ev0"})
    question = simulated.slack.say("help")
    for _ in range(3):
        await simulated.slack.send_envelope("events_api", body | {"event": event | {"ts": question.ts}})
    await answers_to(simulated, question)
    await simulated.slack.send_envelope("events_api", body | {"event_id": "Ev2", "event": event | {"ts": question.ts}})
    await simulated.slack.until(lambda: len(question.replies) == 2)
    assert sum(call.method == "chat.postMessage" for call in simulated.slack.calls) == 2


async def test_the_global_shortcut_opens_the_form(simulated: World, bot: Bot) -> None:
    await simulated.slack.shortcut(FORM_SHORTCUT, DEVELOPER)
    await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
    await simulated.slack.submit_view(
        {"model": "sonnet-4.6", "requests": "100k", "in": "2000", "out": "500"}, DEVELOPER
    )
    await simulated.slack.until(lambda: "$1,350.00" in str(simulated.slack.views.modals[DEVELOPER][-1].content))


async def test_the_prompt_of_a_message_is_in_the_form(simulated: World, bot: Bot) -> None:
    message = simulated.slack.say("Summarise <https://example.com|this> &amp; that", DEVELOPER)
    await simulated.slack.shortcut(PROMPT_SHORTCUT, DEVELOPER, message)
    assert await field(simulated, PROMPT) == "Summarise this & that"


async def test_a_prompt_that_is_too_long_for_the_field_is_sized(simulated: World, bot: Bot) -> None:
    message = simulated.slack.say("word " * 1000, DEVELOPER)
    await simulated.slack.shortcut(PROMPT_SHORTCUT, DEVELOPER, message)
    assert await field(simulated, MORE) == "chars=5000 lang=en"


async def field(world: World, key: str) -> str:
    await world.slack.until(lambda: bool(world.slack.views.modals.get(DEVELOPER)))
    [block] = [each for each in world.slack.views.modals[DEVELOPER][-1].content["blocks"] if each["block_id"] == key]
    assert block["element"]["action_id"] == FIELD
    return str(block["element"].get("initial_value"))


@pytest.mark.parametrize("field", ["user_team", "team"])
async def test_somebody_of_another_company_gets_no_answer(simulated: World, bot: Bot, field: str) -> None:
    simulated.spend(42)
    await bot.cycle()
    question = simulated.slack.say(f"<@{BOT_USER}> what do we spend?")
    payload = written(simulated.slack.workspace, question, simulated.slack.workspace.channels[ALERTS], mentions=True)
    payload["event"] |= {field: "T0OTHER"}
    await simulated.slack.send_envelope("events_api", payload)
    [answer] = await answers_to(simulated, question)
    assert answer.text == "Only members of the bot's own Slack workspace get answers."


@pytest.mark.parametrize(
    ("own", "team", "is_foreign"),
    [
        (Workspace(team="T1"), "T1", False),
        (Workspace(team="T1"), "T2", True),
        (Workspace(team="T1"), "E2", True),
        (Workspace(team="T1"), "", False),
        (Workspace(), "T2", False),
        (Workspace(team="T1", enterprise="E1"), "T2", False),
        (Workspace(team="T1", enterprise="E1"), "E1", False),
        (Workspace(team="T1", enterprise="E1"), "E2", True),
    ],
)
def test_who_is_certainly_of_another_company(own: Workspace, team: str, is_foreign: bool) -> None:
    assert own.excludes(team) == is_foreign


async def test_an_event_that_slack_sends_again_is_answered_once(simulated: World, bot: Bot) -> None:
    question = simulated.slack.say(f"<@{BOT_USER}> help")
    payload = written(simulated.slack.workspace, question, simulated.slack.workspace.channels[ALERTS], mentions=True)
    for _ in range(3):
        await simulated.slack.send_envelope("events_api", payload)
    await answers_to(simulated, question)
    assert await bot.in_flight.drain(20)
    assert len(await answers_to(simulated, question)) == 1
