"""Server-sent events from a stream of bytes, however the network cuts it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event. `name` is `message` where the server names none; lines of `data` are joined by line feeds."""

    name: str
    data: str


class EventReader:
    """Keeps what has arrived of an event until the blank line behind it."""

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
                # Comments and fields without data are no event.
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
