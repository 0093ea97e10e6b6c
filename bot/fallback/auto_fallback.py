"""Steps the chain down and back automatically: reads alerts, changes and spend, and switches as `auto_step` decides."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from bot.alerts.cycle_state import CycleState
from bot.alerts.incident import AlertKind, Status
from bot.alerts.store import IncidentStore, OpenedIncident
from bot.budgets.budget import Budget, Scope, ScopeKind
from bot.budgets.review import BudgetReview
from bot.budgets.snapshot import Snapshot
from bot.budgets.snapshots import Snapshots
from bot.clock import DAY, HOUR, MINUTE, floor_hour
from bot.db.state import BOT
from bot.fallback.auto import SETTLING, AutoStep, Change, SpendRates, Trigger, auto_step
from bot.fallback.impact import ModeImpacts, Overview
from bot.fallback.service import FallbackService
from bot.mode import DEGRADED, MINIMAL, NORMAL
from bot.modes.changes import LOOK_BACK, NO_CHANGE, ModeChange
from bot.modes.verification import per_hour

CHAIN_MODES = (NORMAL, DEGRADED, MINIMAL)
"""Most expensive first. The order of modes with other names is unknown."""


class AutoFallback:
    """Synchronous; asynchronous callers use a thread. The budgets are those of the review."""

    name = "automatic fallback"

    def __init__(
        self,
        fallback: FallbackService,
        mode_impacts: ModeImpacts,
        review: BudgetReview,
        incidents: IncidentStore,
        snapshots: Snapshots,
        state: Callable[[], CycleState],
    ) -> None:
        self._fallback = fallback
        self._impacts = mode_impacts
        self._review = review
        self._incidents = incidents
        self._snapshots = snapshots
        self._state = state

    def look(self, now: datetime, mode: str) -> None:
        """Switch and announce what is due. The newest change counts, not the caller's `mode`.

        The step is bound to the change that it was decided on, so it never overrules a concurrent switch.
        """
        if not self._fallback.steps_down(self._state().auto):
            return
        changes = self._fallback.store.changes(LOOK_BACK)
        budgets = {budget.name: budget for budget in self._review.budgets}
        triggers = self._triggers(budgets, now)
        counting = [trigger for trigger in triggers if trigger.counts(now)]
        overview = self._impacts.overview() if counting else None
        step = auto_step(
            self._fallback.rules,
            True,
            CHAIN_MODES,
            [Change(change.mode, change.changed_at, change.changed_by) for change in changes],
            triggers,
            self._rates(changes, _widest([budgets[trigger.budget].scope for trigger in counting])),
            {} if overview is None else {saving.mode: saving.share or Decimal(0) for saving in overview.savings},
            now,
        )
        if step is not None:
            self._switch(step, changes, overview or self._impacts.overview(), now)

    def _switch(self, step: AutoStep, changes: Sequence[ModeChange], overview: Overview, now: datetime) -> None:
        mode, until = step.mode, None
        if step.trigger is None:
            # The requested end of a mode stays the same when the chain steps down from it.
            until = next((change.until for change in reversed(changes) if change.mode == mode), None)
            if until is not None and until <= now:
                mode, until = NORMAL, None
        self._fallback.switch(
            self._fallback.modes[mode],
            BOT,
            step.reason,
            overview.savings,
            overview.as_of,
            costs=overview.costs.get(mode),
            until=until,
            after=changes[-1].id if changes else NO_CHANGE,
            automatic=True,
        )

    def _triggers(self, budgets: Mapping[str, Budget], now: datetime) -> list[Trigger]:
        found = self._incidents.opened(self._fallback.rules.auto_levels, closed_since=now - DAY)
        return [
            Trigger(
                incident.identity.subject,
                incident.identity.level,
                _bound(incident),
                incident.first_opened_at,
                None if incident.status is Status.OPEN else incident.changed_at,
                _ends_at(incident, budgets[incident.identity.subject]),
            )
            for incident in found
            if incident.identity.subject in budgets
        ]

    def _rates(self, changes: Sequence[ModeChange], scope: Scope | None) -> SpendRates | None:
        """Rates of the last hour, and of the hour before the newest change plus the part of its own hour before it.

        None if unknown, while the data does not reach an hour beyond the change, and without an automatic step to
        continue from.
        """
        snapshot = self._snapshots.current()
        as_of = snapshot.as_of
        if as_of is None or scope is None or not changes or changes[-1].changed_by != BOT:
            return None
        at, until = changes[-1].changed_at, as_of.replace(second=0, microsecond=0)
        since = _dollars(snapshot, scope, until - SETTLING, until) if until - SETTLING >= at else None
        before = _before(snapshot, at, scope)
        if since is None or before is None:
            return None
        return SpendRates(before, per_hour(since, SETTLING))


def _before(snapshot: Snapshot, at: datetime, scope: Scope) -> Decimal | None:
    """USD an hour; of the whole hour before alone if that of the change is no longer kept by the minute."""
    first, minute = floor_hour(at) - HOUR, at.replace(second=0, microsecond=0)
    by_minute = _dollars(snapshot, scope, first, minute)
    if by_minute is not None:
        return per_hour(by_minute, max(minute - first, MINUTE))
    return snapshot.usd(scope, first, first + HOUR) if snapshot.knows(first) else None


def _dollars(snapshot: Snapshot, scope: Scope, starts_at: datetime, ends_at: datetime) -> Decimal | None:
    """USD; None if an hour is not kept by the minute."""
    minutes = snapshot.minutes([scope], starts_at, ends_at)
    return None if minutes is None else snapshot.prices.usd(sum(minutes[0].tolist()))


def _bound(incident: OpenedIncident) -> Decimal:
    """The bound that was passed, USD; USD an hour for a spike."""
    limit, rate = incident.identity.limit, incident.bound_usd_per_hour
    return limit.usd if limit is not None else rate or Decimal(0)


def _ends_at(incident: OpenedIncident, budget: Budget) -> datetime:
    """End of its period; if that was over when the alert was opened, start of the next."""
    period = budget.period_at(incident.first_opened_at)
    # The key of a spike is the hour in which it was seen.
    in_it = incident.identity.kind is AlertKind.SPIKE or incident.identity.key == period.key
    return period.ends_at if in_it else period.starts_at


def _widest(scopes: Sequence[Scope]) -> Scope | None:
    return min(scopes, key=lambda scope: scope.kind is not ScopeKind.ORGANIZATION, default=None)
