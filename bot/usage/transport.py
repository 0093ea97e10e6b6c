"""One GET to Anthropic: retries, waits and refusals, with every failure a `SourceError` whose text is fit for chat."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import httpx
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from bot.usage.source import MalformedError, RefusedError, SourceError, UnavailableError

Query = Sequence[tuple[str, str]]

ATTEMPTS = 4
LONGEST_RETRY_AFTER = timedelta(seconds=60)
BACK_OFF = wait_random_exponential(multiplier=0.5, max=8)
TIMEOUT = httpx.Timeout(30, connect=10)

API_VERSION = "2023-06-01"
"""The version that the report endpoints are documented with; the SDK's newer default is not documented for them."""


class NotServedError(SourceError):
    """404: this address does not serve that endpoint."""


class BadRequestError(SourceError):
    """400: the request as such is refused."""


class ExpiredCursorError(SourceError):
    """410: a page token is too old; the range has to be read from its beginning."""


class _RetryLaterError(UnavailableError):
    def __init__(self, sentence: str, retry_after: timedelta | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Transport:
    """`most_waiting`: the most that all calls together may wait between attempts; None means no such bound."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: SecretStr | None,
        *,
        most_waiting: timedelta | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._key = key
        self._left = most_waiting
        self._sleep = sleep

    async def get(self, path: str, query: Query, betas: Sequence[str] = ()) -> dict[str, Any]:
        """The JSON object at `path`. Raises `SourceError`."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_RetryLaterError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._once(path, query, betas)
        raise AssertionError("retrying ends with an answer or an error")

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, _RetryLaterError) else None
        wait = BACK_OFF(state) if asked is None else min(asked, LONGEST_RETRY_AFTER).total_seconds()
        if self._left is not None:
            if timedelta(seconds=wait) > self._left:
                raise UnavailableError(str(error))
            self._left -= timedelta(seconds=wait)
        return wait

    async def _once(self, path: str, query: Query, betas: Sequence[str]) -> dict[str, Any]:
        headers = {
            "anthropic-version": API_VERSION,
            "x-api-key": self._key.get_secret_value() if self._key is not None else "",
            "user-agent": f"claude-cost-bot/{version('claude-cost-bot')}",
        }
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        try:
            answer = await self._http.get(path, params=httpx.QueryParams(list(query)), headers=headers, timeout=TIMEOUT)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _RetryLaterError(f"Anthropic cannot be reached ({type(error).__name__}).") from None
        if answer.status_code != 200:
            raise _failure(answer, path)
        return _json_object(answer, path)


def _failure(answer: httpx.Response, path: str) -> SourceError:
    status = answer.status_code
    if status in (401, 403):
        return RefusedError(
            f"Anthropic refuses ANTHROPIC_ADMIN_KEY for {path} (HTTP {status}): use an Admin key, or a key with the "
            "scope read:analytics. Individual accounts have no such keys: set up an organisation in the Console."
        )
    if status == 404:
        return NotServedError(f"{path} is not served at ANTHROPIC_BASE_URL (HTTP 404): correct that address.")
    if status == 410:
        return ExpiredCursorError(f"Anthropic's page token for {path} has expired; the next poll begins anew.")
    if status == 429:
        return _RetryLaterError(f"Anthropic asks to wait with {path} (HTTP 429).", _retry_after(answer.headers))
    if status >= 500 or status == 408:
        return _RetryLaterError(f"Anthropic has a fault of its own at {path} (HTTP {status}).")
    return BadRequestError(f"Anthropic does not accept the request to {path} (HTTP {status}): update this bot.")


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    text = headers.get("retry-after", "").strip()
    return timedelta(seconds=min(int(text), 86_400)) if text.isdigit() and len(text) < 10 else None


def _json_object(answer: httpx.Response, path: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        raise MalformedError(f"Anthropic's answer from {path} is not JSON; nothing was counted.") from None
    if not isinstance(body, dict):
        raise MalformedError(f"Anthropic's answer from {path} is not an object; nothing was counted.")
    return body
