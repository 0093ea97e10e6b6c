"""What a notice says of an incident, whatever it is about: the figures of the moment of decision."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypedDict, TypeVar

from pydantic import Field

from bot.alerts.day_drift import DriftCause, ModelDrift
from bot.alerts.decide import Reason, Status, Step
from bot.alerts.lifecycle import LifeStep
from bot.budgets.budget import Level
from bot.budgets.budget_spend import BudgetSpend, KnownSum, NamedCause, NamedMover

MINUTE_KEY = "%Y-%m-%dT%H:%MZ"


DATA, BILL = "data", "bill"
"""Subjects of incidents that belong to no budget."""


def minute_key(moment: datetime) -> str:
    """`2026-11-26T14:03Z`: how an incident that belongs to no period is known by the moment at which it began."""
    return moment.astimezone(UTC).strftime(MINUTE_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPayload(ABC):
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
    def figures_as_of(self) -> datetime | None:
        """The age of a budget's figures in it; None where it has none."""
        return None

    @property
    def incident(self) -> str:
        """The visible id of the incident: whoever sees it twice knows that it is one and the same."""
        return f"{self.subject}/{self.period}/{self.level}/{self.limit_usd:f}"


class AtStep(TypedDict):
    """What every payload takes from the step that it reports."""

    level: Level
    limit_usd: Decimal
    status: Status
    reason: Reason
    decided_at: datetime
    mode: str


def at_step(step: Step, mode: str, now: datetime) -> AtStep:
    """The fields of a payload about `step`, decided at `now`. `mode`: the fallback mode in force."""
    return {
        "level": step.level,
        "limit_usd": step.limit_usd,
        "status": step.status,
        "reason": step.reason,
        "decided_at": now,
        "mode": mode,
    }


Told = TypeVar("Told", bound=AlertPayload)


def restated(facts: Told, step: Step, *, mode: str, now: datetime) -> Told:
    """The same figures at a further step."""
    return replace(facts, status=step.status, reason=step.reason, mode=mode, decided_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAlert(AlertPayload, ABC):
    """An incident of a budget. `spend`: the budget's figures at the decision; with its period ends what is told."""

    spend: BudgetSpend

    @property
    def subject(self) -> str:
        return self.spend.budget

    @property
    def period(self) -> str:
        return self.spend.period

    @property
    def ends_at(self) -> datetime:
        return self.spend.ends_at

    @property
    def figures_as_of(self) -> datetime:
        return self.spend.as_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAlert(BudgetAlert):
    """A limit of a budget, or a threshold on the way to it."""

    kind: Literal["alert"] = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastAlert(BudgetAlert):
    """A period that is expected to end above a limit, USD. `crossed_at`: when the limit is reached, as expected."""

    kind: Literal["forecast"] = "forecast"
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    crossed_at: datetime | None
    crossed_earliest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeAlert(BudgetAlert):
    """Dollars an hour far above what is usual. `limit_usd`: the rate in USD an hour from which on it was a spike.

    `key`: the hour in which it was seen, the incident's period. `usual_usd_per_hour` is None where it is not known.
    The movers and the causes hold the last hour against the mean hour of the two weeks before. `within`: the further
    budgets that see the same spike.
    """

    kind: Literal["spike"] = "spike"
    key: str
    long_usd_per_hour: Decimal
    short_usd_per_hour: Decimal
    usual_usd_per_hour: Decimal | None
    since: datetime
    movers: tuple[NamedMover, ...]
    causes: tuple[NamedCause, ...]
    within: tuple[str, ...] = ()

    @property
    def period(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDataAlert(AlertPayload):
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
    sums: tuple[KnownSum, ...]
    missing_hours: int = 0

    @property
    def subject(self) -> str:
        return DATA

    @property
    def period(self) -> str:
        return minute_key(self.began_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDrift:
    """A known cause of a difference and what it makes in USD: above zero where the bill is higher for it."""

    cause: DriftCause
    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlert(AlertPayload):
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
    causes: tuple[ExplainedDrift, ...]
    models: tuple[ModelDrift, ...]
    report_read_at: datetime
    as_of: datetime

    @property
    def subject(self) -> str:
        return BILL

    @property
    def period(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunPeriod:
    """A budget whose period has begun too, in one line. `last_usd`: what the period before came to, USD.

    `last_limit_usd`: the higher limit that was in force in it. `unsure`: the sum may still change, or is incomplete.
    """

    budget: str
    last_usd: Decimal
    last_limit_usd: Decimal | None
    unsure: bool
    soft_usd: Decimal | None
    hard_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPeriodAlert(AlertPayload):
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
    last: BudgetSpend
    unbilled_days: int
    missing_hours: int
    before: KnownSum | None
    as_of: datetime
    others: tuple[BegunPeriod, ...] = ()

    @property
    def subject(self) -> str:
        return self.budget

    @property
    def period(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAlert(AlertPayload):
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


def redrawn(facts: AlertPayload, mode: str, spend: BudgetSpend | None, now: datetime) -> AlertPayload:
    """An open incident's figures for another fallback mode in force, drawn at `now`.

    `spend`: its budget's newest figures, where they are known. They take the place of the older ones where the incident
    stands with them too; the next review resolves it where it does not.
    """
    found: dict[str, object] = {"mode": mode}
    if isinstance(facts, BudgetAlert) and facts.ends_at <= now:
        # Of a period that is over no mode saves anything.
        found["decided_at"] = now
    elif isinstance(facts, BudgetAlert) and spend is not None and spend.period == facts.spend.period:
        spent, limit, end = spend.spent_usd, facts.limit_usd, spend.expected_usd
        if isinstance(facts, LimitAlert) and spent >= limit:
            found["spend"] = spend
        elif isinstance(facts, ForecastAlert) and end is not None and spent < limit <= end:
            # The dates belong to the older figures.
            found |= {"spend": spend, "crossed_at": None, "crossed_earliest_at": None}
            found |= {"expected_usd": end, "low_usd": spend.low_usd, "high_usd": spend.high_usd}
    return replace(facts, **found)  # type: ignore[arg-type]


def not_extrapolated(facts: AlertPayload, now: datetime) -> AlertPayload:
    """An open incident of a budget that is drawn at `now`, when the data is stale."""
    if not isinstance(facts, BudgetAlert) or facts.status is not Status.OPEN or facts.ends_at <= now:
        return facts
    return replace(facts, spend=facts.spend.not_extrapolated(now))


Incident = LimitAlert | DeliveryAlert | DriftAlert | ForecastAlert | NewPeriodAlert | SpikeAlert | NoDataAlert
"""Every kind of incident: what is stored is read back as one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticAlert:
    """A test alert that an admin has asked for. `by`: a Slack user id."""

    kind: Literal["test"] = "test"
    by: str
    requested_at: datetime

    @property
    def incident(self) -> str:
        """The visible id, by which a repeat is told from a second test."""
        return f"test/{self.requested_at:%Y-%m-%dT%H:%M:%SZ}"
