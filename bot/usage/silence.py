"""Silence: no data is a state of its own, which is told and whose end is told too; it is never taken for no spend.

Pure. A silence begins where the data becomes stale and ends where it is clearly fresh again, so that an age about the
bound does not tell both in turn.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.budgets.budget import Level
from bot.budgets.decide import NO_LIMIT, Reason, Status, Step
from bot.usage.age import DataState, stale_after

RETURNS_WITHIN = timedelta(minutes=30)
"""A silence that begins so soon after the end of the last one is the same incident."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The last silence that was told: when it began, and since when it has its status."""

    began_at: datetime
    status: Status
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class SilenceStep:
    """What is to be told. `began_at` is what the incident is known by; `since`: when the present silence began."""

    step: Step
    began_at: datetime
    since: datetime


def silent_since(data: DataState, now: datetime, poll_seconds: int) -> datetime | None:
    """Since when no data has come, where that is too long ago.

    Before any data has come, the first failure counts; without one, nothing was tried yet.
    """
    since = data.error_since if data.as_of is None else data.as_of
    return since if since is not None and now - since > stale_after(data, poll_seconds) else None


def is_fresh(data: DataState, now: datetime, poll_seconds: int) -> bool:
    """Whether the data is younger than two thirds of what would be stale."""
    return data.as_of is not None and (now - data.as_of) * 3 <= stale_after(data, poll_seconds) * 2


def decide_silence(data: DataState, now: datetime, poll_seconds: int, last: Silence | None) -> SilenceStep | None:
    """The step to take after a poll, whether it succeeded or not."""
    since = silent_since(data, now, poll_seconds)
    if last is not None and last.status is Status.OPEN:
        if not is_fresh(data, now, poll_seconds):
            return None
        return SilenceStep(_step(Status.RESOLVED, Reason.DATA_AGAIN), last.began_at, last.began_at)
    if since is None:
        return None
    if last is not None and since - last.changed_at <= RETURNS_WITHIN:
        return SilenceStep(_step(Status.OPEN, Reason.SILENT_AGAIN), last.began_at, since)
    return SilenceStep(_step(Status.OPEN, Reason.SILENT), since, since)


def _step(status: Status, reason: Reason) -> Step:
    return Step(Level.STALE, NO_LIMIT, status, reason, post=status is Status.OPEN)
