"""Events of the ledger from one record that an application sends, usual ones fast; or why it is rejected. Pure.

The fields are those of the team's usage log; anything else that `price` reads from a file is read here too. Unknown
fields are ignored. A record that would silently be lost or counted wrongly is rejected with one sentence.

Anything unusual in a record leaves it to `bot.ledger.records`, which alone decides what is rejected and why.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from bot.ledger.events_of_call import LONGEST_TAG_NAME, MOST_TAGS, RecordLabels, events_of_call, outcome_of
from bot.ledger.model import (
    FURTHEST_AHEAD,
    LONGEST_NAME,
    PROMPT_EDGES,
    Dimensions,
    Event,
    Outcome,
    Tags,
    clean_name,
    clean_or_none,
    prompts_above,
    tags_of,
)
from bot.pricing.model_names import Kind, is_foreign
from bot.pricing.responses import Call
from bot.pricing.tokens import TokenCounts
from bot.usage.logs.moments import moment_in
from bot.usage.logs.records import MESSAGE_ID, call_in
from bot.usage.logs.usage_block import (
    CACHE_READ,
    CACHE_WRITE,
    CACHE_WRITE_1H,
    CACHE_WRITE_5M,
    INPUT,
    MOST_TOKENS,
    OUTPUT,
    Record,
    Skipped,
)

TIMES = ("time", "timestamp")
NAMES = ("feature", "user_id", "workspace", "key", "session", "request_id")
TERMS = ("service_tier", "inference_geo", "speed")
FOUR = frozenset({*INPUT, *OUTPUT, *CACHE_READ, *CACHE_WRITE, *CACHE_WRITE_1H, *CACHE_WRITE_5M, "web_search_requests"})
"""Counts of a short record, in every spelling; a `usage` block counts instead of them."""

TOO_DEEP = "nested too deep"
TOO_LONG = "a whole number is too long for a name"


class RefusedRecordError(Exception):
    """A record is not stored; the message is one clause that quotes nothing of it."""


def value_of(text: bytes | msgspec.Raw) -> object:
    """The value of a JSON text. Raises `RefusedRecordError` if it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise RefusedRecordError(TOO_DEEP) from None
    except (msgspec.DecodeError, ValueError):
        raise RefusedRecordError(Skipped.NOT_JSON) from None


def events_in(record: Any, now: datetime, new_id: Callable[[], str]) -> list[Event]:
    """The events of a decoded JSON value: one, plus one for each part billed for another model.

    `new_id` makes the id of a record without one. Raises `RefusedRecordError`.
    """
    if not isinstance(record, dict):
        raise RefusedRecordError(Skipped.NOT_AN_OBJECT)
    outcome = _outcome(record.get("outcome"))
    names = {name: _name(record, name) for name in NAMES}
    tags = _tags(record.get("tags"))
    own_id = next(filter(None, [_id(record.get(name)) for name in (*MESSAGE_ID, "id")]), None)
    call = _call(record, outcome)
    at = _moment(record, call, now)
    labels = RecordLabels(tags, names["workspace"], names["key"], outcome, names["request_id"])
    call = replace(
        call,
        feature=names["feature"] or clean_or_none(call.feature),
        user=names["user_id"] or clean_or_none(call.user),
        session=names["session"] or clean_or_none(call.session),
    )
    return events_of_call(call, _id(call.response) or own_id or new_id(), at, labels)


def _call(record: Record, outcome: Outcome) -> Call:
    usage = record.get("usage")
    if usage == {}:
        usage = None
    if usage is not None and not isinstance(usage, dict):
        raise RefusedRecordError("usage is not a JSON object")
    plain: dict[str, Any] = {name: value for name, value in record.items() if name not in ("usage", "tags")}
    # A message with nested values has its usage in one of them.
    is_own = usage is not None or not any(isinstance(value, dict | list) for value in plain.values())
    if usage is not None:
        block = dict(usage)
        plain = {**{name: value for name, value in plain.items() if name not in FOUR}, "usage": block}
    else:
        block = plain
        if "web_search_requests" in plain and not isinstance(plain.get("server_tool_use"), dict):
            plain["server_tool_use"] = {"web_search_requests": plain["web_search_requests"]}
    for name in TERMS:
        if block.get(name) is None and record.get(name) is not None:
            block[name] = record[name]
        if not isinstance(block.get(name), str | None):
            raise RefusedRecordError(f"{name} is not a text")
    if outcome is not Outcome.OK and is_own:
        for name in (*INPUT, *OUTPUT):
            if block.get(name) is None:
                block[name] = 0
    try:
        call = call_in(plain)
    except ValueError:
        # Python writes out no number of more than 4,300 digits.
        raise RefusedRecordError(TOO_LONG) from None
    if isinstance(call, Skipped):
        raise RefusedRecordError(call.value)
    if is_foreign(call.model):
        raise RefusedRecordError(Kind.NOT_CLAUDE.value)
    return call


def _moment(record: Record, call: Call, now: datetime) -> datetime:
    if call.at is None:
        # An unreadable time would be taken for the present.
        if any(record.get(name) not in (None, "") for name in TIMES):
            raise RefusedRecordError("the time is no ISO 8601 time since 2023 and no number of seconds since 1970")
        return now
    if call.at > now + FURTHEST_AHEAD:
        raise RefusedRecordError("the time is more than a day ahead")
    return call.at.astimezone(UTC)


def _outcome(value: Any) -> Outcome:
    found = outcome_of(value)
    if found is None:
        raise RefusedRecordError("outcome is not ok, error or rate_limited")
    return found


def _id(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return _digits(value)
    if not isinstance(value, str):
        raise RefusedRecordError("id is neither a text nor a whole number")
    if len(value) > LONGEST_NAME:
        raise RefusedRecordError(f"id is longer than {LONGEST_NAME} characters")
    if not value.isprintable():
        raise RefusedRecordError("id has a control character")
    return value


def _name(record: Record, name: str) -> str | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(value)
    if not isinstance(value, str):
        raise RefusedRecordError(f"{name} is neither a text nor a whole number")
    return clean_name(value) or None


def _tags(value: Any) -> Tags:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise RefusedRecordError("tags are not a JSON object")
    if len(value) > MOST_TAGS:
        raise RefusedRecordError(f"more than {MOST_TAGS} tags")
    return tags_of({name: text for name, text in map(_tag, value.items()) if text})


def _tag(pair: tuple[str, Any]) -> tuple[str, str]:
    name, value = pair
    if len(name) > LONGEST_TAG_NAME:
        raise RefusedRecordError(f"a tag's name is longer than {LONGEST_TAG_NAME} characters")
    clean = clean_name(name)
    if not clean:
        raise RefusedRecordError("a tag has no name")
    if value is None:
        return clean, ""
    if isinstance(value, bool):
        return clean, str(value).lower()
    if isinstance(value, int):
        return clean, _digits(value)
    if not isinstance(value, str):
        raise RefusedRecordError("a tag is neither a text nor a whole number")
    return clean, clean_name(value)


def _digits(number: int) -> str:
    if abs(number) > 10**LONGEST_NAME:
        raise RefusedRecordError(TOO_LONG)
    return str(number)


MOST_KEPT = 20_000
"""Combinations of labels that are cached."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)] | None


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An object without other fields."""


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
    """Reads records one by one; thread-safe. Labels seen before cost next to nothing."""

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
    """The counts; None if tokens are missing."""
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
    """Everything that decides the dimensions, as sent."""
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
    """The event; None if a name, an id or a time is unusual."""
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
