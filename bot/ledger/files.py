"""Import files of usage records into the ledger, each record once, however often and in whatever state they are read.

A file's content is stored in batches, each a transaction; the last one records that the file was read. A crash in
between loses nothing, since the file is read again, and doubles nothing, since its events have the same ids.
"""

import os
import stat
import sys
import tempfile
from collections import Counter as Numbers
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import add
from time import monotonic
from typing import BinaryIO

from sqlalchemy import Connection, Engine

from bot.clock import Clock
from bot.ledger.file_events import SINGLE, SUM, TOTAL, FileEvents, Held, Known
from bot.ledger.file_totals import begun, followed
from bot.ledger.files_store import (
    SUMS,
    TOTALS,
    Content,
    Seen,
    SingleCall,
    contents_of,
    digest_of,
    known_heads,
    lock_sessions,
    remember_contents,
    seen_files,
    session_values,
    sessions_with_calls,
    single_calls,
    summed_sessions,
    write_session_values,
)
from bot.ledger.model import FURTHEST_AHEAD, Dimensions, Event
from bot.ledger.model import Sums as LedgerSums
from bot.ledger.record_shapes import RecordShapes
from bot.ledger.store import Change, SqlLedger
from bot.pricing.counters import Counter, counter_in
from bot.pricing.running_totals import SeriesKey
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.content import head_of, known_part
from bot.usage.logs.files import RecordFile, UnreadableError
from bot.usage.logs.moments import EARLIEST
from bot.usage.logs.streams import Advance, records_of

LEAST_BATCH, BATCH = 4_000, 16_000
"""Events in one transaction. Ids are random, so a batch changes nearly every page of their index; larger batches write
each page less often.
"""

HOLDS_SECONDS = 1.0
"""Longest time a transaction may block other writers, which wait five seconds: after a longer one, batches get
smaller.
"""

SETTLED = timedelta(seconds=2)
"""A file that changed this recently may change again within the same tick of its timestamps."""

ByHour = dict[tuple[datetime, Dimensions], LedgerSums]


@dataclass
class Imported:
    """Result of an import. Counts are of what was not read before. `repeats`: records of known responses; `by_hour`:
    change of the ledger's sums; `unreadable`: a sentence for each file.
    """

    files: int = 0
    unchanged: int = 0
    records: int = 0
    new: int = 0
    running_totals: int = 0
    session_sums: int = 0
    untimed: int = 0
    odd: int = 0
    skipped: Numbers[str] = field(default_factory=Numbers)
    not_claude: Numbers[str] = field(default_factory=Numbers)
    unreadable: list[str] = field(default_factory=list)
    by_hour: ByHour = field(default_factory=dict)

    @property
    def repeats(self) -> int:
        return max(0, self.records - self.new - self.running_totals - self.session_sums)


