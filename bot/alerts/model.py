"""Payloads of notices about incidents: the figures at the moment of decision."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal, Self, TypedDict, TypeVar

from bot.alerts.incident import Identity, Level, Status, Step
from bot.budgets.budget import Limit
from bot.budgets.budget_spend import BudgetSpend
from bot.log_fields import About


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPayload(ABC):
    """An incident at one step. `reason`: one clause. `mode`: the fallback mode in force.

    Each kind of alert has a payload in its detector's file, with a `kind` by which stored ones are read back.
    """

    can_be_acknowledged: ClassVar[bool] = True
    """Whether somebody has to acknowledge it: if so, its message has buttons and `status` lists it while it is open."""

    status: Status
    reason: str
    decided_at: datetime
    mode: str

    @property
    @abstractmethod
    def identity(self) -> Identity: ...

    @property
    def subject(self) -> str:
        return self.identity.subject

    @property
    def level(self) -> Level:
        return self.identity.level

    @property
    def incident(self) -> str:
        """Visible id of the incident, the same in every message about it."""
        return self.identity.visible()

    @property
    def is_urgent(self) -> bool:
        """Whether somebody has to act at once."""
        return False

    @property
    def bound(self) -> Decimal | None:
        """Rate that later decisions compare with, USD an hour; None if the incident is not about a rate."""
        return None

    @property
    def related(self) -> Limit | None:
        """The limit of the same subject and key whose message this one links to."""
        return None

    @property
    def unreachable(self) -> str | None:
        """The failing destination, which cannot be notified of this; None for other kinds."""
        return None

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the budgets that the incident is about, whose channels get it; empty if none."""
        return ()

    @property
    def ends_at(self) -> datetime | None:
        """End of the budget's period; None if the incident is not about a budget."""
        return None

    @property
    def figures_as_of(self) -> datetime | None:
        """Age of the budget figures; None if there are none."""
        return None


class AtStep(TypedDict):
    """Fields that every payload takes from its step."""

    status: Status
    reason: str
    decided_at: datetime
    mode: str


def at_step(step: Step, mode: str, now: datetime) -> AtStep:
    """The fields of a payload about `step`, decided at `now`. `mode`: the fallback mode in force."""
    return {"status": step.status, "reason": step.reason, "decided_at": now, "mode": mode}


Stated = TypeVar("Stated", bound=AlertPayload)


def restated(payload: Stated, step: Step, *, mode: str, now: datetime) -> Stated:
    """The same figures at a further step."""
    return replace(payload, **at_step(step, mode, now))


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of an incident to record and report. `post`: see `Step`."""

    payload: AlertPayload
    post: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAlert(AlertPayload, ABC):
    """An incident of a budget. `spend`: its figures at the decision."""

    spend: BudgetSpend

    @property
    def budgets(self) -> tuple[str, ...]:
        return (self.spend.budget,)

    @property
    def ends_at(self) -> datetime:
        return self.spend.ends_at

    @property
    def figures_as_of(self) -> datetime:
        return self.spend.as_of

    def with_spend(self, spend: BudgetSpend) -> Self:
        """The payload with newer figures of the same period, if the incident still holds with them."""
        return self


def shown_of(payload: AlertPayload) -> About:
    """What a line of the log about it has in its fields."""
    budgets = payload.budgets
    return {
        "incident": payload.incident,
        "kind": str(payload.level),
        "budget": budgets[0] if len(budgets) == 1 else None,
    }


def redrawn(payload: AlertPayload, mode: str, spend: BudgetSpend | None, now: datetime) -> AlertPayload:
    """An open incident's payload for another fallback mode, drawn at `now`.

    `spend`: newest figures of its budget, if known. They replace the old ones if the incident still holds with them;
    otherwise the next review resolves it.
    """
    drawn = replace(payload, mode=mode)
    if not isinstance(drawn, BudgetAlert):
        return drawn
    if drawn.ends_at <= now:
        # No mode saves anything in a period that is over.
        return replace(drawn, decided_at=now)
    return drawn if spend is None or spend.period != drawn.spend.period else drawn.with_spend(spend)


def not_extrapolated(payload: AlertPayload, now: datetime) -> AlertPayload:
    """An open incident of a budget, drawn at `now` from stale data."""
    if not isinstance(payload, BudgetAlert) or payload.status is not Status.OPEN or payload.ends_at <= now:
        return payload
    return replace(payload, spend=payload.spend.not_extrapolated(now))


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticAlert:
    """A test alert that an admin has asked for. `by`: a Slack user id."""

    kind: Literal["test"] = "test"
    by: str
    requested_at: datetime

    @property
    def incident(self) -> str:
        """The visible id, which distinguishes a repeat from a second test."""
        return f"test/{self.requested_at:%Y-%m-%dT%H:%M:%SZ}"
