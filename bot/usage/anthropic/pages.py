"""A page of a report, taken apart without being parsed: its entries stay bytes until somebody needs them."""

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from bot.usage.anthropic.client import json_object
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
