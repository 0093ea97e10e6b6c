"""Logs that write the total so far with every record, instead of what one call used: recognised, never added up.

Only records without an id are looked at, file by file. In such a log every count of a session and model grows from
record to record, and output with every one; of single calls about every second one has less output than the one
before, so a few records distinguish the two. As soon as a file's records shrink too often, it is one of single calls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import lgamma, log

from bot.pricing.call import Call
from bot.pricing.tokens import TokenCounts
from bot.pricing.totals import LONGEST_PROMPT, Place, Sums

PROOF_WITH_SESSION = 2.5
PROOF = 9.0
PROOF_WITHIN_PROMPTS = 20.0
PROOF_OF_ORDER_ALONE = 40.0
"""Bits, log2 of the number of orders that the records could have: how unlikely the growth is for single calls. The
last two are asked where no prompt is longer than a model reads: the first of them of series that cannot be a
conversation, the second of any other."""

GROWTH = 5
"""By what factor output has grown at least in a series that counts for `PROOF_WITHIN_PROMPTS`."""

Places = Callable[[Call, bool], Place]
"""The place of a call; with True that of a sum of several calls."""

_Key = tuple[str | None, ...]


@dataclass(slots=True)
class _Series:
    """The records of one session and model in one file, counted in both ways: `each` record for itself, and what
    each has risen above the one before. `stretch`: records since the counters last began anew."""

    has_session: bool
    each: Sums = field(default_factory=Sums)
    risen: Sums = field(default_factory=Sums)
    last: TokenCounts = field(default_factory=TokenCounts)
    last_place: Place | None = None
    lines: int = 0
    stretch: int = 0
    bits: float = 0.0
    first_output: int = 0
    is_beyond: bool = False
    is_no_conversation: bool = False

    @property
    def order_bits(self) -> float:
        return self.bits + lgamma(self.stretch + 1) / log(2)


@dataclass(slots=True)
class _File:
    series: dict[_Key, _Series] = field(default_factory=dict)
    rises: int = 0
    falls: int = 0
    restarts: int = 0
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """What the records come to after all: their sums, and how many records of running totals were left out."""

    sums: Sums
    left_out: int
    files: tuple[str, ...]


class RunningTotals:
    """Holds records back until it is clear how they count. Flat memory for a file of single calls."""

    def __init__(self, place_of: Places) -> None:
        self._place_of = place_of
        self._files: dict[str, _File] = {}
        self._released = Sums()

    def holds(self, call: Call, source: str) -> bool:
        """Take a call without an id; False where its file is known to hold single calls, and it counts at once."""
        file = self._files.get(source)
        if file is None:
            file = self._files[source] = _File()
        if not file.is_open:
            return False
        self._follow(file, call)
        if file.falls * 50 <= file.rises and file.restarts * 4 <= max(file.rises, 4):
            return True
        file.is_open = False
        for series in file.series.values():
            self._released.include(series.each)
        file.series.clear()
        return True

    def settled(self) -> Settled:
        """The sums of all that is held back."""
        sums, left_out, files = Sums(), 0, []
        sums.include(self._released)
        found: dict[_Key, list[_Series]] = {}
        for name, file in self._files.items():
            if _are_totals(file):
                files.append(name)
                for key, series in file.series.items():
                    found.setdefault(key, []).append(series)
        for file in self._files.values():
            for key, series in file.series.items():
                same = found.get(key)
                if same is None:
                    sums.include(series.each)
                elif not any(series is one for one in same) and series.has_session:
                    same.append(series)
                elif not any(series is one for one in same):
                    sums.include(series.each)
        for same in found.values():
            # One counter may go on in the next file; what it ends with holds all before.
            largest = max(same, key=lambda series: series.last.output_tokens)
            sums.include(largest.risen)
            left_out += sum(series.lines for series in same) - _calls_in(largest.risen)
        return Settled(sums, left_out, tuple(files))

    def _follow(self, file: _File, call: Call) -> None:
        has_session = call.session is not None
        key = (call.session, call.model) if has_session else (None, call.model, call.feature, call.user)
        series = file.series.get(key)
        if series is None:
            series = file.series[key] = _Series(has_session, first_output=call.counts.output_tokens)
        place, several = self._place_of(call, False), self._place_of(call, True)
        counts = rise = call.counts
        if series.lines:
            order = _order(series.last, counts)
            if order > 0:
                file.rises += 1
                series.is_no_conversation |= _cannot_follow(series.last, counts)
                rise = counts - series.last
            elif order < 0:
                file.restarts += 1
                series.bits, series.stretch = series.order_bits, 0
            elif counts == series.last:
                rise = TokenCounts()
            else:
                file.falls += 1
                counts = _largest(counts, series.last)
                rise = counts - series.last
        new_stretch = series.stretch == 0
        if series.last_place is not None and not new_stretch:
            series.risen.add(series.last_place, -1, TokenCounts())
        series.risen.add(several, 1, rise)
        series.each.add(place, 1, call.counts)
        if counts != series.last or new_stretch:
            series.stretch += 1
        series.lines += 1
        series.is_beyond |= call.counts.prompt_tokens > LONGEST_PROMPT
        series.last, series.last_place = counts, several


def _are_totals(file: _File) -> bool:
    if not file.rises:
        return False
    grown = [series for series in file.series.values() if series.order_bits >= 1]
    if any(series.is_beyond for series in grown):
        with_session = sum(series.order_bits for series in grown if series.has_session)
        return with_session >= PROOF_WITH_SESSION or sum(series.order_bits for series in grown) >= PROOF
    if file.falls or file.restarts:
        return False
    many_fold = [
        series
        for series in grown
        if series.has_session and series.last.output_tokens >= GROWTH * max(1, series.first_output)
    ]
    impossible = sum(series.order_bits for series in many_fold if series.is_no_conversation)
    return impossible >= PROOF_WITHIN_PROMPTS or sum(series.order_bits for series in many_fold) >= PROOF_OF_ORDER_ALONE


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
