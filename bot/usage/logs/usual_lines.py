"""The fast path: usual lines of transcripts read straight into numbers; other lines take the general path.

A line is usual if all its names are known, each value has its usual type, and nothing in it could be a second usage
block. The general path gives the same result for such lines, many times slower.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET

from bot.pricing.responses import EPOCH, MESSAGE_ID, MICROSECOND, STATE, Call, Numbers
from bot.pricing.tally import FileCalls
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.logs.moments import EARLIEST, moment_in
from bot.usage.logs.records import LONGEST_NAME, SYNTHETIC_MODEL
from bot.usage.logs.usage_block import MOST_TOKENS, Skipped

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Plain = str | int | float | bool | None

MOST_DIGITS = 4000
"""Most digits in a line; with more, the general path decides whether it is JSON: a number may be too long."""

STRIDE = 250
"""Bytes between two samples: a run of too many digits hits several of them."""

_DIGITS = b"0123456789"

USUAL_TIME = len("2026-09-01T10:00:00.000Z")


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
    """The form of a sub-agent's call inside a progress line."""

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
"""How progress lines begin; other spellings take the general path."""

_decoded_progress = msgspec.json.Decoder(_Progress).decode
_decoded = msgspec.json.Decoder(_Line).decode
_pack = STATE.pack
_UNDECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

MOST_OPEN = 4096
"""Responses whose last record is kept as read: the records of one response are close to each other."""

Opened = list[Any]
"""The last record of a response: model, usage, first and last time of the records that repeat it; session, folder and
branch.
"""

Close = Callable[[str, Opened], None]
"""Receives completed responses, instead of the calls of the file."""


class UsualLines:
    """Takes the usual lines of a file, and adds their calls to that file, or to its next part."""

    def __init__(self, calls: FileCalls, close: Close | None = None, most_open: int = MOST_OPEN) -> None:
        self._most_open = most_open
        self._calls = calls
        self._to = close
        self._open: dict[str, Opened] = {}
        self._session = ""

    def take(self, lines: Iterable[bytes]) -> list[bytes]:
        """Count usual lines; return the other lines in order."""
        calls, others = self._calls, list[bytes]()
        known_as = self._open.get
        fromisoformat, responses = datetime.fromisoformat, calls.responses
        for line in lines:
            if len(line) > MOST_DIGITS and not _is_tame(line):
                others.append(line)
                continue
            try:
                if line.startswith(PROGRESS):
                    progress = _decoded_progress(line)
                    found: _Line | _Progress = progress
                    session, text = progress.sessionId, progress.data.message.timestamp
                    message = progress.data.message.message
                    usage = message.usage
                    is_call = usage is not UNSET
                else:
                    found = plain = _decoded(line)
                    session, text, message = plain.sessionId, plain.timestamp, plain.message
                    usage = message.usage
                    is_call = usage is UNSET or plain.type == "assistant"
                if not line.isascii():
                    line.decode()  # Skipped parts are not decoded.
            except _UNDECODED:
                others.append(line)
                continue
            if not is_call:
                others.append(line)
                continue
            if usage is UNSET:
                calls.skipped[Skipped.NO_USAGE.value] += 1
                continue
            try:
                at = fromisoformat(text) if len(text) == USUAL_TIME and text[-1] == "Z" else moment_in(text)
            except ValueError:
                at = moment_in(text)
            known = None if message.id is UNSET else known_as(message.id)
            if known is None or known[1] != usage or known[0] != message.model or session != self._session:
                if not self._begin(message, usage, session, at, found):
                    others.append(line)
            elif at is None or at < EARLIEST:
                others.append(line)
            else:
                responses.repeats += 1
                if at > known[3]:
                    known[3] = at
                elif at < known[2]:
                    known[2] = at
        return others

    def go_on(self, calls: FileCalls) -> None:
        """Add what follows to the next part of the file."""
        self.finish()
        self._calls = calls

    def finish(self) -> None:
        """Add held-back records."""
        self._close(self._open.items())
        self._open.clear()
        self._session = ""

    def _close(self, opened: Iterable[tuple[str, Opened]]) -> None:
        if self._to is None:
            responses = self._calls.responses
            responses.add_states((response, _state(record, responses.numbers)) for response, record in opened)
            return
        for response, record in opened:
            self._to(response, record)

    def _begin(
        self, message: "_Message", usage: "_Usage", session: str, at: datetime | None, line: "_Line | _Progress"
    ) -> bool:
        """Take a record that does not repeat the one before; False if the general path has to read it."""
        model, response = message.model, message.id
        if model is UNSET or response is UNSET or not model or not session:
            return False
        calls = self._calls
        if model == SYNTHETIC_MODEL:
            calls.skipped[Skipped.SYNTHETIC.value] += 1
            return True
        if len(response) > LONGEST_NAME or len(model) > LONGEST_NAME or MESSAGE_ID.fullmatch(response) is None:
            return False
        iterations = usage.iterations
        if iterations and (len(iterations) > 1 or iterations[0].model not in (UNSET, model)):
            return False
        if at is None or at < EARLIEST:
            return False
        if not calls.is_claude(model):
            calls.not_claude[model] += 1
            return True
        if session != self._session:
            self._session = session
            calls.sessions.add(session[:LONGEST_NAME])
        opened = self._open
        before = opened.get(response)
        if before is not None:
            self._close(((response, before),))
        elif len(opened) >= self._most_open:
            self.finish()
            self._session = session
        opened[response] = [model, usage, at, at, session, line.cwd, line.gitBranch]
        return True


