"""The busiest minute of each pool of rate limits, as applications logged it, against the limits. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.pricing.card import RateCard
from bot.pricing.throughput import Limiter, Limits, Pool, pool_of
from bot.pricing.tokens import TokenCounts

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
    """The most that one minute needed of one limit. `limit`: None where it is not known."""

    pool: Pool
    limiter: Limiter
    minute: datetime
    need: int
    limit: int | None


def busiest_minutes(
    minutes: Iterable[MinuteOfModel], measured: Mapping[Pool, Limits], card: RateCard
) -> tuple[Busiest, ...]:
    """By pool and limit, the least headroom first, then those without a known limit. Cache reads do not count."""
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
