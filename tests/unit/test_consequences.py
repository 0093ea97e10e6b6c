"""Costs of a step to a cheaper model: only effects on what the team uses, and the unrestricted mix."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.spend import price_usage
from bot.budgets.trend import RecentUsage
from bot.modes.consequences import Consequences, consequences, unrestrained_until
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DayUsage
from handlers.render.spend import cost_lines

CARD = load_rate_card()
TODAY = date(2026, 11, 22)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAIN = TokenCounts(uncached_input_tokens=1_000_000)
CACHED = TokenCounts(uncached_input_tokens=1_000, cache_read_input_tokens=2_000_000)


def used(model: str, counts: TokenCounts = PLAIN, share: str = "1") -> RecentUsage:
    row = DayUsage(TODAY, model, "wrkspc_1", "apikey_1", STANDARD, counts)
    return RecentUsage(price_usage([row], CARD)[0], Decimal(share))


def test_a_step_to_a_newer_tokenizer_makes_more_tokens_of_the_same_text() -> None:
    found = consequences("claude-haiku-5-5", [used("claude-sonnet-4-6")], CARD, TODAY)
    assert found == Consequences("Haiku 5.5", retokenized=("Sonnet 4.6",), options=("Sonnet 4.6",))
    assert cost_lines(found) == [
        "The same text is about 30% more tokens on Haiku 5.5 than on Sonnet 4.6.",
        "Options for thinking and tool_choice are others on Haiku 5.5 than on Sonnet 4.6: try a request.",
    ]


def test_a_step_within_one_generation_costs_nothing_where_nothing_is_cached() -> None:
    found = consequences("claude-sonnet-5-5", [used("claude-opus-5-5")], CARD, TODAY)
    assert found == Consequences("Sonnet 5.5")
    assert cost_lines(found) == []


def test_caches_start_cold_and_are_lost_below_the_new_models_shortest_prompt() -> None:
    found = consequences("claude-haiku-4-5", [used("claude-opus-5-5", CACHED, "0.5")], CARD, TODAY)
    assert found is not None
    assert (found.cached_tokens, found.cached_from) == (1_000_000, 4096)
    lines = cost_lines(found)
    assert "1,000,000 tokens in 24 h" in lines[0]
    assert lines[1] == "Haiku 4.5 caches prompts from 4,096 tokens on: shorter ones lose their cache."
    kept = consequences("claude-haiku-5-5", [used("claude-opus-5-5", CACHED)], CARD, TODAY)
    assert kept is not None
    assert (kept.cached_tokens, kept.cached_from) == (2_000_000, None)


def test_a_model_that_stays_below_the_ceiling_costs_nothing() -> None:
    found = consequences("claude-sonnet-5-5", [used("claude-haiku-4-5", CACHED)], CARD, TODAY)
    assert found == Consequences("Sonnet 5.5")


def test_a_target_that_retires_soon_is_named() -> None:
    leaving = consequences("claude-sonnet-4-5", [], CARD, TODAY)
    assert leaving == Consequences("Sonnet 4.5", retires=date(2026, 11, 30))
    assert cost_lines(leaving) == ["Sonnet 4.5 retires on 2026-11-30: have a newer model ready."]
    maybe = consequences("claude-haiku-4-5", [], CARD, TODAY)
    assert cost_lines(maybe) == ["Haiku 4.5 may retire from 2026-10-15 on."]
    assert consequences("claude-sonnet-4-6", [], CARD, TODAY) == Consequences("Sonnet 4.6")
    assert consequences("claude-tomorrow-9", [], CARD, TODAY) is None


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ([], None),
        ([(-2 * HOUR, True)], -2 * HOUR),
        ([(-5 * DAY, True), (-3 * DAY, False)], None),
        ([(-5 * DAY, True), (-2 * HOUR, False)], -5 * DAY),
        ([(-5 * DAY, True), (-3 * DAY, True)], -5 * DAY),
        # A short pause does not make a day of free usage.
        ([(-5 * DAY, True), (-3 * HOUR, False), (-2 * HOUR, True)], -5 * DAY),
        ([(-5 * DAY, True), (-4 * DAY, False), (-2 * HOUR, True)], -2 * HOUR),
    ],
)
def test_the_mix_is_that_of_the_last_day_on_which_no_mode_held_the_team_back(
    changes: list[tuple[timedelta, bool]], until: timedelta | None
) -> None:
    found = unrestrained_until([(NOON + at, held) for at, held in changes], NOON)
    assert found == (None if until is None else NOON + until)


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=20))
def test_the_day_that_is_found_is_free_of_every_mode(minutes: list[tuple[int, bool]]) -> None:
    changes = sorted((NOON - timedelta(minutes=ago), held) for ago, held in minutes)
    until = unrestrained_until(changes, NOON) or NOON
    ends = [*(at for at, _ in changes), NOON][1:]
    for (begin, held), end in zip(changes, ends, strict=True):
        assert not held or begin == end or end <= until - DAY or begin >= until
