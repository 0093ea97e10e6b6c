"""The lease: one copy polls and delivers, and when it dies, however it dies, another one takes over."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from bot.store.engine import open_database
from bot.store.lease import AdvisoryLease, FileLease, Lease, lease_for
from tests.databases import postgres_database

HOLDER = """
import sys
from bot.store.engine import open_database
from bot.store.lease import lease_for

lease = lease_for(open_database(sys.argv[1]))
print(lease.acquire(), flush=True)
sys.stdin.read()
"""


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""


@retry(retry=retry_if_result(lambda got: not got), stop=stop_after_delay(30), wait=wait_fixed(0.05))
def wait_for(lease: Lease) -> bool:
    """Ask until the lease is there."""
    return lease.acquire()


@contextmanager
def another_process(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has tried to get the lease and lives on; and what it got."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def lease(engine: Engine) -> Iterator[Lease]:
    lease = lease_for(engine)
    yield lease
    lease.release()


def test_one_copy_holds_it_and_may_ask_again(lease: Lease) -> None:
    assert lease.acquire()
    assert lease.acquire()


def test_a_second_process_does_not_get_it(lease: Lease, database_url: str) -> None:
    assert lease.acquire()
    with another_process(database_url) as (_, got):
        assert got == "False"


def test_a_process_that_is_killed_leaves_it_to_the_next(lease: Lease, database_url: str) -> None:
    with another_process(database_url) as (process, got):
        assert got == "True"
        assert not lease.acquire()
        process.kill()
        process.wait()
        # A server notices that its client is gone a moment later, so the next one asks again, as at every poll.
        wait_for(lease)
    assert lease.acquire()


def test_what_is_released_another_process_gets(lease: Lease, database_url: str) -> None:
    assert lease.acquire()
    lease.release()
    with another_process(database_url) as (_, got):
        assert got == "True"
        assert not lease.acquire()


def test_releasing_what_is_not_held_is_harmless(lease: Lease) -> None:
    lease.release()
    assert lease.acquire()


def test_a_copy_that_was_refused_holds_no_connection_back(engine: Engine, lease: Lease, database_url: str) -> None:
    with another_process(database_url) as (_, got):
        assert got == "True"
        for _ in range(20):
            assert not lease.acquire()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_threads_that_ask_at_once_all_hold_it_and_one_release_gives_it_back(
    engine: Engine, lease: Lease, database_url: str
) -> None:
    for _ in range(20):
        start = threading.Barrier(8)

        def ask(start: threading.Barrier = start) -> bool:
            start.wait()
            return lease.acquire()

        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask) for _ in range(8)]
        assert all(answer.result() for answer in asked)
        lease.release()
        other = lease_for(engine)
        assert other.acquire()
        other.release()


def test_two_ways_to_write_the_path_are_one_database(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    mine, theirs = FileLease(tmp_path / "real.db"), FileLease(tmp_path / "link.db")
    assert mine.acquire()
    assert not theirs.acquire()
    mine.release()
    assert theirs.acquire()
    theirs.release()


def test_a_holder_whose_connection_is_cut_knows_and_asks_anew() -> None:
    with postgres_database() as url:
        mine, theirs = open_database(url), open_database(url)
        first, second = AdvisoryLease(mine), AdvisoryLease(theirs)
        assert first.acquire()
        with theirs.connect() as connection:
            connection.execute(text(CUT))
        wait_for(second)
        assert not first.acquire()
        second.release()
        wait_for(first)
        first.release()
        mine.dispose()
        theirs.dispose()
