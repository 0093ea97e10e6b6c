"""Compare a saved estimate with actual usage: the pace, and how much of the difference each input explains. Pure.

The estimate's inputs are replaced by measured ones, one after the other in the order of `Input`; the effect of an input
is what its replacement changes. So the effects add up to the whole difference, exactly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from bot.budgets.budget import Scope
from bot.budgets.snapshot import Snapshot
from bot.clock import DAY, HOUR, floor_hour
from bot.ledger.model import Sums
from bot.pricing.card import RateCard
from bot.pricing.cost import unit_prices
from bot.pricing.estimate import Estimate
from bot.pricing.monthly_cost import DAYS_IN_MONTH, monthly_counts
from bot.pricing.tokens import Terms, TokenCounts

MOST_DAYS = 7
"""Longest stretch measured, in days: a whole week has each weekday once."""

LOOK_BACK = 28 * DAY
"""How far back the first usage is searched: these days are held by the hour."""

LEAST_HOURS = 6
"""Fewest hours for a monthly pace, as for a forecast."""

HOURS_IN_MONTH = DAYS_IN_MONTH * 24

LEAST_CHANGE = Fraction(1, 20)
"""An amount that differs by a smaller share is as estimated."""

LEAST_POINTS = Fraction(1, 50)
"""A share that differs by less is as estimated."""

MOST_UNCOUNTED = Fraction(1, 10)
"""Share of the tokens that may lack requests, as those of a response's further models do."""

PROMPT_KINDS = 4
"""Number of prompt counts at the start of `TokenCounts`."""

Amounts = tuple[Fraction, ...]
"""Tokens or prices by kind, in the order of `TokenCounts`."""


class Input(StrEnum):
    """An assumption of an estimate. `prices`: of the day on which it was saved."""

    PRICES = "prices"
    REQUESTS = "requests"
    PROMPT = "prompt"
    CACHED = "cached"
    HIT = "hit"
    TTL = "ttl"
    OUTPUT = "output"
    SEARCHES = "searches"
    MODELS = "models"
    BATCH = "batch"
    US = "us"
    FAST = "fast"


SHARES = frozenset({Input.CACHED, Input.HIT, Input.TTL, Input.BATCH, Input.US, Input.FAST})

_TERMS = ((Input.BATCH, "service_tier", "batch"), (Input.US, "inference_geo", "us"), (Input.FAST, "speed", "fast"))


class Stretch(NamedTuple):
    """UTC hours from `since` to `until` (exclusive). `hours`: how many of them are known."""

    since: datetime
    until: datetime
    hours: int

    @property
    def gives_pace(self) -> bool:
        """Whether it is long enough for a pace."""
        return self.hours >= LEAST_HOURS

    def monthly(self, usd: Decimal) -> Decimal | None:
        """USD of the stretch scaled to 30 days; None if it is too short."""
        if not self.gives_pace:
            return None
        exact = Fraction(usd) * HOURS_IN_MONTH / self.hours
        return Decimal(exact.numerator) / Decimal(exact.denominator)


