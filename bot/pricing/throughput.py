"""Whether a workload fits Anthropic's rate limits and monthly caps, from the dated table beside this module.

Undisclosed limits are unknown: such a pool is listed, and counts as neither sufficient nor exceeded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import MAX_PREC, ROUND_HALF_UP, Context, Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

from bot.pricing.card import Model, packaged
from bot.pricing.tokens import TokenCounts

Limiter = Literal[
    "requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "enqueued_batch_requests"
]
"""The Rate Limits API's own names. Input tokens: uncached input and cache writes, as the limits count them."""

Limits = Mapping[Limiter, int]
"""The limits of one pool; a missing limit is unknown."""

Need = Mapping[Limiter, Decimal]
"""What a workload needs of one pool, rounded to a millionth."""

MINUTES_IN_DAY = 1_440
MINUTES_IN_MONTH = 30 * MINUTES_IN_DAY
"""A month of an estimate has 30 days."""

OWN = "own"
"""The holder of measured limits in `PoolFit.limits`; the table's holders are tiers."""

_MILLIONTH = Decimal("0.000001")


class Pool(NamedTuple):
    """Models that share their limits. `batch`: the single queue for batches of all models."""

    name: str
    models: frozenset[str]
    batch: bool = False


class Tier(NamedTuple):
    """A usage tier. `monthly_cap_usd`: the most that may be spent in a calendar month; None: no cap."""

    name: str
    monthly_cap_usd: Decimal | None = None


class RateLimitTable(NamedTuple):
    """The standard limits. `tiers`: the lowest first. `limits`: of each pool, by the names of tiers."""

    checked_on: date
    source: str
    tiers: tuple[Tier, ...]
    limits: Mapping[Pool, Mapping[str, Limits]]


class Load(NamedTuple):
    """The load on one model in an average minute of a month of 30 days.

    `input_tokens_per_minute` are uncached input and cache writes: cache reads do not count. `batch`: requests of the
    Message Batches API.
    """

    model_id: str
    requests_per_minute: Decimal
    input_tokens_per_minute: Decimal
    output_tokens_per_minute: Decimal
    batch: bool = False


class Coverage(Enum):
    """Whether limits suffice. `UNKNOWN`: no known limit is too low, but not all limits are known."""

    COVERED = "covered"
    SHORT = "short"
    UNKNOWN = "unknown"


class Shortage(NamedTuple):
    """A limit that the peak exceeds."""

    pool: Pool
    limiter: Limiter
    need: Decimal
    limit: int


class PoolFit(NamedTuple):
    """The load on one pool, average and peak, and its limits by holder: tiers, or `OWN`."""

    pool: Pool
    mean: Need
    peak: Need
    limits: Mapping[str, Limits]

    def shortages(self, holder: str) -> tuple[Shortage, ...]:
        """The holder's limits that the peak exceeds."""
        limits = self.limits.get(holder, {})
        return tuple(
            Shortage(self.pool, limiter, need, limits[limiter])
            for limiter, need in self.peak.items()
            if limiter in limits and need > limits[limiter]
        )

    def coverage(self, holder: str) -> Coverage:
        """Whether the holder's limits suffice at the peak; no load needs no limit."""
        if self.shortages(holder):
            return Coverage.SHORT
        known = self.limits.get(holder, {})
        all_known = all(limiter in known or not need for limiter, need in self.peak.items())
        return Coverage.COVERED if all_known else Coverage.UNKNOWN


class TierFit(NamedTuple):
    """One tier compared with the workload. `covers_usd`: by its monthly cap. `rates`: by its rate limits."""

    tier: Tier
    covers_usd: bool
    rates: Coverage

    @property
    def coverage(self) -> Coverage:
        """Cap and rate limits together."""
        return self.rates if self.covers_usd else Coverage.SHORT


class Fit(NamedTuple):
    """`pools`: by the table. `own`: by the organization's real limits, None if they were not read."""

    monthly_usd: Decimal
    peak: Decimal
    checked_on: date
    pools: tuple[PoolFit, ...]
    tiers: tuple[TierFit, ...]
    own: tuple[PoolFit, ...] | None

    @property
    def tier(self) -> Tier | None:
        """The lowest tier whose cap and rates certainly suffice, by the table."""
        return next((found.tier for found in self.tiers if found.coverage is Coverage.COVERED), None)

    @property
    def least_tier(self) -> Tier:
        """The lowest tier that no known limit excludes; the last tier has no cap and no published limits."""
        return next((found.tier for found in self.tiers if found.coverage is not Coverage.SHORT), self.tiers[-1].tier)

    @property
    def own_coverage(self) -> Coverage | None:
        """Whether the organization's real rate limits suffice; where known, they take precedence over the table."""
        return None if self.own is None else _together(pool.coverage(OWN) for pool in self.own)


