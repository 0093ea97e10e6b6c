"""First words that people type, in English and in Japanese: the slash command understands the same as a mention, and
every answer suggests a next step.
"""

from collections.abc import AsyncIterator

import pytest

from bot.clock import HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import BOT_USER, DEVELOPER, Message
from handlers.render.budget_form import FORM_ACTION
from handlers.render.home import ESTIMATE_ACTION
from handlers.render.raises import OPEN_ACTION, WHICH_ACTION
from tests.scenario.conftest import World


@pytest.fixture
async def bot(simulated: World, clock: HandClock) -> AsyncIterator[Bot]:
    simulated.environ |= {"CLAUDE_COST_SOFT_USD": "20", "CLAUDE_COST_HARD_USD": "100"}
    async with simulated.connected_bot() as bot:
        simulated.spend(42)
        clock.advance(HOUR)
        await bot.cycle()
        yield bot


async def asked(world: World, words: str) -> Message:
    return await (await world.slack.command(words, DEVELOPER)).first_reply()


async def mentioned(world: World, words: str) -> Message:
    question = await world.slack.ask(words)

    def found() -> list[Message]:
        return [one for one in world.slack.messages if one.user == BOT_USER and one.thread_ts == question.ts]

    await world.slack.until(lambda: bool(found()))
    return found()[0]


async def form_of(world: World) -> str:
    await world.slack.until(lambda: bool(world.slack.views.modals.get(DEVELOPER)))
    return str(world.slack.views.modals[DEVELOPER][-1].content)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("今週いくら？", "$42.00"),
        ("what did we spend this week?", "$42.00"),
        ("予算", "default: organization"),
        ("アラートを止めて", "Open alerts:"),
        ("how do I stop this alert", "*Acknowledge* or *Snooze*"),
        ("ヘルプ", "For example:"),
    ],
)
async def test_the_command_answers_what_a_mention_answers(simulated: World, bot: Bot, words: str, says: str) -> None:
    assert says in (await asked(simulated, words)).text
    assert says in (await mentioned(simulated, words)).text


@pytest.mark.parametrize("words", ["予算を設定", "予算 設定", "how do I set a budget for my team?", "budget set"])
async def test_who_wants_a_budget_gets_the_form(simulated: World, bot: Bot, words: str) -> None:
    await simulated.slack.command(words, DEVELOPER)
    assert "budget_form" in await form_of(simulated)


async def test_a_new_name_is_in_the_form_already(simulated: World, bot: Bot) -> None:
    await simulated.slack.command("budget set checkout", DEVELOPER)
    assert "'initial_value': 'checkout'" in await form_of(simulated)


async def test_a_mention_offers_the_form_behind_a_button(simulated: World, bot: Bot) -> None:
    answer = await mentioned(simulated, "予算を10万円にしたい")
    await simulated.slack.click(answer, FORM_ACTION, DEVELOPER)
    assert "budget_form" in await form_of(simulated)


async def test_the_list_of_budgets_leads_to_a_new_one_and_to_a_raise(simulated: World, bot: Bot) -> None:
    listed = await asked(simulated, "budget")
    assert FORM_ACTION in str(listed.blocks)
    choices = await (await simulated.slack.click(listed, WHICH_ACTION, DEVELOPER)).first_reply()
    assert "Which limit is to be raised" in choices.text
    await simulated.slack.click(choices, OPEN_ACTION, DEVELOPER)
    assert "raise_limit" in await form_of(simulated)


@pytest.mark.parametrize("words", ["budget raise", "予算を上げたい", "please raise the limit"])
async def test_who_wants_more_chooses_the_budget(simulated: World, bot: Bot, words: str) -> None:
    assert OPEN_ACTION in str((await asked(simulated, words)).blocks)


async def test_a_raise_without_an_amount_leads_to_its_form(simulated: World, bot: Bot) -> None:
    answer = await asked(simulated, "budget raise default")
    assert "The amount is missing" in answer.text
    assert OPEN_ACTION in str(answer.blocks)


@pytest.mark.parametrize(
    "words", ["what would 10,000 requests a day on Opus cost?", "Opus で1日1万リクエストだといくら？"]
)
async def test_a_question_about_a_workload_is_priced_and_says_what_is_assumed(
    simulated: World, bot: Bot, words: str
) -> None:
    for answer in (await asked(simulated, words), await mentioned(simulated, words)):
        assert "$5,400.00 a month" in answer.text
        assert "Assumed: 2,000 tokens in and 500 out for each request." in answer.text
        assert "in=… out=…`" in answer.text
        assert ESTIMATE_ACTION in str(answer.blocks)


async def test_open_alerts_have_their_links(simulated: World, bot: Bot) -> None:
    bot.workspace.url = "https://team.slack.com/"
    answer = await asked(simulated, "alerts")
    assert "soft limit $20.00 of budget default" in answer.text
    assert "open it>" in answer.text
