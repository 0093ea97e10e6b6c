"""Compares subscriptions with the API: what seats cost, and how many API tokens the same money buys."""

import tomllib
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from bot.amounts import usd
from bot.language import ntr, tr
from bot.listed import joined_by_and
from bot.pricing.card import Model, Prices, RateCard

MONTHS_IN_YEAR = 12

INPUT_PARTS, OUTPUT_PARTS = 3, 1
"""The token mix of the blended price, without cache."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seats(_Entry):
    """The fewest and the most seats of a team."""

    least: int
    most: int


class Plan(_Entry):
    """A subscription. USD per seat: billed monthly, and for a year paid in advance."""

    name: str
    monthly_usd: Decimal
    yearly_usd: Decimal | None = None
    seats: Seats | None = None


class PlanTable(_Entry):
    """The plans and their date. `enterprise_seat_usd`: a month, on top of usage at API prices."""

    checked_on: date
    source: str
    enterprise_seat_usd: Decimal
    plan: tuple[Plan, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Offer:
    """One plan for a number of people. `seats`: paid seats, at least the plan's minimum.

    `monthly_usd`: for all seats, billed monthly. `yearly_usd`: for all seats and a year, if offered. `api_is_cheaper`:
    than the monthly price. `break_even_mtok`: million tokens a month at which the API costs the same.
    """

    plan: Plan
    seats: int
    monthly_usd: Decimal
    yearly_usd: Decimal | None
    api_is_cheaper: bool
    break_even_mtok: Decimal

    @property
    def yearly_usd_a_month(self) -> Decimal | None:
        """A twelfth of the yearly price."""
        return None if self.yearly_usd is None else self.yearly_usd / MONTHS_IN_YEAR


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """`too_small`: plans without enough seats. `blended_usd_per_mtok`: of `model`, see `blended`.

    `plans_checked`, `rates_checked`: the days of the prices. `notes`: what the figures exclude.
    """

    api_monthly_usd: Decimal
    people: int
    model: Model
    blended_usd_per_mtok: Decimal
    offers: tuple[Offer, ...]
    too_small: tuple[Plan, ...]
    plans_checked: date
    rates_checked: date
    notes: tuple[str, ...] = ()


def blended(prices: Prices) -> Decimal:
    """USD for a million tokens of which three quarters are uncached input and one quarter is output."""
    return (INPUT_PARTS * prices.input + OUTPUT_PARTS * prices.output) / (INPUT_PARTS + OUTPUT_PARTS)


def compare_plans(monthly_usd: Decimal, seats: int, model: Model, card: RateCard, today: date) -> PlanComparison:
    """What `seats` people pay on each plan, compared with usage that costs `monthly_usd` on the API.

    Break-even tokens are those of `model` at the prices of the UTC day `today`. Raises ValueError for less than one
    seat.
    """
    if seats < 1:
        raise ValueError(f"seats={seats} is nobody: give 1 or more.")
    table = load_plans()
    price = blended(model.rates(today))
    fitting = [plan for plan in table.plan if plan.seats is None or seats <= plan.seats.most]
    comparison = PlanComparison(
        api_monthly_usd=monthly_usd,
        people=seats,
        model=model,
        blended_usd_per_mtok=price,
        offers=tuple(_offer(plan, seats, monthly_usd, price) for plan in fitting),
        too_small=tuple(plan for plan in table.plan if plan not in fitting),
        plans_checked=table.checked_on,
        rates_checked=card.checked_on,
    )
    return replace(comparison, notes=tuple(_notes(comparison, table, today)))


def plan_lines(comparison: PlanComparison) -> list[str]:
    """The comparison in short lines: the API's price, each plan, notes."""
    first = ntr(
        "On the API: {usd} a month. Subscriptions for {number} person:",
        "On the API: {usd} a month. Subscriptions for {number} people:",
        comparison.people,
        usd=usd(comparison.api_monthly_usd),
    )
    return [first, *(_offer_line(offer, comparison) for offer in comparison.offers), *comparison.notes]


