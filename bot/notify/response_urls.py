"""Posting to the response URLs that Slack gives with commands and clicks.

The address comes with a request, so only Slack's own hosts are called, and no redirect is followed. Source, also of the
five uses within 30 minutes: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.in_flight import InFlight
from bot.notify.back_off import back_off
from bot.slack_api import RedirectedError, retry_after

log = logging.getLogger(__name__)

HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""The hosts of Slack's and GovSlack's response URLs."""
ATTEMPTS = 4
"""Below Slack's five uses, since an attempt without a response may have counted."""
ATTEMPT_SECONDS = 4.0
TOTAL_SECONDS = 20.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=TOTAL_SECONDS)

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")
"""No user, no backslash, no space and nothing outside of ASCII, which parsers of addresses read differently."""
_PORTS = {"https": 443, "http": 80}

Origin = tuple[str, str, int]


class ResponseUrls:
    """Posts replies. `client`: its base URL is an allowed origin besides `HOSTS`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        client: AsyncWebClient,
        in_flight: InFlight,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._session = session
        self._proxy = client.proxy
        self._own = origin_of(client.base_url)
        self._in_flight = in_flight
        self._attempt_seconds = attempt_seconds

    async def post(self, url: str, body: Mapping[str, Any]) -> bool:
        """Whether Slack accepted the reply. Failures are logged, without the address."""
        if not is_slacks(url, self._own):
            log.error("a reply was not sent: the response URL is not one of Slack's")
            return False
        time = asyncio.get_running_loop().time
        deadline = time() + TOTAL_SECONDS
        problem = ""
        for failures in range(ATTEMPTS):
            outcome = await self._attempt(url, body)
            if outcome.sent:
                return True
            problem = outcome.problem
            pause = max(back_off(failures, LONGEST_WAIT, FIRST_WAIT).total_seconds(), outcome.retry_after)
            if outcome.final or failures + 1 == ATTEMPTS or time() + pause + self._attempt_seconds > deadline:
                break
            if await self._in_flight.drains_within(pause):
                break
        log.error("a reply was not delivered: %s", problem)
        return False

    async def _attempt(self, url: str, body: Mapping[str, Any]) -> "_Outcome":
        if self._session.closed:
            return _Outcome(problem="the bot is stopping", final=True)
        try:
            async with (
                asyncio.timeout(self._attempt_seconds),
                # The response's body is not read, however long it is.
                self._session.post(url, json=body, allow_redirects=False, proxy=self._proxy) as answer,
            ):
                return _outcome(answer.status, answer.headers)
        except RedirectedError:
            return _Outcome(problem="Slack's response URL points elsewhere", final=True)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return _Outcome(problem=f"Slack's response URL cannot be reached ({type(error).__name__})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """A failed attempt. `final`: a retry would not help. `retry_after`: seconds that Slack asks to wait."""

    problem: str = ""
    sent: bool = False
    final: bool = False
    retry_after: float = 0.0


def _outcome(status: int, headers: Mapping[str, str]) -> _Outcome:
    if status == 200:
        return _Outcome(sent=True)
    problem = f"Slack's response URL returned {status}"
    if status == 429:
        asked = retry_after(headers)
        return _Outcome(problem=problem, retry_after=0 if asked is None else asked.total_seconds())
    return _Outcome(problem=problem, final=status < 500)


def is_slacks(url: str, own: Origin | None) -> bool:
    """Whether this is an https address of Slack's, or of the origin `own`."""
    if not _ADDRESS.fullmatch(url):
        return False
    if any(url.startswith(f"https://{host}/") for host in HOSTS):
        return True
    return own is not None and origin_of(url) == own


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port; None where there are none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
