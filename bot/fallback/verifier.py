"""Verifies mode changes by stored usage, and reports in the thread of the announcement."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from bot.alerts.cycle_state import CycleState
from bot.budgets.snapshot import ROWS_HELD, Snapshot
from bot.budgets.snapshots import Snapshots
from bot.clock import MINUTE, floor_hour
from bot.fallback.service import FallbackService
from bot.modes.changes import ModeChange
from bot.modes.consequences import Ceiling, ceiling_from
from bot.modes.model import NamedCaller, VerificationReport
from bot.modes.verification import (
    MOST_CALLERS,
    Caller,
    Report,
    Verification,
    VerificationTarget,
    needed_since,
    report_due,
    verify,
)
from bot.pricing.card import RateCard
from bot.pricing.tokens import TokenCounts
from bot.usage.model import UsageRow
from bot.usage.store import UsageStore
from bot.usage.store_reads import Names


class UsageVerifier:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: UsageStore, snapshots: Snapshots, card: RateCard) -> None:
        self._usage = usage
        self._snapshots = snapshots
        self._card = card

    def look(self, target: VerificationTarget) -> Verification | None:
        """What usage shows now; None before the first poll, and for a mode without a ceiling."""
        snapshot = self._snapshots.current()
        as_of = snapshot.as_of
        if as_of is None:
            return None
        since = needed_since(target)
        held = since >= floor_hour(as_of) - ROWS_HELD
        rows = _rows(snapshot, since, as_of) if held else self._usage.buckets(since, as_of)
        return verify(target, rows, self._usage.hours(since), as_of, self._card)


def _rows(snapshot: Snapshot, starts_at: datetime, ends_at: datetime) -> Iterator[UsageRow]:
    index = snapshot.index
    for hour, table in snapshot.rows(starts_at, ends_at):
        # An hour saved since may have groups that the index did not know.
        callers, rates = index.caller_of_group.values, index.rate_of_group.values
        columns = (table.minute, callers[table.group], rates[table.group], table.counts)
        for minute, number, rate, counts in zip(*(column.tolist() for column in columns), strict=True):
            caller = index.callers[number]
            yield UsageRow(
                hour + minute * MINUTE,
                caller.model,
                caller.workspace_id,
                caller.api_key_id,
                index.rates[rate].terms,
                TokenCounts(*counts),
            )


def verification_report(
    found: Verification, report: Report, target: VerificationTarget, change_id: int, names: Names
) -> VerificationReport:
    """The payload of a report. `change_id`: the change of the mode in whose thread it is posted."""
    named = found.callers[:MOST_CALLERS]
    return VerificationReport(
        change_id=change_id,
        mode=target.mode,
        ceiling=target.ceiling.model or "",
        since=target.since,
        state=found.state,
        above=found.above,
        before=found.before,
        after=found.after,
        took=found.took,
        callers=tuple(
            NamedCaller(
                model=calling.caller.model,
                workspace_id=calling.caller.workspace_id,
                workspace=names.workspaces.get(calling.caller.workspace_id, calling.caller.workspace_id),
                api_key_id=calling.caller.api_key_id,
                key=_key(calling.caller.api_key_id, names),
                usd_per_hour=calling.usd_per_hour,
            )
            for calling in named
        ),
        more_callers=len(found.callers) - len(named),
        last=report.last,
        as_of=found.as_of,
        decided_at=report.at,
    )


def report_of(payload: VerificationReport) -> Report:
    """The report of a stored payload, for the decision on the next one."""
    return Report(
        payload.state, frozenset(_caller(calling) for calling in payload.callers), payload.decided_at, payload.last
    )


def _key(api_key_id: str | None, names: Names) -> str | None:
    return None if api_key_id is None else names.keys.get(api_key_id, api_key_id)


def _caller(calling: NamedCaller) -> Caller:
    return Caller(calling.model, calling.workspace_id, calling.api_key_id)


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
        """Queue due reports. A newer change ends the watch of the one before.

        The newest change counts, not the caller's `mode`: the chain may have stepped down since.
        """
        known = self._state().change
        if known is None or known.id == self._done or not self._has_ceiling(known):
            # A change made since is handled in the next cycle.
            return
        changes = self._fallback.store.in_force()
        if not changes:
            return
        newest, first = changes[0], changes[-1]
        ceiling = self._ceiling(newest)
        if ceiling.model is None:
            return
        target = VerificationTarget(newest.mode, ceiling, first.changed_at)
        store, ids = self._fallback.store.verifications, [change.id for change in changes]
        reported = [report_of(payload) for payload in store.reports(ids)]
        if (reported and reported[-1].last) or store.is_dismissed(ids):
            self._done = newest.id
            return
        found = self._usage_verifier.look(target)
        report = None if found is None else report_due(found, target, reported, dismissed=False, now=now)
        if found is not None and report is not None:
            payload = verification_report(found, report, target, newest.id, self._usage.names())
            store.report(payload, len(reported), ids)

    def _has_ceiling(self, change: ModeChange) -> bool:
        return self._ceiling(change).model is not None

    def _ceiling(self, change: ModeChange) -> Ceiling:
        return ceiling_from(self._fallback.wanted(change).variables, self._whole_chain)