class FileImport:
    """Imports files into a ledger. `is_claude`: whether a model counts."""

    def __init__(
        self, engine: Engine, ledger: SqlLedger, is_claude: Callable[[str], bool], clock: Clock, advance: Advance
    ) -> None:
        self.imported = Imported()
        self._engine = engine
        self._ledger = ledger
        self._is_claude = is_claude
        self._clock = clock
        self._advance = advance
        self._summed = summed_sessions(engine)
        self._heads = known_heads(engine)
        self._seen = seen_files(engine)
        self._waiting = _Waiting(self._flush)
        self._shapes = RecordShapes()
        self._read: list[Content] = []
        self._hours: dict[tuple[datetime, int], list[int]] = {}

    def add(self, file: RecordFile) -> None:
        """Import a file, or what is new in it."""
        if _seen_as(file, self._clock()) in self._seen:
            self._advance(file.size)
            self.imported.unchanged += 1
            return
        try:
            with file.opened() as opened, _seekable(opened) as stream:
                self._add(file, stream)
        except UnreadableError as error:
            self.imported.unreadable.append(str(error))

    def finish(self) -> Imported:
        """Result of all files."""
        self._flush()
        dimensions = self._ledger.dimensions({number for _, number in self._hours})
        for (hour, number), (*counts, requests, errors, limited) in self._hours.items():
            key = hour, dimensions[number]
            self.imported.by_hour[key] = LedgerSums(TokenCounts(*counts), requests, errors, limited)
        return self.imported

    def _add(self, file: RecordFile, stream: BinaryIO) -> None:
        head = head_of(stream)
        contents = contents_of(self._engine, head) if head in self._heads else {}
        known = Known()
        if contents:
            stream.seek(0)
            begin, is_all = known_part(stream, [(one.size, digest) for digest, one in contents.items()])
            known = known if begin is None else contents[begin]
            if is_all and begin is not None:
                self._advance(file.size)
                self.imported.unchanged += 1
                self._read.append(Content(begin, head, known, _seen_as(file, self._clock())))
                return
        stream.seek(0)
        self.imported.files += 1
        latest = self._clock() + FURTHEST_AHEAD
        events = FileEvents(head, self._time_of(file), known, self._is_claude, self._waiting.emit, self._shapes, latest)
        is_whole = False
        try:
            events.read(records_of(stream, self._advance, events.take, events.through))
            is_whole = True
            if known.size and not (events.calls or events.repeats):
                self.imported.unchanged += 1
                self.imported.files -= 1
        finally:
            # Everything readable of a damaged file counts, and it is read again next time.
            if is_whole or isinstance(sys.exception(), Exception):
                self._end(events, file, head if is_whole else None)

    def _time_of(self, file: RecordFile) -> datetime:
        """Latest time at which a record without a time was written."""
        now = self._clock().astimezone(UTC)
        if file.status is None:
            return now
        # An archive may restore 1980 as the time of a file.
        return datetime.fromtimestamp(max(EARLIEST.timestamp(), min(file.status.st_mtime, now.timestamp())), UTC)

    def _store(self, plan: Callable[[Connection], Change], expected: Collection[str] = ()) -> None:
        begun_at = 0.0

        def planned(connection: Connection) -> Change:
            nonlocal begun_at
            # The time other writers took before does not count.
            begun_at = monotonic()
            return self._without_sums(connection, plan(connection))

        stored = self._ledger.change(planned, self._clock(), expected)
        self._waiting.took(monotonic() - begun_at)
        for key, sums in stored.by_hour.items():
            self.imported.new += sums[6]
            found = self._hours.get(key)
            self._hours[key] = list(sums) if found is None else list(map(add, found, sums))

    def _without_sums(self, connection: Connection, change: Change) -> Change:
        """Replace sums of sessions by the calls of the sessions."""
        if not self._summed:
            return change
        events = list(change.events)
        calls = {digest_of(event.session) for event in events if event.session and not event.id.startswith(SUM)}
        given_up = calls & self._summed
        if not given_up:
            return change
        lock_sessions(connection)
        values = session_values(connection, SUMS, given_up)
        write_session_values(connection, SUMS, dict.fromkeys(values))
        self._summed -= given_up
        return Change(events, [*change.withdrawn, *(one for ids in values.values() for one in ids)])

    def _flush(self) -> None:
        """Store waiting events, and record the files that are complete."""
        events, contents = self._waiting.taken(), self._read_so_far()

        def plan(connection: Connection) -> Change:
            remember_contents(connection, contents, self._clock())
            return Change(events)

        if events or contents:
            self._store(plan, {event.id for event in events})

    def _read_so_far(self) -> list[Content]:
        contents, self._read = self._read, []
        return contents

    def _end(self, events: FileEvents, file: RecordFile, head: str | None) -> None:
        """Store the rest, and record that the content was read, unless `head` is None."""
        events.finish()
        self._count(events)
        read, content = list[Content](), events.content
        if head is not None and content is not None and content.size:
            known = Known(content.size, events.records - content.has_half_row, events.holds_totals)
            read.append(Content(content.digest, head, known, _seen_as(file, self._clock())))
            self._heads.add(head)
        if not (events.held or events.sums or events.turned_single):
            # Small files share a transaction.
            self._read += read
            return
        self._flush()
        # Look up before the transaction: the responses may be on another server.
        with_calls = self._ledger.sessions_with_calls({one.call.session for one in events.sums if one.call.session})

        def plan(connection: Connection) -> Change:
            settling = _Settling(connection, events.known, events.holds_totals)
            settling.turn_single(events.turned_single)
            settling.settle(events.held)
            beside = with_calls | {event.session for event in settling.events if event.session is not None}
            sums, keys = _session_sums(connection, events, beside)
            self._summed |= keys
            self.imported.running_totals += settling.left_out
            self.imported.session_sums += len(events.sums) - len(sums)
            remember_contents(connection, read, self._clock())
            return Change([*settling.events, *sums], settling.withdrawn)

        self._store(plan)

    def _count(self, events: FileEvents) -> None:
        counted, imported = events.counted, self.imported
        imported.records += events.calls + events.repeats
        imported.untimed += events.untimed
        imported.odd += events.odd
        imported.skipped.update(events.skipped)
        imported.skipped.update(counted.skipped)
        imported.not_claude.update(counted.not_claude)


