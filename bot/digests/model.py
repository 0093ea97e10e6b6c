"""Payloads of digests: figures of some UTC days at one moment, as stored and rendered."""

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
    """A row of the report of the same days; the id is None for usage without one."""

    label: str
    usd: Decimal
    before_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePace:
    """A saved estimate beside its actual pace, USD a month."""

    name: str
    estimated_usd: Decimal
    monthly_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """`rule`: channel and subject, as `DigestRule.key`; empty for a digest shown on request.

    `spend`: as in `report` of the same days. `rows`: by feature if applications log usage, else by model; they add up
    to `rows_usd`. `before_usd`: computed for the stretch before, None if not fully known; compare with `computed_usd`.
    `unbilled_days`: days whose bill may still change. `missing_hours`: hours of unknown usage. `movers`, `causes`:
    against the stretch before. `of_last_day`: these are of the last 24 hours instead, since the days are still running
    or the stretch before is unknown.
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
        """The visible id, which identifies repeats: `digest/week/2026-W47`."""
        about = self.scope if self.budget is None else f"budget:{self.budget}"
        return f"digest/{self.every}/{self.period.key}" + (f"/{about}" if about else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestChange:
    """A change of a digest made in chat, as announced in its channel. `before`, `after`: the words, None for none.

    `undone_by`: who undid it.
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
