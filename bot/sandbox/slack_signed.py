"""HTTP mode of the local Slack: requests to the app, signed as Slack signs them."""

import asyncio
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from slack_sdk.signature import SignatureVerifier

from bot.sandbox.slack_errors import NotDispatchedError
from bot.sandbox.slack_socket import Ack


async def post_signed(
    url: str, payload: dict[str, Any], kind: str, signing_secret: str, at: datetime
) -> tuple[int, str]:
    """Status and body of the app's answer. `kind`: of envelope. `at`: the time in the signature."""
    if kind == "events_api":
        body, content_type = json.dumps(payload), "application/json"
    else:
        form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        body, content_type = urlencode(form), "application/x-www-form-urlencoded"
    timestamp = str(int(at.timestamp()))
    verifier = SignatureVerifier(signing_secret)
    signature = verifier.generate_signature(timestamp=timestamp, body=body)
    headers = {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature or "",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body.encode(), headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def dispatch(
    url: str, payload: dict[str, Any], kind: str, signing_secret: str, seconds: float, at: datetime
) -> Ack:
    """What the app acknowledges with. `at`: the time in the signature.

    Raises `NotDispatchedError` where it does not, within `seconds` of real time.
    """
    try:
        async with asyncio.timeout(seconds):
            status, body = await post_signed(url, payload, kind, signing_secret, at)
    except TimeoutError:
        raise NotDispatchedError("operation_timeout: no answer in time") from None
    except aiohttp.ClientError as error:
        raise NotDispatchedError(f"dispatch_failed: {type(error).__name__}") from None
    if status != 200:
        raise NotDispatchedError(f"dispatch_failed: HTTP {status}")
    if not body:
        return Ack(None)
    try:
        said = json.loads(body)
    except json.JSONDecodeError:
        said = body
    return Ack(said if isinstance(said, dict) else {"text": body})
