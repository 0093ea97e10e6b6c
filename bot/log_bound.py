"""Bounds the log, so that a repeating fault cannot fill the disk, and keeps each entry recognizable as one."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

PER_KIND = 10
WINDOW_SECONDS = 60.0
PER_SECOND = 50
MOST_KINDS = 500
"""Above this many kinds at a time, the others count as one kind, so that memory stays bounded."""

MOST_CHARACTERS = 16_000
"""Of one entry with its traceback."""

FURTHER_LINE = "  "
"""Begins every line of an entry but the first: no text that is logged can look like an entry of its own."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys, or what hides or turns text around; line breaks and tabs are kept."""

_VARIES = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


def plain(text: str) -> str:
    """An entry as it may stand in a log: control characters as escapes, further lines indented."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text).replace("\n", f"\n{FURTHER_LINE}")


@dataclass(slots=True)
class _Kind:
    began: float
    passed: int = 0
    dropped: int = 0


class BoundedHandler(logging.StreamHandler[TextIO]):
    """At most `PER_KIND` entries of a kind a minute, then their number; at most `PER_SECOND` entries a second in all.

    The first entry of a kind always passes. Entries are of one kind that come from the same logger with the same text
    before values are filled in, or with the same exception from the same line. `monotonic`: seconds.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._second = (0, 0)

    def emit(self, record: logging.LogRecord) -> None:
        now = self._monotonic()
        self._end_windows(now)
        if self._passes(self._key(record), now):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = plain(super().format(record))
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} … (cut)"

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


def _kind_of(record: logging.LogRecord) -> str:
    text = _VARIES.sub("#", str(record.msg).partition("\n")[0][:200])
    if record.exc_info and record.exc_info[0] is not None:
        trace = record.exc_info[2]
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        return f"{text} ({record.exc_info[0].__name__}{place})"
    return text
