"""Whether a workload fits the rate limits, as text: the same lines for terminal and Slack."""

from collections.abc import Iterable, Sequence
from decimal import MAX_PREC, ROUND_CEILING, ROUND_HALF_UP, Context, Decimal

from bot.money import usd
from bot.pricing.throughput import OWN, Coverage, Fit, PoolFit, TierFit

UNITS = {
    "requests_per_minute": "requests a minute",
    "input_tokens_per_minute": "input tokens a minute",
    "output_tokens_per_minute": "output tokens a minute",
    "enqueued_batch_requests": "requests in the queue",
}


def fit_lines(fit: Fit) -> list[str]:
    """Short lines: the need, the tier that fits, why no lower one does, and the date of the limits."""
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
        verdict = _tier_words(fit)
        return [f"{verdict[0].upper()}{verdict[1:]}."]
    if coverage is Coverage.COVERED:
        lines = ["Fits your organization's own rate limits."]
        if too_low := _caps(fit, [found for found in fit.tiers if not found.covers_usd]):
            lines.append(f"Check its monthly cap too: {too_low}.")
        return lines
    return [_own_line(fit), f"By Anthropic's standard limits it {_tier_words(fit)}."]


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
        return f"Does not fit your organization's own rate limits: it allows {_worst(own, OWN, fit)}."
    unknown = _listed([found.pool.name for found in own if found.coverage(OWN) is Coverage.UNKNOWN])
    return f"Your organization's own rate limits do not tell all of those for {unknown}."


def _tier_words(fit: Fit) -> str:
    """A verb with its object and reason: `fits tier Build: Start's monthly cap of $500 does not cover $600.00`."""
    certain = fit.tier
    tier = certain or fit.least_tier
    lower = fit.tiers[: [found.tier for found in fit.tiers].index(tier)]
    why = _why_not(fit, [found for found in lower if found.coverage is Coverage.SHORT])
    if certain is not None:
        return f"fits tier {tier.name}" + (f": {why}" if why else "")
    if tier.monthly_cap_usd is None:
        return f"fits no standard tier: {why}; the limits of tier {tier.name} are agreed with Anthropic"
    unknown = _listed([found.pool.name for found in fit.pools if found.coverage(tier.name) is Coverage.UNKNOWN])
    return f"may fit tier {tier.name}, but the rate limits of {unknown} are not known here: the Console shows yours" + (
        f"; {why}" if why else ""
    )


def _why_not(fit: Fit, excluded: Sequence[TierFit]) -> str:
    """The caps that are too low, and the rate limits of the highest excluded tier; lower tiers have lower limits."""
    reasons = [_caps(fit, [found for found in excluded if not found.covers_usd])]
    if excluded and excluded[-1].covers_usd:
        name = excluded[-1].tier.name
        reasons.append(f"{name} allows {_worst(fit.pools, name, fit)}")
    return "; ".join(reason for reason in reasons if reason)


def _caps(fit: Fit, too_low: Sequence[TierFit]) -> str:
    """`Start's and Build's monthly caps of $500 and $1,000 do not cover $1,350.00`; empty where no cap is too low."""
    if not too_low:
        return ""
    names = _listed([f"{found.tier.name}'s" for found in too_low])
    amounts = _listed([usd(found.tier.monthly_cap_usd or Decimal(0)).removesuffix(".00") for found in too_low])
    verb = ("cap of", "does") if len(too_low) == 1 else ("caps of", "do")
    return f"{names} monthly {verb[0]} {amounts} {verb[1]} not cover {usd(fit.monthly_usd)}"


def _worst(pools: Iterable[PoolFit], holder: str, fit: Fit) -> str:
    """`Opus 5.5 400,000 output tokens a minute, but 578,704 are needed at the peak`."""
    shortages = [shortage for pool in pools for shortage in pool.shortages(holder)]
    worst = max(shortages, key=lambda shortage: (not shortage.limit, shortage.need / (shortage.limit or 1)))
    needed = worst.need.to_integral_value(ROUND_CEILING)
    when = "" if fit.peak == 1 else " at the peak"
    return f"{worst.pool.name} {worst.limit:,} {UNITS[worst.limiter]}, but {needed:,} are needed{when}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _rate(need: Decimal) -> str:
    """`2.3`, `46,296`; a positive rate that rounds to zero is `under 0.1`."""
    if 0 < need < Decimal("0.1"):
        return "under 0.1"
    step = Decimal(1) if need >= 10 else Decimal("0.1")
    rounded = need.quantize(step, ROUND_HALF_UP, Context(prec=MAX_PREC))
    return f"{rounded:,}".removesuffix(".0")
