"""Pages of a report, split without parsing, and their rows."""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Protocol, TypeVar, overload

import msgspec

from bot.language import tr_lazy
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.anthropic.client import ExpiredCursorError, Query, Transport, json_object
from bot.usage.anthropic.responses import MOST, AnalyticsUsageRow, Dimensions, OddFields, Page, UsageResult, parsed
from bot.usage.model import DEFAULT_WORKSPACE, MalformedError, UsageRow

Entry = msgspec.Raw | bytes
"""The JSON text of one entry of `data`."""

_STEP_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class PageParts:
    """A page with its unparsed entries. `size`: in bytes."""

    entries: Sequence[Entry]
    has_more: bool
    next_page: str | None
    refreshed_at: datetime | None
    size: int


class _Envelope(msgspec.Struct, gc=False):
    data: list[msgspec.Raw]
    has_more: bool
    next_page: str | None = None
    data_refreshed_at: Any = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def page_in(body: bytes, path: str) -> PageParts:
    """Split a page. Raises `MalformedError` for anything else. No step holds the interpreter for longer than one pass
    over the body.
    """
    try:
        envelope = _ENVELOPE.decode(body)
        _refuse_what_is_no_text(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _tolerant(body, path)
    head = {
        "data": [],
        "has_more": envelope.has_more,
        "next_page": envelope.next_page,
        "data_refreshed_at": envelope.data_refreshed_at,
    }
    page = parsed(Page, head, path)
    return PageParts(envelope.data, page.has_more, page.next_page, page.data_refreshed_at, len(body))


def _tolerant(body: bytes, path: str) -> PageParts:
    """Parse with Python's own reader, which takes more than JSON has, such as NaN in an unused field, or UTF-16."""
    page = parsed(Page, json_object(body, path), path)
    entries = [json.dumps(value).encode() for value in page.data]
    return PageParts(entries, page.has_more, page.next_page, page.data_refreshed_at, len(body))


def _refuse_what_is_no_text(body: bytes) -> None:
    if body.isascii():
        return
    # Skipped fields are not checked, but a body that is no text at all is an error.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    for start in range(0, len(body), _STEP_BYTES):
        decoder.decode(body[start : start + _STEP_BYTES])
    decoder.decode(b"", final=True)


def value_in(entry: Entry, path: str) -> Any:
    """An entry as Python objects. Raises `MalformedError`."""
    try:
        return json.loads(bytes(entry))
    except (ValueError, RecursionError):
        raise MalformedError(
            tr_lazy("Anthropic's answer from {path} is not JSON; nothing was counted.", path=path)
        ) from None


MOST_EMPTY_PAGES = 100
"""Most pages without an entry before a response counts as endless."""


class Collector(Protocol):
    """Takes the pages of one response in order, outside the event loop."""

    def take(self, page: PageParts) -> None: ...

    def end(self) -> None:
        """The last page was taken."""
        ...


Collecting = TypeVar("Collecting", bound=Collector)


async def all_pages(
    transport: Transport,
    path: str,
    query: Query,
    betas: Sequence[str],
    collector: Callable[[], Collecting],
    most_bytes: int | None = None,
) -> Collecting:
    """A collector that has taken every page, each requested with the same parameters; `most_bytes`: of one page.

    The number of pages is unlimited: an endless response is stopped by a repeated page, or by the time limit of the
    poll. An expired page token restarts the range, once.
    """
    try:
        return await _pages(transport, path, query, betas, collector(), most_bytes)
    except ExpiredCursorError:
        return await _pages(transport, path, query, betas, collector(), most_bytes)


async def _pages(
    transport: Transport, path: str, query: Query, betas: Sequence[str], taken: Collecting, most_bytes: int | None
) -> Collecting:
    way = _Way(path)
    token: str | None = None
    while True:
        asked = query if token is None else [*query, ("page", token)]
        body = await transport.body(path, asked, betas, most_bytes)
        token = await transport.work(_take, body, path, way, taken)
        if token is None:
            return taken


def _take(body: bytes, path: str, way: "_Way", taken: Collector) -> str | None:
    """The token of the next page; None after the last one."""
    page = page_in(body, path)
    token = way.next(page)
    taken.take(page)
    if token is None:
        taken.end()
    return token


class _Way:
    """Follows pages as long as each has something new."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._tokens: set[str] = set()
        self._first_entries: set[bytes] = set()
        self._empty = 0

    def next(self, page: PageParts) -> str | None:
        """The token of the page after this one. Raises `MalformedError` if the pages make no progress."""
        if not page.has_more:
            return None
        token = page.next_page
        if not token or token in self._tokens or not self._is_new(page.entries):
            raise MalformedError(
                tr_lazy("Anthropic's pages from {path} do not come to an end; nothing was counted.", path=self._path)
            )
        self._tokens.add(token)
        return token

    def _is_new(self, entries: Sequence[Entry]) -> bool:
        if not entries:
            self._empty += 1
            return self._empty <= MOST_EMPTY_PAGES
        # Entries are unique: each is a bucket, or the sum of a bucket's usage with these dimensions.
        first = sha256(entries[0]).digest()
        if first in self._first_entries:
            return False
        self._first_entries.add(first)
        return True


class Values:
    """Implements `Collector` for small reports: every entry as Python objects."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.values: list[Any] = []

    def take(self, page: PageParts) -> None:
        """Keep all entries."""
        self.values += [value_in(entry, self._path) for entry in page.entries]

    def end(self) -> None:
        """Nothing to do."""


_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]


