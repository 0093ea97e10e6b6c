"""Which delivery attempts are this copy's, and which ones another copy may still be making."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from bot.clock import Clock
from bot.notify.destination import CALL_SECONDS
from bot.notify.model import Attempt

COMMIT_SECONDS = 5
"""Seconds for recording an attempt, besides the attempt itself."""

ATTEMPT_SECONDS = CALL_SECONDS + COMMIT_SECONDS
"""Seconds after which another copy's attempt is over, at a destination whose calls take no longer."""

SURELY_OVER = timedelta(minutes=5)
"""The same by the clocks of two machines, for a copy that does not live long enough to measure it."""


class Attempts:
    """`predecessor_alive`: whether the previous leader may still be at work. `monotonic`: in seconds.

    Another copy's attempt counts as under way for `seconds` after this copy first saw it, whatever either machine's
    clock says.
    """

    def __init__(
        self,
        clock: Clock,
        predecessor_alive: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._clock = clock
        self._predecessor_alive = predecessor_alive
        self._monotonic = monotonic
        self._seconds = seconds
        self._ours: dict[int, int] = {}
        self._seen: dict[int, tuple[int, float]] = {}

    def begun(self, notice_id: int, number: int) -> None:
        """This copy makes the attempt."""
        self._ours[notice_id] = number

    def over(self, notice_id: int) -> None:
        """The notice is settled: no further attempt follows."""
        self._ours.pop(notice_id, None)
        self._seen.pop(notice_id, None)

    def ours(self, attempt: Attempt) -> bool:
        """Whether this copy made the attempt."""
        return self._ours.get(attempt.notice_id) == attempt.number

    def under_way(self, attempt: Attempt) -> bool:
        """Whether another copy may still be making the attempt."""
        if self.ours(attempt) or not self._predecessor_alive():
            return False
        now = self._monotonic()
        number, seen_at = self._seen.get(attempt.notice_id, (None, now))
        if number != attempt.number:
            self._seen[attempt.notice_id] = attempt.number, now
            seen_at = now
        return now - seen_at < self._seconds and not _is_old(attempt.at, self._clock())


def _is_old(at: datetime | None, now: datetime) -> bool:
    return at is None or abs(now - at) >= SURELY_OVER
