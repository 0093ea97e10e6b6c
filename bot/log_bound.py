"""Bounds the log, so that a repeating fault cannot fill the disk, and keeps each entry recognizable as one.

An entry is text or a JSON object on one line. No library writes the JSON: python-json-logger adds whatever libraries
attach to their records, lets a message that is a dict replace the level, and neither masks nor bounds a value.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from bot.log_fields import COMMITTED, NAMES, Event
from bot.secret_shapes import masked

PER_KIND = 10
WINDOW_SECONDS = 60.0
PER_SECOND = 50
MOST_KINDS = 500
"""Above this many kinds at a time, the others count as one kind, so that memory stays bounded."""

MOST_CHARACTERS = 16_000
"""Longest entry in characters, with its traceback."""

FURTHER_LINE = "  "
"""Prefix of every line of an entry but the first, so that logged text cannot imitate an entry."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and characters that hide or reverse text; line breaks and tabs are kept."""

_VARIES = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


def plain(text: str) -> str:
    """The entry with control characters escaped and further lines indented."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text).replace("\n", f"\n{FURTHER_LINE}")


def _bounded(text: str) -> str:
    """`text` without secrets and of a bounded length: masked before it is cut, since a cut secret is not recognized."""
    text = masked(text if len(text) <= 2 * MOST_CHARACTERS else text[: 2 * MOST_CHARACTERS])
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} … (cut)"


class TextLines(logging.Formatter):
    """An entry as text."""

    def format(self, record: logging.LogRecord) -> str:
        return _bounded(plain(super().format(record)))


class JsonLines(logging.Formatter):
    """An entry as a JSON object on one line: `time`, `level`, `logger`, `message`, the fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": _bounded(record.name),
            "message": _bounded(record.getMessage()),
        }
        line |= {name: _plain_value(record.__dict__[name]) for name in NAMES if name in record.__dict__}
        if record.exc_info:
            line["exception"] = _bounded(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = _bounded(self.formatStack(record.stack_info))
        # ASCII only, so that it cannot control a terminal.
        return json.dumps(line)


def _plain_value(value: object) -> object:
    return value if isinstance(value, bool | int | float) else _bounded(str(value))


@dataclass(slots=True)
class _Kind:
    began: float
    passed: int = 0
    dropped: int = 0


class BoundedHandler(logging.StreamHandler[TextIO]):
    """At most `PER_KIND` entries of a kind a minute, then their number; at most `PER_SECOND` entries a second in all.

    The first entry of a kind always passes, and so does each entry about a stored row. Entries are of one kind if they
    come from the same logger with the same text before values are filled in, or with the same exception from the same
    line. `monotonic`: seconds.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self.setFormatter(TextLines())
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._second = (0, 0)

    def emit(self, record: logging.LogRecord) -> None:
        now = self._monotonic()
        self._end_windows(now)
        if _is_committed(record) or self._passes(self._key(record), now):
            super().emit(record)

    def close(self) -> None:
        """Log how many entries were dropped, then close."""
        for key, kind in self._kinds.items():
            self._sum_up(key, kind)
        self._kinds.clear()
        super().close()

    def _key(self, record: logging.LogRecord) -> tuple[str, ...]:
        key = (record.name, _kind_of(record))
        return key if key in self._kinds or len(self._kinds) < MOST_KINDS else ("", "further kinds")

    def _passes(self, key: tuple[str, ...], now: float) -> bool:
        first = key not in self._kinds
        kind = self._kinds.setdefault(key, _Kind(now))
        second, count = self._second
        count = count if second == int(now) else 0
        if not first and (kind.passed >= PER_KIND or count >= PER_SECOND):
            kind.dropped += 1
            return False
        kind.passed += 1
        self._second = (int(now), count + 1)
        return True

    def _end_windows(self, now: float) -> None:
        for key, kind in [item for item in self._kinds.items() if now - item[1].began >= WINDOW_SECONDS]:
            del self._kinds[key]
            self._sum_up(key, kind)

    def _sum_up(self, key: tuple[str, ...], kind: _Kind) -> None:
        if kind.dropped:
            text = f"… {kind.dropped} more like this in the last minute: {key[-1]}"
            super().emit(logging.LogRecord(key[0], logging.WARNING, "", 0, text, None, None))


def _is_committed(record: logging.LogRecord) -> bool:
    event = record.__dict__.get("event")
    return record.levelno == logging.INFO and isinstance(event, Event) and event in COMMITTED


def _kind_of(record: logging.LogRecord) -> str:
    text = _VARIES.sub("#", str(record.msg).partition("\n")[0][:200])
    if record.exc_info and record.exc_info[0] is not None:
        trace = record.exc_info[2]
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        return f"{text} ({record.exc_info[0].__name__}{place})"
    return text
