"""The estimate of a workload: reference figures, the arithmetic of caching and batch, what is said beside them."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.estimate import Estimate, estimate
from bot.pricing.estimate_text import estimate_json, estimate_text
from bot.pricing.monthly_cost import break_even
from bot.pricing.words import parse_workload

TODAY = date(2026, 11, 23)
CARD = load_rate_card()
CHATBOT = "sonnet-4.6 requests=100k in=2000 out=500"


def estimated(words: str, on: date = TODAY) -> Estimate:
    return estimate(parse_workload(words, CARD), CARD, on)


def monthly(words: str) -> str:
    return str(estimate_json(estimated(words))["monthly_usd"])


@pytest.mark.parametrize(
    ("words", "usd"),
    [
        (CHATBOT, "1350.00"),
        ("opus-4.7 requests=100k in=2000 out=500", "2250.00"),
        ("haiku-4.5 requests=10k in=12000 out=500", "145.00"),
        ("haiku-4.5 requests=10k in=12000 out=500 batch", "72.50"),
        ("opus-4.7 requests=1000 in=50000 out=8000", "450.00"),
        (f"{CHATBOT} cached=1500", "945.00"),
        (f"{CHATBOT} cached=1500 batch", "472.50"),
        ("sonnet-5.5 requests=100k in=2000 out=500", "900.00"),
        ("opus-5.5 requests=100k in=2000 out=500", "1800.00"),
        ("haiku-5.5 requests=100k in=2000 out=500", "45.00"),
        ("fable-5.2 requests=100k in=2000 out=500", "3600.00"),
        ("haiku-5.5 requests=10k in=12000 out=500", "14.50"),
        ("haiku-5.5 requests=10k in=12000 out=500 batch", "7.25"),
        ("opus-5.5 requests=1000 in=50000 out=8000", "360.00"),
        ("fable requests=1000 in=50000 out=8000", "720.00"),
    ],
)
def test_the_reference_workloads_cost_what_the_price_pages_say(words: str, usd: str) -> None:
    assert monthly(words) == usd


@pytest.mark.parametrize(
    ("rate", "usd"),
    [
        ("100%", "945.00"),
        ("95%", "970.88"),
        ("90%", "996.75"),
        ("80%", "1048.50"),
        ("50%", "1203.75"),
        ("20%", "1359.00"),
        ("0%", "1462.50"),
    ],
)
def test_a_miss_is_billed_as_a_write(rate: str, usd: str) -> None:
    assert monthly(f"{CHATBOT} cached=1500 hit={rate}") == usd


def test_a_one_hour_write_costs_twice_the_input() -> None:
    lines = {line.kind: line for line in estimated(f"{CHATBOT} cached=1500 hit=0 ttl=1h").lines}
    assert lines["cache_write_1h"].usd_per_mtok == 6
    assert "cache_write_5m" not in lines


def test_a_day_and_a_week_become_a_month_of_thirty_days() -> None:
    assert monthly("sonnet-4.6 requests=100/day in=2000 out=500") == monthly("sonnet-4.6 requests=3000 in=2000 out=500")
    week = estimated("sonnet-4.6 requests=7/week in=1000000 out=0")
    assert week.lines[0].tokens == 30_000_000
    assert any("30 days" in note for note in week.notes)


def test_a_prompt_below_the_minimum_is_not_cached_and_that_is_said() -> None:
    opus = estimated("opus-4.7 requests=100k in=2000 out=500 cached=1500")
    assert {line.kind for line in opus.lines} == {"input", "output"}
    assert any("Nothing is cached" in note and "2,048" in note for note in opus.notes)


def test_haiku_above_one_hundred_thousand_prompt_tokens_costs_the_step_for_the_whole_request() -> None:
    assert monthly("haiku-5.5 requests=1000 in=100000 out=1000") == "10.50"
    above = estimated("haiku-5.5 requests=1000 in=100001 out=1000")
    assert str(estimate_json(above)["monthly_usd"]) == "52.50"
    assert any("100,000" in note for note in above.notes)


def test_alternatives_name_the_newest_model_of_each_family_cheapest_first() -> None:
    found = estimated(CHATBOT).alternatives
    prices = [other.compared_usd for other in found]
    assert prices == sorted(prices)
    models = {model for other in found for model in other.models}
    assert {"claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"} <= models


def test_an_alternative_says_what_the_same_text_costs_with_its_tokenizer() -> None:
    sonnet = next(other for other in estimated(CHATBOT).alternatives if other.label == "Sonnet 5.5")
    assert (sonnet.monthly_usd, sonnet.same_text_usd) == (Decimal(900), Decimal(1170))
    same = next(other for other in estimated(CHATBOT).alternatives if other.label == "Sonnet 4.6, batch")
    assert same.same_text_usd is None


def test_a_model_with_the_new_tokenizer_says_what_text_counted_for_an_older_one_costs() -> None:
    notes = estimated("opus-4.7 requests=100k in=2000 out=500").notes
    assert any("about $2,925.00" in note for note in notes)


def test_an_alternative_that_cannot_cache_says_so() -> None:
    on = estimated("sonnet-4.6 requests=100k in=2000 out=500 cached=1500")
    assert any(other.label == "Sonnet 4.6, no caching" for other in on.alternatives)


def test_a_retiring_model_is_named() -> None:
    assert any("retires on 2026-11-30" in note for note in estimated("sonnet-4.5 requests=1 in=1 out=1").notes)
    after = estimated("sonnet-4.5 requests=1 in=1 out=1", date(2026, 12, 1))
    assert any("was retired" in note for note in after.notes)


def test_the_text_begins_with_the_number_and_ends_with_the_age_of_the_prices() -> None:
    text = estimate_text(estimated(CHATBOT))
    assert text.startswith("$1,350.00 a month: Sonnet 4.6")
    assert f"checked on {CARD.checked_on.isoformat()}" in text.splitlines()[-2]
    assert text.splitlines()[-1] == "- In words: sonnet-4.6 requests=100000 in=2000 out=500"


MODELS = st.sampled_from(sorted(CARD.models))


@st.composite
def workloads(draw: st.DrawFn) -> str:
    tokens_in = draw(st.integers(0, 300_000))
    words = [
        draw(MODELS),
        f"requests={draw(st.integers(1, 10_000_000))}{draw(st.sampled_from(['', '/day', '/week', '/month']))}",
        f"in={tokens_in}",
        f"out={draw(st.integers(0, 50_000))}",
    ]
    kind = draw(st.sampled_from(["plain", "cached", "turns"]))
    if kind == "cached":
        words.append(f"cached={draw(st.integers(0, tokens_in))}")
        words.append(f"hit={draw(st.integers(0, 100))}%")
        words.append(f"ttl={draw(st.sampled_from(['5m', '1h']))}")
    if kind == "turns":
        words.append(f"turns={draw(st.integers(1, 30))}")
    return " ".join(draw(st.permutations(words)))


@given(workloads())
def test_the_total_is_the_sum_of_its_lines(words: str) -> None:
    result = estimated(words)
    assert result.monthly_usd == sum((line.usd for line in result.lines), Decimal(0))
    assert all(line.usd == line.tokens * line.usd_per_mtok / 1_000_000 for line in result.lines)


@given(workloads())
def test_batch_halves_the_total(words: str) -> None:
    assert estimated(f"{words} batch").monthly_usd * 2 == estimated(words).monthly_usd


@given(workloads())
def test_the_tokens_of_all_lines_are_those_of_the_month(words: str) -> None:
    result = estimated(words)
    work = result.workload
    tokens = sum(line.tokens for line in result.lines if line.kind != "output" and not line.resent)
    # Each part is rounded to whole tokens by itself.
    assert abs(tokens - work.monthly_requests * work.turns * work.input_tokens) <= 2


def test_half_of_the_requests_on_another_model_is_a_mix() -> None:
    half = estimated("mix=sonnet-4.6:50,haiku-4.5:50 requests=100k in=2000 out=500")
    assert half.monthly_usd == 900
    assert {line.model.id: line.usd for line in half.lines if line.kind == "input"} == {
        "claude-sonnet-4-6": 300,
        "claude-haiku-4-5": 100,
    }
    assert {"Sonnet 4.6", "Haiku 4.5"} <= {other.label for other in half.alternatives}


def test_a_model_named_beside_a_mix_is_what_it_is_compared_with() -> None:
    mixed = estimated("opus-4.7 mix=sonnet-4.6:50,haiku-4.5:50 requests=100k in=2000 out=500")
    assert mixed.monthly_usd == 900
    assert next(o.monthly_usd for o in mixed.alternatives if o.label == "Opus 4.7") == 2250


def test_a_goal_says_which_share_has_to_move() -> None:
    found = estimated(f"{CHATBOT} target=700 to=haiku-4.5")
    assert "72.23% of the requests must move to Haiku 4.5" in estimate_text(found)
    out_of_reach = estimated(f"{CHATBOT} target=400 to=haiku-4.5")
    assert "out of reach" in estimate_text(out_of_reach)
    assert "Nothing has to move" in estimate_text(estimated(f"{CHATBOT} target=2000 to=haiku-4.5"))


def test_japanese_characters_become_tokens_with_their_range() -> None:
    summaries = estimated("haiku-4.5 requests=10k chars=8000 lang=ja out=500")
    assert summaries.lines[0].tokens == 120_000_000
    assert str(estimate_json(summaries)["monthly_usd"]) == "145.00"
    assert any("(8,000 to 16,000 by content)" in note for note in summaries.notes)
    assert any("between $105.00 and $185.00" in note for note in summaries.notes)


def test_english_characters_are_four_to_a_token_and_more_on_the_newer_tokenizer() -> None:
    assert estimated("haiku-4.5 requests=10k chars=8000 lang=en out=500").lines[0].tokens == 20_000_000
    assert estimated("haiku-5.5 requests=10k chars=8000 lang=en out=500").lines[0].tokens == 26_000_000


def test_models_are_compared_for_the_same_text_where_a_text_is_given() -> None:
    found = estimated("haiku-4.5 requests=10k chars=8000 lang=ja out=500")
    newest = next(other for other in found.alternatives if other.label == "Haiku 5.5")
    # 15,600 tokens in and 650 out on the newer tokenizer.
    assert newest.monthly_usd == Decimal("18.85")
    assert newest.same_text_usd is None


def test_each_turn_of_a_conversation_sends_the_turns_before_it_again() -> None:
    talk = estimated("sonnet-4.6 requests=1000 in=300 out=200 turns=3")
    tokens = {(line.kind, line.resent): line.tokens for line in talk.lines}
    assert tokens == {("input", False): 900_000, ("output", False): 600_000, ("input", True): 1_500_000}
    assert any("a prompt of 1,300 tokens" in note for note in talk.notes)


def test_a_share_that_moves_to_another_tokenizer_is_for_the_same_text() -> None:
    # The same text on Haiku 5.5 is $58.50, not the $45.00 of equal counts.
    assert "50.33% of the requests" in estimate_text(estimated(f"{CHATBOT} target=700 to=haiku-5.5"))


def test_a_goal_on_a_dearer_model_is_asked_for_a_cheaper_one() -> None:
    assert "name a cheaper model" in estimate_text(estimated(f"{CHATBOT} target=700 to=opus-4.7"))


def test_the_model_that_was_asked_for_as_a_comparison_is_always_shown() -> None:
    text = estimate_text(estimated("opus-4.1 mix=sonnet-4.6:50,haiku-4.5:50 requests=100k in=2000 out=500"))
    assert "  Opus 4.1: $6,750.00" in text


def test_an_empty_workload_has_nothing_to_pay_for() -> None:
    assert estimated("sonnet requests=1 in=0 out=0").recommendation == "There is nothing to pay for."


def test_the_share_that_moves_is_rounded_so_that_the_goal_is_met() -> None:
    left = estimated("mix=sonnet-4.6:27.77,haiku-4.5:72.23 requests=100k in=2000 out=500")
    assert left.monthly_usd <= 700


def test_a_batch_is_held_against_other_batches_and_against_no_batch() -> None:
    found = {o.label: o.monthly_usd for o in estimated("haiku-4.5 requests=10k in=12000 out=500 batch").alternatives}
    assert found["Haiku 4.5, at once"] == 145
    assert found["Haiku 5.5, batch"] == Decimal("7.25")
    assert all(label.endswith((", batch", ", at once")) for label in found)


def test_a_conversation_is_not_offered_as_a_batch() -> None:
    talk = estimated("sonnet-4.6 requests=1000 in=300 out=200 turns=3")
    assert all(other.batch_usd is None and "batch" not in other.label for other in talk.alternatives)
    asked = estimated("sonnet-4.6 requests=1000 in=300 out=200 turns=3 batch").notes
    assert any("needs about 3 batches" in note and "Each turn waits" in note for note in asked)


def test_a_prompt_that_no_model_reads_is_named() -> None:
    assert any("such requests fail" in note for note in estimated("sonnet requests=1 in=2m out=1").notes)


def test_caching_the_resent_turns_is_an_alternative() -> None:
    talk = estimated("sonnet-4.6 requests=1000 in=3000 out=1000 turns=20")
    cached = next(other for other in talk.alternatives if other.label == "Sonnet 4.6, resent turns cached")
    # Each turn reads the whole prompt of the one before it, and writes what is new: the answer to it and its own input.
    prompts = [3000 + 4000 * turn for turn in range(20)]
    sent = sum(prompts[:-1]) * Decimal("0.3") + prompts[-1] * Decimal("3.75")
    assert cached.monthly_usd == (sent + 20 * 1000 * 15) * 1000 / 1_000_000


def test_a_conversation_is_cached_with_a_breakpoint_at_the_end_of_each_prompt() -> None:
    talk = estimated("sonnet-4.6 requests=1000 in=500 out=300 turns=20")
    assert estimate_json(talk)["monthly_usd"] == "576.00"
    assert talk.advice[0].what == "Cache the conversation, with a breakpoint at the end of each prompt"
    # The first prompt has 500 tokens, which is too short to be cached; those after it are not.
    assert "$194.12, saves $381.88 (-66%)" in talk.advice[0].sentence


def test_late_turns_above_the_step_cost_the_higher_price() -> None:
    talk = estimated("haiku-5.5 requests=1 in=60000 out=1000 turns=2")
    prices = {line.usd_per_mtok for line in talk.lines if line.kind == "input"}
    assert prices == {Decimal("0.10"), Decimal("0.50")}


@pytest.mark.parametrize(
    ("model", "ttl", "rate"),
    [
        ("sonnet-4.6", "5m", "21.7%"),
        ("sonnet-4.6", "1h", "52.6%"),
        ("sonnet-5.5", "5m", "20.8%"),
        ("sonnet-5.5", "1h", "51.3%"),
        ("fable-5.2", "5m", "20.4%"),
        ("fable-5.2", "1h", "50.6%"),
    ],
)
def test_the_break_even_hit_rate_is_named(model: str, ttl: str, rate: str) -> None:
    notes = estimated(f"{model} requests=100k in=2000 out=500 cached=1500 ttl={ttl}").notes
    assert any(f"from a hit rate of {rate} on" in note for note in notes)


def test_it_is_said_whether_the_requests_keep_the_cache_warm() -> None:
    warm = estimated(f"{CHATBOT} cached=1500").notes
    assert any("every 25.9 s, which keeps a 5-minute cache warm" in note for note in warm)
    cold = estimated("sonnet-4.6 requests=20/day in=2000 out=500 cached=1500").notes
    assert any("only every 72 min" in note and "expect misses" in note for note in cold)


def test_a_batch_says_how_many_batches_it_needs() -> None:
    notes = estimated("haiku-4.5 requests=250k in=100 out=10 batch").notes
    assert any("needs about 3 batches" in note for note in notes)


@given(
    st.sampled_from(sorted(m.id for m in CARD.models.values() if m.min_cacheable_tokens)),
    st.sampled_from(["5m", "1h"]),
    st.integers(0, 1000),
)
def test_caching_costs_no_more_than_none_exactly_from_the_break_even_rate_on(model: str, ttl: str, mille: int) -> None:
    words = f"{model} requests=1000 in=10000 out=100"
    cached = estimated(f"{words} cached=8000 ttl={ttl} hit={Decimal(mille) / 1000}")
    rate = break_even(CARD.models[model], ttl, TODAY, 10000)
    assert (cached.monthly_usd <= estimated(words).monthly_usd) == (Fraction(mille, 1000) >= rate)


@pytest.mark.parametrize("how", ["", " batch"])
def test_a_cache_that_costs_more_than_none_is_advised_against(how: str) -> None:
    advice = estimated(f"{CHATBOT} cached=1500 hit=10%{how}").advice
    assert [line.what for line in advice if "aching" in line.what] == ["Leave caching out"]
