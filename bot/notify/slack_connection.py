"""Connections to Slack: checks of the tokens, Socket Mode, and replies to response URLs.

A response URL comes with a request, so only Slack's own hosts are called and no redirect is followed. Source, also for
its five uses within 30 minutes: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

import asyncio
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.async_base_handler import AsyncBaseSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.adapter.socket_mode.internals import build_headers
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.acknowledgement import dispatched
from bot.addresses import is_plain_http
from bot.clock import Clock
from bot.counting import Acknowledged, not_counted
from bot.db.state import Person
from bot.notify.model import Address, back_off
from bot.notify.slack_shapes import UnreadablePayloadError, checked
from bot.slack_api import (
    CREDENTIALS,
    CallError,
    LimitedCallError,
    RedirectedError,
    RefusedCallError,
    call,
    retry_after,
    sentence_of,
)
from bot.threads import InFlight

log = logging.getLogger(__name__)

KEPT_ENVELOPES = 1000

ANSWER_SECONDS = 10
"""Seconds that Slack may take for a call of a connection."""

LONGEST_SOCKET_WAIT = timedelta(minutes=1)
SHORT_LIFE = timedelta(seconds=10)
"""A connection that ends within this time was short; Slack's last for hours."""


class SlackRefusedError(Exception):
    """Slack refuses a token, or the database is another workspace's; the text is one sentence with the remedy."""


class SlackUnreachableError(Exception):
    """Slack does not respond, or responds with an internal error."""


@dataclass(slots=True)
class Workspace:
    """The bot's own workspace, from `auth.test`; every field is empty until then.

    `team`, `enterprise`: ids of the workspace and of its Enterprise organization, empty where it belongs to none.
    """

    url: str = ""
    team: str = ""
    enterprise: str = ""

    def learn(self, answered: "Workspace") -> None:
        """Take over the fields of a workspace that `check_bot_token` has returned."""
        self.url, self.team, self.enterprise = answered.url, answered.team, answered.enterprise

    @property
    def is_known(self) -> bool:
        """Whether members of this workspace can be told from others."""
        return bool(self.team or self.enterprise)

    def has(self, person: Person) -> bool:
        """Whether the person acts in this workspace or its organization, and in no other one.

        An organization has unique ids of users, in all of its workspaces.
        """
        # Slack puts the id of an organization (E…) where a workspace is expected if the user belongs to no single one.
        organizations = person.enterprises | {team for team in person.teams if team.startswith("E")}
        if organizations:
            return organizations == {self.enterprise}
        return person.teams == {self.team}

    def excludes(self, team: str) -> bool:
        """Whether somebody of this workspace or organization is certainly of another company; False while unknown."""
        if not self.is_known or not team:
            return False
        if team.startswith("E"):
            return team != self.enterprise
        # No request says which workspaces an organization has.
        return not self.enterprise and team != self.team

    def permalink(self, address: Address) -> str | None:
        """The link to a message, in Slack's own form; None while the workspace is unknown."""
        if not self.url:
            return None
        return f"{self.url.rstrip('/')}/archives/{address.channel}/p{address.ts.replace('.', '')}"


async def check_bot_token(client: AsyncWebClient, channel: str, seconds: float = ANSWER_SECONDS) -> Workspace:
    """Call `auth.test` and return the workspace. Raises `SlackRefusedError` or `SlackUnreachableError`."""
    try:
        answer = await call(client.auth_test(), seconds)
    except CallError as error:
        raise refusal_of(error, channel, "SLACK_BOT_TOKEN") from None
    return Workspace(*(answer.text(name) for name in ("url", "team_id", "enterprise_id")))


async def check_app_token(client: AsyncWebClient, app_token: str, channel: str, seconds: float = ANSWER_SECONDS) -> str:
    """Call `apps.connections.open` and return the address of the connection. Raises like `check_bot_token`."""
    try:
        answer = await call(client.apps_connections_open(app_token=app_token), seconds)
    except CallError as error:
        raise refusal_of(error, channel, "SLACK_APP_TOKEN") from None
    url = answer.text("url")
    if not url.startswith(("wss://", "ws://")):
        raise SlackUnreachableError("Slack's response has no address for the connection.")
    return url


def refusal_of(error: CallError, channel: str, variable: str) -> Exception:
    """The error for a failed check of the token in `variable`: `SlackRefusedError` or `SlackUnreachableError`."""
    if not isinstance(error, RefusedCallError):
        return SlackUnreachableError(str(error))
    code = error.code
    if code not in CREDENTIALS and code != "missing_scope":
        return SlackUnreachableError(f"Slack answers {code}.")
    if variable == "SLACK_APP_TOKEN":
        return SlackRefusedError(
            f"Slack refuses SLACK_APP_TOKEN ({code}): create an app-level token (xapp-…) with the scope "
            "connections:write on the app's Basic Information page."
        )
    return SlackRefusedError(sentence_of(error, channel))


