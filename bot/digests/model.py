"""What a digest says: figures of one stretch of UTC days at one moment, as they are stored and rendered."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bot.budgets.budget import Period
from bot.budgets.budget_spend import BudgetSpend, NamedCause, NamedMover
from bot.budgets.model_news import PriceChange, Retirement
from bot.budgets.spend import Spend
from bot.digests.cheaper import Cheaper

DigestKind = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRow:
    """A row of the report of the same days; its id is None for what belongs to nobody."""

    label: str
    usd: Decimal
    before_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePace:
    """A kept estimate beside the pace of what was used, USD a month."""

    name: str
    estimated_usd: Decimal
    monthly_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """`rule`: where it goes and what it is about, as `DigestRule.key`; empty for one that somebody asked for.

    `spend`: what `report` says of the same days. `rows`: by feature where applications log usage, else by model; they
    add up to `rows_usd`. `before_usd`: computed for the stretch before, None where that is not known as a whole;
    `computed_usd` is what it is held against. `unbilled_days`: whose bill may still change. `missing_hours`: of which
    no usage is known. `movers`, `causes`: against the stretch before. `of_last_day`: of the last 24 hours instead,
    since the days still run or the stretch before is not known.
    """

    kind: Literal["digest"] = "digest"
    every: DigestKind
    rule: str
    scope: str | None
    budget: str | None = None
    logged: bool = False
    language: str | None = None
    period: Period
    as_of: datetime
    decided_at: datetime
    spend: Spend
    computed_usd: Decimal
    before_usd: Decimal | None
    before: str | None
    unbilled_days: int
    missing_hours: int
    by: Literal["model", "feature"]
    rows: tuple[DigestRow, ...]
    rows_usd: Decimal
    movers: tuple[NamedMover, ...]
    causes: tuple[NamedCause, ...]
    of_last_day: bool
    budgets: tuple[BudgetSpend, ...]
    cheaper: tuple[Cheaper, ...]
    estimates: tuple[EstimatePace, ...]
    prices: tuple[PriceChange, ...]
    retirements: tuple[Retirement, ...]

    @property
    def running(self) -> bool:
        """Whether its days were not over when it was made."""
        return self.decided_at < self.period.ends_at

    @property
    def incident(self) -> str:
        """The visible id, by which a repeat is known: `digest/week/2026-W47`."""
        about = self.scope if self.budget is None else f"budget:{self.budget}"
        return f"digest/{self.every}/{self.period.key}" + (f"/{about}" if about else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestChange:
    """A change of a digest in chat, as its channel is notified of it. `before`, `after`: the words, None for none.

    `undone_by`: who has set it back.
    """

    kind: Literal["digest_change"] = "digest_change"
    change_id: int
    by: str
    at: datetime
    before: str | None
    after: str | None
    undone_by: str | None = None

    @property
    def about(self) -> str:
        """The visible id."""
        return f"digest/change/{self.change_id}"
