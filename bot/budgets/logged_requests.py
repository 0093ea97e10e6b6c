"""Requests as logged by applications: cost, busiest minutes, and share of Anthropic's count. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from bot.budgets.budget import Period, Scope, ScopeKind
from bot.budgets.report import GroupBy, Known, known_of
from bot.budgets.snapshot import Snapshot
from bot.budgets.spend import ZERO
from bot.clock import floor_hour
from bot.ledger.model import Dimensions, Sums
from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.throughput import Limiter, Limits, Pool, pool_of
from bot.pricing.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class Requests:
    """`count`: None if the source logged tokens without requests. `errors`, `rate_limited`: parts of `count`.

    `before`: of the same stretch before, its last hour in proportion; None if unknown.
    """

    count: int | None
    errors: int = 0
    rate_limited: int = 0
    before: Fraction | None = None


def group_of(dimensions: Dimensions, by: GroupBy, tag: str | None = None) -> str | None:
    """The row of a report for these dimensions; None: without the value."""
    if by is GroupBy.FEATURE:
        return dimensions.feature or None
    if by is GroupBy.USER:
        return dimensions.user_id or None
    if by is GroupBy.TAG:
        return dict(dimensions.tags).get(tag or "")
    if by is GroupBy.MODEL:
        return dimensions.model
    return (dimensions.workspace if by is GroupBy.WORKSPACE else dimensions.key) or None


def grouped(totals: Mapping[Dimensions, Sums], by: GroupBy, tag: str | None = None) -> dict[str | None, Sums]:
    """The sums of each row."""
    found: dict[str | None, Sums] = {}
    for dimensions, sums in totals.items():
        at = group_of(dimensions, by, tag)
        found[at] = found.get(at, Sums()).plus(sums)
    return found


def requests_of(
    now: Mapping[str | None, Sums],
    before: Mapping[str | None, Sums] | None,
    last_hour: Mapping[str | None, Sums],
    share: Fraction,
) -> dict[str | None, Requests]:
    """Requests by row. `before`: whole hours of the stretch before; `last_hour`, in which that ends, counts by
    `share`.
    """
    found = {}
    for at, sums in now.items():
        earlier = None
        if before is not None:
            earlier = before.get(at, Sums()).requests + share * last_hour.get(at, Sums()).requests
        unknown = not sums.requests and sums.counts.tokens > 0
        found[at] = Requests(None if unknown else sums.requests, sums.errors, sums.rate_limited, earlier)
    return found


def usd_a_request(usd: Decimal, requests: int | Fraction | None) -> Decimal | None:
    """USD per request; None if no request is known."""
    if not requests:
        return None
    exact = Fraction(usd) / Fraction(requests)
    return Decimal(exact.numerator) / Decimal(exact.denominator)


LIMITERS: tuple[Limiter, ...] = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")


@dataclass(frozen=True, slots=True)
class MinuteOfModel:
    """What was logged of one model in one minute, without batches."""

    minute: datetime
    model: str
    requests: int
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Busiest:
    """The highest use of one limit in one minute. `limit`: None if unknown."""

    pool: Pool
    limiter: Limiter
    minute: datetime
    need: int
    limit: int | None


def busiest_minutes(
    minutes: Iterable[MinuteOfModel], measured: Mapping[Pool, Limits], card: RateCard
) -> tuple[Busiest, ...]:
    """Busiest minute by pool and limit, least headroom first, unknown limits last. Cache reads do not count."""
    sums: dict[tuple[Pool, Limiter], dict[datetime, int]] = {}
    for each in minutes:
        model = card.find(each.model)
        pool = pool_of(each.model if model is None else model.id, measured)
        counted = each.counts.prompt_tokens - each.counts.cache_read_input_tokens
        for limiter, need in zip(LIMITERS, (each.requests, counted, each.counts.output_tokens), strict=True):
            by_minute = sums.setdefault((pool, limiter), {})
            by_minute[each.minute] = by_minute.get(each.minute, 0) + need
    found = []
    for (pool, limiter), by_minute in sums.items():
        minute = max(by_minute, key=lambda at: (by_minute[at], at))
        if by_minute[minute]:
            limit = measured.get(pool, {}).get(limiter)
            found.append(Busiest(pool, limiter, minute, by_minute[minute], limit))
    return tuple(sorted(found, key=_least_headroom))


def _least_headroom(each: Busiest) -> tuple[bool, float, str, int]:
    used = 0.0 if each.limit is None else each.need / max(each.limit, 1)
    return each.limit is None, -used, each.pool.name, LIMITERS.index(each.limiter)


Tokens = Mapping[tuple[str | None, str], int]
"""Tokens by key (None without one) and model."""

NO_DOLLARS: Mapping[str, Decimal] = {}

LEAST_MISSING = Fraction(1, 100)
"""Smallest share of a key's tokens of a model that counts as a gap: less is applications and Anthropic using different
hours.
"""


@dataclass(frozen=True, slots=True)
class OfModel:
    """Computed USD of one model. Logs may have more than Anthropic counted, such as calls through another platform.

    `tokens`: as Anthropic counted them.
    """

    model: str
    counted_usd: Decimal
    logged_usd: Decimal
    tokens: int = 0

    @property
    def covered_usd(self) -> Decimal:
        return min(self.counted_usd, self.logged_usd)

    @property
    def is_beyond(self) -> bool:
        """Whether logs have clearly more of it than Anthropic counted."""
        return self.logged_usd - self.counted_usd >= max(Decimal("0.01"), self.counted_usd / 100)


@dataclass(frozen=True, slots=True)
class Gap:
    """Tokens of one key and model that are in no log. `key`: its name, None for usage without a key.

    `at_least`: logs without a known key were counted for this one as far as possible, so more may be missing.
    """

    key: str | None
    model: str
    counted: int
    missing: int
    at_least: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """`until`: end of the last closed hour. `known`: whether Anthropic's data has all hours; without, nothing is
    computed.

    `models`: most expensive first. `gaps`: largest first.
    """

    starts_at: datetime
    until: datetime
    known: Known
    models: tuple[OfModel, ...]
    gaps: tuple[Gap, ...]

    def usd(self, gap: Gap) -> Decimal:
        """Estimated cost of a gap, at the mean price of its model's tokens."""
        of = next((each for each in self.models if each.model == gap.model and each.tokens), None)
        return ZERO if of is None else of.counted_usd * gap.missing / of.tokens

    @property
    def counted_usd(self) -> Decimal:
        return sum((each.counted_usd for each in self.models), ZERO)

    @property
    def covered_usd(self) -> Decimal:
        return sum((each.covered_usd for each in self.models), ZERO)


