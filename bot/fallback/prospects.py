"""What a step to another mode would mean for what the team uses: what it saves, and what it costs besides."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.alerts.spend_facts import SavingFacts
from bot.budgets.outlook import LEAST_FOR_PACE, Recent, is_dearer
from bot.budgets.review import BudgetReview
from bot.clock import Clock
from bot.fallback.consequences import Consequences, consequences, unrestrained_until
from bot.fallback.modes import Mode
from bot.fallback.service import FallbackService
from bot.pricing.card import RateCard
from bot.store.modes import LOOK_BACK


@dataclass(frozen=True, slots=True)
class Prospect:
    """A step from the mode in force to another.

    `savings`: what each mode would save beside the one in force. `not_cheaper`: the figures that refuse the step, where
    it would save nothing. `costs`: None where there is nothing to say.
    """

    savings: tuple[SavingFacts, ...]
    as_of: datetime | None
    costs: Consequences | None
    not_cheaper: SavingFacts | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Every mode beside the one in force: `savings` until the end of the period, and `costs` by the mode's name.

    `savings` is empty where less than 6 hours of usage are known. `as_of`: the age of the data, None before the first.
    """

    savings: tuple[SavingFacts, ...]
    costs: Mapping[str, Consequences]
    as_of: datetime | None


class Prospects:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, review: BudgetReview, fallback: FallbackService, card: RateCard, clock: Clock) -> None:
        self._review = review
        self._fallback = fallback
        self._card = card
        self._clock = clock

    def overview(self) -> Overview:
        """What every mode would mean.

        Usage under a cheaper mode says nothing of what the team would use without it, so that the last 24 hours before
        count then.
        """
        now = self._clock()
        savings, recent, as_of = self._look(now)
        costs = {
            mode.name: found for mode in self._fallback.modes.values() if (found := self._costs(mode, recent, now))
        }
        return Overview(savings, costs, as_of)

    def of(self, wanted: Mode, until: datetime | None = None) -> Prospect:
        """The step from the mode in force to `wanted`. `until`: when that is to end, where somebody has said so."""
        now = self._clock()
        present = self._present()
        savings, recent, as_of = self._look(now, until)
        costs = self._costs(wanted, recent, now)
        mine = next((saving for saving in savings if saving.mode == wanted.name), None)
        refused = mine is not None and mine.usd <= 0 and not self._is_step_back(present, wanted, now)
        return Prospect(savings, as_of, costs, mine if refused and wanted.name != present.name else None)

    def _look(
        self, now: datetime, ends_at: datetime | None = None
    ) -> tuple[tuple[SavingFacts, ...], Recent | None, datetime | None]:
        changes = [
            (change.changed_at, self._fallback.wanted(change).ceiling is not None)
            for change in self._fallback.store.changes(LOOK_BACK)
        ]
        until = unrestrained_until(changes, now)
        recent = self._review.recent(now, until)
        savings, as_of = self._review.savings(now, until, ends_at)
        if recent is None or not recent.last or recent.covered < LEAST_FOR_PACE:
            # Where nothing is used, nothing can be said of what a mode would save.
            return (), recent, as_of
        return beside(self._present(), savings), recent, as_of

    def _costs(self, mode: Mode, recent: Recent | None, now: datetime) -> Consequences | None:
        if mode.ceiling is None:
            return None
        return consequences(mode.ceiling, () if recent is None else recent.last, self._card, now.date())

    def _present(self) -> Mode:
        return self._fallback.wanted(self._fallback.store.current())

    def _is_step_back(self, present: Mode, wanted: Mode, now: datetime) -> bool:
        if present.ceiling is None or wanted.ceiling is None:
            return False
        return is_dearer(wanted.ceiling, present.ceiling, now.date(), self._card)


def beside(present: Mode, savings: tuple[SavingFacts, ...]) -> tuple[SavingFacts, ...]:
    """Each mode's saving against the mode in force, instead of against no mode; none where that one's is not known."""
    by_mode: Mapping[str, Decimal] = {saving.mode: saving.usd for saving in savings}
    if present.ceiling is None:
        return savings
    if present.name not in by_mode:
        return ()
    base = by_mode[present.name]
    return tuple(saving.model_copy(update={"usd": saving.usd - base}) for saving in savings)
