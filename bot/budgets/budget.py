"""A budget: whose spend, over which period, against which limits."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from bot.budgets.period import Period, PeriodKind, Weekday, period_at, period_before, periods_since
from bot.secret_shapes import SCOPE, quoted


class ScopeKind(StrEnum):
    """Whose spend a budget counts."""

    ORGANIZATION = "organization"
    WORKSPACE = "workspace"
    KEY = "key"
    MODEL = "model"
    FEATURE = "feature"
    USER = "user"
    TAG = "tag"


BILLED = frozenset({ScopeKind.ORGANIZATION, ScopeKind.WORKSPACE})
"""Kinds of which the cost report has rows. What others spend follows from tokens alone."""

LOGGED = frozenset({ScopeKind.FEATURE, ScopeKind.USER, ScopeKind.TAG})
"""Kinds that only the applications' own usage log knows: budgets of these count the ledger."""


class LimitKind(StrEnum):
    """The limits of a budget. `threshold`: a share of the upper one, reported on the way to it."""

    SOFT = "soft"
    HARD = "hard"
    THRESHOLD = "threshold"


LIMITS = (LimitKind.SOFT, LimitKind.HARD)
"""A budget's two limits, the lower one first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One of a budget's limits, in USD."""

    kind: LimitKind
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Scope:
    """`value`: a workspace id, a key id, a model id or family, a feature, a user id or a tag as NAME=VALUE.

    None for the organization.
    """

    kind: ScopeKind
    value: str | None = None

    def __str__(self) -> str:
        return self.kind.value if self.value is None else f"{self.kind.value}:{self.value}"


ORGANIZATION = Scope(ScopeKind.ORGANIZATION)

WRITTEN = {
    **dict.fromkeys((ScopeKind.WORKSPACE, ScopeKind.KEY, ScopeKind.MODEL, ScopeKind.USER), "an id"),
    ScopeKind.FEATURE: "a NAME",
    ScopeKind.TAG: "a NAME=VALUE",
}
"""What follows the colon."""

ON_DEMAND = ("product", "group", "agent", "actor")
"""What `report by` asks Anthropic about when somebody asks: no budget counts it."""

CHAT = "chat"
"""The origin of budgets that were set there."""


def parse_scope(text: str) -> Scope:
    """`organization`, or a kind and a value: `workspace:ID`, `model:ID-or-family`, `feature:NAME`, `tag:NAME=VALUE`.

    Raises ValueError with one clause.
    """
    kind_text, colon, value = text.strip().partition(":")
    if kind_text in ON_DEMAND:
        raise ValueError(
            f"no budget counts spend by {kind_text}, which only `report by {kind_text}` shows: use workspace:ID or "
            "key:ID, or feature:NAME, user:ID or tag:NAME=VALUE of what your applications log"
        )
    try:
        kind = ScopeKind(kind_text)
    except ValueError:
        raise ValueError(
            f"{quoted(text, SCOPE)} is no scope: use organization, workspace:ID, key:ID, model:ID, feature:NAME, "
            "user:ID or tag:NAME=VALUE"
        ) from None
    if kind is ScopeKind.ORGANIZATION:
        if colon:
            raise ValueError("organization takes no id")
        return ORGANIZATION
    if not value.strip():
        what = WRITTEN[kind]
        raise ValueError(f"{kind} needs {what} after a colon, as in {kind}:{what.split()[-1].upper()}")
    if kind is not ScopeKind.TAG:
        return Scope(kind, value.strip())
    name, _, label = (part.strip() for part in value.partition("="))
    if not name or not label:
        raise ValueError("tag needs a name and a value, as in tag:team=search")
    return Scope(kind, f"{name}={label}")


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits are USD above zero without trailing zeros; at least one is set, and soft is below hard.

    `origin` says where the budget is written down, for the answer to somebody who wants to change it. `thresholds`: per
    cents (1 to 99, rising) of the hard limit, or of the soft one where there is no hard one.
    """

    name: str
    scope: Scope
    period: PeriodKind
    zone: ZoneInfo
    soft_usd: Decimal | None
    hard_usd: Decimal | None
    origin: str
    week_starts: Weekday = Weekday.MONDAY
    thresholds: tuple[int, ...] = ()

    @property
    def highest_usd(self) -> Decimal | None:
        """The limit that shares refer to: the hard one, or else the soft one."""
        return self.hard_usd or self.soft_usd

    def period_at(self, now: datetime) -> Period:
        """The budget's period that contains `now`."""
        return period_at(self.period, self.zone, now, self.week_starts)

    def period_before(self, period: Period) -> Period:
        """The budget's period that ends where `period` begins."""
        return period_before(self.period, self.zone, period, self.week_starts)

    def periods_since(self, since: datetime, now: datetime) -> list[Period]:
        """The budget's periods that ended after `since`, and the one that contains `now`; the oldest first."""
        return periods_since(self.period, self.zone, since, now, self.week_starts)

    def limit(self, kind: LimitKind) -> Decimal | None:
        """The soft or hard limit in USD, or None where the budget has none."""
        return self.soft_usd if kind is LimitKind.SOFT else self.hard_usd

    def limits(self) -> list[Limit]:
        """The soft and the hard limit, as far as the budget has them."""
        return [Limit(kind, usd) for kind in LIMITS if (usd := self.limit(kind)) is not None]

    def marks(self) -> dict[Decimal, int]:
        """The thresholds in USD, rising, with their per cents; none that is a limit as well."""
        if self.highest_usd is None:
            return {}
        marks = {(self.highest_usd * percent / 100).normalize(): percent for percent in self.thresholds}
        return {usd: percent for usd, percent in marks.items() if usd != self.soft_usd}
