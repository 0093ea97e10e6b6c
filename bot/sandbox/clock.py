"""Clocks of simulated time."""

import time
from datetime import datetime, timedelta


class RunningClock:
    """Simulated time that passes `speed` times as fast as real time, beginning at `start`."""

    def __init__(self, start: datetime, speed: float) -> None:
        self._start = start
        self._speed = speed
        self._real_start = time.monotonic()

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._real_start) * self._speed)


class HandClock:
    """Simulated time that stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.now += by
