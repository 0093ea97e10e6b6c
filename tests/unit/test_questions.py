"""What people ask in a sentence leads to the command that answers it, and never to one that changes something."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.words import parse_workload
from handlers.commands import SUBCOMMANDS, split_command
from handlers.mentions import command_of
from handlers.questions import SIZES, TOPICS, other_days

BOT = "U0CLAUDECOST"
NOVEMBER = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("what do we spend?", "status"),
        ("how much have we spent today?", "report today"),
        ("How much did Claude cost us last week?", "report last week"),
        ("what did we pay yesterday", "report yesterday"),
        ("who spent the most this week?", "report week by key"),
        ("which model is the most expensive?", "report month by model"),
        ("spend by feature last month", "report last month by feature"),
        ("which user costs most today?", "report today by user"),
        ("where will we end up?", "forecast"),
        ("what do you expect for November?", "forecast"),
        ("how much is left?", "status"),
        ("are we over budget?", "status"),
        ("how good is our cache hit rate this week?", "cache week"),
        ("which mode are we in?", "fallback status"),
        ("what are the prices of Claude?", "rates"),
        ("what would a support bot cost?", "help estimate"),
        ("今月いくら使った？", "report month"),
        ("昨日の費用は？", "report yesterday"),
        ("いくら使ってる？", "status"),
        ("月末の見込みは？", "forecast"),
        ("予算はあといくら残ってる？", "status"),
        ("先週はどのモデルにいくら使った？", "report last week by model"),
        ("how do I set a budget for my team?", "budget set"),
        ("we need a new budget", "budget set"),
        ("please raise the limit of search", "budget raise"),
        ("stop the alert", "alerts"),
        ("is this spike expected?", "alerts"),
        ("how do we spend less?", "digest week"),
        ("why is it so expensive today?", "digest today"),
        ("what happened yesterday?", "digest yesterday"),
        ("昨日はなぜ高かった？", "digest yesterday"),
        ("how do you work?", "help"),
        ("予算を設定", "budget set"),
        ("予算を10万円にしたい", "budget set"),
        ("予算を上げたい", "budget raise"),
        ("search の予算を400ドルに引き上げて", "budget raise"),
        ("上限はいくらに設定されてる？", "status"),
        ("予算オーバーしてる？", "status"),
        ("急増は想定内です", "alerts"),
        ("アラートを止めて", "alerts"),
        ("節約したい", "digest week"),
        ("使い方", "使い方"),
        ("使い方は？", "help"),
        ("予算", "予算"),
        ("how much did 10,000 requests to opus cost yesterday?", "report yesterday"),
        ("what would 10,000 requests a day on Opus cost?", "estimate 10,000 requests a day on opus in=2000 out=500"),
        ("Opus で1日1万リクエストだといくら？", "estimate opus で1日1万リクエスト in=2000 out=500"),
        ("haiku 月100万リクエストの費用は？", "estimate haiku 月100万リクエスト in=2000 out=500"),
        (
            "what would 5k calls/day to sonnet with 3000 tokens in and 200 tokens out cost us?",
            "estimate 5k calls/day sonnet with 3000 tokens in and 200 tokens out",
        ),
        ("status", "status"),
        ("report last week by key", "report last week by key"),
        ("estimate sonnet requests=100k in=2000 out=500", "estimate sonnet requests=100k in=2000 out=500"),
        ("", "help"),
        # Latin names stand beside Japanese words without a space.
        ("昨日opusにいくら使った？", "report yesterday"),
        ("なんでsearchは先週こんなに高かったの？", "digest last week"),
        ("なぜOpusの支出が増えた？", "digest today"),
        ("what's today's spend?", "report today"),
        ("what was yesterday’s bill?", "report yesterday"),
        ("what have we spent so far this month?", "report month"),
        ("what have we spent so far?", "report today"),
        ("why is it more expensive than yesterday?", "digest today"),
        ("why do we spend more than last week?", "digest week"),
        ("昨日より高いのはなぜ？", "digest today"),
        ("how much has search used today?", "report today"),
        ("what are our rate limits?", "limits"),
        ("what is our burn rate?", "status"),
        # Other days than those that a report has a word for.
        ("what did we spend the day before yesterday?", "status"),
        ("what did we pay the week before last?", "status"),
        ("what did we spend in the last 2 weeks?", "status"),
        ("what will we spend next month?", "status"),
        ("一昨日の費用は？", "status"),
        ("good morning", None),
        ("おはよう", None),
    ],
)
def test_a_question_leads_to_its_answer(asked: str, words: str | None) -> None:
    assert command_of(asked, BOT) == words
    assert command_of(f"<@{BOT}> {asked}", BOT) == words
    assert command_of(f"<@{BOT}>: {asked}") == words


@given(st.text(), st.sampled_from(["please ", "can you ", "", "so, "]))
def test_a_sentence_changes_nothing(text: str, before: str) -> None:
    words = command_of(f"{before}{text}", BOT)
    own_words = split_command(f"{before}{text}")[0] in {row.name for row in SUBCOMMANDS}
    if words is not None and not own_words and words.strip():
        begins = {"report", "status", "cache", "forecast", "rates", "help", "digest", "budget", *TOPICS}
        assert words.split()[0] in begins
        assert words.split()[0] != "budget" or words in ("budget set", "budget raise")
        assert words.split()[0] != "fallback" or words == "fallback status"


@pytest.mark.parametrize(
    "asked",
    [
        "what would 10,000 requests a day on Opus cost?",
        "how much do 5k calls/day to sonnet 4.6 cost",
        "Opus で1日1万リクエストだといくら？",
        "見積もり opus 1日1万リクエスト",
        "sonnet 4.6 で月10万リクエストの場合、費用は？",
    ],
)
def test_a_question_about_a_workload_can_be_priced(asked: str) -> None:
    words = command_of(asked) or ""
    name, rest = split_command(words)
    assert name == "estimate"
    workload = parse_workload(rest if SIZES in rest else f"{rest} {SIZES}", load_rate_card())
    assert workload.input_tokens == 2000


@pytest.mark.parametrize(
    ("typed", "name", "rest"),
    [
        ("予算", "budget", ""),
        ("予算 設定", "budget", "set"),
        ("予算 設定 checkout", "budget", "set checkout"),
        ("予算　引き上げ search", "budget", "raise search"),
        ("見積もり", "estimate", ""),
        ("見積もり opus", "estimate", "opus"),
        ("ヘルプ 予算", "help", "予算"),
        ("状況", "status", ""),
        ("アラート", "alerts", ""),
    ],
)
def test_japanese_words_stand_for_commands(typed: str, name: str, rest: str) -> None:
    assert split_command(typed) == (name, rest)


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ("what did we spend the day before yesterday?", "the day before yesterday"),
        ("what did we spend in October?", "october"),
        ("what did search cost on 3 days ago", "3 days ago"),
        ("what did we spend in the last 7 days?", "last 7 days"),
        ("why was Monday so expensive?", "monday"),
        ("what did we pay on 2026-11-12?", "2026-11-12"),
        ("what did we pay last year?", "last year"),
        ("一昨日の費用は？", "一昨日"),
        ("10月の費用は？", "10月"),
        ("過去7日間の費用は？", "過去7日間"),
        ("what did we spend in November?", None),
        ("11月の費用は？", None),
        ("what may we spend today?", None),
        ("what did claude-opus-4-8 cost last month?", None),
        ("what do we spend?", None),
    ],
)
def test_days_that_no_word_of_a_report_means_are_found(asked: str, days: str | None) -> None:
    assert other_days(asked, NOVEMBER) == days
