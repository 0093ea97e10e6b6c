"""Drift of a settled day: the cost computed from usage and the rate card against what Anthropic billed.

Pure. Differences are in USD, positive where the bill is higher. Known causes are named and subtracted; only the rest
can open an alert.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from bot.alerts.incident import Incident, Status, Step
from bot.alerts.rules import DriftRules
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import COMPUTED_COST_TYPES, ZERO, PricedUsage, is_settled, price_usage
from bot.clock import DAY
from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import TokenCounts
from bot.usage.model import BilledRow, DayUsage

ALIKE_POINTS = Decimal(2)
"""Percentage points. Shares of the bill that differ by no more have the same cause, such as a contract's discount."""

PRIORITY_TIER = "priority"
WEB_SEARCH = "web_search"
LONGEST_PROMPT = 10**12
"""Tokens, above every price tier."""


class DriftReason(StrEnum):
    DIFFERS = "computed and billed differ"
    DIFFERS_AGAIN = "computed and billed differ again"
    AGREES = "computed and billed agree now"
    LIKE_BEFORE = "computed and billed differ by the same share as on the day before"
    FINAL = "the day is judged no more"


class DriftCause(StrEnum):
    """Why the bill may differ from usage × rate card."""

    PRIORITY_TIER = "priority_tier"
    REPORT_ONLY = "report_only"
    DISCOUNT = "discount"
    ASSUMED = "assumed"
    LONG_PROMPTS = "long_prompts"


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """One model's part of a day, USD. `model`: the id from usage, else from the bill; None for rows without a model.

    `unexplained_usd`: the difference without `causes`, which are empty in rows stored by older versions.
    """

    model: str | None
    computed_usd: Decimal
    billed_usd: Decimal
    unexplained_usd: Decimal
    causes: Mapping[DriftCause, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayDrift:
    """One settled UTC day of the whole organization, USD.

    `list_usd`: the bill before discounts, None if it does not say. `by_model`: whether the bill tells models apart;
    otherwise `models` has one part, the whole day.
    """

    day: date
    computed_usd: Decimal
    billed_usd: Decimal
    list_usd: Decimal | None
    by_model: bool
    models: tuple[ModelDrift, ...]

    @property
    def difference_usd(self) -> Decimal:
        return self.billed_usd - self.computed_usd

    @property
    def causes(self) -> dict[DriftCause, Decimal]:
        """The known causes of the difference, with the dollars that they make."""
        return summed(model.causes for model in self.models)

    @property
    def unexplained_usd(self) -> Decimal:
        return sum((model.unexplained_usd for model in self.models), ZERO)


def drift_of(day: date, priced: Iterable[PricedUsage], billed: Iterable[BilledRow], card: RateCard) -> DayDrift:
    """Compare `priced` (all usage) with `billed` (the whole bill); rows of other days are ignored."""
    used = [row for row in priced if row.usage.day == day]
    bill = [row for row in billed if row.day == day]
    by_model = all(row.model is not None for row in bill if row.cost_type == "tokens")
    searches_apart = by_model and any(row.cost_type == WEB_SEARCH and row.model is None for row in bill)
    parts: dict[str | None, _Part] = {}
    for row in used:
        part = parts.setdefault(_key(row.usage.model, card) if by_model else None, _Part(card))
        searched = part.add_usage(row, searches_apart=searches_apart)
        if searched:
            parts.setdefault(None, _Part(card)).computed_usd += searched
    for bill_row in bill:
        key = _key(bill_row.model, card) if by_model and bill_row.model is not None else None
        parts.setdefault(key, _Part(card)).add_bill(bill_row)
    listed = [row.usd if row.list_usd is None else row.list_usd for row in bill]
    return DayDrift(
        day=day,
        computed_usd=sum((row.cost.usd for row in used), ZERO),
        billed_usd=sum((row.usd for row in bill), ZERO),
        list_usd=sum(listed, ZERO) if any(row.list_usd is not None for row in bill) else None,
        by_model=by_model,
        models=tuple(sorted((part.drift(named=key is not None) for key, part in parts.items()), key=_largest_first)),
    )


def summed(amounts: Iterable[Mapping[DriftCause, Decimal]]) -> dict[DriftCause, Decimal]:
    """Dollars by cause, in the order in which causes are listed."""
    total: dict[DriftCause, Decimal] = {}
    for each in amounts:
        for cause, usd in each.items():
            total[cause] = total.get(cause, ZERO) + usd
    return {cause: total[cause] for cause in DriftCause if cause in total}


def exceeds(drift: DayDrift, rules: DriftRules) -> bool:
    """Whether what known causes do not explain is worth an alert. A day that is not billed at all is all drift."""
    unexplained = abs(drift.unexplained_usd)
    whole = abs(drift.billed_usd)
    return unexplained >= rules.floor_usd and unexplained * 100 >= rules.limit_percent * whole and unexplained > 0


def is_alike(drift: DayDrift, before: DayDrift) -> bool:
    """Whether about the same share of the bill is unexplained on both days, with the same sign."""
    if drift.billed_usd <= 0 or before.billed_usd <= 0:
        return drift.billed_usd <= 0 and before.billed_usd <= 0
    if (drift.unexplained_usd > 0) is not (before.unexplained_usd > 0):
        return False
    share, known = (100 * day.unexplained_usd / day.billed_usd for day in (drift, before))
    return abs(share - known) <= ALIKE_POINTS


def goes_on(drift: DayDrift, before: DayDrift | None, rules: DriftRules) -> DayDrift | None:
    """The day to compare the next day with: this day if it differs, None if it agrees.

    A day whose usage is so low that the floor hides every difference proves nothing, so `before` stays.
    """
    if exceeds(drift, rules):
        return drift
    largest = max(abs(drift.billed_usd), abs(drift.computed_usd))
    return before if largest * rules.limit_percent < 100 * rules.floor_usd else None


def decide_drift(drift: DayDrift, rules: DriftRules, known: Incident | None, before: DayDrift | None) -> Step | None:
    """The step to take for a day. Each day is reported once, and resolved if a later report corrects it.

    `before`: the earlier day that `goes_on` kept. A difference like that day's was already reported.
    """
    open_ = known is not None and known.status is Status.OPEN
    if exceeds(drift, rules):
        if open_ or (known is not None and known.status is Status.CLOSED):
            return None
        if known is None and before is not None and is_alike(drift, before):
            return Step(None, Status.OPEN, DriftReason.LIKE_BEFORE)
        reason = DriftReason.DIFFERS if known is None else DriftReason.DIFFERS_AGAIN
        return Step(None, Status.OPEN, reason, post=True)
    return Step(None, Status.RESOLVED, DriftReason.AGREES) if open_ else None


class _Part:
    """Sums for one model, or for a whole day."""

    def __init__(self, card: RateCard) -> None:
        self._card = card
        self._used: list[PricedUsage] = []
        self._bill: list[BilledRow] = []
        self.computed_usd = ZERO

    def add_usage(self, row: PricedUsage, *, searches_apart: bool) -> Decimal:
        """Add usage; return the USD of web searches left out, since the bill lists them separately."""
        apart = sum((line.usd for line in row.cost.lines if line.kind == WEB_SEARCH), ZERO) if searches_apart else ZERO
        self._used.append(row)
        self.computed_usd += row.cost.usd - apart
        return apart

    def add_bill(self, row: BilledRow) -> None:
        self._bill.append(row)

    def drift(self, *, named: bool) -> ModelDrift:
        billed_usd = sum((row.usd for row in self._bill), ZERO)
        causes = {
            DriftCause.PRIORITY_TIER: -self._computed(row for row in self._used if _is_priority(row.usage)),
            DriftCause.REPORT_ONLY: sum(
                (row.usd for row in self._bill if row.cost_type not in COMPUTED_COST_TYPES), ZERO
            ),
            DriftCause.DISCOUNT: sum((row.usd - row.list_usd for row in self._bill if row.list_usd is not None), ZERO),
        }
        rest = billed_usd - self.computed_usd - sum(causes.values(), ZERO)
        causes[DriftCause.ASSUMED] = self._of_assumed(rest)
        causes[DriftCause.LONG_PROMPTS] = self._of_long_prompts(rest - causes[DriftCause.ASSUMED])
        known = {cause: usd for cause, usd in causes.items() if usd}
        unexplained_usd = billed_usd - self.computed_usd - sum(known.values(), ZERO)
        return ModelDrift(self._name() if named else None, self.computed_usd, billed_usd, unexplained_usd, known)

    def _name(self) -> str | None:
        return next((row.usage.model for row in self._used), next((row.model for row in self._bill), None))

    def _computed(self, rows: Iterable[PricedUsage]) -> Decimal:
        return sum((row.cost.usd for row in rows), ZERO)

    def _of_assumed(self, rest: Decimal) -> Decimal:
        """The part that assumed prices explain: all of `rest` if every price was assumed, else at most their
        overestimate.
        """
        assumed = [row for row in self._used if row.cost.assumed is not None and not _is_priority(row.usage)]
        if not assumed:
            return ZERO
        if len(assumed) == len(self._used):
            return rest
        return max(min(rest, ZERO), -self._computed(assumed))

    def _of_long_prompts(self, rest: Decimal) -> Decimal:
        """The part that long prompts explain, at most what the higher price tier adds; sums do not show prompt
        lengths.
        """
        rows = [row for row in self._used if row.cost.at_least and not _is_priority(row.usage)]
        if not rows or rest <= 0:
            return ZERO
        return min(rest, sum((self._most(row.usage) - row.cost.usd for row in rows), ZERO))

    def _most(self, usage: DayUsage) -> Decimal:
        card = self._card
        return cost_of(card, usage.model, usage.counts, usage.terms, usage.day, prompt_tokens=LONGEST_PROMPT).usd


def _key(model_id: str, card: RateCard) -> str:
    model = card.find(model_id)
    return model_id.strip().lower() if model is None else model.id


def _is_priority(usage: DayUsage) -> bool:
    return usage.terms.service_tier == PRIORITY_TIER


def _largest_first(drift: ModelDrift) -> tuple[Decimal, Decimal, str]:
    # Ignore fractions of a cent when models are sorted.
    return -round(abs(drift.unexplained_usd), 2), -drift.billed_usd, drift.model or ""


def total_of(days: Sequence[DayDrift]) -> tuple[Decimal, Decimal, Decimal]:
    """Computed, billed and unexplained USD of all days together."""
    return (
        sum((day.computed_usd for day in days), ZERO),
        sum((day.billed_usd for day in days), ZERO),
        sum((day.unexplained_usd for day in days), ZERO),
    )


EVERY_HOUR = 2**24 - 1
"""Bit mask of a day whose 24 hours are all known."""


def settled_days(snapshot: Snapshot, first: date, last: date) -> list[DayDrift]:
    """The settled UTC days from `first` to `last`, both included, that are billed and whose hours are all known; oldest
    first.
    """
    read_at = snapshot.data.billed_read_at
    days = [first + index * DAY for index in range((last - first).days + 1)]
    found = [day for day in days if snapshot.bills.get(day) and is_settled(day, read_at)]
    return [
        drift_of(day, price_usage(_usage(snapshot, day), snapshot.card), snapshot.bills[day], snapshot.card)
        for day in found
        if snapshot.day(day).known == EVERY_HOUR
    ]


def _usage(snapshot: Snapshot, day: date) -> list[DayUsage]:
    """Usage of the organization on a day, summed by what decides its price."""
    rates, counts = snapshot.index.rates, snapshot.day(day).rates
    return [
        DayUsage(day, rates[rate].model, "", None, rates[rate].terms, TokenCounts(*counts[rate].tolist()))
        for rate in range(len(counts))
        if counts[rate].any()
    ]