def closed_until(usage: Snapshot, logged: Snapshot, period: Period) -> datetime | None:
    """End of the last hour of the period that both know in full; None without any."""
    if usage.as_of is None or logged.as_of is None:
        return None
    until = min(floor_hour(min(usage.as_of, logged.as_of)), period.ends_at)
    return until if until > period.starts_at else None


def coverage_of(
    usage: Snapshot,
    logged: Snapshot,
    starts_at: datetime,
    until: datetime,
    tokens: Tokens,
    logged_tokens: Tokens,
    above_step: Mapping[str, Decimal] = NO_DOLLARS,
) -> Coverage:
    """Coverage of the whole hours of [`starts_at`, `until`). `tokens`: as Anthropic counted them, keys by id.

    `logged_tokens`: as applications logged them, keys by id or name, models in any spelling. `above_step`: by model,
    the part of the logged USD due to prompt length, which Anthropic's counts do not show.
    """
    known = known_of(usage, starts_at, until)
    if not known.complete:
        return Coverage(starts_at, until, known, (), ())
    logged.have(starts_at, until)
    models = {_model(model, usage.card) for snapshot in (usage, logged) for model in _models(snapshot)}
    of_model: dict[str, int] = {}
    for (_, text), number in tokens.items():
        of_model[_model(text, usage.card)] = of_model.get(_model(text, usage.card), 0) + number
    found = []
    for model in sorted(models):
        counted, in_logs = (
            snapshot.usd(Scope(ScopeKind.MODEL, model), starts_at, until) for snapshot in (usage, logged)
        )
        in_logs = max(ZERO, in_logs - above_step.get(model, ZERO))
        if counted or in_logs:
            found.append(OfModel(model, counted, in_logs, of_model.get(model, 0)))
    found.sort(key=lambda each: (-each.counted_usd, -each.logged_usd, each.model))
    gaps = gaps_of(tokens, logged_tokens, usage.names.keys, usage.card)
    return Coverage(starts_at, until, known, tuple(found), gaps)


