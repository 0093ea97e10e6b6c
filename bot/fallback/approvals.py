"""A change that needs a second person: asked for, approved or rejected, and never more than what was asked for."""

from datetime import timedelta

from bot.clock import Clock
from bot.fallback.impact import Prospect
from bot.fallback.proposal_store import AlreadyApprovedError, NotOpenError, ProposalStore
from bot.fallback.service import FallbackService
from bot.mode import NORMAL, Mode
from bot.modes.model import Proposal, ProposalStatus


class NotApprovedError(Exception):
    """This click approves nothing; the text is one sentence that says why."""


class Approvals:
    """Synchronous; asynchronous callers use a thread. Whether somebody is an admin is for the caller to ask."""

    def __init__(self, store: ProposalStore, fallback: FallbackService, clock: Clock) -> None:
        self._store = store
        self._fallback = fallback
        self._clock = clock

    def are_needed(self, mode: Mode) -> bool:
        """Whether this mode is switched on by several people. Back to normal anybody of them may alone."""
        return self._fallback.rules.approvals > 0 and mode.name != NORMAL

    def ask(self, mode: Mode, by: str, reason: str, lasts: timedelta | None, prospect: Prospect) -> Proposal:
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
                savings=prospect.savings,
                as_of=prospect.as_of,
                costs=prospect.costs,
                returns_at=self._fallback.period_end(now) if lasts is None else None,
            )
            kept = self._store.propose(facts, None if present is None else present.id)
            if kept is not None:
                return kept

    def approve(self, proposal_id: int, by: str) -> Proposal:
        """Approve, and with the last approval switch. Raises `NotApprovedError`."""
        facts = self._store.find(proposal_id)
        if facts is not None and facts.asked_by == by:
            self._fallback.refused(by, "proposal", f"{facts.mode}: whoever asks cannot approve")
            raise NotApprovedError("Nothing was changed: whoever asks cannot approve, so another admin has to.")
        mode = None if facts is None else self._fallback.modes.get(facts.mode)
        variables = None if mode is None else mode.variables
        try:
            after = self._store.approve(proposal_id, by, self._clock(), variables)
        except NotOpenError as error:
            raise NotApprovedError(_not_open(error.facts)) from None
        except AlreadyApprovedError:
            raise NotApprovedError("You have approved this already: another admin has to, too.") from None
        if after.status is ProposalStatus.DONE:
            self._fallback.follow_change()
        return after

    def reject(self, proposal_id: int, by: str) -> Proposal:
        """Close it without a change; whoever has asked may do so too. Raises `NotApprovedError`."""
        try:
            return self._store.reject(proposal_id, by, self._clock())
        except NotOpenError as error:
            raise NotApprovedError(_not_open(error.facts)) from None

    def expire(self) -> None:
        """Close what nobody has approved in time, and what something else has made void."""
        modes = {name: mode.variables for name, mode in self._fallback.modes.items()}
        self._store.close_outdated(self._clock(), modes)


def _not_open(facts: Proposal | None) -> str:
    if facts is None:
        return "Nothing was changed: there is no such request any more."
    how = {
        ProposalStatus.DONE: "it was approved already",
        ProposalStatus.REJECTED: "it was rejected already",
        ProposalStatus.EXPIRED: "it has expired",
        ProposalStatus.VOID: f"it is void, because {facts.why}",
    }
    return f"Nothing was changed: this request is closed, {how[facts.status]}."