LAZY_FROM = 20_000
"""From this number on rows are created on access: the garbage collector stops the loop for millions of objects. It
ignores a `msgspec.Struct` without `gc`.
"""

UNKNOWN_MODEL = "unknown"
"""Model of a row without one, which only a server that does not group would send."""


class ReportRow(msgspec.Struct, gc=False):
    """One row of a report: tokens with equal dimensions, as the report has them."""

    model: str | None
    workspace_id: str | None
    api_key_id: str | None
    terms: Terms
    uncached_input_tokens: int
    cache_creation_5m_input_tokens: int
    cache_creation_1h_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    web_search_requests: int

    @property
    def counts(self) -> TokenCounts:
        """The counts alone."""
        return TokenCounts(
            self.uncached_input_tokens,
            self.cache_creation_5m_input_tokens,
            self.cache_creation_1h_input_tokens,
            self.cache_read_input_tokens,
            self.output_tokens,
            self.web_search_requests,
        )


ReportRows = Mapping[datetime, Sequence[ReportRow]]
"""Rows by the start of their bucket."""


class LazyRows(Sequence[UsageRow]):
    """Rows in the form of the store, with known workspaces, created on access."""

    def __init__(self, rows: ReportRows) -> None:
        self._rows = rows
        self._count = sum(map(len, rows.values()))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[UsageRow]:
        for starts_at, rows in self._rows.items():
            for row in rows:
                yield usage_row(starts_at, row)

    @overload
    def __getitem__(self, index: int) -> UsageRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[UsageRow]: ...

    def __getitem__(self, index: int | slice) -> UsageRow | Sequence[UsageRow]:
        return list(self)[index]


def as_stored(rows: ReportRows, lazy_from: int = LAZY_FROM) -> Sequence[UsageRow]:
    """All rows in order; `lazy_from` or more are created on access."""
    lazy = LazyRows(rows)
    return lazy if len(lazy) >= lazy_from else tuple(lazy)


def usage_row(starts_at: datetime, row: ReportRow) -> UsageRow:
    """A row in the form of the store; its workspace must be set."""
    workspace = row.workspace_id or DEFAULT_WORKSPACE
    return UsageRow(starts_at, row.model or UNKNOWN_MODEL, workspace, row.api_key_id, row.terms, row.counts)


def report_row(row: UsageRow) -> ReportRow:
    """Inverse of `usage_row`."""
    return ReportRow(row.model, row.workspace_id, row.api_key_id, row.terms, *row.counts)


class _CacheCreation(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    # An unknown field may be a new lifetime of cache writes, which counts.
    ephemeral_5m_input_tokens: _Count
    ephemeral_1h_input_tokens: _Count


class _ServerToolUse(msgspec.Struct, gc=False):
    web_search_requests: _Count


class _Dimensions(msgspec.Struct, gc=False):
    model: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class _Counts(msgspec.Struct, gc=False):
    uncached_input_tokens: _Count
    cache_read_input_tokens: _Count
    cache_creation: _CacheCreation
    output_tokens: _Count
    server_tool_use: _ServerToolUse


class _Result(msgspec.Struct, gc=False):
    uncached_input_tokens: _Count
    cache_read_input_tokens: _Count
    cache_creation: _CacheCreation
    output_tokens: _Count
    server_tool_use: _ServerToolUse
    model: str | None = None
    workspace_id: str | None = None
    api_key_id: str | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class _Row(msgspec.Struct, gc=False):
    group: _Dimensions
    usage: _Counts


_RESULT = msgspec.json.Decoder(_Result)
_ROW = msgspec.json.Decoder(_Row)

UNUSUAL = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that do not match its type."""


class RowReader:
    """Reads the rows of one response. Equal texts and terms are interned: a response repeats the same keys many
    times.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._texts: dict[str | None, str | None] = {}
        self._terms: dict[tuple[str | None, str | None, str | None], Terms] = {}

    def result(self, entry: Entry, odd: OddFields) -> ReportRow | None:
        """A row of the admin report; None if it is no row."""
        try:
            found = _RESULT.decode(entry)
        except UNUSUAL:
            row = odd.usage(UsageResult, value_in(entry, self._path))
            return None if row is None else self._row(row, *row.tokens())
        odd.usual(1)
        return self._row(found, *_tokens(found))

    def row(self, entry: Entry, odd: OddFields) -> ReportRow | None:
        """A row of the analytics report, whose `group` and `usage` are objects; None if it is no row."""
        try:
            found = _ROW.decode(entry)
        except UNUSUAL:
            row = odd.usage(AnalyticsUsageRow, value_in(entry, self._path))
            return None if row is None else self._row(row.group, *row.usage.tokens())
        odd.usual(1)
        return self._row(found.group, *_tokens(found.usage))

    def _row(self, group: _Result | _Dimensions | Dimensions, *counts: int) -> ReportRow:
        terms = (group.service_tier, group.inference_geo, group.speed)
        known = self._terms.get(terms)
        if known is None:
            known = self._terms[terms] = Terms(*terms)
        text = self._texts.setdefault
        key, model, workspace = group.api_key_id, group.model, group.workspace_id
        return ReportRow(text(model, model), text(workspace, workspace), text(key, key), known, *counts)


def _tokens(counts: _Result | _Counts) -> tuple[int, int, int, int, int, int]:
    return (
        counts.uncached_input_tokens,
        counts.cache_creation.ephemeral_5m_input_tokens,
        counts.cache_creation.ephemeral_1h_input_tokens,
        counts.cache_read_input_tokens,
        counts.output_tokens,
        counts.server_tool_use.web_search_requests,
    )
