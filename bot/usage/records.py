"""One recorded JSON object → the call that it tells of. Pure: files are read elsewhere, prices are known elsewhere.

Three kinds are told apart by content and none by name: a team's own log record, anything that carries a Messages
response or its `usage` block, and lines of Claude Code transcripts. Each record is one call at most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.pricing.tally import Call
from bot.usage.usage_block import (
    Record,
    Skipped,
    UnusableError,
    beside_in,
    counts_in,
    has_lifetimes,
    is_complete,
    is_foreign,
    is_object,
    is_usage,
    terms_in,
    translated_from_pi,
)

SYNTHETIC_MODEL = "<synthetic>"
"""What Claude Code writes as the model of messages that it made up itself, such as notices of an error."""

EARLIEST = datetime(2023, 1, 1, tzinfo=UTC)
"""Before the API existed; an earlier time is a field that was never set."""

DEEPEST = 8
LONGEST_NAME = 200

MODEL = ("model", "model_id", "modelId", "model_name")
TIME = ("timestamp", "ts", "time", "created_at", "createdAt", "datetime", "@timestamp", "start_time", "date")
REQUEST_ID = ("requestId", "request_id", "_request_id")
MESSAGE_ID = ("message_id", "messageId")
FEATURE = ("feature", "feature_name", "task_name")
USER = ("user_id", "user", "userId")

UNSEARCHED = frozenset({"iterations", "content", "toolUseResult"})
"""`iterations` repeats the block that contains it; `content` is what was said; `toolUseResult` tells of a sub-agent's
last call, which has a line of its own."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A usage block, and the objects around it from the record inwards to the block itself."""

    path: tuple[Record, ...]
    in_list: bool

    @property
    def block(self) -> Record:
        return self.path[-1]


def call_in(record: Record) -> Call | Skipped:
    """The one call that a record tells of, or why there is none.

    Of several usage blocks the one with a `cache_creation` object counts, then the outermost. Blocks in lists count
    only where there is no other, and only alone. Model, time and ids are those nearest to the block. A time without
    a zone is UTC. A message id without any request id still names the response.
    """
    try:
        found = _usage(record)
        counts = counts_in(found.block)
        model = _model(found)
        if model == SYNTHETIC_MODEL:
            return Skipped.SYNTHETIC
        return Call(
            model=model,
            counts=counts,
            terms=terms_in(found.block),
            at=_time(found),
            feature=_name(found, FEATURE),
            user=_name(found, USER),
            response=_response(found),
            ttl_known=has_lifetimes(found.block),
            beside=tuple(beside_in(found.block, model)),
        )
    except UnusableError as unusable:
        return unusable.reason


def records_in(value: Any) -> Iterator[Record | Skipped]:
    """The records of one JSON value: the elements of a list, or the value itself."""
    for element in value if isinstance(value, list) else (value,):
        yield element if is_object(element) else Skipped.NOT_AN_OBJECT


def records_of_document(value: Any) -> Iterator[Record | Skipped]:
    """The same for a value that is a whole file: an object that is only a wrapping of lists of records is unpacked."""
    lists = []
    if is_object(value) and call_in(value) is Skipped.SEVERAL:
        lists = [part for part in value.values() if isinstance(part, list) and any(map(is_object, part))]
    for part in lists or (value,):
        yield from records_in(part)


def _usage(record: Record) -> _Found:
    own: list[_Found] = []
    listed: list[_Found] = []
    foreign = _search((record,), False, own, listed)
    if own:
        return max(own, key=_tells)
    if len(listed) > 1:
        raise UnusableError(Skipped.SEVERAL)
    if listed:
        return listed[0]
    raise UnusableError(Skipped.FOREIGN if foreign else Skipped.NO_USAGE)


def _tells(found: _Found) -> tuple[bool, bool, int]:
    return is_complete(found.block), has_lifetimes(found.block), -len(found.path)


def _search(path: tuple[Record, ...], in_list: bool, own: list[_Found], listed: list[_Found]) -> bool:
    """Add the usage blocks at and below the end of `path`; whether there is usage in other terms too."""
    part = path[-1]
    foreign = is_foreign(part)
    if not foreign and is_usage(part):
        (listed if in_list else own).append(_Found(path, in_list))
    elif (translated := translated_from_pi(part)) is not None:
        if path[-2:][0].get("api") == "anthropic-messages":
            (listed if in_list else own).append(_Found((*path[:-1], translated), in_list))
        else:
            foreign = True
    if len(path) > DEEPEST:
        return foreign
    for name, value in part.items():
        if isinstance(value, dict):
            if name not in UNSEARCHED:
                foreign |= _search((*path, value), in_list, own, listed)
        elif isinstance(value, list) and name not in UNSEARCHED:
            for element in value:
                if isinstance(element, dict):
                    foreign |= _search((*path, element), True, own, listed)
    return foreign


def _model(found: _Found) -> str:
    model = _nearest(found, MODEL)
    if model is not None:
        return model
    # A log of requests and responses has the model with the request, beside the response.
    beside = {_first(part, MODEL) for part in found.path[0].values() if is_object(part)} - {None}
    if len(beside) != 1:
        raise UnusableError(Skipped.NO_MODEL)
    return str(beside.pop())


def _response(found: _Found) -> tuple[str, str | None] | None:
    request_id = _nearest(found, REQUEST_ID)
    message_id = _nearest(found, MESSAGE_ID)
    if message_id is None:
        # A usage block lies in its message; a flat record is its own.
        message = found.path[-2:][0]
        own = message.get("id")
        if isinstance(own, str) and own and (request_id is not None or _is_message(message, own)):
            message_id = own
    return None if message_id is None else (message_id, request_id)


def _is_message(part: Record, own_id: str) -> bool:
    """Whether an `id` names a response; anything else has one too: a row, a session, a user."""
    return own_id.startswith("msg_") or part.get("type") == "message" or part.get("role") == "assistant"


def _time(found: _Found) -> datetime | None:
    for part in reversed(found.path):
        for name in TIME:
            if name in part and (moment := _moment(part[name])) is not None:
                return moment
    return None


def _moment(value: Any) -> datetime | None:
    """A time as logs write it: ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and 0 < value < 1e20:
            seconds = float(value)
            while seconds > 1e11:  # in seconds, that would be after the year 5000
                seconds /= 1000
            moment = datetime.fromtimestamp(seconds, UTC)
        else:
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EARLIEST else None


def _name(found: _Found, names: tuple[str, ...]) -> str | None:
    """A name near the block, or in one of the objects directly in the record, such as `metadata`."""
    near = _nearest(found, names)
    if near is not None:
        return near
    for part in found.path[0].values():
        if isinstance(part, dict) and (name := _first(part, names)) is not None:
            return name
    return None


def _nearest(found: _Found, names: tuple[str, ...]) -> str | None:
    for part in reversed(found.path):
        if (text := _first(part, names)) is not None:
            return text
    return None


def _first(part: Record, names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in part and (text := _text(part[name])) is not None:
            return text
    return None


def _text(value: Any) -> str | None:
    """A name or an id; numbers are written out, since ids of users often are numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value[:LONGEST_NAME] if isinstance(value, str) and value else None
