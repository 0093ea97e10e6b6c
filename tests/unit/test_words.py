"""The words of an estimate: what people type, and the one sentence that answers a mistake."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.monthly_cost import Workload
from bot.pricing.words import WordsError, parse_workload, words_of

CARD = load_rate_card()


def mistake(words: str) -> str:
    with pytest.raises(WordsError) as caught:
        parse_workload(words, CARD)
    return str(caught.value)


def workload_or_sentence(words: str) -> Workload | str:
    try:
        return parse_workload(words, CARD)
    except WordsError as error:
        return str(error)


@pytest.mark.parametrize(
    "words",
    [
        "sonnet-4.6 requests=100k in=2000 out=500",
        "out=500 in=2000 requests=100_000 sonnet-4.6",
        "requests=100,000/month Sonnet 4.6 in=2k out=500",
        "Claude Sonnet 4.6 requests = 0.1m in=２０００ out=500",
        "claude-sonnet-4-6, requests=“100k”, in=‘2000’, out=500",
        "SONNET-4-6 REQUESTS=100K IN=2000 OUT=500",
        "anthropic.claude-sonnet-4-6 requests=100k in=2000 out=500",
        "sonnet 4.6, 100,000 requests per month, 2,000 tokens in, 500 out",
        "Sonnet 4.6 with 100k calls a month of 2k input tokens and 500 output tokens",
        "model=sonnet-4.6 calls=100k input=2000 output=500",
        "Claude 4.6 Sonnet requests=100k in=2000 out=500",
        "requests=100k claude 4.6 sonnet in=2000 out=500",
        "4.6 Sonnet requests=100k in=2000 out=500",
        "model=claude 4.6 sonnet requests=100k in=2000 out=500",
        "claude-4.6-sonnet requests=100k in=2000 out=500",
        "openrouter/anthropic/claude-sonnet-4.6 requests=100k in=2000 out=500",
        "claude-sonnet-4-6-20260217 requests=100k in=2000 out=500",
        "sonnet-4.6[1m] requests=100k in=2000 out=500",
        *(f"sonnet{dash}4.6 requests=100k in=2000 out=500" for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"),
    ],
)
def test_many_spellings_mean_the_same_workload(words: str) -> None:
    assert parse_workload(words, CARD) == parse_workload("sonnet-4.6 requests=100000 in=2000 out=500", CARD)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("claude 3.7 sonnet", "Sonnet 3.7"),
        ("claude 3.5 haiku", "Haiku 3.5"),
        ("claude 3.5 sonnet", "Sonnet 3.5"),
        ("claude 3 opus", "Opus 3"),
        ("opus-4.0", "Opus 4"),
        ("Claude Opus", "Opus 5.5"),
        ("opus[1m]", "Opus 5.5"),
        ("claude opus[1m]", "Opus 5.5"),
        ("claude-haiku-latest", "Haiku 5.5"),
        ("claude 2.1", "Claude 2.1"),
        ("instant-1", "Instant 1"),
    ],
)
def test_a_model_is_named_in_the_vendors_order_and_by_its_aliases(word: str, name: str) -> None:
    workload = parse_workload(f"{word} requests=100k in=2000 out=500", CARD)
    assert workload.model is not None
    assert workload.model.name == name
    assert parse_workload(words_of(workload), CARD) == workload


@pytest.mark.parametrize(
    "word", ["gpt-5", "o3", "gemini-3-pro", "llama-3", "deepseek-chat", "openai/gpt-5", "qwen3-coder"]
)
def test_another_vendors_model_is_refused_without_a_nearest_match(word: str) -> None:
    assert mistake(f"{word} requests=100k in=2000 out=500") == (
        f"{word} is not priced here: only Claude models are (fable, mythos, opus, sonnet, haiku)."
    )


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (
            "haiku 4.5, 10,000 documents, 8,000 japanese characters, out=500, in batches",
            "haiku-4.5 requests=10000 chars=8000 lang=ja out=500 batch",
        ),
        ("opus 1,000 conversations 10 turns 3,000 tokens in 800 tokens out", "opus requests=1k turns=10 in=3k out=800"),
        (
            "sonnet 500 requests/day 2000 in 10 out 1500 cached 80% cache hits",
            "sonnet requests=500/day in=2000 out=10 cached=1500 hit=80%",
        ),
        (
            "sonnet 20 requests per hour 1 in 1 out to=haiku 4.5 budget=1",
            "sonnet requests=20/hour in=1 out=1 to=haiku-4.5 target=1",
        ),
    ],
)
def test_plain_english_means_the_same_as_the_words(plain: str, words: str) -> None:
    assert parse_workload(plain, CARD) == parse_workload(words, CARD)


@pytest.mark.parametrize(
    ("word", "model_id"),
    [
        ("opus", "claude-opus-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("haiku", "claude-haiku-5-5"),
        ("fable", "claude-fable-5-2"),
        ("opus-5", "claude-opus-5"),
        ("claude-opus-5", "claude-opus-5"),
        ("opus4.7", "claude-opus-4-7"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
    ],
)
def test_a_bare_family_is_its_newest_model_and_a_version_is_that_version(word: str, model_id: str) -> None:
    model = parse_workload(f"{word} requests=1 in=1 out=1", CARD).model
    assert model is not None
    assert model.id == model_id


def test_a_hit_rate_is_a_share_or_a_percentage() -> None:
    for word in ("hit=95%", "hit=0.95", "hit=.95"):
        work = parse_workload(f"sonnet requests=1 in=2000 out=1 cached=1500 {word}", CARD)
        assert work.hit_rate == Decimal("0.95")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "No model is named"),
        ("requests=1 in=1 out=1", "No model is named"),
        ("sonet-4.6 requests=1 in=1 out=1", "sonet-4.6: did you mean sonnet-4.6?"),
        ("gpt-4 requests=1 in=1 out=1", "gpt-4 is not priced here: only Claude models are"),
        ("sonnet requests=100.000 in=1 out=1", "could be read in two ways: write 100000 or 100,000"),
        ("sonnet requests=1 in=1 out=1 cached=1 80%", "write hit=80%"),
        ("sonnet 500 in=1 out=1", "500 stands alone: say what it counts"),
        ("sonnet requests=1 in=1 out=1 cached=1 hit=80", "such as hit=80%"),
        ("sonnet resquests=1 in=1 out=1", "resquests= is not known here: did you mean requests=?"),
        ("sonnet requests=1 in=1 out=1 colour=red", "colour= is not known here: use requests=, in=, out="),
        ("sonnet requests=1 in=1 out=1 batsh", "batsh is not known here: did you mean batch?"),
        ("sonnet requests=1 in=1 out=1 opus", "opus is one word too many: sonnet is the model already"),
        ("sonnet in=1 out=1", "requests= is missing"),
        ("sonnet requests=1 out=1", "in= is missing"),
        ("sonnet requests=1 in=1", "out= is missing"),
        ("sonnet requests=1 in=1 out=", "out= has no value"),
        ("sonnet requests=0 in=1 out=1", "requests=0 costs nothing"),
        ("sonnet requests=1.5 in=1 out=1", "requests=1.5 is not a whole number"),
        ("sonnet requests=-5 in=1 out=1", "requests=-5 is not a number"),
        ("sonnet requests=many in=1 out=1", "requests=many is not a number"),
        ("sonnet requests=1/year in=1 out=1", "write /day, /week or /month"),
        ("sonnet requests=99999999999999999999 in=1 out=1", "is too large"),
        ("sonnet requests=1 in=1 in=2 out=1", "in= is given twice"),
        ("sonnet requests=1 in=1 out=1 batch=yes", "batch takes no value"),
        ("sonnet requests=1 in=1 out=1 cached=2", "cached=2 is more than in=1"),
        ("sonnet requests=1 in=1 out=1 hit=90%", "add cached=TOKENS"),
        ("sonnet requests=1 in=1 out=1 cached=1 hit=95", "hit=95 is no share"),
        ("sonnet requests=1 in=1 out=1 cached=1 hit=101%", "hit=101% is no share"),
        ("sonnet requests=1 in=1 out=1 cached=1 ttl=2h", "write ttl=5m or ttl=1h"),
        ("sonnet requests=1 in=1 chars=8000 lang=ja out=1", "in= and chars= both say how long the input is"),
        ("sonnet requests=1 chars=8000 out=1", "lang= is missing"),
        ("sonnet requests=1 chars=8000 lang=fr out=1", "write lang=en or lang=ja"),
        ("sonnet requests=1 in=1 lang=en out=1", "add chars=8000 or leave lang out"),
        ("opus requests=1 in=5 out=1 batch fast", "batches never run fast"),
        ("sonnet requests=1 in=5 out=1 fast", "has no fast mode"),
        ("haiku-4.5 requests=1 in=5 out=1 geo=us", "Haiku 4.5 does not take geo=us"),
        ("sonnet requests=1 in=5 out=1 geo=eu", "write geo=us or leave geo out"),
        ("sonnet requests=1 in=5 out=1 search=many", "search=many is not a number"),
        ("sonnet requests=1 in=5 out=1 search=5k", "too many for one request"),
        ("sonnet requests=1 in=1 out=1 turns=0", "turns=0 is no conversation"),
        ("requests=1 in=1 out=1 mix=sonnet:50,haiku:40", "sum to 90: they must sum to 100"),
        ("requests=1 in=1 out=1 mix=sonnet,haiku", "lacks a share"),
        ("requests=1 in=1 out=1 mix=sonnet:50,sonnet-5.5:50", "names sonnet-5.5 twice"),
        ("requests=1 in=1 out=1 mix=sonet:100", "did you mean sonnet?"),
        ("sonnet requests=1 in=1 out=1 target=700", "add to=haiku-4.5"),
        ("sonnet requests=1 in=1 out=1 to=haiku-4.5", "add target=700"),
        ("sonnet requests=1 in=1 out=1 target=1 to=sonnet", "to=sonnet is the model itself"),
        ("sonnet requests=1 in=1 out=1 peak=0.5x", "from 1x on"),
        ("sonnet requests=1 in=1 out=1 as=a/b", "as=a/b is no name"),
        ("sonnet requests=1 in=1 out=1 for=feature:a", "for= says whose usage an estimate is compared with"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence_with_the_remedy(words: str, sentence: str) -> None:
    answer = mistake(words)
    assert sentence in answer
    assert "\n" not in answer


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_the_sentence(text: str) -> None:
    assert workload_or_sentence(text)


WORDS = st.sampled_from(
    [
        "sonnet",
        "opus-4.7",
        "requests=",
        "requests=1k",
        "in=",
        "in=2000",
        "out=500",
        "cached=10",
        "hit=50%",
        "hit=x",
        "ttl=1h",
        "batch",
        "chars=800",
        "lang=ja",
        "turns=5",
        "mix=sonnet:50,haiku:50",
        "target=5",
        "to=haiku",
        "peak=3x",
        "as=x",
        "=",
        "/",
        "%",
        ",",
        "1e5",
        "∞",
        "½",
    ]
)


@given(st.lists(WORDS, max_size=10))
def test_no_mixture_of_words_raises_anything_but_the_sentence(words: list[str]) -> None:
    assert workload_or_sentence(" ".join(words))


@given(
    st.sampled_from(sorted(CARD.models)),
    st.integers(1, 10**12),
    st.sampled_from(["", "/day", "/week"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.one_of(st.none(), st.decimals(0, 1, places=4)),
    st.sampled_from(["5m", "1h"]),
    st.booleans(),
)
def test_a_workload_printed_as_words_is_read_back_the_same(
    model: str, requests: int, per: str, tokens_in: int, out: int, hit: Decimal | None, ttl: str, batch: bool
) -> None:
    words = f"{model} requests={requests}{per} in={tokens_in} out={out}"
    if tokens_in:
        words += f" cached={tokens_in} ttl={ttl}" + ("" if hit is None else f" hit={hit}")
    work = parse_workload(words + (" batch" if batch else ""), CARD)
    assert parse_workload(words_of(work), CARD) == work


@pytest.mark.parametrize(
    "words",
    [
        "mix=sonnet-4.6:33.3,haiku-4.5:66.7 requests=5/week chars=8000 lang=ja out=3 turns=4 peak=2.5x as=support-bot",
        "opus mix=sonnet-4.6:50%, haiku-4.5:50% requests=1 in=2 out=3 batch",
        "sonnet-4.6 requests=1 in=2 out=3 target=$700.50 to=haiku-4.5",
    ],
)
def test_the_rarer_words_are_read_back_the_same_too(words: str) -> None:
    work = parse_workload(words, CARD)
    assert parse_workload(words_of(work), CARD) == work


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (f"sonnet-4.6 requests={'9' * 4000} in=1 out=1", "This has 4,031 characters"),
        (f"sonnet-4.6 requests={'9' * 41} in=1 out=1", "A number here has more than 40 characters"),
        ("1," * 400, "A number here has more than 40 characters"),
        ("word " * 400, "This has 2,000 characters"),
    ],
)
def test_what_nobody_types_is_refused_before_it_is_read(words: str, sentence: str) -> None:
    with pytest.raises(WordsError, match=sentence):
        parse_workload(words, load_rate_card())
