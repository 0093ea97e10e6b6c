"""People who read Slack in Japanese are answered in Japanese: help, budgets, the calendar, every mistake and
refusal.
"""

import asyncio
import re
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from bot.budgets.budget import Scope, ScopeKind
from bot.budgets.scopes import NoMatchError, attributed
from bot.doctor.examination import judge_clock
from bot.language import in_language
from bot.messages import Message
from bot.modes.changes import DurationError, duration
from bot.sandbox.block_limits import problems
from bot.services import Services
from bot.usage.store_reads import AttributedNames
from handlers.commands import SUBCOMMANDS, answer
from handlers.render.parts import paragraph
from tests.scenario.conftest import World, member
from tests.scenario.test_commands import ADMIN, DEVELOPER, clock, engine, polled, refusals, services

__all__ = ["clock", "engine", "polled", "services"]

NOT_PROSE = re.compile(
    r"`[^`]*`"  # what is typed
    r"|<[^<>]*>"  # times and mentions
    r"|[\w:]+=\S*"  # keys with their values
    r"|(?:budget|calendar) (?:set|raise|add) [\x20-\x7e]*"  # examples of commands
    r"|host \S+, process"  # which copy of the bot polls
    r"|^(?:STALE\. )?(?:Data as of|No data yet:) .*$",  # how old the data is, which every answer adds
    re.MULTILINE,
)
ENGLISH = re.compile(r"[A-Za-z'’]+(?:,? [a-z'’]+){2,}")
"""Three words in a row."""

HELP = ["help", *(f"help {row.name}" for row in SUBCOMMANDS), "help budget list"]

BUDGETS = [
    "budget list",
    "budget set search hard=80",
    "budget set search soft=50 hard=80 thresholds=50,75,90 period=day",
    "budget set search soft=1 hard=2 channel=C0SEARCH owners=U0DEV,S0TEAM mention=soft,hard",
    "budget set search hard=80 scope=model:opus",
    "budget set search hard=80 scope=feature:support",
    "budget set default hard=80",
    "budget try search hard=80 period=day",
    "budget history",
    "budget history search",
    "budget remove default",
]

MISTAKES = [
    "budget lst",
    "budget frobnicate",
    "budget list now",
    "budget set",
    "budget set search",
    "budget set search hard 80",
    "budget set search hard=",
    "budget set search hard=80 hard=90",
    "budget set search hrd=80",
    "budget set search zzz=80",
    "budget set search soft=80 hard=50",
    "budget set se/arch hard=80",
    "budget set search hard=80 scope=worspace:x",
    "budget set search hard=80 scope=workspace:nowhere",
    "budget set search hard=80 scope=model:gpt",
    "budget set search hard=80 scope=model:opsu",
    "budget set search hard=80 scope=user:ada",
    "budget set search hard=80 scope=product:claude_code zone=Asia/Tokyo",
    "budget set search hard=80 team=search",
    "budget set search hard=80 team=one scope=team:two",
    "budget set search hard=80 period=year",
    "budget set search hard=80 week_starts=someday",
    "budget set search hard=80 zone=Mars/Base",
    "budget set search hard=80 thresholds=50;75",
    "budget set search hard=80 thresholds=0,50",
    "budget set search hard=80 thresholds=75,50",
    "budget set search hard=80 thresholds=1,2,3,4,5,6,7,8,9,10,11",
    "budget set search hard=80 channel=nowhere-at-all",
    "budget set search hard=80 owners=somebody",
    f"budget set search hard=80 owners={','.join(f'U0{n}' for n in range(11))}",
    "budget set search hard=80 mention=always",
    f"budget set search hard=80 scope=feature:{'x' * 300}",
    "budget remove",
    "budget remove search now",
    "budget remove serch",
    "budget remove defalt",
    "budget history search now",
    "budget suggest hard=5",
    "budget suggest scope=workspace:nowhere",
    "budget try search",
    "budget raise",
    "budget raise search",
    "budget raise default",
    "budget raise default to=900",
    "budget raise default to=900 to=800 until=2d",
    "budget raise default to=900 until=whenever",
    "budget raise default to=900 until=2020-01-01",
    "budget raise default to=900 until=300d",
    "budget raise default to=10 until=2d",
    "budget raise default to=900 until=2d limit=soft",
    "budget raise default to=900 until=2d limit=middle",
    "budget raise default too=900",
    "budget raise default to=900 frobnicate",
    "calendar lst",
    "calendar frobnicate",
    "calendar list now",
    "calendar add",
    "calendar add night",
    "calendar add night every fri",
    "calendar add night every fri for ages",
    "calendar add night every fri for 9999m",
    "calendar add night every fri 29:00 for 6h",
    "calendar add night every frid for 6h",
    "calendar add night every blue for 6h",
    "calendar add night every fri,1st for 6h",
    "calendar add night on for 6h",
    "calendar add night on 2026-13-01 for 6h",
    "calendar add night on 2020-01-01 for 6h",
    "calendar add night every fri for 6h zone=Mars/Base",
    "calendar add night every fri for 6h for=worspace:x",
    "calendar add night every fri for 6h for=workspace:nowhere",
    "calendar add night every fri for 6h zone=UTC zone=UTC",
    "calendar remove",
    "calendar remove night",
    "budget set search hard=80 scope=workspace:",
    "budget set search hard=80 scope=tag:team",
    "budget set search hard=many",
    "budget set search hard=1.000",
    "budget set search hard=12,5",
]

