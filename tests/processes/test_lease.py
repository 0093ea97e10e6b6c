"""The lease: one copy polls and delivers, and when it dies, however it dies, another one takes over.

Each copy has a clock of its own, which the test sets; nothing here waits for the time to pass.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, select, text, update

from bot.clock import seconds_since_boot
from bot.db.engine import open_database
from bot.db.lease import Lease, Timing, lease_state
from bot.db.schema import lease as lease_table
from tests.databases import open_migrated, postgres_database

HOLDER = """
import sys
from bot.db.engine import open_database
from bot.db.lease import Lease

lease = Lease(open_database(sys.argv[1]))
print(lease.acquire(), flush=True)
sys.stdin.read()
"""

FREEZABLE = """
import sys, time
from bot.db.engine import open_database
from bot.db.lease import Lease, Timing

lease = Lease(open_database(sys.argv[1]), Timing(hold=0.5, term=1))
while True:
    before = time.monotonic()
    holds = lease.acquire()
    if not lease.held():
        print("lost", flush=True)
        sys.stdin.read()
    print("held", flush=True)
    time.sleep(0.05)
    while time.monotonic() - before > 0.5:
        # It was frozen in its sleep; before it asks anybody it knows.
        print("knows" if not lease.held() else "believes", flush=True)
        break
"""

TIMING = Timing()
JUST_BEFORE, BEYOND = 0.001, 0.001


class Seconds:
    """A monotonic clock that the test sets."""

    def __init__(self, at: float = 1000) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


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
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def copy_of_the_bot(engine: Engine, clock: Seconds) -> Iterator[Callable[..., Lease]]:
    """Makes leases as of several copies, by the test's clock unless another one is given."""
    made: list[Lease] = []

    def make(now: Callable[[], float] = clock) -> Lease:
        made.append(Lease(engine, now=now))
        return made[-1]

    yield make
    for one in made:
        one.release()


@pytest.fixture
def lease(copy_of_the_bot: Callable[..., Lease]) -> Lease:
    return copy_of_the_bot()


def no_lock_beside(engine: Engine) -> None:
    """Take the sign of life away, so that the row alone decides on either database."""
    with engine.begin() as connection:
        connection.execute(update(lease_table).values(lock=None))


def test_one_copy_holds_it_and_may_ask_again(lease: Lease) -> None:
    assert lease.acquire()
    assert lease.acquire()
    assert lease.held()


def test_a_second_process_does_not_get_it(lease: Lease, database_url: str) -> None:
    assert lease.acquire()
    with another_process(database_url) as (_, got):
        assert got == "False"


def test_what_is_released_another_process_gets_at_once(lease: Lease, database_url: str) -> None:
    assert lease.acquire()
    lease.release()
    assert not lease.held()
    with another_process(database_url) as (_, got):
        assert got == "True"
        assert not lease.acquire()


def test_releasing_what_is_not_held_is_harmless(lease: Lease) -> None:
    lease.release()
    assert lease.acquire()
    assert not lease.previous_may_live


def test_releasing_does_not_take_it_from_another(lease: Lease, copy_of_the_bot: Callable[..., Lease]) -> None:
    other = copy_of_the_bot()
    assert other.acquire()
    assert not lease.acquire()
    lease.release()
    assert other.acquire()


def test_an_owner_that_was_killed_beside_its_lock_is_replaced_at_once(tmp_path: Path, clock: Seconds) -> None:
    url = f"sqlite:///{tmp_path / 'claude-cost.db'}"
    engine = open_database(url)
    lease = Lease(engine, now=clock)
    with another_process(url) as (process, got):
        assert got == "True"
        assert not lease.acquire()
        assert lease.other_is_alive
        process.kill()
        process.wait()
    assert lease_state(engine).dead
    assert lease.acquire()
    assert not lease.previous_may_live
    lease.release()
    engine.dispose()


def test_an_owner_that_was_killed_without_a_lock_is_replaced_after_the_term(database_url: str, clock: Seconds) -> None:
    engine = open_database(database_url)
    lease = Lease(engine, now=clock)
    with another_process(database_url) as (process, got):
        assert got == "True"
        process.kill()
        process.wait()
    no_lock_beside(engine)
    assert not lease.acquire()
    clock.at += TIMING.term - JUST_BEFORE
    assert not lease.acquire()
    assert not lease.other_is_alive
    clock.at += 2 * JUST_BEFORE
    assert lease.acquire()
    assert lease.previous_may_live
    lease.release()
    engine.dispose()


