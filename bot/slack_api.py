"""Calls of Slack's Web API: a total deadline, a bound on the response, two kinds of failure, and remedies for errors.

slack_sdk reads a response of any size, follows redirects, and raises arbitrary errors where a response is not Slack's:
a proxy's page, JSON that is not an object, bytes that are not text. Error codes: docs.slack.dev, the error lists of the
methods used here.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.language import Text, tr_lazy, tr_noop
from bot.traces import HTTP_STATUS, span

TIMEOUT_SECONDS = 15
"""Seconds for one call, from connecting to the last byte."""

MOST_BYTES = 8 * 2**20
"""The largest response, unpacked. A page of 200 messages has about 1 MB."""

LONGEST_RETRY_AFTER = timedelta(days=1)

TEMPORARY = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Errors after which Slack may still have executed the call (docs.slack.dev, chat.postMessage)."""

LIMITED = frozenset({"ratelimited", "rate_limited"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class CallError(Exception):
    """A call of Slack failed; the text is one sentence."""


class FailedCallError(CallError):
    """No valid response. `arrived`: whether Slack may have received the call. `headers`: of the response, if any."""

    def __init__(self, sentence: Text, *, arrived: bool = True, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.arrived = arrived
        self.headers = headers or {}


class LimitedCallError(CallError):
    """Slack did nothing, and asks to wait. `retry_after`: how long, if it said so."""

    def __init__(self, retry_after: timedelta | None) -> None:
        super().__init__(tr_lazy("Slack asks to wait."))
        self.retry_after = retry_after


class RefusedCallError(CallError):
    """Slack understood the call and did nothing.

    `code`: Slack's error code. `needed`: the missing scope. `details`: what Slack reports about the arguments.
    """

    def __init__(self, answer: "Answer") -> None:
        self.code = answer.text("error")
        super().__init__(tr_lazy("Slack refuses ({code}).", code=self.code))
        self.needed = answer.text("needed")
        self.headers = answer.headers
        metadata = as_object(answer.data.get("response_metadata"))
        errors = [as_object(error).get("message") for error in as_list(answer.data.get("errors"))]
        self.details = [line for line in (*as_list(metadata.get("messages")), *errors) if isinstance(line, str)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with `ok`. Other fields of `data` may not have the documented type."""

    data: Mapping[str, Any]
    headers: Mapping[str, str]

    def text(self, name: str) -> str:
        """A field; empty if it is missing or not text."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""


class TooLargeError(aiohttp.ClientPayloadError):
    """A response has more than `MOST_BYTES`."""


class RedirectedError(aiohttp.ClientError):
    """A response redirects. Slack's API never does, and the token and the message must reach no other host."""


class _BoundedResponse(aiohttp.ClientResponse):
    """Reads at most `MOST_BYTES` of the body; aiohttp unpacks it piece by piece."""

    async def read(self) -> bytes:
        if self._body is None:
            pieces: list[bytes] = []
            left = MOST_BYTES
            async for piece in self.content.iter_any():
                left -= len(piece)
                if left < 0:
                    self.close()
                    raise TooLargeError(f"an answer has more than {MOST_BYTES} bytes")
                pieces.append(piece)
            self._body = b"".join(pieces)
        return await super().read()


async def _stay_here(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    if request.url.scheme == "http":
        # slack_sdk uses any proxy of the environment, which would see the token.
        request.update_proxy(None, None, None)
    response = await handler(request)
    if response.status in REDIRECTS:
        response.close()
        raise RedirectedError(f"HTTP {response.status}")
    return response


_METHOD = re.compile(r"[A-Za-z]{1,30}(?:\.[A-Za-z]{1,30}){1,3}")


async def _traced(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A span with the name of the method; the path of a response URL is a secret."""
    method = request.url.name
    with span("slack", method=method if _METHOD.fullmatch(method) else "response_url") as mark:
        response = await handler(request)
        mark.set(HTTP_STATUS, response.status)
        return response


def new_session() -> aiohttp.ClientSession:
    """A session for Slack's Web API that bounds every call."""
    return aiohttp.ClientSession(
        response_class=_BoundedResponse,
        middlewares=(_traced, _stay_here),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
    )


async def call(calling: Awaitable[AsyncSlackResponse], seconds: float = TIMEOUT_SECONDS) -> Answer:
    """The response to one call, such as `call(client.auth_test())`. Raises `CallError` for every failure."""
    try:
        # The client's own time-out does not apply to a session passed to it.
        async with asyncio.timeout(seconds):
            response = await calling
    except SlackApiError as error:
        raise _failure(error.response) from None
    except aiohttp.ClientConnectorError as error:
        raise FailedCallError(_unreachable(error), arrived=False) from None
    except Exception as error:  # noqa: BLE001  # slack_sdk raises anything at an answer that is not Slack's
        raise FailedCallError(_unreachable(error)) from None
    if not isinstance(response.data, dict) or response.data.get("ok") is not True:
        raise _failure(response)
    return Answer(response.data, _headers(response))


def as_object(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a JSON list, otherwise an empty one."""
    return value if isinstance(value, list) else []


def _unreachable(error: Exception) -> Text:
    if isinstance(error, TooLargeError):
        return tr_lazy("Slack's response has more than {most} MB and is not read.", most=MOST_BYTES // 2**20)
    if isinstance(error, RedirectedError):
        return tr_lazy("SLACK_API_URL redirects to another address ({error}): correct it.", error=str(error))
    return tr_lazy("Slack cannot be reached ({error}).", error=type(error).__name__)


def _failure(response: Any) -> CallError:
    """`response` is aiohttp's own if the body was not JSON, otherwise slack_sdk's with any kind of JSON in it."""
    status = _status(response)
    answer = Answer(as_object(getattr(response, "data", None)), _headers(response))
    code = answer.text("error")
    if status == 429 or code in LIMITED:
        return LimitedCallError(retry_after(answer.headers))
    if status >= 500 or code in TEMPORARY:
        error = tr_lazy("Slack has an internal error ({code}).", code=code or f"HTTP {status}")
        return FailedCallError(error, headers=answer.headers)
    if not code or answer.data.get("ok") is not False:
        return FailedCallError(
            tr_lazy("The response is not Slack's (HTTP {status}): a proxy may stand between.", status=status)
        )
    return RefusedCallError(answer)


def _status(response: Any) -> int:
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    return status if isinstance(status, int) else 0


def _headers(response: Any) -> Mapping[str, str]:
    """Headers by lower-case name."""
    headers = getattr(response, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Whole seconds of the header `Retry-After`, at most a day; None without them."""
    text = headers.get("retry-after", "").strip()
    if not (text.isascii() and text.isdecimal()):
        return None
    return min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)


CREDENTIALS = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "not_allowed_token_type"}
    | {"team_added_to_org", "two_factor_setup_required", "org_login_required", "ekm_access_denied"}
)
"""Codes that reject the token itself: no later attempt with it can succeed."""

_REMEDIES = {
    "not_in_channel": tr_noop("The bot is not in {channel}: type /invite @claude-cost there."),
    "channel_not_found": tr_noop(
        "The bot can see no channel {channel}: correct {setting}, or type "
        "/invite @claude-cost there if the channel is private."
    ),
    "is_archived": tr_noop("The channel {channel} is archived: unarchive it or set {setting} to another one."),
    "missing_scope": tr_noop(
        "The Slack app lacks the scope {needed}: add it on OAuth & Permissions and reinstall the app."
    ),
    "invalid_auth": tr_noop("Slack refuses SLACK_BOT_TOKEN: copy the Bot User OAuth Token again from your Slack app."),
    "not_authed": tr_noop("Slack got no token: set SLACK_BOT_TOKEN."),
    "token_revoked": tr_noop("SLACK_BOT_TOKEN was revoked: reinstall the Slack app and set the new token."),
    "token_expired": tr_noop(
        "SLACK_BOT_TOKEN has expired: switch token rotation off in the Slack app and reinstall it."
    ),
    "account_inactive": tr_noop(
        "The bot's Slack account is switched off: reinstall the Slack app and set the new token."
    ),
    "not_allowed_token_type": tr_noop("SLACK_BOT_TOKEN is the wrong kind of token: it must be the bot token, xoxb-…."),
    "team_added_to_org": tr_noop("The workspace has joined an Enterprise organization: reinstall the Slack app there."),
    "two_factor_setup_required": tr_noop("The workspace asks for two-factor sign-in: finish that set-up in Slack."),
    "restricted_action": tr_noop(
        "The workspace does not let this app post in {channel}: ask its admins for that right."
    ),
    "no_permission": tr_noop("The workspace does not let this app post in {channel}: ask its admins for that right."),
    "message_not_found": tr_noop("The message was deleted in Slack."),
    "cant_update_message": tr_noop("Slack does not let the bot edit that message."),
    "is_inactive": tr_noop("The channel of that message is archived: unarchive it to see the message edited."),
    "edit_window_closed": tr_noop("Slack does not let messages of that age be edited in this workspace."),
}


MAIN_CHANNEL = "CLAUDE_COST_CHANNEL"
BUDGETS_CHANNEL = tr_noop("the budget's channel")
DIGESTS_CHANNEL = tr_noop("the digest's channel")
OWN_CHANNEL = tr_noop("the channel of the budget or digest")
"""The setting of a channel."""


def remedy(code: str, *, channel: str, needed: str = "", setting: str = MAIN_CHANNEL) -> Text:
    """One sentence for an error code of Slack's. `needed`: the scope that Slack named. `setting`: of the channel."""
    sentence = _REMEDIES.get(code)
    if sentence is None and code.startswith("restricted_action"):
        sentence = _REMEDIES["restricted_action"]
    if sentence is None:
        return tr_lazy(
            "Slack refuses the call ({code}): look the code up in Slack's method pages, or run the set-up again.",
            code=code,
        )
    scope = needed or tr_lazy("that Slack names")
    return Text(sentence, {"channel": channel, "needed": scope, "setting": Text(setting, {})})


def sentence_of(error: CallError, channel: str, setting: str = MAIN_CHANNEL) -> Text | str:
    """One sentence for a failed call, with the remedy if Slack refused it. `setting`: of the channel."""
    if isinstance(error, RefusedCallError):
        return remedy(error.code, channel=channel, needed=error.needed, setting=setting)
    sentence: Text | str = error.args[0]
    return sentence
