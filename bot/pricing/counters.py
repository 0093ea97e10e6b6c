"""The state of a running total, in whatever files its records come: each rise counts once. Pure.

A running total falls back to zero when its process restarts, and its log is rotated, copied and cut. Files may come in
any order. What a file covers in time is known as a whole afterwards: a record inside it says nothing new, one before,
between or after says what the total had risen by until then. Records without times are known by their counts, and a
file of them goes on where the one before it ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self
from zlib import crc32

from bot.pricing.tokens import TokenCounts


class Reading(NamedTuple):
    """A record of a running total. `at`: microseconds since 1970, None where the log has no time."""

    at: int | None
    counts: TokenCounts


class Rise(NamedTuple):
    """What a reading has above the one before it. `number`: which reading of its file; `starts`: whether the counters
    begin anew with it."""

    number: int
    counts: TokenCounts
    starts: bool


class Span(NamedTuple):
    """A time all of whose readings are known, and the first and the last of the totals in it."""

    first_at: int
    first: TokenCounts
    last_at: int
    last: TokenCounts


@dataclass(frozen=True, slots=True)
class Counter:
    """All that is known of a running total. `spans`: in their order, apart from each other; `last`: of the readings
    without a time, None before the first; `seen`: checksums of these."""

    spans: tuple[Span, ...] = ()
    last: TokenCounts | None = None
    seen: frozenset[int] = frozenset()

    def advanced(self, readings: Sequence[Reading], known: int = 0) -> tuple[list[Rise], Self]:
        """What the readings of one file add, and the counter afterwards. `known`: how many of them, from the first on,
        have been counted."""
        if not readings:
            return [], self
        if any(reading.at is None for reading in readings):
            return self._by_counts(readings, known)
        return self._by_time(readings, known)

    def written(self) -> dict[str, Any]:
        """As JSON holds it."""
        spans = [[one.first_at, list(one.first), one.last_at, list(one.last)] for one in self.spans]
        return {"spans": spans, "last": None if self.last is None else list(self.last), "seen": sorted(self.seen)}

    def _by_counts(self, readings: Sequence[Reading], known: int) -> tuple[list[Rise], Self]:
        while known < len(readings) and _checksum(readings[known].counts) in self.seen:
            known += 1
        before = self.last
        if before is None and self.spans:
            before = self.spans[-1].last
        rises, last = _chained(readings, range(known, len(readings)), before)
        seen = self.seen | {_checksum(reading.counts) for reading in readings}
        return rises, replace(self, last=last, seen=seen)

    def _by_time(self, readings: Sequence[Reading], known: int) -> tuple[list[Rise], Self]:
        begin, end = min(readings, key=_at), max(readings, key=_at)
        last, end_of_spans = end.counts, len(self.spans)
        _, standing = _chained(readings, range(known), None)
        goes_on = self.spans and standing == self.spans[-1].last
        gaps: dict[int, list[int]] = {}
        for index, reading in enumerate(readings):
            # What was written later comes later, whatever the clock said, where the file itself shows it.
            gap = self._gap_of(reading) if index < known or not goes_on else end_of_spans
            if gap is not None and index >= known:
                gaps.setdefault(gap, []).append(index)
        rises: list[Rise] = []
        for gap, run in gaps.items():
            before = self.spans[gap - 1].last if gap else None if self.spans else self.last
            found, total = _chained(readings, run, before)
            assert total is not None
            if gap == end_of_spans:
                last = total
            else:
                found = _joined(found, before, total, self.spans[gap].first)
            rises += found
        return rises, self._covering(Span(_at(begin), begin.counts, _at(end), last), end_of_spans in gaps)

    def _gap_of(self, reading: Reading) -> int | None:
        """The span that a reading precedes; None inside of one."""
        at = _at(reading)
        for number, span in enumerate(self.spans):
            if at < span.first_at:
                return number
            if at < span.last_at or (at == span.last_at and _is_within(reading.counts, span.last)):
                return None
        return len(self.spans)

    def _covering(self, new: Span, is_last: bool) -> Self:
        """With what a file covers. `is_last`: whether the counter stands now where the file ends."""
        apart = [one for one in self.spans if one.last_at < new.first_at or one.first_at > new.last_at]
        for one in self.spans:
            if one in apart:
                continue
            if one.first_at <= new.first_at:
                new = new._replace(first_at=one.first_at, first=one.first)
            if is_last:
                new = new._replace(last_at=max(one.last_at, new.last_at))
            elif one.last_at >= new.last_at:
                new = new._replace(last_at=one.last_at, last=one.last)
        return replace(self, spans=tuple(sorted([*apart, new])))


def counter_in(written: Mapping[str, Any]) -> Counter:
    """What `Counter.written` made."""
    last = written["last"]
    spans = tuple(
        Span(first_at, TokenCounts(*first), last_at, TokenCounts(*end))
        for first_at, first, last_at, end in written["spans"]
    )
    return Counter(spans, None if last is None else TokenCounts(*last), frozenset(written["seen"]))


def rise_after(before: TokenCounts | None, counts: TokenCounts) -> tuple[TokenCounts, TokenCounts, bool]:
    """What a running total has above the one before, where the counters stand now, and whether they began anew."""
    if before is None or order_of(before, counts) < 0:
        return counts, counts, True
    total = largest(before, counts)
    return total - before, total, False


def order_of(before: TokenCounts, after: TokenCounts) -> int:
    """1 where every count has grown or stayed and output has grown, -1 the other way round, 0 otherwise."""
    pairs = list(zip(before, after, strict=True))
    if after.output_tokens > before.output_tokens:
        return 1 if all(one <= other for one, other in pairs) else 0
    if after.output_tokens < before.output_tokens:
        return -1 if all(one >= other for one, other in pairs) else 0
    return 0


def largest(one: TokenCounts, other: TokenCounts) -> TokenCounts:
    """The larger of each count."""
    return TokenCounts(*map(max, one, other))


def ends_of_stretches(totals: Sequence[TokenCounts]) -> list[int]:
    """Which of these readings are the last before the counters begin anew, and the last of all."""
    ends = [number for number, (one, other) in enumerate(pairwise(totals)) if order_of(one, other) < 0]
    return [*ends, len(totals) - 1] if totals else []


def _chained(
    readings: Sequence[Reading], run: Iterable[int], before: TokenCounts | None
) -> tuple[list[Rise], TokenCounts | None]:
    rises, last = [], before
    for index in run:
        rise, last, starts = rise_after(last, readings[index].counts)
        rises.append(Rise(index, rise, starts))
    return rises, last


def _joined(rises: list[Rise], before: TokenCounts | None, last: TokenCounts | None, after: TokenCounts) -> list[Rise]:
    """The rises of a run before a reading that was counted without it, so that both come to what they are together."""
    counted, _, started = rise_after(before, after)
    due, _, starts = rise_after(last, after)
    lacking = [sum(column) for column in zip(*(rise.counts for rise in rises), strict=True)]
    wanted = [max(0, had + new - old) for had, new, old in zip(lacking, due, counted, strict=True)]
    kept = sum(rise.starts for rise in rises) + starts - started
    found = []
    for position, rise in enumerate(rises):
        is_last = position == len(rises) - 1
        part = [left if is_last else min(left, its) for left, its in zip(wanted, rise.counts, strict=True)]
        wanted = [left - its for left, its in zip(wanted, part, strict=True)]
        found.append(Rise(rise.number, TokenCounts(*part), kept > 0 and (rise.starts or is_last)))
        kept -= found[-1].starts
    return found


def _is_within(counts: TokenCounts, total: TokenCounts) -> bool:
    return all(one <= other for one, other in zip(counts, total, strict=True))


def _at(reading: Reading) -> int:
    assert reading.at is not None
    return reading.at


def _checksum(counts: TokenCounts) -> int:
    return crc32(repr(tuple(counts)).encode())