def test_the_owner_stops_before_another_copy_may_begin(
    lease: Lease, copy_of_the_bot: Callable[..., Lease], clock: Seconds, engine: Engine
) -> None:
    """Frozen, or cut off from the database: it knows by itself, without asking."""
    standby = copy_of_the_bot()
    assert lease.acquire()
    no_lock_beside(engine)
    assert not standby.acquire()
    began = clock.at
    while not standby.acquire():
        assert lease.held() is (clock.at - began < TIMING.hold)
        clock.at += 0.5
    assert clock.at - began >= TIMING.term > TIMING.hold
    assert not lease.held()
    # Once awake, it reads the row and learns the owner.
    assert not lease.acquire()
    assert standby.held()
    assert lease.other is not None
    assert lease.other.pid == os.getpid()


def test_an_owner_that_renews_is_never_replaced(
    lease: Lease, copy_of_the_bot: Callable[..., Lease], clock: Seconds, engine: Engine
) -> None:
    standby = copy_of_the_bot()
    for _ in range(30):
        assert lease.acquire()
        no_lock_beside(engine)
        assert not standby.acquire()
        clock.at += TIMING.renew
    assert standby.other_is_alive


def test_an_owner_that_was_frozen_for_less_than_anyone_noticed_goes_on(lease: Lease, clock: Seconds) -> None:
    assert lease.acquire()
    clock.at += 3600
    assert not lease.held()
    assert lease.acquire()
    assert not lease.previous_may_live


def test_the_time_that_a_renewal_takes_counts(
    lease: Lease, copy_of_the_bot: Callable[..., Lease], clock: Seconds
) -> None:
    """The term counts from the beginning of a renewal: the row may have changed right then."""
    moments = iter([1000.0, *[1000 + TIMING.hold] * 10])
    slow = copy_of_the_bot(lambda: next(moments))
    assert not slow.acquire()
    clock.at += TIMING.hold
    assert not lease.acquire()


def test_clocks_that_disagree_by_years_and_speeds_alike_do_no_harm(
    engine: Engine, copy_of_the_bot: Callable[..., Lease]
) -> None:
    here, there = Seconds(5), Seconds(9e9)
    owner, standby = copy_of_the_bot(here), copy_of_the_bot(there)
    for _ in range(10):
        assert owner.acquire()
        no_lock_beside(engine)
        assert not standby.acquire()
        here.at += 3
        there.at += 3
    there.at += TIMING.term
    here.at += TIMING.term
    assert standby.acquire()
    assert not owner.held()


def test_a_clock_that_goes_back_ends_the_hold(lease: Lease, clock: Seconds) -> None:
    assert lease.acquire()
    clock.at -= 1
    assert not lease.held()
    assert lease.acquire()


def test_of_two_that_see_the_end_of_the_term_one_gets_it(
    copy_of_the_bot: Callable[..., Lease], clock: Seconds, engine: Engine
) -> None:
    dead, *standbys = (copy_of_the_bot() for _ in range(9))
    assert dead.acquire()
    no_lock_beside(engine)
    for one in standbys:
        assert not one.acquire()
    clock.at += TIMING.term + BEYOND
    start = threading.Barrier(8)

    def ask(one: Lease) -> bool:
        start.wait()
        return one.acquire()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, standbys)) == 1


def test_threads_that_ask_at_once_all_hold_it_and_one_release_gives_it_back(
    lease: Lease, copy_of_the_bot: Callable[..., Lease]
) -> None:
    for _ in range(5):
        start = threading.Barrier(8)

        def ask(start: threading.Barrier = start) -> bool:
            start.wait()
            return lease.acquire()

        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask) for _ in range(8)]
        assert all(answer.result() for answer in asked)
        lease.release()
        other = copy_of_the_bot()
        assert other.acquire()
        other.release()