class _Client(SocketModeClient):
    """slack_sdk's client, except that connecting has a deadline and survives every response.

    aiohttp accepts messages of at most 4 MB, and slack_sdk reconnects after a larger one.
    """

    answer_seconds: float = ANSWER_SECONDS
    secret: SecretStr | None = None
    """The app token, read for each connection, since it may rotate."""
    made_at: float | None = None
    """When the last connection was made, by `time.monotonic`; None once the next one is asked for."""
    short_lives: int = 0
    """Number of connections in a row that ended within `SHORT_LIFE`."""

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        try:
            await super().connect_to_new_endpoint(force)
        except CallError:
            # Slack has asked to leave the old connection and sends nothing more over it: let the monitor replace it.
            self.stale = True
            raise

    async def issue_new_wss_url(self) -> str:
        await self._pause_after_short_lives()
        token = self.app_token if self.secret is None else self.secret.get_secret_value()
        try:
            answer = await call(self.web_client.apps_connections_open(app_token=token), self.answer_seconds)
        except LimitedCallError as error:
            await asyncio.sleep(min(error.retry_after or timedelta(0), LONGEST_SOCKET_WAIT).total_seconds())
            raise
        return answer.text("url")

    async def _pause_after_short_lives(self) -> None:
        """Back off if Slack ends each connection at once, as it does when the app has ten others."""
        if self.made_at is None:
            return
        short = time.monotonic() - self.made_at < SHORT_LIFE.total_seconds()
        self.made_at, self.short_lives = None, self.short_lives + 1 if short else 0
        if self.short_lives > 1:
            await asyncio.sleep(back_off(self.short_lives - 2, LONGEST_SOCKET_WAIT).total_seconds())

    async def connect(self) -> None:
        if self.current_session is None:
            await self.aiohttp_client_session.close()
            self.aiohttp_client_session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.answer_seconds), trace_configs=[self._addresses()]
            )
        await super().connect()  # type: ignore[no-untyped-call]
        self.made_at = time.monotonic()

    def _addresses(self) -> aiohttp.TraceConfig:
        """Forget each address once it is used, since it works once: slack_sdk would retry a refused one for ever."""

        async def forget(*_: object) -> None:
            self.wss_uri = None

        used = aiohttp.TraceConfig()
        used.on_request_end.append(forget)
        used.on_request_exception.append(forget)
        return used


def _without_traceback(record: logging.LogRecord) -> bool:
    """Strip the traceback that slack_sdk logs each time Slack cannot be reached."""
    record.exc_info = None
    return True


class SocketMode(AsyncBaseSocketModeHandler):
    """Bolt's handler, except that an envelope that comes twice is acknowledged twice and handled once."""

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        answer_seconds: float = ANSWER_SECONDS,
        secret: SecretStr | None = None,
        acknowledged: Acknowledged = not_counted,
    ) -> None:
        self._acknowledged = acknowledged
        self.app = self._app = app
        self.app_token = app_token
        quiet = logging.getLogger(f"{__name__}.socket_mode")
        quiet.addFilter(_without_traceback)
        self.client: SocketModeClient = _Client(app_token, quiet, app.client, ping_interval=10)
        if is_plain_http(app.client.base_url):
            self.client.proxy = None
        self.client.answer_seconds = answer_seconds
        self.client.secret = secret
        self.client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type]
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override]  # Bolt narrows it the same way
        if not isinstance(req.envelope_id, str):
            log.warning("Slack sent an envelope without an id, which is passed over")
            return
        if req.envelope_id in self._seen:
            log.info("envelope %s came again; it was handled before", req.envelope_id)
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=req.envelope_id))
            return
        self._seen[req.envelope_id] = None
        if len(self._seen) > KEPT_ENVELOPES:
            self._seen.popitem(last=False)
        try:
            checked(req.payload, req.type)
        except UnreadablePayloadError as error:
            # Acknowledge it, or Slack sends the same again.
            log.warning(
                "Slack sent a request of a shape that this app does not accept (%s), which is passed over", error
            )
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=req.envelope_id))
            return
        begun_at = time.time()

        async def send(response: BoltResponse) -> None:
            await send_async_response(client, req, response, begun_at)

        asked = AsyncBoltRequest(mode="socket_mode", body=req.payload, headers=build_headers(req))
        await dispatched(self._app, asked, send, self._acknowledged)


HOSTS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""The hosts of Slack's and GovSlack's response URLs."""
ATTEMPTS = 4
"""Below Slack's five uses, since an attempt without a response may have counted."""
ATTEMPT_SECONDS = 4.0
TOTAL_SECONDS = 20.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=TOTAL_SECONDS)

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[!-\[\]-~]*")
"""An address without user, backslash, space and non-ASCII characters, which parsers of addresses read differently."""
_PORTS = {"https": 443, "http": 80}

