"""Claims: which copy of the bot may be sending a notice, and for how long the others leave it alone."""

import itertools
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.clock import seconds_since_boot
from bot.notify.model import CALL_SECONDS, LONGEST_WAIT

COMMIT_SECONDS = 5
"""Seconds for recording a claim, in addition to the attempt."""

ATTEMPT_SECONDS = CALL_SECONDS + COMMIT_SECONDS
"""Seconds after which another copy's attempt is over, at a destination with calls of `CALL_SECONDS`."""

TURN_SECONDS = 5
"""Seconds that a copy waits while another one sends a message of the same moment to the same channel."""

SURELY_OVER = timedelta(minutes=5)
"""Age of a claim, by the database's clock, at which its attempt is over, also for a copy that has just started."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A stored claim. `id`: unique. `age`: by the database's clock."""

    notice_id: int
    id: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class AskedWait:
    """A wait that the destination asked for. `length`: from the attempt's begin. `age`: of its claim."""

    notice_id: int
    attempts: int
    length: timedelta
    age: timedelta


class AskedToWaitError(Exception):
    """The destination asked some copy to wait, and this one does not wait yet. `left`: the rest of the wait."""

    def __init__(self, left: timedelta) -> None:
        super().__init__("the destination asks to wait")
        self.left = left


def nobody() -> bool:
    """Always false, for a single copy."""
    return False


class Claims:
    """This copy's claims at one destination, and the claims of other copies that it has seen.

    Clocks of two machines are never compared: another copy's claim counts as under way for `seconds` after this copy
    first saw it. `others_alive`: whether another copy may be at work. `monotonic`: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        others_alive: Callable[[], bool] = nobody,
        monotonic: Callable[[], float] = seconds_since_boot,
        seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._others_alive = others_alive
        self._monotonic = monotonic
        self._seconds = seconds
        self._copy = f"{socket.gethostname()[:64]}/{os.getpid()}/{secrets.token_hex(4)}/"
        self._numbers = itertools.count(1)
        self._seen: dict[str, float] = {}
        self._heeded: dict[int, int] = {}

    def new(self) -> str:
        """The id of a new claim of this copy."""
        return f"{self._copy}{next(self._numbers)}"

    def under_way(self, claims: Sequence[Claim]) -> Mapping[int, float]:
        """Notices that another copy may be sending, each with the seconds since this copy first saw its claim.

        `claims`: all there are at this moment.
        """
        now = self._monotonic()
        others = [claim for claim in claims if not claim.id.startswith(self._copy)]
        self._seen = {claim.id: self._seen.get(claim.id, now) for claim in others}
        if not self._others_alive():
            return {}
        return {
            claim.notice_id: now - self._seen[claim.id]
            for claim in others
            if now - self._seen[claim.id] < self._seconds and abs(claim.age) < SURELY_OVER
        }

    def heed(self, notice_id: int, attempts: int) -> None:
        """Note that this copy waits as the destination asked after this attempt. `attempts`: how many there were."""
        self._heeded[notice_id] = attempts

    def forget_waits(self) -> None:
        """Forget which waits this copy has heeded, so that the next look returns the rest of them."""
        self._heeded = {}

    def asked(self, waits: Sequence[AskedWait]) -> timedelta:
        """How long to wait because another copy, or this one before its restart, was asked to since the last look.

        `waits`: all that are stored at this moment. Each counts once, so that no change of a clock prolongs it.
        """
        new = [wait for wait in waits if self._heeded.get(wait.notice_id) != wait.attempts]
        self._heeded = {wait.notice_id: wait.attempts for wait in waits}
        left = (min(wait.length, LONGEST_WAIT) - max(wait.age, timedelta(0)) for wait in new)
        return max((timedelta(0), *left))
