"""Computed against billed for one day: what explains a difference, what does not, and when that is reported."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.day_drift import DayDrift, DriftCause, DriftReason, decide_drift, drift_of, exceeds, goes_on
from bot.alerts.incident import AlertKind, Incident, Status
from bot.alerts.rules import DriftRules
from bot.budgets.spend import PricedUsage, price_usage
from bot.pricing.card import load_rate_card
from bot.pricing.tokens import STANDARD, Terms, TokenCounts
from bot.usage.model import BilledRow, DayUsage

CARD = load_rate_card()
DAY = date(2026, 11, 17)
OPUS, HAIKU = "claude-opus-4-8", "claude-haiku-4-5"
RULES = DriftRules()
TOKENS_FOR_ONE_USD = {OPUS: 200_000, HAIKU: 1_000_000}
"""Uncached input tokens."""


def used(usd: Decimal | int | str, model: str = OPUS, terms: Terms = STANDARD, day: date = DAY) -> list[PricedUsage]:
    counts = TokenCounts(uncached_input_tokens=int(Decimal(usd) * TOKENS_FOR_ONE_USD.get(model, 200_000)))
    return price_usage([DayUsage(day, model, "default", None, terms, counts)], CARD)


def bill(
    usd: Decimal | int | str,
    model: str | None = OPUS,
    cost_type: str = "tokens",
    list_usd: Decimal | int | None = None,
    day: date = DAY,
) -> BilledRow:
    return BilledRow(day, "default", cost_type, Decimal(usd), None if list_usd is None else Decimal(list_usd), model)


def drift(priced: list[PricedUsage], *billed: BilledRow) -> DayDrift:
    return drift_of(DAY, priced, billed, CARD)


def test_a_day_on_which_both_agree_has_no_drift() -> None:
    found = drift(used(20), bill(20))
    assert found.difference_usd == found.unexplained_usd == 0
    assert found.causes == {}
    assert not exceeds(found, RULES)


def test_only_what_is_of_the_day_counts() -> None:
    other = date(2026, 11, 18)
    found = drift([*used(20), *used(5, day=other)], bill(20), bill(9, day=other))
    assert [found.computed_usd, found.billed_usd] == [Decimal(20), Decimal(20)]


def test_calls_that_usage_does_not_know_are_unexplained_and_stand_by_their_model() -> None:
    found = drift([*used("1.97"), *used("0.22", HAIKU)], bill("8.90"), bill("0.22", "claude-haiku-4-5-20251001"))
    assert [(m.model, m.computed_usd, m.billed_usd, m.unexplained_usd) for m in found.models] == [
        (OPUS, Decimal("1.97"), Decimal("8.90"), Decimal("6.93")),
        (HAIKU, Decimal("0.22"), Decimal("0.22"), 0),
    ]
    assert found.unexplained_usd == Decimal("6.93")


def test_a_model_that_only_one_of_the_two_knows_is_there() -> None:
    found = drift(used(3), bill(2, HAIKU))
    assert {m.model: m.computed_usd for m in found.models} == {OPUS: Decimal(3), HAIKU: Decimal(0)}
    assert {m.model: m.billed_usd for m in found.models} == {OPUS: Decimal(0), HAIKU: Decimal(2)}
    assert found.unexplained_usd == -1


@pytest.mark.parametrize(
    ("priced", "billed", "cause", "usd"),
    [
        ([*used(20), *used(30, terms=Terms("priority"))], [bill(20)], DriftCause.PRIORITY_TIER, -30),
        (used(20), [bill(20), bill(7, None, "code_execution")], DriftCause.REPORT_ONLY, 7),
        (used(20), [bill(20), bill(7, None, "session_usage")], DriftCause.REPORT_ONLY, 7),
        (used(20), [bill(15, list_usd=20)], DriftCause.DISCOUNT, -5),
        (used(20, "claude-opus-9"), [bill(33, "claude-opus-9")], DriftCause.ASSUMED, None),
        (used(20, "claude-opus-9"), [bill(1, "claude-opus-9")], DriftCause.ASSUMED, None),
    ],
    ids=["priority tier", "code execution", "sessions", "discount", "price too low", "price too high"],
)
def test_a_known_cause_is_named_with_its_dollars_and_leaves_nothing_unexplained(
    priced: list[PricedUsage], billed: list[BilledRow], cause: DriftCause, usd: int | None
) -> None:
    found = drift(priced, *billed)
    assert found.causes == {cause: found.difference_usd if usd is None else usd}
    assert found.unexplained_usd == 0
    assert not exceeds(found, RULES)


def test_long_prompts_explain_no_more_than_their_step_can_make() -> None:
    counts = TokenCounts(uncached_input_tokens=1_000_000)
    haiku = price_usage([DayUsage(DAY, "claude-haiku-5-5", "default", None, STANDARD, counts)], CARD)
    computed = haiku[0].cost.usd
    most = CARD.resolve("claude-haiku-5-5", DAY).rates.step
    assert most is not None
    within = drift(haiku, bill(computed * 2, "claude-haiku-5-5"))
    assert within.causes == {DriftCause.LONG_PROMPTS: computed}
    assert within.unexplained_usd == 0
    beyond = drift(haiku, bill(most.input + 4, "claude-haiku-5-5"))
    assert beyond.unexplained_usd == 4
    assert drift(haiku, bill(computed / 2, "claude-haiku-5-5")).unexplained_usd == -computed / 2


def test_a_bill_that_does_not_name_models_is_compared_as_a_whole() -> None:
    found = drift([*used(20), *used(3, HAIKU)], bill(23, None))
    assert not found.by_model
    assert found.difference_usd == found.unexplained_usd == 0
    assert [m.model for m in found.models] == [None]


def test_beside_known_prices_an_assumed_one_explains_only_what_it_may_have_been_too_high() -> None:
    priced = [*used(20), *used(5, "claude-opus-9")]
    too_high = sum(row.cost.usd for row in priced if row.cost.assumed is not None)
    assert drift(priced, bill(20, None)).unexplained_usd == 0
    assert drift(priced, bill(10, None)).causes == {DriftCause.ASSUMED: -too_high}
    assert drift(priced, bill(90, None)).causes == {}


def test_web_searches_are_compared_apart_where_the_bill_has_them_apart() -> None:
    counts = TokenCounts(uncached_input_tokens=200_000, web_search_requests=100)
    priced = price_usage([DayUsage(DAY, OPUS, "default", None, STANDARD, counts)], CARD)
    apart = drift(priced, bill(1), bill(1, None, "web_search"))
    assert {m.model: m.unexplained_usd for m in apart.models} == {OPUS: 0, None: 0}
    together = drift(priced, bill(2))
    assert {m.model: m.unexplained_usd for m in together.models} == {OPUS: 0}


def test_discounts_are_only_known_where_the_report_has_them() -> None:
    assert drift(used(20), bill(15)).list_usd is None
    assert drift(used(20), bill(15, list_usd=20), bill(2, None, "code_execution")).list_usd == 22


@pytest.mark.parametrize(
    ("billed", "computed", "reported"),
    [
        ("10", "9.01", False),
        ("9", "8", True),
        ("100", "91", False),
        ("100", "90", True),
        ("0", "1", True),
        ("1", "0.5", False),
    ],
)
def test_what_is_unexplained_is_reported_from_both_bounds_on(billed: str, computed: str, reported: bool) -> None:
    found = drift(used(computed), bill(billed))
    assert exceeds(found, RULES) is reported


def test_a_day_is_reported_once_resolved_when_it_is_right_and_reported_again_in_the_same_message() -> None:
    wrong, right = drift(used(10), bill(20)), drift(used(20), bill(20))
    reported = decide_drift(wrong, RULES, None, None)
    assert reported is not None
    assert (reported.limit, reported.status, reported.post) == (None, Status.OPEN, True)
    open_ = Incident(AlertKind.DRIFT, None, Status.OPEN)
    assert decide_drift(wrong, RULES, open_, None) is None
    resolved = decide_drift(right, RULES, open_, None)
    assert resolved is not None
    assert (resolved.status, resolved.reason, resolved.post) == (Status.RESOLVED, DriftReason.AGREES, False)
    again = decide_drift(wrong, RULES, replace(open_, status=Status.RESOLVED), None)
    assert again is not None
    assert (again.status, again.reason) == (Status.OPEN, DriftReason.DIFFERS_AGAIN)
    assert decide_drift(right, RULES, None, None) is None


AMOUNTS = st.decimals("0", "500", places=2)
MODELS = st.sampled_from([OPUS, HAIKU, "claude-opus-9", "claude-haiku-5-5"])
TERMS = st.builds(Terms, st.sampled_from([None, "standard", "priority", "batch"]), st.none(), st.none())


@given(
    st.lists(st.tuples(AMOUNTS, MODELS, TERMS), max_size=6),
    st.lists(
        st.tuples(
            AMOUNTS,
            st.one_of(st.none(), MODELS),
            st.sampled_from(["tokens", "web_search", "code_execution"]),
            st.one_of(st.none(), st.integers(0, 500)),
        ),
        max_size=6,
    ),
)
def test_causes_and_what_is_left_always_add_up_to_the_difference(
    usage: list[tuple[Decimal, str, Terms]], rows: list[tuple[Decimal, str | None, str, int | None]]
) -> None:
    priced = [row for usd, model, terms in usage for row in used(usd, model, terms)]
    found = drift(priced, *(bill(usd, model, cost_type, listed) for usd, model, cost_type, listed in rows))
    assert sum(found.causes.values()) + found.unexplained_usd == found.difference_usd
    assert found.computed_usd == sum(model.computed_usd for model in found.models)
    assert found.billed_usd == sum(model.billed_usd for model in found.models)
    assert found.difference_usd == found.billed_usd - found.computed_usd


@pytest.mark.parametrize(
    ("billed", "before", "post"),
    [
        (("85", "100"), ("170", "200"), False),
        (("85", "100"), ("84", "100"), False),
        (("80", "100"), ("85", "100"), True),
        (("115", "100"), ("85", "100"), True),
        (("0", "10"), ("0", "20"), False),
        (("0", "10"), ("85", "100"), True),
    ],
    ids=["same discount", "nearly", "another share", "other sign", "no bill again", "no bill now"],
)
def test_a_standing_cause_is_reported_on_its_first_day(
    billed: tuple[str, str], before: tuple[str, str], post: bool
) -> None:
    today, earlier = (drift(used(computed), bill(charged)) for charged, computed in (billed, before))
    step = decide_drift(today, RULES, None, earlier)
    assert step is not None
    assert (step.status, step.post) == (Status.OPEN, post)
    assert decide_drift(today, RULES, Incident(AlertKind.DRIFT, None, Status.CLOSED), None) is None


def test_a_quiet_day_between_leaves_a_standing_cause_reported_and_a_day_that_agrees_ends_it() -> None:
    wrong, quiet, right = drift(used(100), bill(85)), drift(used("0.50"), bill("0.42")), drift(used(100), bill(100))
    assert goes_on(wrong, None, RULES) is wrong
    assert goes_on(quiet, wrong, RULES) is wrong
    assert goes_on(right, wrong, RULES) is None
