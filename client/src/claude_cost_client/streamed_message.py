"""What the bytes of a streamed Messages response tell: its usage, its first token, its end. Pure."""

from __future__ import annotations

import json
from typing import Any

from claude_cost_client.event_stream import Event, EventReader

FIRST_TOKEN = frozenset({"content_block_delta", "content_block_stop", "message_delta", "message_stop"})
"""Events that show something to the reader, or that nothing more will come. A block that only starts shows nothing."""


class StreamedMessage:
    """`message`: the Messages response as far as it is known, with the last `usage`; None before it begins.

    `error`: the type in an `error` event. `complete`: the end has come.
    """

    def __init__(self) -> None:
        self.message: dict[str, Any] | None = None
        self.has_token = False
        self.error: str | None = None
        self.complete = False
        self._events = EventReader()

    def feed(self, chunk: bytes) -> None:
        """Take in what has arrived. Events that are not as documented are passed over."""
        for event in self._events.feed(chunk):
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.name in FIRST_TOKEN:
            self.has_token = True
        if event.name == "message_stop":
            self.complete = True
        elif event.name == "message_start":
            message = _object(_parsed(event.data).get("message"))
            self.message = {**message, "usage": _object(message.get("usage"))}
        elif event.name == "message_delta" and self.message is not None:
            # Cumulative: the last figures replace the earlier ones, and those that are left out stay.
            usage = _object(_parsed(event.data).get("usage"))
            self.message["usage"] |= {name: value for name, value in usage.items() if value is not None}
        elif event.name == "error":
            self.error = str(_object(_parsed(event.data).get("error")).get("type"))


def _parsed(data: str) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except ValueError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
