"""A page of a report, taken apart without being parsed: its entries stay bytes until somebody needs them."""

import codecs
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import msgspec

from bot.usage.anthropic.client import ExpiredCursorError, Query, Transport, json_object
from bot.usage.anthropic.responses import Page, parsed
from bot.usage.model import MalformedError

Entry = msgspec.Raw | bytes
"""The JSON text of one entry of `data`."""

_STEP_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class PageParts:
    """A page with its entries as they came. `size`: its bytes."""

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
    """Raises `MalformedError` for what is no page. No step holds the interpreter for longer than one pass over it."""
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
    """Python's own reader takes more than JSON has, such as NaN in a field that nobody reads, or UTF-16."""
    page = parsed(Page, json_object(body, path), path)
    entries = [json.dumps(value).encode() for value in page.data]
    return PageParts(entries, page.has_more, page.next_page, page.data_refreshed_at, len(body))


def _refuse_what_is_no_text(body: bytes) -> None:
    if body.isascii():
        return
    # Fields that are skipped are not looked into, and a body that is no text at all is not to be counted.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    for start in range(0, len(body), _STEP_BYTES):
        decoder.decode(body[start : start + _STEP_BYTES])
    decoder.decode(b"", final=True)


def value_in(entry: Entry, path: str) -> Any:
    """An entry as Python objects. Raises `MalformedError`."""
    try:
        return json.loads(bytes(entry))
    except (ValueError, RecursionError):
        raise MalformedError(f"Anthropic's answer from {path} is not JSON; nothing was counted.") from None


MOST_EMPTY_PAGES = 100
"""Pages without an entry that an answer may have before it counts as one without end."""


class Collector(Protocol):
    """Takes the pages of one answer in turn, outside the event loop."""

    def take(self, page: PageParts) -> None: ...

    def end(self) -> None:
        """There is no further page."""
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
    """A collector that has every page, asked for with the same parameters; `most_bytes`: of one page.

    There is no most pages: what ends an answer without end is a page that came before, or the time of the poll. A page
    token that has expired restarts the range, once.
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
    """From page to page, as long as each has something new."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._tokens: set[str] = set()
        self._first_entries: set[bytes] = set()
        self._empty = 0

    def next(self, page: PageParts) -> str | None:
        """The token of the page after this one. Raises `MalformedError` where the pages lead nowhere."""
        if not page.has_more:
            return None
        token = page.next_page
        if not token or token in self._tokens or not self._is_new(page.entries):
            raise MalformedError(f"Anthropic's pages from {self._path} do not come to an end; nothing was counted.")
        self._tokens.add(token)
        return token

    def _is_new(self, entries: Sequence[Entry]) -> bool:
        if not entries:
            self._empty += 1
            return self._empty <= MOST_EMPTY_PAGES
        # No entry comes twice: it is a bucket, or the sum of a bucket's usage with these dimensions.
        first = sha256(entries[0]).digest()
        if first in self._first_entries:
            return False
        self._first_entries.add(first)
        return True


class Values:
    """Implements `Collector` for reports of few rows: every entry as Python objects."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.values: list[Any] = []

    def take(self, page: PageParts) -> None:
        """Keep all entries."""
        self.values += [value_in(entry, self._path) for entry in page.entries]

    def end(self) -> None:
        """Nothing is left to do."""
