"""The usual record of an application, read several times as fast as any other. Pure.

Whatever is unusual in a record leaves it to `bot.ledger.records`, which decides alone what is refused and why.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec

from bot.ledger.model import FURTHEST_AHEAD, LONGEST_NAME, PROMPT_EDGES, Dimensions, Event, Outcome, prompts_above
from bot.ledger.records import events_in, value_of
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.moments import moment_in
from bot.usage.logs.usage_block import MOST_TOKENS

MOST_KEPT = 20_000
"""Combinations of labels that are known by heart."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)] | None


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An object that has no other fields."""


class _Lifetimes(_Plain):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class _Tools(_Plain):
    web_search_requests: Count = None
    web_fetch_requests: Count = None


class _Usage(_Plain):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: _Lifetimes | None = None
    server_tool_use: _Tools | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class _Record(_Plain):
    model: str
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read: Count = None
    cache_create: Count = None
    usage: _Usage | None = None
    feature: str | None = None
    user_id: str | None = None
    workspace: str | None = None
    key: str | None = None
    tags: dict[str, str] | None = None
    id: str | None = None
    message_id: str | None = None
    request_id: str | None = None
    session: str | None = None
    time: str | int | float | None = None
    timestamp: str | int | float | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    web_search_requests: Count = None
    outcome: str | None = None


class RecordReader:
    """Reads records one by one; several threads may. Labels that it has met before cost next to nothing."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(_Record).decode
        self._known: dict[tuple[object, ...], Dimensions] = {}

    def events(self, text: bytes | msgspec.Raw, now: datetime, new_id: Callable[[], str]) -> list[Event]:
        """The events of a record's JSON text. Raises `RefusedRecordError`."""
        try:
            record = self._decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return events_in(value_of(text), now, new_id)
        counts = _counts(record)
        if counts is None:
            return events_in(value_of(text), now, new_id)
        labels = _labels(record, counts)
        dimensions = self._known.get(labels)
        event = None if dimensions is None else _event(record, counts, dimensions, now, new_id)
        if event is not None:
            return [event]
        events = events_in(value_of(text), now, new_id)
        if dimensions is None and len(events) == 1:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[labels] = events[0].dimensions
        return events


def _counts(record: _Record) -> TokenCounts | None:
    """None where tokens are missing."""
    usage = record.usage
    if usage is None:
        if record.input_tokens is None or record.output_tokens is None:
            return None
        return TokenCounts(
            record.input_tokens,
            record.cache_create or 0,
            0,
            record.cache_read or 0,
            record.output_tokens,
            record.web_search_requests or 0,
        )
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    five_minutes = one_hour = 0
    if usage.cache_creation is not None:
        five_minutes = usage.cache_creation.ephemeral_5m_input_tokens or 0
        one_hour = usage.cache_creation.ephemeral_1h_input_tokens or 0
    tools = usage.server_tool_use
    return TokenCounts(
        usage.input_tokens,
        max(five_minutes, (usage.cache_creation_input_tokens or 0) - one_hour),
        one_hour,
        usage.cache_read_input_tokens or 0,
        usage.output_tokens,
        (tools.web_search_requests or 0) if tools is not None else 0,
    )


def _unsplit(record: _Record, counts: TokenCounts) -> int:
    """How many of the 5-minute writes were reported without a lifetime."""
    lifetimes = None if record.usage is None else record.usage.cache_creation
    split = 0 if lifetimes is None else lifetimes.ephemeral_5m_input_tokens or 0
    return counts.cache_creation_5m_input_tokens - split


def _labels(record: _Record, counts: TokenCounts) -> tuple[object, ...]:
    """What decides about the dimensions, as it was sent."""
    prompt = counts[0] + counts[1] + counts[2] + counts[3]
    above = 0 if prompt <= PROMPT_EDGES[0] else prompts_above(prompt)
    usage, tags = record.usage, record.tags
    names = (record.model, record.feature, record.user_id, record.workspace, record.key, above)
    terms = (record.service_tier, record.inference_geo, record.speed)
    if usage is not None:
        terms = (*terms, usage.service_tier, usage.inference_geo, usage.speed)  # type: ignore[assignment]
    return (*names, terms, *tags.items()) if tags else (*names, terms)


def _event(
    record: _Record, counts: TokenCounts, dimensions: Dimensions, now: datetime, new_id: Callable[[], str]
) -> Event | None:
    """None where a name, an id or a time is not as usual."""
    if record.message_id is not None or record.timestamp is not None:
        if record.id is not None or record.time is not None:
            return None
        event_id, time = record.message_id, record.timestamp
    else:
        event_id, time = record.id, record.time
    if record.outcome not in (None, "ok"):
        return None
    if event_id is None:
        event_id = new_id()
    elif not event_id or len(event_id) > LONGEST_NAME or not event_id.isprintable():
        return None
    for name in (record.request_id, record.session):
        if name is not None and (not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip()):
            return None
    at = now if time is None else moment_in(time)
    if at is None or at - now > FURTHEST_AHEAD:
        return None
    unsplit = _unsplit(record, counts)
    return Event(event_id, at, dimensions, counts, Outcome.OK, 1, record.request_id, record.session, unsplit)
