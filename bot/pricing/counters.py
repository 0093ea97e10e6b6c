"""The state of a running total over all files of its records: each rise counts once. Pure.

A running total falls back to zero when its process restarts, and its log is rotated, copied and cut. Files may come in
any order. The time that a file covers is then known completely: a record inside it is not new; one before, between or
after shows how far the total had risen by then. Records without times are recognised by their counts, and a file of
them continues where the one before it ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self
from zlib import crc32

from bot.pricing.tokens import TokenCounts


class Reading(NamedTuple):
    """A record of a running total. `at`: microseconds since 1970, None if the log has no time."""

    at: int | None
    counts: TokenCounts


class Rise(NamedTuple):
    """The rise of a reading above the one before it. `number`: index of the reading in its file; `starts`: whether the
    counters restart with it.
    """

    number: int
    counts: TokenCounts
    starts: bool


class Span(NamedTuple):
    """A time whose readings are all known, with its first and last total."""

    first_at: int
    first: TokenCounts
    last_at: int
    last: TokenCounts


@dataclass(frozen=True, slots=True)
class Counter:
    """State of a running total. `spans`: ordered and disjoint; `last`: of the readings without a time, None before the
    first; `seen`: checksums of these.
    """

    spans: tuple[Span, ...] = ()
    last: TokenCounts | None = None
    seen: frozenset[int] = frozenset()

    def advanced(self, readings: Sequence[Reading], known: int = 0) -> tuple[list[Rise], Self]:
        """Rises of the readings of one file, and the counter afterwards. `known`: number of leading readings that have
        been counted.
        """
        if not readings:
            return [], self
        if any(reading.at is None for reading in readings):
            return self._by_counts(readings, known)
        return self._by_time(readings, known)

    def written(self) -> dict[str, Any]:
        """The counter as JSON values."""
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
            # Within one file, later records come later, whatever the clock said.
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
        """The span that a reading precedes; None if it is inside of one."""
        at = _at(reading)
        for number, span in enumerate(self.spans):
            if at < span.first_at:
                return number
            if at < span.last_at or (at == span.last_at and _is_within(reading.counts, span.last)):
                return None
        return len(self.spans)

    def _covering(self, new: Span, is_last: bool) -> Self:
        """The counter with a file's span. `is_last`: whether the counter now stands at the end of the file."""
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
    """Parse the result of `Counter.written`."""
    last = written["last"]
    spans = tuple(
        Span(first_at, TokenCounts(*first), last_at, TokenCounts(*end))
        for first_at, first, last_at, end in written["spans"]
    )
    return Counter(spans, None if last is None else TokenCounts(*last), frozenset(written["seen"]))


def rise_after(before: TokenCounts | None, counts: TokenCounts) -> tuple[TokenCounts, TokenCounts, bool]:
    """The rise of a running total above the one before, its new counts, and whether the counters restarted."""
    if before is None or order_of(before, counts) < 0:
        return counts, counts, True
    total = largest(before, counts)
    return total - before, total, False


def order_of(before: TokenCounts, after: TokenCounts) -> int:
    """1 if no count has fallen and output has grown, -1 for the reverse, 0 otherwise."""
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
    """Indexes of the readings before each restart of the counters, and of the last one."""
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
    """Rises of a run before a reading that was counted without it, corrected so that both add up."""
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
