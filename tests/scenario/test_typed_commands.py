"""Commands as phones, Macs and people in a hurry type them into Slack."""

import asyncio
import json
from typing import Any

import pytest

from bot.messages import Message
from bot.mode import NORMAL
from bot.sandbox.block_limits import problems
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.services import Services
from handlers.commands import SUBCOMMANDS, Subcommand, answer
from tests.scenario.conftest import member
from tests.scenario.test_commands import clock, polled, services

__all__ = ["clock", "polled", "services"]


async def ask(services: Services, words: str, user: str = ADMIN) -> Message:
    message = await answer(services, member(user), words)
    assert problems(message.blocks, "message") == []
    return message


def first_line(message: Message) -> str:
    return message.text.splitlines()[0]


@pytest.mark.parametrize(
    "typed",
    [
        "fallback on “minimal”",
        "Fallback on ‘minimal’.",
        "fallback\u00a0on\u202fminimal",
        "fallback on minimal for 2hrs",
        "fallback on minimal for 2 hours.",
        "fallback on to minimal mode — because of cost",
        "/claude-cost fallback on *minimal*!",
        "claude-cost /claude-cost fallback: on minimal",
        "fall\u200bback on `minimal`",
        "fallback on <http://minimal|minimal>",
    ],
)
async def test_the_emergency_command_is_understood_as_phones_send_it(polled: Services, typed: str) -> None:
    assert first_line(await ask(polled, typed)) == "Fallback mode normal → minimal."
    state = await asyncio.to_thread(polled.fallback.state)
    assert state.mode.name == "minimal"
    assert (state.until is not None) == ("for" in typed.split())


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("status.", "status"),
        ("/claude-cost /claude-cost status", "status"),
        ("—status", "status"),
        ("rates “sonnet 4.6”", "rates sonnet-4.6"),
        ("rates sonnet–4.6?", "rates sonnet-4.6"),
        ("rates for sonnet 4.6", "rates sonnet-4.6"),
        ("rates ソネット", "rates sonnet"),
        ("rates ソネット4.6", "rates sonnet-4.6"),
        ("Limits!", "limits"),
        ("budget list.", "budget list"),
        ("budget remove “search”", "budget remove search"),
        ("budget remove search.", "budget remove search"),
        ("forecast “default”.", "forecast default"),
        ("report month by api key", "report month by key"),
        ("report this month, by models", "report month by model"),
        ("report for yesterday.", "report yesterday"),
        ("report 2026–11–01…2026–11–05", "report 2026-11-01..2026-11-05"),
        ("report 2026-11-01 to 2026-11-05", "report 2026-11-01..2026-11-05"),
        (
            "estimate “sonnet 4.6” requests=100k in=2000 out=500 —batch",
            "estimate sonnet-4.6 100k requests 2000 in 500 out batch",
        ),
        ("estimate show “bot”", "estimate show bot"),
        ("help “status”", "help status"),
        ("status --help", "help status"),
        ("fallback help", "help fallback"),
        ("plan sonnet requests=100k in=2000 out=500, 5 seats", "plan sonnet requests=100k in=2000 out=500 seats=5"),
        ("?", "help"),
    ],
)
async def test_the_same_is_answered_as_to_the_plain_words(polled: Services, typed: str, plain: str) -> None:
    said, meant = await ask(polled, typed), await ask(polled, plain)
    assert said.text == meant.text
    assert "is not known here: " not in said.text
    assert "is not a command" not in said.text


