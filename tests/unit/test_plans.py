"""Subscriptions against the API: prices of seats, break-even tokens, and what is said beside them."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pricing.card import load_rate_card
from bot.pricing.plans import Offer, PlanComparison, blended, compare_plans, load_plans, plan_lines

TODAY = date(2026, 11, 23)
CARD = load_rate_card()
MODELS = sorted(CARD.models)


def compared(usd: str | Decimal, people: int = 1, model: str = "claude-sonnet-4-6") -> PlanComparison:
    return compare_plans(Decimal(usd), people, CARD.models[model], CARD, TODAY)


def offer(name: str, comparison: PlanComparison) -> Offer:
    return next(offer for offer in comparison.offers if offer.plan.name == name)


def test_the_plans_have_the_listed_prices() -> None:
    listed = {plan.name: (plan.monthly_usd, plan.yearly_usd) for plan in load_plans().plan}
    assert listed == {
        "Pro": (Decimal(20), Decimal(200)),
        "Max 5x": (Decimal(100), None),
        "Max 20x": (Decimal(200), None),
        "Team standard": (Decimal(25), Decimal(20 * 12)),
        "Team premium": (Decimal(125), Decimal(100 * 12)),
    }


def test_team_plans_have_5_to_150_seats_and_the_others_have_no_bounds() -> None:
    seats = {plan.name: plan.seats and (plan.seats.least, plan.seats.most) for plan in load_plans().plan}
    assert seats == {
        "Pro": None,
        "Max 5x": None,
        "Max 20x": None,
        "Team standard": (5, 150),
        "Team premium": (5, 150),
    }


@pytest.mark.parametrize(
    ("model", "usd_per_mtok", "for_20_usd", "for_100_usd"),
    [
        ("claude-sonnet-4-6", "6", "3.3", "16.7"),
        ("claude-sonnet-5-5", "4", "5", "25"),
        ("claude-opus-5-5", "8", "2.5", "12.5"),
        ("claude-haiku-5-5", "0.2", "100", "500"),
        ("claude-fable-5-2", "16", "1.25", "6.25"),
    ],
)
def test_20_and_100_usd_buy_the_tokens_of_the_reference_figures(
    model: str, usd_per_mtok: str, for_20_usd: str, for_100_usd: str
) -> None:
    comparison = compared("0", model=model)
    assert comparison.blended_usd_per_mtok == Decimal(usd_per_mtok)
    for name, mtok in (("Pro", Decimal(for_20_usd)), ("Max 5x", Decimal(for_100_usd))):
        assert round(offer(name, comparison).break_even_mtok, -int(mtok.as_tuple().exponent)) == mtok


def test_the_blended_price_is_three_parts_of_input_to_one_of_output() -> None:
    rates = CARD.models["claude-opus-4-7"].rates(TODAY)
    assert blended(rates) == (3 * Decimal(5) + Decimal(25)) / 4


def test_tokens_are_priced_at_the_rates_of_the_day() -> None:
    model = CARD.models["claude-sonnet-5-5"]
    dearer = model.price[-1]._replace(valid_from=date(2027, 1, 1), input=Decimal(6))
    repriced = model._replace(price=(*model.price, dearer))
    usd = [compare_plans(Decimal(1), 1, repriced, CARD, day).blended_usd_per_mtok for day in (TODAY, date(2027, 1, 1))]
    assert usd == [4, 7]


@pytest.mark.parametrize(
    ("people", "seats", "monthly", "yearly"),
    [(1, 5, "125", "1200"), (5, 5, "125", "1200"), (6, 6, "150", "1440"), (150, 150, "3750", "36000")],
)
def test_a_team_pays_its_least_number_of_seats(people: int, seats: int, monthly: str, yearly: str) -> None:
    found = offer("Team standard", compared("0", people))
    assert (found.seats, found.monthly_usd, found.yearly_usd) == (seats, Decimal(monthly), Decimal(yearly))


def test_a_team_that_is_too_large_is_named_and_not_priced() -> None:
    comparison = compared("0", 151)
    assert [found.plan.name for found in comparison.offers] == ["Pro", "Max 5x", "Max 20x"]
    assert [plan.name for plan in comparison.too_small] == ["Team standard", "Team premium"]
    assert (
        "Team standard and Team premium have no 151 seats; Enterprise costs $20.00 a seat and month, paid yearly, plus "
        "usage at API prices."
    ) in plan_lines(comparison)


@pytest.mark.parametrize(("usd", "cheaper"), [("19.99", True), ("20", False), ("20.01", False)])
def test_the_api_is_cheaper_only_below_the_price_of_the_plan(usd: str, cheaper: bool) -> None:
    assert offer("Pro", compared(usd)).api_is_cheaper is cheaper


def test_the_lines_say_each_plan_against_the_api_and_what_the_figures_leave_out() -> None:
    assert plan_lines(compared("100", 2)) == [
        "On the API: $100.00 a month. Subscriptions for 2 people:",
        "Pro: $40.00 a month ($33.33 when paid yearly), $60.00 less than the API; it pays above 6.67 million tokens.",
        "Max 5x: $200.00 a month, $100.00 more than the API; it pays above 33.3 million tokens.",
        "Max 20x: $400.00 a month, $300.00 more than the API; it pays above 66.7 million tokens.",
        "Team standard: $125.00 a month for 5 seats, the least ($100.00 when paid yearly), $25.00 more than the API; "
        "it pays above 20.8 million tokens.",
        "Team premium: $625.00 a month for 5 seats, the least ($500.00 when paid yearly), $525.00 more than the API; "
        "it pays above 104 million tokens.",
        "Tokens are those of Sonnet 4.6, 3 of input to 1 of output, no cache: $6.00 a million.",
        "Plans have 5-hour and weekly limits, so a plan may stop before this much is done.",
        "Plans are for people in Claude's own apps, not for services that call the API; both can run side by side.",
        "Plan prices as of 2026-10-30, API prices of 2026-11-22, USD without tax.",
    ]


def test_equal_prices_are_said_as_equal_and_one_person_is_one_person() -> None:
    first, pro, *_ = plan_lines(compared("20"))
    assert first == "On the API: $20.00 a month. Subscriptions for 1 person:"
    assert (
        pro == "Pro: $20.00 a month ($16.67 when paid yearly), as much as the API; it pays above 3.33 million tokens."
    )


def test_a_price_with_a_step_says_for_which_prompts_it_holds() -> None:
    assert (
        "Tokens are those of Haiku 5.5, 3 of input to 1 of output, no cache, prompts up to 100,000 tokens: $0.20 a "
        "million."
    ) in plan_lines(compared("5", model="claude-haiku-5-5"))


@pytest.mark.parametrize("people", [0, -3])
def test_nobody_needs_no_plan(people: int) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        compared("20", people)


@given(
    st.decimals(min_value=0, max_value=10**7, places=4),
    st.integers(min_value=1, max_value=400),
    st.sampled_from(MODELS),
)
def test_break_even_tokens_cost_on_the_api_what_the_plan_costs(usd: Decimal, people: int, model: str) -> None:
    comparison = compared(usd, people, model)
    assert {found.plan.name for found in comparison.offers} | {plan.name for plan in comparison.too_small} == {
        plan.name for plan in load_plans().plan
    }
    for found in comparison.offers:
        assert found.seats >= people
        assert found.api_is_cheaper is (usd < found.monthly_usd)
        back = found.break_even_mtok * comparison.blended_usd_per_mtok
        assert abs(back - found.monthly_usd) < Decimal("1e-18")
        if found.yearly_usd_a_month is not None:
            assert found.yearly_usd_a_month < found.monthly_usd
    assert all(line.endswith((".", ":")) for line in plan_lines(comparison))
