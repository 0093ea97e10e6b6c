"""The cost of a usage: exact to the last digit, and the same whether tokens are priced together or apart."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import Cost, cost_of
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

CARD = load_rate_card()
TODAY = date(2026, 11, 22)
ANYTHING = ["claude-opus-9", "us.anthropic.claude-opus-5", "<synthetic>", *CARD.models]

amounts = st.integers(0, 10**13)
counted = st.builds(TokenCounts, amounts, amounts, amounts, amounts, amounts, st.integers(0, 10**6))
models = st.sampled_from(ANYTHING)
days = st.dates(date(2025, 6, 1), date(2027, 6, 1))
prompts = st.one_of(st.none(), st.integers(0, 10**6))
tiers = st.sampled_from([None, "standard", "batch", "priority", "flex", "flex_discount", "tier-of-next-year"])
regions = st.sampled_from([None, "global", "us", "not_available", "eu"])
speeds = st.sampled_from([None, "standard", "fast"])
terms_of_service = st.builds(Terms, tiers, regions, speeds)


def cost(
    model_id: str,
    counts: TokenCounts,
    terms: Terms = STANDARD,
    on: date | str = TODAY,
    prompt_tokens: int | None = None,
) -> Cost:
    day = date.fromisoformat(on) if isinstance(on, str) else on
    return cost_of(CARD, model_id, counts, terms, day, prompt_tokens=prompt_tokens)


def million(kind: str) -> TokenCounts:
    return TokenCounts(**{kind: 1_000_000})


def per_million(model_id: str, terms: Terms = STANDARD, on: str = "2026-11-22", prompt: int = 1) -> list[str]:
    """Dollars for a million of each kind of token: input, 5-minute write, 1-hour write, read, output."""
    kinds = [
        "uncached_input_tokens",
        "cache_creation_5m_input_tokens",
        "cache_creation_1h_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    ]
    return [f"{cost(model_id, million(kind), terms, on, prompt).usd.normalize():f}" for kind in kinds]


@given(models, counted, terms_of_service, days, prompts)
def test_the_cost_is_the_sum_of_its_lines_and_never_below_zero(
    model: str, counts: TokenCounts, terms: Terms, on: date, prompt: int | None
) -> None:
    priced = cost(model, counts, terms, on, prompt)
    assert priced.usd == sum(line.usd for line in priced.lines)
    assert all(line.usd > 0 and line.tokens > 0 for line in priced.lines)
    assert (priced.usd == 0) == (counts == TokenCounts()) == (priced.lines == ())


@given(models, terms_of_service, days, prompts)
def test_no_usage_costs_nothing_and_nothing_is_left_open(
    model: str, terms: Terms, on: date, prompt: int | None
) -> None:
    priced = cost(model, TokenCounts(), terms, on, prompt)
    assert (priced.usd, priced.lines, priced.at_least) == (Decimal(0), (), False)


@given(models, counted, counted, terms_of_service, days)
def test_sums_cost_what_their_parts_cost(
    model: str, one: TokenCounts, other: TokenCounts, terms: Terms, on: date
) -> None:
    together = cost(model, one + other, terms, on).usd
    assert together == cost(model, one, terms, on).usd + cost(model, other, terms, on).usd


@given(models, counted, st.integers(0, 1000), terms_of_service, days, prompts)
def test_so_many_times_the_tokens_cost_so_many_times_the_money(
    model: str, counts: TokenCounts, times: int, terms: Terms, on: date, prompt: int | None
) -> None:
    multiplied = TokenCounts(*(count * times for count in counts))
    assert cost(model, multiplied, terms, on, prompt).usd == times * cost(model, counts, terms, on, prompt).usd


@given(models, counted, terms_of_service, days, prompts)
def test_nothing_is_rounded(model: str, counts: TokenCounts, terms: Terms, on: date, prompt: int | None) -> None:
    resolved = CARD.resolve(model, on)
    unknown = resolved.assumed is not None
    prices = resolved.rates.at(prompt)
    fast = terms.speed == "fast" and terms.service_tier != "batch"
    fast = fast and (resolved.rates.fast_until is None or on <= resolved.rates.fast_until)
    input_speed, output_speed = Fraction(1), Fraction(1)
    if fast and prices.fast_input is not None and prices.fast_output is not None:
        input_speed = Fraction(prices.fast_input) / Fraction(prices.input)
        output_speed = Fraction(prices.fast_output) / Fraction(prices.output)
    factor = Fraction(1)
    if terms.service_tier == "batch":
        factor /= 2
    if terms.inference_geo == "us" and (unknown or resolved.model.us_inference):
        factor *= Fraction(11, 10)
    if resolved.regional and (unknown or resolved.model.regional_premium):
        factor *= Fraction(11, 10)
    exact = factor * (
        counts.uncached_input_tokens * Fraction(prices.input) * input_speed
        + counts.cache_creation_5m_input_tokens * Fraction(prices.cache_write_5m) * input_speed
        + counts.cache_creation_1h_input_tokens * Fraction(prices.cache_write_1h) * input_speed
        + counts.cache_read_input_tokens * Fraction(prices.cache_read) * input_speed
        + counts.output_tokens * Fraction(prices.output) * output_speed
    ) / 1_000_000 + Fraction(counts.web_search_requests, 100)
    priced = cost(model, counts, terms, on, prompt)
    assert type(priced.usd) is Decimal
    assert Fraction(priced.usd) == exact


@given(models, counted, regions, days, prompts)
def test_a_batch_costs_half_of_everything_but_web_searches(
    model: str, counts: TokenCounts, region: str | None, on: date, prompt: int | None
) -> None:
    searches = Decimal(counts.web_search_requests) / 100
    standard = cost(model, counts, Terms("standard", region), on, prompt).usd - searches
    assert cost(model, counts, Terms("batch", region), on, prompt).usd == standard / 2 + searches


@given(st.sampled_from(list(CARD.models)), counted, tiers, speeds, days, prompts)
def test_us_inference_costs_a_tenth_more_where_the_model_offers_it(
    model: str, counts: TokenCounts, tier: str | None, speed: str | None, on: date, prompt: int | None
) -> None:
    searches = Decimal(counts.web_search_requests) / 100
    anywhere = cost(model, counts, Terms(tier, "global", speed), on, prompt).usd - searches
    factor = Decimal("1.1") if CARD.models[model].us_inference else 1
    assert cost(model, counts, Terms(tier, "us", speed), on, prompt).usd == anywhere * factor + searches


@given(models, counted, regions, speeds, days, prompts)
def test_a_tier_that_nobody_has_heard_of_is_billed_as_standard(
    model: str, counts: TokenCounts, region: str | None, speed: str | None, on: date, prompt: int | None
) -> None:
    standard = cost(model, counts, Terms(None, region, speed), on, prompt)
    for tier in ("standard", "priority", "priority_on_demand", "flex", "flex_discount", "Batch of next year", ""):
        assert cost(model, counts, Terms(tier, region, speed), on, prompt) == standard
    for elsewhere in (None, "global", "not_available", "mars"):
        assert cost(model, counts, Terms(None, elsewhere), on, prompt) == cost(model, counts, STANDARD, on, prompt)
    for slow in ("standard", "slow"):
        assert cost(model, counts, Terms(None, region, slow), on, prompt) == cost(
            model, counts, Terms(None, region), on, prompt
        )


@pytest.mark.parametrize(
    ("model", "terms", "on", "prompt", "usd"),
    [
        ("claude-sonnet-4-6", Terms(), "2026-11-22", 1, "3 3.75 6 0.3 15"),
        ("claude-sonnet-4-6", Terms("batch"), "2026-11-22", 1, "1.5 1.875 3 0.15 7.5"),
        ("claude-sonnet-4-6", Terms("batch", "us"), "2026-11-22", 1, "1.65 2.0625 3.3 0.165 8.25"),
        # before 4.6 there is no US-only inference to pay for
        ("claude-sonnet-4-5", Terms(None, "us"), "2026-11-22", 1, "3 3.75 6 0.3 15"),
        # fast mode: the cache prices are multiples of the fast input price
        ("claude-fable-5-2", Terms(speed="fast"), "2026-11-22", 1, "16 20 32 0.4 80"),
        ("claude-opus-5-5", Terms(speed="fast"), "2026-11-22", 1, "8 10 16 0.4 40"),
        ("claude-opus-5-5", Terms(None, "us", "fast"), "2026-11-22", 1, "8.8 11 17.6 0.44 44"),
        ("claude-opus-5", Terms(speed="fast"), "2026-11-22", 1, "10 12.5 20 1 50"),
        # a batch is never fast
        ("claude-opus-5", Terms("batch", None, "fast"), "2026-11-22", 1, "2.5 3.125 5 0.25 12.5"),
        # fast mode ends: the last day, and the day after
        ("claude-opus-4-8", Terms(speed="fast"), "2026-11-30", 1, "10 12.5 20 1 50"),
        ("claude-opus-4-8", Terms(speed="fast"), "2026-12-01", 1, "5 6.25 10 0.5 25"),
        ("claude-opus-4-7", Terms(speed="fast"), "2026-07-23", 1, "30 37.5 60 3 150"),
        ("claude-opus-4-7", Terms(speed="fast"), "2026-07-24", 1, "5 6.25 10 0.5 25"),
        ("claude-opus-4-6", Terms(speed="fast"), "2026-06-28", 1, "30 37.5 60 3 150"),
        ("claude-opus-4-6", Terms(speed="fast"), "2026-06-29", 1, "5 6.25 10 0.5 25"),
        # two surcharges of the past at once
        ("claude-opus-4-6", Terms(speed="fast"), "2026-03-12", 200_001, "60 75 120 6 225"),
        # the whole request is dear once its prompt is above the step, output too
        ("claude-haiku-5-5", Terms(), "2026-11-22", 100_000, "0.1 0.125 0.2 0.01 0.5"),
        ("claude-haiku-5-5", Terms(), "2026-11-22", 100_001, "0.5 0.625 1 0.05 2.5"),
        ("claude-haiku-5-5", Terms("batch", "us"), "2026-11-22", 100_001, "0.275 0.34375 0.55 0.0275 1.375"),
        # cache reads of Sonnet 5.5 became cheaper
        ("claude-sonnet-5-5", Terms(), "2026-10-06", 1, "2 2.5 4 0.2 10"),
        ("claude-sonnet-5-5", Terms(), "2026-10-07", 1, "2 2.5 4 0.1 10"),
        # regional endpoints of Bedrock and Vertex, from the 4.5 generation on
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Terms(), "2026-11-22", 1, "3.3 4.125 6.6 0.33 16.5"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", Terms(), "2026-11-22", 1, "3 3.75 6 0.3 15"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Terms(), "2026-05-22", 1, "3 3.75 6 0.3 15"),
        # an unknown model is most likely new, and new models have every surcharge
        ("us.anthropic.claude-haiku-6", Terms("batch", "us"), "2026-11-22", 1, "0.605 0.75625 1.21 0.0605 3.025"),
    ],
)
def test_a_million_tokens_of_each_kind(model: str, terms: Terms, on: str, prompt: int, usd: str) -> None:
    assert per_million(model, terms, on, prompt) == usd.split()


@pytest.mark.parametrize(
    ("model", "counts", "terms", "usd"),
    [
        # 100,000 requests of 2,000 tokens in and 500 out
        ("claude-sonnet-4-6", TokenCounts(200_000_000, output_tokens=50_000_000), STANDARD, "1350"),
        ("claude-opus-4-7", TokenCounts(200_000_000, output_tokens=50_000_000), STANDARD, "2250"),
        # 10,000 requests of 12,000 and 500, then as a batch
        ("claude-haiku-4-5", TokenCounts(120_000_000, output_tokens=5_000_000), STANDARD, "145"),
        ("claude-haiku-4-5", TokenCounts(120_000_000, output_tokens=5_000_000), Terms("batch"), "72.5"),
        # 1,000 requests of 50,000 and 8,000
        ("claude-opus-4-7", TokenCounts(50_000_000, output_tokens=8_000_000), STANDARD, "450"),
        ("claude-opus-5-5", TokenCounts(50_000_000, output_tokens=8_000_000), STANDARD, "360"),
        # the first, with 1,500 of the 2,000 tokens read from a cache: always, as a batch, and with a hit rate of 95 %
        (
            "claude-sonnet-4-6",
            TokenCounts(50_000_000, cache_read_input_tokens=150_000_000, output_tokens=50_000_000),
            STANDARD,
            "945",
        ),
        (
            "claude-sonnet-4-6",
            TokenCounts(50_000_000, cache_read_input_tokens=150_000_000, output_tokens=50_000_000),
            Terms("batch"),
            "472.5",
        ),
        ("claude-sonnet-4-6", TokenCounts(50_000_000, 7_500_000, 0, 142_500_000, 50_000_000), STANDARD, "970.875"),
        # searches are a cent each
        ("claude-opus-5-5", TokenCounts(web_search_requests=1000), Terms("batch", "us", "fast"), "10"),
    ],
)
def test_known_workloads_cost_what_they_are_known_to(model: str, counts: TokenCounts, terms: Terms, usd: str) -> None:
    assert cost(model, counts, terms, prompt_tokens=50_000).usd == Decimal(usd)


def test_the_lines_say_what_each_kind_cost() -> None:
    counts = TokenCounts(1_000, 200, 30, 40_000, 500, 3)
    lines = cost("claude-opus-5-5", counts, Terms("batch")).lines
    assert [(line.kind, line.tokens, line.usd_per_mtok, line.usd) for line in lines] == [
        ("input", 1_000, Decimal("2"), Decimal("0.002")),
        ("cache_write_5m", 200, Decimal("2.5"), Decimal("0.0005")),
        ("cache_write_1h", 30, Decimal("4"), Decimal("0.00012")),
        ("cache_read", 40_000, Decimal("0.1"), Decimal("0.004")),
        ("output", 500, Decimal("10"), Decimal("0.005")),
        ("web_search", 3, Decimal("10000"), Decimal("0.03")),
    ]


@given(st.sampled_from(list(CARD.models)), counted, terms_of_service, days, prompts)
def test_a_figure_is_at_least_only_where_a_step_or_a_fast_price_is_hidden(
    model: str, counts: TokenCounts, terms: Terms, on: date, prompt: int | None
) -> None:
    has_tokens = bool(counts.prompt_tokens or counts.output_tokens)
    rates = CARD.models[model].rates(on)
    step_hidden = prompt is None and rates.step is not None
    asked_fast = terms.speed == "fast" and terms.service_tier != "batch"
    price_unknown = asked_fast and rates.fast_input is None
    assert cost(model, counts, terms, on, prompt).at_least == (has_tokens and (step_hidden or price_unknown))


def test_sums_of_haiku_5_5_are_priced_at_the_base_and_say_that_it_may_be_more() -> None:
    day_of_haiku = cost("claude-haiku-5-5", million("uncached_input_tokens"))
    assert (day_of_haiku.usd, day_of_haiku.at_least) == (Decimal("0.10"), True)
    assert not cost("claude-haiku-5-5", TokenCounts(web_search_requests=5)).at_least
    assert not cost("claude-haiku-5-5", million("uncached_input_tokens"), prompt_tokens=1_000_000).at_least
    assert not any(
        cost(model, million("output_tokens")).at_least for model in CARD.models if model != "claude-haiku-5-5"
    )


def test_a_fast_mode_that_the_card_has_no_price_for_costs_at_least_the_standard_price() -> None:
    fast = cost("claude-sonnet-5-5", million("output_tokens"), Terms(speed="fast"))
    assert (fast.usd, fast.at_least) == (Decimal(10), True)
    assert cost("claude-opus-9", million("output_tokens"), Terms(speed="fast")).at_least
    # once it is removed, requests run and cost as standard
    assert not cost("claude-opus-4-6", million("output_tokens"), Terms(speed="fast")).at_least
