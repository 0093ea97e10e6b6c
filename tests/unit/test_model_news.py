"""Announcements about models in use, and their effect in USD."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.retirement import STAGES, news_of, stage_of
from bot.budgets.model_news import models_in_use, price_change_of, repriced, retirement_of, retiring, successor_of
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, TokenCounts
from bot.usage.model import DataState, UsageRow
from tests.snapshots import snapshot_of

CARD = load_rate_card()
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TODAY = NOW.date()
MILLION = TokenCounts(uncached_input_tokens=1_000_000)


def test_models_that_end_within_sixty_days_are_the_two_of_the_table() -> None:
    found = retiring(CARD.models.values(), TODAY)
    assert [(each.id, each.retires) for each in found] == [
        ("claude-sonnet-4-5", date(2026, 11, 30)),
        ("claude-opus-4-5", date(2027, 1, 22)),
    ]


def test_the_successor_is_the_newest_of_the_family_and_counts_its_own_tokens() -> None:
    opus = CARD.models["claude-opus-4-5"]
    successor = successor_of(opus, CARD, TODAY)
    assert successor is not None
    assert successor.id == "claude-opus-5-5"
    found = retirement_of(opus, {("claude-opus-4-5-20251101", STANDARD): MILLION}, 14, CARD, TODAY)
    assert found.usd == opus.rates(TODAY).input
    assert found.successor_usd == successor.rates(TODAY).input * Decimal("1.3")


def test_other_models_do_not_count_for_it() -> None:
    found = retirement_of(CARD.models["claude-opus-4-5"], {("claude-opus-4-8", STANDARD): MILLION}, 14, CARD, TODAY)
    assert [found.usd, found.successor_usd] == [0, 0]


def test_a_price_that_changes_is_found_on_its_day_and_the_first_one_is_no_change() -> None:
    sonnet = CARD.models["claude-sonnet-5-5"]
    ((model, before, after),) = repriced([sonnet], date(2026, 10, 1), date(2026, 10, 31))
    assert model is sonnet
    found = price_change_of(model, before, after, {("claude-sonnet-5-5", STANDARD): MILLION}, 14, CARD)
    assert (found.usd_before, found.usd_after) == (before.input, after.input)
    assert {each.kind for each in found.prices} <= {"input", "cache_write_5m", "cache_write_1h", "cache_read", "output"}
    assert repriced([sonnet], date(2026, 9, 1), date(2026, 9, 30)) == []


def test_a_source_that_changes_is_no_price_that_does() -> None:
    model = CARD.models["claude-opus-4-8"]
    same = model.price[-1]._replace(valid_from=TODAY, source="read again")
    assert repriced([model._replace(price=(*model.price, same))], TODAY, TODAY) == []


@pytest.mark.parametrize(
    ("left", "stage"), [(-1, None), (0, 3), (3, 3), (4, 14), (14, 14), (15, 60), (60, 60), (61, None)]
)
def test_a_stage_holds_until_the_next_one_comes(left: int, stage: int | None) -> None:
    assert stage_of(TODAY + timedelta(days=left), TODAY) == stage


@given(st.lists(st.integers(-3, 100), min_size=1, max_size=60))
def test_however_seldom_it_looks_a_model_is_posted_at_most_once_a_stage(days: list[int]) -> None:
    model = CARD.models["claude-opus-4-5"]
    assert model.retires is not None
    keys = {news.key for left in days for news in news_of([model], model.retires - timedelta(days=left))}
    assert len(keys) <= len(STAGES)


def test_in_use_is_what_has_tokens_in_the_last_two_weeks() -> None:
    row = UsageRow(NOW - timedelta(days=3), "claude-opus-4-5-20251101", "w", "k", STANDARD, MILLION)
    rows = [
        row,
        replace(row, model="claude-haiku-4-5", starts_at=NOW - timedelta(days=20)),
        replace(row, model="gpt-9"),
    ]
    snapshot = snapshot_of(rows, DataState(as_of=NOW))
    assert list(models_in_use(snapshot, NOW - timedelta(days=14), NOW)) == ["claude-opus-4-5"]
