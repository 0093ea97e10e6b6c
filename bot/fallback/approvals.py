"""Mode changes that need a second person: requested, stored, approved or rejected, and never more than was
requested.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from bot.alerts.notice_contents import dumped, enqueue, parsed
from bot.amounts import exact_span
from bot.clock import Clock
from bot.db.engine import lock_for_writers
from bot.db.schema import approvals, mode_changes, proposals
from bot.db.state import BOT, Outcome, audited, keep
from bot.fallback.impact import ModeImpact
from bot.fallback.service import FallbackService
from bot.fallback.store import newest_change, record_change
from bot.language import ENGLISH, in_language, spoken, tr, tr_noop
from bot.mode import NORMAL, Mode
from bot.modes.changes import ModeChange
from bot.modes.model import (
    MODE_CHANGED,
    NO_SUCH_MODE,
    OTHER_VARIABLES,
    VOID_BECAUSE,
    ModeAnnouncement,
    Proposal,
    ProposalStatus,
)

CLOSED = {
    ProposalStatus.DONE: tr_noop("Nothing was changed: this request is closed, it was approved already."),
    ProposalStatus.REJECTED: tr_noop("Nothing was changed: this request is closed, it was rejected already."),
    ProposalStatus.EXPIRED: tr_noop("Nothing was changed: this request is closed, it has expired."),
    ProposalStatus.VOID: tr_noop("Nothing was changed: this request is closed, it is void, because {why}."),
}


def void_because(facts: Proposal) -> str:
    """Why a proposal is void, in the language in force; it is stored in English."""
    for text in VOID_BECAUSE:
        if facts.why == text.format(mode=facts.mode):
            return tr(text, mode=facts.mode)
    return facts.why or ""


class NotOpenError(Exception):
    """The proposal is no longer open, or never was."""

    def __init__(self, facts: Proposal | None) -> None:
        super().__init__("the proposal is not open")
        self.facts = facts


class AlreadyApprovedError(Exception):
    """This person has approved it before."""


class ProposalStore:
    """Synchronous; asynchronous callers use a thread. A decision, its notice and its audit are one transaction each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def propose(self, facts: Proposal, change_id: int | None) -> Proposal | None:
        """Store a proposal, to be posted with its buttons; returns it with its id.

        `change_id`: the change in force when it was made. Returns None and stores nothing if that has changed.
        """
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            if _id(newest_change(connection)) != change_id:
                return None
            proposal_id = int(
                connection.execute(
                    insert(proposals)
                    .values(
                        mode=facts.mode,
                        variables=facts.variables,
                        minutes=None if facts.lasts is None else int(facts.lasts.total_seconds() // 60),
                        reason=facts.reason,
                        change_id=change_id,
                        needed=facts.needed,
                        asked_by=facts.asked_by,
                        asked_at=facts.asked_at,
                        expires_at=facts.expires_at,
                        status=facts.status,
                        facts={},
                    )
                    .returning(proposals.c.id)
                ).scalar_one()
            )
            kept = replace(facts, proposal_id=proposal_id)
            connection.execute(update(proposals).where(proposals.c.id == proposal_id).values(facts=dumped(kept)))
            _audit(connection, kept, facts.asked_at, facts.asked_by, "asked for")
            enqueue(connection, "post", kept, facts.asked_at, proposal_id=proposal_id)
        return kept

    def find(self, proposal_id: int) -> Proposal | None:
        """The proposal at its current step."""
        with self._engine.connect() as connection:
            row = _row(connection, proposal_id)
        return None if row is None else _proposal(row)

    def approve(self, proposal_id: int, by: str, now: datetime, variables: Mapping[str, str] | None) -> Proposal:
        """Add an approval; the last one needed switches the mode in the same transaction.

        `variables`: current ones of the mode, None if the mode no longer exists. A proposal that has expired or whose
        basis has changed is closed instead. Raises `NotOpenError`, `AlreadyApprovedError`.
        """
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            row, facts = _open(connection, proposal_id)
            newest = newest_change(connection)
            if now >= facts.expires_at:
                return _close(connection, facts, ProposalStatus.EXPIRED, now)
            why = _void_because(row, facts, newest, variables)
            if why is not None:
                return _close(connection, facts, ProposalStatus.VOID, now, by=by, why=why)
            if by in facts.approved_by:
                raise AlreadyApprovedError
            connection.execute(insert(approvals).values(proposal_id=proposal_id, approved_by=by, approved_at=now))
            facts = replace(facts, approved_by=(*facts.approved_by, by))
            _audit(connection, facts, now, by, "approved")
            if len(facts.approved_by) < facts.needed:
                _notify(connection, facts, now)
                return facts
            record_change(connection, facts.variables, _change(facts, newest, now))
            return _close(connection, facts, ProposalStatus.DONE, now, by=by)

    def reject(self, proposal_id: int, by: str, now: datetime) -> Proposal:
        """Close it without a change. Raises `NotOpenError`."""
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            _, facts = _open(connection, proposal_id)
            if now >= facts.expires_at:
                return _close(connection, facts, ProposalStatus.EXPIRED, now)
            return _close(connection, facts, ProposalStatus.REJECTED, now, by=by)

    def close_outdated(self, now: datetime, modes: Mapping[str, Mapping[str, str]]) -> int:
        """Close expired and void proposals; returns how many. `modes`: variables of every mode by name."""
        query = select(proposals.c.id).where(proposals.c.status == ProposalStatus.OPEN)
        with self._engine.connect() as connection:
            open_ids = connection.execute(query).scalars().all()
        return sum(self._close_outdated(proposal_id, now, modes) for proposal_id in open_ids)

    def _close_outdated(self, proposal_id: int, now: datetime, modes: Mapping[str, Mapping[str, str]]) -> bool:
        with audited(self._engine) as connection:
            lock_for_writers(connection, mode_changes)
            try:
                row, facts = _open(connection, proposal_id)
            except NotOpenError:
                return False
            why = _void_because(row, facts, newest_change(connection), modes.get(facts.mode))
            if now >= facts.expires_at:
                _close(connection, facts, ProposalStatus.EXPIRED, now)
            elif why is not None:
                _close(connection, facts, ProposalStatus.VOID, now, why=why)
            else:
                return False
        return True


def _row(connection: Connection, proposal_id: int) -> Row[Any] | None:
    return connection.execute(select(proposals).where(proposals.c.id == proposal_id)).one_or_none()


def _proposal(row: Row[Any]) -> Proposal:
    stored = parsed(row.facts)
    if not isinstance(stored, Proposal):
        raise TypeError(f"proposal {row.id} holds a {type(stored).__name__}")
    return stored


def _open(connection: Connection, proposal_id: int) -> tuple[Row[Any], Proposal]:
    row = _row(connection, proposal_id)
    facts = None if row is None else _proposal(row)
    if row is None or facts is None or facts.status is not ProposalStatus.OPEN:
        raise NotOpenError(facts)
    return row, facts


def _void_because(
    row: Row[Any], facts: Proposal, newest: ModeChange | None, variables: Mapping[str, str] | None
) -> str | None:
    if _id(newest) != row.change_id:
        return MODE_CHANGED
    if variables is None:
        return NO_SUCH_MODE.format(mode=facts.mode)
    return None if variables == facts.variables else OTHER_VARIABLES.format(mode=facts.mode)


def _change(facts: Proposal, newest: ModeChange | None, now: datetime) -> ModeAnnouncement:
    return ModeAnnouncement(
        mode=facts.mode,
        previous=facts.previous,
        by=facts.asked_by,
        reason=facts.reason,
        changed_at=now,
        savings=facts.savings,
        as_of=facts.as_of,
        until=None if facts.lasts is None else now + facts.lasts,
        returns_at=None if facts.lasts is not None else facts.returns_at,
        costs=facts.costs,
        approved_by=facts.approved_by,
        previous_until=None if newest is None else newest.until,
    )


def _close(
    connection: Connection,
    facts: Proposal,
    status: ProposalStatus,
    now: datetime,
    *,
    by: str | None = None,
    why: str | None = None,
) -> Proposal:
    closed = replace(facts, status=status, closed_by=by, closed_at=now, why=why)
    word = f"{status}: {why}" if why else str(status)
    _audit(connection, closed, now, by or BOT, word)
    _notify(connection, closed, now)
    return closed


def _notify(connection: Connection, facts: Proposal, now: datetime) -> None:
    connection.execute(
        update(proposals).where(proposals.c.id == facts.proposal_id).values(status=facts.status, facts=dumped(facts))
    )
    enqueue(connection, "update", facts, now, proposal_id=facts.proposal_id)


def _audit(connection: Connection, facts: Proposal, at: datetime, actor: str, word: str) -> None:
    with in_language(ENGLISH):
        lasts = "" if facts.lasts is None else f" for {exact_span(facts.lasts)}"
    detail = f"{facts.previous} -> {facts.mode}{lasts} {word}: {spoken(facts.reason)}"
    outcome: Outcome = "refused" if facts.status in (ProposalStatus.REJECTED, ProposalStatus.VOID) else "done"
    keep(connection, at, actor, "proposal", outcome, detail, mode=facts.mode)


def _id(change: ModeChange | None) -> int | None:
    return None if change is None else change.id


class NotApprovedError(Exception):
    """This click approves nothing; the message is one sentence that says why."""


class Approvals:
    """Synchronous; asynchronous callers use a thread. Callers check whether somebody is an admin."""

    def __init__(self, store: ProposalStore, fallback: FallbackService, clock: Clock) -> None:
        self._store = store
        self._fallback = fallback
        self._clock = clock

    def are_needed(self, mode: Mode) -> bool:
        """Whether switching this mode on takes several people. Any admin may switch back to normal alone."""
        return self._fallback.rules.approvals > 0 and mode.name != NORMAL

    def ask(self, mode: Mode, by: str, reason: str, lasts: timedelta | None, impact: ModeImpact) -> Proposal:
        """Propose the change in the alert channel."""
        while True:
            now = self._clock()
            present = self._fallback.store.current()
            facts = Proposal(
                proposal_id=0,
                mode=mode.name,
                previous=self._fallback.wanted(present).name,
                variables=dict(mode.variables),
                lasts=lasts,
                reason=reason,
                asked_by=by,
                asked_at=now,
                expires_at=now + self._fallback.rules.approval_lasts,
                needed=self._fallback.rules.approvals,
                savings=impact.savings,
                as_of=impact.as_of,
                costs=impact.costs,
                returns_at=self._fallback.period_end(now) if lasts is None else None,
            )
            kept = self._store.propose(facts, None if present is None else present.id)
            if kept is not None:
                return kept

    def approve(self, proposal_id: int, by: str) -> Proposal:
        """Approve, and switch with the last approval. Raises `NotApprovedError`."""
        facts = self._store.find(proposal_id)
        if facts is not None and facts.asked_by == by:
            self._fallback.refused(by, "proposal", f"{facts.mode}: whoever asks cannot approve")
            raise NotApprovedError(tr("Nothing was changed: whoever asks cannot approve, so another admin has to."))
        mode = None if facts is None else self._fallback.modes.get(facts.mode)
        variables = None if mode is None else mode.variables
        try:
            after = self._store.approve(proposal_id, by, self._clock(), variables)
        except NotOpenError as error:
            raise NotApprovedError(_not_open(error.facts)) from None
        except AlreadyApprovedError:
            raise NotApprovedError(tr("You have approved this already: another admin has to, too.")) from None
        if after.status is ProposalStatus.DONE:
            self._fallback.follow_change(after.mode, by)
        return after

    def reject(self, proposal_id: int, by: str) -> Proposal:
        """Close it without a change; the requester may do so too. Raises `NotApprovedError`."""
        try:
            return self._store.reject(proposal_id, by, self._clock())
        except NotOpenError as error:
            raise NotApprovedError(_not_open(error.facts)) from None

    def expire(self) -> None:
        """Close proposals that nobody approved in time or that have become void."""
        modes = {name: mode.variables for name, mode in self._fallback.modes.items()}
        self._store.close_outdated(self._clock(), modes)


def _not_open(facts: Proposal | None) -> str:
    if facts is None:
        return tr("Nothing was changed: there is no such request any more.")
    return tr(CLOSED[facts.status], why=void_because(facts))
