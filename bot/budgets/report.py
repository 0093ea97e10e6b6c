"""What was spent in a period, grouped by model, workspace or key, beside the same stretch of the period before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from bot.budgets.outlook import RecentUsage
from bot.budgets.period import Period
from bot.budgets.spend import ZERO, PricedUsage, Spend
from bot.pricing.cost import Hidden
from bot.pricing.tokens import TokenCounts
from bot.usage.source import DayUsage


class GroupBy(StrEnum):
    """What the rows of a report are."""

    MODEL = "model"
    WORKSPACE = "workspace"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Group:
    """One row. `id` is the model's, the workspace's or the key's; None for usage without a key.

    `usd` is computed from tokens and list prices. `workspace_id`: a key's. `before_usd`: of the same stretch before,
    None where there was none or where it is not known. `assumed`: the model is in no price table.
    """

    id: str | None
    workspace_id: str | None
    usd: Decimal
    counts: TokenCounts
    before_usd: Decimal | None
    assumed: bool
    hidden: frozenset[Hidden]

    @property
    def at_least(self) -> bool:
        """Whether the true cost may be higher."""
        return bool(self.hidden)


@dataclass(frozen=True, slots=True)
class Before:
    """The same stretch of the period before, every hour of which is known; computed USD."""

    period: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """How many of the hours since the start of the period are in the store, up to the age of the data."""

    hours: int
    of_hours: int

    @property
    def complete(self) -> bool:
        return self.hours >= self.of_hours


@dataclass(frozen=True, slots=True)
class Report:
    """`spend`: with the billed part, as budgets count it. `groups`: the dearest first; `computed_usd` is their sum."""

    period: Period
    by: GroupBy
    as_of: datetime
    known: Known
    spend: Spend
    computed_usd: Decimal
    groups: tuple[Group, ...]
    before: Before | None


_Key = tuple[str | None, str | None]


def report_of(
    period: Period,
    by: GroupBy,
    as_of: datetime,
    known: Known,
    spend: Spend,
    priced: Sequence[PricedUsage],
    before: tuple[str, Sequence[RecentUsage]] | None,
) -> Report:
    """`priced`: all usage of the period. `before`: the period before by name and the usage of its same stretch."""
    rows: dict[_Key, list[PricedUsage]] = {}
    for row in priced:
        rows.setdefault(_key(by, row.usage), []).append(row)
    dollars_before = {} if before is None else _dollars(by, before[1])
    groups = [_group(key, found, dollars_before) for key, found in rows.items()]
    gone = [
        Group(*key, ZERO, TokenCounts(), usd, assumed=False, hidden=frozenset())
        for key, usd in dollars_before.items()
        if key not in rows and usd > 0
    ]
    return Report(
        period=period,
        by=by,
        as_of=as_of,
        known=known,
        spend=spend,
        computed_usd=sum((group.usd for group in groups), ZERO),
        groups=tuple(sorted([*groups, *gone], key=lambda group: (-group.usd, -(group.before_usd or 0), str(group.id)))),
        before=None if before is None else Before(before[0], sum(dollars_before.values(), ZERO)),
    )


def _key(by: GroupBy, usage: DayUsage) -> _Key:
    if by is GroupBy.MODEL:
        return usage.model, None
    if by is GroupBy.WORKSPACE:
        return usage.workspace_id, None
    return usage.api_key_id, usage.workspace_id


def _group(key: _Key, rows: Sequence[PricedUsage], before: Mapping[_Key, Decimal]) -> Group:
    return Group(
        *key,
        usd=sum((row.cost.usd for row in rows), ZERO),
        counts=_sum(row.usage.counts for row in rows),
        before_usd=before.get(key) or None,
        assumed=any(row.cost.assumed is not None for row in rows),
        hidden=frozenset(reason for row in rows for reason in row.cost.hidden),
    )


def _dollars(by: GroupBy, rows: Iterable[RecentUsage]) -> dict[_Key, Decimal]:
    dollars: dict[_Key, Decimal] = {}
    for row in rows:
        key = _key(by, row.priced.usage)
        dollars[key] = dollars.get(key, ZERO) + row.usd
    return dollars


def _sum(counts: Iterable[TokenCounts]) -> TokenCounts:
    total = TokenCounts()
    for each in counts:
        total += each
    return total
