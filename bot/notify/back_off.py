"""The back-off after failures, and waits that survive changes of the wall clock."""

from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bot.clock import Clock

FIRST_WAIT = timedelta(seconds=1)


def back_off(failures: int, longest: timedelta, first: timedelta = FIRST_WAIT) -> timedelta:
    """The wait before the next retry, after `failures` earlier failures: `first`, then doubled each time."""
    return min(first * (1 << min(failures, 20)), longest)


Key = TypeVar("Key", bound=Hashable)


class Waits(Generic[Key]):
    """Until when each key waits.

    If the clock is set back between two calls, the waits move with it: none is prolonged by more than the time between
    the calls. If the clock is set forward, they end early.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._until: dict[Key, datetime] = {}

    def put(self, key: Key, wait: timedelta) -> None:
        """Start a wait."""
        self._until[key] = self._now() + wait

    def drop(self, key: Key) -> None:
        """End a wait."""
        self._until.pop(key, None)

    def clear(self) -> None:
        """End every wait."""
        self._until.clear()

    def left(self, key: Key) -> timedelta:
        """The rest of a wait; zero where there is none."""
        now = self._now()
        return max(timedelta(0), self._until.get(key, now) - now)

    def waiting(self) -> set[Key]:
        """The keys that still wait."""
        now = self._now()
        return {key for key, until in self._until.items() if now < until}

    def shortest(self) -> timedelta | None:
        """How long until the first wait is over, zero if one is; None where there is none."""
        return min((self.left(key) for key in list(self._until)), default=None)

    def _now(self) -> datetime:
        now = self._clock()
        if now < self._looked_at:
            shift = now - self._looked_at
            self._until = {key: until + shift for key, until in self._until.items()}
        self._looked_at = now
        return now
