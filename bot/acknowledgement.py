"""Acknowledge a request of Slack before its listener goes on, so that work never delays it.

Bolt looks every 10 ms whether a listener has acknowledged, while that listener works on, and only then answers Slack.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.counting import Acknowledged, not_counted

SENDING_SECONDS = 0.5
"""Longest wait of a listener for its acknowledgement to be sent, for instance while the connection is replaced."""

Send = Callable[[BoltResponse], Awaitable[None]]


class PromptAck(AsyncAck):
    """Sends itself when a listener calls it. Only the first response counts.

    Bolt withdraws an acknowledgement when its listener fails right after it; Slack would then show a timeout.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Bolt's own has no types
        self._send = send
        self._sending: asyncio.Future[None] | None = None

    async def __call__(self, *arguments: Any, **named: Any) -> BoltResponse:
        """See `AsyncAck`. Returns once it is sent, or after `SENDING_SECONDS`; raises nothing of the sending."""
        response = await super().__call__(*arguments, **named)
        await asyncio.wait({self._begun(response)}, timeout=SENDING_SECONDS)
        return response

    @property
    def response(self) -> BoltResponse | None:
        """The response as Bolt reads it. Once set, it is never withdrawn."""
        return self._response

    @response.setter
    def response(self, response: BoltResponse | None) -> None:
        self._response = response or getattr(self, "_response", None)

    async def finish(self, response: BoltResponse) -> None:
        """Send this unless something was sent already. Raises the exceptions of `send`."""
        await self._begun(response)

    def _begun(self, response: BoltResponse) -> "asyncio.Future[None]":
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send(response))
        return self._sending


async def dispatched(
    app: AsyncApp, asked: AsyncBoltRequest, send: Send, acknowledged: Acknowledged = not_counted
) -> None:
    """Dispatch a request of Slack to the app. Calls `send` once, as soon as there is a response.

    Raises the exceptions of `send`.
    """
    began = time.monotonic()

    async def measured(response: BoltResponse) -> None:
        await send(response)
        acknowledged(kind_of(asked.body), time.monotonic() - began)

    ack = PromptAck(measured)
    asked.context["ack"] = ack
    await ack.finish(await app.async_dispatch(asked))


KINDS = {"block_actions": "action", "view_submission": "view", "view_closed": "view", "event_callback": "event"}


def kind_of(body: Mapping[str, Any]) -> str:
    """Kind of a request: `command`, `action`, `view`, `event` or `other`."""
    return "command" if "command" in body else KINDS.get(str(body.get("type")), "other")
