"""What a notice says: the figures of the moment of decision, kept in the outbox until they are delivered."""

from abc import ABC, abstractmethod
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from bot.alerts.life_steps import LifeStep
from bot.budgets.budget import Level
from bot.budgets.causes import CauseKind
from bot.budgets.decide import Reason, Status, Step
from bot.budgets.drift import Cause
from bot.fallback.consequences import Consequences
from bot.fallback.proof import ProofState

MINUTE_KEY = "%Y-%m-%dT%H:%MZ"

DATA, BILL = "data", "bill"
"""Subjects of incidents that belong to no budget."""


def minute_key(moment: datetime) -> str:
    """`2026-11-26T14:03Z`: how an incident that belongs to no period is known by the moment at which it began."""
    return moment.astimezone(UTC).strftime(MINUTE_KEY)


class ProposalStatus(StrEnum):
    """`void`: what it was bound to has changed since."""

    OPEN = "open"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class MoverFacts(_Facts):
    """One of the largest callers of the last 24 hours; names are those that people know."""

    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before_usd: Decimal | None


class CauseFacts(_Facts):
    """What changed in a caller's usage and about how many dollars that explains; names are those that people know.

    What `before` and `after` count is the kind's to say.
    """

    kind: CauseKind
    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before: Decimal
    after: Decimal


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
    causes: tuple[CauseFacts, ...] = ()
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
    def ends_at(self) -> datetime | None:
        """When the budget's period ends that it belongs to; None where it is about no budget."""
        return None

    @property
    def incident(self) -> str:
        """The visible id of the incident: whoever sees it twice knows that it is one and the same."""
        return f"{self.subject}/{self.period}/{self.level}/{self.limit_usd:f}"


Told = TypeVar("Told", bound=IncidentFacts)


def restated(facts: Told, step: Step, *, mode: str, now: datetime) -> Told:
    """The same figures at a further step."""
    return facts.model_copy(update={"status": step.status, "reason": step.reason, "mode": mode, "decided_at": now})


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

    @property
    def ends_at(self) -> datetime:
        return self.spend.ends_at


class ForecastFacts(IncidentFacts):
    """A period that is expected to end above a limit, USD. `crossed_at`: when the limit is reached, as expected."""

    kind: Literal["forecast"] = "forecast"
    spend: SpendFacts
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    crossed_at: datetime | None
    crossed_earliest_at: datetime | None

    @property
    def subject(self) -> str:
        return self.spend.budget

    @property
    def period(self) -> str:
        return self.spend.period

    @property
    def ends_at(self) -> datetime:
        return self.spend.ends_at


class SpikeFacts(IncidentFacts):
    """Dollars an hour far above what is usual. `limit_usd`: the rate in USD an hour from which on it was a spike.

    `key`: the hour in which it was seen, the incident's period. `usual_usd_per_hour` is None where it is not known.
    The movers and the causes hold the last hour against the mean hour of the two weeks before. `within`: the further
    budgets that see the same spike.
    """

    kind: Literal["spike"] = "spike"
    key: str
    spend: SpendFacts
    long_usd_per_hour: Decimal
    short_usd_per_hour: Decimal
    usual_usd_per_hour: Decimal | None
    since: datetime
    movers: tuple[MoverFacts, ...]
    causes: tuple[CauseFacts, ...]
    within: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.spend.budget

    @property
    def period(self) -> str:
        return self.key

    @property
    def ends_at(self) -> datetime:
        """With the budget's period ends what is told of its spikes."""
        return self.spend.ends_at


class KnownSumFacts(_Facts):
    """What a budget's period comes to as far as it is known. `limit_usd`: the higher of its limits."""

    budget: str
    period: str
    spent_usd: Decimal
    limit_usd: Decimal | None


class StaleFacts(IncidentFacts):
    """A silence: no data has come since `since`. `because`: one sentence on why.

    `began_at`: when the first of several silences in a row began, which is what the incident is known by. `as_of`: the
    age of the data, None before the first of all. `missing_hours`: hours of usage that are not in the store once data
    has come again.
    """

    kind: Literal["stale"] = "stale"
    began_at: datetime
    since: datetime
    because: str
    as_of: datetime | None
    sums: tuple[KnownSumFacts, ...]
    missing_hours: int = 0

    @property
    def subject(self) -> str:
        return DATA

    @property
    def period(self) -> str:
        return minute_key(self.began_at)


class DriftCauseFacts(_Facts):
    """A known cause of a difference and what it makes in USD: above zero where the bill is higher for it."""

    cause: Cause
    usd: Decimal


class ModelDriftFacts(_Facts):
    """One model's part of a day. `model` is None for what the bill tells of no model."""

    model: str | None
    computed_usd: Decimal
    billed_usd: Decimal
    unexplained_usd: Decimal


class DriftFacts(IncidentFacts):
    """A settled day on which computed and billed differ by more than known causes explain.

    Differences are above zero where the bill is higher. `models` is empty where the bill does not tell them apart.
    `list_usd`: the bill before discounts, None where it does not say. `as_of`: the age of the usage, `report_read_at`
    that of the bill.
    """

    kind: Literal["drift"] = "drift"
    day: date
    computed_usd: Decimal
    billed_usd: Decimal
    list_usd: Decimal | None
    difference_usd: Decimal
    unexplained_usd: Decimal
    causes: tuple[DriftCauseFacts, ...]
    models: tuple[ModelDriftFacts, ...]
    report_read_at: datetime
    as_of: datetime

    @property
    def subject(self) -> str:
        return BILL

    @property
    def period(self) -> str:
        return self.day.isoformat()


