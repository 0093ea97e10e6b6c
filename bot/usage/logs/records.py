"""Converts one recorded JSON object into a call. Pure: no files, no prices.

Three kinds are recognised by content, none by name: a team's own log record, anything that carries a Messages
response or its `usage` block, and lines of Claude Code transcripts. Each record is one call at most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.pricing.responses import Call
from bot.usage.logs.moments import moment_in
from bot.usage.logs.usage_block import (
    FOREIGN_NAMES,
    Record,
    Skipped,
    UnusableError,
    counts_and_unsplit_in,
    has_lifetimes,
    has_own_names,
    is_complete,
    is_foreign,
    is_object,
    is_usage,
    iterations_in,
    terms_in,
    translated_from_pi,
)

SYNTHETIC_MODEL = "<synthetic>"
"""The model that Claude Code writes for its own messages, such as error notices."""

DEEPEST = 8
LONGEST_NAME = 200

MODEL = ("model", "model_id", "modelId", "model_name", "model_version")
TIME = (
    *("timestamp", "ts", "time", "created_at", "createdAt", "datetime", "@timestamp", "start_time", "date"),
    *("starting_at", "usage_date_utc"),
)
SESSION = ("sessionId", "session_id", "session", "conversation_id", "conversationId", "thread_id")
REQUEST_ID = ("requestId", "request_id", "_request_id")
MESSAGE_ID = ("message_id", "messageId")
FEATURE = ("feature", "feature_name", "task_name")
USER = ("user_id", "user", "userId")

ELSEWHERE = frozenset({*MODEL, *TIME, *MESSAGE_ID, *SESSION, *FEATURE, *USER} - {"timestamp", "sessionId"})
NAMES_AND_TIMES = frozenset({*ELSEWHERE, *REQUEST_ID, "timestamp", "sessionId"} - {"model"})
"""Fields that a usual transcript line lacks, in the line and in its message."""

WITHOUT_CALLS = frozenset(
    {"content", "toolUseResult", "iterations", "cache_creation", "server_tool_use", "output_tokens_details"}
)
"""Parts of a transcript line that are not searched for usage blocks."""

UNSEARCHED = frozenset({"iterations", "content", "toolUseResult"})
"""`iterations` are read with the block that contains them; `content` is conversation; `toolUseResult` repeats a
sub-agent's last call, which has its own line.
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """A usage block, and the objects around it from the record inwards to the block itself."""

    path: tuple[Record, ...]
    in_list: bool

    @property
    def block(self) -> Record:
        return self.path[-1]


def call_in(record: Record) -> Call | Skipped:
    """The call of a record, or the reason why it has none.

    Of several usage blocks the one with a `cache_creation` object counts, then one with the API's own names for
    cached tokens, then the outermost. Blocks in lists count only where there is no other, and only alone. Model, time
    and ids are those nearest to the block. A time without a zone is UTC.
    """
    try:
        found = _plain_block(record)
        if found is not None and len(found.path) == 3 and (call := _plain_call(found)) is not None:
            return call
        found = found or _usage(record)
        block = found.block
        counts, unsplit = counts_and_unsplit_in(block)
        model = _model(found)
        if model == SYNTHETIC_MODEL:
            return Skipped.SYNTHETIC
        iterations = iterations_in(block, model, counts)
        return Call(
            model=model,
            counts=counts,
            terms=terms_in(block),
            at=_time(found),
            feature=_name(found, FEATURE),
            user=_name(found, USER),
            response=_response(found),
            session=_nearest(found, SESSION),
            unsplit=unsplit,
            inside=iterations.inside,
            outside=iterations.outside,
            odd=iterations.odd,
        )
    except UnusableError as unusable:
        return unusable.reason


def _plain_block(record: Record) -> _Found | None:
    """The only block of a flat record or a usual transcript line, found without a search."""
    message = record.get("message")
    if not isinstance(message, dict):
        if "input_tokens" not in record or "output_tokens" not in record or not FOREIGN_NAMES.isdisjoint(record):
            return None
        for value in record.values():
            if type(value) is dict or type(value) is list:
                return None
        return _Found((record,), False)
    block = message.get("usage")
    if not isinstance(block, dict) or "input_tokens" not in block or not FOREIGN_NAMES.isdisjoint(block):
        return None
    for part, inner in ((record, message), (message, block), (block, None)):
        for name, value in part.items():
            kind = type(value)
            if (kind is dict or kind is list) and value is not inner and name not in WITHOUT_CALLS and value:
                return None
    return _Found((record, message, block), False)


