"""What a notice says of an incident, whatever it is about: the figures of the moment of decision."""

from abc import ABC, abstractmethod
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, TypeVar

from bot.alerts.spend_facts import BegunFacts, CauseFacts, Facts, KnownSumFacts, MoverFacts, SpendFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Reason, Status, Step
from bot.budgets.drift import Cause

MINUTE_KEY = "%Y-%m-%dT%H:%MZ"


DATA, BILL = "data", "bill"
"""Subjects of incidents that belong to no budget."""


def minute_key(moment: datetime) -> str:
    """`2026-11-26T14:03Z`: how an incident that belongs to no period is known by the moment at which it began."""
    return moment.astimezone(UTC).strftime(MINUTE_KEY)


class IncidentFacts(Facts, ABC):
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


Told = TypeVar("Told", bound=IncidentFacts)


def restated(facts: Told, step: Step, *, mode: str, now: datetime) -> Told:
    """The same figures at a further step."""
    return facts.model_copy(update={"status": step.status, "reason": step.reason, "mode": mode, "decided_at": now})


class BudgetFacts(IncidentFacts, ABC):
    """An incident of a budget. `spend`: the budget's figures at the decision; with its period ends what is told."""

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

    @property
    def figures_as_of(self) -> datetime:
        return self.spend.as_of


class AlertFacts(BudgetFacts):
    """A limit of a budget, or a threshold on the way to it."""

    kind: Literal["alert"] = "alert"


class ForecastFacts(BudgetFacts):
    """A period that is expected to end above a limit, USD. `crossed_at`: when the limit is reached, as expected."""

    kind: Literal["forecast"] = "forecast"
    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal
    crossed_at: datetime | None
    crossed_earliest_at: datetime | None


class SpikeFacts(BudgetFacts):
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
    movers: tuple[MoverFacts, ...]
    causes: tuple[CauseFacts, ...]
    within: tuple[str, ...] = ()

    @property
    def period(self) -> str:
        return self.key


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


class DriftCauseFacts(Facts):
    """A known cause of a difference and what it makes in USD: above zero where the bill is higher for it."""

    cause: Cause
    usd: Decimal


class ModelDriftFacts(Facts):
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


def redrawn(facts: IncidentFacts, mode: str, spend: SpendFacts | None, now: datetime) -> IncidentFacts:
    """An open incident's figures for another fallback mode in force, drawn at `now`.

    `spend`: its budget's newest figures, where they are known. They take the place of the older ones where the incident
    stands with them too; the next review resolves it where it does not.
    """
    found: dict[str, object] = {"mode": mode}
    if isinstance(facts, BudgetFacts) and facts.ends_at <= now:
        # Of a period that is over no mode saves anything.
        found["decided_at"] = now
    elif isinstance(facts, BudgetFacts) and spend is not None and spend.period == facts.spend.period:
        spent, limit, end = spend.spent_usd, facts.limit_usd, spend.expected_usd
        if isinstance(facts, AlertFacts) and spent >= limit:
            found["spend"] = spend
        elif isinstance(facts, ForecastFacts) and end is not None and spent < limit <= end:
            # The dates belong to the older figures.
            found |= {"spend": spend, "crossed_at": None, "crossed_earliest_at": None}
            found |= {"expected_usd": end, "low_usd": spend.low_usd, "high_usd": spend.high_usd}
    return facts.model_copy(update=found)


def not_extrapolated(facts: IncidentFacts, now: datetime) -> IncidentFacts:
    """An open incident of a budget that is drawn at `now`, when the data is stale."""
    if not isinstance(facts, BudgetFacts) or facts.status is not Status.OPEN or facts.ends_at <= now:
        return facts
    return facts.model_copy(update={"spend": facts.spend.not_extrapolated(now)})


Incident = AlertFacts | DeliveryFacts | DriftFacts | ForecastFacts | PeriodFacts | SpikeFacts | StaleFacts
"""Every kind of incident: what is stored is read back as one of these."""
