"""Watches what usage shows of the mode in force, and reports it in the thread of the announcement."""

from collections.abc import Callable, Sequence
from datetime import datetime

from bot.alerts.cycle_state import CycleState
from bot.fallback.service import FallbackService
from bot.fallback.usage_verifier import UsageVerifier, report_of, verification_report
from bot.modes.ceiling import Ceiling, ceiling_from
from bot.modes.changes import ModeChange
from bot.modes.verification import VerificationTarget
from bot.modes.verification_reports import report_due
from bot.usage.store import UsageStore


class Verifier:
    """Synchronous; asynchronous callers use a thread. `chain`: the whole fallback chain, model ids."""

    name = "verification of the fallback mode"

    def __init__(
        self,
        fallback: FallbackService,
        usage_verifier: UsageVerifier,
        usage: UsageStore,
        chain: Sequence[str],
        state: Callable[[], CycleState],
    ) -> None:
        self._fallback = fallback
        self._usage_verifier = usage_verifier
        self._usage = usage
        self._whole_chain = tuple(chain)
        self._state = state
        self._done: int | None = None
        """The change that needs no further report."""

    def look(self, now: datetime, mode: str) -> None:
        """Put the reports that are due into the outbox. A newer change ends the watch of the one before.

        Not the mode of the caller counts, but the newest change: the chain may have stepped down since.
        """
        known = self._state().change
        if known is None or known.id == self._done or not self._has_ceiling(known):
            # What has been switched since is looked at in the next cycle.
            return
        changes = self._fallback.store.in_force()
        if not changes:
            return
        newest, first = changes[0], changes[-1]
        ceiling = self._ceiling(newest)
        if ceiling.model is None:
            return
        target = VerificationTarget(newest.mode, ceiling, first.changed_at)
        proofs, ids = self._fallback.store.proofs, [change.id for change in changes]
        reported = [report_of(payload) for payload in proofs.told(ids)]
        if (reported and reported[-1].last) or proofs.is_dismissed(ids):
            self._done = newest.id
            return
        found = self._usage_verifier.look(target)
        report = None if found is None else report_due(found, target, reported, dismissed=False, now=now)
        if found is not None and report is not None:
            payload = verification_report(found, report, target, newest.id, self._usage.names())
            proofs.tell(payload, len(reported), ids)

    def _has_ceiling(self, change: ModeChange) -> bool:
        return self._ceiling(change).model is not None

    def _ceiling(self, change: ModeChange) -> Ceiling:
        return ceiling_from(self._fallback.wanted(change).variables, self._whole_chain)
