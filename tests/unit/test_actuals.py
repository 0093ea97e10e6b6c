"""A kept estimate against what was used: which inputs differ, and dollars that add up to the difference."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.budgets.actuals import (
    LEAST_HOURS,
    Comparison,
    Input,
    Stretch,
    Used,
    compared,
    every_difference,
    stretch_of,
    used_of,
)
from bot.clock import DAY, HOUR
from bot.display import Display
from bot.ledger.model import Sums
from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.estimate import Estimate, estimate
from bot.pricing.store import KeptEstimate
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.pricing.words import parse_workload
from handlers.render.actuals import Pace, actual_message

CARD = load_rate_card()
TODAY = date(2026, 11, 23)
END = datetime(2026, 11, 23, 9, tzinfo=UTC)
WEEK = Stretch(END - 7 * DAY, END, 168)
DAY_LONG = Stretch(END - DAY, END, 24)
SONNET, OPUS = "claude-sonnet-4-6", "claude-opus-4-8"
PLAIN = "sonnet-4.6 requests=100/day in=2000 out=500"
CACHED = f"{PLAIN} cached=1500 hit=60%"
DISPLAY = Display()


def estimated(words: str) -> Estimate:
    return estimate(parse_workload(words, CARD), CARD, TODAY)


def pace_of(used: list[Used], stretch: Stretch) -> Decimal | None:
    usd = (cost_of(CARD, each.model, each.counts, each.terms, TODAY, prompt_tokens=None).usd for each in used)
    return stretch.monthly(sum(usd, Decimal(0)))


def comparison(words: str, used: list[Used], stretch: Stretch = DAY_LONG) -> Comparison:
    result = estimated(words)
    return compared(result.monthly_usd, result, used, stretch, pace_of(used, stretch), CARD)


def day_of(requests: int, model: str = SONNET, terms: Terms = STANDARD, **each: int) -> Used:
    """Requests of a day, each with these tokens."""
    return Used(model, terms, TokenCounts(**{name: tokens * requests for name, tokens in each.items()}), requests)


def words_of(found: Comparison, pace: Decimal | None, stretch: Stretch = DAY_LONG, *, logged: bool = True) -> str:
    kept = KeptEstimate("bot", PLAIN, found.estimated_usd, TODAY, "U0DEV", END, "feature:support")
    shown = Pace(stretch, pace, frozenset(), (), logged)
    return actual_message(kept, found, shown, DISPLAY).text


@pytest.mark.parametrize(
    ("words", "used", "inputs", "said"),
    [
        (PLAIN, [day_of(100, uncached_input_tokens=2000, output_tokens=500)], {}, "is about as estimated"),
        (
            # 3,000 requests × 140 × $15 per million.
            PLAIN,
            [day_of(100, uncached_input_tokens=2000, output_tokens=640)],
            {Input.OUTPUT: "6.30"},
            "output 640 tokens a request instead of 500 (+$6.30)",
        ),
        (
            # 600 more requests × $0.0135.
            PLAIN,
            [day_of(120, uncached_input_tokens=2000, output_tokens=500)],
            {Input.REQUESTS: "8.10"},
            "120 requests a day instead of 100 (+$8.10)",
        ),
        (
            # 3,000 requests × 1,000 × $3 per million.
            PLAIN,
            [day_of(100, uncached_input_tokens=1000, output_tokens=500)],
            {Input.PROMPT: "-9.00"},
            "input 1,000 tokens a request instead of 2,000 (-$9.00)",
        ),
        (
            # 1,500 of 2,000 tokens of 3,000 requests are read for $0.30 and not for $3.
            PLAIN,
            [day_of(100, uncached_input_tokens=500, cache_read_input_tokens=1500, output_tokens=500)],
            {Input.CACHED: "-12.15"},
            "75% of the input cached instead of 0% (-$12.15)",
        ),
        (
            # 4.5M cached tokens, of which 40 % and not 60 % are read at $0.30, the others written at $3.75.
            CACHED,
            [
                day_of(40, uncached_input_tokens=500, cache_read_input_tokens=1500, output_tokens=500),
                day_of(60, uncached_input_tokens=500, cache_creation_5m_input_tokens=1500, output_tokens=500),
            ],
            {Input.HIT: "3.105"},
            "cache hit rate 40% instead of 60% (+$3.11)",
        ),
        (
            # 40 % of 4.5M tokens are written for an hour: $6 and not $3.75.
            CACHED,
            [
                day_of(60, uncached_input_tokens=500, cache_read_input_tokens=1500, output_tokens=500),
                day_of(40, uncached_input_tokens=500, cache_creation_1h_input_tokens=1500, output_tokens=500),
            ],
            {Input.TTL: "4.05"},
            "100% of the cache writes for 1 hour instead of 0% (+$4.05)",
        ),
        (
            # Opus 4.8 is $5 and $25: half of 3,000 requests at $0.0225 and not $0.0135.
            PLAIN,
            [
                day_of(50, uncached_input_tokens=2000, output_tokens=500),
                day_of(50, OPUS, uncached_input_tokens=2000, output_tokens=500),
            ],
            {Input.MODELS: "13.50"},
            "Opus 4.8 50% + Sonnet 4.6 50% instead of Sonnet 4.6 (+$13.50)",
        ),
        (
            f"{PLAIN} batch",
            [day_of(100, uncached_input_tokens=2000, output_tokens=500)],
            {Input.BATCH: "20.25"},
            "0% of the tokens in batches instead of 100% (+$20.25)",
        ),
        (
            PLAIN,
            [day_of(100, terms=Terms(inference_geo="us"), uncached_input_tokens=2000, output_tokens=500)],
            {Input.US: "4.05"},
            "100% of the tokens in the US instead of 0% (+$4.05)",
        ),
        (
            PLAIN,
            [day_of(100, uncached_input_tokens=2000, output_tokens=500, web_search_requests=2)],
            {Input.SEARCHES: "60"},
            "2 web searches a request instead of 0 (+$60.00)",
        ),
        (
            f"{PLAIN} turns=2",
            [day_of(200, uncached_input_tokens=3250, output_tokens=500)],
            {},
            "is about as estimated",
        ),
    ],
)
def test_one_input_that_differs_is_named_with_its_dollars(
    words: str, used: list[Used], inputs: Mapping[Input, str], said: str
) -> None:
    found = comparison(words, used)
    assert {each.input: each.usd for each in found.differences} == {
        each: Fraction(Decimal(usd)) for each, usd in inputs.items()
    }
    assert found.rest_usd == 0
    assert said in words_of(found, pace_of(used, DAY_LONG))


def test_the_largest_effect_comes_first() -> None:
    used = [
        day_of(38, uncached_input_tokens=500, cache_read_input_tokens=1500, output_tokens=640),
        day_of(62, uncached_input_tokens=500, cache_creation_5m_input_tokens=1500, output_tokens=640),
    ]
    found = comparison(CACHED, used)
    # 4.5M × 22 % × $3.45 per million are $3.4155, and 3,000 × 140 × $15 are $6.30.
    assert [each.input for each in found.differences] == [Input.OUTPUT, Input.HIT]
    assert (
        "output 640 tokens a request instead of 500 (+$6.30), cache hit rate 38% instead of 60% (+$3.42)."
        in words_of(found, pace_of(used, DAY_LONG))
    )


def test_without_requests_the_tokens_of_a_month_are_compared() -> None:
    used = [day_of(100, uncached_input_tokens=3000, output_tokens=500)._replace(requests=None)]
    found = comparison(PLAIN, used)
    assert [each.input for each in found.differences] == [Input.PROMPT]
    text = words_of(found, pace_of(used, DAY_LONG), logged=False)
    assert "input 9.0M tokens a month instead of 6.0M (+$9.00)" in text
    assert "requests a day" not in text
    assert "cannot be compared: Anthropic's usage report does not count requests" in text


def test_a_price_that_has_changed_since_is_named() -> None:
    result, used = estimated(PLAIN), [day_of(100, uncached_input_tokens=2000, output_tokens=500)]
    found = compared(Decimal("30.50"), result, used, DAY_LONG, pace_of(used, DAY_LONG), CARD)
    assert "list prices since it was kept (+$10.00)" in words_of(found, pace_of(used, DAY_LONG))


def test_too_few_hours_give_no_pace_but_show_what_a_request_is_like() -> None:
    short = Stretch(END - 2 * HOUR, END, LEAST_HOURS - 1)
    used = [day_of(1, uncached_input_tokens=2000, output_tokens=900)]
    found = comparison(PLAIN, used, short)
    assert (found.monthly_usd, found.rest_usd) == (None, None)
    text = words_of(found, None, short)
    assert "pace not known yet (it takes 6 hours of usage): output 900 tokens a request instead of 500." in text
    assert "requests a day" not in text


def test_what_nobody_used_is_no_difference_in_every_input() -> None:
    found = comparison(PLAIN, [])
    assert (found.nothing_used, found.differences) == (True, ())
    assert "on pace for $0.00 (-100%): no usage of feature:support in the 1 day up to" in words_of(found, Decimal(0))


@pytest.mark.parametrize(
    ("used_for", "since", "hours"),
    [
        (timedelta(0), timedelta(0), 0),
        (5 * HOUR, 5 * HOUR, 5),
        (6 * HOUR, 6 * HOUR, 6),
        (23 * HOUR, 23 * HOUR, 23),
        (24 * HOUR, DAY, 24),
        (71 * HOUR, 2 * DAY, 48),
        (27 * DAY, 7 * DAY, 168),
    ],
)
def test_the_pace_is_taken_from_whole_days_where_there_are_any(
    used_for: timedelta, since: timedelta, hours: int
) -> None:
    found = stretch_of(END - used_for, END, lambda first, end: (end - first) // HOUR)
    assert (END - found.since, found.hours, found.gives_pace) == (since, hours, hours >= LEAST_HOURS)
    assert found.until == (END if found.gives_pace else END + HOUR)


def test_hours_that_are_not_known_do_not_count_as_hours_without_usage() -> None:
    found = stretch_of(END - 9 * DAY, END, lambda first, end: 84)
    assert found.monthly(Decimal(7)) == 60
    assert "in the 7 days up to 23 Nov 09:00 UTC, of which 84 hours are not known" in words_of(
        comparison(PLAIN, [], found), Decimal(0), found
    )


def test_requests_that_failed_answered_nothing_and_unknown_ones_are_not_guessed() -> None:
    counts = TokenCounts(uncached_input_tokens=1000)
    at = (SONNET, STANDARD, None)
    [answered] = used_of({at: Sums(counts, requests=10, errors=1, rate_limited=4)})
    assert answered.requests == 5
    part = TokenCounts(uncached_input_tokens=50)
    assert [each.requests for each in used_of({at: Sums(counts, 10), (OPUS, STANDARD, None): Sums(part)})] == [10, 0]
    assert [each.requests for each in used_of({at: Sums(counts, 10), (OPUS, STANDARD, None): Sums(counts)})] == [
        None,
        None,
    ]


workloads = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["sonnet-4.6", "opus-4.8", "mix=sonnet-4.6:30,haiku-4.5:70", "mix=opus-4.7:50,haiku-4.5:50"]),
        st.integers(1, 10**6).map(lambda n: f"requests={n}"),
        st.sampled_from(["in=5000", "in=123457", "in=9000 cached=8192 hit=71%", "in=9000 cached=5000 ttl=1h hit=100%"]),
        st.integers(0, 5000).map(lambda n: f"out={n}"),
        st.sampled_from(["", "batch", "geo=us", "turns=3", "search=0.5"]),
    ).filter(lambda words: not (words[4] == "geo=us" and "haiku" in words[0])),
)
tokens = st.integers(0, 10**9)
usages = st.lists(
    st.builds(
        Used,
        st.sampled_from([SONNET, OPUS, "claude-haiku-4-5", "claude-unheard-of-9"]),
        st.builds(
            Terms,
            st.sampled_from([None, "standard", "batch", "priority"]),
            st.sampled_from([None, "us", "global", "unknown"]),
            st.sampled_from([None, "fast"]),
        ),
        st.builds(TokenCounts, tokens, tokens, tokens, tokens, tokens, st.integers(0, 1000)),
        st.integers(0, 10**5),
    ),
    min_size=1,
    max_size=5,
)


@given(workloads, usages, st.booleans(), st.integers(1, 168))
def test_the_effects_of_all_inputs_lead_from_the_estimate_to_the_pace(
    words: str, used: list[Used], counted: bool, hours: int
) -> None:
    used = used if counted else [each._replace(requests=None) for each in used]
    stretch = WEEK._replace(hours=hours)
    result = estimated(words)
    effects = [each.usd or Fraction(0) for each in every_difference(result, used, stretch, CARD)]
    usd = sum((cost_of(CARD, u.model, u.counts, u.terms, TODAY, prompt_tokens=None).usd for u in used), Decimal(0))
    assert Fraction(result.monthly_usd) + sum(effects, Fraction(0)) == Fraction(usd) * 720 / hours


@given(workloads, usages, st.booleans())
def test_the_dollars_that_are_shown_add_up_to_the_difference_that_is_shown(
    words: str, used: list[Used], counted: bool
) -> None:
    used = used if counted else [each._replace(requests=None) for each in used]
    found = comparison(words, used, WEEK)
    assume(found.differences)
    text = words_of(found, pace_of(used, WEEK), WEEK).partition("\n")[0]
    # What comes to no cent is shown as `under $0.01`, and counts as none.
    estimated_usd, pace = (
        Decimal(0) if under else Decimal(amount.replace(",", ""))
        for under, amount in re.findall(r"(?:ed|for) (under )?\$([\d,.]+\d)", text)
    )
    parts = re.findall(r"\((-|\+)\$([\d,.]+)\)", text)
    shown: Any = sum((Decimal(sign + amount.replace(",", "")) for sign, amount in parts), Decimal(0))
    assert shown == pace - estimated_usd
