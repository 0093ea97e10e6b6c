"""Typed text from phones, Macs and Slack means the same as from a plain keyboard."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.parsing import BudgetWordsError, budget_of, named_first, split_budget_words
from bot.modes.changes import switch_words
from bot.pricing.card import load_rate_card
from bot.pricing.words import parse_workload
from bot.typed_text import cleaned, nearest, readable, split_reason, words_in

CARD = load_rate_card()


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        *((f"{left}minimal{right}", "minimal") for left, right in ("“”", "„“", "‘’", "‚‛", "«»", "‹›", "``", '""')),
        *((f"test{dash}alert", "test-alert") for dash in "‐‑‒–—―−﹘﹣－"),
        *((f"in{space}2000", "in 2000") for space in "\u00a0\u202f\u2009\u3000\u2003\t\n\u2028"),
        *((f"min{unseen}imal", "minimal") for unseen in "\u200b\u200d\u200f\u202a\u202e\u2060\u2066\ufeff\u00ad"),
        ("ｓｔａｔｕｓ　２０００％＝", "status 2000%="),
        ("<http://sonnet-4.6|sonnet-4.6>", "sonnet-4.6"),
        ("<https://status.anthropic.com>", "https://status.anthropic.com"),
        ("<tel:100000|100000>", "100000"),
        ("<@U0ANNA0001|anna>", "<@U0ANNA0001|anna>"),
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        ("status.", "status"),
        ("status!!", "status"),
        ("really?", "really"),
        ("状況。", "状況"),
        ("for 2 hours.", "for 2 hours"),
        ("*sonnet 4.6* _of_ ~today~", "sonnet 4.6 of today"),
        ("wrkspc_01 Europe/Berlin a_b -5 .5", "wrkspc_01 Europe/Berlin a_b -5 .5"),
        ("2026-11-01..2026-11-05", "2026-11-01..2026-11-05"),
        ("2³ ½", "2³ ½"),
        ("2*1000 100 ~ 200", "2*1000 100 ~ 200"),
    ],
)
def test_typed_text_is_made_plain(typed: str, plain: str) -> None:
    assert cleaned(typed) == plain


@given(st.text(max_size=80))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)


@given(st.text(alphabet="<>|&;ampltg@#U1http:/*_~.!“ ", max_size=60))
def test_cleaning_twice_changes_nothing_in_markup_either(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9=:/%$.,+_-]{0,12}[A-Za-z0-9%]", fullmatch=True), max_size=6))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    assert cleaned(" ".join(words)) == " ".join(words)


def test_words_lose_their_commas_and_lone_dashes() -> None:
    assert words_in("month, — by key;") == ["month", "by", "key"]


@pytest.mark.parametrize(
    ("typed", "before", "reason"),
    [
        ("on minimal because *cost* is “high”", "on minimal", "*cost* is “high”"),
        ("on — Because: we, must!", "on —", "we, must!"),
        ("off because <https://status.anthropic.com|status> says so", "off", "status says so"),
        ("off because <@U0ANNA0001|anna> and <#C1|ops> asked", "off", "@anna and #ops asked"),
        ("off because a &lt;b&gt; &amp;lt;", "off", "a <b> &lt;"),
        ("off", "off", ""),
    ],
)
def test_a_reason_is_kept_as_it_was_typed(typed: str, before: str, reason: str) -> None:
    assert split_reason(typed) == (before, reason)


def test_a_mention_of_nobody_known_stays_text() -> None:
    assert readable("<@U0ANNA0001> <!channel>") == "<@U0ANNA0001> <!channel>"


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,30}", fullmatch=True))
def test_a_name_of_a_budget_is_not_damaged(name: str) -> None:
    assert named_first(f"{name} hard=1")[0] == name
    assert named_first(f"“{name}”, hard=1")[0] == name


UNSEEN = "\u200b\u200c\u200d\u200e\u2060\u2066\ufeff\u00ad"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
SPACES = "\u00a0\u202f\u2009\u3000"
QUOTES = (("“", "”"), ("„", "“"), ("‘", "’"), ("«", "»"), ("`", "`"), ("‹", "›"))
ENDS = ("", ".", "!", " ", "。", "…", ".\u200b")


def phoned(line: str, chance: random.Random) -> str:
    """The line as some phone might send it."""
    words = []
    for word in line.split(" "):
        if chance.random() < 0.3:
            left, right = chance.choice(QUOTES)
            key, equals, value = word.rpartition("=")
            word = f"{key}{equals}{left}{value}{right}"
        if chance.random() < 0.2:
            word = f"*{word}*"
        if chance.random() < 0.2:
            word = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in word)
        word = "".join(chance.choice(DASHES) if c == "-" and chance.random() < 0.6 else c for c in word)
        if chance.random() < 0.3:
            at = chance.randint(0, len(word))
            word = word[:at] + chance.choice(UNSEEN) + word[at:]
        words.append(word)
    spaced = "".join(word + (chance.choice(SPACES) if chance.random() < 0.4 else " ") for word in words)
    return spaced.rstrip() + chance.choice(ENDS)


WORKLOADS = (
    "sonnet-4.6 requests=100k in=2000 out=500",
    "opus-4.8 requests=500/day in=2k out=500 cached=1500 hit=95% ttl=1h batch",
    "mix=sonnet-4.6:50,haiku-4.5:50 requests=1.5m in=2000 out=500 peak=20x",
    "haiku-4.5 requests=10k chars=8000 lang=ja out=500 as=support-bot",
    "claude-opus-4-8 requests=1000 in=3000 out=800 turns=10",
    "sonnet-4.6 requests=100k in=2000 out=500 target=700 to=haiku-4.5",
    "sonnet-4.6 100k requests a month 2000 tokens in 500 tokens out",
)
BUDGETS = (
    "search scope=workspace:wrkspc_01ABC period=week soft=50 hard=1000 zone=Europe/Berlin",
    "ops-team hard=120.50 thresholds=50,75 week_starts=sunday",
)
SWITCHES = ("minimal", "minimal for 2h", "for 90m", "degraded for 1h30m")


@given(st.sampled_from(WORKLOADS), st.randoms(use_true_random=False))
def test_an_estimate_from_a_phone_means_the_same(line: str, chance: random.Random) -> None:
    assert parse_workload(phoned(line, chance), CARD) == parse_workload(line, CARD)


@given(st.sampled_from(BUDGETS), st.randoms(use_true_random=False))
def test_a_budget_from_a_phone_means_the_same(line: str, chance: random.Random) -> None:
    assert budget_of(*split_budget_words(phoned(line, chance))) == budget_of(*split_budget_words(line))


@given(st.sampled_from(SWITCHES), st.randoms(use_true_random=False))
def test_a_switch_from_a_phone_means_the_same(line: str, chance: random.Random) -> None:
    assert switch_words(phoned(line, chance)) == switch_words(line)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("search, hard = $ 1 000, soft: 50", "search hard=1000 soft=50"),
        ("search --hard=100 USD", "search hard=100"),
        ("search hard=1 000.50 thresholds=50 %, 75 %", "search hard=1000.50 thresholds=50,75"),
        ("search — hard=100.", "search hard=100"),
    ],
)
def test_a_budget_in_everyday_writing_means_the_same(typed: str, plain: str) -> None:
    assert budget_of(*split_budget_words(typed)) == budget_of(*split_budget_words(plain))


@pytest.mark.parametrize("typed", ["search hard=1.000", "search hard=499,50"])
def test_an_amount_of_two_readings_stays_refused(typed: str) -> None:
    with pytest.raises(BudgetWordsError):
        budget_of(*split_budget_words(typed))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("stat", "status"),
        ("STAUTS", "status"),
        ("repot", "report"),
        ("re", None),
        ("r", None),
        ("status", "status"),
        ("zebra", None),
        ("", None),
    ],
)
def test_the_nearest_word_is_one_that_is_begun_or_the_most_similar(word: str, meant: str | None) -> None:
    assert nearest(word, ["status", "report", "Rates"]) == meant


def test_the_nearest_word_is_given_as_it_is_written() -> None:
    assert nearest("ratse", ["Rates"]) == "Rates"
    assert nearest("rates", []) is None
