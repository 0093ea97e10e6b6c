"""Savings on the table: the same tokens priced another way, above a dollar, the three largest callers."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bot.digests.cheaper import LEAST_USD, MOST_CALLERS, Use, Way, cheaper, smaller_than
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

CARD = load_rate_card()
ON = date(2026, 11, 20)
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


def use(
    model: str = OPUS, uncached: int = 10_000_000, output: int = 0, requests: int | None = 1000, **more: int
) -> Use:
    return Use(model, STANDARD, TokenCounts(uncached_input_tokens=uncached, output_tokens=output, **more), requests)


def options(*uses: Use) -> dict[Way, Decimal]:
    found = cheaper({"support": uses}, CARD, ON)
    return {option.way: option.usd for each in found for option in each.options}


def test_batches_cost_half_of_what_could_wait() -> None:
    cost = cost_of(CARD, OPUS, use().counts, STANDARD, ON, prompt_tokens=None).usd
    assert options(use())[Way.BATCH] == cost / 2


def test_what_runs_in_batches_or_fast_already_saves_nothing_there() -> None:
    for terms in (Terms("batch", None, None), Terms("standard", None, "fast")):
        assert Way.BATCH not in options(use()._replace(terms=terms))


def test_a_cache_reads_nine_in_ten_of_the_half_that_repeats() -> None:
    rates = CARD.models[OPUS].rates(ON)
    saved = 5 * rates.input - Decimal("0.5") * rates.cache_write_5m - Decimal("4.5") * rates.cache_read
    assert options(use())[Way.CACHE] == saved


def test_who_caches_already_or_sends_short_prompts_is_offered_no_cache() -> None:
    assert Way.CACHE not in options(use(cache_read_input_tokens=5_000_000))
    assert Way.CACHE not in options(use(requests=100_000))
    assert Way.CACHE in options(use(requests=None))


def test_a_smaller_model_is_the_newest_of_the_next_family_and_the_cheapest_has_none() -> None:
    (found,) = cheaper({"support": [use()]}, CARD, ON)
    (model,) = [option for option in found.options if option.way is Way.MODEL]
    assert model.model == CARD.models[SONNET].name
    assert smaller_than(CARD.models[HAIKU], CARD, ON) is None
    assert Way.MODEL not in options(use(HAIKU, 100_000_000))


def test_a_dollar_is_not_worth_a_line() -> None:
    assert cheaper({"support": [use(HAIKU, 1_000_000)]}, CARD, ON) == ()


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9),
        st.lists(st.builds(use, st.sampled_from([OPUS, SONNET, HAIKU, "gpt-9"]), st.integers(0, 10**9)), max_size=3),
        max_size=6,
    )
)
def test_three_callers_at_most_the_largest_first_each_above_a_dollar(callers: dict[str, list[Use]]) -> None:
    found = cheaper(callers, CARD, ON)
    assert len(found) <= MOST_CALLERS
    best = [each.options[0].usd for each in found]
    assert best == sorted(best, reverse=True)
    for each in found:
        total = sum(
            (cost_of(CARD, u.model, u.counts, u.terms, ON, prompt_tokens=None).usd for u in callers[each.caller]),
            Decimal(0),
        )
        assert all(LEAST_USD < option.usd <= total for option in each.options)
