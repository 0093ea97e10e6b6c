"""Requests to Anthropic: retries, deadlines, errors as sentences, and responses of bounded size.

A body is read piece by piece and its declared length is not trusted: httpx would unpack each piece as a whole, up to a
thousand times its size, and every layer of several encodings.
"""

import asyncio
import json
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, partial
from importlib.metadata import version
from io import BytesIO
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from bot.addresses import is_plain_http
from bot.counting import CountAnswer, not_counted
from bot.language import Text, tr_lazy
from bot.traces import HTTP_STATUS, Mark, span
from bot.usage.model import MalformedError, RefusedError, SourceError, UnavailableError

ACCEPTED = "gzip, deflate"
"""The header `Accept-Encoding`: the encodings that this module can unpack."""

_STEP_BYTES = 2**20


class _Counted(httpx.AsyncClient):
    """Counts each answer, and each request without one."""

    count: CountAnswer = staticmethod(not_counted)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        status = None
        try:
            answer = await super().send(request, **options)
            status = answer.status_code
        finally:
            self.count(status)
        return answer


def new_http(base_url: str, count: CountAnswer = not_counted) -> httpx.AsyncClient:
    """An HTTP client for Anthropic at this address; uses a proxy of the environment only if the key is sent inside TLS.

    A proxy can read plain HTTP, and cannot reach this machine's loopback. No redirect is followed, so a client of plain
    HTTP sees no certificate: it trusts no authority, whose files take longer to read than a poll.
    `count`: gets the status of each answer.
    """
    if is_plain_http(base_url):
        http = _Counted(base_url=base_url, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    else:
        http = _Counted(base_url=base_url)
    http.count = count
    return http


class TooLargeError(Exception):
    """A response has more bytes, unpacked, than the caller accepts."""


async def bounded_answer(http: httpx.AsyncClient, request: httpx.Request, most: int) -> tuple[httpx.Response, bytes]:
    """A response and its body. No redirect is followed.

    Raises `TooLargeError` if the body has more than `most` bytes, unpacked, and what httpx raises.
    """
    request.headers["accept-encoding"] = ACCEPTED
    answer = await http.send(request, stream=True, follow_redirects=False)
    if answer.is_stream_consumed:  # Set by a transport without a network.
        return answer, answer.content
    try:
        decoder = _decoder_for(answer.headers.get("content-encoding", ""))
        body = BytesIO()
        async for raw in answer.aiter_raw():
            for count, piece in enumerate(decoder.unpacked(raw)):
                if count:  # Yield to the loop between the pieces of a large body.
                    await asyncio.sleep(0)
                body.write(piece)
                if body.tell() > most:
                    raise TooLargeError
        return answer, body.getvalue()
    finally:
        await answer.aclose()


class _Plain:
    def unpacked(self, raw: bytes) -> Iterator[bytes]:
        yield raw


class _Zlib:
    """gzip, and deflate with its header or, as some servers send it, without."""

    def __init__(self, bits: int, otherwise: int | None = None) -> None:
        self._unpacker = zlib.decompressobj(bits)
        self._otherwise = otherwise

    def unpacked(self, raw: bytes) -> Iterator[bytes]:
        while raw and not self._unpacker.eof:
            try:
                piece = self._unpacker.decompress(raw, _STEP_BYTES)
            except zlib.error as error:
                if self._otherwise is None:
                    raise httpx.DecodingError(str(error)) from None
                self._unpacker, self._otherwise = zlib.decompressobj(self._otherwise), None
                continue
            self._otherwise = None
            raw = self._unpacker.unconsumed_tail
            if piece:
                yield piece


def _decoder_for(encoding: str) -> _Plain | _Zlib:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(zlib.MAX_WBITS, -zlib.MAX_WBITS)
        case other:
            raise httpx.DecodingError(f"nobody asked for {other[:40]!r}")


Query = Sequence[tuple[str, str]]

Result = TypeVar("Result")

ATTEMPTS = 4
LONGEST_RETRY_AFTER = timedelta(seconds=60)
BACK_OFF = wait_random_exponential(multiplier=0.5, max=8)
TIMEOUT = httpx.Timeout(30, connect=10)

ATTEMPT_SECONDS = 45
"""One attempt, from connecting to the last byte; `TIMEOUT` holds for each read alone."""

ALL_SECONDS = 120
"""Seconds for all attempts at one response, waits included: no attempt starts or lasts beyond it."""

MOST_BYTES = 64 * 2**20
"""Largest response, unpacked. A page with every hour of a day of 1,000 keys and 5 models has about 40 MB."""

ORGANIZATION_HEADER = "anthropic-organization-id"
"""In responses of the Admin API: the organization that the key belongs to (platform.claude.com, API overview)."""

OWN_ORGANIZATION = "/v1/organizations/me"

API_VERSION = "2023-06-01"
"""The version that the report endpoints are documented with; the SDK's newer default is not documented for them."""

SPEND_LIMIT_CODES = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
SPEND_LIMIT_SENTENCE = "You have reached your specified"
"""How the message of a 400 caused by the organization's own spend limit begins; it has no code."""


class NotServedError(SourceError):
    """404, or a redirect: this address does not serve that endpoint."""


class BadRequestError(SourceError):
    """400: the request as such is refused."""


class ExpiredCursorError(SourceError):
    """410: a page token is too old; the range has to be read from its beginning."""


class TooManyBytesError(MalformedError):
    """A response is larger than the caller accepts."""


class _RetryLaterError(UnavailableError):
    def __init__(self, sentence: Text, retry_after: timedelta | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Transport:
    """`most_waiting`: the bound on all calls' waits between attempts together; None: unbounded."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: SecretStr | None,
        *,
        most_waiting: timedelta | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timeout: httpx.Timeout = TIMEOUT,
        attempt_seconds: float = ATTEMPT_SECONDS,
        all_seconds: float = ALL_SECONDS,
    ) -> None:
        self._http = http
        self._key = key
        self._left = most_waiting
        self._sleep = sleep
        self._timeout = timeout
        self._attempt_seconds = attempt_seconds
        self._all_seconds = all_seconds
        self.organization: str | None = None
        """The id of the organization that the last response named; None where none has named one."""

        # Parse large responses in a separate thread, so that users of the default pool do not wait.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anthropic")

    def close(self) -> None:
        """End the parsing thread, without waiting for a page that it parses."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def work(self, job: Callable[..., Result], *arguments: Any) -> Result:
        """Result of `job`, run outside the event loop, one job at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, partial(job, *arguments))

    async def get(self, path: str, query: Query, betas: Sequence[str] = ()) -> dict[str, Any]:
        """The JSON object at `path`; for small responses. Raises `SourceError`."""
        return json_object(await self.body(path, query, betas), path)

    async def body(self, path: str, query: Query, betas: Sequence[str] = (), most: int | None = None) -> bytes:
        """The unparsed body at `path`. Raises `SourceError`, `TooManyBytesError` beyond `most` bytes."""
        ends_at = time.monotonic() + self._all_seconds
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_RetryLaterError),
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(self._all_seconds),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                seconds = min(self._attempt_seconds, max(0, ends_at - time.monotonic()))
                with span("anthropic", path=path, attempt=attempt.retry_state.attempt_number) as mark:
                    return await self._once(path, query, betas, seconds, MOST_BYTES if most is None else most, mark)
        raise AssertionError("retrying ends with an answer or an error")

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, _RetryLaterError) else None
        wait = BACK_OFF(state) if asked is None else min(asked, LONGEST_RETRY_AFTER).total_seconds()
        if self._left is not None:
            if timedelta(seconds=wait) > self._left:
                raise UnavailableError(*([] if error is None else error.args))
            self._left -= timedelta(seconds=wait)
        return wait

    async def _once(
        self, path: str, query: Query, betas: Sequence[str], seconds: float, most: int, mark: Mark
    ) -> bytes:
        headers = {
            "anthropic-version": API_VERSION,
            "x-api-key": self._key_text(),
            "user-agent": _user_agent(),
        }
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        try:
            request = self._http.build_request(
                "GET", path, params=httpx.QueryParams(list(query)), headers=headers, timeout=self._timeout
            )
            async with asyncio.timeout(seconds):
                answer, body = await bounded_answer(self._http, request, most)
        except TimeoutError:
            raise _RetryLaterError(
                tr_lazy(
                    "Anthropic's answer from {path} is not complete after {seconds} s.",
                    path=path,
                    seconds=f"{seconds:.0f}",
                )
            ) from None
        except TooLargeError:
            raise TooManyBytesError(
                tr_lazy(
                    "Anthropic's answer from {path} has more than {megabytes} MB and is not read.",
                    path=path,
                    megabytes=most // 2**20,
                )
            ) from None
        except httpx.DecodingError:
            raise MalformedError(
                tr_lazy("Anthropic's answer from {path} cannot be unpacked; nothing was counted.", path=path)
            ) from None
        except (httpx.TransportError, httpx.InvalidURL, ValueError, OverflowError, ExceptionGroup) as error:
            # The last two: errors of an invalid port below httpx.
            raise _RetryLaterError(
                tr_lazy("Anthropic cannot be reached ({error}).", error=type(error).__name__)
            ) from None
        mark.set(HTTP_STATUS, answer.status_code)
        self.organization = _organization(answer.headers.get(ORGANIZATION_HEADER)) or self.organization
        if answer.status_code != 200:
            raise _failure(answer, body, path)
        return body

    async def own_organization(self) -> str | None:
        """The id of the key's organization, asked for; None where Anthropic does not say. Raises `SourceError`."""
        self.organization = None
        try:
            found = (await self.get(OWN_ORGANIZATION, ())).get("id")
        except (RefusedError, NotServedError, MalformedError):
            # A key for analytics alone may not read this, but the header names the organization all the same.
            return self.organization
        return self.organization or _organization(found)

    def _key_text(self) -> str:
        text = self._key.get_secret_value() if self._key is not None else ""
        if not (text.isascii() and text.isprintable()):
            raise RefusedError(tr_lazy("ANTHROPIC_ADMIN_KEY has characters that no key has: copy it again."))
        return text


@cache
def _user_agent() -> str:
    return f"claude-cost-bot/{version('claude-cost-bot')}"


def _organization(said: object) -> str | None:
    """None for what cannot be an id, as a proxy in between may add anything."""
    return said if isinstance(said, str) and re.fullmatch(r"[\w.-]{1,100}", said, re.ASCII) else None


def _failure(answer: httpx.Response, body: bytes, path: str) -> SourceError:
    status = answer.status_code
    code, message = _error_of(body)
    if _names_a_spend_limit(status, code, message):
        return UnavailableError(
            tr_lazy(
                "Anthropic's own spend limit is reached, so that it refuses {path} as well (HTTP {status}): "
                "raise the limit or add credit in the Console.",
                path=path,
                status=status,
            )
        )
    if status in (400, 403) and "hipaa" in message.lower():
        return RefusedError(
            tr_lazy(
                "{path} is closed to organizations with HIPAA readiness (HTTP {status}): set "
                "CLAUDE_COST_USAGE_API=admin.",
                path=path,
                status=status,
            )
        )
    if status in (401, 403):
        return RefusedError(
            tr_lazy(
                "Anthropic refuses ANTHROPIC_ADMIN_KEY for {path} (HTTP {status}): use an Admin key, or a key "
                "with the scope read:analytics. Individual accounts have no such keys: set up an organization in "
                "the Console.",
                path=path,
                status=status,
            )
        )
    if status == 404 or answer.has_redirect_location:
        return NotServedError(
            tr_lazy(
                "{path} is not served at ANTHROPIC_BASE_URL (HTTP {status}): correct that address.",
                path=path,
                status=status,
            )
        )
    if status == 410:
        return ExpiredCursorError(
            tr_lazy("Anthropic's page token for {path} has expired; the next poll starts again.", path=path)
        )
    if status == 429:
        return _RetryLaterError(
            tr_lazy("Anthropic asks to wait with {path} (HTTP 429).", path=path), _retry_after(answer.headers)
        )
    if status >= 500 or status in (408, 409):
        return _RetryLaterError(
            tr_lazy("Anthropic has a fault of its own at {path} (HTTP {status}).", path=path, status=status),
            _retry_after(answer.headers),
        )
    return BadRequestError(
        tr_lazy(
            "Anthropic does not accept the request to {path} (HTTP {status}): update this bot.",
            path=path,
            status=status,
        )
    )


def _error_of(body: bytes) -> tuple[str, str]:
    """Code and message of an error; empty if the body lacks them."""
    try:
        error = json.loads(body)["error"]
        return str((error.get("details") or {}).get("error_code") or ""), str(error.get("message") or "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return "", ""


def _names_a_spend_limit(status: int, code: str, message: str) -> bool:
    """Whether a limit is about spend, not rate: a retry does not help (platform.claude.com, Rate limits, 2026)."""
    if status == 402:
        return True
    return status in (400, 429) and (code in SPEND_LIMIT_CODES or message.startswith(SPEND_LIMIT_SENTENCE))


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Seconds, or a date against the server's own `Date`, at most `LONGEST_RETRY_AFTER`; None without either."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return timedelta(seconds=min(float(text), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        wait = _http_date(text) - _http_date(headers.get("date", ""))
    except (ValueError, OverflowError):
        return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def _http_date(text: str) -> datetime:
    parsed = parsedate_to_datetime(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def json_object(body: bytes, path: str) -> dict[str, Any]:
    """The JSON object in a body. Raises `MalformedError` for anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError(
            tr_lazy("Anthropic's answer from {path} is not JSON; nothing was counted.", path=path)
        ) from None
    if not isinstance(data, dict):
        raise MalformedError(
            tr_lazy("Anthropic's answer from {path} is not an object; nothing was counted.", path=path)
        )
    return data
