"""The fallback chain as middleware of the official client. Needs `anthropic`, as `recording` does."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

import anyio
import httpx2
from anthropic import (
    Anthropic,
    APIConnectionError,
    APIRequest,
    APIResponse,
    APITimeoutError,
    AsyncAnthropic,
    AsyncAPIResponse,
    AsyncCallNext,
    CallNext,
    MiddlewareInput,
)

from claude_cost_client.body import AsyncBody, Body
from claude_cost_client.follower import Follower
from claude_cost_client.recording import Recorder, is_message
from claude_cost_client.refusals import RATE_LIMITED, Attempts, Refusal, refusal_of

log = logging.getLogger("claude_cost.client")

Client = TypeVar("Client")


def recorded(client: Client, recorder: Recorder) -> Client:
    """A copy of the client that records usage; see `claude_cost_client.with_usage`."""
    if isinstance(client, Anthropic):
        return client.with_options(middleware=[*_others(client.middleware), recorder.handle])
    if isinstance(client, AsyncAnthropic):
        return client.with_options(middleware=[*_others(client.middleware), recorder.handle_async])
    raise TypeError(
        f"with_usage takes an Anthropic or AsyncAnthropic client, not {type(client).__name__}: give the usage of other "
        "clients to UsageSender.put."
    )


def chained(
    client: Client, follower: Follower, chain: Sequence[str] | None, recorder: Recorder, longest_wait: float
) -> Client:
    """A copy of the client whose messages go down the chain; see `claude_cost_client.with_fallback`."""
    middleware = FallbackMiddleware(follower, chain, recorder, longest_wait)
    if isinstance(client, Anthropic):
        return client.with_options(max_retries=0, middleware=[*_others(client.middleware), middleware.handle])
    if isinstance(client, AsyncAnthropic):
        return client.with_options(max_retries=0, middleware=[*_others(client.middleware), middleware.handle_async])
    raise TypeError(
        f"with_fallback takes an Anthropic or AsyncAnthropic client, not {type(client).__name__}: "
        "clients of other providers have other model ids than the chain."
    )


def _others(middleware: Sequence[MiddlewareInput]) -> list[MiddlewareInput]:
    """Without earlier chains and recorders: a client that is wrapped again uses the newest, and records once."""
    return [
        each for each in middleware if not isinstance(getattr(each, "__self__", None), (FallbackMiddleware, Recorder))
    ]


class FallbackMiddleware:
    """Tries one model after the other; each attempt passes through the rest of the client's middleware again."""

    def __init__(
        self, follower: Follower, chain: Sequence[str] | None, recorder: Recorder, longest_wait: float
    ) -> None:
        self._follower = follower
        self._chain = None if chain is None else tuple(chain)
        self._recorder = recorder
        self._longest_wait = longest_wait

    def handle(self, request: APIRequest, call_next: CallNext) -> APIResponse[Any]:
        """Handle a request of the synchronous client."""
        call = self._call(request)
        if call is None:
            return self._recorder.handle(request, call_next)
        while True:
            response = None
            try:
                response = self._recorder.handle(call.attempt(), call_next, call.preferred)
                refusal = self._read(response, call, request.stream)
            except (APIConnectionError, httpx2.HTTPError) as error:
                pause = call.pause_after(_unanswered(error))
                if pause is None:
                    raise
            else:
                if refusal is None:
                    return response
                pause = call.pause_after(refusal)
                if pause is None:
                    return response
            if response is not None:
                response.http_response.close()
            time.sleep(pause)

    def _read(self, response: APIResponse[Any], call: _Call, stream: bool) -> Refusal | None:
        if not isinstance(response, APIResponse):
            # Another middleware answered with its own response.
            return None
        http = response.http_response
        if http.is_success and stream:
            body = Body(http)
            refusal = body.begin()
            response.http_response = body.as_response()
            return refusal
        http.read()
        return call.taken(http)

    async def handle_async(self, request: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
        """Handle a request of the asynchronous client."""
        call = self._call(request)
        if call is None:
            return await self._recorder.handle_async(request, call_next)
        while True:
            response = None
            try:
                response = await self._recorder.handle_async(call.attempt(), call_next, call.preferred)
                refusal = await self._read_async(response, call, request.stream)
            except (APIConnectionError, httpx2.HTTPError) as error:
                pause = call.pause_after(_unanswered(error))
                if pause is None:
                    raise
            else:
                if refusal is None:
                    return response
                pause = call.pause_after(refusal)
                if pause is None:
                    return response
            if response is not None:
                await response.http_response.aclose()
            await anyio.sleep(pause)

    async def _read_async(self, response: AsyncAPIResponse[Any], call: _Call, stream: bool) -> Refusal | None:
        if not isinstance(response, AsyncAPIResponse):
            return None
        http = response.http_response
        if http.is_success and stream:
            body = AsyncBody(http)
            refusal = await body.begin()
            response.http_response = body.as_response()
            return refusal
        await http.aread()
        return call.taken(http)

    def _call(self, request: APIRequest) -> _Call | None:
        """The call; None if it is not a message: token counts, batches, models, files."""
        if not is_message(request):
            return None
        body = request.json
        assert isinstance(body, dict)
        preferred = str(body["model"])
        models = self._follower.ceiling().models_to_try(preferred, self._chain)
        return _Call(request, body, preferred, Attempts(models, self._longest_wait))


class _Call:
    """One request of the application and its attempts. No I/O."""

    def __init__(self, request: APIRequest, body: dict[str, Any], preferred: str, attempts: Attempts) -> None:
        self.preferred = preferred
        self._request = request
        self._body = body
        self._attempts = attempts

    def attempt(self) -> APIRequest:
        """The request for the current model."""
        model = self._attempts.model
        if model == self.preferred:
            return self._request
        return self._request.copy(body={**self._body, "model": model})

    def pause_after(self, refusal: Refusal) -> float | None:
        """Seconds until the next attempt; None if the application gets the refusal."""
        model = self._attempts.model
        pause = self._attempts.after(refusal, random.random())
        if pause is not None:
            when = f" in {pause:.1f} s" if pause else ""
            log.warning("%s: %s; asking %s%s", model, refusal.reason, self._attempts.model, when)
        return pause

    def taken(self, http: httpx2.Response) -> Refusal | None:
        """Refusal in a response that was read as a whole, if any."""
        if http.is_success:
            return None
        code = None
        if http.status_code == RATE_LIMITED:
            error = _object(_json_object(http).get("error"))
            code = _object(error.get("details")).get("error_code")
        return refusal_of(http.status_code, http.headers, code if isinstance(code, str) else None, _now())


def _unanswered(error: Exception) -> Refusal:
    if isinstance(error, (APITimeoutError, httpx2.TimeoutException)):
        return Refusal("no answer in time")
    return Refusal("no connection")


def _json_object(http: httpx2.Response) -> dict[str, Any]:
    try:
        return _object(json.loads(http.content))
    except ValueError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _now() -> datetime:
    return datetime.now(timezone.utc)