def load_of(model: Model, monthly_requests: Fraction, counts: TokenCounts, *, batch: bool = False) -> Load:
    """The load of a month's requests, spread evenly; `counts` are the month's tokens."""
    counted = counts.prompt_tokens - counts.cache_read_input_tokens
    return Load(model.id, _a_minute(monthly_requests), _a_minute(counted), _a_minute(counts.output_tokens), batch=batch)


def fit(
    loads: Sequence[Load], monthly_usd: Decimal, peak: Decimal, measured: Mapping[Pool, Limits] | None = None
) -> Fit:
    """Which tier fits `loads` and allows `monthly_usd`, with the busiest minute at `peak` times the average.

    `measured`: the organization's real limits, see `bot.usage.anthropic.limits`. Raises ValueError for a peak below 1.
    """
    if not peak.is_finite() or peak < 1:
        raise ValueError(f"A peak of {peak} times the mean is below the mean: give 1 or more.")
    table = load_rate_limits()
    pools = _pool_fits(loads, peak, table.limits)
    own = None
    if measured is not None:
        # A model without a measured limit is unknown, and named as in the table.
        named: dict[Pool, Mapping[str, Limits]] = {pool: {OWN: limits} for pool, limits in measured.items()}
        own = _pool_fits(loads, peak, named | {pool: {} for pool in table.limits if pool not in named})
    tiers = tuple(
        TierFit(
            tier,
            tier.monthly_cap_usd is None or monthly_usd <= tier.monthly_cap_usd,
            _together(pool.coverage(tier.name) for pool in pools),
        )
        for tier in table.tiers
    )
    return Fit(monthly_usd, peak, table.checked_on, pools, tiers, own)


def pool_of(model_id: str, pools: Iterable[Pool], *, batch: bool = False) -> Pool:
    """The pool that a model's requests count towards; a new one if no pool has it."""
    for pool in pools:
        if pool.batch if batch else model_id in pool.models:
            return pool
    return Pool("Message Batches", frozenset(), batch=True) if batch else Pool(model_id, frozenset({model_id}))


@cache
def load_rate_limits() -> RateLimitTable:
    """The packaged table."""
    file = packaged("rate_limits.toml")
    tiers = tuple(Tier(each["name"], _usd(each.get("monthly_cap_usd"))) for each in file["tier"])
    limits = {
        Pool(pool["name"], frozenset(pool["models"]), pool.get("batch", False)): entry.get("limits", {})
        for entry in file["class"]
        for pool in entry["pools"]
    }
    return RateLimitTable(file["checked_on"], file["source"], tiers, limits)


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _a_minute(in_month: Fraction | int) -> Decimal:
    rate = Fraction(in_month) / MINUTES_IN_MONTH
    return Decimal(rate.numerator) / Decimal(rate.denominator)


def _pool_fits(
    loads: Iterable[Load], peak: Decimal, limits: Mapping[Pool, Mapping[str, Limits]]
) -> tuple[PoolFit, ...]:
    needs: dict[Pool, dict[Limiter, Decimal]] = {}
    for load in loads:
        of_pool = needs.setdefault(pool_of(load.model_id, limits, batch=load.batch), {})
        for limiter, need in _needs(load):
            of_pool[limiter] = of_pool.get(limiter, Decimal(0)) + need
    return tuple(
        PoolFit(
            pool,
            {limiter: _to_a_millionth(need) for limiter, need in of_pool.items()},
            {limiter: _to_a_millionth(need * peak) for limiter, need in of_pool.items()},
            limits.get(pool, {}),
        )
        for pool, of_pool in needs.items()
    )


def _needs(load: Load) -> Iterator[tuple[Limiter, Decimal]]:
    if load.batch:
        # A request may wait for 24 hours, so a day's requests may be queued at once.
        yield "enqueued_batch_requests", load.requests_per_minute * MINUTES_IN_DAY
        return
    yield "requests_per_minute", load.requests_per_minute
    yield "input_tokens_per_minute", load.input_tokens_per_minute
    yield "output_tokens_per_minute", load.output_tokens_per_minute


def _to_a_millionth(need: Decimal) -> Decimal:
    """Rounding: a rate equal to a limit must not exceed it by the last digit of a division."""
    return need.quantize(_MILLIONTH, ROUND_HALF_UP, Context(prec=MAX_PREC))


def _together(coverages: Iterable[Coverage]) -> Coverage:
    found = set(coverages)
    return next((worst for worst in (Coverage.SHORT, Coverage.UNKNOWN) if worst in found), Coverage.COVERED)
