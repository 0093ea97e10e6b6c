"""Whether a workload fits Anthropic's rate limits and monthly caps, from the dated table beside this module.

Undisclosed limits are unknown: such a pool is listed, and counts as neither sufficient nor exceeded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import MAX_PREC, ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

from bot.amounts import usd
from bot.language import tr, tr_noop
from bot.listed import all_of, clauses
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
    """Round, so that a rate equal to a limit does not exceed it by the last digit of a division."""
    return need.quantize(_MILLIONTH, ROUND_HALF_UP, Context(prec=MAX_PREC))


def _together(coverages: Iterable[Coverage]) -> Coverage:
    found = set(coverages)
    return next((worst for worst in (Coverage.SHORT, Coverage.UNKNOWN) if worst in found), Coverage.COVERED)


UNITS = {
    "requests_per_minute": tr_noop("requests a minute"),
    "input_tokens_per_minute": tr_noop("input tokens a minute"),
    "output_tokens_per_minute": tr_noop("output tokens a minute"),
    "enqueued_batch_requests": tr_noop("requests in the queue"),
}
OF_ONE = {
    "requests_per_minute": tr_noop("request a minute"),
    "input_tokens_per_minute": tr_noop("input token a minute"),
    "output_tokens_per_minute": tr_noop("output token a minute"),
    "enqueued_batch_requests": tr_noop("request in the queue"),
}


def fit_lines(fit: Fit) -> list[str]:
    """Short lines of `estimate --json`: the need, the tier that fits, why no lower one does, the date of the limits."""
    return [
        *(_needs_line(pool, fit) for pool in fit.pools),
        *verdict_lines(fit),
        f"Standard limits as of {fit.checked_on.isoformat()}; cache reads do not count, and a new organization may "
        "start with less.",
    ]


def verdict_lines(fit: Fit) -> list[str]:
    """The tier that fits, and why no lower one does."""
    coverage = fit.own_coverage
    if coverage is None:
        return [_tier_line(fit)]
    if coverage is Coverage.COVERED:
        lines = [tr("Fits your organization's own rate limits.")]
        if too_low := _caps(fit, [found for found in fit.tiers if not found.covers_usd]):
            lines.append(tr("Check its monthly cap too: {cap}.", cap=too_low))
        return lines
    return [_own_line(fit), _tier_line(fit, beside_own=True)]


def _needs_line(found: PoolFit, fit: Fit) -> str:
    subject = "Needs" if len(fit.pools) == 1 else f"{found.pool.name} needs"
    peak = "" if fit.peak == 1 else f" at a peak of {fit.peak.normalize():f} times that"
    needs = [(_rate(found.mean[limiter]), _rate(found.peak[limiter])) for limiter in found.mean]
    at_mean, at_peak = needs[0]
    if found.pool.batch:
        line = f"{subject} room for {at_mean} requests in the batch queue, where those of a day may wait at once"
        return f"{line}; {at_peak}{peak}." if peak else f"{line}."
    tokens = list(zip(needs[1:], ("input tokens", "output tokens"), strict=True))
    if not peak:
        return f"{subject} {at_mean} requests, " + " and ".join(f"{n} {unit}" for (n, _), unit in tokens) + " a minute."
    line = f"{subject} {at_mean} requests a minute at the mean, {at_peak}{peak}"
    return f"{line}; " + ", ".join(f"{mean} and {most} {unit}" for (mean, most), unit in tokens) + "."


def _own_line(fit: Fit) -> str:
    own = fit.own or ()
    if fit.own_coverage is Coverage.SHORT:
        return tr("Does not fit your organization's own rate limits: it allows {limit}.", limit=_worst(own, OWN, fit))
    unknown = all_of([found.pool.name for found in own if found.coverage(OWN) is Coverage.UNKNOWN])
    return tr("Your organization's own rate limits do not tell all of those for {pools}.", pools=unknown)


FITS = (tr_noop("Fits tier {tier}."), tr_noop("By Anthropic's standard limits it fits tier {tier}."))
FITS_BECAUSE = (
    tr_noop("Fits tier {tier}: {why}."),
    tr_noop("By Anthropic's standard limits it fits tier {tier}: {why}."),
)
FITS_NONE = (
    tr_noop("Fits no standard tier: {why}; the limits of tier {tier} are agreed with Anthropic."),
    tr_noop(
        "By Anthropic's standard limits it fits no standard tier: {why}; the limits of tier {tier} are agreed with "
        "Anthropic."
    ),
)
MAY_FIT = (
    tr_noop("May fit tier {tier}, but the rate limits of {pools} are not known here: the Console shows yours."),
    tr_noop(
        "By Anthropic's standard limits it may fit tier {tier}, but the rate limits of {pools} are not known here: "
        "the Console shows yours."
    ),
)
MAY_FIT_BECAUSE = (
    tr_noop("May fit tier {tier}, but the rate limits of {pools} are not known here: the Console shows yours; {why}."),
    tr_noop(
        "By Anthropic's standard limits it may fit tier {tier}, but the rate limits of {pools} are not known here: "
        "the Console shows yours; {why}."
    ),
)
"""Verdicts by the table: alone, and after the one by the organization's own limits."""


