"""Detector of limits: which budget crosses one, falls back below it, or is over.

Only what may have changed since the last decision is decided again.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, Self

from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.decide import LimitStep, Quiet, as_watched, closed, decide, taken, track_limits, unquiet, withdrawn
from bot.alerts.detector import DetectorContext
from bot.alerts.incident import AlertKind, Identity, Incident, Status
from bot.alerts.model import BudgetAlert, Transition, at_step, restated
from bot.budgets.account import Detail
from bot.budgets.budget import Budget, Limit, LimitKind, Period
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.live import LiveSpend
from bot.budgets.review import STILL_REVIEWED, Agenda
from bot.clock import AFTER_EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlert(BudgetAlert):
    """A limit of a budget, or a threshold on the way to it."""

    kind: Literal[AlertKind.LIMIT] = AlertKind.LIMIT
    limit: Limit

    @property
    def identity(self) -> Identity:
        return Identity(AlertKind.LIMIT, self.spend.budget, self.spend.period, self.limit)

    @property
    def is_urgent(self) -> bool:
        return self.limit.kind is LimitKind.HARD

    @property
    def related(self) -> Limit | None:
        """The budget's other limit as it was at the decision; never one that was edited since."""
        hard = self.limit.kind is LimitKind.HARD
        kind, usd = (LimitKind.SOFT, self.spend.soft_usd) if hard else (LimitKind.HARD, self.spend.hard_usd)
        return None if usd is None else Limit(kind, usd)

    def with_spend(self, spend: BudgetSpend) -> Self:
        return replace(self, spend=spend) if spend.spent_usd >= self.limit.usd else self


