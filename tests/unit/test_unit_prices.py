"""What one token costs: the same prices whether they are asked for one usage or for sums of many."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import Hidden, cost_of
from bot.pricing.tokens import STANDARD, UNKNOWN_TERM, Terms, TokenCounts
from bot.pricing.unit_prices import unit_prices

CARD = load_rate_card()
TODAY = date(2026, 11, 22)
SPELLINGS = [
    *CARD.models,
    "sonnet",
    "claude-opus-9",
    "claude-haiku-7",
    "my-finetune",
    "",
    "claude-opus-4.8-fast",
    "claude-opus-4.8:batch",
    "claude-sonnet-4-5-20250929",
    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-5",
    "claude-opus-4-5@20251101",
]

models = st.sampled_from(SPELLINGS)
days = st.dates(date(2023, 1, 1), date(2027, 6, 1))
terms_of_service = st.builds(
    Terms,
    st.sampled_from([None, "standard", "batch", "priority", "tier-of-next-year", UNKNOWN_TERM]),
    st.sampled_from([None, "global", "us", "eu", UNKNOWN_TERM]),
    st.sampled_from([None, "standard", "fast", UNKNOWN_TERM]),
)
amounts = st.one_of(st.just(0), st.integers(0, 10**12))
counted = st.builds(TokenCounts, amounts, amounts, amounts, amounts, amounts, st.integers(0, 10**6))


@given(models, terms_of_service, days, counted)
def test_a_sum_of_requests_costs_its_tokens_times_the_unit_prices(
    model: str, terms: Terms, on: date, counts: TokenCounts
) -> None:
    unit = unit_prices(CARD, model, terms, on)
    cost = cost_of(CARD, model, counts, terms, on, prompt_tokens=None)
    assert cost.usd == sum(n * price for n, price in zip(counts, unit.usd_per_token, strict=True))
    assert cost.assumed == unit.assumed
    assert cost.hidden == (unit.hidden if counts.prompt_tokens + counts.output_tokens else frozenset())


@pytest.mark.parametrize(
    ("model", "terms", "on", "usd", "hidden", "is_assumed"),
    [
        ("claude-sonnet-5-5", STANDARD, TODAY, "2 2.5 4 0.1 10", set(), False),
        ("claude-opus-5-5", Terms("batch", "us"), TODAY, "2.2 2.75 4.4 0.11 11", set(), False),
        ("claude-opus-5-5", Terms(speed="fast"), TODAY, "8 10 16 0.4 40", set(), False),
        ("claude-opus-5-5", Terms(speed=UNKNOWN_TERM), TODAY, "4 5 8 0.2 20", {Hidden.TERMS}, False),
        ("claude-sonnet-4-5", STANDARD, date(2026, 4, 30), "3 3.75 6 0.3 15", {Hidden.PROMPT}, False),
        ("claude-sonnet-4-5", STANDARD, date(2026, 5, 1), "3 3.75 6 0.3 15", set(), False),
        ("sonnet", STANDARD, TODAY, "2 2.5 4 0.1 10", set(), True),
    ],
)
def test_the_terms_and_the_day_are_in_the_unit_prices(
    model: str, terms: Terms, on: date, usd: str, hidden: set[Hidden], is_assumed: bool
) -> None:
    unit = unit_prices(CARD, model, terms, on)
    assert [price * 1_000_000 for price in unit.usd_per_token[:5]] == [Decimal(word) for word in usd.split()]
    assert list(unit.usd_per_mtok) == [Decimal(word) for word in usd.split()]
    assert unit.usd_per_token[-1] == CARD.web_search_usd
    assert unit.hidden == hidden
    assert (unit.assumed is not None) is is_assumed
