"""Several copies on one database: one leads, another takes over, and every one keeps its own fallback file."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from bot.db.engine import connect, open_database
from bot.db.lease import Lease, Timing
from bot.db.schema import lease as lease_table
from bot.fallback.targets.env_file import EnvFile
from bot.notify.slack_connection import Workspace, check_bot_token
from bot.runner.cycle import Bot
from bot.runner.leadership import Leadership
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN
from tests.databases import open_migrated, postgres_database
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)
QUICK = Timing(renew=0.05, look=0.05, hold=1.5, term=2)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def test_every_copy_writes_its_own_fallback_file_and_the_mode_is_announced_once(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    theirs = tmp_path / "other-machine.env"
    async with simulated.bot() as leader, simulated.bot(CLAUDE_COST_FALLBACK_FILE=str(theirs)) as other:
        await leader.cycle()
        assert (await other.cycle()).poll is None
        fallback = leader.services.fallback
        for mode in ("degraded", "normal", "minimal"):
            wanted = fallback.modes[mode]
            before = fallback.switch(wanted, ADMIN, "too dear", (), None)
            clock.advance(timedelta(minutes=1))
            for bot in (other, leader, other):
                await bot.cycle()
            for path in (simulated.fallback_file, theirs):
                assert EnvFile(path).holds(wanted.variables)
            assert fallback.state().written_at == before.written_at
    assert len(simulated.posts()) == 3


async def test_a_mode_that_another_copy_switched_reaches_the_leaders_file_too(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    theirs = tmp_path / "other-machine.env"
    async with simulated.bot() as leader, simulated.bot(CLAUDE_COST_FALLBACK_FILE=str(theirs)) as other:
        await leader.cycle()
        wanted = other.services.fallback.modes["degraded"]
        other.services.fallback.switch(wanted, ADMIN, "too dear", (), None)
        assert EnvFile(theirs).holds(wanted.variables)
        await leader.cycle()
        assert EnvFile(simulated.fallback_file).holds(wanted.variables)
    assert len(simulated.posts()) == 1


async def test_a_copy_that_leaves_is_followed_by_the_next_poll_of_another(simulated: World) -> None:
    async with AsyncExitStack() as stack:
        async with simulated.bot() as leader:
            standby = await stack.enter_async_context(simulated.bot())
            assert leader.leads()
            assert not standby.leads()
            assert await standby.deliver() is None
        assert (await standby.cycle()).poll is not None
        assert await standby.deliver() is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_on_postgresql_a_copy_that_does_not_lead_delivers_too(simulated: World, database_url: str) -> None:
    address = {"CLAUDE_COST_DATABASE_URL": database_url}
    async with simulated.bot(**address) as leader, simulated.bot(**address) as other:
        assert (leader.leads(), other.leads()) == (True, False)
        other.services.fallback.switch(other.services.fallback.modes["degraded"], ADMIN, "too dear", (), None)
        # The database may be of another workspace, until it has asked Slack.
        other.workspace.learn(Workspace())
        assert await other.deliver() is None
        other.workspace.learn(await check_bot_token(other.slack.client, other.settings.channel))
        delivery = await other.deliver()
        assert delivery is not None
        assert (delivery.delivered, delivery.waiting) == (1, 0)
        assert len(simulated.posts()) == 1
        # A notice that another one is sending is none of its own.
        leader.services.fallback.switch(leader.services.fallback.modes["normal"], ADMIN, "", (), None)
        assert leader.services.alerts.notices.claim(leader.services.clock()) is not None
        delivery = await other.deliver()
        assert delivery is not None
        assert (delivery.delivered, delivery.waiting) == (0, 1)


async def test_another_copy_is_said_once_and_a_standby_beside_it_is_ready(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.runner.leadership")
    async with simulated.bot() as leader, simulated.bot() as standby:
        await leader.cycle()
        # As of a copy that has led before, and has lost the lease with its faults.
        standby.faults["limits"] = "A part of the bot fails (limits: OperationalError): its log has the details."
        for _ in range(5):
            await standby.cycle()
        assert [line for line in await Lifecycle(standby, MINUTE).problems() if "not connected" not in line] == []
    said = [line for line in caplog.messages if line.startswith("another copy of the bot leads")]
    assert len(said) == 1
    assert f"process {os.getpid()}" in said[0]


async def test_a_loop_that_is_stuck_loses_the_lease_and_gets_it_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.runner.leadership")
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    async with Leadership(Lease(engine, QUICK)).kept() as leadership:
        await asyncio.sleep(QUICK.hold + 0.2)
        assert leadership.held()
        time.sleep(QUICK.hold)  # noqa: ASYNC251  # the point of it
        assert not leadership.held()
        # The renewing thread holds the lease before the loop has logged it.
        await until(lambda: leadership.held() and len(caplog.messages) == 3)
    assert caplog.messages == [
        "this copy of the bot polls and delivers",
        "the lease was not renewed in time: this copy stops polling until it holds the lease again",
        "this copy of the bot polls and delivers",
    ]
    engine.dispose()


async def test_a_standby_takes_over_from_a_copy_that_is_stuck(tmp_path: Path) -> None:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    stuck = Lease(engine, QUICK)
    assert stuck.acquire()
    async with Leadership(Lease(engine, QUICK)).kept() as standby:
        began = time.monotonic()
        await until(standby.held)
        assert time.monotonic() - began >= QUICK.term - QUICK.hold
        assert standby.lease.previous_may_live
        assert not stuck.held()
    stuck.release()
    engine.dispose()


def delete_database(folder: Path) -> None:
    for file in folder.glob("claude-cost.db*"):
        file.unlink()


async def told_limits(world: World, bot: Bot) -> int:
    await bot.cycle()
    return len(world.alerts("soft"))


async def test_a_database_that_is_deleted_stops_the_bot_and_readiness_says_so(
    simulated: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot:
        assert await told_limits(simulated, bot) == 0
        simulated.spend(120)
        delete_database(tmp_path)
        await until(lambda: not bot.leads())
        for _ in range(3):
            assert (await bot.cycle()).poll is None
            assert await bot.deliver() is None
        assert simulated.posts() == []
        sentence = f"The database file {tmp_path / 'claude-cost.db'} was deleted or moved away while the bot runs"
        assert any(line.startswith(sentence) for line in await Lifecycle(bot, MINUTE).problems())
        found = {check.name: check for check in await bot.services.examine()}
        assert found["lease"].sentence.startswith(sentence)
    assert len([line for line in caplog.messages if sentence in line]) == 1
    # After a restart on a new file it reads what is true then.
    async with simulated.bot() as bot:
        assert await told_limits(simulated, bot) == 1


async def test_a_database_that_lost_its_tables_is_a_sentence_in_readiness(simulated: World) -> None:
    with postgres_database() as url:
        async with simulated.bot(CLAUDE_COST_DATABASE_URL=url) as bot:
            await bot.cycle()
            engine = connect(url)
            lease_table.drop(engine)
            engine.dispose()
            await until(lambda: bot.leadership.problem() is not None)
            problems = await Lifecycle(bot, MINUTE).problems()
            assert any(line.startswith("The database has lost its tables") for line in problems)


async def test_once_after_a_crash_waits_for_nobody_beside_an_sqlite_file(world: World) -> None:
    async with world.running() as process:
        await until(lambda: world.anthropic.requests != [])
        assert (await world.once()).code == 1
        process.send_signal(signal.SIGKILL)
        await process.wait()
    finished = await world.once()
    assert (finished.code, finished.err) == (0, "")


async def test_once_waits_for_the_term_of_an_owner_that_died_on_postgresql() -> None:
    with postgres_database() as url:
        engine = open_database(url)
        with engine.begin() as connection:
            connection.execute(update(lease_table).values(owner="somebody who died", renewals=7))
        async with Leadership(Lease(engine, QUICK)).kept() as leadership:
            assert not leadership.held()
            assert await leadership.settled()
            assert leadership.lease.previous_may_live
        engine.dispose()


async def test_a_copy_beside_a_living_owner_need_not_wait_for_the_term_to_know_so() -> None:
    with postgres_database() as url:
        engine = open_database(url)
        async with Leadership(Lease(engine, QUICK)).kept():
            second = Leadership(Lease(engine, replace(QUICK, term=1000)))
            async with second.kept(), asyncio.timeout(60):
                assert not await second.settled()
                assert second.lease.other_is_alive
        engine.dispose()


async def test_once_beside_a_living_owner_says_so_on_postgresql(simulated: World) -> None:
    with postgres_database() as url:
        async with simulated.bot(CLAUDE_COST_DATABASE_URL=url):
            finished = await simulated.once(CLAUDE_COST_DATABASE_URL=url)
    assert finished.code == 1
    assert finished.err.startswith("Another copy of the bot is alive on this database")
