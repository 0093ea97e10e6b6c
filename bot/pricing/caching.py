"""When caching pays: the break-even hit rate, and the hit rate to expect.

Assumes random arrivals at an even rate around the clock (a Poisson process). A hit renews the entry at no cost, so a
request hits if the gap before it is shorter than the TTL: with mean gap g and TTL t, a share of 1 - exp(-t / g).
Bursts hit more often.
"""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import exp
from typing import NamedTuple

from bot.pricing.card import Model
from bot.pricing.workload import DAYS_IN_MONTH, Ttl, Workload

LIFE: dict[Ttl, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
"""How long an entry lives after each use (platform.claude.com, Prompt caching)."""

MONTH = timedelta(days=DAYS_IN_MONTH)


class Warmth(NamedTuple):
    """`gap`: mean time between two requests. `hit_rate`: the share that comes in time, 0 to 1, to a whole per cent."""

    gap: timedelta
    hit_rate: Decimal


def break_even(model: Model, ttl: str, on: date, prompt_tokens: int | None = None) -> Fraction:
    """The hit rate, 0 to 1, at which caching costs as much as plain input: (w - 1) / (w - r).

    w and r are the prices of a write and a read as multiples of the input price.
    """
    rates = model.rates(on).at(prompt_tokens)
    write = rates.cache_write_1h if ttl == "1h" else rates.cache_write_5m
    return Fraction(write - rates.input) / Fraction(write - rates.cache_read)


def warmth(workload: Workload, share: Fraction = Fraction(1)) -> Warmth:
    """At an even rate over 30 days, for the share of the requests that use one model's cache."""
    requests = _requests(workload, share)
    gap = MONTH * requests.denominator / requests.numerator
    return Warmth(gap, expected_hit_rate(requests, workload.ttl))


def expected_hit_rate(requests_a_month: Fraction, ttl: Ttl) -> Decimal:
    """The share of requests that hit, 0 to 1, in whole per cent: the model is not more precise."""
    return Decimal(round(_arrive_in_time(requests_a_month, ttl) * 100)) / 100


def hit_rate_of(workload: Workload, share: Fraction = Fraction(1)) -> Decimal:
    """The given hit rate, or the one to expect from the share of requests that one model serves."""
    if workload.hit_rate is not None:
        return workload.hit_rate
    return expected_hit_rate(_requests(workload, share), workload.ttl)


def hit_rate_with(ttl: Ttl, workload: Workload, share: Fraction = Fraction(1)) -> Decimal | None:
    """The hit rate with another TTL; None if none was given, since it then follows from the request rate.

    A given rate changes in proportion to the expected one, up to what the request rate allows. If it is higher
    already, requests come in bursts and a longer TTL changes nothing.
    """
    if workload.hit_rate is None or ttl == workload.ttl:
        return workload.hit_rate
    requests = _requests(workload, share)
    with_this, with_other = _arrive_in_time(requests, workload.ttl), _arrive_in_time(requests, ttl)
    given = float(workload.hit_rate)
    scaled = given * with_other / with_this
    other = max(given, min(scaled, with_other)) if with_other > with_this else scaled
    # Rounded to a ten-thousandth, so that an unchanged rate equals the given one exactly.
    return workload.hit_rate if abs(other - given) < 0.0001 else Decimal(round(other * 10_000)) / 10_000


def _requests(workload: Workload, share: Fraction) -> Fraction:
    return workload.monthly_requests * workload.turns * share


def _arrive_in_time(requests_a_month: Fraction, ttl: Ttl) -> float:
    lives_a_month = MONTH / LIFE[ttl]
    return 1 - exp(-float(requests_a_month) / lives_a_month)