def next_batch(batch: int, seconds: float) -> int:
    """Number of events for the next transaction, after one of `batch` took `seconds`."""
    if seconds > HOLDS_SECONDS:
        return max(LEAST_BATCH, batch // 2)
    return min(BATCH, batch * 2) if seconds < HOLDS_SECONDS / 2 else batch


class _Waiting:
    """Events waiting to be stored."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._waiting: list[Event] = []
        self._batch = LEAST_BATCH

    def took(self, seconds: float) -> None:
        """Record how long a transaction blocked other writers."""
        self._batch = next_batch(self._batch, seconds)

    def emit(self, events: Iterable[Event]) -> None:
        """Store these with the next batch."""
        self._waiting += events
        if len(self._waiting) >= self._batch:
            self._flush()

    def taken(self) -> list[Event]:
        """Remove and return everything that waits."""
        waiting, self._waiting = self._waiting, []
        return waiting


class _Settling:
    """Decides about records without an id, at the end of their file and within the transaction."""

    def __init__(self, connection: Connection, known: Known, totals: bool) -> None:
        self.events: list[Event] = []
        self.withdrawn: list[str] = []
        self.left_out = 0
        self._connection = connection
        self._known = known
        self._totals = totals

    def turn_single(self, held: Collection[Held]) -> None:
        """What was read as running totals turned out to be single calls."""
        if not held:
            return
        lock_sessions(self._connection)
        old = [one for one in held if not one.is_new]
        self.withdrawn += [TOTAL + one.place for one in old]
        keys = {digest_of(one.series) for one in old}
        write_session_values(self._connection, TOTALS, dict.fromkeys(keys))

    def settle(self, held: Collection[Held]) -> None:
        """Count held-back records in one way or the other."""
        if not held:
            return
        lock_sessions(self._connection)
        series: dict[SeriesKey, list[Held]] = {}
        for one in held:
            series.setdefault(one.series, []).append(one)
        digests = {key: digest_of(key) for key in series}
        known = session_values(self._connection, TOTALS, digests.values())
        # Beginnings of the same counters, in files too short to be recognised.
        begun_now = {
            (key[0], key[1])
            for key in series
            if self._totals and key[0] is not None and key[1] is not None and digests[key] not in known
        }
        singles = single_calls(self._connection, begun_now)
        counters: dict[str, Counter] = {}
        for key, its in series.items():
            found = known.get(digests[key])
            if not self._totals and (found is None or key[0] is None or self._known.totals):
                self._as_single(its)
                continue
            if not self._known.totals and (found is None or key[0] is None):
                # The single calls of a known counter that still count are part of it.
                self.withdrawn += [event.id for one in its for event in one.single()]
            counter = (
                self._begun(its, singles.get((str(key[0]), str(key[1])), ())) if found is None else counter_in(found)
            )
            events, counters[digests[key]] = followed(its, counter, goes_on=self._known.totals)
            self.events += events
            self.left_out += sum(one.is_new for one in its) - sum(event.requests for event in events)
        if self._known.totals and not self._totals:
            self.turn_single(held)
        write_session_values(self._connection, TOTALS, {key: one.written() for key, one in counters.items()})

    def _begun(self, series: Sequence[Held], singles: Sequence[SingleCall]) -> Counter | None:
        """The counter after these of other files; None if there is none."""
        own = {SINGLE + held.place for held in series}
        others = [one for one in singles if one.id not in own]
        if not others:
            return None
        withdrawn, counter = begun(others, timed=all(held.call.at is not None for held in series))
        self.withdrawn += withdrawn
        return counter

    def _as_single(self, series: Iterable[Held]) -> None:
        for one in series:
            if one.is_new or self._known.totals:
                self.events += one.single()


def _session_sums(connection: Connection, events: FileEvents, beside: Collection[str]) -> tuple[list[Event], set[str]]:
    """Sums of sessions without calls, and the keys of these sessions. `beside`: sessions with calls."""
    found = events.sums
    if not found:
        return [], set()
    lock_sessions(connection)
    sessions = {one.call.session for one in found if one.call.session is not None} - set(beside)
    with_calls = sessions_with_calls(connection, sessions) | set(beside)
    counted = [one for one in found if one.call.session not in with_calls]
    ids: dict[str, list[str]] = {}
    for one in counted:
        if one.call.session is not None:
            ids.setdefault(digest_of(one.call.session), []).append(one.event.id)
    before = session_values(connection, SUMS, ids)
    values = {key: [*before.get(key, ()), *new] for key, new in ids.items()}
    write_session_values(connection, SUMS, values)
    return [one.event for one in counted], set(values)


def _seen_as(file: RecordFile, now: datetime) -> Seen | None:
    """None for standard input, and for a file that changed just now."""
    status = file.status
    if file.path is None or status is None or not stat.S_ISREG(status.st_mode):
        return None
    if max(status.st_mtime, status.st_ctime) > (now - SETTLED).timestamp():
        return None
    key = digest_of([os.path.abspath(file.path), status.st_dev, status.st_ino])
    return Seen(key, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream itself, or a copy where it can be read only once."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        while piece := stream.read(1024 * 1024):
            copy.write(piece)
        copy.seek(0)
        yield copy