class BegunFacts(_Facts):
    """A budget whose period has begun too, in one line. `last_usd`: what the period before came to, USD.

    `last_limit_usd`: the higher limit that was in force in it. `unsure`: the sum may still change, or is incomplete.
    """

    budget: str
    last_usd: Decimal
    last_limit_usd: Decimal | None
    unsure: bool
    soft_usd: Decimal | None
    hard_usd: Decimal | None


class PeriodFacts(IncidentFacts):
    """A budget's period has begun. `last`: the period before, with the limits that were in force in it.

    `unbilled_days`: how many of its days the cost report has not settled. `missing_hours`: of how many of its hours
    no usage is known. `before`: what the period before that one came to, None where it is not known as a whole.
    `others`: the budgets that begin at the same moment, where they are too many for a post each.
    """

    kind: Literal["period"] = "period"
    budget: str
    scope: str
    period_kind: Literal["week", "month"]
    key: str
    new_ends_at: datetime
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    last: SpendFacts
    unbilled_days: int
    missing_hours: int
    before: KnownSumFacts | None
    as_of: datetime
    others: tuple[BegunFacts, ...] = ()

    @property
    def subject(self) -> str:
        return self.budget

    @property
    def period(self) -> str:
        return self.key


class DeliveryFacts(IncidentFacts):
    """A destination that takes nothing. `since`: when the oldest was decided that waits; `error`: one sentence.

    `count` waits at the decision. Once it takes alerts again, that is 0 and there is no error.
    """

    kind: Literal["delivery"] = "delivery"
    destination: str
    since: datetime
    error: str
    count: int

    @property
    def subject(self) -> str:
        return self.destination

    @property
    def period(self) -> str:
        return minute_key(self.since)


def since_of(period: str) -> datetime:
    """The moment that a period names which is none of a budget's."""
    return datetime.strptime(period, MINUTE_KEY).replace(tzinfo=UTC)


Incident = AlertFacts | DeliveryFacts | DriftFacts | ForecastFacts | PeriodFacts | SpikeFacts | StaleFacts
"""Every kind of incident: what is stored is read back as one of these."""


class LifeFacts(_Facts):
    """A step that a person or time has caused. `about`: what the alert's message says. `since`: when it was opened.

    `by`: a Slack user id, or the bot. `until`: the end of a snooze.
    """

    kind: Literal["life"] = "life"
    step: LifeStep
    by: str
    at: datetime
    until: datetime | None
    since: datetime
    about: Annotated[Incident, Field(discriminator="kind")]


class ModeFacts(_Facts):
    """A change of the fallback mode. `written`: the notice that a target, which had failed at first, follows now.

    `until`: when it ends, where somebody has said so; `returns_at`: when it ends because its period does. `costs`: None
    where that is not known. `approved_by`: the further people who had to agree. `previous_until`: for the way back.
    `automatic`: the chain has stepped by itself.
    """

    kind: Literal["mode"] = "mode"
    mode: str
    previous: str
    by: str
    reason: str
    changed_at: datetime
    savings: tuple[SavingFacts, ...]
    as_of: datetime | None
    written: bool = False
    until: datetime | None = None
    returns_at: datetime | None = None
    costs: Consequences | None = None
    approved_by: tuple[str, ...] = ()
    previous_until: datetime | None = None
    automatic: bool = False


class ModeEndFacts(_Facts):
    """A fallback mode will return to normal by itself soon. `because`: a clause."""

    kind: Literal["mode_end"] = "mode_end"
    mode: str
    ends_at: datetime
    because: str


class ProposalFacts(_Facts):
    """A change of the fallback mode that waits for further admins, at one step of its life.

    `lasts`: how long the mode is to be on; None until somebody says otherwise. `closed_by`: who rejected it, or whose
    approval was the last; None where time or another change did it. `why`: one clause about a void one.
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
    savings: tuple[SavingFacts, ...]
    as_of: datetime | None
    costs: Consequences | None = None
    returns_at: datetime | None = None


class CallingFacts(_Facts):
    """A caller of a model above a mode's ceiling. Names are those that people know; ids tell equal names apart."""

    model: str
    workspace_id: str
    workspace: str
    api_key_id: str | None
    key: str | None
    usd_per_hour: Decimal


class MixFacts(_Facts):
    """USD an hour: of all usage, and of models above the ceiling."""

    usd_per_hour: Decimal
    above_usd_per_hour: Decimal


class ProofFacts(_Facts):
    """What usage shows of a change of the mode, told in the announcement's thread. Fields as in `Proof`.

    `callers`: the largest; `more_callers`: how many there are beside them. `last`: the change is not watched any more.
    """

    kind: Literal["proof"] = "proof"
    change_id: int
    mode: str
    ceiling: str
    since: datetime
    state: ProofState
    above: tuple[str, ...]
    before: MixFacts | None
    after: MixFacts | None
    took: timedelta | None
    callers: tuple[CallingFacts, ...]
    more_callers: int
    last: bool
    as_of: datetime
    decided_at: datetime


class TestFacts(_Facts):
    """A test alert that an admin has asked for. `by`: a Slack user id."""

    kind: Literal["test"] = "test"
    by: str
    requested_at: datetime

    @property
    def incident(self) -> str:
        """The visible id, by which a repeat is told from a second test."""
        return f"test/{self.requested_at:%Y-%m-%dT%H:%M:%SZ}"


NoticeFacts = IncidentFacts | LifeFacts | ModeEndFacts | ModeFacts | ProofFacts | ProposalFacts | TestFacts
FACTS: TypeAdapter[NoticeFacts] = TypeAdapter(
    Annotated[
        Incident | LifeFacts | ModeEndFacts | ModeFacts | ProofFacts | ProposalFacts | TestFacts,
        Field(discriminator="kind"),
    ]
)
