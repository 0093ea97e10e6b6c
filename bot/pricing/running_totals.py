"""Recognizes logs whose records hold the running total of a session instead of one call, so that they are not summed.

Looks only at records without an id, file by file. In such a log every count of a session and model grows from record
to record, and output grows every time. Of single calls, about every second one has less output than the one before,
so a few records tell the two apart. Once a file's records shrink too often, it holds single calls.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import lgamma, log

from bot.pricing.counters import Counter, Reading, largest, order_of
from bot.pricing.responses import Call, micros
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import LONGEST_PROMPT, Place, Sums

ENOUGH_WITH_SESSION = 2.5
ENOUGH_BITS = 9.0
PROOF_WITHIN_PROMPTS = 20.0
PROOF_OF_ORDER_ALONE = 40.0
"""Bits of evidence (log2 of the possible orders of the records) that such growth is not of single calls. The last two
apply if no prompt exceeds a context window: the first to series that cannot be a conversation, the second to others.
"""

GROWTH = 5
"""Minimum growth factor of output in a series that counts for `PROOF_WITHIN_PROMPTS`."""

Places = Callable[[Call, bool], Place]
"""The place of a call; True marks a sum of several calls."""

SeriesKey = tuple[str | None, ...]


@dataclass(slots=True)
class _Series:
    """The records of one session and model in one file. `stretch`: records since the counters last restarted."""

    has_session: bool
    last: TokenCounts = field(default_factory=TokenCounts)
    lines: int = 0
    stretch: int = 0
    bits: float = 0.0
    first_output: int = 0
    is_beyond: bool = False
    is_no_conversation: bool = False

    @property
    def order_bits(self) -> float:
        return self.bits + lgamma(self.stretch + 1) / log(2)


class Log:
    """The evidence in one file's records without an id: running totals or single calls."""

    def __init__(self) -> None:
        self.series: dict[SeriesKey, _Series] = {}
        self.is_open = True
        self._rises = self._falls = self._restarts = 0

    def follow(self, call: Call) -> SeriesKey:
        """Add the next record; returns its series. Once the log is decided, its records are single calls."""
        key = series_key(call)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = _Series(call.session is not None, first_output=call.counts.output_tokens)
        counts = call.counts
        if series.lines:
            order = order_of(series.last, counts)
            if order > 0:
                self._rises += 1
                series.is_no_conversation |= _cannot_follow(series.last, counts)
            elif order < 0:
                self._restarts += 1
                series.bits, series.stretch = series.order_bits, 0
            elif counts != series.last:
                self._falls += 1
                counts = largest(counts, series.last)
        if counts != series.last or series.stretch == 0:
            series.stretch += 1
        series.lines += 1
        series.is_beyond |= call.counts.prompt_tokens > LONGEST_PROMPT
        series.last = counts
        if self._falls * 50 > self._rises or self._restarts * 4 > max(self._rises, 4):
            self.is_open = False
        return key

    @property
    def holds_totals(self) -> bool:
        """Whether the records so far are running totals."""
        if not self._rises or not self.is_open:
            return False
        grown = [series for series in self.series.values() if series.order_bits >= 1]
        if any(series.is_beyond for series in grown):
            with_session = sum(series.order_bits for series in grown if series.has_session)
            return with_session >= ENOUGH_WITH_SESSION or sum(series.order_bits for series in grown) >= ENOUGH_BITS
        if self._falls or self._restarts:
            return False
        many_fold = [
            series
            for series in grown
            if series.has_session and series.last.output_tokens >= GROWTH * max(1, series.first_output)
        ]
        impossible = sum(series.order_bits for series in many_fold if series.is_no_conversation)
        order_alone = sum(series.order_bits for series in many_fold)
        return impossible >= PROOF_WITHIN_PROMPTS or order_alone >= PROOF_OF_ORDER_ALONE


def series_key(call: Call) -> SeriesKey:
    """The series of a record: a session and model, or a feature and user without a session."""
    if call.session is not None:
        return call.session, call.model
    return None, call.model, call.feature, call.user


NO_TIME = -(2**63)
NUMBERS = 8
"""Numbers of a packed reading: its time, its counts, and the number of its place."""


@dataclass(slots=True)
class _Held:
    """Records of a series: `each` counted by itself, and `packed` as readings of a running total."""

    each: Sums = field(default_factory=Sums)
    packed: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, call: Call, place: int) -> None:
        self.packed.extend((NO_TIME if call.at is None else micros(call.at), *call.counts, place))

    @property
    def lines(self) -> int:
        return len(self.packed) // NUMBERS

    def readings(self) -> Iterator[tuple[Reading, int]]:
        """Each reading and the number of its place."""
        for begin in range(0, len(self.packed), NUMBERS):
            at, *counts, place = self.packed[begin : begin + NUMBERS]
            yield Reading(None if at == NO_TIME else at, TokenCounts(*counts)), place


@dataclass(slots=True)
class _File:
    log: Log = field(default_factory=Log)
    held: dict[SeriesKey, _Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """The final sums of the records, and how many records of running totals were left out."""

    sums: Sums
    left_out: int
    files: tuple[str, ...]


class RunningTotals:
    """Holds records back until it is clear how they count. Flat memory for a file of single calls; files come in the
    order in which they were written, if known.
    """

    def __init__(self, place_of: Places) -> None:
        self._place_of = place_of
        self._files: dict[str, _File] = {}
        self._released = Sums()
        self._places: dict[Place, int] = {}

    def holds(self, call: Call, source: str) -> bool:
        """Hold back a call without an id; False if its file holds single calls and the call counts at once."""
        file = self._files.get(source)
        if file is None:
            file = self._files[source] = _File()
        if not file.log.is_open:
            return False
        key = file.log.follow(call)
        held = file.held.setdefault(key, _Held())
        held.each.add(self._place_of(call, False), 1, call.counts)
        held.add(call, self._places.setdefault(self._place_of(call, True), len(self._places)))
        if file.log.is_open:
            return True
        for held in file.held.values():
            self._released.include(held.each)
        file.held.clear()
        return True

    def settled(self) -> Settled:
        """Sums of all held-back records."""
        sums, left_out = Sums(), 0
        sums.include(self._released)
        files = [name for name, file in self._files.items() if file.log.holds_totals]
        of_totals = {key for name in files for key in self._files[name].held}
        places = list(self._places)
        counters: dict[SeriesKey, Counter] = {}
        for file in self._files.values():
            is_totals = file.log.holds_totals
            for key, held in file.held.items():
                # A file too short to be recognised belongs to the session of the other file.
                if not is_totals and (key not in of_totals or key[0] is None):
                    sums.include(held.each)
                    continue
                read = list(held.readings())
                rises, counters[key] = counters.get(key, Counter()).advanced([reading for reading, _ in read])
                left_out += held.lines
                for rise in rises:
                    sums.add(places[read[rise.number][1]], int(rise.starts), rise.counts)
                    left_out -= rise.starts
        return Settled(sums, left_out, tuple(files))


def _cannot_follow(before: TokenCounts, after: TokenCounts) -> bool:
    """Whether a call cannot follow another in a conversation: it reads more from the cache than was sent before, or its
    prompt cannot contain the answer before.
    """
    sent = before.prompt_tokens + before.output_tokens
    return after.cache_read_input_tokens > sent or after.prompt_tokens < sent
