"""Tokens summed by everything that changes their price or that sums are grouped by."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from bot.pricing.card import RateCard
from bot.pricing.cost import Cost, cost_of
from bot.pricing.tokens import Terms, TokenCounts

LONGEST_PROMPT = 1_000_000
"""Tokens; no Claude model reads more in one request."""


class Prompt(IntEnum):
    """What is known about the prompt lengths of a place's requests.

    BEYOND: each counts more than any model reads, so it must be of several requests.
    """

    SHORT = 0
    LONG = 1
    SEVERAL = 2
    BEYOND = 3


class Place(NamedTuple):
    """Within one place, cost is linear in tokens. `day` is the UTC day that prices go by, `shown` the day of sums."""

    model: str
    day: date | None
    shown: date | None
    prompt: Prompt
    terms: Terms
    feature: str | None
    user: str | None


@dataclass(frozen=True, slots=True)
class Sum:
    """Tokens and exact USD of a number of calls."""

    calls: int
    counts: TokenCounts
    usd: Decimal


NOTHING = Sum(0, TokenCounts(), Decimal(0))


class Sums:
    """Calls and tokens by place."""

    def __init__(self) -> None:
        self._numbers: dict[Place, list[int]] = {}

    def add(self, place: Place, calls: int, counts: TokenCounts) -> None:
        """Add tokens and this many calls."""
        numbers = self.numbers(place)
        numbers[0] += calls
        numbers[1] += counts.uncached_input_tokens
        numbers[2] += counts.cache_creation_5m_input_tokens
        numbers[3] += counts.cache_creation_1h_input_tokens
        numbers[4] += counts.cache_read_input_tokens
        numbers[5] += counts.output_tokens
        numbers[6] += counts.web_search_requests

    def numbers(self, place: Place) -> list[int]:
        """The mutable counts of a place: calls, then tokens in the order of `TokenCounts`."""
        numbers = self._numbers.get(place)
        if numbers is None:
            numbers = self._numbers[place] = [0] * 7
        return numbers

    def include(self, other: "Sums") -> None:
        """Add everything of another one."""
        for place, calls, counts in other.places():
            self.add(place, calls, counts)

    def places(self) -> Iterator[tuple[Place, int, TokenCounts]]:
        """Each place with any calls or tokens left, its calls and its tokens."""
        for place, (calls, *tokens) in self._numbers.items():
            if calls or any(tokens):
                yield place, calls, TokenCounts(*tokens)


UNKNOWN = "unknown"
"""Key of the day, feature or user of calls without one."""

KNOWN_TIERS = frozenset({None, "standard", "priority", "batch"})
"""Service tiers with a published price; Priority Tier is billed as standard beyond what was committed."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Calls of a model that is in no price table. `how`: one clause; `usd`: contained in the total."""

    calls: int
    usd: Decimal
    how: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a set of calls.

    `by_day`, `by_feature` and `by_user` have the key `unknown` for calls that do not say. `at_least`: model → calls
    whose true price may be higher. `outside`: responses billed for tokens on top of their own counts, and the sum of
    those; `odd_iterations` of them could not be read. `tiers`: unknown service tier → calls, priced as standard.
    `beyond`: model → calls whose prompt is longer than any model reads. `sums`: records that sum up several requests.
    `not_claude`: other vendors' model → calls, in no sum. `repeats`: records of a response already counted.
    `running_totals`: records left out, since later ones contain them, and the files they are in. `session_sums`:
    records left out, since the calls of their session are counted one by one. `begin_alike`: files without ids that
    begin with the same records as another one, and count all the same.
    """

    total: Sum
    by_model: Mapping[str, Sum]
    by_day: Mapping[str, Sum]
    by_feature: Mapping[str, Sum]
    by_user: Mapping[str, Sum]
    assumed: Mapping[str, Assumption]
    at_least: Mapping[str, int]
    outside: Sum
    odd_iterations: int
    tiers: Mapping[str, int]
    beyond: Mapping[str, int]
    sums: int
    not_claude: Mapping[str, int]
    repeats: int
    running_totals: int
    running_totals_in: tuple[str, ...]
    session_sums: int
    begin_alike: tuple[str, ...] = ()

    @property
    def assumed_usd(self) -> Decimal:
        return sum((one.usd for one in self.assumed.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Pile:
    """The sums of a set of calls before pricing: tokens, no dollars. See `Totals` for the names."""

    sums: list[tuple[Place, int, TokenCounts]]
    outside: list[tuple[Place, int, TokenCounts]]
    odd_iterations: int
    sum_records: int
    not_claude: dict[str, int]
    repeats: int
    running_totals: int
    running_totals_in: tuple[str, ...]
    session_sums: int
    begin_alike: tuple[str, ...] = ()


class Steps:
    """The prompt length at which a model's price steps up, looked up once per day."""

    def __init__(self, card: RateCard) -> None:
        self._card = card
        self._known: dict[tuple[str, date], int | None] = {}

    def of(self, model: str, on: date) -> int | None:
        """Prompt tokens; None if the price has no step on that UTC day."""
        key = model, on
        if key not in self._known:
            step = self._card.resolve(model, on).rates.step
            self._known[key] = None if step is None else step.above_prompt_tokens
        return self._known[key]