def stretch_of(first: datetime, end: datetime, known_hours: Callable[[datetime, datetime], int]) -> Stretch:
    """The last whole days since the hour `first` of the first usage, at most `MOST_DAYS`; within a day of it, all
    hours.

    `end`: start of the hour in which the data ends. The running hour only counts if there is little else.
    """
    if end - first < LEAST_HOURS * HOUR:
        return Stretch(first, end + HOUR, max(0, (end - first) // HOUR))
    days = min(MOST_DAYS, (end - first) // DAY)
    since = end - days * DAY if days else first
    return Stretch(since, end, known_hours(since, end))


def stretch_in(snapshot: Snapshot, scope: Scope) -> Stretch | None:
    """The stretch from which the scope's pace is measured; None without usage."""
    if snapshot.as_of is None or not len(snapshot.index.of(scope)):
        return None
    end = floor_hour(snapshot.as_of)
    begin = end - LOOK_BACK
    hours = snapshot.hourly([scope], begin, end + HOUR)[0].nonzero()[0]
    # With earlier usage, every hour since then counts.
    first = begin + int(hours[0]) * HOUR if len(hours) else begin
    return stretch_of(first, end, snapshot.known_hours)


class Used(NamedTuple):
    """Tokens of one model under one set of terms. `requests`: answered ones; None if unknown.

    `prompt_tokens`: see `unit_prices`.
    """

    model: str
    terms: Terms
    counts: TokenCounts
    requests: int | None
    prompt_tokens: int | None = None


def used_of(sums: Mapping[tuple[str, Terms, int | None], Sums]) -> tuple[Used, ...]:
    """Logged usage. Requests are known if hardly any tokens come without them."""
    tokens = sum(each.counts.tokens for each in sums.values())
    uncounted = sum(each.counts.tokens for each in sums.values() if not each.requests)
    answered = {at: each.requests - each.errors - each.rate_limited for at, each in sums.items()}
    counted = any(answered.values()) and uncounted <= tokens * MOST_UNCOUNTED
    return tuple(
        Used(model, terms, each.counts, answered[model, terms, prompt] if counted else None, prompt)
        for (model, terms, prompt), each in sums.items()
    )


class Difference(NamedTuple):
    """An input that differs from the estimate; None: there is no such input. `usd`: effect per month, None without a
    pace.

    Amounts are per request, or per month if requests are unknown; `requests` are per day. Shares are 0 to 1. `models`:
    shares of models by name, as estimated and as used.
    """

    input: Input
    estimated: Fraction | None
    actual: Fraction | None
    usd: Fraction | None
    models: tuple[Mapping[str, Fraction], Mapping[str, Fraction]] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`monthly_usd`: the pace, None if too little is known. `differences`: largest effect first.

    `rest_usd`: the difference in USD beyond `differences`; None without a pace. `by_request`: whether requests are
    known. `nothing_used`: the scope used nothing in the whole stretch.
    """

    estimated_usd: Decimal
    monthly_usd: Decimal | None
    differences: tuple[Difference, ...]
    rest_usd: Fraction | None
    by_request: bool
    nothing_used: bool = False


def compared(
    kept_usd: Decimal, estimate: Estimate, used: Sequence[Used], stretch: Stretch, pace: Decimal | None, card: RateCard
) -> Comparison:
    """`kept_usd`: the estimate as saved; `estimate`: the same words at today's prices. `pace`: USD a month."""
    if not any(any(each.counts) for each in used):
        return Comparison(kept_usd, pace, (), None, by_request=False, nothing_used=True)
    prices = Difference(Input.PRICES, None, None, Fraction(estimate.monthly_usd) - Fraction(kept_usd))
    found = [prices, *every_difference(estimate, used, stretch, card)]
    by_request = _are_counted(used)
    known = stretch.gives_pace and pace is not None
    if not known:
        found = [each._replace(usd=None) for each in found if each.input not in (Input.PRICES, Input.REQUESTS)]
        if not by_request:
            # Tokens of a month need a pace as well.
            found = [each for each in found if each.input in SHARES or each.input is Input.MODELS]
    notable = [each for each in found if _is_notable(each)]
    notable.sort(key=lambda each: -abs(each.usd or Fraction(0)))
    rest = None
    if pace is not None and known:
        rest = Fraction(pace) - Fraction(kept_usd) - sum((each.usd or Fraction(0) for each in notable), Fraction(0))
    return Comparison(kept_usd, pace if known else None, tuple(notable), rest, by_request)


def every_difference(estimate: Estimate, used: Sequence[Used], stretch: Stretch, card: RateCard) -> list[Difference]:
    """Differences of all inputs, also unchanged ones: together they lead from the estimate to actual usage.

    At the prices of the stretch's last day.
    """
    return _Steps(estimate, used, stretch, card, (stretch.until - stretch.until.resolution).date()).taken()


def _are_counted(used: Sequence[Used]) -> bool:
    return all(each.requests is not None for each in used) and any(each.requests for each in used)


class _Steps:
    """Turns the estimated month into the measured one, step by step."""

    def __init__(self, estimate: Estimate, used: Sequence[Used], stretch: Stretch, card: RateCard, on: date) -> None:
        workload = estimate.workload
        self._estimate, self._used, self._card, self._on = estimate, used, card, on
        self._scale = Fraction(HOURS_IN_MONTH, max(1, stretch.hours))
        counted = sum(each.requests or 0 for each in used)
        self._requests = counted * self._scale if _are_counted(used) else None
        self._estimated_requests = workload.monthly_requests * workload.turns
        self._terms = Terms("batch" if workload.batch else "standard", workload.geo, "fast" if workload.fast else None)
        self._tokens = self._of_estimate()
        self._actual = tuple(self._scale * sum(column) for column in zip(*(each.counts for each in used), strict=True))
        self._prices = self._estimated_prices()

    def taken(self) -> list[Difference]:
        """Every step, whether or not it changes anything."""
        return [
            *([] if self._requests is None else [self._to_requests(self._requests)]),
            self._to_prompt(),
            *self._to_cache(),
            self._to_output(),
            self._to_searches(),
            *self._to_rows(),
        ]

    def _of_estimate(self) -> Amounts:
        counts = TokenCounts()
        for route in self._estimate.workload.routes:
            counts += monthly_counts(route.model, self._estimate.lines)
        return tuple(map(Fraction, counts))

    def _estimated_prices(self) -> Amounts:
        """Mean price of each kind of token over the estimate's models, by their shares."""
        kinds = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "web_search")
        found = []
        for place, kind in enumerate(kinds):
            usd = sum((Fraction(line.usd) for line in self._estimate.lines if line.kind == kind), Fraction(0))
            tokens = self._tokens[place]
            found.append(usd / tokens if tokens else self._price_of(place))
        return tuple(found)

    def _price_of(self, place: int) -> Fraction:
        routes = self._estimate.workload.routes
        prices = (unit_prices(self._card, route.model.id, self._terms, self._on) for route in routes)
        return sum(
            (route.share * Fraction(price.usd_per_token[place]) for route, price in zip(routes, prices, strict=True)),
            Fraction(0),
        )

    def _to(self, tokens: Amounts) -> Fraction:
        """Replace the tokens; return the change in USD."""
        before, self._tokens = self._tokens, tokens
        return sum(
            ((now - then) * price for now, then, price in zip(tokens, before, self._prices, strict=True)), Fraction(0)
        )

    def _to_requests(self, requests: Fraction) -> Difference:
        estimated = self._estimated_requests
        usd = self._to(tuple(tokens * requests / estimated for tokens in self._tokens))
        return Difference(Input.REQUESTS, estimated / DAYS_IN_MONTH, requests / DAYS_IN_MONTH, usd)

    def _per_request(self, amount: Fraction) -> Fraction:
        return amount if self._requests is None else amount / self._requests

    def _to_prompt(self) -> Difference:
        before, now = sum(self._tokens[:PROMPT_KINDS]), sum(self._actual[:PROMPT_KINDS])
        if before:
            prompt = [tokens * now / before for tokens in self._tokens[:PROMPT_KINDS]]
        else:
            prompt = [now, *[Fraction(0)] * (PROMPT_KINDS - 1)]
        usd = self._to((*prompt, *self._tokens[PROMPT_KINDS:]))
        return Difference(Input.PROMPT, self._per_request(Fraction(before)), self._per_request(Fraction(now)), usd)

    def _to_cache(self) -> list[Difference]:
        """Replace cache use: the cached share, the share read from cache, and the lifetime of writes."""
        then, now = _Cache.of(self._tokens), _Cache.of(self._actual)
        hit = now.hit if then.hit is None else then.hit
        ttl = "1h" if self._estimate.workload.ttl == "1h" else "5m"
        long = Fraction(ttl == "1h") if then.long is None else then.long
        long = (now.long or Fraction(0)) if not then.cached else long
        found = []
        for input_, before, after, state in (
            (Input.CACHED, then.cached, now.cached, (now.cached, hit, long)),
            (Input.HIT, then.hit, now.hit, (now.cached, now.hit, long)),
            (Input.TTL, long if then.cached else None, now.long, (now.cached, now.hit, now.long)),
        ):
            prompt = sum(self._actual[:PROMPT_KINDS], Fraction(0))
            kinds = _cached(prompt, *(part or Fraction(0) for part in state))
            found.append(Difference(input_, before, after, self._to((*kinds, *self._tokens[PROMPT_KINDS:]))))
        return found

    def _to_output(self) -> Difference:
        before, now = self._tokens[PROMPT_KINDS], self._actual[PROMPT_KINDS]
        usd = self._to((*self._tokens[:PROMPT_KINDS], now, self._tokens[-1]))
        return Difference(Input.OUTPUT, self._per_request(before), self._per_request(now), usd)

    def _to_searches(self) -> Difference:
        before, now = self._tokens[-1], self._actual[-1]
        usd = self._to(self._actual)
        return Difference(Input.SEARCHES, self._per_request(before), self._per_request(now), usd)

    def _to_rows(self) -> list[Difference]:
        """Replace the estimate's models and terms by those of each row."""
        before = sum((n * price for n, price in zip(self._tokens, self._prices, strict=True)), Fraction(0))
        terms = [self._terms] * len(self._used)
        now = self._cost(terms)
        found = [Difference(Input.MODELS, None, None, now - before, (self._estimated_models(), self._models()))]
        for input_, name, value in _TERMS:
            before = now
            terms = [
                each._replace(**{name: getattr(used.terms, name)}) for each, used in zip(terms, self._used, strict=True)
            ]
            now = self._cost(terms)
            estimated = Fraction(getattr(self._terms, name) == value)
            of = sum(used.counts.tokens for used in self._used if getattr(used.terms, name) == value)
            every = sum(used.counts.tokens for used in self._used)
            found.append(Difference(input_, estimated, Fraction(of, every or 1), now - before))
        return found

    def _cost(self, terms: Sequence[Terms]) -> Fraction:
        total = Fraction(0)
        for used, each in zip(self._used, terms, strict=True):
            prices = unit_prices(self._card, used.model, each, self._on, used.prompt_tokens).usd_per_token
            total += sum((n * Fraction(price) for n, price in zip(used.counts, prices, strict=True)), Fraction(0))
        return total * self._scale

    def _models(self) -> Mapping[str, Fraction]:
        """Shares of models by requests, or by tokens if requests are unknown."""
        return _shares(
            (self._name(each.model), Fraction(each.counts.tokens if each.requests is None else each.requests))
            for each in self._used
        )

    def _estimated_models(self) -> Mapping[str, Fraction]:
        routes = self._estimate.workload.routes
        if self._requests is not None:
            return _shares((route.model.name, route.share) for route in routes)
        return _shares(
            (route.model.name, Fraction(monthly_counts(route.model, self._estimate.lines).tokens)) for route in routes
        )

    def _name(self, model_id: str) -> str:
        model = self._card.find(model_id)
        return model_id if model is None else model.name


class _Cache(NamedTuple):
    """Cached share of the prompt; share of that read from cache; share of the rest written for an hour.

    None: nothing to take a share of.
    """

    cached: Fraction
    hit: Fraction | None
    long: Fraction | None

    @classmethod
    def of(cls, tokens: Amounts) -> "_Cache":
        _, short, long, read, *_ = tokens
        prompt, written = sum(tokens[:PROMPT_KINDS], Fraction(0)), short + long
        cached = written + read
        return cls(
            cached / prompt if prompt else Fraction(0),
            read / cached if cached else None,
            long / written if written else None,
        )


def _cached(prompt: Fraction, cached: Fraction, hit: Fraction, long: Fraction) -> Amounts:
    """Token kinds of a prompt, from the shares of `_Cache`."""
    written = prompt * cached * (1 - hit)
    return prompt * (1 - cached), written * (1 - long), written * long, prompt * cached * hit


def _shares(parts: Iterable[tuple[str, Fraction]]) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for name, part in parts:
        found[name] = found.get(name, Fraction(0)) + part
    whole = sum(found.values(), Fraction(0))
    return {name: part / whole for name, part in found.items() if part} if whole else {}


def _is_notable(difference: Difference) -> bool:
    if difference.input is Input.PRICES:
        return abs(difference.usd or Fraction(0)) >= Fraction(1, 200)
    if difference.models is not None:
        (estimated, actual), nothing = difference.models, Fraction(0)
        gaps = (abs(estimated.get(name, nothing) - actual.get(name, nothing)) for name in {*estimated, *actual})
        return any(gap >= LEAST_POINTS for gap in gaps)
    estimated_, actual_ = difference.estimated, difference.actual
    if difference.input in SHARES:
        # Zero amounts already show in the cached share.
        return estimated_ is not None and actual_ is not None and abs(actual_ - estimated_) >= LEAST_POINTS
    before, after = estimated_ or Fraction(0), actual_ or Fraction(0)
    return abs(after - before) > LEAST_CHANGE * max(before, after)
