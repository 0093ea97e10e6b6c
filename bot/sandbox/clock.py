"""Clocks of simulated time."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class RunningClock:
    """Simulated time that passes `speed` times as fast as real time, beginning at `start`.

    `real_seconds`: a monotonic clock of real time.
    """

    def __init__(self, start: datetime, speed: float, real_seconds: Callable[[], float] = time.monotonic) -> None:
        self._real_seconds = real_seconds
        self._since = start
        self._real_since = real_seconds()
        self._speed = speed

    def __call__(self) -> datetime:
        return self._since + timedelta(seconds=(self._real_seconds() - self._real_since) * self._speed)

    @property
    def speed(self) -> float:
        """How many times as fast as real time; 0 while paused."""
        return self._speed

    def run(self, speed: float) -> None:
        """Change the speed from now on; 0 pauses. Raises `ValueError` for a negative speed."""
        if speed < 0:
            raise ValueError("time does not run backwards")
        real_now = self._real_seconds()
        self._since += timedelta(seconds=(real_now - self._real_since) * self._speed)
        self._real_since, self._speed = real_now, speed


class HandClock:
    """Simulated time that changes only by `advance`."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Advance the clock."""
        self.now += by
