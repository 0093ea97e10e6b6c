"""Which records are states of one response, and what several states of it come to. Bounded memory for each response."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from struct import Struct

from bot.pricing.call import Call, Part
from bot.pricing.tokens import TokenCounts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_TIME = -(2**63)
# Number of the names, six counts, all cache writes, first and last time in microseconds.
_STATE = Struct("<I7Q2q")

_Names = tuple[object, ...]
_Parts = tuple[tuple[Part, ...], tuple[Part, ...], int]
_NO_PARTS: _Parts = ((), (), 0)


class Responses:
    """The state of each response so far, in some 200 bytes each: its next state may come at any time."""

    def __init__(self) -> None:
        self._states: dict[bytes, bytes] = {}
        self._parts: dict[bytes, _Parts] = {}
        self._calls: list[Call] = []
        self._numbers: dict[_Names, int] = {}

    def add(self, call: Call, source: str) -> tuple[bool, Call | None, Call | None]:
        """Whether a record repeats a response; the response before it and after it, where it changes something."""
        key = _key(call, source)
        new = self._packed(call)
        known = self._states.get(key)
        has_parts = bool(call.inside or call.outside or call.odd)
        if known is None:
            self._states[key] = new
            if has_parts:
                self._parts[key] = (call.inside, call.outside, call.odd)
            return False, None, call
        state = self._merged(known, new)
        before_parts = parts = self._parts.get(key, _NO_PARTS)
        if has_parts:
            parts = _larger(parts, (call.inside, call.outside, call.odd))
        if state == known and parts == before_parts:
            return True, None, None
        self._states[key] = state
        if parts is not _NO_PARTS:
            self._parts[key] = parts
        return True, self._recalled(known, before_parts), self._recalled(state, parts)

    def _packed(self, call: Call) -> bytes:
        counts = call.counts
        at = _NO_TIME if call.at is None else (call.at - _EPOCH) // _MICROSECOND
        return _STATE.pack(
            self._number(call),
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
        """Each count's largest; the names and terms of the last state; the time of the first."""
        if known == new:
            return known
        number, *counts, first, last = _STATE.unpack(known)
        new_number, *new_counts, new_first, new_last = _STATE.unpack(new)
        if new_number != number and (new_last, _names(self._calls[new_number])) > (last, _names(self._calls[number])):
            number = new_number
        if first == _NO_TIME or (new_first != _NO_TIME and new_first < first):
            first = new_first
        return _STATE.pack(number, *map(max, counts, new_counts), first, max(last, new_last))

    def _recalled(self, state: bytes, parts: _Parts) -> Call:
        number, uncached, split, one_hour, read, output, searches, writes, first, _ = _STATE.unpack(state)
        unsplit = max(0, writes - split - one_hour)
        named = self._calls[number]
        return Call(
            named.model,
            TokenCounts(uncached, split + unsplit, one_hour, read, output, searches),
            named.terms,
            None if first == _NO_TIME else _EPOCH + first * _MICROSECOND,
            named.feature,
            named.user,
            unsplit=unsplit,
            inside=parts[0],
            outside=parts[1],
            odd=parts[2],
            is_sum=named.is_sum,
        )

    def _number(self, call: Call) -> int:
        """The number of everything about a call that is no count, no time and no id."""
        terms = call.terms
        names = (
            *(call.model, terms.service_tier, terms.inference_geo, terms.speed),
            *(call.feature, call.user, call.is_sum),
        )
        number = self._numbers.get(names)
        if number is None:
            number = self._numbers[names] = len(self._calls)
            self._calls.append(
                Call(call.model, TokenCounts(), call.terms, feature=call.feature, user=call.user, is_sum=call.is_sum)
            )
        return number


def _key(call: Call, source: str) -> bytes:
    """16 bytes for a response; two responses never share them in practice.

    The API gives an id of its own form once. Any other may be a gateway's constant: there a repeat also has the same
    session, or the same file where no session is named, the same model and the same prompt.
    """
    identity: object = call.response
    if call.response is None or not is_message_id(call.response):
        counts = call.counts
        writes = counts.cache_creation_5m_input_tokens + counts.cache_creation_1h_input_tokens
        prompt = counts.uncached_input_tokens, writes, counts.cache_read_input_tokens
        place = ("session", call.session) if call.session is not None else ("file", source)
        identity = (call.response, place, call.model, prompt)
    return blake2b(repr(identity).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def is_message_id(text: str) -> bool:
    """Whether an id has the form of the API's message ids, also as Bedrock and Vertex write them."""
    return text.startswith("msg_") and len(text) > 4 and text.isascii() and text.replace("_", "").isalnum()


def _names(call: Call) -> tuple[object, ...]:
    """An order that makes the choice between two states of the same time the same, whichever comes first."""
    terms = call.terms
    names = (call.model, call.feature, call.user, terms.service_tier, terms.inference_geo, terms.speed)
    return tuple((name is not None, name or "") for name in names)


def _larger(one: _Parts, other: _Parts) -> _Parts:
    return max(one[0], other[0], key=_size), max(one[1], other[1], key=_size), max(one[2], other[2])


def _size(parts: tuple[Part, ...]) -> tuple[int, int, tuple[tuple[int, int, str, str], ...]]:
    sizes = tuple(
        (part.counts.output_tokens, part.counts.prompt_tokens, part.model, str(part.counts)) for part in parts
    )
    return len(parts), sum(part.counts.output_tokens for part in parts), sizes
