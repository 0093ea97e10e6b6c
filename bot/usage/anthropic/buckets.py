"""The buckets of one usage report, page by page: unchanged ones are not parsed again.

A bucket is recognised by a digest over all of its bytes, on however many pages they come.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence, Set
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from bot.language import tr_lazy
from bot.usage.anthropic.pages import UNUSUAL, Entry, PageParts, ReportRow, ReportRows, RowReader, value_in
from bot.usage.anthropic.responses import AnalyticsRow, Bucket, OddFields, ResultsBucket, belongs, parsed
from bot.usage.model import NOTHING_STORED, OddUsage, Read, Seen, SeenBucket, Tally, TooManyRowsError, UsageReading


class AgainError(Exception):
    """A bucket taken for unchanged has changed: parse the whole response."""


NOT_SEEN = SeenBucket(b"", Tally())


async def read_again(usage: Callable[[Seen], Awaitable[UsageReading]], stored: Seen) -> UsageReading:
    """Read with the `stored` digests; without them if that fails."""
    try:
        return await usage(stored)
    except AgainError:
        return await usage(NOTHING_STORED)


def asked_apart(found: "Buckets", changed: Set[datetime]) -> Seen:
    """Buckets to request separately: `changed`, and unchanged ones that needed it before.

    The latter with their digest of that response; the others with a digest that matches nothing.
    """
    before = {start: apart for start in found.unchanged if (apart := found.seen[start].apart) is not None}
    return before | dict.fromkeys(changed, NOT_SEEN)


def seen_with(found: "Buckets", apart: "Buckets", asked: Seen, needed: Set[datetime]) -> dict[datetime, SeenBucket]:
    """`found.seen` with the digests of the separate response. `needed`: changed buckets that need it.

    If only the separate response has changed, the bucket stays as stored, and is parsed at the next poll.
    """
    seen = dict(found.seen)
    for start, before in asked.items():
        now = apart.seen.get(start, NOT_SEEN)
        if start in needed:
            seen[start] = replace(seen[start], apart=now)
        elif start in found.unchanged and now.digest != before.digest:
            del seen[start]
    return seen


def ids_in(rows: ReportRows) -> tuple[set[str], set[str]]:
    """The keys and the workspaces of the rows."""
    keys = {row.api_key_id for each in rows.values() for row in each}
    workspaces = {row.workspace_id for each in rows.values() for row in each}
    return keys - {None}, workspaces - {None}  # type: ignore[return-value]


class Buckets(ABC):
    """Implements `Collector`. `decided_by`: see `SeenBucket`.

    `wanted`: starts of the buckets to read; `most_rows`: most parsed rows.
    """

    def __init__(
        self,
        read: Read,
        path: str,
        *,
        decided_by: str = "",
        stored: Seen = NOTHING_STORED,
        wanted: Container[datetime] | None = None,
        most_rows: int | None = None,
    ) -> None:
        self.rows: dict[datetime, list[ReportRow]] = {}
        """Rows of changed buckets, by start of the bucket."""

        self.seen: dict[datetime, SeenBucket] = {}
        self.unchanged: set[datetime] = set()
        self.refreshed_at: list[datetime | None] = []
        self.largest_page = 0
        self._read, self._path, self._decided_by = read, path, decided_by
        self._stored, self._wanted, self._most_rows = stored, wanted, most_rows
        self._reader = RowReader(path)
        self._buckets: dict[tuple[Any, Any], Bucket] = {}
        self._open: datetime | None = None
        self._parts: list[Entry] = []
        self._copied = 0
        self._count = 0

    def take(self, page: PageParts) -> None:
        """Take all of this page but its last bucket, which may continue on the next page."""
        self.refreshed_at.append(page.refreshed_at)
        self.largest_page = max(self.largest_page, page.size)
        for starts_at, part in self._entries(page.entries):
            if starts_at != self._open:
                self._close()
                self._open = starts_at
            self._parts.append(part)
        # Do not keep the bytes of the page for those of one bucket.
        self._parts[self._copied :] = [bytes(part) for part in self._parts[self._copied :]]
        self._copied = len(self._parts)

    def end(self) -> None:
        """Complete the last bucket."""
        self._close()

    def odd(self) -> OddUsage:
        """Unreadable parts, also of what was stored before. Raises `MalformedError`, see `OddFields.found`."""
        odd = OddFields(self._path)
        for starts_at, seen in self.seen.items():
            odd.add(seen.tally, starts_at)
        return odd.found()

    def _entries(self, entries: Sequence[Entry]) -> Iterator[tuple[datetime, Entry]]:
        """The requested entries, with the starts of their buckets. Raises `MalformedError`."""
        # Read all entries of a page before using the first one.
        buckets = [(self._head(entry), entry) for entry in entries]
        for bucket, entry in buckets:
            if belongs(bucket, self._read, self._path):
                yield bucket.starting_at, entry

    @abstractmethod
    def _head(self, entry: Entry) -> Bucket:
        """The bucket of an entry. Raises `MalformedError`."""

    @abstractmethod
    def _rows(self, part: Entry, odd: OddFields) -> Iterator[ReportRow | None]: ...

    def _bucket(self, starting_at: Any, ending_at: Any) -> Bucket:
        times = (starting_at, ending_at) if isinstance(starting_at, str) and isinstance(ending_at, str) else None
        if times is not None and times in self._buckets:
            return self._buckets[times]
        bucket = parsed(Bucket, {"starting_at": starting_at, "ending_at": ending_at}, self._path)
        if times is not None:
            self._buckets[times] = bucket
        return bucket

    def _close(self) -> None:
        starts_at, parts = self._open, self._parts
        self._open, self._parts, self._copied = None, [], 0
        if starts_at is None or (self._wanted is not None and starts_at not in self._wanted):
            return
        if starts_at in self.unchanged:
            raise AgainError
        before = self.seen.get(starts_at)
        digest = sha256(b"" if before is None else before.digest)
        for part in parts:
            digest.update(part)
        stored = self._stored.get(starts_at)
        same = stored is not None and (stored.digest, stored.decided_by) == (digest.digest(), self._decided_by)
        if before is None and stored is not None and same:
            self.unchanged.add(starts_at)
            self.seen[starts_at] = stored
            return
        odd = OddFields(self._path)
        if before is not None:
            odd.add(before.tally, starts_at)
        rows = self.rows.setdefault(starts_at, [])
        count = len(rows)
        rows += [row for part in parts for row in self._rows(part, odd) if row is not None]
        self.seen[starts_at] = SeenBucket(digest.digest(), odd.tally(), self._decided_by)
        self._count += len(rows) - count
        if self._most_rows is not None and self._count > self._most_rows:
            raise TooManyRowsError(
                tr_lazy(
                    "Anthropic's answer from {path} has more than {most} rows.", path=self._path, most=self._most_rows
                )
            )


class _Results(msgspec.Struct, gc=False):
    starting_at: Any
    ending_at: Any
    results: msgspec.Raw


class _Times(msgspec.Struct, gc=False):
    starting_at: str
    ending_at: str
    group: dict[str, msgspec.Raw]
    usage: dict[str, msgspec.Raw] | None = None
    cost: dict[str, msgspec.Raw] | None = None


_RESULTS = msgspec.json.Decoder(_Results)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TIMES = msgspec.json.Decoder(_Times)


class ResultBuckets(Buckets):
    """Buckets of the admin report: an entry is a bucket with its results."""

    def _head(self, entry: Entry) -> Bucket:
        try:
            found = _RESULTS.decode(entry)
        except UNUSUAL:
            return parsed(ResultsBucket, value_in(entry, self._path), self._path)
        if bytes(memoryview(found.results)[:1]) != b"[":
            return parsed(ResultsBucket, value_in(entry, self._path), self._path)
        return self._bucket(found.starting_at, found.ending_at)

    def _rows(self, part: Entry, odd: OddFields) -> Iterator[ReportRow | None]:
        try:
            results: Sequence[Entry] = _LIST.decode(_RESULTS.decode(part).results)
        except UNUSUAL:
            bucket = parsed(ResultsBucket, value_in(part, self._path), self._path)
            results = [json.dumps(value).encode() for value in bucket.results]
        for result in results:
            yield self._reader.result(result, odd)


class RowBuckets(Buckets):
    """Buckets of the analytics report: an entry is a row that names its bucket."""

    def _head(self, entry: Entry) -> Bucket:
        try:
            found = _TIMES.decode(entry)
        except UNUSUAL:
            return parsed(AnalyticsRow, value_in(entry, self._path), self._path)
        if found.usage is None and found.cost is None:
            return parsed(AnalyticsRow, value_in(entry, self._path), self._path)
        return self._bucket(found.starting_at, found.ending_at)

    def _rows(self, part: Entry, odd: OddFields) -> Iterator[ReportRow | None]:
        yield self._reader.row(part, odd)
