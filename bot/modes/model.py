"""Payloads of notices about the fallback mode: a change, its end, a request for approval, and whether it took
effect.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bot.budgets.savings import Saving
from bot.language import tr_noop
from bot.modes.consequences import Consequences
from bot.modes.verification import UsageSum, VerificationState

MODE_CHANGED = tr_noop("the fallback mode was changed meanwhile")
NO_SUCH_MODE = tr_noop("there is no mode {mode} any more")
OTHER_VARIABLES = tr_noop("the variables of {mode} are others now")
VOID_BECAUSE = (MODE_CHANGED, NO_SUCH_MODE, OTHER_VARIABLES)
"""Why a proposal is void; kept in English."""


class ProposalStatus(StrEnum):
    """`void`: what it was based on has changed since."""

    OPEN = "open"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeAnnouncement:
    """A change of the fallback mode. `written`: the notice that a target follows now after failing at first.

    `until`: requested end; `returns_at`: end because its period ends. `costs`: None if unknown. `approved_by`: the
    further people who had to agree. `previous_until`: end of the previous mode, for the way back. `automatic`: the
    chain has stepped by itself.
    """

    kind: Literal["mode"] = "mode"
    mode: str
    previous: str
    by: str
    reason: str
    changed_at: datetime
    savings: tuple[Saving, ...]
    as_of: datetime | None
    written: bool = False
    until: datetime | None = None
    returns_at: datetime | None = None
    costs: Consequences | None = None
    approved_by: tuple[str, ...] = ()
    previous_until: datetime | None = None
    automatic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeEnding:
    """A fallback mode will soon return to normal. `because`: a clause."""

    kind: Literal["mode_end"] = "mode_end"
    mode: str
    ends_at: datetime
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change of the fallback mode that waits for further admins, at one step.

    `lasts`: requested duration; None until changed. `closed_by`: who rejected it, or gave the last approval; None for
    time or another change. `why`: one clause about a void one.
    """

    kind: Literal["proposal"] = "proposal"
    proposal_id: int
    mode: str
    previous: str
    variables: dict[str, str]
    lasts: timedelta | None
    reason: str
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    needed: int
    approved_by: tuple[str, ...] = ()
    status: ProposalStatus = ProposalStatus.OPEN
    closed_by: str | None = None
    closed_at: datetime | None = None
    why: str | None = None
    savings: tuple[Saving, ...]
    as_of: datetime | None
    costs: Consequences | None = None
    returns_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCaller:
    """A caller of a model above a mode's ceiling. Names are for display; ids distinguish equal names."""

    model: str
    workspace_id: str
    workspace: str
    api_key_id: str | None
    key: str | None
    usd_per_hour: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """What usage shows of a mode change, reported in the announcement's thread. Fields as in `Verification`.

    `callers`: the largest; `more_callers`: number of further ones. `last`: the change is no longer watched.
    """

    kind: Literal["proof"] = "proof"
    change_id: int
    mode: str
    ceiling: str
    since: datetime
    state: VerificationState
    above: tuple[str, ...]
    before: UsageSum | None
    after: UsageSum | None
    took: timedelta | None
    callers: tuple[NamedCaller, ...]
    more_callers: int
    last: bool
    as_of: datetime
    decided_at: datetime
