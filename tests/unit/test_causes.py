"""Why spend moved: what is named, with how many dollars, and what is not worth naming."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, parse_scope
from bot.budgets.budget_spend import NamedCause
from bot.budgets.spend import price_usage
from bot.budgets.trend import LEAST_USD, MOST_CAUSES, Cause, CauseKind, Recent, RecentUsage, causes
from bot.clock import DAY
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import DayUsage
from handlers.render.spend import cause_line

CARD = load_rate_card()
TODAY = date(2026, 11, 20)
MILLION = 1_000_000
OPUS, HAIKU = "claude-opus-4-8", "claude-haiku-4-5"
NORMAL = TokenCounts(
    uncached_input_tokens=MILLION,
    cache_creation_5m_input_tokens=200_000,
    cache_creation_1h_input_tokens=100_000,
    cache_read_input_tokens=10 * MILLION,
    output_tokens=400_000,
)
"""$5 + $1.25 + $1 + $5 + $10 on Opus 4.8, at $5, $6.25, $10, $0.50 and $25 a million."""


def used(
    counts: TokenCounts = NORMAL,
    model: str = OPUS,
    key: str | None = "apikey_1",
    terms: Terms = STANDARD,
    workspace: str = "wrkspc_1",
) -> DayUsage:
    return DayUsage(TODAY, model, workspace, key, terms, counts)


def times(counts: TokenCounts, factor: int) -> TokenCounts:
    return TokenCounts(
        counts.uncached_input_tokens * factor,
        counts.cache_creation_5m_input_tokens * factor,
        counts.cache_creation_1h_input_tokens * factor,
        counts.cache_read_input_tokens * factor,
        counts.output_tokens * factor,
    )


def recent(last: Sequence[DayUsage], before: Sequence[DayUsage], share: Decimal = Decimal(1)) -> Recent:
    """`share`: what the rows of the earlier stretch count with."""
    return Recent(
        [RecentUsage(priced, Decimal(1)) for priced in price_usage(last, CARD)],
        [RecentUsage(priced, share) for priced in price_usage(before, CARD)],
        DAY,
    )


def named(last: Sequence[DayUsage], before: Sequence[DayUsage], scope: str = "organization") -> tuple[Cause, ...]:
    """New are the models of the last stretch that the one before did not use."""
    new_models = {used.model for used in last} - {used.model for used in before}
    return causes(recent(last, before), parse_scope(scope), CARD, new_models)


def line(cause: Cause) -> str:
    return cause_line(
        NamedCause(
            kind=cause.kind,
            model=cause.model,
            workspace=cause.workspace_id,
            key=cause.api_key_id,
            usd=cause.usd,
            before=cause.before,
            after=cause.after,
        )
    ).partition(": ")[2]


def test_usage_that_stays_as_it_was_has_no_cause() -> None:
    assert named([used()], [used()]) == ()


def test_a_cache_that_is_not_hit_any_more_is_named_with_what_it_costs() -> None:
    missed = NORMAL._replace(uncached_input_tokens=9 * MILLION, cache_read_input_tokens=2 * MILLION)
    (cause,) = named([used(missed)], [used()])
    assert cause.kind is CauseKind.CACHE_READ_FELL
    # Eight million tokens at $5 instead of $0.50; writes, which are more expensive, are a little of the rest.
    assert 36 <= cause.usd < 38
    assert line(cause) == f"cache-read share fell from 88% to 18%, about ${cause.usd:.2f}"


def test_a_cache_is_not_missed_by_who_sends_no_input_at_all() -> None:
    only_output = TokenCounts(output_tokens=9 * MILLION)
    assert CauseKind.CACHE_READ_FELL not in {cause.kind for cause in named([used(only_output)], [used()])}


def test_the_very_same_traffic_twice_is_more_tokens_and_nothing_else() -> None:
    (cause,) = named([used(times(NORMAL, 2))], [used()])
    assert (cause.kind, cause.usd) == (CauseKind.TOKENS_ROSE, Decimal("22.25"))
    assert line(cause) == "tokens doubled, 11.7 million → 23.4 million, about $22.25"


def test_longer_cache_writes_are_named_in_dollars() -> None:
    (cause,) = named([used(NORMAL._replace(cache_creation_1h_input_tokens=640_000))], [used()])
    assert (cause.kind, cause.before, cause.after) == (
        CauseKind.CACHE_WRITES_1H_ROSE,
        Decimal(1),
        Decimal("6.4"),
    )
    assert line(cause).startswith("1-hour cache writes rose, $1.00 → $6.40, about $5.")


def test_one_hour_writes_that_doubled_say_so() -> None:
    before = NORMAL._replace(cache_creation_1h_input_tokens=310_000)
    after = NORMAL._replace(cache_creation_1h_input_tokens=640_000)
    (cause,) = named([used(after)], [used(before)])
    assert line(cause).startswith("1-hour cache writes doubled, $3.10 → $6.40")


def test_longer_answers_are_named() -> None:
    (cause,) = named([used(NORMAL._replace(output_tokens=MILLION))], [used()])
    assert cause.kind is CauseKind.OUTPUT_ROSE
    assert line(cause).startswith("output doubled, $10.00 → $25.00, about $14.")


def test_fast_mode_is_named_with_its_premium_alone() -> None:
    (cause,) = named([used(terms=Terms(speed="fast"))], [used(terms=Terms(speed="standard"))])
    assert (cause.kind, cause.usd) == (CauseKind.FAST_MODE, Decimal("22.25"))
    assert line(cause) == "fast mode on, about $22.25"


def test_us_only_inference_is_named_with_its_premium_alone() -> None:
    (cause,) = named([used(terms=Terms(inference_geo="us"))], [used(terms=Terms(inference_geo="global"))])
    assert cause.kind is CauseKind.US_ONLY
    assert abs(cause.usd - Decimal("2.225")) < Decimal("1e-20")
    assert line(cause).startswith("US-only inference on, about $2.2")


def test_work_that_left_the_batches_is_named_with_the_discount_that_it_lost() -> None:
    (cause,) = named([used(terms=STANDARD)], [used(terms=Terms(service_tier="batch"))])
    assert (cause.kind, cause.usd) == (CauseKind.BATCH_FELL, Decimal("11.125"))
    assert line(cause) == "share in batches fell from 100% to 0%, about $11.13"


def test_a_model_that_was_never_used_before_is_named_once() -> None:
    new = "claude-opus-5-5"
    found = named([used(), used(model=new), used(model=new, key="apikey_2")], [used()])
    assert [(cause.kind, cause.model) for cause in found] == [(CauseKind.NEW_MODEL, new)]
    assert line(found[0]).startswith("model first seen, $")


def test_a_model_that_was_used_long_ago_is_not_new() -> None:
    known = recent([used(), used(model=HAIKU)], [used()])
    assert causes(known, ORGANIZATION, CARD, frozenset()) == ()


def test_where_nothing_was_used_before_there_is_no_cause() -> None:
    assert causes(recent([used()], []), ORGANIZATION, CARD, frozenset()) == ()


def test_what_explains_little_is_not_named() -> None:
    big = used(times(NORMAL, 100), key="apikey_2")
    assert named([big, used(terms=Terms(speed="fast"))], [big, used()]) == ()
    small = TokenCounts(uncached_input_tokens=20_000)
    assert named([used(small, terms=Terms(speed="fast"))], [used(small)]) == ()


def test_only_the_scope_of_the_budget_counts() -> None:
    last = [used(), used(workspace="wrkspc_2", terms=Terms(speed="fast"))]
    before = [used(), used(workspace="wrkspc_2")]
    assert named(last, before, "workspace:wrkspc_1") == ()
    (cause,) = named(last, before, "workspace:wrkspc_2")
    assert cause.workspace_id == "wrkspc_2"


def test_an_hour_is_held_against_the_mean_hour_of_a_day() -> None:
    day, hour = used(times(NORMAL, 24)), used(NORMAL)
    assert causes(recent([hour], [day], Decimal(1) / 24), ORGANIZATION, CARD, frozenset()) == ()
    (cause,) = causes(recent([day], [day], Decimal(1) / 24), ORGANIZATION, CARD, frozenset())
    assert cause.kind is CauseKind.TOKENS_ROSE


COUNTS = st.integers(min_value=0, max_value=50 * MILLION)
ROWS = st.lists(
    st.builds(
        used,
        st.builds(TokenCounts, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.just(0)),
        st.sampled_from([OPUS, HAIKU, "claude-unknown-1"]),
        st.sampled_from(["apikey_1", "apikey_2", None]),
        st.builds(
            Terms,
            st.sampled_from([None, "batch", "standard"]),
            st.sampled_from([None, "us"]),
            st.sampled_from([None, "fast"]),
        ),
    ),
    max_size=6,
)


@given(ROWS, ROWS)
def test_whatever_was_used_the_causes_are_few_worth_naming_and_the_largest_first(
    last: list[DayUsage], before: list[DayUsage]
) -> None:
    found = named(last, before)
    assert len(found) <= MOST_CAUSES
    assert [cause.usd for cause in found] == sorted((cause.usd for cause in found), reverse=True)
    assert all(cause.usd >= LEAST_USD and line(cause) for cause in found)


@pytest.mark.parametrize("kind", list(CauseKind))
def test_every_kind_of_cause_has_a_line(kind: CauseKind) -> None:
    assert line(Cause(kind, OPUS, "Search", None, Decimal(3), Decimal("0.5"), Decimal("0.25")))
