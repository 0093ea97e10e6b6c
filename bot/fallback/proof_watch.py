"""Watches what usage shows of the mode in force, and tells it below the announcement of the change."""

from collections.abc import Sequence
from datetime import datetime

from bot.client.ceiling import ceiling_from
from bot.fallback.proof import Watch
from bot.fallback.proof_reports import report_due
from bot.fallback.proving import Proving, proof_facts, told_by
from bot.fallback.service import FallbackService
from bot.store.usage import UsageStore


class ProofWatch:
    """Synchronous; asynchronous callers use a thread. `chain`: the whole fallback chain, model ids."""

    def __init__(self, fallback: FallbackService, proving: Proving, usage: UsageStore, chain: Sequence[str]) -> None:
        self._fallback = fallback
        self._proving = proving
        self._usage = usage
        self._whole_chain = ",".join(chain)

    def look(self, now: datetime, mode: str) -> None:
        """Put what there is to tell into the outbox. A newer change ends the watch of the one before.

        Not the mode of the caller counts, but the newest change: the chain may have stepped down since.
        """
        changes = self._fallback.store.in_force()
        if not changes:
            return
        newest, first = changes[0], changes[-1]
        ceiling = ceiling_from(self._fallback.wanted(newest).variables, self._whole_chain)
        if ceiling is None or ceiling.model is None:
            return
        watch = Watch(newest.mode, ceiling, first.changed_at)
        proofs, ids = self._fallback.store.proofs, [change.id for change in changes]
        told = [told_by(facts) for facts in proofs.told(ids)]
        if (told and told[-1].last) or proofs.is_dismissed(ids):
            return
        proof = self._proving.look(watch)
        report = None if proof is None else report_due(proof, watch, told, dismissed=False, now=now)
        if proof is not None and report is not None:
            proofs.tell(proof_facts(proof, report, watch, newest.id, self._usage.names()), len(told), ids)
