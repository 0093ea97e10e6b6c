"""Rows of both usage reports → what they say: the usual shape straight from the bytes, anything odd field by field."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, overload

import msgspec

from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.anthropic.odd_fields import OddFields
from bot.usage.anthropic.pages import Entry, value_in
from bot.usage.anthropic.responses import MOST, AnalyticsUsageRow, Dimensions, UsageResult
from bot.usage.model import DEFAULT_WORKSPACE, UsageRow

_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]


LAZY_FROM = 20_000
"""Of more rows, those that are asked for are made one by one: millions of objects stop the loop while the collector
looks through them. A `msgspec.Struct` without `gc` is none of its concern."""

UNKNOWN_MODEL = "unknown"
"""A row without a model, which only a server that does not group would send."""


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
"""By the start of their bucket."""


class LazyRows(Sequence[UsageRow]):
    """Rows whose workspaces are as the store has them, made one by one."""

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
    """All rows, one after the other; `lazy_from` and more are made while they are read."""
    lazy = LazyRows(rows)
    return lazy if len(lazy) >= lazy_from else tuple(lazy)


def usage_row(starts_at: datetime, row: ReportRow) -> UsageRow:
    """A row whose workspace is set, as the store has it."""
    workspace = row.workspace_id or DEFAULT_WORKSPACE
    return UsageRow(starts_at, row.model or UNKNOWN_MODEL, workspace, row.api_key_id, row.terms, row.counts)


def report_row(row: UsageRow) -> ReportRow:
    """The same, the other way round."""
    return ReportRow(row.model, row.workspace_id, row.api_key_id, row.terms, *row.counts)


class _CacheCreation(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    # A field that is not known may be a new time, which counts.
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
"""What a decoder raises for bytes that are not as its type says."""


class RowReader:
    """Reads the rows of one answer. Equal texts and terms are kept once: an answer has the same keys many times."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._texts: dict[str | None, str | None] = {}
        self._terms: dict[tuple[str | None, str | None, str | None], Terms] = {}

    def result(self, entry: Entry, odd: OddFields) -> ReportRow | None:
        """A row of the admin report; None for what is no row."""
        try:
            found = _RESULT.decode(entry)
        except UNUSUAL:
            row = odd.usage(UsageResult, value_in(entry, self._path))
            return None if row is None else self._row(row, *row.tokens())
        odd.usual(1)
        return self._row(found, *_tokens(found))

    def row(self, entry: Entry, odd: OddFields) -> ReportRow | None:
        """A row of the analytics report, of which `group` and `usage` are objects; None for what is no row."""
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
