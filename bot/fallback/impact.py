"""Effects of switching to another mode on the team's usage: what it saves, and what it costs otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.review import BudgetReview
from bot.budgets.savings import InForce, Saving, savings_of
from bot.budgets.trend import Recent, costs_more
from bot.clock import Clock
from bot.fallback.service import FallbackService
from bot.mode import Mode
from bot.modes.changes import LOOK_BACK, ModeChange
from bot.modes.consequences import Consequences, consequences, unrestrained_until
from bot.pricing.card import RateCard


@dataclass(frozen=True, slots=True)
class ModeImpact:
    """A step from the mode in force to another.

    `savings`: of each mode against the one in force. `not_cheaper`: the figures that block the step, if it would save
    nothing. `costs`: None if there is nothing to say. `spend`: what `savings` is a share of. `steps_back`: `wanted` is
    more expensive than the mode in force.
    """

    savings: tuple[Saving, ...]
    as_of: datetime | None
    costs: Consequences | None
    not_cheaper: Saving | None
    spend: BudgetSpend | None = None
    steps_back: bool = False


@dataclass(frozen=True, slots=True)
class OwnSaving:
    """Saving of a mode for one budget alone. `as_of`: age of its data."""

    budget: str
    saving: Saving
    as_of: datetime


def own_saving(spend: BudgetSpend | None, mode: str, in_force: str, until: datetime | None = None) -> OwnSaving | None:
    """Saving of `mode` for a budget against the one in force; None if unknown. `until`: its end, if any."""
    if spend is None:
        return None
    found = next((each for each in savings_of(spend, in_force, until) if each.mode == mode), None)
    return None if found is None else OwnSaving(spend.budget, found, spend.as_of)


@dataclass(frozen=True, slots=True)
class Overview:
    """Every mode against the one in force: `savings` until the end of the period, and `costs` by mode name.

    `savings` is empty if unknown. `as_of`: age of the data, None before the first. `spend`: what `savings` is a share
    of.
    """

    savings: tuple[Saving, ...]
    costs: Mapping[str, Consequences]
    as_of: datetime | None
    spend: BudgetSpend | None = None


def mode_in_force(fallback: FallbackService, now: datetime) -> InForce:
    """The mode in force, and since when a mode has restricted usage."""
    return _in_force(fallback, fallback.store.changes(LOOK_BACK), now)


def _in_force(fallback: FallbackService, changes: Sequence[ModeChange], now: datetime) -> InForce:
    if not changes:
        return InForce()
    newest = changes[-1]
    # A new end for the same mode is not a new mode.
    since = newest.changed_at
    for change in reversed(changes):
        if change.mode != newest.mode:
            break
        since = change.changed_at
    held = [(change.changed_at, fallback.wanted(change).ceiling is not None) for change in changes]
    began = tuple((change.changed_at, change.mode) for change in changes)
    ceilings = tuple((change.changed_at, fallback.wanted(change).ceiling) for change in changes)
    return InForce(newest.mode, fallback.wanted(newest).ceiling, since, unrestrained_until(held, now), began, ceilings)


class ModeImpacts:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, review: BudgetReview, fallback: FallbackService, card: RateCard, clock: Clock) -> None:
        self._review = review
        self._fallback = fallback
        self._card = card
        self._clock = clock

    def overview(self) -> Overview:
        """Effects of every mode.

        Usage under a cheaper mode does not show what the team would use without it, so the 24 hours before count then.
        """
        now = self._clock()
        present, spend, recent = self._look(now)
        costs = {
            mode.name: found for mode in self._fallback.modes.values() if (found := self._costs(mode, recent, now))
        }
        savings = savings_of(spend, present.name)
        return Overview(savings, costs, None if spend is None else spend.as_of, spend)

    def of(self, wanted: Mode, until: datetime | None = None) -> ModeImpact:
        """The step from the mode in force to `wanted`. `until`: its requested end, if any."""
        now = self._clock()
        present, spend, recent = self._look(now)
        savings = savings_of(spend, present.name, until)
        costs = self._costs(wanted, recent, now)
        mine = next((saving for saving in savings if saving.mode == wanted.name), None)
        steps_back = self._is_step_back(present, wanted, now)
        refused = mine is not None and not is_cheaper(mine) and not steps_back
        not_cheaper = mine if refused and wanted.name != present.name else None
        return ModeImpact(savings, None if spend is None else spend.as_of, costs, not_cheaper, spend, steps_back)

    def _look(self, now: datetime) -> tuple[Mode, BudgetSpend | None, Recent | None]:
        """The mode in force, and spend; the mode changes are read once for both."""
        changes = self._fallback.store.changes(LOOK_BACK)
        in_force = _in_force(self._fallback, changes, now)
        present = self._fallback.wanted(changes[-1] if changes else None)
        return present, self._review.widest(now, in_force), self._review.recent(now, in_force.mix_until)

    def _costs(self, mode: Mode, recent: Recent | None, now: datetime) -> Consequences | None:
        if mode.ceiling is None:
            return None
        return consequences(mode.ceiling, () if recent is None else recent.last, self._card, now.date())

    def _is_step_back(self, present: Mode, wanted: Mode, now: datetime) -> bool:
        if present.ceiling is None or wanted.ceiling is None:
            return False
        return costs_more(wanted.ceiling, present.ceiling, now.date(), self._card)


def is_cheaper(saving: Saving) -> bool:
    """Whether the same usage costs less in this mode than in the one in force, however much is left to use."""
    return (saving.usd if saving.share is None else saving.share) > 0