def priced(pile: Pile, card: RateCard, today: date) -> Totals:
    """Price sums by a card; `today`: UTC day of the prices for calls without a time."""
    prices = _Prices(card, today)
    found = _Totals(prices, pile.sums)
    return Totals(
        total=_sum(found.by_model.values()),
        by_model=found.by_model,
        by_day=found.by_day,
        by_feature=found.by_feature,
        by_user=found.by_user,
        assumed={model: _together(parts) for model, parts in found.assumed.items()},
        at_least=found.at_least,
        outside=_sum(Sum(calls, counts, prices.cost(place, counts).usd) for place, calls, counts in pile.outside),
        odd_iterations=pile.odd_iterations,
        tiers=found.tiers,
        beyond=found.beyond,
        sums=pile.sum_records,
        not_claude=pile.not_claude,
        repeats=pile.repeats,
        running_totals=pile.running_totals,
        running_totals_in=pile.running_totals_in,
        session_sums=pile.session_sums,
        begin_alike=pile.begin_alike,
    )


class _Prices:
    """The prices of a card on a day."""

    def __init__(self, card: RateCard, today: date) -> None:
        self._card = card
        self._today = today
        self._step = Steps(card)

    def cost(self, place: Place, counts: TokenCounts) -> Cost:
        """Cost of the tokens of a place."""
        on = self._today if place.day is None else place.day
        prompt_tokens: int | None = 0
        if place.prompt is Prompt.LONG:
            # Any prompt on the same side of the step has the same price.
            prompt_tokens = (self._step.of(place.model, on) or 0) + 1
        elif place.prompt is not Prompt.SHORT:
            prompt_tokens = None
        return cost_of(self._card, place.model, counts, place.terms, on, prompt_tokens=prompt_tokens)


class _Totals:
    """One pass over all places."""

    def __init__(self, prices: "_Prices", sums: Iterable[tuple[Place, int, TokenCounts]]) -> None:
        self.by_model: dict[str, Sum] = {}
        self.by_day: dict[str, Sum] = {}
        self.by_feature: dict[str, Sum] = {}
        self.by_user: dict[str, Sum] = {}
        self.assumed: dict[str, list[Assumption]] = {}
        self.at_least: Counter[str] = Counter()
        self.tiers: Counter[str] = Counter()
        self.beyond: Counter[str] = Counter()
        for place, calls, counts in sums:
            cost = prices.cost(place, counts)
            part = Sum(calls, counts, cost.usd)
            _add(self.by_model, place.model, part)
            _add(self.by_day, UNKNOWN if place.shown is None else place.shown.isoformat(), part)
            _add(self.by_feature, place.feature or UNKNOWN, part)
            _add(self.by_user, place.user or UNKNOWN, part)
            if cost.assumed is not None:
                self.assumed.setdefault(place.model, []).append(Assumption(calls, cost.usd, cost.assumed))
            if cost.at_least:
                self.at_least[place.model] += calls
            if place.terms.service_tier not in KNOWN_TIERS:
                self.tiers[str(place.terms.service_tier)] += calls
            if place.prompt is Prompt.BEYOND:
                self.beyond[place.model] += calls


def _add(sums: dict[str, Sum], name: str, part: Sum) -> None:
    before = sums.get(name, NOTHING)
    sums[name] = Sum(before.calls + part.calls, before.counts + part.counts, before.usd + part.usd)


def _sum(parts: Iterable[Sum]) -> Sum:
    calls, counts, usd = 0, TokenCounts(), Decimal(0)
    for part in parts:
        calls, counts, usd = calls + part.calls, counts + part.counts, usd + part.usd
    return Sum(calls, counts, usd)


def _together(parts: list[Assumption]) -> Assumption:
    """The assumption for a model, or several if the most expensive rate changed in the meantime."""
    return Assumption(
        calls=sum(part.calls for part in parts),
        usd=sum((part.usd for part in parts), Decimal(0)),
        how="; ".join(sorted({part.how for part in parts})),
    )
