"""A poll that hangs or fails in any way stops nothing else, and readiness reports it."""

import asyncio
import threading
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import text

from bot.db.engine import connect
from bot.runner.cycle import Patience
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.anthropic_server import ANALYTICS_USAGE
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.usage.model import DataState
from bot.usage.poller import PollOutcome
from bot.usage.store import UsageStore
from tests.scenario.conftest import World

IMPATIENT = Patience(poll=0.1, hangs=0.1)
"""Shortens a quarter of a minute to almost no time."""


async def test_that_no_data_comes_is_reported_while_the_poll_hangs(simulated: World, clock: HandClock) -> None:
    simulated.spend(60)
    async with simulated.bot() as bot:
        bot.patience = IMPATIENT
        await bot.cycle()
        simulated.anthropic.faults.add(ANALYTICS_USAGE, Fault("slow", seconds=60))
        clock.advance(timedelta(minutes=20))
        cycling = asyncio.create_task(bot.cycle())
        try:
            async with asyncio.timeout(20):
                while not any("/stale/" in post.text for post in simulated.posts()):
                    await asyncio.sleep(0.3)
                    await bot.deliver()
            assert not cycling.done()
        finally:
            cycling.cancel()


async def test_a_poll_without_a_whole_answer_is_given_up_with_a_sentence(simulated: World, clock: HandClock) -> None:
    async with simulated.bot(CLAUDE_COST_USAGE_API="analytics") as bot:
        bot.poller.stuck_after = timedelta(seconds=1)
        simulated.anthropic.faults.add(ANALYTICS_USAGE, Fault("slow", seconds=60))
        (outcome, _) = await asyncio.gather(bot.poller.poll(clock().replace(day=1, hour=0)), asyncio.sleep(0))
        assert "no whole answer" in str(outcome.error)
        assert "no whole answer" in str(bot.services.usage.data_state().error)


async def test_a_poll_of_many_answers_may_take_longer_than_one_may(simulated: World, clock: HandClock) -> None:
    simulated.anthropic.faults.add(ANALYTICS_USAGE, Fault("slow", seconds=1), times=4)
    async with simulated.bot(CLAUDE_COST_USAGE_API="analytics") as bot:
        bot.poller.stuck_after = timedelta(seconds=3.5)
        assert (await bot.poller.poll(clock().replace(day=1, hour=0))).ok


class Broken:
    """A poller with an unexpected fault."""

    async def poll(self, since: datetime) -> PollOutcome:
        raise LookupError(since)


async def test_a_poll_that_raises_shows_and_the_cycle_goes_on(simulated: World, clock: HandClock) -> None:
    simulated.spend(60)
    async with simulated.bot() as bot:
        bot.patience = IMPATIENT
        await bot.cycle()
        works, bot.poller = bot.poller, Broken()  # type: ignore[assignment]
        clock.advance(timedelta(minutes=20))
        done = await bot.cycle()
        assert done.poll is not None
        assert not done.poll.ok
        assert any("the poll: LookupError" in problem for problem in await Lifecycle(bot, timedelta(1)).problems())
        assert any("/stale/" in post.text for post in simulated.posts())
        bot.poller = works
        await bot.cycle()
        assert bot.faults == {}


async def test_readiness_answers_with_a_sentence_while_the_database_does_not(simulated: World) -> None:
    async with simulated.bot() as bot:
        bot.patience = IMPATIENT
        await bot.cycle()
        lifecycle = Lifecycle(bot, timedelta(1))
        answers = threading.Event()

        class Silent(UsageStore):
            def data_state(self) -> DataState:
                answers.wait(30)
                return super().data_state()

        engine = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        bot.services = replace(bot.services, usage=Silent(engine))
        try:
            async with asyncio.timeout(5):
                first, second = await asyncio.gather(lifecycle.problems(), lifecycle.problems())
        finally:
            answers.set()
        assert {"The database has not responded for 2 s."} <= set(first)
        assert first == second
        async with asyncio.timeout(20):
            while any("database" in problem for problem in await lifecycle.problems()):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.1)


async def test_readiness_names_a_database_that_fails_and_each_step_that_does(simulated: World) -> None:
    async with simulated.bot() as bot:
        bot.patience = IMPATIENT
        await bot.cycle()
        other = connect(simulated.environ["CLAUDE_COST_DATABASE_URL"])
        with other.begin() as connection:
            for table in ("notices", "state"):
                connection.execute(text(f"ALTER TABLE {table} RENAME TO gone_{table}"))
        other.dispose()
        await bot.cycle()
        await bot.deliver()
        problems = await Lifecycle(bot, timedelta(1)).problems()
        assert any("The database has lost its tables" in problem for problem in problems)
        for step in ("the poll", "the delivery to Slack", "limits", "no data"):
            assert any(f"({step}: OperationalError)" in problem for problem in problems), step
