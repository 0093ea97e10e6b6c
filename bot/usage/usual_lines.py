"""The usual lines of transcripts, read straight into numbers; any other line is left to the general way.

A line is usual where its names are all known, each value has its usual type, and nothing in it could be a second
usage block. For such lines the general way comes to the same result, in many times the time.
"""

from typing import Annotated, Literal

import msgspec

from bot.pricing.call import EPOCH, MICROSECOND, UsualCall
from bot.pricing.responses import MESSAGE_ID
from bot.usage.moments import moment_in
from bot.usage.records import LONGEST_NAME, SYNTHETIC_MODEL
from bot.usage.usage_block import MOST_TOKENS, Skipped

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Plain = str | int | float | bool | None

SHORT = 900
"""Bytes; no shorter line is nested as deep, or has a number as long, as the general way refuses."""

MOST_BRACKETS = 400
MOST_DIGITS = 4000
"""Of a line that is not short: with more of them, the general way decides whether it is JSON."""

_DIGITS = b"0123456789"


class _Lifetimes(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _Tools(msgspec.Struct, gc=False):
    web_search_requests: Count | None = None


class _OnlyMessage(msgspec.Struct, gc=False):
    type: Literal["message"]
    input_tokens: Count
    output_tokens: Count
    model: str | msgspec.UnsetType = msgspec.UNSET


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input_tokens: Count
    output_tokens: Count
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: _Lifetimes | None = None
    server_tool_use: _Tools | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    iterations: list[_OnlyMessage] | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    usage: _Usage | msgspec.UnsetType = msgspec.UNSET
    type: Plain = None
    role: Plain = None
    content: msgspec.Raw = msgspec.Raw()
    stop_reason: Plain = None
    stop_sequence: Plain = None
    stop_details: None = None
    container: None = None
    context_management: None = None
    diagnostics: None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["assistant", "user"]
    message: _Message
    timestamp: str = ""
    sessionId: str = ""  # noqa: N815 - as it is written in the line
    uuid: Plain = None
    parentUuid: Plain = None  # noqa: N815
    requestId: Plain = None  # noqa: N815
    version: Plain = None
    cwd: Plain = None
    cwdHash: Plain = None  # noqa: N815
    gitBranch: Plain = None  # noqa: N815
    userType: Plain = None  # noqa: N815
    entrypoint: Plain = None
    slug: Plain = None
    agentId: Plain = None  # noqa: N815
    teamName: Plain = None  # noqa: N815
    promptId: Plain = None  # noqa: N815
    permissionMode: Plain = None  # noqa: N815
    isSidechain: Plain = None  # noqa: N815
    isMeta: Plain = None  # noqa: N815
    isApiErrorMessage: Plain = None  # noqa: N815
    isCompactSummary: Plain = None  # noqa: N815
    isVisibleInTranscriptOnly: Plain = None  # noqa: N815
    error: Plain = None
    sourceToolUseID: Plain = None  # noqa: N815
    sourceToolAssistantUUID: Plain = None  # noqa: N815
    toolUseResult: msgspec.Raw = msgspec.Raw()  # noqa: N815


class _Inner(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    message: _Message
    type: Plain = None
    timestamp: str = ""
    requestId: Plain = None  # noqa: N815
    uuid: Plain = None


class _Data(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["agent_progress"]
    message: _Inner
    agentId: Plain = None  # noqa: N815


class _Progress(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a sub-agent's call is written as, inside of the line that tells its progress."""

    type: Literal["progress"]
    data: _Data
    timestamp: Plain = None
    sessionId: str = ""  # noqa: N815
    uuid: Plain = None
    parentUuid: Plain = None  # noqa: N815
    version: Plain = None
    cwd: Plain = None
    cwdHash: Plain = None  # noqa: N815
    gitBranch: Plain = None  # noqa: N815
    userType: Plain = None  # noqa: N815
    slug: Plain = None
    isSidechain: Plain = None  # noqa: N815
    toolUseID: Plain = None  # noqa: N815
    parentToolUseID: Plain = None  # noqa: N815


PROGRESS = b'{"type":"progress",'
"""How the lines of progress begin; any other way of writing them is left to the general way."""

_decoded_progress = msgspec.json.Decoder(_Progress).decode
_decoded = msgspec.json.Decoder(_Line).decode


def usual(line: bytes) -> UsualCall | Skipped | None:
    """What a usual line holds, or why it holds no call; None for any other line."""
    if len(line) > SHORT and not _is_tame(line):
        return None
    if line.startswith(PROGRESS):
        return _in_progress(line)
    try:
        found = _decoded(line)
        line.decode()  # what is read over is not decoded
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    message = found.message
    usage = message.usage
    if usage is msgspec.UNSET:
        return Skipped.NO_USAGE
    if found.type != "assistant":
        return None
    return _call(found.timestamp, found.sessionId, message, usage)


def _in_progress(line: bytes) -> UsualCall | Skipped | None:
    try:
        found = _decoded_progress(line)
        line.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    inner = found.data.message
    usage = inner.message.usage
    return None if usage is msgspec.UNSET else _call(inner.timestamp, found.sessionId, inner.message, usage)


def _is_tame(line: bytes) -> bool:
    if line.count(b"[") + line.count(b"{") > MOST_BRACKETS:
        return False
    return len(line) <= MOST_DIGITS or len(line) - len(line.translate(None, _DIGITS)) <= MOST_DIGITS


def _call(timestamp: str, session: str, message: _Message, usage: _Usage) -> UsualCall | Skipped | None:
    model, response = message.model, message.id
    if model is msgspec.UNSET or response is msgspec.UNSET or not model or not session:
        return None
    if model == SYNTHETIC_MODEL:
        return Skipped.SYNTHETIC
    if len(response) > LONGEST_NAME or len(model) > LONGEST_NAME or MESSAGE_ID.fullmatch(response) is None:
        return None
    iterations = usage.iterations
    if iterations and (len(iterations) > 1 or iterations[0].model not in (msgspec.UNSET, model)):
        return None
    at = moment_in(timestamp)
    if at is None:
        return None
    split = one_hour = searches = 0
    if usage.cache_creation is not None:
        split = usage.cache_creation.ephemeral_5m_input_tokens or 0
        one_hour = usage.cache_creation.ephemeral_1h_input_tokens or 0
    if usage.server_tool_use is not None:
        searches = usage.server_tool_use.web_search_requests or 0
    return UsualCall(
        model,
        usage.service_tier or None,
        usage.inference_geo or None,
        usage.speed or None,
        (at - EPOCH) // MICROSECOND,
        response,
        session[:LONGEST_NAME],
        usage.input_tokens,
        split,
        one_hour,
        usage.cache_read_input_tokens or 0,
        usage.output_tokens,
        searches,
        max(usage.cache_creation_input_tokens or 0, split + one_hour),
    )
