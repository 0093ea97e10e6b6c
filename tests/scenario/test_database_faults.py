"""The database fails for a while, in each way that one can: the bot recovers by itself, and each alert comes once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass

import pytest
from sqlalchemy import NullPool, create_engine, event, make_url, text

from benchmarks.tcp_proxy import Mode, TcpProxy
from bot.clock import MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from handlers.commands import answer
from tests.databases import postgres_database
from tests.scenario.conftest import ADMIN, World, member

IMPATIENT = 50
"""Milliseconds that a statement waits for another writer of the file."""
KEYS = 400
"""Rows of usage that do not fit into the file."""
POST = "chat.postMessage"


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and the network before it where it is a server."""

    address: str
    direct: str
    proxy: TcpProxy | None


Trouble = Callable[[Bot, Place], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def pragmas(bot: Bot, broken: str, sound: str) -> AsyncIterator[None]:
    now = [broken]

    def on_checkout(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA {now[0]}")

    event.listen(bot.services.ledger._engine.pool, "checkout", on_checkout)
    yield
    now[0] = sound


@asynccontextmanager
async def full(bot: Bot, place: Place) -> AsyncIterator[None]:
    """No page can be added to the file."""
    async with pragmas(bot, "max_page_count = 1", "max_page_count = 1000000"):
        yield


@asynccontextmanager
async def read_only(bot: Bot, place: Place) -> AsyncIterator[None]:
    async with pragmas(bot, "query_only = 1", "query_only = 0"):
        yield


@asynccontextmanager
async def locked(bot: Bot, place: Place) -> AsyncIterator[None]:
    with closing(sqlite3.connect(str(make_url(place.direct).database), isolation_level=None)) as other:
        async with pragmas(bot, f"busy_timeout = {IMPATIENT}", "busy_timeout = 5000"):
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")


def told(place: Place, *statements: str) -> None:
    """Let an administrator of the server say this."""
    engine = create_engine(place.direct, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in ("SET default_transaction_read_only = off", *statements):
            connection.execute(text(statement.replace("DATABASE", f"DATABASE {make_url(place.direct).database}")))


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def restarted(bot: Bot, place: Place) -> AsyncIterator[None]:
    """Every connection ends, and the server is gone for a while."""
    assert place.proxy is not None
    place.proxy.mode = Mode.REFUSE
    told(place, CUT)
    yield
    place.proxy.mode = Mode.PASS


@asynccontextmanager
async def failed_over(bot: Bot, place: Place) -> AsyncIterator[None]:
    """The server that responds is a read-only copy until it is promoted."""
    told(place, "ALTER DATABASE SET default_transaction_read_only = on", CUT)
    yield
    told(place, "ALTER DATABASE RESET default_transaction_read_only")


TROUBLES: dict[str, list[Trouble]] = {"sqlite": [full, read_only, locked], "postgresql": [restarted, failed_over]}


@pytest.fixture(
    params=[(kind, trouble) for kind in TROUBLES for trouble in TROUBLES[kind]], ids=lambda p: p[1].__name__
)
async def trouble(
    request: pytest.FixtureRequest, simulated: World
) -> AsyncIterator[Callable[[Bot], AbstractAsyncContextManager[None]]]:
    """Breaks the database of the world, which is of the right kind, while its block lasts."""
    kind, begin = request.param
    if kind == "sqlite":
        address = simulated.environ["CLAUDE_COST_DATABASE_URL"]
        yield lambda bot: begin(bot, Place(address, address, None))
        return
    with postgres_database() as direct:
        server = make_url(direct)
        async with TcpProxy(server.port or 5432) as proxy:
            address = server.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
            simulated.environ["CLAUDE_COST_DATABASE_URL"] = address
            yield lambda bot: begin(bot, Place(address, direct, proxy))


async def cycles(bot: Bot, clock: HandClock, count: int) -> None:
    for _ in range(count):
        clock.advance(5 * MINUTE)
        await bot.cycle()


def spend(world: World, usd: int) -> None:
    for number in range(KEYS):
        world.spend(f"{usd / KEYS:.2f}", key=f"apikey_{number}")


async def test_what_is_crossed_while_the_database_fails_is_reported_once_when_it_is_back(
    simulated: World, clock: HandClock, trouble: Callable[[Bot], AbstractAsyncContextManager[None]]
) -> None:
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await cycles(bot, clock, 1)
        async with trouble(bot):
            spend(simulated, 120)
            await cycles(bot, clock, 2)
            assert "the poll" in bot.faults
            assert simulated.posts() == []
        await cycles(bot, clock, 3)
        assert len(simulated.alerts("soft")) == 1
        status = await answer(bot.services, member(ADMIN), "status")
        assert "$120.00 of $200.00" in status.text
        assert bot.faults == {}
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await cycles(bot, clock, 2)
        assert len(simulated.alerts("soft")) == 1


async def test_a_database_that_fails_while_an_alert_is_on_its_way_doubles_nothing(
    simulated: World, clock: HandClock, trouble: Callable[[Bot], AbstractAsyncContextManager[None]]
) -> None:
    simulated.slack.workspace.scopes.add("channels:history")
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        await cycles(bot, clock, 1)
        simulated.spend(120)
        before = len(simulated.slack.calls)
        simulated.slack.faults.add(POST, Fault("slow", seconds=0.3))
        clock.advance(5 * MINUTE)
        cycle = asyncio.create_task(bot.cycle())
        await simulated.slack.until(lambda: len(simulated.slack.calls) > before)
        async with trouble(bot):
            await cycle
            await cycles(bot, clock, 2)
        await cycles(bot, clock, 3)
        assert len(simulated.alerts("soft")) == 1
        assert bot.faults == {}
