"""`POST /v1/usage` of the bot: one request with lines of usage records, and the meaning of its response."""

from __future__ import annotations

import gzip
import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from claude_cost_client.wire import is_local, opener_for

PATH = "/v1/usage"
LONGEST_ANSWER = 1_000_000
LONGEST_RETRY_AFTER = 3600.0
TOO_LARGE = 413
UNREADABLE = frozenset({400, 422})

REMEDIES = {
    401: "set CLAUDE_COST_INGEST_TOKEN to a token that the bot takes",
    403: "set CLAUDE_COST_INGEST_TOKEN to a token that may send usage",
    404: "set CLAUDE_COST_URL to the address of the bot's HTTP port",
    405: "set CLAUDE_COST_URL to the address of the bot's HTTP port",
}


@dataclass(frozen=True)
class Delivered:
    """The bot has the records except the `rejected` ones; `reason`: of the first one."""

    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Kept:
    """The bot does not have the records yet. `reason`: ends a sentence; `retry_after`: seconds that the bot asks to
    wait.
    """

    reason: str
    retry_after: float | None = None


class Ingest:
    """The bot at `url`. `token`: called for each request, so that it may be renewed; sent nowhere else.

    `over_http`: hosts besides the loopback that may get the token over plain http; None: all.
    """

    def __init__(self, url: str, token: Callable[[], str | None], over_http: Collection[str] | None) -> None:
        self._token = token
        self._parts = _parts(url)
        self._url = url.rstrip("/") + PATH
        self._over_http = over_http
        self._opener = opener_for(url)

    def __repr__(self) -> str:
        return f"Ingest({self.address!r})"

    @property
    def address(self) -> str:
        """Scheme, host and port: the part of the URL that may be logged."""
        return f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}"

    def post(self, lines: Sequence[bytes], seconds: float) -> Delivered | Kept:
        """Send records; `seconds`: read time-out. Raises nothing."""
        if isinstance(headers := self._headers(), Kept):
            return headers
        body = gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=5)
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=seconds) as response:
                answer = _object(response.read(LONGEST_ANSWER))
            if answer is None or "accepted" not in answer:
                return Kept(f"answers, but not as the bot does: {REMEDIES[404]}")
            return _delivered(answer)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error, lines, seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The text of an error may repeat a header, so log only its kind.
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            kind = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
            return Kept(f"does not answer ({kind})")

    def _headers(self) -> dict[str, str] | Kept:
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "User-Agent": "claude-cost-client",
        }
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname or "@" in self._parts.netloc:
            return Kept("is no address of a bot: set CLAUDE_COST_URL to one such as https://costs.example.com")
        try:
            token = self._token()
        except (OSError, ValueError) as error:
            return Kept(f"is not asked: the file of CLAUDE_COST_INGEST_TOKEN_FILE cannot be read ({_kind(error)})")
        if token is None:
            return headers
        if not (token.isascii() and token.isprintable()) or " " in token:
            return Kept("is not asked: CLAUDE_COST_INGEST_TOKEN has characters that no token has; correct it")
        if not self._may_get_token():
            return Kept(
                "is not asked: the token would go over plain http; use https://, or add the host to "
                "CLAUDE_COST_ALLOW_HTTP if that network is your own"
            )
        return {**headers, "Authorization": f"Bearer {token}"}

    def _may_get_token(self) -> bool:
        if self._parts.scheme == "https" or self._over_http is None or is_local(self._parts.hostname):
            return True
        return self._parts.hostname in self._over_http

    def _refused(self, error: urllib.error.HTTPError, lines: Sequence[bytes], seconds: float) -> Delivered | Kept:
        status = error.code
        if status == TOO_LARGE and len(lines) > 1:
            return self._halves(lines, seconds)
        answer = _object(_body(error))
        if answer is not None and status in (*UNREADABLE, TOO_LARGE):
            # The bot will never accept this request, and keeping it would block the others.
            delivered = _delivered(answer)
            return delivered if delivered.rejected else Delivered(len(lines), f"HTTP {status}")
        if 300 <= status < 400:
            return Kept("answers with a redirect, which is not followed: set CLAUDE_COST_URL to the final address")
        remedy = REMEDIES.get(status)
        return Kept(
            f"answers HTTP {status}" + (f": {remedy}" if remedy else ""),
            retry_after_in(error.headers.get("Retry-After"), datetime.now(timezone.utc)),
        )

    def _halves(self, lines: Sequence[bytes], seconds: float) -> Delivered | Kept:
        """Send in halves; a half that the bot already has counts once when both are sent again."""
        rejected, reason, middle = 0, "", len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            outcome = self.post(half, seconds)
            if isinstance(outcome, Kept):
                return outcome
            rejected, reason = rejected + outcome.rejected, reason or outcome.reason
        return Delivered(rejected, reason)


def retry_after_in(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, an hour at most; None without a readable one. `now`: aware."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (ValueError, TypeError, IndexError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def _parts(url: str) -> urllib.parse.SplitResult:
    """Parts of a URL; empty ones if it is invalid."""
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018  raises ValueError for what is no port
    except ValueError:
        return urllib.parse.urlsplit("")
    return parts


def _object(body: bytes) -> dict[str, object] | None:
    """The JSON object of a response; None for anything else, such as a proxy's page."""
    with suppress(ValueError, RecursionError):
        answer = json.loads(body)
        if isinstance(answer, dict):
            return answer
    return None


def _delivered(answer: dict[str, object]) -> Delivered:
    rejected = answer.get("rejected")
    if not isinstance(rejected, list):
        return Delivered()
    return Delivered(len(rejected), _first_reason(rejected))


def _first_reason(rejected: Sequence[object]) -> str:
    for each in rejected:
        if isinstance(each, dict):
            return str(each.get("reason"))[:200]
    return ""


def _body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException):
        return b""


def _kind(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
