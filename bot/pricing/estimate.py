"""What a workload would cost in a month of 30 days: the lines, what they assume, and what would make it cheaper."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from bot.language import tr
from bot.pricing.advice import Advice, advice_on
from bot.pricing.alternatives import Alternative, Routing, alternatives_to, routing_to_goal
from bot.pricing.assumptions import assumptions_on, details_on, prices_note
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import Line, Workload, monthly_counts, monthly_lines, total
from bot.pricing.problems import failures, without_effect
from bot.pricing.throughput import Fit, Limits, Pool, fit, load_of

USUAL_PEAK = Decimal(10)
"""Default ratio of the busiest minute to the average minute; the result states it."""


class Estimate(NamedTuple):
    """Dollars are exact and unrounded. `alternatives`: cheapest first for the same text, including more expensive ones.

    `problems`: why requests fail, and which options have no effect. `advice`: what would make it cheaper.
    `assumptions`: what the figures assume; `details`: background. `rates_checked`: the day of the
    prices.
    """

    workload: Workload
    monthly_usd: Decimal
    lines: tuple[Line, ...]
    alternatives: tuple[Alternative, ...]
    routing: Routing | None
    fit: Fit
    advice: tuple[Advice, ...]
    problems: tuple[str, ...]
    assumptions: tuple[str, ...]
    details: tuple[str, ...]
    rates_checked: date

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, the most surprising first."""
        return (*self.problems, *self.assumptions, *self.details)

    @property
    def recommendation(self) -> str:
        """The first advice as one sentence, or a sentence that there is none."""
        if self.monthly_usd == 0:
            return tr("There is nothing to pay for.")
        if self.advice:
            return tr("{advice}.", advice=self.advice[0].sentence)
        if self.problems:
            return tr("No other way that works is cheaper.")
        return tr("This is near the cheapest way there is; shorter answers save the most from here.")

    def usd_on(self, model: Model) -> Decimal:
        """The part of the month's dollars that goes to one model."""
        return total(tuple(line for line in self.lines if line.model.id == model.id))


def estimate(
    workload: Workload, card: RateCard, today: date, measured: Mapping[Pool, Limits] | None = None
) -> Estimate:
    """The cost of `workload` at the prices of the UTC day `today`. `measured`: the organization's own rate limits."""
    lines = monthly_lines(workload, card, today)
    usd = total(lines)
    alternatives = alternatives_to(workload, card, today)
    failing = failures(workload, today)
    loads = [
        load_of(
            route.model,
            workload.monthly_requests * route.share * workload.turns,
            monthly_counts(route.model, lines),
            batch=workload.batch,
        )
        for route in workload.routes
    ]
    return Estimate(
        workload=workload,
        monthly_usd=usd,
        lines=lines,
        alternatives=alternatives,
        routing=routing_to_goal(workload, card, today),
        fit=fit(loads, usd, workload.peak or USUAL_PEAK, measured),
        advice=advice_on(workload, usd, alternatives, runs=not failing),
        problems=(*failing, *without_effect(workload, today)),
        assumptions=tuple(assumptions_on(workload, card, today)),
        details=(*details_on(workload, card, today), prices_note(card)),
        rates_checked=card.checked_on,
    )