def _tier_line(fit: Fit, *, beside_own: bool = False) -> str:
    """`Fits tier Build: Start's monthly cap of $500 does not cover $600.00.`"""
    certain = fit.tier
    tier = certain or fit.least_tier
    lower = fit.tiers[: [found.tier for found in fit.tiers].index(tier)]
    why = _why_not(fit, [found for found in lower if found.coverage is Coverage.SHORT])
    if certain is not None:
        return tr((FITS_BECAUSE if why else FITS)[beside_own], tier=tier.name, why=why)
    if tier.monthly_cap_usd is None:
        return tr(FITS_NONE[beside_own], tier=tier.name, why=why)
    unknown = all_of([found.pool.name for found in fit.pools if found.coverage(tier.name) is Coverage.UNKNOWN])
    return tr((MAY_FIT_BECAUSE if why else MAY_FIT)[beside_own], tier=tier.name, pools=unknown, why=why)


def _why_not(fit: Fit, excluded: Sequence[TierFit]) -> str:
    """The caps that are too low, and the rate limits of the highest excluded tier; lower tiers have lower limits."""
    reasons = [_caps(fit, [found for found in excluded if not found.covers_usd])]
    if excluded and excluded[-1].covers_usd:
        name = excluded[-1].tier.name
        reasons.append(tr("{tier} allows {limit}", tier=name, limit=_worst(fit.pools, name, fit)))
    known = [reason for reason in reasons if reason]
    return clauses(known) if known else ""


def _caps(fit: Fit, too_low: Sequence[TierFit]) -> str:
    """`Start's and Build's monthly caps of $500 and $1,000 do not cover $1,350.00`; empty if no cap is too low."""
    if not too_low:
        return ""
    names = all_of([tr("{tier}'s", tier=found.tier.name) for found in too_low])
    amounts = all_of([usd(found.tier.monthly_cap_usd or Decimal(0)).removesuffix(".00") for found in too_low])
    needed = usd(fit.monthly_usd)
    if len(too_low) == 1:
        return tr("{tiers} monthly cap of {caps} does not cover {usd}", tiers=names, caps=amounts, usd=needed)
    return tr("{tiers} monthly caps of {caps} do not cover {usd}", tiers=names, caps=amounts, usd=needed)


def _worst(pools: Iterable[PoolFit], holder: str, fit: Fit) -> str:
    """`Opus 5.5 400,000 output tokens a minute, but 578,704 are needed at the peak`."""
    shortages = [shortage for pool in pools for shortage in pool.shortages(holder)]
    worst = max(shortages, key=lambda shortage: (not shortage.limit, shortage.need / (shortage.limit or 1)))
    needed = worst.need.to_integral_value(ROUND_CEILING)
    limit = tr("{pool} {limit} {unit}", pool=worst.pool.name, limit=f"{worst.limit:,}", unit=tr(UNITS[worst.limiter]))
    if fit.peak == 1:
        return tr("{limit}, but {needed} are needed", limit=limit, needed=f"{needed:,}")
    return tr("{limit}, but {needed} are needed at the peak", limit=limit, needed=f"{needed:,}")


def _rate(need: Decimal) -> str:
    """`2.3`, `46,296`; a positive rate that rounds to zero is `under 0.1`."""
    if 0 < need < Decimal("0.1"):
        return "under 0.1"
    step = Decimal(1) if need >= 10 else Decimal("0.1")
    rounded = need.quantize(step, ROUND_HALF_UP, Context(prec=MAX_PREC))
    return f"{rounded:,}".removesuffix(".0")
