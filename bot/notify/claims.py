"""Claims: which copy of the bot may be sending a notice, and until when the others leave it alone."""

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
"""Seconds for recording a claim, besides the attempt itself."""

ATTEMPT_SECONDS = CALL_SECONDS + COMMIT_SECONDS
"""Seconds after which another copy's attempt is over, at a destination whose calls take no longer."""

TURN_SECONDS = 5
"""Seconds for which a copy waits for another one that sends a message of the same moment to the same channel."""

SURELY_OVER = timedelta(minutes=5)
"""The same by the database's clock, for a copy that does not live long enough to measure it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that is stored. `id`: no other claim has it. `age`: by the database's clock."""

    notice_id: int
    id: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class AskedWait:
    """A wait that the destination has asked for. `length`: since the attempt began. `age`: as of `Claim`."""

    notice_id: int
    attempts: int
    length: timedelta
    age: timedelta


class AskedToWaitError(Exception):
    """The destination has asked a copy to wait, and this one has not done so yet. `left`: the rest of the wait."""

    def __init__(self, left: timedelta) -> None:
        super().__init__("the destination asks to wait")
        self.left = left


def nobody() -> bool:
    """Always false, where this copy is alone."""
    return False


class Claims:
    """The claims of this copy at one destination, and what it has seen of the other copies.

    No two machines' clocks are compared: another copy's claim counts as under way for `seconds` after this copy first
    saw it. `others_alive`: whether another copy may be at work. `monotonic`: in seconds.
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
        """This copy waits as it was asked to after so many attempts."""
        self._heeded[notice_id] = attempts

    def forget_waits(self) -> None:
        """Count every wait anew at the next look."""
        self._heeded = {}

    def asked(self, waits: Sequence[AskedWait]) -> timedelta:
        """How long to wait because of what another copy, or this one before its restart, was asked since the last look.

        `waits`: all there are at this moment. A wait is counted once, so that no change of a clock prolongs it.
        """
        new = [wait for wait in waits if self._heeded.get(wait.notice_id) != wait.attempts]
        self._heeded = {wait.notice_id: wait.attempts for wait in waits}
        left = (min(wait.length, LONGEST_WAIT) - max(wait.age, timedelta(0)) for wait in new)
        return max((timedelta(0), *left))
