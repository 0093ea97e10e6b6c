"""Server-sent events from a stream of bytes, and the Messages response that they stream. Pure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event. `name`: `message` if the server names none; lines of `data` are joined by line feeds."""

    name: str
    data: str


class EventReader:
    """Collects an event until the blank line that ends it."""

    def __init__(self) -> None:
        self._unfinished = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        events = []
        for raw in lines:
            line = raw.removesuffix(b"\r").decode(errors="replace")
            if line:
                self._field(line)
            else:
                # Comments and fields without data are not events.
                if self._data:
                    events.append(Event(self._name or "message", "\n".join(self._data)))
                self._name, self._data = "", []
        return events

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)


FIRST_TOKEN = frozenset({"content_block_delta", "content_block_stop", "message_delta", "message_stop"})
"""Events that show something to the reader, or that nothing more will come. The start of a block shows nothing."""


class StreamedMessage:
    """`message`: the Messages response so far, with the last `usage`; None before it begins.

    `error`: type of an `error` event. `complete`: the end has arrived.
    """

    def __init__(self) -> None:
        self.message: dict[str, Any] | None = None
        self.has_token = False
        self.error: str | None = None
        self.complete = False
        self._events = EventReader()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Undocumented events are ignored."""
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
            # Cumulative: new figures replace earlier ones, and missing ones stay.
            usage = _object(_parsed(event.data).get("usage"))
            self.message["usage"] |= {name: value for name, value in usage.items() if value is not None}
        elif event.name == "error":
            self.error = str(_object(_parsed(event.data).get("error")).get("type"))


def _parsed(data: str) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
