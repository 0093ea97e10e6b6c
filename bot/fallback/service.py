"""Switching the fallback mode: recorded and announced first, written to the target then, repaired at start."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.alerts.facts import ModeFacts, SavingFacts
from bot.clock import Clock
from bot.fallback.env_file import EnvFile, EnvFileError
from bot.fallback.modes import NORMAL, Mode
from bot.store.modes import ModeChange, ModeStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode that is wanted and how far the target follows. `changed_at` is None as long as nobody ever switched.

    `overridden`: managed names that lines outside the block set too, so that services may read those instead.
    """

    mode: Mode
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    written_at: datetime | None
    write_error: str | None
    overridden: tuple[str, ...]


class FallbackService:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, store: ModeStore, target: EnvFile, modes: Mapping[str, Mode], clock: Clock) -> None:
        self._store = store
        self.target = target
        self.modes = modes
        self._clock = clock
        self._one_writer = threading.Lock()
        self._failure: str | None = None

    def state(self) -> ModeState:
        """What is wanted, and what is known of the target."""
        change = self._store.current()
        mode = self._wanted(change)
        overridden: tuple[str, ...] = ()
        error = None if change is None else change.write_error
        try:
            overridden = self.target.read(mode.variables).outside
        except EnvFileError as failure:
            error = str(failure)
        if change is None:
            return ModeState(mode, None, None, None, None, error, overridden)
        return ModeState(
            mode, change.changed_at, change.changed_by, change.reason, change.written_at, error, overridden
        )

    def switch(
        self, mode: Mode, by: str, reason: str, savings: Sequence[SavingFacts], as_of: datetime | None
    ) -> ModeState:
        """Make `mode` the wanted one. `by`: a Slack user id. To switch to the mode in force changes nothing."""
        while (previous := self._wanted(self._store.current()).name) != mode.name:
            facts = ModeFacts(
                mode=mode.name,
                previous=previous,
                by=by,
                reason=reason,
                changed_at=self._clock(),
                savings=tuple(savings),
                as_of=as_of,
            )
            if self._store.change(mode.variables, facts) is not None:
                log.info("fallback mode %s -> %s by %s", previous, mode.name, by)
                self.reconcile()
                break
        return self.state()

    def reconcile(self, *, records: bool = True) -> None:
        """Bring the target to the wanted mode where it differs. A failure is kept and shown, and tried again.

        Each of several copies may have a target of its own. What became of a change is recorded by the copy that
        switched and by the one that leads; the others only write (`records` is False), so that two whose targets fare
        differently do not contradict and announce each other for ever.
        """
        with self._one_writer:
            change = self._store.current()
            self._follow(change, records)
            # Another copy may have switched while this one was writing an older mode.
            while (newest := self._store.current()) is not None and (change is None or newest.id != change.id):
                change = newest
                self._follow(change, records)

    def _follow(self, change: ModeChange | None, records: bool) -> None:
        mode = self._wanted(change)
        try:
            if not self.target.holds(mode.variables):
                self.target.write(mode.variables)
                log.info("fallback mode %s written to %s", mode.name, self.target.path)
        except EnvFileError as error:
            if self._failure != str(error):
                log.error("fallback mode %s is not written: %s", mode.name, error)
                self._failure = str(error)
            if change is not None and records:
                self._store.not_written(change.id, str(error))
            return
        self._failure = None
        if change is not None and records and change.written_at is None:
            self._store.written(change.id, self._clock(), _late(change))

    def refused(self, actor: str, action: str, detail: str) -> None:
        """Keep in the audit trail that somebody was refused."""
        self._store.refused(self._clock(), actor, action, detail)

    def _wanted(self, change: ModeChange | None) -> Mode:
        if change is None:
            return self.modes[NORMAL]
        # A mode that has left the configuration keeps the variables that it had when it was switched on.
        return self.modes.get(change.mode) or Mode(change.mode, change.variables)


def _late(change: ModeChange) -> ModeFacts | None:
    if change.write_error is None:
        return None
    return ModeFacts(
        mode=change.mode,
        previous=change.mode,
        by=change.changed_by,
        reason=change.reason,
        changed_at=change.changed_at,
        savings=(),
        as_of=None,
        written=True,
    )
