"""Reports: spend of a period by model, workspace or key, beside the same stretch before; and savings by caching."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import numpy as np

from bot.budgets.budget import ORGANIZATION, Period, ScopeKind
from bot.budgets.day_parts import parts_of
from bot.budgets.snapshot import MOST_EXACT, Snapshot
from bot.budgets.spend import ZERO, Spend
from bot.budgets.usage_table import Money, reasons
from bot.clock import HOUR, floor_hour
from bot.pricing.card import RateCard
from bot.pricing.cost import Hidden, UnitPrices, unit_prices
from bot.pricing.tokens import Terms, TokenCounts

SECOND = timedelta(seconds=1)
SECONDS_IN_HOUR = HOUR // SECOND


class GroupBy(StrEnum):
    """What the rows of a report are."""

    MODEL = "model"
    WORKSPACE = "workspace"
    KEY = "key"
    FEATURE = "feature"
    USER = "user"
    TAG = "tag"


LOGGED_BY = frozenset({GroupBy.FEATURE, GroupBy.USER, GroupBy.TAG})
"""Groupings that only the applications' own log has: such reports use a snapshot of the ledger."""


@dataclass(frozen=True, slots=True)
class Group:
    """One row. `id`: of the model, workspace, key, feature, user or tag value; None for usage without one.

    `usd`: computed from tokens at list prices. `workspace_id`: of a key. `before_usd`: of the same stretch before, None
    if there was none or it is unknown. `assumed`: the model is in no price table.
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
    """The same stretch of the period before, all of whose hours are known; computed USD."""

    period: str
    usd: Decimal
    starts_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """How many hours since the start of the period are known, up to the age of the data."""

    hours: int
    of_hours: int

    @property
    def complete(self) -> bool:
        return self.hours >= self.of_hours


@dataclass(frozen=True, slots=True)
class Report:
    """`spend` includes the billed part, as for budgets. `groups`: most expensive first; they sum to `computed_usd`."""

    period: Period
    by: GroupBy
    as_of: datetime
    known: Known
    spend: Spend
    computed_usd: Decimal
    groups: tuple[Group, ...]
    before: Before | None
    tag: str | None = None

    @property
    def grouped_by(self) -> str:
        """The grouping as typed: `feature`, `tag:team`."""
        return str(self.by) if self.tag is None else f"{self.by}:{self.tag}"


_Key = tuple[str | None, str | None]

SCOPES = {by: ScopeKind(by.value) for by in GroupBy}


def report_of(snapshot: Snapshot, period: Period, before: Period, by: GroupBy, tag: str | None = None) -> Report | None:
    """The report of some UTC days, compared with the same stretch of `before`; None if nothing is known of them.

    For a running period, what the data reaches. `tag`: name of the tag, for a report by tag.
    """
    until = snapshot.counted_until
    if snapshot.as_of is None or until is None or until <= period.starts_at:
        return None
    as_of = min(max(snapshot.as_of, period.starts_at), period.ends_at)
    known = known_of(snapshot, period.starts_at, min(until, period.ends_at))
    days = [part.day for part in parts_of(period.starts_at, period.ends_at)]
    if not known.hours and not any(snapshot.bills.get(day) for day in days):
        return None
    keys = snapshot.index.groups(SCOPES[by], tag)
    sums = _Sums(snapshot, keys)
    for day in days:
        sums.add(day)
    until = min(before.starts_at + (as_of - period.starts_at), before.ends_at)
    compared = known.complete and known_of(snapshot, before.starts_at, until).complete
    dollars_before = _dollars(snapshot, keys, before.starts_at, until) if compared else {}
    groups = sums.groups(dollars_before)
    seen = {(group.id, group.workspace_id) for group in groups}
    gone = [
        Group(*key, ZERO, TokenCounts(), usd, assumed=False, hidden=frozenset())
        for key, usd in dollars_before.items()
        if key not in seen and usd > 0
    ]
    return Report(
        period=period,
        by=by,
        as_of=as_of,
        known=known,
        spend=snapshot.spend(ORGANIZATION, period),
        computed_usd=sum((group.usd for group in groups), ZERO),
        groups=tuple(sorted([*groups, *gone], key=lambda group: (-group.usd, -(group.before_usd or 0), str(group.id)))),
        before=Before(before.key, sum(dollars_before.values(), ZERO), before.starts_at, until) if compared else None,
        tag=tag,
    )


def known_of(snapshot: Snapshot, starts_at: datetime, ends_at: datetime) -> Known:
    """How many hours of this stretch are known."""
    return Known(hours=snapshot.known_hours(starts_at, ends_at), of_hours=-((starts_at - ends_at) // HOUR))


class _Sums:
    """Sums of whole UTC days for all scopes at once."""

    def __init__(self, snapshot: Snapshot, keys: Sequence[tuple[_Key, int]]) -> None:
        self._snapshot = snapshot
        self._keys = keys
        scopes = snapshot.index.scopes
        self._units: list[Money] = []
        self._counts = np.zeros((scopes, 6), np.int64)
        self._hidden = np.zeros(scopes, np.uint8)
        self._assumed: set[int] = set()

    def add(self, day_of: date) -> None:
        """Add a day."""
        day = self._snapshot.day(day_of)
        count = len(day.units)
        self._units.append(day.units)
        self._counts[:count] += day.counts
        self._hidden[:count] |= day.hidden
        self._assumed |= {number for assumed in day.assumed for number, _ in assumed}

    def used(self) -> dict[_Key, list[int]]:
        """The groups with usage, each with its scope numbers."""
        used: list[bool] = np.any(self._counts, axis=1).tolist()
        found: dict[_Key, list[int]] = {}
        for key, number in self._keys:
            if number < len(used) and used[number]:
                found.setdefault(key, []).append(number)
        return found

    def groups(self, before: Mapping[_Key, Decimal]) -> list[Group]:
        """All groups. `before`: USD in the stretch before."""
        units, counts = added(self._units, len(self._counts)), self._counts
        return [
            Group(
                *key,
                usd=self._snapshot.prices.usd(sum(units[number] for number in numbers)),
                counts=TokenCounts(*counts[numbers].sum(axis=0).tolist()),
                before_usd=before.get(key) or None,
                assumed=not self._assumed.isdisjoint(numbers),
                hidden=reasons(int(np.bitwise_or.reduce(self._hidden[numbers]))),
            )
            for key, numbers in self.used().items()
        ]


def added(parts: Sequence[Money], length: int) -> list[int]:
    """Element-wise sums of arrays of at most this length, without overflow."""
    about = np.zeros(length)
    for part in parts:
        about[: len(part)] += np.abs(part.astype(np.float64))
    exact = all(part.dtype == np.int64 for part in parts) and float(about.max(initial=0)) < MOST_EXACT
    found = np.zeros(length, np.int64 if exact else object)
    for part in parts:
        found[: len(part)] += part
    sums: list[int] = found.tolist()
    return sums


def _dollars(
    snapshot: Snapshot, keys: Sequence[tuple[_Key, int]], starts_at: datetime, ends_at: datetime
) -> dict[_Key, Decimal]:
    """USD of whole hours, plus the share of the last one before `ends_at`: older usage is kept by the hour."""
    border = floor_hour(ends_at)
    share = Decimal((ends_at - border) // SECOND) / SECONDS_IN_HOUR
    scopes = snapshot.index.scopes
    found: list[list[Money]] = []
    for begin, end in ((starts_at, border), (border, border + HOUR if share else border)):
        parts: list[Money] = []
        for part in parts_of(begin, end):
            day = snapshot.day(part.day, by_hour=not part.whole)
            if part.whole:
                parts.append(day.units[:scopes])
            elif day.hours is not None:
                parts.append(day.hours[:scopes, part.first : part.last].sum(axis=1))
        found.append(parts)
    whole, last = (added(parts, scopes) for parts in found)
    dollars: dict[_Key, Decimal] = {}
    for key, number in keys:
        if number < scopes and (usd := snapshot.prices.usd(whole[number]) + snapshot.prices.usd(last[number]) * share):
            dollars[key] = dollars.get(key, ZERO) + usd
    return dollars


Use = tuple[str | None, str, Terms, int | None, TokenCounts]
"""Row, model, terms, prompt length (see `unit_prices`) and tokens."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """`hit_rate`: cache reads in the whole prompt. `reused`: cache reads in all cached tokens; None without any.

    `break_even`: the lowest `reused` at which caching pays, at the TTLs in use; None if nothing was written.
    `saved_usd`: negative if caching cost more than it saved.
    """

    row: str | None
    prompt_tokens: int
    hit_rate: Fraction
    reused: Fraction | None
    break_even: Fraction | None
    saved_usd: Decimal


def cache_uses(uses: Iterable[Use], card: RateCard, on: date) -> list[CacheUse]:
    """Cache use at the rates of the UTC day `on`: largest loss first, then longest prompts. Rows without input are left
    out.
    """
    sums: dict[str | None, _CacheSums] = {}
    for row, model, terms, prompt_tokens, counts in uses:
        prices = unit_prices(card, model, terms, on, prompt_tokens)
        sums.setdefault(row, _CacheSums()).add(counts, prices)
    found = [each.use(row) for row, each in sums.items() if each.counts.prompt_tokens]
    return sorted(found, key=lambda use: (min(use.saved_usd, Decimal(0)), -use.prompt_tokens, str(use.row)))


class _CacheSums:
    def __init__(self) -> None:
        self.counts = TokenCounts()
        self.read_usd = self.write_usd = self.could_save_usd = Decimal(0)

    def add(self, counts: TokenCounts, prices: UnitPrices) -> None:
        uncached, write_5m, write_1h, read, *_ = prices.usd_per_token
        written_5m, written_1h = counts.cache_creation_5m_input_tokens, counts.cache_creation_1h_input_tokens
        self.counts += counts
        self.read_usd += counts.cache_read_input_tokens * (uncached - read)
        self.write_usd += written_5m * (write_5m - uncached) + written_1h * (write_1h - uncached)
        self.could_save_usd += (counts.cache_read_input_tokens + written_5m + written_1h) * (uncached - read)

    def use(self, row: str | None) -> CacheUse:
        counts = self.counts
        read = counts.cache_read_input_tokens
        written = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
        cached = read + written
        break_even = None
        if written:
            premium = Fraction(self.write_usd) / written
            break_even = premium / (premium + Fraction(self.could_save_usd) / cached)
        return CacheUse(
            row=row,
            prompt_tokens=counts.prompt_tokens,
            hit_rate=Fraction(read, counts.prompt_tokens),
            reused=Fraction(read, cached) if cached else None,
            break_even=break_even,
            saved_usd=self.read_usd - self.write_usd,
        )
