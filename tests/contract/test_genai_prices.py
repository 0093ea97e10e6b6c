"""The rate card against genai-prices, an independent price table: where the two disagree, a row here says why.

For one request both compute a price. Each row of DISAGREEMENTS changes the request into the one that genai-prices
prices in its place; after all rows that apply, the two prices have to be equal to the last digit. A row whose
example no longer shows a difference fails, so that this table cannot outlive its reasons.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

CARD = load_rate_card()
NOT_LISTED_THERE = {"claude-mythos-5", "claude-mythos-5-1", "claude-instant-1.2"}
BEFORE_CACHES = {"claude-2.1", "claude-2.0", "claude-1.3"}
"""`claude-1.3` is `claude-v1` there."""
COMPARED = [model_id for model_id in CARD.models if model_id not in NOT_LISTED_THERE]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its whole prompt in `counts`."""

    model: str
    counts: TokenCounts
    on: date
    terms: Terms = STANDARD

    @property
    def is_batch(self) -> bool:
        return self.terms.service_tier == "batch"


def ours(request: Request) -> Decimal:
    prompt = request.counts.prompt_tokens
    return cost_of(CARD, request.model, request.counts, request.terms, request.on, prompt_tokens=prompt).usd


def theirs(request: Request, provider: str = "anthropic") -> Decimal:
    counts = request.counts
    context = {}
    if request.is_batch:
        context["processing"] = "batch"
    elif request.terms.speed == "fast":
        context["speed"] = "fast"
    # Their input tokens include the cached ones, and their cache writes those of an hour.
    usage = Usage(
        input_tokens=counts.prompt_tokens,
        cache_write_tokens=counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens,
        cache_write_1h_tokens=counts.cache_creation_1h_input_tokens,
        cache_read_tokens=counts.cache_read_input_tokens,
        output_tokens=counts.output_tokens,
        web_searches=counts.web_search_requests,
    )
    at = datetime.combine(request.on, time(12), UTC)
    model = {"claude-1.3": "claude-v1"}.get(request.model, request.model)
    return calc_price(usage, model, provider_id=provider, genai_request_timestamp=at, price_context=context).total_price


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`as_priced_there` turns a request to which the reason applies into the one that is priced in its place."""

    reason: str
    applies: Callable[[Request], bool]
    as_priced_there: Callable[[Request], Request]
    example: Request


def _standard_tier(request: Request) -> Request:
    return replace(request, terms=request.terms._replace(service_tier=None))


def _standard_speed(request: Request) -> Request:
    return replace(request, terms=request.terms._replace(speed=None))


def _on(day: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, on=date.fromisoformat(day))


def _uncached(counts: TokenCounts) -> TokenCounts:
    return TokenCounts(
        counts.prompt_tokens, output_tokens=counts.output_tokens, web_search_requests=counts.web_search_requests
    )


WRITTEN_AND_READ = TokenCounts(1_000, 2_000, 3_000, 4_000, 5_000)
LONG = TokenCounts(200_001, output_tokens=1_000)
BATCH_VARIANTS_SINCE = date(2026, 10, 14)
WITHOUT_BATCH = {
    "claude-opus-4-1",
    "claude-opus-4",
    "claude-3-opus",
    "claude-sonnet-4",
    "claude-3-7-sonnet",
    "claude-3-5-sonnet",
    "claude-3-sonnet",
    "claude-3-5-haiku",
    "claude-3-haiku",
    *BEFORE_CACHES,
}
WITH_BATCH_FROM_THE_START = {"claude-fable-5-2", "claude-mythos-5-2"}
FAST_ONCE = {"claude-opus-4-6": date(2026, 6, 28), "claude-opus-4-7": date(2026, 7, 23)}

DISAGREEMENTS = [
    Disagreement(
        "Its batch prices begin on 2026-10-14, when they joined its table; batches were half price before, too.",
        lambda request: (
            request.is_batch
            and request.on < BATCH_VARIANTS_SINCE
            and request.model not in WITHOUT_BATCH | WITH_BATCH_FROM_THE_START
        ),
        _standard_tier,
        Request("claude-opus-5", WRITTEN_AND_READ, date(2026, 10, 13), Terms("batch")),
    ),
    Disagreement(
        "It has no batch prices of retired models; Anthropic's page lists half of every column for them.",
        lambda request: request.is_batch and request.model in WITHOUT_BATCH,
        _standard_tier,
        Request("claude-opus-4-1", WRITTEN_AND_READ, date(2026, 8, 1), Terms("batch")),
    ),
    Disagreement(
        "It has no fast prices of Opus 4.6 and 4.7; Anthropic's fast-mode page had them until fast mode was removed.",
        lambda request: request.terms.speed == "fast" and request.model in FAST_ONCE,
        _standard_speed,
        Request("claude-opus-4-7", WRITTEN_AND_READ, date(2026, 7, 23), Terms(speed="fast")),
    ),
    Disagreement(
        "Its fast price of Opus 4.8 has no end; Anthropic ends it on 2026-11-30.",
        lambda request: (
            request.terms.speed == "fast" and request.model == "claude-opus-4-8" and request.on > date(2026, 11, 30)
        ),
        _on("2026-11-30"),
        Request("claude-opus-4-8", WRITTEN_AND_READ, date(2026, 12, 1), Terms(speed="fast")),
    ),
    Disagreement(
        "It has only today's cache-read price of Sonnet 5.5, which was 0.20 until 2026-10-06.",
        lambda request: request.model == "claude-sonnet-5-5" and request.on < date(2026, 10, 7),
        _on("2026-10-07"),
        Request("claude-sonnet-5-5", WRITTEN_AND_READ, date(2026, 10, 6)),
    ),
    Disagreement(
        "It keeps the price step of Sonnet 4.5 after the end of the long-context beta; such requests are errors now.",
        lambda request: request.model == "claude-sonnet-4-5" and request.on > date(2026, 4, 30),
        _on("2026-04-30"),
        Request("claude-sonnet-4-5", LONG, date(2026, 5, 1)),
    ),
    Disagreement(
        "It never had the price step of Sonnet 4, which was in the same beta as Sonnet 4.5.",
        lambda request: request.model == "claude-sonnet-4" and request.on <= date(2026, 4, 30),
        _on("2026-05-01"),
        Request("claude-sonnet-4", LONG, date(2026, 4, 30)),
    ),
    Disagreement(
        "It has no price of a web search with the third generation; Anthropic's depends on no model.",
        lambda request: (
            request.counts.web_search_requests > 0
            and request.model in {"claude-3-opus", "claude-3-sonnet", "claude-3-haiku", *BEFORE_CACHES}
        ),
        lambda request: replace(request, counts=request.counts._replace(web_search_requests=0)),
        Request("claude-3-haiku", TokenCounts(web_search_requests=1), date(2026, 4, 1)),
    ),
    Disagreement(
        "It prices what Claude 1 and 2 would have cached as plain input; they cached nothing, so no usage has any.",
        lambda request: request.model in BEFORE_CACHES,
        lambda request: replace(request, counts=_uncached(request.counts)),
        Request("claude-2.1", WRITTEN_AND_READ, date(2025, 7, 1)),
    ),
]


def as_priced_there(request: Request) -> Request:
    for row in [row for row in DISAGREEMENTS if row.applies(request)]:
        request = row.as_priced_there(request)
    return request


amounts = st.one_of(st.integers(0, 3_000), st.integers(0, 120_000), st.sampled_from([0, 100_000, 100_001, 200_001]))
counted = st.builds(TokenCounts, amounts, amounts, amounts, amounts, amounts, st.integers(0, 20))
terms_of_service = st.sampled_from([STANDARD, Terms("standard"), Terms("batch"), Terms(speed="fast")])
days = st.one_of(
    st.dates(date(2025, 6, 1), date(2027, 6, 1)),
    st.sampled_from([date(2026, 3, 12), date(2026, 3, 13), date(2026, 4, 30), date(2026, 5, 1), date(2026, 10, 7)]),
)


@pytest.mark.parametrize("model_id", COMPARED)
def test_both_tables_price_any_request_alike_but_for_the_listed_reasons(model_id: str) -> None:
    @settings(derandomize=True)
    @given(counted, days, terms_of_service)
    def compare(counts: TokenCounts, on: date, terms: Terms) -> None:
        request = Request(model_id, counts, on, terms)
        assert theirs(request) == ours(as_priced_there(request))

    compare()


@pytest.mark.parametrize("row", DISAGREEMENTS, ids=lambda row: row.reason[:60])
def test_every_listed_reason_still_makes_a_difference(row: Disagreement) -> None:
    assert [other for other in DISAGREEMENTS if other.applies(row.example)] == [row]
    assert theirs(row.example) == ours(row.as_priced_there(row.example)) != ours(row.example)


@pytest.mark.parametrize("model_id", COMPARED)
def test_without_a_listed_reason_the_list_prices_of_today_agree(model_id: str) -> None:
    counts = TokenCounts(1_000, output_tokens=5_000) if model_id in BEFORE_CACHES else WRITTEN_AND_READ
    today = Request(model_id, counts, CARD.checked_on)
    assert theirs(today) == ours(today)


@pytest.mark.parametrize("model_id", sorted(NOT_LISTED_THERE))
def test_some_models_are_in_our_table_alone(model_id: str) -> None:
    with pytest.raises(LookupError):
        theirs(Request(model_id, WRITTEN_AND_READ, CARD.checked_on))


# Their Bedrock ids: dated before 4.6, with a version where Bedrock has one.
BEDROCK = {
    "claude-fable-5-2": "claude-fable-5-2",
    "claude-fable-5-1": "claude-fable-5-1-v1:0",
    "claude-fable-5": "claude-fable-5-v1:0",
    "claude-mythos-5-2": "claude-mythos-5-2",
    "claude-opus-5-5": "claude-opus-5-5",
    "claude-opus-5": "claude-opus-5",
    "claude-opus-4-8": "claude-opus-4-8",
    "claude-opus-4-7": "claude-opus-4-7",
    "claude-opus-4-6": "claude-opus-4-6-v1",
    "claude-opus-4-5": "claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-1": "claude-opus-4-1-20250805-v1:0",
    "claude-opus-4": "claude-opus-4-20250514-v1:0",
    "claude-sonnet-5-5": "claude-sonnet-5-5",
    "claude-sonnet-5": "claude-sonnet-5",
    "claude-sonnet-4-6": "claude-sonnet-4-6",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929-v1:0",
    "claude-sonnet-4": "claude-sonnet-4-20250514-v1:0",
    "claude-3-7-sonnet": "claude-3-7-sonnet-20250219-v1:0",
    "claude-haiku-5-5": "claude-haiku-5-5",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001-v1:0",
    "claude-3-5-haiku": "claude-3-5-haiku-20241022-v1:0",
}


@pytest.mark.parametrize("model_id", BEDROCK)
def test_a_region_of_bedrock_costs_the_same_premium_in_both_tables(model_id: str) -> None:
    # Without 1-hour writes, which their older Bedrock entries have no price for.
    counts = TokenCounts(1_000, 2_000, 0, 4_000, 5_000)
    regional = Request(f"us.anthropic.{BEDROCK[model_id]}", counts, CARD.checked_on)
    assert theirs(regional, "aws") == ours(regional)
    premium = Decimal("1.1") if CARD.models[model_id].regional_premium else 1
    assert ours(regional) == ours(replace(regional, model=model_id)) * premium
