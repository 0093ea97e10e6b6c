"""What a notice says of spend: sums, callers, causes and what a mode would save, as they were at the decision."""

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from bot.budgets.causes import CauseKind
from bot.pricing.cost import Hidden


class Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class MoverFacts(Facts):
    """One of the largest callers of the last 24 hours; names are those that people know."""

    model: str
    workspace: str
    key: str | None
    usd: Decimal
    before_usd: Decimal | None


class CauseFacts(Facts):
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


class SavingFacts(Facts):
    """What a mode saves until the end of the period; below zero where it would cost more.

    `until`: the end of the mode, where that comes first.
    """

    mode: str
    model: str
    usd: Decimal
    until: datetime | None = None


class SpendFacts(Facts):
    """A budget's spend and outlook at one moment: what alerts and `status` are both rendered from.

    `hidden`: why the sum is "at least". `pace_usd` is None with less than six hours of data. `as_of`: the age of all
    of it.
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
    hidden: tuple[Hidden, ...] = ()
    assumed: tuple[str, ...]
    pace_usd: Decimal | None
    movers: tuple[MoverFacts, ...]
    causes: tuple[CauseFacts, ...] = ()
    savings: tuple[SavingFacts, ...]
    as_of: datetime


class KnownSumFacts(Facts):
    """What a budget's period comes to as far as it is known. `limit_usd`: the higher of its limits."""

    budget: str
    period: str
    spent_usd: Decimal
    limit_usd: Decimal | None


class BegunFacts(Facts):
    """A budget whose period has begun too, in one line. `last_usd`: what the period before came to, USD.

    `last_limit_usd`: the higher limit that was in force in it. `unsure`: the sum may still change, or is incomplete.
    """

    budget: str
    last_usd: Decimal
    last_limit_usd: Decimal | None
    unsure: bool
    soft_usd: Decimal | None
    hard_usd: Decimal | None
