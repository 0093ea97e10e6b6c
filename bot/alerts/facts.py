"""What a notice says: the figures of the moment of decision, kept in the outbox until they are delivered."""

from abc import ABC, abstractmethod
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from bot.budgets.budget import Level
from bot.budgets.decide import Reason, Status


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class MoverFacts(_Facts):
    """One of the largest callers of the last 24 hours; names are those that people know."""

    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before_usd: Decimal | None


class SavingFacts(_Facts):
    """What a mode saves until the end of the period; below zero where it would cost more."""

    mode: str
    model: str
    usd: Decimal


class SpendFacts(_Facts):
    """A budget's spend and outlook at one moment: what alerts and `status` are both rendered from.

    `pace_usd` is None with less than six hours of data. `as_of`: the age of all of it.
    """

    budget: str
    scope: str
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    period: str
    ends_at: datetime
    spent_usd: Decimal
    billed_usd: Decimal
    billed_days: int
    computed_usd: Decimal
    report_only_usd: Decimal
    at_least: bool
    assumed: tuple[str, ...]
    pace_usd: Decimal | None
    movers: tuple[MoverFacts, ...]
    savings: tuple[SavingFacts, ...]
    as_of: datetime


class IncidentFacts(_Facts, ABC):
    """An incident at one step of its life, whatever it is about. `mode`: the fallback mode in force.

    `subject` and `period` are the store's identity of it, together with level and limit: for a budget's alerts its name
    and the period's key.
    """

    level: Level
    limit_usd: Decimal
    status: Status
    reason: Reason
    decided_at: datetime
    mode: str

    @property
    @abstractmethod
    def subject(self) -> str: ...

    @property
    @abstractmethod
    def period(self) -> str: ...

    @property
    def incident(self) -> str:
        """The visible id of the incident: whoever sees it twice knows that it is one and the same."""
        return f"{self.subject}/{self.period}/{self.level}/{self.limit_usd:f}"


class AlertFacts(IncidentFacts):
    """A limit of a budget, or a threshold on the way to it."""

    kind: Literal["alert"] = "alert"
    spend: SpendFacts

    @property
    def subject(self) -> str:
        return self.spend.budget

    @property
    def period(self) -> str:
        return self.spend.period


class ModeFacts(_Facts):
    """A change of the fallback mode. `written`: the notice that a target, which had failed at first, follows now."""

    kind: Literal["mode"] = "mode"
    mode: str
    previous: str
    by: str
    reason: str
    changed_at: datetime
    savings: tuple[SavingFacts, ...]
    as_of: datetime | None
    written: bool = False


class TestFacts(_Facts):
    """A test alert that an admin has asked for. `by`: a Slack user id."""

    kind: Literal["test"] = "test"
    by: str
    requested_at: datetime

    @property
    def incident(self) -> str:
        """The visible id, by which a repeat is told from a second test."""
        return f"test/{self.requested_at:%Y-%m-%dT%H:%M:%SZ}"


NoticeFacts = AlertFacts | ModeFacts | TestFacts
Facts = Annotated[NoticeFacts, Field(discriminator="kind")]
FACTS: TypeAdapter[NoticeFacts] = TypeAdapter(Facts)