CHANGES = [
    "calendar list",
    "calendar add night every fri 22:00 for 6h",
    "calendar add night every fri 23:00 for 6h",
    "calendar list",
    "calendar remove night",
    "budget raise default to=900 until=2d because 取り込みのため",
    "budget history",
    "budget list",
]

REFUSED = [
    "budget set search hard=80",
    "budget raise default to=950 until=2d",
    "calendar add night every fri 22:00 for 6h",
    "fallback on minimal",
    "fallback auto on",
    "test-alert",
]


def english_in(message: Message) -> list[str]:
    """Remaining English in an answer and in its buttons and dialogs."""
    drawn = [text for block in message.blocks for text in texts_in(block)]
    return [found for text in (message.text, *drawn) for found in ENGLISH.findall(NOT_PROSE.sub(" ", text))]


def texts_in(block: object) -> list[str]:
    if isinstance(block, dict):
        return [text for key, value in block.items() if key != "value" for text in texts_in(value)]
    if isinstance(block, list):
        return [text for value in block for text in texts_in(value)]
    return [block] if isinstance(block, str) else []


async def left_of_english(services: Services, typed: list[str], user: str = ADMIN) -> dict[str, list[str]]:
    left = {}
    with in_language("ja"):
        for words in typed:
            message = await answer(services, member(user), words)
            assert problems(message.blocks, "message") == [], words
            if found := english_in(message):
                left[words] = found
    return left


@pytest.mark.parametrize("text", ["Nothing was changed.", "It is set in チャット: change it there"])
def test_an_english_sentence_would_be_seen(text: str) -> None:
    assert ENGLISH.search(NOT_PROSE.sub(" ", text))


@pytest.mark.parametrize(
    ("typed", "user"),
    [(HELP, DEVELOPER), (BUDGETS, ADMIN), (MISTAKES, ADMIN), (CHANGES, ADMIN), (REFUSED, DEVELOPER)],
    ids=["help", "budgets", "mistakes", "changes", "refusals"],
)
async def test_no_english_sentence_is_left_in_an_answer(polled: Services, typed: list[str], user: str) -> None:
    assert await left_of_english(polled, typed, user) == {}


async def test_before_the_first_poll_nothing_is_english_either(services: Services) -> None:
    weekly = "budget set search hard=80 period=week week_starts=sunday"
    assert await left_of_english(services, ["budget list", weekly, "budget suggest", "calendar list"]) == {}


@pytest.mark.parametrize("text", ["", "ages", "900d"])
def test_a_time_that_is_none_is_refused_in_japanese(text: str) -> None:
    with in_language("ja"), pytest.raises(DurationError) as refused:
        duration(text)
    assert ENGLISH.search(NOT_PROSE.sub(" ", str(refused.value))) is None


async def test_the_audit_trail_is_english_whoever_was_refused(polled: Services, engine: Engine) -> None:
    await left_of_english(polled, ["calendar remove night"], DEVELOPER)
    await asyncio.sleep(0)
    [(actor, detail)] = await until_audited(engine)
    assert actor == DEVELOPER
    assert detail.startswith("remove night: Nothing was changed: only the people named in CLAUDE_COST_ADMINS may")


async def until_audited(engine: Engine) -> list[tuple[str, str]]:
    for _ in range(200):
        if found := await asyncio.to_thread(refusals, engine):
            return found
        await asyncio.sleep(0.02)
    return []


async def test_the_doctor_answers_in_japanese_and_the_terminal_in_english(simulated: World) -> None:
    async with simulated.connected_bot(CLAUDE_COST_LANGUAGE="ja") as bot:
        await bot.cycle()
        message = await (await simulated.slack.command("doctor")).first_reply()
    assert english_in(Message([paragraph(*message.text.splitlines())])) == []
    assert "OK · データベース" in message.text
    finished = await simulated.command("doctor", CLAUDE_COST_LANGUAGE="ja")
    assert "alert channel" in finished.out
    assert "ボット" not in finished.out


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(minutes=2), timedelta(minutes=-9)])
def test_a_clock_is_judged_in_the_language_in_force(offset: timedelta) -> None:
    with in_language("ja"):
        found = judge_clock({"Slack": offset})
    assert ENGLISH.search(found.text) is None


def test_why_a_budget_counts_nothing_is_said_to_each_reader_in_their_language() -> None:
    with pytest.raises(NoMatchError) as refused:
        attributed(Scope(ScopeKind.PRODUCT, "chat"), AttributedNames({"code": "Claude Code"}, known=True))
    assert str(refused.value) == "Anthropic attributes nothing to the product chat, but to Claude Code."
    with in_language("ja"):
        assert str(refused.value) == "Anthropic の内訳に product chat はありません。あるのは Claude Code です。"
