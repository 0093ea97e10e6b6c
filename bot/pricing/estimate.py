"""What a workload would cost in a month of 30 days, line by line, and what would make it cheaper."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bot.pricing.alternatives import Alternative, Routing, alternatives_to, routing_to_goal
from bot.pricing.card import Model, RateCard
from bot.pricing.estimate_notes import notes_on, recommendation
from bot.pricing.monthly_cost import Line, monthly_counts, monthly_lines, total
from bot.pricing.throughput import Fit, Limits, Pool, fit, load_of
from bot.pricing.workload import Workload

USUAL_PEAK = Decimal(10)
"""How many times the mean the busiest minute is, where nobody said; it is named beside the result."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Dollars are exact and unrounded. `alternatives`: the cheapest first. `rates_checked`: the day of the prices.

    An alternative's `same_text_usd` is for the same text, where its model makes other counts of it.
    """

    workload: Workload
    monthly_usd: Decimal
    lines: tuple[Line, ...]
    alternatives: tuple[Alternative, ...]
    routing: Routing | None
    fit: Fit
    recommendation: str
    notes: tuple[str, ...]
    rates_checked: date

    def usd_on(self, model: Model) -> Decimal:
        """The part of the month's dollars that goes to one model."""
        return total(tuple(line for line in self.lines if line.model.id == model.id))


def estimate(
    workload: Workload, card: RateCard, today: date, measured: Mapping[Pool, Limits] | None = None
) -> Estimate:
    """The cost of `workload` at the prices of the UTC day `today`. `measured`: the organisation's own rate limits."""
    lines = monthly_lines(workload, card, today)
    usd = total(lines)
    alternatives = alternatives_to(workload, card, today)
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
        recommendation=recommendation(workload, usd, alternatives, card),
        notes=tuple(notes_on(workload, card, today)),
        rates_checked=card.checked_on,
    )
