"""Advice to make a workload cheaper: for the same text, largest saving first, all of it possible."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.alternatives import Alternative
from bot.pricing.card import load_rate_card
from bot.pricing.estimate import Estimate, estimate
from bot.pricing.estimate_text import estimate_json, estimate_text
from bot.pricing.monthly_cost import Ttl, expected_hit_rate, hit_rate_with
from bot.pricing.words import parse_workload, words_of

TODAY = date(2026, 11, 23)
CARD = load_rate_card()
CHATBOT = "sonnet-4.6 requests=100k in=2000 out=500"
SERVED = sorted(model.id for model in CARD.models.values() if model.retires is None or model.retires >= TODAY)
TTLS: tuple[Ttl, ...] = ("5m", "1h")


def estimated(words: str) -> Estimate:
    return estimate(parse_workload(words, CARD), CARD, TODAY)


def on_model(result: Estimate, model: str) -> Alternative:
    return next(way for way in result.alternatives if way.label == CARD.models[model].name)


# ---- the same text


def test_a_model_that_makes_more_tokens_of_the_text_is_not_called_cheaper() -> None:
    work = "sonnet-4.6 requests=100k in=20000 out=100 cached=19000 ttl=1h hit=99.9%"
    opus = on_model(estimated(work), "claude-opus-5-5")
    # For equal counts it is 3 % cheaper, for the same text 25 % more expensive.
    assert opus.monthly_usd < Decimal("1030.83") < opus.compared_usd
    assert opus.compared_usd / Decimal("1030.83") > Decimal("1.25")
    assert "Opus 5.5" not in estimate_text(estimated(work))


def test_the_json_object_is_ordered_by_the_same_text_too() -> None:
    ways = estimate_json(estimated(f"{CHATBOT} cached=1500"))["alternatives"]
    compared = [Decimal(way["same_text_monthly_usd"] or way["monthly_usd"]) for way in ways]
    assert compared == sorted(compared)


@given(st.sampled_from(SERVED), st.sampled_from(SERVED), st.integers(1, 5_000), st.integers(0, 500))
def test_two_models_are_compared_alike_from_either_side(a: str, b: str, texts: int, answers: int) -> None:
    # Multiples of ten, so that 1.3 times as many tokens are whole ones.
    counts = {1: (texts * 130, answers * 10), 2: (texts * 169, answers * 13)}

    def compared(asked: str, other: str) -> tuple[Decimal, Decimal]:
        tokens_in, out = counts[CARD.models[asked].tokenizer]
        words = f"{other} mix={asked}:100 requests=1k in={tokens_in} out={out} cached={tokens_in} hit=70%"
        found = estimated(words)
        way = next(w for w in found.alternatives if w.changes == {"model"} and w.models == (other,))
        return found.monthly_usd, way.compared_usd

    if a != b:
        here, there = compared(a, b)
        assert compared(b, a) == (there, here)


# ---- the hit rate


def test_a_rare_request_finds_no_cache_and_caching_is_advised_against() -> None:
    rare = estimated("sonnet-4.6 requests=30 in=20000 out=500 cached=15000")
    assert estimate_json(rare)["monthly_usd"] == "2.36"
    assert any("Assumed hit rate: 0%" in note and "only every 24 h" in note for note in rare.notes)
    assert any(advice.what == "Leave caching out" for advice in rare.advice)


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ("requests=100k in=2000 out=500 cached=1500", "100%"),
        ("requests=10k in=2000 out=500 cached=1500", "69%"),
        ("requests=10k in=2000 out=500 cached=1500 ttl=1h", "100%"),
        ("requests=20/day in=2000 out=500 cached=1500", "7%"),
        ("requests=20/day in=2000 out=500 cached=1500 ttl=1h", "57%"),
    ],
)
def test_the_hit_rate_that_nobody_gave_follows_from_rate_and_ttl_and_is_said(words: str, rate: str) -> None:
    result = estimated(f"sonnet-4.6 {words}")
    assert any(note.startswith(f"Assumed hit rate: {rate}") for note in result.notes)
    assert f"hit rate {rate} assumed" in estimate_text(result)


def test_each_part_of_a_mix_has_a_cache_of_its_own() -> None:
    mixed = estimated("mix=sonnet-4.6:90,sonnet-5.5:10 requests=20k in=2000 out=500 cached=1500")
    assert any("Assumed hit rate on Sonnet 4.6: 88%" in note for note in mixed.notes)
    assert any("Assumed hit rate on Sonnet 5.5: 21%" in note for note in mixed.notes)


def test_a_given_hit_rate_that_the_requests_make_unlikely_is_doubted() -> None:
    assert any(
        "would hit in 7% only" in note
        for note in estimated("sonnet-4.6 requests=20/day in=2000 out=500 cached=1500 hit=90%").notes
    )


@given(st.fractions(min_value=Fraction(1, 10), max_value=10**9), st.fractions(min_value=1, max_value=1000))
def test_more_requests_and_a_longer_life_never_lower_the_hit_rate(requests: Fraction, times: Fraction) -> None:
    for ttl in TTLS:
        assert 0 <= expected_hit_rate(requests, ttl) <= expected_hit_rate(requests * times, ttl) <= 1
    assert expected_hit_rate(requests, "5m") <= expected_hit_rate(requests, "1h")


@given(st.integers(1, 10**7), st.integers(0, 100), st.sampled_from(TTLS))
def test_a_given_hit_rate_falls_with_a_shorter_life_and_not_with_a_longer_one(n: int, hit: int, ttl: Ttl) -> None:
    work = parse_workload(f"sonnet-4.6 requests={n} in=2000 out=1 cached=1500 hit={hit}% ttl={ttl}", CARD)
    other = hit_rate_with("1h" if ttl == "5m" else "5m", work)
    assert other is not None
    given_rate = Decimal(hit) / 100
    assert (given_rate <= other <= 1) if ttl == "5m" else (0 <= other <= given_rate)


# ---- what is offered


def test_the_other_life_of_the_cache_is_offered() -> None:
    result = estimated("haiku-5.5 requests=100k in=2000 out=500 cached=1500 hit=50% ttl=1h")
    line = next(advice for advice in result.advice if "ttl=5m" in advice.what)
    assert line.saves_usd == Decimal("5.625")
    assert not any(advice.what == "Leave caching out" for advice in result.advice)


def test_an_hour_is_offered_where_five_minutes_are_too_short() -> None:
    result = estimated("sonnet-4.6 requests=3k in=20000 out=100 cached=19000")
    assert any("ttl=1h" in advice.what for advice in result.advice)


def test_caching_is_offered_where_nobody_asked_for_it_and_says_what_it_assumes() -> None:
    result = estimated("haiku-5.5 requests=1m in=20000 out=100")
    first = result.advice[0]
    assert first.monthly_usd == Decimal("450.70")
    assert "cached=18000" in first.what
    assert "90% of it is always the same" in first.what
    assert "99%" in first.what
    assert "in batches too, where hits are best effort: $225.35" in first.sentence


def test_caching_is_not_offered_below_the_shortest_prompt_that_is_cached() -> None:
    assert not any("ache" in advice.what for advice in estimated("haiku-4.5 requests=1m in=4000 out=10").advice)
    assert any("ache" in advice.what for advice in estimated("haiku-4.5 requests=1m in=8000 out=10").advice)


def test_models_of_one_price_are_listed_once() -> None:
    labels = [way.label for way in estimated(CHATBOT).alternatives]
    assert "Fable 5.2" in labels
    assert not any(label.startswith("Mythos") for label in labels)


def test_what_costs_more_is_no_advice_and_stays_in_the_json_object() -> None:
    result = estimated(CHATBOT)
    assert "Opus 5.5" not in estimate_text(result)
    assert any(way["label"] == "Opus 5.5" for way in estimate_json(result)["alternatives"])


def test_a_conversation_shorter_than_the_cache_takes_gets_no_advice_to_cache() -> None:
    talk = estimated("haiku-4.5 requests=1000 in=100 out=50 turns=5")
    assert not any("Cache" in advice.what for advice in talk.advice)


def test_workloads_of_different_kinds_get_different_first_advice() -> None:
    kinds = [
        CHATBOT,
        f"{CHATBOT} cached=1500 hit=10% batch",
        "haiku-5.5 requests=1m in=20000 out=100",
        "sonnet-4.6 requests=1000 in=500 out=300 turns=20",
        "opus-5.5 requests=10k in=2000 out=500 fast",
        "haiku-5.5 requests=100k in=2000 out=500 cached=1500 hit=50% ttl=1h batch",
        "sonnet-4.6 requests=1k in=100 out=50 turns=2",
    ]
    assert len({estimated(words).advice[0].what for words in kinds}) == len(kinds)


def test_the_text_is_short() -> None:
    lines = [line for line in estimate_text(estimated(f"{CHATBOT} cached=1500")).splitlines() if line]
    assert len(lines) <= 17
    assert lines[0].startswith("$945.00 a month")


# ---- what cannot work


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("opus-3 requests=100 in=2000 out=500", "Opus 3 was retired on 2026-01-05"),
        ("opus requests=100 in=2m out=500", "Opus 5.5 reads at most 1,000,000 tokens"),
        ("haiku-4.5 requests=100 in=200001 out=500", "Haiku 4.5 reads at most 200,000 tokens"),
        ("haiku-4.5 requests=100 in=199900 out=500", "Prompt and answer have 200,400 tokens"),
        ("haiku-4.5 requests=100 in=100 out=64001", "Haiku 4.5 answers with at most 64,000 tokens"),
        ("haiku requests=100 in=1000 out=200k", "Haiku 5.5 answers with at most 128,000 tokens"),
        ("haiku-4.5 requests=10 in=20000 out=1000 turns=20", "Haiku 4.5 reads at most 200,000 tokens"),
        ("haiku-4.5 requests=100k in=6000 out=10 cached=4000", "Nothing is cached on Haiku 4.5"),
        ("opus-4.7 requests=100 in=100 out=10 fast", "Fast mode of Opus 4.7 ended on 2026-07-23"),
    ],
)
def test_what_cannot_work_comes_before_the_price(words: str, first: str) -> None:
    text = estimate_text(estimated(words))
    assert text.startswith(first)
    assert " a month: " in text


def test_no_advice_is_for_what_cannot_work() -> None:
    retired = estimated("opus-3 requests=100 in=2000 out=500")
    assert retired.advice
    assert all(advice.models for advice in retired.advice)
    assert "half of the requests" not in estimate_text(retired)
    endless = estimated("opus requests=100 in=2m out=500k")
    assert endless.advice == ()
    # 195,000 tokens fit into Haiku 4.5; the same text is 253,500 on the newer ones, which read a million.
    assert estimated("haiku-4.5 requests=100 in=195k out=100").advice


@st.composite
def workloads(draw: st.DrawFn) -> str:
    tokens_in = draw(st.integers(1, 1_100_000))
    words = [
        draw(st.sampled_from([*sorted(CARD.models), "mix=sonnet-4.6:30,haiku-5.5:70", "mix=opus-4.5:50,haiku-4.5:50"])),
        f"requests={draw(st.integers(1, 10_000_000))}",
        f"in={tokens_in}",
        f"out={draw(st.integers(0, 130_000))}",
        draw(st.sampled_from(["", "batch", "search=2", "search=0.5 batch"])),
    ]
    if draw(st.booleans()):
        words.append(f"cached={draw(st.integers(1, tokens_in))} ttl={draw(st.sampled_from(TTLS))}")
        words.append(draw(st.sampled_from(["", "hit=0", "hit=35%", "hit=1"])))
    if draw(st.booleans()):
        words.append(f"turns={draw(st.integers(1, 8))}")
    return " ".join(words)


@given(workloads())
def test_advice_saves_and_what_saves_most_comes_first(words: str) -> None:
    result = estimated(words)
    assert len(result.advice) <= 3
    same = [advice for advice in result.advice if not advice.models]
    others = [advice for advice in result.advice if advice.models]
    assert result.advice == (*same, *others)
    for lines in (same, others):
        assert all(a.saves_usd >= b.saves_usd for a, b in pairwise(lines))
    for advice in result.advice:
        assert advice.monthly_usd < result.monthly_usd
        assert advice.saves_usd == result.monthly_usd - advice.monthly_usd
        assert advice.with_more is None or advice.with_more[1] < result.monthly_usd
    working = [way for way in result.alternatives if way.works and "model" not in way.changes]
    if same:
        assert same[0].monthly_usd == min(way.compared_usd for way in working)


def test_batches_and_caching_together_are_shown_in_the_first_line() -> None:
    sentence = estimated(CHATBOT).advice[0].sentence
    assert sentence.startswith("Send in batches, results within 24 hours: $675.00, saves $675.00 (-50%)")
    assert sentence.endswith("; with the caching below: $435.11 (-68%)")


# ---- terms


def test_the_last_day_of_fast_mode_is_named() -> None:
    assert "Fast mode of Opus 4.8 ends on 2026-11-30." in estimated("opus-4.8 requests=1 in=9 out=9 fast").notes
    over = estimate(parse_workload("opus-4.8 requests=1k in=1k out=1k fast", CARD), CARD, date(2026, 12, 1))
    assert over.monthly_usd == 30
    assert over.problems == ("Fast mode of Opus 4.8 ended on 2026-11-30: this is the price at standard speed.",)


def test_fast_mode_has_its_own_prices_and_standard_speed_is_offered() -> None:
    fast = estimated("opus-5.5 requests=1000 in=50000 out=8000 fast")
    assert fast.monthly_usd == 720
    assert any("standard speed" in advice.what for advice in fast.advice)
    batch = next(way for way in fast.alternatives if way.label == "Opus 5.5, batch")
    assert batch.monthly_usd == 180


def test_a_cache_in_fast_mode_costs_the_same_multiples() -> None:
    lines = {
        line.kind: line.usd_per_mtok for line in estimated(f"opus-5.5 {CHATBOT[11:]} cached=1500 hit=50% fast").lines
    }
    assert lines["cache_write_5m"] == 10
    assert lines["cache_read"] == Decimal("0.4")


def test_inference_in_the_us_costs_a_tenth_more_and_leaves_out_models_without_it() -> None:
    here = estimated(f"{CHATBOT} geo=us")
    assert here.monthly_usd == 1485
    assert all(CARD.models[model].us_inference for way in here.alternatives for model in way.models)


def test_web_searches_cost_ten_dollars_a_thousand_and_no_less_in_batches() -> None:
    searching = estimated(f"{CHATBOT} search=2")
    assert searching.monthly_usd == 1350 + 2000
    line = next(line for line in searching.lines if line.kind == "web_search")
    assert (line.tokens, line.usd) == (200_000, Decimal(2000))
    assert estimated(f"{CHATBOT} search=2 batch").monthly_usd == 675 + 2000
    batch = [way for way in estimate_json(searching)["alternatives"] if way["label"] == "Haiku 5.5, batch"]
    assert [way["monthly_usd"] for way in batch] == ["2022.50"]
    assert estimated("sonnet-4.6 requests=1k in=1 out=0 turns=10 search=0.5").lines[-1].tokens > 0


def test_a_conversation_with_a_common_prefix_sends_it_in_each_turn() -> None:
    talk = estimated("sonnet-4.6 requests=10k in=300 out=200 turns=3 cached=15000 hit=100%")
    tokens = {(line.kind, line.resent): line.tokens for line in talk.lines}
    assert tokens == {
        ("input", False): 9_000_000,
        ("cache_read", False): 450_000_000,
        ("output", False): 6_000_000,
        ("input", True): 15_000_000,
    }
    assert any("after a prefix of 15,000 tokens" in note for note in talk.notes)
    bare = next(way for way in talk.alternatives if way.label == "Sonnet 4.6, no caching")
    assert bare.monthly_usd == talk.monthly_usd + 450 * (Decimal(3) - Decimal("0.3"))


@pytest.mark.parametrize(
    "words",
    [
        "opus-5.5 requests=100000 in=2000 out=500 geo=us fast",
        "sonnet-4.6 requests=5 in=10 out=3 cached=5000 turns=4 search=1.5",
    ],
)
def test_the_new_words_survive_a_round_trip(words: str) -> None:
    work = parse_workload(words, CARD)
    assert parse_workload(words_of(work), CARD) == work


def test_what_a_way_costs_and_what_it_saves_add_up_to_the_estimate_to_the_cent() -> None:
    asked = estimated("sonnet-4.6 requests=100k in=2000 out=500 cached=1500 hit=90%")
    assert asked.advice[0].sentence.startswith(
        "Send in batches, results within 24 hours: $498.38, saves $498.37 (-50%)"
    )
