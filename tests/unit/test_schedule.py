"""Jobs run at their intervals however the wall clock is set."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.runner.schedule import EveryTrigger, Job, move, schedule

NOW = datetime(2026, 11, 16, 9, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.mark.parametrize("away", [timedelta(hours=2), 40 * timedelta(days=1), 10 * YEAR])
def test_runs_that_a_clock_set_forward_has_passed_over_are_left_out_at_once(away: timedelta) -> None:
    every = EveryTrigger(1)
    assert every.get_next_fire_time(NOW, NOW + away) == NOW + away + timedelta(seconds=1)
    assert every.get_next_fire_time(NOW, NOW) == NOW + timedelta(seconds=1)
    assert every.get_next_fire_time(None, NOW) == NOW + timedelta(seconds=1)


class Wall:
    """A wall clock that can be set; APScheduler uses the machine's, which is never set here."""

    off = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.off


async def _nothing() -> None: ...


@pytest.mark.parametrize("jump", [timedelta(minutes=-1), -40 * timedelta(days=1)])
async def test_a_clock_that_is_set_back_makes_a_poll_run_at_once(jump: timedelta) -> None:
    asked = asyncio.Event()
    reported: list[str] = []

    async def ask() -> None:
        asked.set()

    wall = Wall()
    async with schedule([Job("poll", 3600, ask, at_once=True)], _nothing, lambda: reported.append("jump"), clock=wall):
        await asyncio.wait_for(asked.wait(), 5)
        asked.clear()
        wall.off = jump
        await asyncio.wait_for(asked.wait(), 5)
    assert reported == ["jump"]


@pytest.mark.parametrize("jump", [timedelta(minutes=-1), timedelta(days=-40), timedelta(hours=2), 10 * YEAR])
async def test_what_is_planned_is_never_further_away_than_an_interval(jump: timedelta) -> None:
    scheduler = AsyncIOScheduler(timezone=UTC)
    job = Job("deliver", 2, _nothing)
    scheduler.add_job(job.work, EveryTrigger(job.seconds), id=job.name)
    scheduler.start(paused=True)
    try:
        before = scheduler.get_job(job.name).next_run_time
        now = before - timedelta(seconds=1.5) + jump
        move(scheduler, job, now, jump, at_once=False)
        assert scheduler.get_job(job.name).next_run_time == before + jump
        # Another jump within the same moment.
        move(scheduler, job, now, timedelta(minutes=5), at_once=False)
        assert scheduler.get_job(job.name).next_run_time == now + timedelta(seconds=2)
        move(scheduler, job, now, timedelta(minutes=-5), at_once=False)
        assert scheduler.get_job(job.name).next_run_time == now
    finally:
        scheduler.shutdown()
