"""Compares subscriptions with the API: what seats cost, and how many API tokens the same money buys."""

import tomllib
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from bot.amounts import usd
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

    `monthly_usd`: for all seats, billed monthly. `yearly_usd`: for all seats and a year, where offered.
    `api_is_cheaper`: than the monthly price. `break_even_mtok`: million tokens a month at which the API costs the same.
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
    """The comparison in short lines for terminal and Slack: the API's price, each plan, notes."""
    who = "1 person" if comparison.people == 1 else f"{comparison.people:,} people"
    return [
        f"On the API: {usd(comparison.api_monthly_usd)} a month. Subscriptions for {who}:",
        *(_offer_line(offer, comparison) for offer in comparison.offers),
        *comparison.notes,
    ]


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
    model = comparison.model
    step = model.rates(today).step
    tokens = f"{INPUT_PARTS} of input to {OUTPUT_PARTS} of output, no cache"
    if step is not None:
        tokens += f", prompts up to {step.above_prompt_tokens:,} tokens"
    notes = [
        f"Tokens are those of {model.name}, {tokens}: {usd(comparison.blended_usd_per_mtok)} a million.",
        "Plans have 5-hour and weekly limits, so a plan may stop before this much is done.",
        "Plans are for people in Claude's own apps, not for services that call the API; both can run side by side.",
    ]
    if comparison.too_small:
        names = " and ".join(plan.name for plan in comparison.too_small)
        notes.append(
            f"{names} have no {comparison.people:,} seats; Enterprise costs {usd(table.enterprise_seat_usd)} a seat "
            "and month, paid yearly, plus usage at API prices."
        )
    notes.append(
        f"Plan prices as of {comparison.plans_checked.isoformat()}, API prices of "
        f"{comparison.rates_checked.isoformat()}, USD without tax."
    )
    return notes


def _offer_line(offer: Offer, comparison: PlanComparison) -> str:
    line = f"{offer.plan.name}: {usd(offer.monthly_usd)} a month"
    if offer.seats > comparison.people:
        line += f" for {offer.seats} seats, the least"
    if offer.yearly_usd_a_month is not None:
        line += f" ({usd(offer.yearly_usd_a_month)} when paid yearly)"
    more = offer.monthly_usd - comparison.api_monthly_usd
    against = f"{usd(abs(more))} {'more' if more > 0 else 'less'} than" if more else "as much as"
    return f"{line}, {against} the API; it pays above {_million(offer.break_even_mtok)} million tokens."


def _million(mtok: Decimal) -> str:
    """Three digits: `3.33`, `100`, `1,670`."""
    return f"{Context(prec=3, rounding=ROUND_HALF_UP).create_decimal(mtok).normalize():,f}"
