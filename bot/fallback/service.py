"""Switches the fallback mode: first recorded and announced, then written to the targets, and repaired at every look."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from bot.budgets.savings import Saving
from bot.clock import Clock
from bot.counting import CountSwitch, not_counted
from bot.db.later import Writes, at_once
from bot.db.state import BOT
from bot.fallback.auto import FallbackRules
from bot.fallback.reconciler import Reconciler
from bot.fallback.store import Dismissal, ModeStore
from bot.fallback.targets.base import TargetState, TargetView
from bot.language import Text, kept, restored, tr_lazy, tr_noop
from bot.log_fields import Event, fields
from bot.mode import NORMAL, Mode
from bot.modes.changes import NO_CHANGE, AuditEntry, AutoSwitch, Cause, Due, End, ModeChange, due, end_of
from bot.modes.consequences import Consequences
from bot.modes.model import ModeAnnouncement, ModeEnding, VerificationReport

log = logging.getLogger(__name__)


class ChangeSignal:
    """Calls every listener after a committed change. Thread-safe.

    A listener runs in the sender's thread, so it only wakes somebody. The signal carries no mode: whoever wakes reads
    the store, which also covers duplicate signals. Changes by other copies send nothing here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []

    def send(self) -> None:
        """Call every listener; a failing one is logged and stops neither the others nor the sender."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener()
            except RuntimeError as error:
                # Raised by an event loop that has been closed.
                log.warning("a reader of the fallback mode was not woken (%s)", type(error).__name__)

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call `listener` at every signal while the block runs."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)


BECAUSE = {Cause.TIME: tr_noop("its time is over"), Cause.PERIOD: tr_noop("a new period has begun")}
WILL_END = {
    Cause.TIME: tr_noop("its time is over then"),
    Cause.PERIOD: tr_noop("a new period begins then"),
}


@dataclass(frozen=True, slots=True)
class ModeState:
    """The wanted mode, and how far the targets follow. `changed_at`: None if nobody ever switched.

    `write_error`: what keeps a target from following, in sentences. `until`: requested end; `ends`: actual end.
    `served`: whether it is served over HTTP too. `verification`: the newest report about its effect.
    """

    mode: Mode
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    written_at: datetime | None
    write_error: str | None
    targets: tuple[TargetView, ...]
    until: datetime | None = None
    ends: End | None = None
    served: bool = False
    verification: VerificationReport | None = None


@dataclass(frozen=True, slots=True)
class Auto:
    """Whether the chain steps down automatically. `said`: who set that in chat, None if the settings decide."""

    on: bool
    said: AutoSwitch | None


def _no_period(moment: datetime) -> datetime | None:
    return None


class FallbackService:
    """Synchronous; asynchronous callers use a thread.

    `period_end`: end of the budgets' period around a moment. `served`: whether the HTTP port is open. `changes`:
    signalled after each mode change that this copy has committed. `later`: stores refusals. `count`: gets each switch.
    """

    def __init__(
        self,
        store: ModeStore,
        reconciler: Reconciler,
        modes: Mapping[str, Mode],
        clock: Clock,
        *,
        rules: FallbackRules | None = None,
        period_end: Callable[[datetime], datetime | None] = _no_period,
        served: bool = False,
        changes: ChangeSignal | None = None,
        later: Writes = at_once,
        count: CountSwitch = not_counted,
    ) -> None:
        self.store = store
        self._reconciler = reconciler
        self.modes = modes
        self._clock = clock
        self.rules = rules or FallbackRules()
        self.period_end = period_end
        self._served = served
        self.changes = changes or ChangeSignal()
        self._later = later
        self._count = count
        self._one_writer = threading.Lock()

    def in_force(self) -> ModeState:
        """The wanted mode as applications need it, without targets, end of period and verification. One statement."""
        change = self.store.current()
        mode = self.wanted(change)
        if change is None:
            return ModeState(mode, None, None, None, None, None, (), served=self._served)
        by, why, written = change.changed_by, change.reason, change.written_at
        error, until = change.write_error, change.until
        return ModeState(mode, change.changed_at, by, why, written, error, (), until, served=self._served)

    def state(self) -> ModeState:
        """The wanted mode, and the state of the targets."""
        changes = self.store.in_force()
        change = changes[0] if changes else None
        mode = self.wanted(change)
        targets = self._reconciler.view(mode, None if change is None else change.id)
        errors = _errors(targets)
        if change is None:
            return ModeState(mode, None, None, None, None, errors, targets, served=self._served)
        reports = self.store.verifications.reports([each.id for each in changes])
        return ModeState(
            mode,
            change.changed_at,
            change.changed_by,
            change.reason,
            change.written_at,
            errors or change.write_error,
            targets,
            change.until,
            self.end(change),
            self._served,
            reports[-1] if reports else None,
        )

    def switch(
        self,
        mode: Mode,
        by: str,
        reason: str,
        savings: Sequence[Saving],
        as_of: datetime | None,
        *,
        costs: Consequences | None = None,
        until: datetime | None = None,
        after: int | None = None,
        automatic: bool = False,
    ) -> ModeState:
        """Make `mode` the wanted one. `by`: a Slack user id, or `BOT`.

        Switching to the mode in force changes nothing, unless its end changes. `after`: the id that the newest change
        must have, or `NO_CHANGE`; otherwise nothing is changed. `automatic`: the chain steps by itself, and the
        announcement says so.
        """
        while True:
            present = self.store.current()
            previous = self.wanted(present).name
            known_until = None if present is None else present.until
            if previous == mode.name and until in (None, known_until):
                break
            if after is not None and after != (NO_CHANGE if present is None else present.id):
                break
            now = self._clock()
            facts = ModeAnnouncement(
                mode=mode.name,
                previous=previous,
                by=by,
                reason=reason,
                changed_at=now,
                savings=tuple(savings),
                as_of=as_of,
                until=until,
                returns_at=self.period_end(now) if until is None and mode.name != NORMAL else None,
                costs=costs,
                previous_until=known_until,
                automatic=automatic,
            )
            if self.store.change(mode.variables, facts, after) is not None:
                self.follow_change(mode.name, by)
                break
        return self.state()

    def follow_change(self, mode: str, by: str) -> None:
        """Pass on a committed mode change: wake readers first, since targets may take long."""
        self._count(mode, automatic=by == BOT)
        self.changes.send()
        self.reconcile()

    def expire(self, change: ModeChange | None = None) -> None:
        """Return to normal if the mode's time is over or a new period has begun; announce it in advance.

        `change`: the newest one, if the caller has just read it.
        """
        change = change or self.store.current()
        end = None if change is None else self.end(change)
        if change is None or end is None:
            return
        now = self._clock()
        what = due(end, change.changed_at, now, warned=change.warned_at is not None)
        if what is Due.RETURN:
            self.switch(self.modes[NORMAL], BOT, kept(Text(BECAUSE[end.cause], {})), (), None, after=change.id)
        elif what is Due.WARN:
            facts = ModeEnding(mode=change.mode, ends_at=end.at, because=WILL_END[end.cause])
            self.store.warn(change.id, facts, now)

    def end(self, change: ModeChange) -> End | None:
        """When this change's mode returns to normal automatically."""
        return end_of(change.mode, change.until, self.period_end(change.changed_at))

    def reconcile(self, *, records: bool = True) -> None:
        """Bring the targets to the wanted mode. A failure is stored, shown, and retried.

        Each of several copies may have its own targets. The copy that switched and the leader record results; the
        others only write (`records` is False), so that two copies with different results do not overwrite each other's
        record.
        """
        with self._one_writer:
            change = self.store.current()
            self._follow(change, records)
            # Another copy may have switched while this one was writing an older mode.
            while (
                self._reconciler.wrote
                and (newest := self.store.current()) is not None
                and (change is None or newest.id != change.id)
            ):
                change = newest
                self._follow(change, records)

    def auto(self) -> Auto:
        """Whether the chain steps down automatically: as set in chat, else by the settings."""
        said = self.store.auto()
        return Auto(self.steps_down(said), said)

    def steps_down(self, said: AutoSwitch | None) -> bool:
        """Whether the chain steps down automatically, given what was set in chat."""
        return self.rules.auto if said is None else said.on

    def set_auto(self, by: str, *, on: bool) -> None:
        """Set in chat whether the chain steps down automatically; valid until set again."""
        self.store.set_auto(AutoSwitch(on, by, self._clock()))

    def history(self, most: int) -> list[AuditEntry]:
        """The newest changes and refusals, newest first."""
        return self.store.history(most)

    def dismiss(self, change_id: int, by: str) -> tuple[Dismissal, VerificationReport | None]:
        """Stop watching a mode change: the result, and the last report about the change."""
        in_force = [change.id for change in self.store.in_force()]
        outcome = self.store.verifications.dismiss(change_id, in_force, by, self._clock())
        reports = self.store.verifications.reports(in_force) if outcome == "done" else []
        return outcome, reports[-1] if reports else None

    def refused(self, actor: str, action: str, detail: str) -> None:
        """Log a refusal, and record it in the audit trail without waiting."""
        shown = fields(event=Event.REFUSAL, user=actor, action=action, reason=detail)
        log.info("refused: %s by %s, %s", action, actor, detail, extra=shown)
        self._later("a refusal is not in the audit trail", self.store.refused, self._clock(), actor, action, detail)

    def wanted(self, change: ModeChange | None) -> Mode:
        """The mode of a change; normal before the first."""
        if change is None:
            return self.modes[NORMAL]
        # A mode removed from the configuration keeps the variables it had when it was switched on.
        return self.modes.get(change.mode) or Mode(change.mode, change.variables)

    def _follow(self, change: ModeChange | None, records: bool) -> None:
        states = self._reconciler.bring(self.wanted(change), None if change is None else change.id, records=records)
        if change is None or not records:
            return
        error = _errors(states)
        if error is None and change.written_at is None:
            self.store.written(change.id, self._clock(), _late(change))
        elif error is not None and (change.written_at is not None or change.write_error != error):
            self.store.not_written(change.id, error)


def _errors(targets: Sequence[TargetState] | Sequence[TargetView]) -> str | None:
    errors = [restored(target.error) for target in targets if target.error is not None]
    if not errors:
        return None
    together = errors[0]
    for error in errors[1:]:
        together = tr_lazy("{sentence} {next}", sentence=together, next=error)
    return kept(together)


def _late(change: ModeChange) -> ModeAnnouncement | None:
    if change.write_error is None:
        return None
    return ModeAnnouncement(
        mode=change.mode,
        previous=change.mode,
        by=change.changed_by,
        reason=change.reason,
        changed_at=change.changed_at,
        savings=(),
        as_of=None,
        written=True,
    )
