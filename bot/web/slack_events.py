"""`POST /slack/events`: Slack's requests in HTTP mode, verified and strictly parsed before any part is used.

Source: https://docs.slack.dev/interactivity/ (payloads of commands,
block_actions, view_submission, view_closed) and https://docs.slack.dev/apis/events-api/ (the wrapper of events).
"""

import hashlib
import hmac
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, TypeAdapter, ValidationError
from pydantic_core import from_json
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.acknowledgement import dispatched
from bot.clock import Clock
from bot.counting import Acknowledged, not_counted

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MOST_FIELDS = 100


class UnreadableBodyError(Exception):
    """The body is not a Slack request; the text is one sentence."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Named(_Part):
    id: str


class _Team(_Named):
    enterprise_id: str | None = None


class _User(_Named):
    team_id: str | None = None
    enterprise_id: str | None = None


class _Action(_Part):
    action_id: str
    block_id: str | None = None
    type: str | None = None
    value: str | None = None


class _State(_Part):
    values: dict[str, dict[str, dict[str, JsonValue]]]


class _View(_Named):
    type: str | None = None
    callback_id: str = ""
    private_metadata: str = ""


class _SubmittedView(_View):
    # Bolt's matchers index it, and treat a `workflow_step` as a payload with a step.
    type: Literal["modal"]
    state: _State


class _Interaction(_Part):
    user: _User
    team: _Team | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
    trigger_id: str | None = None
    response_url: str | None = None


class _BlockActions(_Interaction):
    type: Literal["block_actions"]
    actions: Annotated[list[_Action], Field(min_length=1)]
    view: _View | None = None


class _Submission(_Interaction):
    type: Literal["view_submission"]
    view: _SubmittedView


class _Closing(_Interaction):
    type: Literal["view_closed"]
    view: _View


class _Event(_Part):
    type: str


class _EventCallback(_Part):
    type: Literal["event_callback"]
    event: _Event


class _Verification(_Part):
    type: Literal["url_verification"]
    challenge: str


class _Command(_Part):
    command: str
    text: str = ""
    user_id: str
    team_id: str | None = None
    enterprise_id: str | None = None
    channel_id: str | None = None
    trigger_id: str | None = None
    response_url: str | None = None


_INTERACTIONS: TypeAdapter[_Part] = TypeAdapter(
    Annotated[_BlockActions | _Submission | _Closing, Field(discriminator="type")]
)
_EVENTS: TypeAdapter[_Part] = TypeAdapter(Annotated[_EventCallback | _Verification, Field(discriminator="type")])
_COMMANDS: TypeAdapter[_Part] = TypeAdapter(_Command)


def read(body: bytes, content_type: str) -> dict[str, Any]:
    """The known fields of a request, for Bolt's listeners. `content_type`: `FORM` or `JSON`.

    Raises `UnreadableBodyError`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableBodyError("The body is not UTF-8 text.") from None
    if content_type == JSON:
        return _checked(_object(text), _EVENTS)
    try:
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        raise UnreadableBodyError("The body is not a form.") from None
    if "payload" in fields:
        return _checked(_object(fields["payload"]), _INTERACTIONS)
    return _checked(fields, _COMMANDS)


def _object(text: str) -> dict[str, Any]:
    try:
        # It also raises ValueError for a body nested too deeply.
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise UnreadableBodyError("The body is not JSON as Slack sends it.") from None
    if not isinstance(value, dict):
        raise UnreadableBodyError("The body is not a JSON object.")
    return value


def _checked(payload: dict[str, Any], shape: TypeAdapter[_Part]) -> dict[str, Any]:
    try:
        return shape.validate_python(payload).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UnreadableBodyError(
            f"The body is not a request that this app accepts from Slack ({first['type']})."
        ) from None


TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
SIGNATURE_HEADER = "X-Slack-Signature"
WINDOW_SECONDS = 300
"""The largest difference between a request's time and ours, in both directions."""
MOST_SERVED = 10_000
"""Signatures kept: 33 requests a second for the whole window."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


def is_signed(
    body: bytes, timestamps: Sequence[str], signatures: Sequence[str], signing_secret: str, now: datetime
) -> bool:
    """Whether Slack has signed this body just now. `timestamps`, `signatures`: every value of the two headers."""
    if len(timestamps) != 1 or len(signatures) != 1:
        return False
    timestamp, signature = timestamps[0], signatures[0]
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return False
    if abs(now.timestamp() - int(timestamp)) > WINDOW_SECONDS:
        return False
    signed = b"v0:" + timestamp.encode() + b":" + body
    expected = hmac.new(signing_secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={expected}".encode(), signature.encode())


class ServedSignatures:
    """The signatures of handled requests, until they expire. Above `most` the oldest is dropped."""

    def __init__(self, most: int = MOST_SERVED) -> None:
        self._most = most
        self._until: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def is_first(self, signature: str, timestamp: str, now: datetime) -> bool:
        """Whether a valid signature is new; records it."""
        while self._until and next(iter(self._until.values())) < now.timestamp():
            self._until.popitem(last=False)
        if signature in self._until:
            return False
        self._until[signature] = int(timestamp) + WINDOW_SECONDS
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return True


log = logging.getLogger(__name__)


def slack_route(
    slack: AsyncApp, signing_secret: SecretStr, clock: Clock, acknowledged: Acknowledged = not_counted
) -> web.RouteDef:
    """`clock`: for the age of a signature. Each signature is handled once: a repeat changes nothing."""
    served = ServedSignatures()

    async def events(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = request.headers
        timestamps, signatures = headers.getall(TIMESTAMP_HEADER, []), headers.getall(SIGNATURE_HEADER, [])
        now = clock()
        if not is_signed(body, timestamps, signatures, signing_secret.get_secret_value(), now):
            return _refused(401, "This request has no valid Slack signature, or its timestamp is too far from now.")
        # aiohttp reads a malformed content type as application/octet-stream.
        if request.content_type not in (FORM, JSON) or len(headers.getall(hdrs.CONTENT_TYPE)) != 1:
            return _refused(415, f"Send {FORM} or {JSON}.")
        if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            return _refused(415, "Send UTF-8.")
        try:
            payload = read(body, request.content_type)
        except UnreadableBodyError as error:
            return _refused(400, str(error))
        if not served.is_first(signatures[0], timestamps[0], now):
            log.info("Slack's request of %s was handled before: ignoring the repeat", timestamps[0])
            return web.Response()
        # Pass on JSON, so that Bolt reads exactly the checked fields.
        asked = AsyncBoltRequest(body=json.dumps(payload), headers={"content-type": JSON})
        answers: list[web.Response] = []

        async def send(response: BoltResponse) -> None:
            answers.append(answer := await to_aiohttp_response(response))
            await answer.prepare(request)
            await answer.write_eof()

        await dispatched(slack, asked, send, acknowledged)
        return answers[0]

    return web.post("/slack/events", events)


def _refused(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