def _plain_call(found: _Found) -> Call | None:
    """The call of the usual transcript line, with names and time in their usual places only."""
    record, message, block = found.path
    model, response, session = message.get("model"), message.get("id"), record.get("sessionId")
    if not (type(model) is str and type(response) is str and type(session) is str and response[:4] == "msg_"):
        return None
    if model == SYNTHETIC_MODEL or len(response) > LONGEST_NAME or len(model) > LONGEST_NAME:
        return None
    if not (ELSEWHERE.isdisjoint(record) and NAMES_AND_TIMES.isdisjoint(message) and NAMES_AND_TIMES.isdisjoint(block)):
        return None
    at = moment_in(record.get("timestamp"))
    if not model or at is None:
        return None
    counts, unsplit = counts_and_unsplit_in(block)
    iterations = iterations_in(block, model, counts)
    return Call(
        model,
        counts,
        terms_in(block),
        at,
        response=response,
        session=session[:LONGEST_NAME],
        unsplit=unsplit,
        inside=iterations.inside,
        outside=iterations.outside,
        odd=iterations.odd,
    )


def records_in(value: Any) -> Iterator[Record | Skipped]:
    """The records of one JSON value: the elements of a list, or the value itself."""
    for element in value if isinstance(value, list) else (value,):
        yield element if is_object(element) else Skipped.NOT_AN_OBJECT


def records_of_document(value: Any) -> Iterator[Record | Skipped]:
    """Records of a value that is a whole file: an object that only wraps lists of records is unpacked."""
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
        return max(own, key=_detail)
    if len(listed) > 1:
        raise UnusableError(Skipped.SEVERAL)
    if listed:
        return listed[0]
    raise UnusableError(Skipped.FOREIGN if foreign else Skipped.NO_USAGE)


def _detail(found: _Found) -> tuple[bool, bool, bool, int]:
    return is_complete(found.block), has_lifetimes(found.block), has_own_names(found.block), -len(found.path)


def _search(path: tuple[Record, ...], in_list: bool, own: list[_Found], listed: list[_Found]) -> bool:
    """Add the usage blocks at and below the end of `path`; returns whether there is also usage in other terms."""
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


def _response(found: _Found) -> str | None:
    message_id = _nearest(found, MESSAGE_ID)
    if message_id is not None:
        return message_id
    # A usage block lies in its message; a flat record is its own.
    message = found.path[-2:][0]
    own = message.get("id")
    if isinstance(own, str) and own and (_is_message(message, own) or _nearest(found, REQUEST_ID) is not None):
        return own[:LONGEST_NAME]
    return None


def _is_message(part: Record, own_id: str) -> bool:
    """Whether an `id` names a response; rows, sessions and users have ids too."""
    return own_id.startswith("msg_") or part.get("type") == "message" or part.get("role") == "assistant"


def _time(found: _Found) -> datetime | None:
    for part in reversed(found.path):
        for name in TIME:
            if name in part and (moment := moment_in(part[name])) is not None:
                return moment
    return None


def _name(found: _Found, names: tuple[str, ...]) -> str | None:
    """A name near the block, or in an object directly in the record, such as `metadata`."""
    near = _nearest(found, names)
    if near is not None or len(found.path) == 1:
        return near
    for part in found.path[0].values():
        if isinstance(part, dict) and (name := _first(part, names)) is not None:
            return name
    return None


def _nearest(found: _Found, names: tuple[str, ...]) -> str | None:
    for part in reversed(found.path):
        for name in names:
            if name in part and (text := _text(part[name])) is not None:
                return text
    return None


def _first(part: Record, names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in part and (text := _text(part[name])) is not None:
            return text
    return None


def _text(value: Any) -> str | None:
    """A name or an id; numbers are written out, since ids of users often are numbers."""
    if type(value) is str and value:
        return value[:LONGEST_NAME]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value[:LONGEST_NAME] if isinstance(value, str) and value else None