@pytest.mark.parametrize(
    "typed", ["test–alert", "test—alert", "test alert", "Test - Alert", "testalert", "test-alert."]
)
async def test_a_test_alert_is_sent_however_its_dash_is_written(polled: Services, typed: str) -> None:
    assert first_line(await ask(polled, typed)).startswith("Test alert `")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("status now", "`now` is not known here: `status` takes no words."),
        ("limits sonnet", "`sonnet` is not known here: `limits` takes no words."),
        ("doctor please", "`please` is not known here: `doctor` takes no words."),
        ("test alert please", "`please` is not known here: `test-alert` takes no words."),
        ("help me", "`me` is not a command of mine."),
        ("help status now", "`now` is not known here: `help` takes the name of one command."),
        ("test", "`test` is not a command of mine: did you mean `/claude-cost test-alert`?"),
        (
            "forecast search",
            "There is no budget `search`: `forecast` takes the name of a budget, or nothing for all of them.",
        ),
        ("forecast defualt", "for all of them. Did you mean `forecast default`?"),
        ("fallback status now", "`now` is not known here: `fallback status` takes no words."),
        ("fallback auto on please", "`please` is not known here"),
        (
            "fallback on minimal 2h",
            "reason after because. Did you mean `fallback on minimal for 2h`?",
        ),
        ("fallback on 2h", "Did you mean `fallback on for 2h`?"),
        ("fallback on minimal until tomorrow", "`until` is not known here. Give a time after for"),
        ("budget remove search now", "`now` is not known here: `budget remove` takes one name."),
        ("budget list all", "`all` is not known here: `budget list` takes no words"),
        ("estimate list all", "`all` is not known here: `estimate list` takes no words."),
        ("estimate show", "The name is missing: type `estimate show NAME`"),
        ("rates gpt-5", "`gpt-5` is not a Claude model: only Claude models have prices here."),
        ("rates gpt-4", "`gpt-4` is not a Claude model: only Claude models have prices here."),
    ],
)
async def test_a_word_that_is_not_understood_is_named_and_nothing_is_done(
    polled: Services, typed: str, sentence: str
) -> None:
    assert sentence in first_line(await ask(polled, typed))
    state = await asyncio.to_thread(polled.fallback.state)
    assert state.mode.name == NORMAL
    assert polled.alerts.notices.undelivered() == 0


@pytest.mark.parametrize("row", SUBCOMMANDS, ids=lambda row: row.name)
async def test_help_about_a_command_shows_it_and_its_examples(services: Services, row: Subcommand) -> None:
    text = (await ask(services, f"help {row.name}")).text
    assert text.startswith(f"`/claude-cost {row.name}")
    assert all(example in text for example in row.examples)


MARKED = "*budget* is gone, see `runbook` _now_ ~not~ <https://status.anthropic.com|status> <@U0ANNA0001|anna>"
AS_TYPED = "*budget* is gone, see `runbook` _now_ ~not~ status @anna"


def plain_texts(blocks: list[dict[str, Any]]) -> list[str]:
    texts = [block["text"] for block in blocks if block["type"] == "section"]
    return [text["text"] for text in texts if text["type"] == "plain_text"]


async def test_a_reason_with_marks_is_drawn_as_typed_and_breaks_nothing(polled: Services) -> None:
    await ask(polled, f"fallback on minimal because {MARKED}")
    status, history = await ask(polled, "fallback status"), await ask(polled, "fallback history")
    assert plain_texts(status.blocks) == [AS_TYPED]
    assert plain_texts(history.blocks) == [f"normal → minimal: {AS_TYPED}"]
    for message in (status, history):
        drawn = [block["text"]["text"] for block in message.blocks if block["type"] == "section"]
        assert not any("budget* is" in text and text.startswith("*Fallback") for text in drawn)
        assert "<@U0ANNA" not in json.dumps(message.blocks)
        assert "<http" not in json.dumps(message.blocks)


async def test_a_mention_in_a_reason_notifies_nobody(polled: Services) -> None:
    await ask(polled, "fallback on minimal because <@U0ANNA0001> and &lt;@U0BEN00001&gt; asked")
    await ask(polled, "fallback off", DEVELOPER)
    for message in (await ask(polled, "fallback history"), await ask(polled, "fallback status")):
        for text in (message.text, json.dumps(message.blocks)):
            assert "<@U0ANNA0001>" not in text
            assert "<@U0BEN00001>" not in text
    # The admins that a refusal of our own names are still shown by their names.
    assert f"(<@{ADMIN}>)" in (await ask(polled, "fallback history")).text


async def test_rates_are_found_by_words_with_a_comma(services: Services) -> None:
    assert (await ask(services, "rates sonnet 4.6,")).text.startswith("Sonnet 4.6")
