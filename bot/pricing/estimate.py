"""What a workload would cost in a month of 30 days: the lines, what they assume, and what would make it cheaper.

Changes that keep the models come first, largest saving first, because the answers stay the same. Answers of another
model have to be tried first, so other models come last, one line each.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from bot.amounts import cents_of, in_cents, usd
from bot.language import tr, tr_noop
from bot.listed import clauses
from bot.pricing.alternatives import COMMON_SHARE, Alternative, Change, Routing, alternatives_to, routing_to_goal
from bot.pricing.assumptions import assumptions_on, details_on, prices_note
from bot.pricing.card import Model, RateCard
from bot.pricing.monthly_cost import Line, Workload, caches, monthly_counts, monthly_lines, total
from bot.pricing.problems import failures, without_effect
from bot.pricing.throughput import Fit, Limits, Pool, fit, load_of

MOST_LINES = 3
LEAST_SHARE = Decimal("0.005")
"""A smaller saving is below the precision of an estimate."""

CACHE_INSTEAD = {
    "5m": tr_noop("Cache for 5 minutes instead (ttl=5m)"),
    "1h": tr_noop("Cache for 1 hour instead (ttl=1h)"),
}
CACHE_INSTEAD_AT_RATE = {
    "5m": tr_noop("Cache for 5 minutes instead (ttl=5m, at a hit rate of {rate})"),
    "1h": tr_noop("Cache for 1 hour instead (ttl=1h, at a hit rate of {rate})"),
}


class Advice(NamedTuple):
    """One change of the workload. `monthly_usd` is for the same text; `saves_usd` against what was asked for.

    `with_more`: a further change and what the month costs with both, where that is cheaper still. `models`: the ids of
    other models; empty if the models stay.
    """

    what: str
    monthly_usd: Decimal
    saves_usd: Decimal
    here_usd: Decimal
    with_more: tuple[str, Decimal] | None
    models: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """`Send in batches: $675.00, saves $675.00 (-50%)`."""
        # Rounded so that cost and saving add up to the cost of the asked workload.
        [saves] = in_cents(cents_of(self.here_usd) - cents_of(self.monthly_usd), [self.saves_usd])
        line = tr(
            "{what}: {usd}, saves {saved} ({change})",
            what=self.what,
            usd=usd(self.monthly_usd),
            saved=usd(saves),
            change=self._less(self.monthly_usd),
        )
        if self.with_more is None:
            return line
        what, amount = self.with_more
        more = tr("{what}: {usd} ({change})", what=what, usd=usd(amount), change=self._less(amount))
        return clauses([line, more])

    def _less(self, amount: Decimal) -> str:
        return f"{((amount / self.here_usd - 1) * 100).quantize(Decimal(1), ROUND_HALF_UP):+}%"


def advice_on(asked: Workload, here: Decimal, ways: Sequence[Alternative], *, runs: bool) -> tuple[Advice, ...]:
    """`runs`: whether the asked requests work at all.

    Returns only changes that work and save; of two that exclude each other (two TTLs of the cache), the cheaper one."""
    if not here:
        return ()
    cheaper = [way for way in ways if way.works and here - way.compared_usd >= here * LEAST_SHARE]
    cheaper.sort(key=lambda way: way.compared_usd)
    same = _by_change([way for way in cheaper if "model" not in way.changes])
    others = [way for way in cheaper if way.changes == {"model"}]
    shown = same[: MOST_LINES - (1 if others else 0)]
    others = others[: MOST_LINES - len(shown)]
    kept = [_same_models(way, asked, here, shown) for way in shown]
    return (*kept, *(_other_model(way, asked, here, can_share=runs and way is others[0]) for way in others))


def _by_change(ways: Sequence[Alternative]) -> list[Alternative]:
    """The cheapest way of each change, the cheapest change first."""
    best: dict[Change, Alternative] = {}
    for way in ways:
        best.setdefault(min(way.changes), way)
    return list(best.values())


def _same_models(way: Alternative, asked: Workload, here: Decimal, ways: Sequence[Alternative]) -> Advice:
    """Add to the first line what caching and batches save together."""
    more = None
    caching = next((other for other in ways if "caching" in other.changes), None)
    together = None if caching is None else caching.compared_batch_usd
    if way is ways[0] and way.changes & {"batch", "caching"} and together is not None and together < way.compared_usd:
        both = tr("in batches too, where hits are best effort") if way is caching else tr("with the caching below")
        more = (both, together)
    return Advice(_what(way, asked), way.compared_usd, here - way.compared_usd, here, more, ())


def _other_model(way: Alternative, asked: Workload, here: Decimal, *, can_share: bool) -> Advice:
    more = None
    if can_share and asked.model is not None:
        more = (tr("with half of the requests there"), (here + way.compared_usd) / 2)
    return Advice(_what(way, asked), way.compared_usd, here - way.compared_usd, here, more, way.models)


def _what(way: Alternative, asked: Workload) -> str:
    if "model" in way.changes:
        return way.name if way.same_text_usd is None else tr("{way}, same text", way=way.name)
    if "caching" in way.changes:
        return _caching(way, asked)
    if "batch" in way.changes:
        if asked.fast:
            return tr("Send in batches, at standard speed, results within 24 hours")
        return tr("Send in batches, results within 24 hours")
    return tr("Run at standard speed")


def _caching(way: Alternative, asked: Workload) -> str:
    work = way.workload
    if work.turns_cached:
        return tr("Cache the conversation, with a breakpoint at the end of each prompt")
    if not work.cached_tokens:
        return tr("Leave caching out")
    if any(caches(asked, route.model) for route in asked.routes):
        if work.hit_rate is None:
            return tr(CACHE_INSTEAD[work.ttl])
        return tr(CACHE_INSTEAD_AT_RATE[work.ttl], rate=_percent(work.hit_rate))
    ttl = "" if work.ttl == "5m" else f" ttl={work.ttl}"
    return tr(
        "Cache the prompt ({words}), if {common} of it is always the same and {rate} find it there",
        words=f"cached={work.cached_tokens}{ttl}",
        common=_percent(Decimal(COMMON_SHARE.numerator) / COMMON_SHARE.denominator),
        rate=_percent(work.hit_rate or Decimal(0)),
    )


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.1'), ROUND_HALF_UP).normalize():f}%"


USUAL_PEAK = Decimal(10)
"""Default ratio of the busiest minute to the average minute; the result states it."""


class Estimate(NamedTuple):
    """Dollars are exact and unrounded. `alternatives`: cheapest first for the same text, including more expensive ones.

    `problems`: why requests fail, and which options have no effect. `advice`: what would make it cheaper.
    `assumptions`: what the figures assume; `details`: background. `rates_checked`: the day of the
    prices.
    """

    workload: Workload
    monthly_usd: Decimal
    lines: tuple[Line, ...]
    alternatives: tuple[Alternative, ...]
    routing: Routing | None
    fit: Fit
    advice: tuple[Advice, ...]
    problems: tuple[str, ...]
    assumptions: tuple[str, ...]
    details: tuple[str, ...]
    rates_checked: date

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, the most surprising first."""
        return (*self.problems, *self.assumptions, *self.details)

    @property
    def recommendation(self) -> str:
        """The first advice as one sentence, or a sentence that there is none."""
        if self.monthly_usd == 0:
            return tr("There is nothing to pay for.")
        if self.advice:
            return tr("{advice}.", advice=self.advice[0].sentence)
        if self.problems:
            return tr("No other way that works is cheaper.")
        return tr("This is near the cheapest way there is; shorter answers save the most from here.")

    def usd_on(self, model: Model) -> Decimal:
        """The part of the month's dollars that goes to one model."""
        return total(tuple(line for line in self.lines if line.model.id == model.id))


def estimate(
    workload: Workload, card: RateCard, today: date, measured: Mapping[Pool, Limits] | None = None
) -> Estimate:
    """The cost of `workload` at the prices of the UTC day `today`. `measured`: the organization's own rate limits."""
    lines = monthly_lines(workload, card, today)
    usd = total(lines)
    alternatives = alternatives_to(workload, card, today)
    failing = failures(workload, today)
    loads = [
        load_of(
            route.model,
            workload.monthly_requests * route.share * workload.turns,
            monthly_counts(route.model, lines),
            batch=workload.batch,
        )
        for route in workload.routes
    ]
    return Estimate(
        workload=workload,
        monthly_usd=usd,
        lines=lines,
        alternatives=alternatives,
        routing=routing_to_goal(workload, card, today),
        fit=fit(loads, usd, workload.peak or USUAL_PEAK, measured),
        advice=advice_on(workload, usd, alternatives, runs=not failing),
        problems=(*failing, *without_effect(workload, today)),
        assumptions=tuple(assumptions_on(workload, card, today)),
        details=(*details_on(workload, card, today), prices_note(card)),
        rates_checked=card.checked_on,
    )
