"""Events from the records of one file, each with an id that the same record has whenever it is read again. Pure.

An id in the API's form identifies the response; any other is unique within its session. A record without an id is
identified by a digest of it and of all records before it in its file, so that renamed, compressed, copied and grown
files give the same events.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from bot.ledger.events_of_call import CLAUDE_CODE, RecordLabels, events_of_call, labels_in, transcript_tags
from bot.ledger.model import PROMPT_EDGES, Dimensions, Event, Tags, prompts_above, tags_of
from bot.ledger.record_shapes import Found, RecordShapes
from bot.pricing.responses import Call, identity_of, is_message_id
from bot.pricing.running_totals import Log, SeriesKey
from bot.pricing.tally import FileCalls
from bot.usage.logs.calls import CallReader, RecordChain
from bot.usage.logs.content import Content
from bot.usage.logs.records import records_in
from bot.usage.logs.streams import Reader, parsed
from bot.usage.logs.usage_block import Record, Skipped
from bot.usage.logs.usual_lines import Opened, UsualLines, usual_call

SINGLE, TOTAL, SUM = "@", "~", "+"
"""Prefixes of ids of records without an id: a single call, the rise of a running total, the sum of a session."""

AHEAD = "a time more than a day ahead"

REPORT = "a report of Anthropic's own sums, which the bot reads from Anthropic itself"


class Known(NamedTuple):
    """What was read of a file before. `records`: read one by one; `totals`: read as running totals."""

    size: int = 0
    records: int = 0
    totals: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A record without an id that may be a single call or a running total."""

    place: str
    call: Call
    at: datetime
    labels: RecordLabels
    is_new: bool
    series: SeriesKey

    def single(self) -> list[Event]:
        """Its events as a single call."""
        return events_of_call(self.call, SINGLE + self.place, self.at, self.labels)


@dataclass(frozen=True, slots=True)
class SessionSum:
    """Usage of a whole session as reported by a client: counts if the session's calls are missing."""

    call: Call
    event: Event


