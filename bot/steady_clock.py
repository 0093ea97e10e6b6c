"""The clock of the running bot: it follows a jump of the machine's clock only if Anthropic's clock agrees.

The machine's clock may be set by seconds or years while the bot runs. Spend is counted in Anthropic's time, so a wrong
clock would look for usage in the wrong hours and open the wrong periods. The offset from a server's clock is read from
the `Date` of its responses.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from bot.clock import HOUR, Clock, seconds_since_boot, system_clock
from bot.language import tr

WARN_ABOVE = timedelta(seconds=30)
FAIL_ABOVE = timedelta(minutes=5)
"""Slack rejects requests whose signature differs by more than this (docs.slack.dev, verifying requests)."""


class ClockOffsets:
    """Collects the clock difference at each response: positive if the machine is ahead of the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.found: dict[str, timedelta] = {}

    def note(self, server: str, headers: Mapping[str, Any]) -> None:
        """Take the `Date` of a response that has just arrived; ignored without a date."""
        now = self._clock()
        date = date_of(headers)
        if date is not None:
            self.found[server] = now - date


def date_of(headers: Mapping[str, Any]) -> datetime | None:
    """The `Date` of a response; None without a readable one."""
    dates = [_parsed(str(value)) for name, value in headers.items() if name.lower() == "date"]
    return next((date for date in dates if date is not None), None)


def _parsed(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


SMALLEST_JUMP = timedelta(seconds=1)
"""A smaller difference is slewing, or a process that was not scheduled between two readings."""

READINGS = 5
"""Attempts to read both clocks at one moment, on a very busy machine."""

BACK_AGAIN = timedelta(seconds=2)
"""This close to the time before all jumps, the clock counts as corrected."""

NEAR = FAIL_ABOVE
"""A server's clock confirms a time that differs by at most this much."""

WITHOUT_WORD = timedelta(minutes=2)
"""How long time continues as before a jump without a response from Anthropic. Then the machine's clock counts."""

NAMED_FOR = HOUR


class JumpDetector:
    """Measures by how much the wall clock was set. `monotonic`: seconds of a clock that nobody sets."""

    def __init__(self, wall: Clock, monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = self._read()

    def look(self) -> tuple[datetime, timedelta]:
        """The wall clock's time, and its jump since the last call: zero, or at least `SMALLEST_JUMP` either way."""
        wall, seconds = self._read()
        jump = (wall - self._last[0]) - timedelta(seconds=seconds - self._last[1])
        self._last = (wall, seconds)
        return wall, jump if abs(jump) >= SMALLEST_JUMP else timedelta()

    def _read(self) -> tuple[datetime, float]:
        """Both clocks at one moment; a pause of the process between the two would look like a jump."""
        for _ in range(READINGS):
            before, wall, after = self._monotonic(), self._wall(), self._monotonic()
            if after - before < SMALLEST_JUMP.total_seconds() / 4:
                break
        return wall, after


class SteadyClock:
    """A thread-safe `Clock`. Read it at least once in a few minutes, so that slewing does not look like a jump.

    After a jump, time goes on as before until Anthropic's clock confirms one of the two. If it agrees with neither, or
    does not respond for `WITHOUT_WORD`, the machine's clock counts.
    """

    def __init__(self, wall: Clock = system_clock, monotonic: Callable[[], float] = seconds_since_boot) -> None:
        self.wall = wall
        """The machine's clock."""
        self._monotonic = monotonic
        self._jumps = JumpDetector(wall, monotonic)
        self._lock = threading.Lock()
        self._ahead = timedelta()
        """How far the time without jumps is ahead of the machine's clock."""
        self._holds = False
        self._contradicted = False
        self._jumped: tuple[datetime, timedelta, float] | None = None
        self._offset: timedelta | None = None

    def __call__(self) -> datetime:
        with self._lock:
            return self._now()

    def note(self, headers: Mapping[str, Any]) -> None:
        """Take the `Date` of a response from Anthropic that has just arrived; ignored without a date."""
        date = date_of(headers)
        if date is None:
            return
        with self._lock:
            self._now()
            wall_off = self.wall() - date
            self._offset = wall_off
            if not self._ahead:
                return
            steady_off = wall_off + self._ahead
            self._contradicted = self._holds = abs(steady_off) < abs(wall_off) and abs(steady_off) <= NEAR
            if not self._holds:
                self._ahead = timedelta()

    def said(self) -> str | None:
        """A sentence about a jump within the last hour, or about a wrong clock; None while all is well."""
        jump = self.jump_said()
        with self._lock:
            wrong = None if self._holds else self._wrong()
        return " ".join(sentence for sentence in (jump, wrong) if sentence) or None

    def jump_said(self) -> str | None:
        """A sentence about the last jump, for an hour and for as long as it is not followed."""
        with self._lock:
            self._now()
            if self._jumped is None or not (self._holds or self._monotonic() - self._jumped[2] < NAMED_FOR.seconds):
                return None
            at, jump, _ = self._jumped
            values = {"length": _length(abs(jump)), "time": f"{at:%Y-%m-%d %H:%M}"}
            if jump < timedelta():
                text = tr("The system clock was set back by {length} at {time} UTC", **values)
            else:
                text = tr("The system clock was set forward by {length} at {time} UTC", **values)
            if self._contradicted:
                return tr(
                    "{jump}, and Anthropic's clock contradicts it: the bot goes on with the time as it was.", jump=text
                )
            if self._holds:
                return tr(
                    "{jump}: the bot keeps the time as it was, for two minutes or until Anthropic's clock confirms it.",
                    jump=text,
                )
            return tr("{jump}: the bot has followed it.", jump=text)

    def _wrong(self) -> str | None:
        if self._offset is None or abs(self._offset) <= WARN_ABOVE:
            return None
        direction = "ahead of" if self._offset > timedelta() else "behind"
        return (
            f"The system clock is {_length(abs(self._offset))} {direction} Anthropic's: set it from the network (NTP)."
        )

    def _now(self) -> datetime:
        wall, jump = self._jumps.look()
        if jump:
            self._ahead -= jump
            if self._offset is not None:
                self._offset += jump
            before = wall - jump
            self._jumped = (before, jump, self._monotonic())
            self._contradicted = False
            self._holds = True
            if abs(self._ahead) < BACK_AGAIN:
                self._ahead, self._holds = timedelta(), False
        elif self._holds and not self._contradicted and self._jumped is not None:
            self._holds = self._monotonic() - self._jumped[2] < WITHOUT_WORD.seconds
        return wall + self._ahead if self._holds else wall


def _length(span: timedelta) -> str:
    """`3 d 2 h`, `1 h 5 min`, `61 s`: the two largest units."""
    seconds = round(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"))
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
