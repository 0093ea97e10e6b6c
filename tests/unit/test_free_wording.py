"""Words in their plain form skip the patterns of free wording, and are read as those would read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing import word_split
from bot.pricing.card import load_rate_card
from bot.pricing.model_ids import FAMILIES, spelled
from bot.pricing.model_spellings import read_spelling
from bot.pricing.plain_words import single_words
from bot.pricing.word_split import WordsError

CARD = load_rate_card()

numbers = st.one_of(st.integers(0, 10**7).map(str), st.sampled_from(["0", "1.5m", "100k", "2.50k", "007", "5"]))
models = st.sampled_from(["sonnet", "opus-4.8", "claude-haiku-4-5", "claude-3-5-sonnet", "claude-2.1", *CARD.models])
plain_words = st.one_of(
    st.builds(lambda n, per: f"requests={n}{per}", numbers, st.sampled_from(["", "/day", "/week", "/month"])),
    st.builds(lambda key, n: f"{key}={n}", st.sampled_from(["in", "out", "cached"]), numbers),
    st.builds(lambda n, sign: f"hit={n}{sign}", st.integers(0, 200), st.sampled_from(["", "%"])),
    st.sampled_from(["ttl=5m", "ttl=1h"]),
    st.builds(lambda n: f"turns={n}", st.integers(0, 2000)),
)


@given(st.lists(plain_words, max_size=7), st.one_of(st.none(), models), st.data())
def test_plain_words_are_what_free_wording_makes_of_them(
    words: list[str], model: str | None, data: st.DataObject
) -> None:
    words = data.draw(st.permutations([*words, *([] if model is None else [model])]))
    text = " ".join(words)
    assert word_split.plain_words(text, CARD) == words
    assert single_words(text, CARD) == words


@pytest.mark.parametrize(
    "text",
    [
        "sonnet 4.6 in=1",
        "in = 2000",
        "in=2000 monthly",
        "opus haiku",
        "opus-9",
        "opus[1m]",
        "batch",
        "in=2,000",
    ],
)
def test_everything_else_is_free_wording(text: str) -> None:
    assert word_split.plain_words(text, CARD) is None


def test_a_workload_in_sentences_is_still_read() -> None:
    split = word_split.split_words("100k requests a month on Sonnet 4.6, 2000 tokens in and 500 out", CARD)
    assert (split.model_word, split.values) == ("sonnet-4.6", {"requests": "100k/month", "in": "2000", "out": "500"})
    with pytest.raises(WordsError):
        word_split.split_words("sonnet 5 users", CARD)


names = st.builds(
    lambda start, family, joint, version: start + family + "".join(f"{joint}{number}" for number in version),
    st.sampled_from(["", "claude-", "claude ", "claude.", "claude-claude-"]),
    st.sampled_from([*FAMILIES, "sonata", "claude", ""]),
    st.sampled_from(["-", ".", " ", "", "--"]),
    st.lists(st.sampled_from(["0", "1", "4", "5", "10", "99", "100", "04", "20250929", "x"]), max_size=3),
)


@given(names)
def test_a_plain_model_name_is_read_as_by_the_patterns(name: str) -> None:
    assert spelled(name) == read_spelling(name.strip())
