"""Writes the wanted mode to every target, repairs changes by others, and retries failures."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.clock import Clock
from bot.fallback.store import TargetStore
from bot.fallback.targets.base import Target, TargetError, TargetState, TargetView
from bot.language import kept
from bot.log_fields import Event, fields
from bot.mode import Mode
from bot.notify.model import back_off

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=30)
"""Shorter than the usual interval between polls, so that a target follows with the first one after its remedy."""


@dataclass(slots=True)
class _Failures:
    """Consecutive failures of one target, all about one change of the mode."""

    change_id: int | None
    count: int = 0
    not_before: datetime | None = None


class Reconciler:
    """One for all targets of this copy. Not thread-safe.

    A failing target is retried after a wait that doubles up to half a minute, and at once if the mode changes; the
    others do not wait for it.
    """

    def __init__(self, store: TargetStore, targets: Sequence[Target], clock: Clock) -> None:
        self._store = store
        self.targets = tuple(targets)
        self._clock = clock
        self._seen: dict[str, TargetState] = {}
        self._failures: dict[str, _Failures] = {}
        self.wrote = False
        """Whether the last `bring` wrote to a target, or tried to."""

    def bring(self, mode: Mode, change_id: int | None, *, records: bool) -> list[TargetState]:
        """Bring every target to this mode; returns the state of each. `records`: whether to store it."""
        self.wrote = False
        known = all(target.name in self._seen for target in self.targets)
        stored = {} if known and not records else self._store.all()
        return [self._bring(target, mode, change_id, stored, records) for target in self.targets]

    def view(self, mode: Mode, change_id: int | None) -> tuple[TargetView, ...]:
        """State of every target under this mode."""
        stored = self._store.all()
        return tuple(self._view(target, mode, change_id, stored.get(target.name)) for target in self.targets)

    def _bring(
        self, target: Target, mode: Mode, change_id: int | None, stored: Mapping[str, TargetState], records: bool
    ) -> TargetState:
        now = self._clock()
        before = self._before(target.name, change_id, stored.get(target.name))
        failures = self._failures.get(target.name)
        if failures is not None and failures.change_id != change_id:
            failures = None
        # A longer wait than any was set by a clock that has been set back since.
        if failures is not None and failures.not_before is not None and now < failures.not_before <= now + LONGEST_WAIT:
            return before
        try:
            after = self._written(target, mode, before, now)
        except TargetError as error:
            after = replace(before, written_at=None, error=kept(error))
            failures = failures or _Failures(change_id)
            failures.not_before = now + back_off(failures.count, LONGEST_WAIT)
            failures.count += 1
            self._failures[target.name] = failures
            if before.error != after.error:
                shown = fields(
                    event=Event.TARGET, mode=mode.name, target=target.name, outcome="failed", reason=str(error)
                )
                log.error("fallback mode %s is not written to %s: %s", mode.name, target.name, error, extra=shown)
        else:
            self._failures.pop(target.name, None)
        if records and after != stored.get(target.name):
            self._store.save(after)
        self._seen[target.name] = after
        return after

    def _written(self, target: Target, mode: Mode, before: TargetState, now: datetime) -> TargetState:
        if not target.holds(mode.variables):
            self.wrote = True
            target.write(mode.variables)
            if _drifted(before, mode.variables):
                shown = fields(event=Event.TARGET, mode=mode.name, target=target.name, outcome="repaired")
                log.warning(
                    "%s did not hold fallback mode %s any more and was put right", target.name, mode.name, extra=shown
                )
                return replace(before, written_at=now, error=None, repaired_at=now)
            shown = fields(event=Event.TARGET, mode=mode.name, target=target.name, outcome="written")
            log.info("fallback mode %s written to %s", mode.name, target.name, extra=shown)
            return replace(before, variables=dict(mode.variables), written_at=now, error=None)
        return replace(before, variables=dict(mode.variables), written_at=before.written_at or now, error=None)

    def _before(self, name: str, change_id: int | None, stored: TargetState | None) -> TargetState:
        """State of the target under this change as this copy knows it; the stored state only at the start.

        Copies on several machines may have targets of the same name, and one written by another copy has not drifted.
        """
        seen = self._seen.get(name) or stored
        if seen is None:
            return TargetState(name, change_id)
        if seen.change_id != change_id:
            return TargetState(name, change_id, repaired_at=seen.repaired_at)
        return seen

    def _view(self, target: Target, mode: Mode, change_id: int | None, stored: TargetState | None) -> TargetView:
        state = self._seen.get(target.name)
        if state is None or state.change_id != change_id:
            state = stored
        if state is None or state.change_id != change_id:
            state = TargetState(target.name, change_id)
        doubts: tuple[str, ...] = ()
        error = state.error
        try:
            doubts = target.doubts(mode.variables)
        except TargetError as failure:
            error = kept(failure)
        return TargetView(target.name, target.follows, state.written_at, error, state.repaired_at, doubts)


def _drifted(before: TargetState, variables: Mapping[str, str]) -> bool:
    """Whether it held exactly this before; otherwise the mode or its variables are new."""
    return before.written_at is not None and before.variables == variables
