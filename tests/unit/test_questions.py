"""What people ask in a sentence leads to the command that answers it, and never to one that changes something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.commands import SUBCOMMANDS, split_command
from handlers.mentions import TOPICS, command_of

BOT = "U0CLAUDECOST"


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
        ("status", "status"),
        ("report last week by key", "report last week by key"),
        ("estimate sonnet requests=100k in=2000 out=500", "estimate sonnet requests=100k in=2000 out=500"),
        ("", "help"),
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
        assert words.split()[0] in {"report", "status", "cache", "forecast", "rates", "help", *TOPICS} - {"fallback on"}
        assert words.split()[0] != "fallback" or words == "fallback status"