Incidents = Mapping[tuple[str, str], Sequence[Incident]]
"""Incidents by budget and period."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """Inputs of the last decision. While they stay the same, only budgets with changed usage are decided again."""

    agenda: Agenda
    incidents: Incidents
    serial: int
    provisional: Mapping[tuple[str, str], Decimal]
    ends_at: datetime


class LimitDetector:
    """Checks every limit of every budget, in the present period and in one that ended recently."""

    name = "limits"

    def __init__(self, context: DetectorContext) -> None:
        self._context = context
        self._decided: _Decided | None = None
        self._quiet: dict[tuple[str, str], Quiet] = {}
        self._quiet_in: Agenda | None = None

    def look(self, now: datetime, mode: str) -> Iterator[Sequence[Transition]]:
        """The steps of every budget.

        A period that ended recently is reviewed too, with the limits that were in force in it; later its alerts are
        closed. Alerts of budgets that are no longer configured are withdrawn. A fault of one budget is raised once the
        limits of the others are reported.
        """
        snapshot = self._context.snapshots.current()
        if snapshot.as_of is None:
            return
        agenda = self._agenda_at(now)
        incidents = self._context.alerts.incidents_in(agenda.periods)
        live = self._context.review.live.beside(snapshot)
        provisional = live.provisional(agenda.reviewed)
        done = self._decided
        same = done is not None and done.agenda is agenda and done.incidents is incidents
        if done is not None and same:
            numbers, since = snapshot.touched_since(done.serial), snapshot.changed_from(done.serial)
            touched, known_since = agenda.touched(numbers, since), None if numbers is None else since
            due: Sequence[tuple[Budget, Period]] = unquiet(touched, self._quiet, incidents, snapshot, known_since)
            due = _with_changed(due, agenda.reviewed, done.provisional, provisional)
        else:
            due = agenda.reviewed
        # A period that ended while the bot was down is judged by the limits of the one before it.
        newer: dict[tuple[str, str], Sequence[Incident]] = {}
        known = ChainMap(newer, incidents)  # type: ignore[arg-type]
        faults: list[Exception] = []
        for budget, period in due:
            try:
                transitions = self._transitions(budget, period, known, newer, live, now, mode)
            except SQLAlchemyError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever fails, the limits of other budgets are reported
                faults.append(error)
                continue
            if transitions:
                yield transitions
        ends_at = done.ends_at if done is not None and same else now
        if now >= ends_at:
            ended, ends_at = self._ended(mode, now)
            for transition in ended:
                yield [transition]
        if faults:
            # Everything is decided again at the next look.
            raise faults[0]
        self._decided = _Decided(agenda, incidents, snapshot.serial, provisional, ends_at)

    def _transitions(
        self,
        budget: Budget,
        period: Period,
        known: Incidents,
        newer: dict[tuple[str, str], Sequence[Incident]],
        live: LiveSpend,
        now: datetime,
        mode: str,
    ) -> list[Transition]:
        """The steps of one budget in one period, which are noted in `newer`. Records which limits are in force."""
        key = (budget.name, period.key)
        held_to, steps = self._steps(budget, period, known, live, now)
        if not steps:
            return []
        if all(step.status is Status.WATCHED for step in steps):
            newer[key] = taken(steps, known.get(key, ()))
            self._context.alerts.track([Identity(AlertKind.LIMIT, *key, step.limit) for step in steps], now)
            return []
        [spend] = self._context.review.spends_in([(held_to, period)], now, Detail.ALL, live)
        newer[key] = taken(steps, known.get(key, ()))
        return [Transition(_payload(spend, step, mode, now), step.post) for step in steps]

    def _ended(self, mode: str, now: datetime) -> tuple[list[Transition], datetime]:
        """Withdraw alerts of removed budgets and close those of ended periods; also when to look again.

        Messages keep their figures and the age of these.
        """
        ended, ends_at = [], AFTER_EVERYTHING
        for payload in self._context.alerts.standing():
            if payload.ends_at is None:
                continue
            limit = payload.identity.limit
            if payload.ends_at + STILL_REVIEWED <= now:
                step = closed(limit)
            elif not self._context.review.is_in_force(payload.subject):
                step = withdrawn(limit)
            else:
                ends_at = min(ends_at, payload.ends_at + STILL_REVIEWED)
                continue
            ended.append(Transition(restated(payload, step, mode=mode, now=now)))
        return ended, ends_at

    def _steps(
        self, budget: Budget, period: Period, known: Incidents, live: LiveSpend, now: datetime
    ) -> tuple[Budget, Sequence[LimitStep]]:
        """The steps, and the budget with the limits it is judged by."""
        incidents = known.get((budget.name, period.key), ())
        if period.is_over(now):
            # The bot may have been down for the whole period.
            before = budget.period_before(period)
            watched = as_watched(budget, incidents or known.get((budget.name, before.key), ()))
            if watched is None:
                return budget, ()
            budget = watched
        spend = live.spend(budget.scope, period)
        total_usd = spend.total_usd
        quiet = self._quiet.get((budget.name, period.key))
        is_quiet = quiet is not None and quiet.holds(budget, incidents, total_usd)
        same = quiet is not None and quiet.provisional_usd == spend.provisional_usd
        if is_quiet and same and not budget.scope.is_in_dollars:
            return budget, ()
        steps = [] if is_quiet else decide(budget, total_usd, incidents)
        noted = [] if is_quiet else track_limits(budget, incidents)
        if not steps and not noted:
            # Decide again even if it was quiet before: billed or provisional spend may have changed.
            self._quiet[budget.name, period.key] = Quiet.at(
                budget, period, incidents, total_usd, live.usage, spend.provisional_usd
            )
        return budget, (*noted, *steps)

    def _agenda_at(self, now: datetime) -> Agenda:
        agenda = self._context.review.agenda(now)
        if agenda is not self._quiet_in:
            self._quiet, self._quiet_in = {}, agenda
        return agenda


def _with_changed(
    due: Sequence[tuple[Budget, Period]],
    reviewed: Sequence[tuple[Budget, Period]],
    before: Mapping[tuple[str, str], Decimal],
    after: Mapping[tuple[str, str], Decimal],
) -> Sequence[tuple[Budget, Period]]:
    """`due` and the budgets whose provisional spend changed, since `Quiet` only tracks tokens and bills."""
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if not changed:
        return due
    found = {id(pair): pair for pair in due}
    found.update((id(pair), pair) for pair in reviewed if (pair[0].name, pair[1].key) in changed)
    return list(found.values())


def _payload(spend: BudgetSpend, step: LimitStep, mode: str, now: datetime) -> LimitAlert:
    return LimitAlert(**at_step(step, mode, now), limit=step.limit, spend=spend)
