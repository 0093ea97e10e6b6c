"""Questions in plain words, answered over the real services: why spend rose, in Japanese, and about single users."""

import json
from dataclasses import replace

import pytest

from bot.language import in_language
from bot.ledger.intake import Intake
from bot.services import Services
from handlers.commands import answer, answer_question
from handlers.mentions import command_of
from tests.databases import NOW
from tests.scenario.conftest import member
from tests.scenario.test_commands import ADMIN, DEVELOPER, clock, polled, services

__all__ = ["clock", "polled", "services"]


async def ask(services: Services, question: str, user: str = DEVELOPER) -> str:
    """The answer to `/claude-cost QUESTION`."""
    return (await answer(services, member(user), question)).text


async def ask_in_channel(services: Services, question: str, user: str = ADMIN) -> str:
    """The answer to a mention, which the whole channel reads."""
    public = replace(services, user_spend=services.user_spend.in_public)
    return (await answer_question(public, member(user), command_of(question) or "help", question)).text


@pytest.fixture
def logged(polled: Services) -> Services:
    """Services after an application has logged $3 of Ida and $2 of Ben."""
    records = [
        {"id": f"msg_0{user}", "model": "claude-opus-4-8", "input_tokens": usd * 200_000, "output_tokens": 0}
        | {"time": NOW.isoformat(), "feature": "support", "user_id": user}
        for user, usd in (("ida@example.com", 3), ("ben", 2))
    ]
    Intake(polled.ledger).take(json.dumps(records).encode(), NOW, is_gzip=False, is_lines=False)
    return polled


async def test_a_user_is_found_by_name_for_those_who_may_see_it_alone(logged: Services) -> None:
    shown = await ask(logged, "what did ben spend today?", ADMIN)
    assert "This is about user:ben alone." in shown
    assert "$2.00" in shown
    for hidden in (
        await ask(logged, "what did ben spend today?"),
        await ask(logged, "why did ben spend so much today?"),
        await ask_in_channel(logged, "what did ben spend today?"),
        await ask_in_channel(logged, "benは今日いくら使った？"),
    ):
        # As for a name that nothing has: not even that there is such a user.
        assert "is called `ben`: this is the whole organization." in hidden
        assert "$2.00" not in hidden
        assert "user:ben" not in hidden
    assert "user:ben" not in await ask(logged, "what does Ben cost?")
    assert "user:ben" in await ask(logged, "what does Ben cost?", ADMIN)


async def test_why_is_answered_with_what_changed(polled: Services) -> None:
    why = await ask(polled, "why is it more expensive than yesterday?")
    assert why.splitlines()[0] == (await ask(polled, "digest today")).splitlines()[0]
    about = await ask(polled, "why did opus get so expensive?")
    assert "This is about model:opus alone." in about
    assert "model:opus" in await ask(polled, "なんでopusは今日こんなに高いの？")


async def test_a_question_in_japanese_is_answered_in_japanese(polled: Services) -> None:
    with in_language("ja"):
        assert "model:opus だけの値です。" in await ask(polled, "昨日opusにいくら使った？")
        unknown = await ask(polled, "田中さんは今日いくら使った？")
        assert "`田中` という名前のものはありません。組織全体の結果を表示します。" in unknown
        assert "`一昨日` という期間は分かりません。" in await ask(polled, "一昨日の費用は？")


async def test_days_that_no_answer_is_about_are_said_to_be_others(polled: Services) -> None:
    said = "I do not know `last 7 days` as a period, so this is about another one: "
    assert said in await ask(polled, "what did we spend in the last 7 days?")
    assert said in await ask(polled, "what did opus cost in the last 7 days?")
    assert "as a period" not in await ask(polled, "what did we spend in November?")
    assert "as a period" not in await ask(polled, "where will we end up next month?")


async def test_what_something_costs_is_about_what_is_there(polled: Services) -> None:
    assert "This is about budget default alone." in await ask(polled, "what does the default budget cost us?")
    assert "estimate" in (await ask(polled, "what would opus cost?")).splitlines()[0]
