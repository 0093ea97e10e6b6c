"""Interval jobs that no jump of the wall clock stops, delays or repeats.

APScheduler plans by the wall clock, so planned runs are moved whenever that clock is set.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from bot.clock import Clock, system_clock
from bot.steady_clock import JumpDetector

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Seconds between two comparisons of the wall clock with the monotonic clock, by which the event loop sleeps."""

SOON_AGAIN_SECONDS = 60
"""Shortest time in seconds between two runs that jumps of the clock cause."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that runs every `seconds`.

    `at_once`: it also runs at the start, and after a jump of the clock, since its response may show the correct time.
    """

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]
    at_once: bool = False

    async def run(self) -> None:
        """Run the job once. Cancellation by the end of the schedule is no fault."""
        try:
            await self.work()
        except asyncio.CancelledError:
            log.info("stopping: %s is cancelled", self.name)


class EveryTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no type information
    """Plans each run one interval after the last one, and skips missed runs."""

    def __init__(self, seconds: float) -> None:
        self._every = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """See `BaseTrigger`."""
        following = (previous_fire_time or now) + self._every
        return following if following > now else now + self._every


@asynccontextmanager
async def schedule(
    jobs: list[Job],
    finish: Callable[[], Awaitable[object]],
    on_jump: Callable[[], None],
    *,
    clock: Clock = system_clock,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[AsyncIOScheduler]:
    """Run the jobs inside the context. `finish`: awaited at the end, before running jobs are cancelled.

    `on_jump`: called after the wall clock was set, which a comparison of `clock` and `monotonic` shows. APScheduler
    itself reads the machine's clock.
    """
    # Run late rather than not at all, since every run does all that is due.
    defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    for job in jobs:
        first = {"next_run_time": datetime.now(UTC)} if job.at_once else {}
        scheduler.add_job(job.run, EveryTrigger(job.seconds), id=job.name, **first)
    scheduler.start()
    keeper = asyncio.create_task(_keep_time(scheduler, jobs, on_jump, JumpDetector(clock, monotonic)))
    try:
        yield scheduler
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        scheduler.pause()
        # Wait first: the scheduler cancels running jobs when it shuts down.
        await finish()
        scheduler.shutdown()


async def _keep_time(
    scheduler: AsyncIOScheduler, jobs: list[Job], on_jump: Callable[[], None], jumps: JumpDetector
) -> None:
    soon_again: float | None = None
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now, jump = jumps.look()
        if not jump:
            continue
        log.warning("the system clock was set %s by %s", "forward" if jump > timedelta() else "back", abs(jump))
        on_jump()
        at_once = soon_again is None or loop.time() >= soon_again
        if at_once:
            soon_again = loop.time() + SOON_AGAIN_SECONDS
        for job in jobs:
            move(scheduler, job, now, jump, at_once=at_once and job.at_once)


def move(scheduler: AsyncIOScheduler, job: Job, now: datetime, jump: timedelta, *, at_once: bool) -> None:
    """Replan a job after the clock was set by `jump`: its next run is at most one interval away."""
    planned = scheduler.get_job(job.name).next_run_time + jump
    next_run_time = now if at_once else min(max(planned, now), now + timedelta(seconds=job.seconds))
    scheduler.modify_job(job.name, next_run_time=next_run_time)
