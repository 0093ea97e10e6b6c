"""One response of the API as logged, and which records are states of one response. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from struct import Struct

from bot.pricing.tokens import STANDARD, Terms, TokenCounts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970. `at`: aware."""
    return (at - EPOCH) // MICROSECOND


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one request to one model."""

    model: str
    counts: TokenCounts


@dataclass(frozen=True, slots=True)
class Call:
    """One response of the API, or a sum of several as in a report.

    `at`: aware UTC, None if the log has no time. `response`: the message id, None if the log has none. `session`: of
    its conversation, None if the log does not say. `unsplit`: how many of the 5-minute writes have no stated lifetime.
    `inside`: the requests that `counts` divides into, empty for one or if unknown; `outside`: what was billed on top of
    `counts`; `odd`: number of unreadable iterations. `is_sum`: `counts` are of several requests, whose prompts are
    longer than `prompts_above` and at most `prompts_to` tokens if known. `sums_session`: the record sums up the calls
    of its session, and counts only if those are nowhere else.
    """

    model: str
    counts: TokenCounts
    terms: Terms = STANDARD
    at: datetime | None = None
    feature: str | None = None
    user: str | None = None
    response: str | None = None
    session: str | None = None
    unsplit: int = 0
    inside: tuple[Part, ...] = ()
    outside: tuple[Part, ...] = ()
    odd: int = 0
    is_sum: bool = False
    prompts_above: int = 0
    prompts_to: int | None = None
    sums_session: bool = False


NO_TIME = -(2**63)

STATE = Struct("<I7Q2q")
"""Number of the names; uncached input, 5-minute writes with their lifetime, 1-hour writes, reads, output, searches, all
writes; first and last time in microseconds since 1970, or `NO_TIME`."""

_TIMES = Struct("<2q")
UNTIMED = STATE.size - _TIMES.size
"""Bytes of a state before its times."""

MESSAGE_ID = re.compile("msg_[A-Za-z0-9_]+")
"""Form of the API's message ids, also used by Bedrock and Vertex."""

Names = tuple[str, str | None, str | None, str | None, str | None, str | None, bool]
"""Everything about a call except counts, times and ids: model, service tier, region, speed, feature, user, and
whether it is a sum."""

Parts = tuple[tuple[Part, ...], tuple[Part, ...], int]
"""`inside`, `outside` and `odd` of a call."""

NO_PARTS: Parts = ((), (), 0)


UsualNames = tuple[str, str | None, str | None, str | None]
"""Model, service tier, region and speed."""


class Numbers:
    """Numbers of the names of calls in packed states."""

    def __init__(self) -> None:
        self.names: list[Names] = []
        self._known: dict[Names, int] = {}
        self._usual: dict[UsualNames, int] = {}

    def of(self, names: Names) -> int:
        """The number of these names."""
        number = self._known.get(names)
        if number is None:
            number = self._known[names] = len(self.names)
            self.names.append(names)
        return number

    def of_usual(self, names: UsualNames) -> int:
        """The number for calls with only these names."""
        number = self._usual.get(names)
        if number is None:
            model, tier, geo, speed = names
            number = self._usual[names] = self.of((model, tier or None, geo or None, speed or None, None, None, False))
        return number


