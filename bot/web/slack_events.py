"""`POST /slack/events`: Slack's requests in HTTP mode. Nothing of one is used before its signature holds."""

import json
import logging

from aiohttp import hdrs, web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.clock import Clock
from bot.web.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, ServedSignatures, is_signed
from bot.web.slack_requests import FORM, JSON, UnreadableBodyError, read

log = logging.getLogger(__name__)


def slack_route(slack: AsyncApp, signing_secret: SecretStr, clock: Clock) -> web.RouteDef:
    """`clock`: by which the age of a signature is taken. Each signature is served once: a repeat changes nothing."""
    served = ServedSignatures()

    async def events(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = request.headers
        timestamps, signatures = headers.getall(TIMESTAMP_HEADER, []), headers.getall(SIGNATURE_HEADER, [])
        now = clock()
        if not is_signed(body, timestamps, signatures, signing_secret.get_secret_value(), now):
            return _refused(401, "This request has no valid signature of Slack's, or its time is not now.")
        # aiohttp takes a content type that is none for application/octet-stream.
        if request.content_type not in (FORM, JSON) or len(headers.getall(hdrs.CONTENT_TYPE)) != 1:
            return _refused(415, f"Send {FORM} or {JSON}.")
        if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            return _refused(415, "Send UTF-8.")
        try:
            payload = read(body, request.content_type)
        except UnreadableBodyError as error:
            return _refused(400, str(error))
        if not served.is_first(signatures[0], timestamps[0], now):
            log.info("Slack's request of %s was served before: nothing is done again.", timestamps[0])
            return web.Response()
        # As JSON, so that Bolt reads exactly what was checked.
        asked = AsyncBoltRequest(body=json.dumps(payload), headers={"content-type": JSON})
        return await to_aiohttp_response(await slack.async_dispatch(asked))

    return web.post("/slack/events", events)


def _refused(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
