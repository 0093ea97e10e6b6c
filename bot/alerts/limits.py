"""Limits: which budget crosses one, falls back below it, or is over; recorded with what is reported of it.

Only what may have changed since the last decision is decided again.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bot.alerts.decide import Incident, Status, Step, as_watched, closed, decide, taken, watch, withdrawn
from bot.alerts.model import LimitAlert, at_step, restated
from bot.alerts.quiet import Quiet, unquiet
from bot.alerts.store import AlertStore
from bot.budgets.account import Detail
from bot.budgets.budget import BILLED, Budget
from bot.budgets.budget_spend import BudgetSpend
from bot.budgets.period import Period
from bot.budgets.review import STILL_REVIEWED, Agenda, BudgetReview
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import Snapshots
from bot.clock import AFTER_EVERYTHING

Incidents = Mapping[tuple[str, str], Sequence[Incident]]
"""By budget and period."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the last decision was about. Where it is the same again, only what usage has changed since is decided on."""

    agenda: Agenda
    incidents: Incidents
    serial: int
    ends_at: datetime


class LimitDetector:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, snapshots: Snapshots, alerts: AlertStore, review: BudgetReview, name: str = "limits") -> None:
        self.name = name
        self._snapshots = snapshots
        self._alerts = alerts
        self._review = review
        self._decided: _Decided | None = None
        self._quiet: dict[tuple[str, str], Quiet] = {}
        self._quiet_in: Agenda | None = None

    def look(self, now: datetime, mode: str) -> int:
        """Take and record the steps of every budget; returns how many. `mode`: the fallback mode in force.

        A period that ended a short while ago is reviewed too, with the limits that were in force in it. After that its
        alerts are closed. Those of budgets that are not configured any more are withdrawn.
        """
        snapshot = self._snapshots.current()
        if snapshot.as_of is None:
            return 0
        agenda = self._agenda_at(now)
        incidents = self._alerts.incidents_in(agenda.periods)
        done = self._decided
        same = done is not None and done.agenda is agenda and done.incidents is incidents
        if done is not None and same:
            numbers, since = snapshot.touched_since(done.serial), snapshot.changed_from(done.serial)
            touched, known_since = agenda.touched(numbers, since), None if numbers is None else since
            due: Sequence[tuple[Budget, Period]] = unquiet(touched, self._quiet, incidents, snapshot, known_since)
        else:
            due = agenda.reviewed
        # A period that ended while the bot was away is held to the limits of the one before it.
        newer: dict[tuple[str, str], Sequence[Incident]] = {}
        known = ChainMap(newer, incidents)  # type: ignore[arg-type]
        decided = 0
        for budget, period in due:
            steps = self._decide(budget, period, known, snapshot, mode, now)
            if steps:
                key = (budget.name, period.key)
                newer[key] = taken(steps, known.get(key, ()))
                decided += sum(step.status is not Status.WATCHED for step in steps)
        ends_at = done.ends_at if done is not None and same else now
        if now >= ends_at:
            ended, ends_at = self._end(mode, now)
            decided += ended
        self._decided = _Decided(agenda, incidents, snapshot.serial, ends_at)
        return decided

    def _end(self, mode: str, now: datetime) -> tuple[int, datetime]:
        """Withdraw alerts of budgets that are not configured any more, and close those of periods that are over.

        The message keeps the figures that it has, with their age. Returns how many there were, and when there may be
        the next one.
        """
        ended, ends_at = 0, AFTER_EVERYTHING
        for facts in self._alerts.standing():
            if facts.ends_at is None:
                continue
            incident = Incident(facts.level, facts.limit_usd, facts.status)
            if facts.ends_at + STILL_REVIEWED <= now:
                step = closed(incident)
            elif not self._review.is_in_force(facts.subject):
                step = withdrawn(incident)
            else:
                ends_at = min(ends_at, facts.ends_at + STILL_REVIEWED)
                continue
            self._alerts.record(facts.subject, facts.period, [step], partial(restated, facts, mode=mode, now=now), now)
            ended += 1
        return ended, ends_at

    def _decide(
        self, budget: Budget, period: Period, known: Incidents, snapshot: Snapshot, mode: str, now: datetime
    ) -> Sequence[Step]:
        incidents = known.get((budget.name, period.key), ())
        if period.is_over(now):
            # The bot may have been away for as long as the period lasted.
            before = budget.period_before(period)
            watched = as_watched(budget, incidents or known.get((budget.name, before.key), ()))
            if watched is None:
                return ()
            budget = watched
        total_usd = snapshot.spend(budget.scope, period).total_usd
        quiet = self._quiet.get((budget.name, period.key))
        is_quiet = quiet is not None and quiet.holds(budget, incidents, total_usd)
        if is_quiet and budget.scope.kind not in BILLED:
            return ()
        steps = [] if is_quiet else decide(budget, total_usd, incidents)
        noted = [] if is_quiet else watch(budget, incidents)
        if not steps and not noted:
            # Anew even where it was quiet before: what is billed may have changed.
            self._quiet[budget.name, period.key] = Quiet.at(budget, period, incidents, total_usd, snapshot)
        if steps and snapshot.as_of is not None:
            [facts] = self._review.spends_in([(budget, period)], now, Detail.ALL, snapshot)
            self._alerts.record(budget.name, period.key, [*noted, *steps], _facts_of(facts, mode, now), now)
        elif noted:
            self._alerts.note(budget.name, period.key, noted, now)
        return (*noted, *steps)

    def _agenda_at(self, now: datetime) -> Agenda:
        agenda = self._review.agenda(now)
        if agenda is not self._quiet_in:
            self._quiet, self._quiet_in = {}, agenda
        return agenda


def _facts_of(spend: BudgetSpend, mode: str, now: datetime) -> Callable[[Step], LimitAlert]:
    def facts(step: Step) -> LimitAlert:
        return LimitAlert(
            **at_step(step, mode, now),
            spend=spend,
        )

    return facts
