"""Saving of a mode: a share of the spend still expected, against the mode in force, and never more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget_spend import BudgetSpend, ModeShare
from bot.budgets.savings import InForce, is_moved_by, mode_shares, saved_share, savings_of
from bot.mode import Mode
from tests.databases import spend_facts

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHARES = (
    ModeShare(mode="normal", model=None, share=Decimal(1)),
    ModeShare(mode="degraded", model=SONNET, share=Decimal("0.4")),
    ModeShare(mode="minimal", model=HAIKU, share=Decimal("0.1")),
)


def spend(left: Decimal | int | None = 100, **changes: Any) -> BudgetSpend:
    known = spend_facts()
    end = None if left is None else known.spent_usd + left
    values: dict[str, Any] = {"shares": SHARES, "expected_usd": end, **changes}
    return replace(known, **values)


def savings_by_mode(mode: str, facts: BudgetSpend | None = None) -> dict[str, Decimal]:
    return {saving.mode: saving.usd for saving in savings_of(facts or spend(), mode)}


def test_savings_stand_beside_the_mode_in_force() -> None:
    assert savings_by_mode("normal") == {"degraded": 60, "minimal": 90}
    assert savings_by_mode("degraded") == {"degraded": 0, "minimal": 75}
    assert savings_by_mode("minimal") == {"degraded": -300, "minimal": 0}


def test_beside_a_mode_of_which_nothing_is_known_nothing_is_known() -> None:
    assert savings_by_mode("gone") == {}


@pytest.mark.parametrize("unknown", [spend(None), spend().not_extrapolated(NOON), spend(shares=())])
def test_without_a_forecast_or_without_usage_there_is_no_saving(unknown: BudgetSpend) -> None:
    assert savings_of(unknown, "normal") == ()


def test_where_nothing_is_left_nothing_is_saved_and_the_mode_is_cheaper_all_the_same() -> None:
    found = {saving.mode: (saving.usd, saving.share) for saving in savings_of(spend(0), "normal")}
    assert found == {"degraded": (Decimal(0), Decimal("0.6")), "minimal": (Decimal(0), Decimal("0.9"))}


def test_a_mode_that_ends_before_the_period_saves_in_proportion_to_time() -> None:
    facts = spend(100)
    until = facts.as_of + (facts.ends_at - facts.as_of) / 4
    degraded, _ = savings_of(facts, "normal", until)
    assert (degraded.usd, degraded.until) == (Decimal(15), until)
    degraded, _ = savings_of(facts, "normal", facts.ends_at + timedelta(days=3))
    assert (degraded.usd, degraded.until) == (Decimal(60), None)


dollars = st.decimals(0, 10**9, places=4)
shares = st.decimals(0, 10, places=6)


@given(dollars, shares, shares, st.sampled_from(["normal", "degraded", "minimal"]))
def test_nothing_saves_more_than_what_is_left(left: Decimal, one: Decimal, other: Decimal, mode: str) -> None:
    facts = spend(
        left,
        shares=(
            ModeShare(mode="degraded", model=SONNET, share=one),
            ModeShare(mode="minimal", model=HAIKU, share=other),
        ),
    )
    for saving in savings_of(facts, mode):
        assert saving.usd <= left
        assert (saving.mode == mode) <= (saving.usd == 0)


@given(shares, shares)
def test_a_mode_saves_exactly_where_it_costs_less(wanted: Decimal, in_force: Decimal) -> None:
    share = saved_share(wanted, in_force)
    if in_force == 0:
        assert share is None
    else:
        assert share is not None
        assert share <= 1
        assert (share > 0, share < 0) == (wanted < in_force, wanted > in_force)


def test_shares_are_of_what_the_24_hours_cost() -> None:
    modes = [Mode("normal", {}), Mode("degraded", {"CLAUDE_MODEL": SONNET}), Mode("quiet", {"LOG": "0"})]
    found = mode_shares(modes, Decimal(50), {SONNET: Decimal(20)}.__getitem__)
    assert [(each.mode, each.model, each.share) for each in found] == [
        ("normal", None, 1),
        ("degraded", SONNET, Decimal("0.4")),
        ("quiet", None, 1),
    ]
    assert mode_shares(modes, Decimal(0), lambda ceiling: Decimal(0)) == ()


@pytest.mark.parametrize(
    ("ceilings", "model", "used", "moved"),
    [
        # Down: to the ceiling, from something more expensive.
        ([(0, SONNET)], SONNET, {OPUS, SONNET}, True),
        ([(0, SONNET)], SONNET, {SONNET}, False),
        ([(0, SONNET)], HAIKU, {OPUS, HAIKU}, False),
        ([(72, SONNET)], SONNET, {OPUS, SONNET}, False),
        ([(-2, SONNET)], SONNET, {OPUS, SONNET}, False),
        # A mode that has ended moved them all the same, and a new end for a mode is not a new mode.
        ([(20, SONNET), (0, None)], SONNET, {OPUS, SONNET}, True),
        ([(72, SONNET), (1, SONNET)], SONNET, {OPUS, SONNET}, False),
        # Back, only if the mode had restricted the caller.
        ([(72, SONNET), (1, None)], OPUS, {OPUS, SONNET}, True),
        ([(72, SONNET), (1, None)], OPUS, {OPUS, HAIKU}, False),
        ([(72, HAIKU), (1, SONNET)], SONNET, {HAIKU, SONNET}, True),
        ([(72, HAIKU), (1, SONNET)], OPUS, {HAIKU, OPUS}, False),
        ([], SONNET, {OPUS, SONNET}, False),
    ],
)
def test_a_change_of_the_mode_moves_callers_to_its_ceiling_and_its_end_moves_them_back(
    ceilings: list[tuple[int, str | None]], model: str, used: set[str], moved: bool
) -> None:
    # Hours before noon.
    mode = InForce(ceilings=tuple((NOON - timedelta(hours=hours), ceiling) for hours, ceiling in ceilings))
    dear = [HAIKU, SONNET, OPUS]
    moves = mode.moves(NOON + timedelta(hours=1))
    assert is_moved_by(moves, model, used, lambda one, than: dear.index(one) > dear.index(than)) is moved


def test_right_after_a_switch_what_it_saves_is_not_offered_once_more() -> None:
    expected_without = spend(100, forecast_mode="normal")
    assert savings_by_mode("normal", expected_without) == {"degraded": 60, "minimal": 90}
    assert savings_by_mode("degraded", expected_without) == {"degraded": 0, "minimal": 30}
    assert savings_by_mode("minimal", expected_without)["minimal"] == 0


positive = st.decimals("0.000001", 1, places=6)


@given(dollars, st.lists(positive, min_size=1, max_size=5, unique=True))
def test_switches_one_after_another_never_save_more_than_was_left(left: Decimal, costs: list[Decimal]) -> None:
    steps = [f"step-{number}" for number in range(len(costs))]
    cheaper = sorted(costs, reverse=True)
    known = tuple(ModeShare(mode=name, model=SONNET, share=cost) for name, cost in zip(steps, cheaper, strict=True))
    facts = spend(left, shares=known, forecast_mode="normal")
    saved = [savings_by_mode(before, facts)[after] for before, after in pairwise(["normal", *steps])]
    assert sum(saved) <= left * (1 + Decimal("1e-20"))
