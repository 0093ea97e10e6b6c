"""Records the usage of each request, as middleware of the official client. Needs `anthropic`, like `middleware`."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Protocol

import httpx2
from anthropic import APIConnectionError, APIRequest, APIResponse, AsyncAPIResponse, AsyncCallNext, CallNext

from claude_cost_client.body import AsyncReadBody, ReadBody, Reader
from claude_cost_client.event_stream import StreamedMessage
from claude_cost_client.labels import Labels, current_labels, label
from claude_cost_client.record import ERROR, OK, failure_of, outcome_in_stream, outcome_of, record_of
from claude_cost_client.sender import UsageSender
from claude_cost_client.usage_log import UsageLog

MESSAGES_PATH = "/v1/messages"
_BATCH = re.compile(r"/v1/messages/batches/([^/?]+)(/results)?(?:\?|$)")
MOST_BATCHES = 100
"""Most batches whose end is remembered."""
LONGEST_LINE = 64 * 1024 * 1024
"""Longest line of a batch's results in bytes; usage of a longer one is not recorded."""


def is_message(request: APIRequest) -> bool:
    """Whether a request is for a message; not for token counts, batches, models or files."""
    return (
        request.method.lower() == "post"
        and request.url.partition("?")[0] == MESSAGES_PATH
        and isinstance(request.json, dict)
        and isinstance(request.json.get("model"), str)
    )


class Recorder:
    """Makes records of requests and passes them to the usage log and the sender. `feature`: default without a label."""

    def __init__(self, sender: UsageSender, feature: str | None) -> None:
        self._sender = sender
        self._usage_log = UsageLog()
        self._feature = label(feature)
        self._ended: dict[str, datetime] = {}

    def handle(self, request: APIRequest, call_next: CallNext, preferred: str | None = None) -> APIResponse[Any]:
        """Handle a request of the synchronous client. `preferred`: the model that the application asked for, if
        different.
        """
        record = self._record_for(request, preferred)
        if record is None:
            return call_next(request)
        try:
            response = call_next(request)
            if not isinstance(response, APIResponse):
                # Another middleware answered with its own response.
                return response
            http = response.http_response
            if http.is_success and request.stream:
                response.http_response = ReadBody(http, record.reader(http)).as_response()
            else:
                http.read()
                record.whole(http)
        except (APIConnectionError, httpx2.HTTPError):
            record.unanswered()
            raise
        return response

    async def handle_async(
        self, request: APIRequest, call_next: AsyncCallNext, preferred: str | None = None
    ) -> AsyncAPIResponse[Any]:
        """Handle a request of the asynchronous client."""
        record = self._record_for(request, preferred)
        if record is None:
            return await call_next(request)
        try:
            response = await call_next(request)
            if not isinstance(response, AsyncAPIResponse):
                return response
            http = response.http_response
            if http.is_success and request.stream:
                response.http_response = AsyncReadBody(http, record.reader(http)).as_response()
            else:
                await http.aread()
                record.whole(http)
        except (APIConnectionError, httpx2.HTTPError):
            record.unanswered()
            raise
        return response

    def keep(self, record: dict[str, Any] | None) -> None:
        """Log and send the record of a response, if any."""
        if record is not None:
            self._usage_log.append(record)
            self._sender.put(record)

    def keep_failure(self, record: dict[str, Any]) -> None:
        """Send the record of a request without a response; the usage log only has responses."""
        self._sender.put(record)

    def learn_end(self, batch: str, ended_at: object) -> None:
        """Remember when a batch ended: its results may be read weeks later. `ended_at`: ISO 8601, as received."""
        if isinstance(ended_at, str):
            with suppress(ValueError):
                ended = datetime.fromisoformat(ended_at.replace("Z", "+00:00"))
                if ended.tzinfo is not None:
                    self._ended[batch] = ended.astimezone(timezone.utc)
        while len(self._ended) > MOST_BATCHES:
            self._ended.pop(next(iter(self._ended)), None)

    def _record_for(self, request: APIRequest, preferred: str | None) -> _Recording | None:
        """A recording; None for requests without usage, and if nothing collects records."""
        if self._usage_log.path is None and not self._sender.is_on:
            return None
        if is_message(request):
            body = request.json
            assert isinstance(body, dict)
            metadata = body.get("metadata")
            user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
            labels = self._labels(user_id if isinstance(user_id, str) else None)
            return _MessageRecording(self, labels, str(body["model"]), preferred)
        if request.method.lower() == "get" and (batch := _BATCH.search(request.url)):
            if batch[2]:
                return _BatchRecording(self, self._labels(None), self._ended.get(batch[1]))
            return _BatchLook(self, batch[1])
        return None

    def _labels(self, user_id: str | None) -> Labels:
        return current_labels().within(Labels(feature=self._feature, user_id=label(user_id)))