class FileEvents:
    """Reads one file. `source`: stays the same while the file grows; `fallback`: aware UTC, the time of records without
    one; `latest`: records of a later time are left out. `emit` receives the events as they are found; `held` and `sums`
    keep the undecided ones.
    """

    def __init__(
        self,
        source: str,
        fallback: datetime,
        known: Known,
        is_claude: Callable[[str], bool],
        emit: Callable[[Iterable[Event]], None],
        shapes: RecordShapes,
        latest: datetime,
    ) -> None:
        self.known = known
        self.content: Content | None = None
        self.counted = FileCalls(source, is_claude)
        self.held: list[Held] = []
        self.sums: list[SessionSum] = []
        self.records = 0
        self.calls = 0
        self.untimed = 0
        self.odd = 0
        self.turned_single: list[Held] = []
        self.skipped: Counter[str] = Counter()
        self._source = source
        self._fallback = fallback
        self._emit = emit
        self._log = Log()
        self._chain = RecordChain()
        self._usual = UsualLines(self.counted, self._close)
        self._is_new = not known.size
        self._dimensions: dict[tuple[object, ...], Dimensions] = {}
        self._reader = CallReader()
        self._shapes = shapes
        self._latest = latest
        self._is_begun = False
        self._one_by_one = False

    @property
    def holds_totals(self) -> bool:
        return self._log.holds_totals

    @property
    def repeats(self) -> int:
        """Lines that repeat the line before for the same response."""
        return self.counted.responses.repeats

    def through(self, reader: Reader) -> Content:
        """The content that is being read."""
        self.content = Content(reader, self.known.size)
        return self.content

    def take(self, lines: list[bytes]) -> list[bytes]:
        """Take lines in order; returns the first one if it may not begin lines."""
        if not self._is_new and self.content is not None and self.content.is_new:
            self._usual.finish()
            self._begin_new()
        if not self._is_begun:
            self._is_begun = True
            return self._usual.take(lines)
        # Both give the same result; try first what the last batch was.
        others = lines if self._one_by_one else self._usual.take(lines)
        read = 0
        for line in others:
            if not line or line.isspace():
                continue
            record = parsed(line)
            if self._one_by_one and _may_be_usual(record) and not self._usual.take([line]):
                continue
            read += 1
            self.read((record,) if isinstance(record, dict | Skipped) else records_in(record))
        self._one_by_one = read > len(lines) // 2
        return []

    def _begin_new(self) -> None:
        self._is_new = True
        self.counted.skipped.clear()
        self.counted.not_claude.clear()
        self.counted.responses.repeats = 0

    def read(self, records: Iterable[Record | Skipped]) -> None:
        """Read all records that are not taken as lines."""
        for record in records:
            if isinstance(record, Skipped):
                self.skipped[record.value] += self._is_new or (self.content is not None and self.content.is_new)
            else:
                self._read(record)

    def _read(self, record: Record) -> None:
        self.records += 1
        is_new = self.records > self.known.records
        self._chain.add(self._without_last(record))
        found = self._shapes.read(record)
        if found is not None and self.counted.is_claude(found.model):
            self._take_usual(found, is_new)
            return
        for number, call in enumerate(self._reader.calls(record)):
            if isinstance(call, Skipped):
                self.skipped[call.value] += is_new
            else:
                self._take(call, self._reader.found_in, number, is_new)

    def _take_usual(self, found: Found, is_new: bool) -> None:
        response = found.response
        if response is None:
            self._count(found.call(), found.labels, 0, is_new)
            return
        if self._is_ahead(found.at, is_new):
            return
        self.calls += is_new
        self.untimed += is_new and found.at is None
        if is_new:
            if not is_message_id(response):
                response = identity_of(found.call(), self._source)
            labels = found.labels
            event = Event(
                response,
                found.at or self._fallback,
                found.dimensions,
                found.counts,
                labels.outcome,
                1,
                labels.request_id,
                found.session,
                found.unsplit,
            )
            self._emit((event,))

    def finish(self) -> None:
        """Emit held-back events of usual lines. Nothing is read after that."""
        self._usual.finish()
        if not self._is_new:
            self._begin_new()

    def _take(self, call: Call, record: Record, number: int, is_new: bool) -> None:
        if not self.counted.is_claude(call.model):
            self.counted.not_claude[call.model] += is_new
            return
        if call.is_sum and not call.sums_session:
            self.skipped[REPORT] += is_new
            return
        labels = labels_in(record)
        if record.get("type") in ("assistant", "progress", "user") and isinstance(record.get("sessionId"), str):
            tags = {**dict(transcript_tags(record.get("cwd"), record.get("gitBranch"))), **dict(labels.tags)}
            labels = labels._replace(tags=tags_of(tags))
            call = replace(call, feature=call.feature or CLAUDE_CODE)
        self._count(call, labels, number, is_new)

    def _count(self, call: Call, labels: RecordLabels, number: int, is_new: bool) -> None:
        if self._is_ahead(call.at, is_new):
            return
        self.calls += is_new
        self.odd += call.odd if is_new else 0
        at = call.at
        if at is None:
            at = self._fallback
            self.untimed += is_new
        if call.sums_session:
            (event,) = events_of_call(call, SUM + self._place(number), at, labels)
            if is_new:
                self.sums.append(SessionSum(call, event))
        elif call.response is not None:
            if is_new:
                self._emit(events_of_call(call, identity_of(call, self._source), at, labels))
        elif self._log.is_open and not (call.inside or call.outside or call.odd):
            self.held.append(Held(self._place(number), call, at, labels, is_new, self._log.follow(call)))
            if not self._log.is_open:
                self._release()
        elif is_new:
            self._emit(events_of_call(call, SINGLE + self._place(number), at, labels))

    def _is_ahead(self, at: datetime | None, is_new: bool) -> bool:
        if at is None or at <= self._latest:
            return False
        self.skipped[AHEAD] += is_new
        return True

    def _release(self) -> None:
        """Emit the records as single calls."""
        for held in self.held:
            if held.is_new or self.known.totals:
                self._emit(held.single())
        if self.known.totals:
            self.turned_single = self.held
        self.held = []

    def _place(self, number: int) -> str:
        place = self._chain.digest[:20].hex()
        return f"{place}.{number}" if number else place

    def _without_last(self, record: Record) -> Record:
        """The record without its last cell, if that may have been incomplete when it was read."""
        last = None if self.content is None else self.content.last_column
        return record if last is None else {name: value for name, value in record.items() if name != last}

    def _close(self, response: str, record: Opened) -> None:
        if not self._is_new:
            return
        call = usual_call(response, record)
        if self._is_ahead(call.at, True):
            return
        self.calls += 1
        prompt = call.counts.prompt_tokens
        above = prompts_above(prompt) if prompt > PROMPT_EDGES[0] else 0
        key = (*call.terms, call.model, record[5], record[6], above)
        dimensions = self._dimensions.get(key)
        if dimensions is None:
            tags: Tags = transcript_tags(record[5], record[6])
            dimensions = Dimensions(call.model, CLAUDE_CODE, None, tags, terms=call.terms, prompts_above=above)
            self._dimensions[key] = dimensions
        assert call.at is not None
        self._emit((Event(response, call.at, dimensions, call.counts, session=call.session, unsplit=call.unsplit),))


def _may_be_usual(value: Any) -> bool:
    """Whether a line may be one of transcripts, including JSON that only `json` reads."""
    return "message" in value or "data" in value if isinstance(value, dict) else isinstance(value, Skipped)
