"""Verifies a mode change by the stored usage, and puts what that shows into a notice."""

from collections.abc import Iterator
from datetime import datetime

from bot.budgets.snapshot import ROWS_HELD, Snapshot
from bot.budgets.snapshots import Snapshots
from bot.clock import MINUTE, floor_hour
from bot.modes.model import NamedCaller, VerificationReport
from bot.modes.verification import Caller, Verification, VerificationTarget, needed_since, verify
from bot.modes.verification_reports import MOST_CALLERS, Report
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
        """What usage shows by now; None before the first poll, and for a mode without a ceiling."""
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
        # An hour that was saved since may have brought groups that the index did not know.
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
    """What a report says. `change_id`: the change of the mode in whose thread it stands."""
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
    """The report that these payload were, for the decision on the next one."""
    return Report(
        payload.state, frozenset(_caller(calling) for calling in payload.callers), payload.decided_at, payload.last
    )


def _key(api_key_id: str | None, names: Names) -> str | None:
    return None if api_key_id is None else names.keys.get(api_key_id, api_key_id)


def _caller(calling: NamedCaller) -> Caller:
    return Caller(calling.model, calling.workspace_id, calling.api_key_id)