def test_a_frozen_process_is_replaced_and_knows_when_it_wakes(database_url: str) -> None:
    engine = open_database(database_url)
    standby = Lease(engine, Timing(hold=0.5, term=1))
    with subprocess.Popen(
        [sys.executable, "-c", FREEZABLE, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["held\n"] * 3
        assert not standby.acquire()
        process.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        while not standby.acquire():
            assert time.monotonic() - frozen < 20
            time.sleep(0.05)
        assert standby.previous_may_live
        process.send_signal(signal.SIGCONT)
        last = [line for line in iter(process.stdout.readline, "lost\n") if line != "held\n"]
        assert last in ([], ["knows\n"])  # it may have been frozen anywhere
        assert standby.acquire()
        process.kill()
    standby.release()
    engine.dispose()


def test_a_row_that_somebody_deleted_is_made_again(lease: Lease, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(lease_table))
    assert lease.acquire()
    with engine.connect() as connection:
        assert connection.execute(select(lease_table.c.pid)).scalar_one() == os.getpid()


def test_tables_that_are_gone_are_a_sentence_and_end_the_hold(lease: Lease, engine: Engine, clock: Seconds) -> None:
    assert lease.acquire()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE lease"))
    lease.acquire()
    assert lease.problem is not None
    assert lease.problem.startswith("The database has lost its tables")
    clock.at += TIMING.hold
    assert not lease.held()


def test_the_state_that_doctor_shows(lease: Lease, engine: Engine) -> None:
    assert lease_state(engine).owner is None
    assert lease.acquire()
    state = lease_state(engine)
    assert state.owner is not None
    assert (state.owner.pid, state.dead, state.lock_problem) == (os.getpid(), False, None)
    assert state.silent_for < 5


def test_two_ways_to_write_the_path_are_one_database(tmp_path: Path, clock: Seconds) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    engines = [open_migrated(f"sqlite:///{tmp_path / name}") for name in ("real.db", "link.db")]
    mine, theirs = (Lease(engine, now=clock) for engine in engines)
    assert mine.acquire()
    assert not theirs.acquire()
    assert not (tmp_path / "link.db.lock").exists()
    mine.release()
    assert theirs.acquire()
    theirs.release()
    for engine in engines:
        engine.dispose()


class OnSqlite:
    """Two copies beside one file."""

    def __init__(self, folder: Path, clock: Seconds) -> None:
        self.path = folder / "claude-cost.db"
        self.lock = folder / "claude-cost.db.lock"
        self.engine = open_migrated(f"sqlite:///{self.path}")
        self.first, self.second = Lease(self.engine, now=clock), Lease(self.engine, now=clock)


@pytest.fixture
def pair(tmp_path: Path, clock: Seconds) -> Iterator[OnSqlite]:
    pair = OnSqlite(tmp_path, clock)
    yield pair
    pair.first.release()
    pair.second.release()
    pair.engine.dispose()


def test_a_lock_file_that_is_deleted_does_not_make_two_owners(pair: OnSqlite, clock: Seconds) -> None:
    assert pair.first.acquire()
    pair.lock.unlink()
    for _ in range(20):
        assert not pair.second.acquire()
        assert pair.first.acquire()
        clock.at += TIMING.renew


def test_a_frozen_owner_loses_the_row_though_it_has_the_lock(pair: OnSqlite, clock: Seconds) -> None:
    assert pair.first.acquire()
    assert not pair.second.acquire()
    clock.at += TIMING.term + BEYOND
    assert pair.second.acquire()
    assert pair.second.previous_may_live
    assert not pair.first.acquire()
    # Having lost the row, the first releases the lock, and the second takes it with its next renewal.
    assert pair.second.acquire()
    pair.second.release()
    assert pair.first.acquire()
    assert not pair.first.previous_may_live


def test_a_row_that_is_free_beside_a_lock_that_is_not_waits_for_the_term(pair: OnSqlite, clock: Seconds) -> None:
    """As left by a copy of an older version, which only knows the lock."""
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n print(flush=True)\n sys.stdin.read()",
            str(pair.lock),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with held:
        assert held.stdout is not None
        held.stdout.readline()
        assert not pair.first.acquire()
        clock.at += TIMING.term + BEYOND
        assert pair.first.acquire()
        assert pair.first.previous_may_live
        held.kill()


def spoil_directory(lock: Path) -> None:
    lock.mkdir()


def spoil_link(lock: Path) -> None:
    lock.symlink_to(lock.parent / "nowhere" / "file")


@pytest.mark.parametrize("spoil", [spoil_directory, spoil_link])
def test_a_lock_file_that_cannot_be_used_stops_nothing_and_is_said_once(
    spoil: Callable[[Path], None], pair: OnSqlite, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(pair.lock)
    for _ in range(10):
        assert pair.first.acquire()
        assert not pair.second.acquire()
        clock.at += TIMING.renew
    (said, _) = caplog.messages  # each of the two copies once
    assert said.startswith(f"The lock file {pair.lock} cannot be used (")
    assert "Delete it" in said
    assert pair.first.lock_problem == lease_state(pair.engine).lock_problem == said
    clock.at += TIMING.term
    assert pair.second.acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a while")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_lock_file_of_another_user_stops_nothing(mode: int) -> None:
    """`sudo claude-cost run --once` leaves one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lock = folder / "claude-cost.db.lock"
        lock.touch()
        lock.chmod(mode)
        folder.chmod(0o777)
        os.seteuid(65534)
        try:
            engine = open_database(f"sqlite:///{folder / 'claude-cost.db'}")
            lease = Lease(engine)
            assert lease.acquire()
            # What can be read can be locked.
            assert (lease.lock_problem is None) is (mode == 0o644)
            lease.release()
            engine.dispose()
        finally:
            os.seteuid(0)


def test_a_database_file_that_is_deleted_ends_the_hold_at_once(pair: OnSqlite, clock: Seconds) -> None:
    assert pair.first.acquire()
    for file in pair.path.parent.glob("claude-cost.db*"):
        if file != pair.lock:
            file.unlink()
    assert not pair.first.acquire()
    assert not pair.first.held()
    assert pair.first.problem is not None
    assert "was deleted" in pair.first.problem
    # Nothing delays a copy on a new file.
    fresh = open_database(f"sqlite:///{pair.path}")
    theirs = Lease(fresh, now=clock)
    assert theirs.acquire()
    assert not pair.first.acquire()
    assert "was replaced" in (pair.first.problem or "")
    theirs.release()
    fresh.dispose()


def test_a_database_file_that_is_put_back_is_used_again(pair: OnSqlite) -> None:
    assert pair.first.acquire()
    aside = pair.path.with_suffix(".aside")
    pair.path.rename(aside)
    pair.path.write_text("something else")
    assert not pair.first.acquire()
    aside.rename(pair.path)
    assert pair.first.acquire()
    assert pair.first.problem is None


def test_a_database_that_is_locked_for_long_is_no_sign_of_death(pair: OnSqlite, clock: Seconds) -> None:
    """A large save of the owner keeps its own renewals waiting too."""
    assert pair.first.acquire()
    no_lock_beside(pair.engine)
    assert not pair.second.acquire()
    clock.at += TIMING.term + BEYOND
    with pair.engine.begin():
        assert not pair.second.acquire()
        assert pair.second.problem is not None
        assert pair.second.problem.startswith("Another process keeps the database locked")
    assert not pair.second.acquire()
    assert pair.first.acquire()


def cut_connections(engine: Engine) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    with engine.connect() as connection:
        connection.execute(text(f"{cut} pg_backend_pid()"))


def test_on_postgresql_a_cut_connection_costs_one_attempt_and_neither_the_lease_nor_its_release() -> None:
    with postgres_database() as url:
        engine = open_database(url)
        lease, standby = Lease(engine), Lease(engine)
        assert lease.acquire()
        assert not standby.acquire()
        cut_connections(engine)
        assert lease.acquire()
        assert lease.problem is not None
        standby.acquire()
        assert lease.acquire()
        assert lease.problem is None
        assert not standby.acquire()
        cut_connections(engine)
        lease.release()
        standby.acquire()
        assert standby.acquire()
        assert not standby.previous_may_live
        standby.release()
        engine.dispose()


def test_the_clock_goes_on() -> None:
    assert seconds_since_boot() <= seconds_since_boot()