def coverage_from(
    usage: Snapshot,
    logged: Snapshot,
    starts_at: datetime,
    until: datetime,
    totals: Mapping[tuple[str | None, str], TokenCounts],
    logged_totals: Mapping[Dimensions, Sums],
) -> Coverage:
    """Coverage from the totals of both stores in that time."""
    in_logs: dict[tuple[str | None, str], int] = {}
    for dimensions, sums in logged_totals.items():
        at = (dimensions.key, dimensions.model)
        in_logs[at] = in_logs.get(at, 0) + sums.counts.tokens
    tokens = {at: counts.tokens for at, counts in totals.items()}
    above_step = _usd_above_step(logged_totals, usage.card, (until - until.resolution).date())
    return coverage_of(usage, logged, starts_at, until, tokens, in_logs, above_step)


def _usd_above_step(logged_totals: Mapping[Dimensions, Sums], card: RateCard, on: date) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for of, sums in logged_totals.items():
        long, several = (
            cost_of(card, of.model, sums.counts, of.terms, on, prompt_tokens=prompt).usd
            for prompt in (of.prompt_tokens, None)
        )
        if long != several:
            model = _model(of.model, card)
            found[model] = found.get(model, ZERO) + long - several
    return found


def gaps_of(tokens: Tokens, logged_tokens: Tokens, names: Mapping[str, str], card: RateCard) -> tuple[Gap, ...]:
    """Tokens in no log. Keys with the same name count as one, since a log may only know the name."""
    by_text = {name.casefold(): name for name in names.values()} | {id_.casefold(): name for id_, name in names.items()}
    counted: dict[tuple[str | None, str], int] = {}
    for (key, model), number in tokens.items():
        at = (None if key is None else names.get(key, key), _model(model, card))
        counted[at] = counted.get(at, 0) + number
    known = {key for key, _ in counted if key is not None}
    in_logs: dict[tuple[str | None, str], int] = {}
    for (text, model), number in logged_tokens.items():
        key = None if text is None else by_text.get(text.casefold(), text)
        at = (key if key in known else None, _model(model, card))
        in_logs[at] = in_logs.get(at, 0) + number
    return tuple(sorted(_gaps(counted, in_logs), key=lambda gap: (-gap.missing, str(gap.key), gap.model)))


def _gaps(counted: Tokens, in_logs: Tokens) -> Iterable[Gap]:
    for (key, model), number in counted.items():
        of_any = in_logs.get((None, model), 0)
        missing = number - of_any - (in_logs.get((key, model), 0) if key is not None else 0)
        if missing > 0 and missing >= number * LEAST_MISSING:
            yield Gap(key, model, number, missing, at_least=of_any > 0)


def _models(snapshot: Snapshot) -> list[str]:
    return [model for model, _, _ in snapshot.index.ids(ScopeKind.MODEL)]


def _model(text: str, card: RateCard) -> str:
    found = card.find(text)
    return text if found is None else found.id