@cache
def load_plans() -> PlanTable:
    """The packaged table of plans."""
    text = files("bot.pricing").joinpath("plans.toml").read_text(encoding="utf-8")
    return PlanTable.model_validate(tomllib.loads(text))


def _offer(plan: Plan, people: int, api_monthly_usd: Decimal, blended_usd_per_mtok: Decimal) -> Offer:
    seats = people if plan.seats is None else max(people, plan.seats.least)
    monthly_usd = plan.monthly_usd * seats
    return Offer(
        plan=plan,
        seats=seats,
        monthly_usd=monthly_usd,
        yearly_usd=None if plan.yearly_usd is None else plan.yearly_usd * seats,
        api_is_cheaper=api_monthly_usd < monthly_usd,
        break_even_mtok=monthly_usd / blended_usd_per_mtok,
    )


def _notes(comparison: PlanComparison, table: PlanTable, today: date) -> list[str]:
    notes = [
        _tokens_note(comparison, today),
        tr("Plans have 5-hour and weekly limits, so a plan may stop before this much is done."),
        tr("Plans are for people in Claude's own apps, not for services that call the API; both can run side by side."),
    ]
    if comparison.too_small:
        notes.append(
            tr(
                "{plans} have no {seats} seats; Enterprise costs {usd} a seat and month, paid yearly, plus usage at "
                "API prices.",
                plans=joined_by_and([plan.name for plan in comparison.too_small]),
                seats=f"{comparison.people:,}",
                usd=usd(table.enterprise_seat_usd),
            )
        )
    notes.append(
        tr(
            "Plan prices as of {plans}, API prices of {rates}, USD without tax.",
            plans=comparison.plans_checked.isoformat(),
            rates=comparison.rates_checked.isoformat(),
        )
    )
    return notes


def _tokens_note(comparison: PlanComparison, today: date) -> str:
    model, step = comparison.model, comparison.model.rates(today).step
    price = usd(comparison.blended_usd_per_mtok)
    if step is None:
        return tr(
            "Tokens are those of {model}, {input} of input to {output} of output, no cache: {usd} a million.",
            model=model.name,
            input=INPUT_PARTS,
            output=OUTPUT_PARTS,
            usd=price,
        )
    return tr(
        "Tokens are those of {model}, {input} of input to {output} of output, no cache, prompts up to {most} tokens: "
        "{usd} a million.",
        model=model.name,
        input=INPUT_PARTS,
        output=OUTPUT_PARTS,
        most=f"{step.above_prompt_tokens:,}",
        usd=price,
    )


def _offer_line(offer: Offer, comparison: PlanComparison) -> str:
    return tr(
        "{price}, {comparison}; it pays above {tokens} million tokens.",
        price=_offer_price(offer, comparison),
        comparison=_against_api(offer.monthly_usd - comparison.api_monthly_usd),
        tokens=_million(offer.break_even_mtok),
    )


def _offer_price(offer: Offer, comparison: PlanComparison) -> str:
    name, monthly, yearly = offer.plan.name, usd(offer.monthly_usd), offer.yearly_usd_a_month
    if offer.seats > comparison.people:
        seats = tr("{plan}: {usd} a month for {seats} seats, the least", plan=name, usd=monthly, seats=offer.seats)
    else:
        seats = tr("{plan}: {usd} a month", plan=name, usd=monthly)
    if yearly is None:
        return seats
    return tr("{price} ({usd} when paid yearly)", price=seats, usd=usd(yearly))


def _against_api(more: Decimal) -> str:
    if not more:
        return tr("as much as the API")
    if more > 0:
        return tr("{usd} more than the API", usd=usd(more))
    return tr("{usd} less than the API", usd=usd(-more))


def _million(mtok: Decimal) -> str:
    """Three digits: `3.33`, `100`, `1,670`."""
    return f"{Context(prec=3, rounding=ROUND_HALF_UP).create_decimal(mtok).normalize():,f}"