Origin = tuple[str, str, int]

MOST_REASON = 2048
"""Most bytes of a response that are read for the reason of a refusal."""
REASON_SECONDS = 0.5

NATIVE_AGAIN = timedelta(hours=1)
"""Time after a refusal until charts and data tables are tried again."""


class NativeBlocks:
    """Remembers whether the workspace takes charts, data tables and folds, which Slack rolls out in phases."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused_at: datetime | None = None

    @property
    def refused(self) -> bool:
        """Whether Slack has refused them within `NATIVE_AGAIN`."""
        # After the clock was set back, the refusal lies in the future and does not count.
        at = self._refused_at
        return at is not None and timedelta() <= self._clock() - at < NATIVE_AGAIN

    def refuse(self) -> None:
        """Note that Slack refused them, and took the same message without them."""
        if not self.refused:
            log.warning("Slack takes no charts and data tables here: for an hour answers have plain tables instead")
        self._refused_at = self._clock()


class ResponseUrls:
    """Posts replies to response URLs. `client`: the origin of its base URL is allowed besides `HOSTS`."""

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
        """Post a reply; whether Slack accepted it. Failures are logged, without the address."""
        return await self.post_first(url, [body]) is not None

    async def post_first(self, url: str, bodies: Sequence[Mapping[str, Any]]) -> int | None:
        """Post the first of these replies that Slack accepts; its index, or None. All of them say the same."""
        if not is_slacks(url, self._own):
            log.error("a reply was not sent: the response URL is not one of Slack's")
            return None
        deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
        outcome = _Outcome()
        for index, body in enumerate(bodies):
            outcome = await self._until_final(url, body, deadline)
            if outcome.sent:
                return index
            if not outcome.refused:
                break
        log.error("a reply was not delivered: %s", outcome.problem)
        return None

    async def _until_final(self, url: str, body: Mapping[str, Any], deadline: float) -> "_Outcome":
        time = asyncio.get_running_loop().time
        failures = 0
        while True:
            outcome = await self._attempt(url, body)
            failures += 1
            pause = max(back_off(failures - 1, LONGEST_WAIT, FIRST_WAIT).total_seconds(), outcome.retry_after)
            if outcome.sent or outcome.final or failures == ATTEMPTS:
                return outcome
            if time() + pause + self._attempt_seconds > deadline or await self._in_flight.drains_within(pause):
                return outcome

    async def _attempt(self, url: str, body: Mapping[str, Any]) -> "_Outcome":
        if self._session.closed:
            return _Outcome(problem="the bot is stopping", final=True)
        try:
            async with (
                asyncio.timeout(self._attempt_seconds),
                self._session.post(url, json=body, allow_redirects=False, proxy=self._proxy) as answer,
            ):
                return _outcome(answer.status, answer.headers, await _reason(answer))
        except RedirectedError:
            return _Outcome(problem="Slack's response URL points elsewhere", final=True)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return _Outcome(problem=f"Slack's response URL cannot be reached ({type(error).__name__})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Result of an attempt. `problem`: why it failed. `final`: a retry would not help.

    `refused`: Slack does not take this reply, but may take another one. `retry_after`: seconds that Slack asks to wait.
    """

    problem: str = ""
    sent: bool = False
    final: bool = False
    refused: bool = False
    retry_after: float = 0.0


async def _reason(answer: aiohttp.ClientResponse) -> str:
    """The error code in a JSON response with status 200; empty if there is none.

    Slack's own hosts refuse with status 400 and the code as plain text instead.
    """
    if answer.status != 200 or "json" not in answer.content_type:
        return ""
    try:
        async with asyncio.timeout(REASON_SECONDS):
            body = json.loads(await answer.content.read(MOST_REASON))
    except (TimeoutError, aiohttp.ClientError, ValueError, RecursionError):
        return ""
    return str(body.get("error") or "not ok") if isinstance(body, dict) and body.get("ok") is False else ""


def _outcome(status: int, headers: Mapping[str, str], reason: str) -> _Outcome:
    if status == 200 and not reason:
        return _Outcome(sent=True)
    if status == 200:
        # A URL that is used up or too old takes no other reply either.
        return _Outcome(problem=f"Slack refuses it ({reason})", final=True, refused=not reason.endswith("_url"))
    problem = f"Slack's response URL returned {status}"
    if status == 429:
        asked = retry_after(headers)
        return _Outcome(problem=problem, retry_after=0 if asked is None else asked.total_seconds())
    return _Outcome(problem=problem, final=status < 500, refused=status == 400)


def is_slacks(url: str, own: Origin | None) -> bool:
    """Whether this is an https address at one of Slack's `HOSTS`, or at the origin `own`."""
    if not _ADDRESS.fullmatch(url):
        return False
    if any(url.startswith(f"https://{host}/") for host in HOSTS):
        return True
    return own is not None and origin_of(url) == own


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port of an address; None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
