"""Looks at the stored usage for the proof of a mode change, and puts what it shows into the facts of a notice."""

from collections.abc import Iterator
from datetime import datetime

from bot.budgets.snapshot import ROWS_HELD, Snapshot
from bot.budgets.snapshots import Snapshots
from bot.clock import MINUTE, floor_hour
from bot.modes.model import MixRates, NamedCaller, ProofReport
from bot.modes.verification import Caller, Mix, Proof, Watch, needed_since, proof_of
from bot.modes.verification_reports import MOST_CALLERS, Told
from bot.pricing.card import RateCard
from bot.pricing.tokens import TokenCounts
from bot.usage.model import UsageRow
from bot.usage.store import UsageStore
from bot.usage.store_reads import Names


class Proving:
    """Synchronous; asynchronous callers use a thread."""

    def __init__(self, usage: UsageStore, snapshots: Snapshots, card: RateCard) -> None:
        self._usage = usage
        self._snapshots = snapshots
        self._card = card

    def look(self, watch: Watch) -> Proof | None:
        """What usage shows by now; None before the first poll, and for a mode without a ceiling."""
        snapshot = self._snapshots.current()
        as_of = snapshot.as_of
        if as_of is None:
            return None
        since = needed_since(watch)
        held = since >= floor_hour(as_of) - ROWS_HELD
        rows = _rows(snapshot, since, as_of) if held else self._usage.buckets(since, as_of)
        return proof_of(watch, rows, self._usage.hours(since), as_of, self._card)


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


def proof_report(proof: Proof, report: Told, watch: Watch, change_id: int, names: Names) -> ProofReport:
    """What a report says. `change_id`: the change of the mode in whose thread it stands."""
    named = proof.callers[:MOST_CALLERS]
    return ProofReport(
        change_id=change_id,
        mode=watch.mode,
        ceiling=watch.ceiling.model or "",
        since=watch.since,
        state=proof.state,
        above=proof.above,
        before=_mix(proof.before),
        after=_mix(proof.after),
        took=proof.took,
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
        more_callers=len(proof.callers) - len(named),
        last=report.last,
        as_of=proof.as_of,
        decided_at=report.at,
    )


def told_by(facts: ProofReport) -> Told:
    """The report that these facts were, for the decision on the next one."""
    return Told(facts.state, frozenset(_caller(calling) for calling in facts.callers), facts.decided_at, facts.last)


def _mix(mix: Mix | None) -> MixRates | None:
    if mix is None:
        return None
    return MixRates(
        usd_per_hour=mix.usd_per_hour, above_usd_per_hour=mix.above_usd_per_hour, usd_per_mtok=mix.usd_per_mtok
    )


def _key(api_key_id: str | None, names: Names) -> str | None:
    return None if api_key_id is None else names.keys.get(api_key_id, api_key_id)


def _caller(calling: NamedCaller) -> Caller:
    return Caller(calling.model, calling.workspace_id, calling.api_key_id)