class Responses:
    """The latest state of each response, about 200 bytes each: a further state may come at any time."""

    def __init__(self, numbers: Numbers | None = None) -> None:
        self.numbers = numbers or Numbers()
        self.states: dict[str, bytes] = {}
        self.parts: dict[str, Parts] = {}
        self.repeats = 0

    @property
    def names(self) -> list[Names]:
        """The names by their numbers."""
        return self.numbers.names

    def add(self, call: Call, source: str) -> None:
        """A record of a response. `source` is its file."""
        key = identity_of(call, source)
        self.add_states(((key, self._packed(call)),))
        if call.inside or call.outside or call.odd:
            self.parts[key] = _larger(self.parts.get(key, NO_PARTS), (call.inside, call.outside, call.odd))

    def add_states(self, states: Iterable[tuple[str, bytes]]) -> None:
        """`add` for packed records (`STATE`) whose ids have the API's form."""
        mine = self.states
        for key, new in states:
            known = mine.get(key)
            if known is None:
                mine[key] = new
                continue
            self.repeats += 1
            if known != new:
                mine[key] = self._merged(known, new)

    def include(self, other: "Responses") -> None:
        """Add everything of another instance."""
        states = other.states
        if other.numbers is not self.numbers:
            states = self._renumbered(states, dict(enumerate(other.names)))
        if self.states.keys().isdisjoint(states):
            self.states.update(states)
        else:
            self.add_states(states.items())
        for key, parts in other.parts.items():
            self.parts[key] = _larger(self.parts.get(key, NO_PARTS), parts)
        self.repeats += other.repeats

    def used_names(self) -> dict[int, Names]:
        """The names that its states refer to, by number."""
        used = {state[:4] for state in self.states.values()}
        return {number: self.names[number] for number in (int.from_bytes(four, "little") for four in used)}

    def recall(self, states: dict[str, bytes], names: dict[int, Names]) -> None:
        """Restore stored states with these names."""
        self.states = self._renumbered(states, names)

    def _renumbered(self, states: dict[str, bytes], names: dict[int, Names]) -> dict[str, bytes]:
        numbers = {number: self.numbers.of(one) for number, one in names.items()}
        if all(number == other for number, other in numbers.items()):
            return states
        begin = {number.to_bytes(4, "little"): other.to_bytes(4, "little") for number, other in numbers.items()}
        return {key: begin[state[:4]] + state[4:] for key, state in states.items()}

    def whole(self, key: str, state: bytes) -> Call:
        """A response with the largest counts among its records."""
        number, uncached, split, one_hour, read, output, searches, writes, first, _ = STATE.unpack(state)
        unsplit = max(0, writes - split - one_hour)
        model, tier, geo, speed, feature, user, is_sum = self.names[number]
        inside, outside, odd = self.parts.get(key, NO_PARTS)
        return Call(
            model,
            TokenCounts(uncached, split + unsplit, one_hour, read, output, searches),
            Terms(tier, geo, speed),
            None if first == NO_TIME else EPOCH + first * MICROSECOND,
            feature,
            user,
            unsplit=unsplit,
            inside=inside,
            outside=outside,
            odd=odd,
            is_sum=is_sum,
        )

    def _packed(self, call: Call) -> bytes:
        counts, terms = call.counts, call.terms
        names = (
            *(call.model, terms.service_tier, terms.inference_geo, terms.speed),
            *(call.feature, call.user, call.is_sum),
        )
        at = NO_TIME if call.at is None else (call.at - EPOCH) // MICROSECOND
        return STATE.pack(
            self.numbers.of(names),
            counts.uncached_input_tokens,
            counts.cache_creation_5m_input_tokens - call.unsplit,
            counts.cache_creation_1h_input_tokens,
            counts.cache_read_input_tokens,
            counts.output_tokens,
            counts.web_search_requests,
            counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens,
            at,
            at,
        )

    def _merged(self, known: bytes, new: bytes) -> bytes:
        """The maximum of each count, the names and terms of the last state, and the time of the first."""
        if known[:UNTIMED] == new[:UNTIMED]:
            first, last = _TIMES.unpack_from(known, UNTIMED)
            new_first, new_last = _TIMES.unpack_from(new, UNTIMED)
            if first == NO_TIME or (new_first != NO_TIME and new_first < first):
                first = new_first
            return known[:UNTIMED] + _TIMES.pack(first, max(last, new_last))
        number, *counts, first, last = STATE.unpack(known)
        new_number, *new_counts, new_first, new_last = STATE.unpack(new)
        if new_number != number and (new_last, _order(self.names[new_number])) > (last, _order(self.names[number])):
            number = new_number
        if first == NO_TIME or (new_first != NO_TIME and new_first < first):
            first = new_first
        return STATE.pack(number, *map(max, counts, new_counts), first, max(last, new_last))


def identity_of(call: Call, source: str) -> str:
    """The API's id of a response, or a digest of other distinguishing fields.

    The API never repeats an id of its own form. Any other id may be a constant of a gateway: then a repeat must also
    have the same session (or file, without a session), model and prompt.
    """
    if call.response is not None and is_message_id(call.response):
        return call.response
    counts = call.counts
    writes = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
    prompt = counts.uncached_input_tokens, writes, counts.cache_read_input_tokens
    place = ("session", call.session) if call.session is not None else ("file", source)
    identity = (call.response, place, call.model, prompt)
    return "=" + blake2b(repr(identity).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def is_message_id(text: str) -> bool:
    """Whether an id has the form of the API's message ids."""
    return MESSAGE_ID.fullmatch(text) is not None


def _order(names: Names) -> tuple[object, ...]:
    """A total order, so that the choice between two states of the same time does not depend on their order."""
    model, tier, geo, speed, feature, user, _ = names
    return tuple((name is not None, name or "") for name in (model, feature, user, tier, geo, speed))


def _larger(one: Parts, other: Parts) -> Parts:
    return max(one[0], other[0], key=_size), max(one[1], other[1], key=_size), max(one[2], other[2])


def _size(parts: tuple[Part, ...]) -> tuple[int, int, tuple[tuple[int, int, str, str], ...]]:
    sizes = tuple(
        (part.counts.output_tokens, part.counts.prompt_tokens, part.model, str(part.counts)) for part in parts
    )
    return len(parts), sum(part.counts.output_tokens for part in parts), sizes
