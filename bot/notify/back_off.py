"""The back-off after failures, and waits by a wall clock that people and NTP may set."""

from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bot.clock import Clock

FIRST_WAIT = timedelta(seconds=1)


def back_off(failures: int, longest: timedelta, first: timedelta = FIRST_WAIT) -> timedelta:
    """How long to wait after one more failure than `failures`: `first`, then twice as long each time."""
    return min(first * (1 << min(failures, 20)), longest)


Key = TypeVar("Key", bound=Hashable)


class Waits(Generic[Key]):
    """Until when each key waits.

    A clock that is set back between two looks takes the waits with it, so that none lasts longer than it should by more
    than the time between two looks. One that is set forward ends them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._until: dict[Key, datetime] = {}

    def put(self, key: Key, wait: timedelta) -> None:
        """Let it wait from now on."""
        self._until[key] = self._now() + wait

    def drop(self, key: Key) -> None:
        """It waits no longer."""
        self._until.pop(key, None)

    def clear(self) -> None:
        """Nothing waits any longer."""
        self._until.clear()

    def left(self, key: Key) -> timedelta:
        """How long it still waits; zero where it does not."""
        now = self._now()
        return max(timedelta(0), self._until.get(key, now) - now)

    def waiting(self) -> set[Key]:
        """Everything that still waits."""
        now = self._now()
        return {key for key, until in self._until.items() if now < until}

    def shortest(self) -> timedelta | None:
        """How long until the first wait is over, zero if one is; None where nothing was put."""
        return min((self.left(key) for key in list(self._until)), default=None)

    def _now(self) -> datetime:
        now = self._clock()
        if now < self._looked_at:
            shift = now - self._looked_at
            self._until = {key: until + shift for key, until in self._until.items()}
        self._looked_at = now
        return now