def usual_call(response: str, record: Opened) -> Call:
    """The record as a call at its first time."""
    model, usage, first, _, session, _, _ = record
    split = one_hour = searches = 0
    lifetimes, tools = usage.cache_creation, usage.server_tool_use
    if lifetimes is not None:
        split = lifetimes.ephemeral_5m_input_tokens or 0
        one_hour = lifetimes.ephemeral_1h_input_tokens or 0
    if tools is not None:
        searches = tools.web_search_requests or 0
    unsplit = max(0, (usage.cache_creation_input_tokens or 0) - split - one_hour)
    counts = TokenCounts(
        *(usage.input_tokens, split + unsplit, one_hour, usage.cache_read_input_tokens or 0),
        *(usage.output_tokens, searches),
    )
    terms = Terms(usage.service_tier or None, usage.inference_geo or None, usage.speed or None)
    return Call(model, counts, terms, first, response=response, session=session[:LONGEST_NAME], unsplit=unsplit)


def _state(record: Opened, numbers: Numbers) -> bytes:
    """The record as `Responses` keeps it."""
    model, usage, first, last, *_ = record
    split = one_hour = searches = 0
    lifetimes, tools = usage.cache_creation, usage.server_tool_use
    if lifetimes is not None:
        split = lifetimes.ephemeral_5m_input_tokens or 0
        one_hour = lifetimes.ephemeral_1h_input_tokens or 0
    if tools is not None:
        searches = tools.web_search_requests or 0
    writes = usage.cache_creation_input_tokens or 0
    begin = (first - EPOCH) // MICROSECOND
    return _pack(
        numbers.of_usual((model, usage.service_tier, usage.inference_geo, usage.speed)),
        usage.input_tokens,
        split,
        one_hour,
        usage.cache_read_input_tokens or 0,
        usage.output_tokens,
        searches,
        writes if writes > split + one_hour else split + one_hour,
        begin,
        begin if last is first else (last - EPOCH) // MICROSECOND,
    )


def _is_tame(line: bytes) -> bool:
    return _digits_in(line[::STRIDE]) < MOST_DIGITS // STRIDE or _digits_in(line) <= MOST_DIGITS


def _digits_in(text: bytes) -> int:
    return len(text) - len(text.translate(None, _DIGITS))
