"""The fallback chain as middleware of the official client. The only module here that needs `anthropic`."""

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
)

from claude_cost_client.body import AsyncBody, Body, Done
from claude_cost_client.follower import Follower
from claude_cost_client.refusals import RATE_LIMITED, Attempts, Refusal, refusal_of
from claude_cost_client.usage_log import UsageLog, record_of

log = logging.getLogger("claude_cost.client")

Client = TypeVar("Client")

MESSAGES_PATH = "/v1/messages"


def chained(
    client: Client, follower: Follower, chain: Sequence[str] | None, feature: str | None, longest_wait: float
) -> Client:
    """A copy of the client whose messages go down the chain; see `claude_cost_client.with_fallback`."""
    middleware = FallbackMiddleware(follower, chain, feature, longest_wait)
    if isinstance(client, Anthropic):
        return client.with_options(max_retries=0).with_middleware(middleware.handle)
    if isinstance(client, AsyncAnthropic):
        return client.with_options(max_retries=0).with_middleware(middleware.handle_async)
    raise TypeError(
        f"with_fallback takes an Anthropic or AsyncAnthropic client, not {type(client).__name__}: "
        "clients of other providers have other model ids than the chain."
    )


class FallbackMiddleware:
    """Asks one model after the other; each attempt passes the rest of the client's middleware again."""

    def __init__(
        self, follower: Follower, chain: Sequence[str] | None, feature: str | None, longest_wait: float
    ) -> None:
        self._follower = follower
        self._chain = None if chain is None else tuple(chain)
        self._feature = feature
        self._longest_wait = longest_wait
        self._usage_log = UsageLog()

    def handle(self, request: APIRequest, call_next: CallNext) -> APIResponse[Any]:
        """For the synchronous client."""
        call = self._call(request)
        if call is None:
            return call_next(request)
        while True:
            response = None
            try:
                response = call_next(call.attempt())
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
        http = response.http_response
        if http.is_success and stream:
            body = Body(http, call.done(http))
            refusal = body.begin()
            response.http_response = body.as_response()
            return refusal
        http.read()
        return call.taken(http)

    async def handle_async(self, request: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
        """For the asynchronous client."""
        call = self._call(request)
        if call is None:
            return await call_next(request)
        while True:
            response = None
            try:
                response = await call_next(call.attempt())
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
        http = response.http_response
        if http.is_success and stream:
            body = AsyncBody(http, call.done(http))
            refusal = await body.begin()
            response.http_response = body.as_response()
            return refusal
        await http.aread()
        return call.taken(http)

    def _call(self, request: APIRequest) -> _Call | None:
        """None for whatever is no message: token counts, batches, models, files."""
        if request.method.lower() != "post" or request.url.partition("?")[0] != MESSAGES_PATH:
            return None
        body = request.json
        if not isinstance(body, dict) or not isinstance(preferred := body.get("model"), str):
            return None
        models = self._follower.ceiling().models_to_try(preferred, self._chain)
        return _Call(request, body, preferred, Attempts(models, self._longest_wait), self._usage_log, self._feature)


class _Call:
    """One request of the application and what becomes of it. No I/O but the usage log."""

    def __init__(
        self,
        request: APIRequest,
        body: dict[str, Any],
        preferred: str,
        attempts: Attempts,
        usage_log: UsageLog,
        feature: str | None,
    ) -> None:
        self._request = request
        self._body = body
        self._preferred = preferred
        self._attempts = attempts
        self._usage_log = usage_log
        self._feature = feature
        metadata = body.get("metadata")
        user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
        self._user_id = user_id if isinstance(user_id, str) else None

    def attempt(self) -> APIRequest:
        """The request for the model whose turn it is."""
        model = self._attempts.model
        if model == self._preferred:
            return self._request
        return self._request.copy(body={**self._body, "model": model})

    def pause_after(self, refusal: Refusal) -> float | None:
        """Seconds until the next attempt; None when the application is told of the refusal."""
        model = self._attempts.model
        pause = self._attempts.after(refusal, random.random())
        if pause is not None:
            when = f" in {pause:.1f} s" if pause else ""
            log.warning("%s: %s; asking %s%s", model, refusal.reason, self._attempts.model, when)
        return pause

    def taken(self, http: httpx2.Response) -> Refusal | None:
        """What a response that was read as a whole means; its usage is logged."""
        if http.is_success:
            if self._usage_log.path is not None:
                self._log(_json_object(http), http, True)
            return None
        code = None
        if http.status_code == RATE_LIMITED:
            error = _object(_json_object(http).get("error"))
            code = _object(error.get("details")).get("error_code")
        return refusal_of(http.status_code, http.headers, code if isinstance(code, str) else None, _now())

    def done(self, http: httpx2.Response) -> Done | None:
        """Takes what a stream told when it has ended; None where nobody wants to know."""
        if self._usage_log.path is None:
            return None
        return lambda message, complete: self._log(message, http, complete)

    def _log(self, message: dict[str, Any], http: httpx2.Response, complete: bool) -> None:
        record = record_of(
            message,
            _now(),
            request_id=http.headers.get("request-id"),
            feature=self._feature,
            user_id=self._user_id,
            preferred=self._preferred,
            complete=complete,
        )
        if record is not None:
            self._usage_log.append(record)


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
