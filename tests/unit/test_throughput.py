"""Whether a workload fits the rate limits: the table against its source, the arithmetic, and the lines that say it."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.throughput import (
    MINUTES_IN_MONTH,
    Coverage,
    Fit,
    Limits,
    Load,
    Pool,
    fit,
    fit_lines,
    load_of,
    load_rate_limits,
    pool_of,
)
from bot.pricing.tokens import TokenCounts

CARD = load_rate_card()
TABLE = load_rate_limits()
TIERS = [tier.name for tier in TABLE.tiers]
NAMES = {pool.name: pool for pool in TABLE.limits}

SONNET, OPUS, FABLE, HAIKU = "claude-sonnet-4-6", "claude-opus-5-5", "claude-fable-5-2", "claude-haiku-5-5"
NO_MONEY = Decimal(0)
ONCE = Decimal(1)
TEN = Decimal(10)

# platform.claude.com, Rate limits: requests / input tokens / output tokens a minute on Start, Build, Scale.
USUAL = "1000 2000000 400000 | 5000 5000000 1000000 | 10000 10000000 2000000"
LISTED = {
    "Opus 5.5": USUAL,
    "Opus 5": USUAL,
    "Opus 4.x": USUAL,
    "Sonnet 5.5": USUAL,
    "Sonnet 5": USUAL,
    "Sonnet 4.x": USUAL,
    "Haiku 4.5": USUAL,
    "Fable 5.x": "1000 500000 100000 | 2000 1500000 300000 | 4000 4000000 800000",
    "Message Batches": "200000 | 300000 | 500000",
}
UNLISTED = {"Haiku 5.5", "Mythos 5", "Mythos 5.1", "Mythos 5.2"}


def load(
    model: str = OPUS, requests: str | int = 0, tokens_in: str | int = 0, tokens_out: str | int = 0, batch: bool = False
) -> Load:
    return Load(model, Decimal(requests), Decimal(tokens_in), Decimal(tokens_out), batch=batch)


def monthly_load(model: str, requests: int, counts: TokenCounts, batch: bool = False) -> Load:
    return load_of(CARD.models[model], Fraction(requests), counts, batch=batch)


def chatbot(model: str = SONNET) -> Load:
    """100,000 requests a month of 2,000 tokens in and 500 out."""
    counts = TokenCounts(uncached_input_tokens=200_000_000, output_tokens=50_000_000)
    return monthly_load(model, 100_000, counts)


def lines_of(
    *loads: Load, usd: str = "0", peak: Decimal = TEN, measured: Mapping[Pool, Limits] | None = None
) -> list[str]:
    return fit_lines(fit(loads, Decimal(usd), peak, measured))


def limits(requests: int, tokens_in: int, tokens_out: int) -> Limits:
    return {
        "requests_per_minute": requests,
        "input_tokens_per_minute": tokens_in,
        "output_tokens_per_minute": tokens_out,
    }


def test_the_table_has_the_listed_figures_and_no_others() -> None:
    found = {
        pool.name: " | ".join(" ".join(str(value) for value in of_tier.values()) for of_tier in by_tier.values())
        for pool, by_tier in TABLE.limits.items()
    }
    assert found == LISTED | dict.fromkeys(UNLISTED, "")
    assert all(tuple(by_tier) in ((), ("Start", "Build", "Scale")) for by_tier in TABLE.limits.values())


def test_the_tiers_have_the_listed_monthly_caps_and_custom_has_none() -> None:
    caps = {tier.name: tier.monthly_cap_usd for tier in TABLE.tiers}
    assert caps == {"Start": 500, "Build": 1000, "Scale": 200_000, "Custom": None}
    assert list(caps) == ["Start", "Build", "Scale", "Custom"]


def test_every_model_on_sale_is_in_one_pool_and_every_pool_has_models_of_the_rate_card() -> None:
    pooled = [model for pool in TABLE.limits for model in pool.models]
    on_sale = {model.id for model in CARD.models.values() if model.retires is None or model.retires > TABLE.checked_on}
    assert len(pooled) == len(set(pooled))
    assert set(pooled) == on_sale


def test_a_higher_tier_allows_more_of_everything() -> None:
    for by_tier in TABLE.limits.values():
        figures = [list(of_tier.values()) for of_tier in by_tier.values()]
        for lower, higher in pairwise(figures):
            assert all(less < more for less, more in zip(lower, higher, strict=True))


def test_the_load_is_the_month_spread_evenly_over_43200_minutes() -> None:
    counts = TokenCounts(uncached_input_tokens=7 * MINUTES_IN_MONTH, output_tokens=3 * MINUTES_IN_MONTH)
    assert MINUTES_IN_MONTH == 43_200
    assert monthly_load(OPUS, 2 * MINUTES_IN_MONTH, counts) == load(OPUS, 2, 7, 3)


def test_cache_writes_count_towards_the_input_limit_and_cache_reads_do_not() -> None:
    counts = TokenCounts(
        uncached_input_tokens=1 * MINUTES_IN_MONTH,
        cache_creation_5m_input_tokens=2 * MINUTES_IN_MONTH,
        cache_creation_1h_input_tokens=4 * MINUTES_IN_MONTH,
        cache_read_input_tokens=800 * MINUTES_IN_MONTH,
    )
    assert monthly_load(OPUS, 0, counts).input_tokens_per_minute == 7


def test_the_chatbot_fits_scale_because_of_its_cost_and_the_lines_say_so() -> None:
    assert lines_of(chatbot(), usd="1350") == [
        "Needs 2.3 requests a minute at the mean, 23 at a peak of 10 times that; 4,630 and 46,296 input tokens, "
        "1,157 and 11,574 output tokens.",
        "Fits tier Scale: Start's and Build's monthly caps of $500 and $1,000 do not cover $1,350.00.",
        "Standard limits as of 2026-10-17; cache reads do not count, and a new organization may start with less.",
    ]


def test_without_a_peak_the_mean_is_said_alone() -> None:
    assert lines_of(chatbot(), usd="500", peak=ONCE)[:2] == [
        "Needs 2.3 requests, 4,630 input tokens and 1,157 output tokens a minute.",
        "Fits tier Start.",
    ]


def test_a_monthly_cap_covers_what_equals_it() -> None:
    assert fit([], Decimal(500), ONCE).tier == TABLE.tiers[0]
    assert lines_of(chatbot(), usd="500.01")[1] == (
        "Fits tier Build: Start's monthly cap of $500 does not cover $500.01."
    )


@pytest.mark.parametrize(
    ("needed", "tier", "line"),
    [
        (load(OPUS, 1000, 2_000_000, 400_000), "Start", "Fits tier Start."),
        (
            load(OPUS, "1000.5"),
            "Build",
            "Fits tier Build: Start allows Opus 5.5 1,000 requests a minute, but 1,001 are needed.",
        ),
        (
            load(OPUS, 1, 5_000_001),
            "Scale",
            "Fits tier Scale: Build allows Opus 5.5 5,000,000 input tokens a minute, but 5,000,001 are needed.",
        ),
        (
            load(FABLE, 1, 1, 300_001),
            "Scale",
            "Fits tier Scale: Build allows Fable 5.x 300,000 output tokens a minute, but 300,001 are needed.",
        ),
    ],
)
def test_a_limit_covers_what_equals_it_and_nothing_above(needed: Load, tier: str, line: str) -> None:
    found = fit([needed], NO_MONEY, ONCE)
    assert found.tier is not None
    assert found.tier.name == tier
    assert fit_lines(found)[1] == line


def test_a_peak_that_is_the_limit_exactly_is_covered_in_spite_of_division() -> None:
    # A third of 5,000 has no end as a decimal, and its last digit is rounded up.
    needed = monthly_load(OPUS, 5_000 * MINUTES_IN_MONTH // 3, TokenCounts())
    assert needed.requests_per_minute * 3 > 5_000
    found = fit([needed], NO_MONEY, Decimal(3))
    assert found.pools[0].peak["requests_per_minute"] == 5_000
    assert found.tier == TABLE.tiers[1]


def test_the_worst_shortage_is_reported() -> None:
    line = lines_of(load(OPUS, 1100, 0, 4_000_000), peak=ONCE)[1]
    assert line == (
        "Fits no standard tier: Scale allows Opus 5.5 2,000,000 output tokens a minute, but 4,000,000 are needed; the "
        "limits of tier Custom are agreed with Anthropic."
    )


def test_beyond_the_highest_cap_only_custom_is_left() -> None:
    found = fit([load(OPUS, 1)], Decimal(200_001), ONCE)
    assert (found.tier, found.least_tier.name) == (None, "Custom")
    assert fit_lines(found)[1] == (
        "Fits no standard tier: Start's, Build's and Scale's monthly caps of $500, $1,000 and $200,000 do not cover "
        "$200,001.00; the limits of tier Custom are agreed with Anthropic."
    )


def test_models_of_one_pool_share_its_limits_and_others_do_not() -> None:
    together = fit([load("claude-opus-4-8", 600), load("claude-opus-4-7", 600)], NO_MONEY, ONCE)
    apart = fit([load("claude-opus-5-5", 600), load("claude-opus-5", 600)], NO_MONEY, ONCE)
    assert [found.pool.name for found in together.pools] == ["Opus 4.x"]
    assert together.tier == TABLE.tiers[1]
    assert [found.pool.name for found in apart.pools] == ["Opus 5.5", "Opus 5"]
    assert apart.tier == TABLE.tiers[0]


def test_a_mix_names_the_pool_of_each_need() -> None:
    assert lines_of(load(SONNET, 20, 5, "0.01"), load(OPUS, "0.5"), peak=ONCE)[:3] == [
        "Sonnet 4.x needs 20 requests, 5 input tokens and under 0.1 output tokens a minute.",
        "Opus 5.5 needs 0.5 requests, 0 input tokens and 0 output tokens a minute.",
        "Fits tier Start.",
    ]


def test_unknown_limits_are_said_and_neither_cover_nor_exclude() -> None:
    found = fit([chatbot(HAIKU)], Decimal(45), TEN)
    assert {entry.tier.name: entry.coverage for entry in found.tiers} == dict.fromkeys(TIERS, Coverage.UNKNOWN)
    assert (found.tier, found.least_tier.name) == (None, "Start")
    assert fit_lines(found)[1] == (
        "May fit tier Start, but the rate limits of Haiku 5.5 are not known here: the Console shows yours."
    )


def test_what_is_known_still_excludes_a_tier_where_other_limits_are_unknown() -> None:
    assert lines_of(chatbot(HAIKU), usd="1000.01")[1] == (
        "May fit tier Scale, but the rate limits of Haiku 5.5 are not known here: the Console shows yours; Start's and "
        "Build's monthly caps of $500 and $1,000 do not cover $1,000.01."
    )
    beside = fit([load(HAIKU, 1), load(OPUS, 1_001)], NO_MONEY, ONCE)
    assert [entry.coverage for entry in beside.tiers[:2]] == [Coverage.SHORT, Coverage.UNKNOWN]


def test_a_model_that_no_table_names_is_a_pool_of_its_own_with_unknown_limits() -> None:
    found = fit([load("claude-next-9", 1)], NO_MONEY, ONCE)
    assert found.pools[0].pool == Pool("claude-next-9", frozenset({"claude-next-9"}))
    assert found.tier is None
    assert "claude-next-9" in fit_lines(found)[1]


def test_what_is_not_used_needs_no_limit() -> None:
    assert fit([load(HAIKU)], NO_MONEY, TEN).tier == TABLE.tiers[0]
    assert fit([], NO_MONEY, TEN).tier == TABLE.tiers[0]


def test_batches_of_all_models_share_a_queue_and_leave_the_other_limits_alone() -> None:
    # 150,000 requests a day on each of two models, whose tokens would pass every limit a minute.
    heavy = TokenCounts(uncached_input_tokens=10**15, output_tokens=10**15)
    loads = [monthly_load(model, 4_500_000, heavy, batch=True) for model in (OPUS, HAIKU)]
    found = fit(loads, NO_MONEY, ONCE)
    assert found.pools[0].mean == {"enqueued_batch_requests": 300_000}
    assert fit_lines(found)[:2] == [
        "Needs room for 300,000 requests in the batch queue, where those of a day may wait at once.",
        "Fits tier Build: Start allows Message Batches 200,000 requests in the queue, but 300,000 are needed.",
    ]
    assert fit_lines(fit(loads, NO_MONEY, Decimal("1.5")))[0].endswith("; 450,000 at a peak of 1.5 times that.")


def test_the_organizations_own_limits_win_over_the_table() -> None:
    own = {Pool("Haiku 5.5", frozenset({HAIKU})): limits(50, 100_000, 20_000)}
    assert fit([chatbot(HAIKU)], Decimal(45), TEN, own).own_coverage is Coverage.COVERED
    assert lines_of(chatbot(HAIKU), usd="45", measured=own)[1:-1] == ["Fits your organization's own rate limits."]


def test_own_limits_that_suffice_still_leave_the_monthly_cap_to_be_checked() -> None:
    own = {Pool("Sonnet 4.x", frozenset({SONNET})): limits(50, 100_000, 20_000)}
    assert lines_of(chatbot(), usd="1350", measured=own)[2] == (
        "Check its monthly cap too: Start's and Build's monthly caps of $500 and $1,000 do not cover $1,350.00."
    )


def test_own_limits_below_the_need_are_reported_with_the_tier_that_would_do() -> None:
    own = {Pool("Sonnet 4.x", frozenset({SONNET})): limits(5, 100_000, 20_000)}
    assert lines_of(chatbot(), usd="400", measured=own)[1:3] == [
        "Does not fit your organization's own rate limits: it allows Sonnet 4.x 5 requests a minute, but 24 are needed "
        "at the peak.",
        "By Anthropic's standard limits it fits tier Start.",
    ]


def test_an_own_limit_of_nothing_is_a_limit() -> None:
    own = {Pool("Sonnet 4.x", frozenset({SONNET})): limits(0, 1, 0)}
    assert lines_of(chatbot(), measured=own)[1] == (
        "Does not fit your organization's own rate limits: it allows Sonnet 4.x 0 output tokens a minute, but 11,575 "
        "are needed at the peak."
    )


@pytest.mark.parametrize(
    "own",
    [
        {},
        {Pool("Opus 5.5", frozenset({OPUS})): limits(9, 9, 9)},
        {Pool("Sonnet 4.x", frozenset({SONNET})): {"requests_per_minute": 1_000}},
    ],
)
def test_own_limits_that_leave_something_out_say_so_and_the_table_answers(own: Mapping[Pool, Limits]) -> None:
    assert lines_of(chatbot(), usd="400", measured=own)[1:3] == [
        "Your organization's own rate limits do not tell all of those for Sonnet 4.x.",
        "By Anthropic's standard limits it fits tier Start.",
    ]


def test_own_pools_are_those_that_the_organization_has() -> None:
    one = {Pool("Everything", frozenset({SONNET, OPUS})): limits(100, 100, 100)}
    found = fit([load(SONNET, 60), load(OPUS, 60)], NO_MONEY, ONCE, one)
    assert found.own is not None
    assert [entry.pool.name for entry in found.own] == ["Everything"]
    assert found.own_coverage is Coverage.SHORT


def test_the_batch_queue_has_own_limits_too() -> None:
    own: Mapping[Pool, Limits] = {pool_of("", TABLE.limits, batch=True): {"enqueued_batch_requests": 99}}
    assert fit([load(OPUS, "0.1", batch=True)], NO_MONEY, ONCE, own).own_coverage is Coverage.SHORT


@pytest.mark.parametrize("peak", ["0.99", "0", "-1", "NaN", "Infinity"])
def test_a_peak_below_the_mean_is_refused(peak: str) -> None:
    with pytest.raises(ValueError, match=r"give 1 or more"):
        fit([chatbot()], NO_MONEY, Decimal(peak))


rates = st.decimals(min_value=0, max_value=20_000_000, places=3)
loads = st.builds(
    Load,
    st.sampled_from([OPUS, "claude-opus-4-8", "claude-opus-4-7", FABLE, HAIKU, "claude-next-9"]),
    rates,
    rates,
    rates,
    batch=st.booleans(),
)
amounts = st.decimals(min_value=0, max_value=400_000, places=2)
peaks = st.decimals(min_value=1, max_value=1000, places=2)
some_limits = st.dictionaries(st.sampled_from(list(limits(0, 0, 0))), st.integers(0, 10**8))
measurements = st.none() | st.dictionaries(st.sampled_from(list(TABLE.limits)), some_limits, max_size=4)


def rank(found: Fit) -> tuple[int, int]:
    """Rank of the certain and of the least tier; no certain tier is above all."""
    certain = len(TIERS) if found.tier is None else TIERS.index(found.tier.name)
    return certain, TIERS.index(found.least_tier.name)


@given(st.lists(loads, max_size=4), st.lists(loads, max_size=2), amounts, amounts, peaks, peaks, measurements)
def test_more_load_a_higher_peak_or_more_money_never_fit_a_smaller_tier(
    some: list[Load],
    more: list[Load],
    usd: Decimal,
    more_usd: Decimal,
    peak: Decimal,
    other: Decimal,
    measured: Mapping[Pool, Limits] | None,
) -> None:
    low = fit(some, usd, min(peak, other), measured)
    high = fit([*some, *more], usd + more_usd, max(peak, other), measured)
    assert all(before <= after for before, after in zip(rank(low), rank(high), strict=True))
    assert rank(low)[1] <= rank(low)[0]
    if low.own_coverage is Coverage.SHORT:
        assert high.own_coverage is Coverage.SHORT
    if high.own_coverage is Coverage.COVERED:
        assert low.own_coverage is Coverage.COVERED


@given(st.lists(loads, min_size=1, max_size=4), peaks)
def test_the_peak_is_never_below_the_mean(some: list[Load], peak: Decimal) -> None:
    for found in fit(some, NO_MONEY, peak).pools:
        assert all(found.mean[limiter] <= found.peak[limiter] for limiter in found.mean)


@given(st.lists(loads, max_size=4), amounts, peaks, measurements)
def test_every_answer_has_a_line_for_each_pool_a_verdict_and_the_date(
    some: list[Load], usd: Decimal, peak: Decimal, measured: Mapping[Pool, Limits] | None
) -> None:
    found = fit(some, usd, peak, measured)
    lines = fit_lines(found)
    assert len(lines) in (len(found.pools) + 2, len(found.pools) + 3)
    assert all(line[0].isupper() or line.startswith("claude-") for line in lines)
    assert all(line.endswith(".") and "  " not in line and ": ;" not in line for line in lines)
    assert TABLE.checked_on.isoformat() in lines[-1]


@given(st.integers(0, 10**12), st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_load_is_exact_to_the_digits_of_a_decimal(requests: int, tokens_in: int, tokens_out: int) -> None:
    found = monthly_load(OPUS, requests, TokenCounts(uncached_input_tokens=tokens_in, output_tokens=tokens_out))
    for rate, in_month in (
        (found.requests_per_minute, requests),
        (found.input_tokens_per_minute, tokens_in),
        (found.output_tokens_per_minute, tokens_out),
    ):
        assert abs(Fraction(rate) * MINUTES_IN_MONTH - in_month) <= Fraction(in_month, 10**27)
