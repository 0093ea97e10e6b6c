"""Slack's connections: credentials are checked before the start, and replies are posted to response URLs.

A response URL comes with a request, so only Slack's own hosts are called, and no redirect is followed. Source, also of
the five uses within 30 minutes: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
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
"""Seconds that Slack may take for a call that others wait for."""

LONGEST_SOCKET_WAIT = timedelta(minutes=1)
SHORT_LIFE = timedelta(seconds=10)
"""Of a connection; Slack's last for hours."""


class SlackRefusedError(Exception):
    """Slack refuses a token; the text is one sentence with the remedy."""


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
        """Set the fields from the response that `check_bot_token` got."""
        self.url, self.team, self.enterprise = answered.url, answered.team, answered.enterprise

    @property
    def is_known(self) -> bool:
        """Whether members of this workspace can be distinguished from others."""
        return bool(self.team or self.enterprise)

    def has(self, person: Person) -> bool:
        """Whether everything that the request names is this workspace or its organization.

        Ids of users are unique in an organization, whichever of its workspaces they act in.
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
    """Call `auth.test` and return its response. Raises `SlackRefusedError` or `SlackUnreachableError`."""
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
    """The app token, which may rotate: each connection asks for it."""
    made_at: float | None = None
    """By `time.monotonic`, of the last connection, until the next one is asked for."""
    short_lives: int = 0
    """Connections in a row that ended within `SHORT_LIFE`."""

    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        try:
            await super().connect_to_new_endpoint(force)
        except CallError:
            # Slack sends nothing more over a connection that it has asked to leave. The monitor replaces a stale one.
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
        """Where Slack ends each connection at once, as beside ten others of the app, ask it ever less often."""
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
        """Forgets each address at its use, since it is good for one: slack_sdk would try a refused one for ever."""

        async def forget(*_: object) -> None:
            self.wss_uri = None

        used = aiohttp.TraceConfig()
        used.on_request_end.append(forget)
        used.on_request_exception.append(forget)
        return used


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drops the line that slack_sdk logs each time Slack cannot be reached."""
    record.exc_info = None
    return True


class SocketMode(AsyncBaseSocketModeHandler):
    """Bolt's handler, except that an envelope delivered twice is acknowledged twice and handled once."""

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
            # Slack would only send the same again.
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
"""No user, no backslash, no space and nothing outside of ASCII, which parsers of addresses read differently."""
_PORTS = {"https": 443, "http": 80}

Origin = tuple[str, str, int]

MOST_REASON = 2048
"""Bytes of a response that are read for the reason of a refusal."""
REASON_SECONDS = 0.5

NATIVE_AGAIN = timedelta(hours=1)
"""After a refusal, charts and data tables are tried again this much later."""


class NativeBlocks:
    """Whether the workspace takes charts, data tables and folds, which Slack rolls out in phases. For each process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused_at: datetime | None = None

    @property
    def refused(self) -> bool:
        """Whether Slack has refused them within `NATIVE_AGAIN`."""
        # A clock that was set back does not count as a refusal that is yet to come.
        at = self._refused_at
        return at is not None and timedelta() <= self._clock() - at < NATIVE_AGAIN

    def refuse(self) -> None:
        """Slack has refused them and has taken the same message without them."""
        if not self.refused:
            log.warning("Slack takes no charts and data tables here: for an hour answers have plain tables instead")
        self._refused_at = self._clock()


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
        return await self.post_first(url, [body]) is not None

    async def post_first(self, url: str, bodies: Sequence[Mapping[str, Any]]) -> int | None:
        """Which of these replies Slack accepted: each says the same, and follows where the one before was refused."""
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
    """A failed attempt. `final`: a retry would not help. `retry_after`: seconds that Slack asks to wait.

    `refused`: Slack does not take what was posted, and may take something else.
    """

    problem: str = ""
    sent: bool = False
    final: bool = False
    refused: bool = False
    retry_after: float = 0.0


async def _reason(answer: aiohttp.ClientResponse) -> str:
    """The error code of a JSON response with status 200; empty where there is none. Little is read, and not for long.

    Slack's own hosts refuse with status 400 and the code as plain text.
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
        # An address that is used up or too old refuses everything.
        return _Outcome(problem=f"Slack refuses it ({reason})", final=True, refused=not reason.endswith("_url"))
    problem = f"Slack's response URL returned {status}"
    if status == 429:
        asked = retry_after(headers)
        return _Outcome(problem=problem, retry_after=0 if asked is None else asked.total_seconds())
    return _Outcome(problem=problem, final=status < 500, refused=status == 400)


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
