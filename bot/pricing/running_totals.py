"""Recognizes logs whose records hold the running total of a session instead of one call, so that they are not summed.

Looks only at records without an id, file by file. In such a log every count of a session and model grows from record
to record, and output grows every time. Of single calls, about every second one has less output than the one before,
so a few records tell the two apart. Once a file's records shrink too often, it holds single calls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import lgamma, log
from typing import NamedTuple

from bot.pricing.call import Call
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import LONGEST_PROMPT, Place, Sums

PROOF_WITH_SESSION = 2.5
PROOF = 9.0
PROOF_WITHIN_PROMPTS = 20.0
PROOF_OF_ORDER_ALONE = 40.0
"""Bits (log2 of the possible orders of the records): how unlikely such growth is for single calls. The last two
apply if no prompt exceeds a context window: the first to series that cannot be a conversation, the second to others."""

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


class Step(NamedTuple):
    """What a record says if its log holds running totals. `rise`: increase since the previous record; `total`: the
    counters now; `starts`: whether the counters restarted at this record."""

    key: SeriesKey
    rise: TokenCounts
    total: TokenCounts
    starts: bool


class Log:
    """The evidence in one file's records without an id: running totals or single calls."""

    def __init__(self) -> None:
        self.series: dict[SeriesKey, _Series] = {}
        self.is_open = True
        self._rises = self._falls = self._restarts = 0

    def follow(self, call: Call) -> Step:
        """Add the next record. Once the question is settled, records are single calls."""
        key = series_key(call)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = _Series(call.session is not None, first_output=call.counts.output_tokens)
        counts = rise = call.counts
        if series.lines:
            order = _order(series.last, counts)
            if order > 0:
                self._rises += 1
                series.is_no_conversation |= _cannot_follow(series.last, counts)
                rise = counts - series.last
            elif order < 0:
                self._restarts += 1
                series.bits, series.stretch = series.order_bits, 0
            elif counts == series.last:
                rise = TokenCounts()
            else:
                self._falls += 1
                counts = _largest(counts, series.last)
                rise = counts - series.last
        starts = series.stretch == 0
        if counts != series.last or starts:
            series.stretch += 1
        series.lines += 1
        series.is_beyond |= call.counts.prompt_tokens > LONGEST_PROMPT
        series.last = counts
        if self._falls * 50 > self._rises or self._restarts * 4 > max(self._rises, 4):
            self.is_open = False
        return Step(key, rise, counts, starts)

    @property
    def holds_totals(self) -> bool:
        """Whether the records so far are running totals."""
        if not self._rises or not self.is_open:
            return False
        grown = [series for series in self.series.values() if series.order_bits >= 1]
        if any(series.is_beyond for series in grown):
            with_session = sum(series.order_bits for series in grown if series.has_session)
            return with_session >= PROOF_WITH_SESSION or sum(series.order_bits for series in grown) >= PROOF
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


def rise_after(before: TokenCounts, counts: TokenCounts) -> tuple[TokenCounts, TokenCounts, bool]:
    """The increase since the previous running total, the counters now, and whether they restarted."""
    if _order(before, counts) < 0:
        return counts, counts, True
    total = _largest(before, counts)
    return total - before, total, False


@dataclass(slots=True)
class _Placed:
    """A series counted both ways: `each` record as a call, and `risen` as increases."""

    each: Sums = field(default_factory=Sums)
    risen: Sums = field(default_factory=Sums)
    last_place: Place | None = None
    lines: int = 0


@dataclass(slots=True)
class _File:
    log: Log = field(default_factory=Log)
    placed: dict[SeriesKey, _Placed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """The final sums of the records, and how many records of running totals were left out."""

    sums: Sums
    left_out: int
    files: tuple[str, ...]


class RunningTotals:
    """Holds records back until it is clear how they count. Memory stays flat for a file of single calls."""

    def __init__(self, place_of: Places) -> None:
        self._place_of = place_of
        self._files: dict[str, _File] = {}
        self._released = Sums()

    def holds(self, call: Call, source: str) -> bool:
        """Hold back a call without an id; False if its file holds single calls and the call counts at once."""
        file = self._files.get(source)
        if file is None:
            file = self._files[source] = _File()
        if not file.log.is_open:
            return False
        self._place(file, call)
        if file.log.is_open:
            return True
        for placed in file.placed.values():
            self._released.include(placed.each)
        file.placed.clear()
        return True

    def settled(self) -> Settled:
        """The sums of everything held back."""
        sums, left_out, files = Sums(), 0, []
        sums.include(self._released)
        found: dict[SeriesKey, list[tuple[_Series, _Placed]]] = {}
        for name, file in self._files.items():
            if file.log.holds_totals:
                files.append(name)
                for key, placed in file.placed.items():
                    found.setdefault(key, []).append((file.log.series[key], placed))
        for file in self._files.values():
            for key, placed in file.placed.items():
                same = found.get(key)
                if same is None:
                    sums.include(placed.each)
                elif not any(placed is one for _, one in same) and file.log.series[key].has_session:
                    same.append((file.log.series[key], placed))
                elif not any(placed is one for _, one in same):
                    sums.include(placed.each)
        for same in found.values():
            # A counter may continue in the next file; its last total includes everything before.
            _, largest = max(same, key=lambda one: one[0].last.output_tokens)
            sums.include(largest.risen)
            left_out += sum(placed.lines for _, placed in same) - _calls_in(largest.risen)
        return Settled(sums, left_out, tuple(files))

    def _place(self, file: _File, call: Call) -> None:
        step = file.log.follow(call)
        placed = file.placed.get(step.key)
        if placed is None:
            placed = file.placed[step.key] = _Placed()
        place, several = self._place_of(call, False), self._place_of(call, True)
        if placed.last_place is not None and not step.starts:
            placed.risen.add(placed.last_place, -1, TokenCounts())
        placed.risen.add(several, 1, step.rise)
        placed.each.add(place, 1, call.counts)
        placed.lines += 1
        placed.last_place = several


def _cannot_follow(before: TokenCounts, after: TokenCounts) -> bool:
    """Whether a call cannot follow another in a conversation: it reads from the cache more than was sent before, or
    its prompt does not hold the answer before."""
    sent = before.prompt_tokens + before.output_tokens
    return after.cache_read_input_tokens > sent or after.prompt_tokens < sent


def _order(before: TokenCounts, after: TokenCounts) -> int:
    """1 where every count has grown or stayed and output has grown, -1 the other way round, 0 otherwise."""
    pairs = list(zip(before, after, strict=True))
    if after.output_tokens > before.output_tokens:
        return 1 if all(one <= other for one, other in pairs) else 0
    if after.output_tokens < before.output_tokens:
        return -1 if all(one >= other for one, other in pairs) else 0
    return 0


def _largest(one: TokenCounts, other: TokenCounts) -> TokenCounts:
    return TokenCounts(*map(max, one, other))


def _calls_in(sums: Sums) -> int:
    return sum(calls for _, calls, _ in sums.places())
