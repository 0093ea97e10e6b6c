"""Sums over single calls: tokens are added up by everything that changes their price, dollars derived at the end.

Order does not matter, and neither does how the calls are split into files: every sum is exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from bot.pricing.card import RateCard
from bot.pricing.cost import cost_of
from bot.pricing.tokens import STANDARD, Terms, TokenCounts

UNKNOWN = "unknown"
"""The name of the day, feature or user of calls that do not tell theirs."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Tokens that a response was billed for and that its own counts leave out, such as a compaction's."""

    model: str
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Call:
    """One response of the API as a log keeps it.

    `at`: aware UTC, None where the log has no time. `response`: message id and request id (None where the log has
    none); two calls with the same pair are one response. Without `response` a call is never a repeat.
    `ttl_known`: the cache writes were told apart by their lifetime.
    """

    model: str
    counts: TokenCounts
    terms: Terms = STANDARD
    at: datetime | None = None
    feature: str | None = None
    user: str | None = None
    response: tuple[str, str | None] | None = None
    ttl_known: bool = False
    beside: tuple[Beside, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """What a number of calls have in common: their tokens and exact USD."""

    calls: int
    counts: TokenCounts
    usd: Decimal


NOTHING = Sum(0, TokenCounts(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Assumption:
    """Calls of a model that is in no price table. `how` is one clause, `usd` is contained in the total."""

    calls: int
    usd: Decimal
    how: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that a pile of calls comes to.

    `by_day`, `by_feature` and `by_user` have the key `unknown` for calls that do not tell. `at_least`: model → calls
    whose true price may be higher. `beside`: responses that list tokens outside of their own counts, and what those
    come to; they are in no other sum. `repeats`: calls that told of a response again.
    """

    total: Sum
    by_model: Mapping[str, Sum]
    by_day: Mapping[str, Sum]
    by_feature: Mapping[str, Sum]
    by_user: Mapping[str, Sum]
    assumed: Mapping[str, Assumption]
    at_least: Mapping[str, int]
    beside: Sum
    repeats: int

    @property
    def assumed_usd(self) -> Decimal:
        return sum((one.usd for one in self.assumed.values()), Decimal(0))


class _Place(NamedTuple):
    """All that changes the price of a token, and all that sums are shown by. Within one, cost is linear in tokens."""

    model: str
    day: date | None
    long_prompt: bool
    terms: Terms
    feature: str | None
    user: str | None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_TIME = -(2**63)
# Place, six counts, time in microseconds, whether the lifetimes of cache writes are known: all that a repeat needs.
_REMEMBERED = Struct("<I6Qq?")


class Tally:
    """Adds calls up. `today`: the UTC day at whose rates calls without a time are priced.

    Memory grows with the different models, days, features and users, and by some 200 bytes with each response that
    has an id, since its repeats may still come; not with the number of calls.
    """

    def __init__(self, card: RateCard, today: date) -> None:
        self._card = card
        self._today = today
        self._sums: dict[_Place, list[int]] = {}
        self._beside: dict[_Place, list[int]] = {}
        self._places: list[_Place] = []
        self._place_numbers: dict[_Place, int] = {}
        self._responses: dict[bytes, bytes] = {}
        self._beside_of: dict[bytes, tuple[Beside, ...]] = {}
        self._long_prompts: dict[tuple[str, date], int | None] = {}
        self._repeats = 0

    def add(self, call: Call) -> None:
        """Count a call, or correct what was counted where it tells more of the same response."""
        if call.response is None:
            self._count(call, 1)
            return
        key = _digest(call.response)
        known = self._responses.get(key)
        if known is not None:
            self._repeats += 1
            before = self._recall(known, self._beside_of.get(key, ()))
            if _rank(call) <= _rank(before):
                return
            self._count(before, -1)
        self._count(call, 1)
        self._responses[key] = self._remembered(call)
        if call.beside:
            self._beside_of[key] = call.beside
        else:
            self._beside_of.pop(key, None)

    def totals(self) -> Totals:
        """The sums so far."""
        by_model: dict[str, Sum] = {}
        by_day: dict[str, Sum] = {}
        by_feature: dict[str, Sum] = {}
        by_user: dict[str, Sum] = {}
        assumed: dict[str, list[Assumption]] = {}
        at_least: Counter[str] = Counter()
        for place, numbers in self._sums.items():
            part, how, lower_bound = self._priced(place, numbers)
            if part.calls == 0:
                continue
            _add(by_model, place.model, part)
            _add(by_day, UNKNOWN if place.day is None else place.day.isoformat(), part)
            _add(by_feature, place.feature or UNKNOWN, part)
            _add(by_user, place.user or UNKNOWN, part)
            if how is not None:
                assumed.setdefault(place.model, []).append(Assumption(part.calls, part.usd, how))
            if lower_bound:
                at_least[place.model] += part.calls
        return Totals(
            total=_sum(by_model.values()),
            by_model=by_model,
            by_day=by_day,
            by_feature=by_feature,
            by_user=by_user,
            assumed={model: _together(parts) for model, parts in assumed.items()},
            at_least=at_least,
            beside=_sum(self._priced(place, numbers)[0] for place, numbers in self._beside.items()),
            repeats=self._repeats,
        )

    def _count(self, call: Call, sign: int) -> None:
        _add_numbers(self._sums, self._place(call, call.model, call.counts), sign, sign, call.counts)
        for number, beside in enumerate(call.beside):
            # The responses are counted, not the parts of one.
            calls = sign if number == 0 else 0
            _add_numbers(self._beside, self._place(call, beside.model, beside.counts), sign, calls, beside.counts)

    def _place(self, call: Call, model: str, counts: TokenCounts) -> _Place:
        day = None if call.at is None else call.at.date()
        above = self._long_prompt(model, self._today if day is None else day)
        long_prompt = above is not None and counts.prompt_tokens > above
        return _Place(model, day, long_prompt, call.terms, call.feature, call.user)

    def _long_prompt(self, model: str, on: date) -> int | None:
        key = model, on
        if key not in self._long_prompts:
            step = self._card.resolve(model, on).rates.step
            self._long_prompts[key] = None if step is None else step.above_prompt_tokens
        return self._long_prompts[key]

    def _priced(self, place: _Place, numbers: list[int]) -> tuple[Sum, str | None, bool]:
        calls, *tokens = numbers
        counts = TokenCounts(*tokens)
        on = self._today if place.day is None else place.day
        above = self._long_prompt(place.model, on)
        # Any prompt on the same side of the step stands for all of this place.
        prompt_tokens = above + 1 if place.long_prompt and above is not None else 0
        cost = cost_of(self._card, place.model, counts, place.terms, on, prompt_tokens=prompt_tokens)
        return Sum(calls, counts, cost.usd), cost.assumed, cost.at_least

    def _remembered(self, call: Call) -> bytes:
        place = self._place(call, call.model, call.counts)
        number = self._place_numbers.get(place)
        if number is None:
            number = self._place_numbers[place] = len(self._places)
            self._places.append(place)
        at = _NO_TIME if call.at is None else (call.at - _EPOCH) // _MICROSECOND
        return _REMEMBERED.pack(number, *_numbers(call.counts), at, call.ttl_known)

    def _recall(self, remembered: bytes, beside: tuple[Beside, ...]) -> Call:
        number, *counts, at, ttl_known = _REMEMBERED.unpack(remembered)
        place = self._places[number]
        return Call(
            model=place.model,
            counts=TokenCounts(*counts),
            terms=place.terms,
            at=None if at == _NO_TIME else _EPOCH + at * _MICROSECOND,
            feature=place.feature,
            user=place.user,
            ttl_known=ttl_known,
            beside=beside,
        )


def _rank(call: Call) -> tuple[object, ...]:
    """Which telling of one response counts: the largest output, then the one that tells most, then the earliest.

    The rest only makes the choice the same whatever the order in which the calls come.
    """
    since = None if call.at is None else (_EPOCH - call.at) // _MICROSECOND
    terms = call.terms
    names = (call.model, call.feature, call.user, terms.service_tier, terms.inference_geo, terms.speed)
    return (
        call.counts.output_tokens,
        call.ttl_known,
        since is not None,
        since or 0,
        _numbers(call.counts),
        tuple((name is not None, name or "") for name in names),
        tuple((beside.model, _numbers(beside.counts)) for beside in call.beside),
    )


def _digest(response: tuple[str, str | None]) -> bytes:
    """16 bytes for a response, whatever the length of its ids; two responses never share them in practice."""
    return blake2b(repr(response).encode(), digest_size=16).digest()


def _numbers(counts: TokenCounts) -> tuple[int, ...]:
    """The counts in the order of `TokenCounts`."""
    return (
        counts.uncached_input_tokens,
        counts.cache_creation_5m_input_tokens,
        counts.cache_creation_1h_input_tokens,
        counts.cache_read_input_tokens,
        counts.output_tokens,
        counts.web_search_requests,
    )


def _add_numbers(sums: dict[_Place, list[int]], place: _Place, sign: int, calls: int, counts: TokenCounts) -> None:
    numbers = sums.setdefault(place, [0] * 7)
    numbers[0] += calls
    for index, number in enumerate(_numbers(counts), start=1):
        numbers[index] += sign * number


def _add(sums: dict[str, Sum], name: str, part: Sum) -> None:
    sums[name] = _sum((sums.get(name, NOTHING), part))


def _sum(parts: Iterable[Sum]) -> Sum:
    calls, counts, usd = 0, TokenCounts(), Decimal(0)
    for part in parts:
        calls, counts, usd = calls + part.calls, counts + part.counts, usd + part.usd
    return Sum(calls, counts, usd)


def _together(parts: list[Assumption]) -> Assumption:
    """One assumption for a model; it was made in several ways where the dearest rate changed in the meantime."""
    return Assumption(
        calls=sum(part.calls for part in parts),
        usd=sum((part.usd for part in parts), Decimal(0)),
        how="; ".join(sorted({part.how for part in parts})),
    )
