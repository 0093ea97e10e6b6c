"""What logs say about rate limits: shares of 429s, and the busiest minute against the limits, in lines of `limits`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.budgets.busiest import Busiest
from bot.ledger.model import Sums
from bot.messages import Part
from bot.money import share
from bot.phrases import count
from bot.pricing.throughput_text import UNITS
from handlers.render.parts import lead, moment, shown

MOST = 5
MOST_MINUTES = 9


@dataclass(frozen=True, slots=True)
class Traffic:
    """Logged requests from `since` to `until`. `by`: sums by the values of each dimension, such as `feature`."""

    since: datetime
    until: datetime
    by: Mapping[str, Mapping[str | None, Sums]]
    busiest: Sequence[Busiest]


def traffic_parts(traffic: Traffic | None) -> list[Part]:
    """Nothing where no application logs usage."""
    if traffic is None:
        return []
    since = f"{moment(traffic.since)} to {moment(traffic.until)}"
    minutes = [_minute(each) for each in traffic.busiest[:MOST_MINUTES]]
    if len(traffic.busiest) > MOST_MINUTES:
        minutes.append(f"and {len(traffic.busiest) - MOST_MINUTES} more")
    return [
        lead(f"Requests that hit a rate limit (429), logged {since}", *_limited(traffic)),
        *([lead(f"Busiest minute that applications logged, {since}", *minutes)] if minutes else []),
    ]


def _limited(traffic: Traffic) -> list[str]:
    lines = []
    for by, sums in traffic.by.items():
        hit = [(at, each) for at, each in sums.items() if each.rate_limited and each.requests]
        hit.sort(key=lambda pair: (-pair[1].rate_limited, str(pair[0])))
        lines += [
            f"• {by} {shown(at) if at else 'not named'}: {share(Decimal(of.rate_limited), Decimal(of.requests))} of "
            f"{count(of.requests, 'request')}"
            for at, of in hit[:MOST]
        ]
        if len(hit) > MOST:
            lines.append(f"and {len(hit) - MOST} more by {by}")
    if lines:
        return lines
    number = sum(each.requests for each in next(iter(traffic.by.values())).values())
    return [f"• none of {count(number, 'request')}" if number else "• no request was logged"]


def _minute(each: Busiest) -> str:
    need, unit, at = f"{each.need:,}", UNITS[each.limiter], moment(each.minute)
    if each.limit is None:
        return f"• {shown(each.pool.name)}: {need} {unit} at {at}; the limit is not known"
    if each.need > each.limit:
        return f"• {shown(each.pool.name)}: {need} of {each.limit:,} {unit} at {at}, over the limit"
    left = (each.limit - each.need) * 100 // each.limit
    return f"• {shown(each.pool.name)}: {need} of {each.limit:,} {unit} at {at}, {left}% headroom"
