"""Spend as Anthropic itself attributes it: to products, groups, agents, actors and organizations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal


class AttributedBy(StrEnum):
    """What only Anthropic's own attribution knows."""

    PRODUCT = "product"
    GROUP = "group"
    AGENT = "agent"
    ACTOR = "actor"
    ORGANIZATION = "organization"


Origin = Literal["analytics", "claude_code"]


class NotAttributedError(Exception):
    """Anthropic's attribution cannot be had; the text is sentences with the remedy."""


@dataclass(frozen=True, slots=True)
class Who:
    """`id` None: spend without a product, group, agent or actor. `name`: where Anthropic gives one."""

    id: str | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AttributedRow:
    """`tokens_in` with cached ones; both counts are None where they are not known."""

    who: Who
    usd: Decimal
    tokens_in: int | None
    tokens_out: int | None


@dataclass(frozen=True, slots=True)
class Attributed:
    """Spend of a stretch of time, the most expensive row first.

    `usd`: of everything, which rows by group do not add up to. `list_usd`: before discounts, None where it is not
    known. `refreshed_at`: up to where the figures are complete, None where Anthropic does not say. `odd`: rows that
    could not be read. `on_plans_usd`: what of `usd` was used on subscriptions.
    """

    by: AttributedBy
    origin: Origin
    starts_at: datetime
    ends_at: datetime
    usd: Decimal
    list_usd: Decimal | None
    rows: Sequence[AttributedRow]
    refreshed_at: datetime | None
    odd: int = 0
    on_plans_usd: Decimal = Decimal(0)
