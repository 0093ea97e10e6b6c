"""Commands that wait hold up no alert, no cycle and no reader: each kind of work has threads of its own."""

import asyncio
import threading
from datetime import datetime, timedelta

import pytest

from bot.runner.lifecycle import Lifecycle
from bot.sandbox.clock import HandClock
from bot.threads import COMMANDS, CYCLE, MOST_CONNECTIONS, Pool, Threads
from tests.scenario.conftest import World

PATIENCE = 20


async def blocked(pool: Pool, release: threading.Event, count: int) -> list[asyncio.Future[bool]]:
    """Start pieces of work that wait for `release`; returns when every thread of the pool is busy."""
    begun = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def wait() -> bool:
        loop.call_soon_threadsafe(begun.release)
        return release.wait(PATIENCE)

    waiting: list[asyncio.Future[bool]] = [asyncio.ensure_future(pool(wait)) for _ in range(count)]
    for _ in range(COMMANDS):
        await begun.acquire()
    return waiting


async def test_an_alert_is_decided_and_delivered_while_twelve_commands_wait(simulated: World, clock: HandClock) -> None:
    simulated.spend(120)
    clock.advance(timedelta(hours=1))
    async with simulated.connected_bot() as bot:
        release = threading.Event()
        try:
            waiting = await blocked(bot.services.threads.commands, release, 2 * COMMANDS)
            typed = await simulated.slack.command("status")
            async with asyncio.timeout(PATIENCE):
                await bot.cycle()
                assert len(simulated.alerts("soft")) == 1
                problems = await Lifecycle(bot, timedelta(seconds=1)).problems()
            assert not any("database" in problem for problem in problems)
            assert not any(each.done() for each in waiting)
        finally:
            release.set()
        assert await asyncio.gather(*waiting) == [True] * (2 * COMMANDS)
        assert "$120.00" in (await typed.first_reply(PATIENCE)).text


async def test_a_test_alert_is_delivered_by_a_tick_while_the_cycle_is_at_work(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        release = threading.Event()
        try:
            held = [asyncio.ensure_future(bot.services.threads.cycle(release.wait, PATIENCE)) for _ in range(3)]
            await (await simulated.slack.command("test-alert")).first_reply(PATIENCE)
            async with asyncio.timeout(PATIENCE):
                await bot.deliver()
            assert len(simulated.posts()) == 1
        finally:
            release.set()
        await asyncio.gather(*held)


class Looking:
    """A look that takes until `release`. `names`: of those that have begun."""

    def __init__(self, name: str, names: list[str], release: threading.Event) -> None:
        self.name, self._names, self._release = name, names, release

    def look(self, now: datetime, mode: str) -> object:
        self._names.append(self.name)
        return self._release.wait(PATIENCE)


async def test_after_a_cycle_that_is_cut_off_no_further_look_begins(simulated: World) -> None:
    async with simulated.bot() as bot:
        begun: list[str] = []
        release = threading.Event()
        bot.looks = [Looking("first", begun, release), Looking("second", begun, release)]
        cycle = asyncio.create_task(bot.cycle())
        async with asyncio.timeout(PATIENCE):
            while not begun:  # noqa: ASYNC110  # a thread tells of it
                await asyncio.sleep(0.01)
        cycle.cancel()
        await asyncio.gather(cycle, return_exceptions=True)
        release.set()
        # They meet once each thread of the pool is free.
        meeting = threading.Barrier(CYCLE)
        await asyncio.gather(*(bot.services.threads.cycle(meeting.wait, PATIENCE) for _ in range(CYCLE)))
        assert begun == ["first"]


async def test_the_end_waits_for_no_thread_that_hangs() -> None:
    threads, release = Threads(), threading.Event()
    names = await asyncio.gather(*(pool(lambda: threading.current_thread().name) for pool in vars(threads).values()))
    assert {name.rpartition("_")[0] for name in names} == {
        "commands",
        "web",
        "cycle",
        "delivery",
        "destinations",
        "later",
        "ingest",
        "ledger",
        "snapshots",
    }
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> bool:
        loop.call_soon_threadsafe(begun.set)
        return release.wait(PATIENCE)

    hanging = asyncio.ensure_future(threads.cycle(hang))
    await begun.wait()
    threads.close()
    assert not hanging.done()
    with pytest.raises(RuntimeError):
        await threads.commands(int)
    release.set()
    assert await hanging


async def test_every_thread_may_hold_a_connection_at_once(simulated: World) -> None:
    async with simulated.bot() as bot:
        threads, reached = bot.services.threads, threading.Barrier(COMMANDS + 1)
        engine = bot.services.alerts._engine
        with engine.connect() as own:
            own.exec_driver_sql("SELECT 1")

            def hold() -> int:
                with engine.connect() as connection:
                    connection.exec_driver_sql("SELECT 1")
                    reached.wait(PATIENCE)
                    return 1

            held = [asyncio.ensure_future(threads.commands(hold)) for _ in range(COMMANDS)]
            await asyncio.to_thread(reached.wait, PATIENCE)
            assert await asyncio.gather(*held) == [1] * COMMANDS
    assert MOST_CONNECTIONS < 30