class _Recording(Protocol):
    """Recording of one request."""

    def reader(self, http: httpx2.Response) -> Reader:
        """Reader of a streamed response."""

    def whole(self, http: httpx2.Response) -> None:
        """Take a response that was read as a whole, or a refusal."""

    def unanswered(self) -> None:
        """There was no answer."""


class _MessageRecording:
    """Recording of a message request; with `reader` it is its own reader."""

    def __init__(self, recorder: Recorder, labels: Labels, model: str, preferred: str | None) -> None:
        self._recorder = recorder
        self._labels = labels
        self._model = model
        self._preferred = preferred
        self._request_id: str | None = None
        self._seen: StreamedMessage | None = None

    def reader(self, http: httpx2.Response) -> Reader:
        self._request_id = _request_id(http)
        self._seen = StreamedMessage()
        return self

    def feed(self, chunk: bytes) -> None:
        if self._seen is not None:
            self._seen.feed(chunk)

    def end(self, broken: bool) -> None:
        seen, self._seen = self._seen, None
        if seen is None:
            return
        outcome = OK
        if seen.error is not None:
            outcome = outcome_in_stream(seen.error)
        elif broken and not seen.complete:
            outcome = ERROR
        if seen.message is not None and seen.message["usage"]:
            self._keep(seen.message, outcome, seen.complete)
        elif outcome != OK:
            self._fail(outcome)

    def whole(self, http: httpx2.Response) -> None:
        self._request_id = _request_id(http)
        if http.is_success:
            self._keep(_json_object(http.content), OK, True)
        else:
            self._fail(outcome_of(http.status_code))

    def unanswered(self) -> None:
        self._fail(ERROR)

    def _keep(self, message: dict[str, Any], outcome: str, complete: bool) -> None:
        self._recorder.keep(
            record_of(
                message,
                _now(),
                self._labels,
                request_id=self._request_id,
                preferred=self._preferred,
                complete=complete,
                outcome=outcome,
            )
        )

    def _fail(self, outcome: str) -> None:
        self._recorder.keep_failure(
            failure_of(
                self._model,
                _now(),
                self._labels,
                outcome=outcome,
                request_id=self._request_id,
                preferred=self._preferred,
            )
        )


class _BatchRecording:
    """Recording of a request for a batch's results, with the end of the batch if known.

    Results without a message were not billed, and name no model: they are not recorded.
    """

    def __init__(self, recorder: Recorder, labels: Labels, ended_at: datetime | None) -> None:
        self._recorder = recorder
        self._labels = labels
        self._ended_at = ended_at
        self._unfinished = bytearray()

    def reader(self, http: httpx2.Response) -> Reader:
        return self

    def feed(self, chunk: bytes) -> None:
        """Record the messages that the chunk completes."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._unfinished += line
            self._take()
        if len(self._unfinished) + len(rest) <= LONGEST_LINE:
            self._unfinished += rest

    def end(self, broken: bool) -> None:
        self._take()

    def whole(self, http: httpx2.Response) -> None:
        if http.is_success:
            self.feed(http.content)
            self.end(False)

    def unanswered(self) -> None:
        """No message was requested."""

    def _take(self) -> None:
        line, self._unfinished = bytes(self._unfinished), bytearray()
        result = _object(_json_object(line).get("result"))
        message = _object(result.get("message"))
        if message:
            self._recorder.keep(record_of(message, self._ended_at or _now(), self._labels))


class _BatchLook:
    """Recording of a status request of a batch, which precedes that of its results."""

    def __init__(self, recorder: Recorder, batch: str) -> None:
        self._recorder = recorder
        self._batch = batch

    def whole(self, http: httpx2.Response) -> None:
        self._recorder.learn_end(self._batch, _json_object(http.content).get("ended_at"))

    def reader(self, http: httpx2.Response) -> Reader:
        return self

    def feed(self, chunk: bytes) -> None:
        """A status response is never streamed."""

    def end(self, broken: bool) -> None:
        """A status response is never streamed."""

    def unanswered(self) -> None:
        """No message was requested."""


def _request_id(http: httpx2.Response) -> str | None:
    return http.headers.get("request-id") or None


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _now() -> datetime:
    return datetime.now(timezone.utc)
