"""`POST /slack/events`: Slack's requests in HTTP mode, verified and strictly parsed before any part is used."""

import hashlib
import hmac
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from pydantic import SecretStr
from pydantic_core import from_json
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.acknowledgement import dispatched
from bot.clock import Clock
from bot.counting import Acknowledged, not_counted
from bot.notify.slack_shapes import Kind, UnreadablePayloadError, checked

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MOST_FIELDS = 100


class UnreadableBodyError(Exception):
    """The body is not a Slack request; the text is one sentence."""


def read(body: bytes, content_type: str) -> dict[str, Any]:
    """The known fields of a request, for Bolt's listeners. `content_type`: `FORM` or `JSON`.

    Raises `UnreadableBodyError`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableBodyError("The body is not UTF-8 text.") from None
    if content_type == JSON:
        return _checked(_object(text), "events_api")
    try:
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        raise UnreadableBodyError("The body is not a form.") from None
    if "payload" in fields:
        return _checked(_object(fields["payload"]), "interactive")
    return _checked(fields, "slash_commands")


def _object(text: str) -> dict[str, Any]:
    try:
        # It also raises ValueError for a body nested too deeply.
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise UnreadableBodyError("The body is not JSON as Slack sends it.") from None
    if not isinstance(value, dict):
        raise UnreadableBodyError("The body is not a JSON object.")
    return value


def _checked(payload: dict[str, Any], kind: Kind) -> dict[str, Any]:
    try:
        return checked(payload, kind)
    except UnreadablePayloadError as error:
        raise UnreadableBodyError(f"The body is not a request that this app accepts from Slack ({error}).") from None


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
