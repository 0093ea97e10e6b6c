"""PostgreSQL: nothing waits forever for a server that does not respond, is busy, or is frozen."""

import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from bot.db.engine import connect, open_database
from bot.db.lease import Lease
from bot.db.postgres import without_limits
from bot.db.timeouts import LEASE_LIMITS, LIMITS, Limits
from tests.black_hole import BlackHole
from tests.databases import postgres_database

SHORT = replace(LIMITS, connect=2, unresponsive=0.6, statement=0.4)


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_database() as url:
        yield url


@pytest.fixture
def hole(url: str) -> Iterator[BlackHole]:
    parsed = make_url(url)
    with BlackHole(parsed.host or "127.0.0.1", parsed.port or 5432) as hole:
        yield hole


def through(hole: BlackHole, url: str) -> str:
    return make_url(url).set(host="127.0.0.1", port=hole.port).render_as_string(hide_password=False)


def setting(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def options_of(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return driver.info.get_parameters()


def test_a_server_that_falls_silent_ends_what_waits_for_it_and_is_used_again(hole: BlackHole, url: str) -> None:
    engine = connect(through(hole, url), SHORT)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        hole.open.clear()
        began = time.monotonic()
        with pytest.raises(OperationalError, match="has not answered for"):
            connection.execute(text("SELECT 2"))
        assert time.monotonic() - began < 5
    hole.open.set()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 3")).scalar_one() == 3
    engine.dispose()


def test_a_connection_from_the_pool_that_is_cut_off_ends_too(hole: BlackHole, url: str) -> None:
    engine = connect(through(hole, url), SHORT)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    hole.open.clear()
    began = time.monotonic()
    with pytest.raises(OperationalError), engine.connect() as connection:
        connection.execute(text("SELECT 2"))
    assert time.monotonic() - began < 2 * (SHORT.unresponsive + SHORT.connect) + 2
    engine.dispose()


def test_a_commit_that_is_cut_off_ends_too(hole: BlackHole, url: str) -> None:
    engine = connect(through(hole, url), SHORT)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (n int)"))
        hole.open.clear()
        with pytest.raises(OperationalError):
            connection.commit()
    engine.dispose()


def test_an_answer_that_takes_long_but_keeps_coming_is_read_to_its_end(url: str) -> None:
    engine = connect(url, replace(SHORT, statement=30))
    slow = text("SELECT n, pg_sleep(0.01), repeat('x', 20000) FROM generate_series(1, 100) AS n")
    with engine.connect() as connection:
        rows = list(connection.execution_options(stream_results=True, yield_per=10).execute(slow))
    assert len(rows) == 100
    engine.dispose()


def test_a_statement_that_takes_too_long_is_ended_by_the_server(url: str) -> None:
    engine = connect(url, SHORT)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(5)"))
    engine.dispose()


def test_every_wait_has_a_limit(url: str) -> None:
    engine = open_database(url)
    assert setting(engine, "statement_timeout") == "15s"
    assert setting(engine, "lock_timeout") == "10s"
    assert setting(engine, "idle_in_transaction_session_timeout") == "30s"
    options = options_of(engine)
    assert options["connect_timeout"] == "5"
    assert options["tcp_user_timeout"] == "10000"
    assert (options["keepalives_idle"], options["keepalives_interval"]) == ("5", "3")
    engine.dispose()


def test_what_the_address_asks_for_wins(url: str) -> None:
    asked = {"options": "-c statement_timeout=60000", "connect_timeout": "9", "tcp_user_timeout": "1234"}
    engine = open_database(make_url(url).update_query_dict(asked).render_as_string(hide_password=False))
    assert setting(engine, "statement_timeout") == "1min"
    assert setting(engine, "lock_timeout") == "10s"
    options = options_of(engine)
    assert (options["connect_timeout"], options["tcp_user_timeout"]) == ("9", "1234")
    engine.dispose()


def test_a_migration_may_take_longer_than_any_other_statement(url: str) -> None:
    engine = connect(url, Limits(statement=0.2, unresponsive=0.3))
    with engine.begin() as connection, without_limits(connection):
        connection.execute(text("SELECT pg_sleep(0.6)"))
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("SELECT pg_sleep(2)"))
    engine.dispose()


def test_an_owner_that_is_cut_off_from_the_database_stops_and_another_copy_takes_over(
    hole: BlackHole, url: str
) -> None:
    at = [1000.0]
    away, here = open_database(through(hole, url)), open_database(url)
    limits = replace(LEASE_LIMITS, connect=2, unresponsive=0.5)
    owner = Lease(away, now=lambda: at[0], limits=limits)
    standby = Lease(here, now=lambda: at[0], limits=limits)
    assert owner.acquire()
    assert not standby.acquire()
    hole.open.clear()
    assert owner.acquire()  # the renewal before this one still counts
    assert owner.problem is not None
    assert "has not answered" in owner.problem
    at[0] += owner.timing.hold
    assert not owner.held()
    at[0] += owner.timing.term - owner.timing.hold
    assert standby.acquire()
    assert standby.previous_may_live
    began = time.monotonic()
    assert not owner.acquire()
    assert time.monotonic() - began < 5
    hole.open.set()
    assert not owner.acquire()
    assert owner.problem is None
    for lease in (owner, standby):
        lease.release()
    away.dispose()
    here.dispose()
