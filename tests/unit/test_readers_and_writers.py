"""SQLite: whoever reads waits for no writer, however long that one takes; whoever writes waits for its turn."""

import inspect
import pkgutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError

import bot
from bot.alerts.asks import AskStore
from bot.alerts.cycle_state import CycleStateStore, DueStore
from bot.alerts.lifecycle_store import LifecycleStore
from bot.alerts.notice_contents import ContentStore, read_content
from bot.alerts.rules import AlertRules
from bot.alerts.store import AlertStore, IncidentStore, SpikeStore
from bot.budgets.budget import LimitKind, PeriodKind
from bot.budgets.calendar_store import CalendarStore
from bot.budgets.change_store import HistoryStore
from bot.budgets.raise_store import RaiseStore
from bot.budgets.store import BudgetStore
from bot.clock import DAY, HOUR
from bot.db.engine import connect, database_problem
from bot.db.lease import lease_state
from bot.db.schema import state
from bot.db.state import StateStore
from bot.db.timeouts import Limits
from bot.digests.schedule import DigestRule
from bot.digests.settings_store import DigestSettingsStore
from bot.digests.store import DigestStore
from bot.fallback.approvals import ProposalStore
from bot.fallback.store import ModeStore, TargetStore, VerificationStore
from bot.ledger.otlp.store import OtlpStore
from bot.notify.model import Address
from bot.notify.store import BacklogStore, NoticeStore
from bot.pricing.store import EstimateStore
from bot.pricing.tokens import Terms, TokenCounts
from bot.usage.attributed_store import AttributedStore
from bot.usage.model import AttributedBy, DataState, Read, UsageReading, UsageRow
from bot.usage.store import UsageStore
from tests.databases import BUDGET, NOW, PERIOD, crossed, migrate_by_copy, open_migrated, reported

TODAY = NOW.replace(hour=0)

DAILY = DigestRule(PeriodKind.DAY)

READS: dict[type, dict[str, tuple[object, ...]]] = {
    AlertStore: {
        "incidents": (BUDGET, PERIOD),
        "incidents_in": ([PERIOD],),
        "open_incidents": (LimitKind.SOFT,),
        "standing": (),
    },
    BudgetStore: {"all": ()},
    CalendarStore: {"changed": (), "plans": (NOW,)},
    HistoryStore: {"newest": (None,), "newest_id": (BUDGET,)},
    RaiseStore: {"find": (1,), "limits": (NOW,), "recent": (NOW,)},
    AttributedStore: {"head": (), "names": (), "reading": (), "states": (), "usd": (AttributedBy.PRODUCT, "any")},
    DigestStore: {"is_posted": ("any", "2026-11")},
    DigestSettingsStore: {
        "change": (1,),
        "find": ("any",),
        "in_force": (),
        "is_configured": (DAILY,),
        "keys": (DAILY,),
        "next_due": (DAILY,),
        "placed": (DAILY,),
        "same_as": (DAILY,),
    },
    CycleStateStore: {"latest": (), "read": ()},
    DueStore: {"look": (NOW,)},
    EstimateStore: {"all": (), "find": ("any",), "last_words": ("U1",)},
    IncidentStore: {"newest": (BUDGET, LimitKind.SOFT), "opened": ([LimitKind.SOFT], TODAY), "watching_since": ()},
    AskStore: {},
    LifecycleStore: {"alert_at": (Address("C1", "1.0"),), "seen": (), "open_alerts": (), "subject": (1,)},
    ModeStore: {"auto": (), "changes": (5,), "current": (), "history": (5,), "in_force": ()},
    ContentStore: {"failing": (), "last_error": (), "undelivered": (), "unreachable": ()},
    NoticeStore: {"failing": (), "last_error": (), "undelivered": (), "unreachable": ()},
    BacklogStore: {"backlog": (), "stranded": (), "undelivered": (), "waiting": ()},
    OtlpStore: {"senders": (["digest"],), "series": (["digest"],)},
    VerificationStore: {"is_dismissed": ([1],), "reports": ([1],)},
    ProposalStore: {"close_outdated": (NOW, {}), "find": (1,)},
    StateStore: {"get": ("data",)},
    SpikeStore: {"limit_posted_at": (BUDGET,), "newest": (BUDGET,), "open": ()},
    TargetStore: {"all": ()},
    UsageStore: {
        "buckets": (TODAY, NOW),
        "data_state": (),
        "has_usage_of": ("api_key_id", "apikey_1"),
        "head": (),
        "hours": (TODAY,),
        "names": (),
        "odd_days": (TODAY, NOW),
        "reading": (),
        "state": (),
        "tokens_of": (None, TODAY, NOW),
        "totals": (TODAY, NOW),
        "unknown_terms": (TODAY, NOW),
        "wrong_days": (),
    },
}
"""Every method of a store that only reads, and what it is asked."""

WRITES = {
    AlertStore: {"enqueue_test", "record", "track"},
    BudgetStore: {"remove", "set", "undo"},
    CalendarStore: {"add", "remove"},
    RaiseStore: {"add", "step"},
    EstimateStore: {"drop", "keep", "remember"},
    AskStore: {"ask"},
    LifecycleStore: {"acknowledge", "advance", "expect", "expect_no_more", "show_mode", "snooze"},
    ModeStore: {"change", "not_written", "refused", "set_auto", "warn", "written"},
    AttributedStore: {"save"},
    DigestStore: {"post"},
    DigestSettingsStore: {"remove", "set", "undo"},
    ContentStore: {"claim", "claim_again", "divert", "finish", "give_up", "put_back", "retry"},
    NoticeStore: {"claim", "claim_again", "divert", "finish", "give_up", "put_back", "retry"},
    BacklogStore: set(),
    OtlpStore: {"keep_senders", "keep_series", "prune"},
    VerificationStore: {"dismiss", "report"},
    ProposalStore: {"approve", "propose", "reject"},
    StateStore: {"put"},
    TargetStore: {"save"},
    UsageStore: {"read_again", "rebuild_rollups", "save", "save_names", "save_state"},
}
"""Every other one."""


MADE: dict[type, Callable[[Engine], object]] = {
    BacklogStore: lambda engine: BacklogStore(engine, ["mail"]),
    DigestSettingsStore: lambda engine: DigestSettingsStore((), engine, lambda: NOW),
    DueStore: lambda engine: DueStore(engine, ["mail"], AlertRules()),
    NoticeStore: lambda engine: NoticeStore(engine, read_content),
}
"""Stores that take more than an engine."""


def stores() -> Iterator[type]:
    for module in pkgutil.walk_packages(bot.__path__, "bot."):
        if ".migrations" in module.name or module.name == "bot.__main__":
            continue
        for _, found in inspect.getmembers(import_module(module.name), inspect.isclass):
            if found.__module__ == module.name and found.__name__.endswith("Store"):
                yield found


def public_methods(store: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(store, inspect.isfunction) if not name.startswith("_")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claude-cost.db"


@pytest.fixture
def impatient(path: Path) -> Iterator[Engine]:
    """A database with an open alert, through an engine that waits for no other writer."""
    migrate_by_copy(f"sqlite:///{path}")
    engine = connect(f"sqlite:///{path}", Limits(busy=0.05))
    AlertStore(engine).record(reported([crossed(LimitKind.SOFT)]), NOW)
    yield engine
    engine.dispose()


def test_every_method_of_every_store_is_known_to_read_or_to_write() -> None:
    found = {store: public_methods(store) for store in stores()}
    assert found == {store: {*READS.get(store, {}), *WRITES.get(store, set())} for store in READS}


@pytest.mark.parametrize("store", READS, ids=lambda store: store.__name__)
def test_what_reads_answers_at_once_while_another_process_writes(store: type, impatient: Engine, path: Path) -> None:
    made = MADE.get(store, store)(impatient)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        for method, arguments in READS[store].items():
            found = getattr(made, method)(*arguments)
            if isinstance(found, AbstractContextManager):
                with found as reader:
                    assert reader.head().data == DataState()
        lease_state(impatient)
        with pytest.raises(OperationalError, match="locked"), impatient.begin():
            pass


def test_what_only_reads_takes_no_lock_from_a_writer_either(impatient: Engine, path: Path) -> None:
    with impatient.connect() as reader, closing(sqlite3.connect(path, timeout=0.05)) as writer:
        before = reader.execute(select(state)).all()
        with writer:
            writer.execute("INSERT INTO state (key, value) VALUES ('a', '1')")
        assert reader.execute(select(state)).all() == before
    assert StateStore(impatient).get("a") == 1


def test_a_large_save_keeps_no_reader_waiting(impatient: Engine) -> None:
    begun, go_on = threading.Event(), threading.Event()
    terms, counts = Terms(), TokenCounts(output_tokens=1)
    keys = [f"key {number}" for number in range(5000)]
    rows = tuple(UsageRow(TODAY, "claude-opus-5-5", "default", key, terms, counts) for key in keys)
    store = UsageStore(impatient)

    def readings() -> Iterator[UsageReading]:
        yield UsageReading(Read("1h", TODAY, TODAY + HOUR), rows, None)
        begun.set()
        go_on.wait(30)

    with ThreadPoolExecutor(1) as thread:
        saving = thread.submit(store.save, readings(), "admin", NOW, DataState(as_of=NOW), None)
        assert begun.wait(30)
        assert store.buckets(TODAY, TODAY + DAY) == []
        assert store.data_state() == DataState()
        assert ContentStore(impatient).undelivered() == 1
        go_on.set()
        saving.result()
    assert len(store.buckets(TODAY, TODAY + DAY)) == 5000


def test_two_that_read_and_then_write_wait_for_each_other(path: Path) -> None:
    engine = open_migrated(f"sqlite:///{path}")
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for _ in range(10):
            with engine.begin() as connection:
                before = connection.execute(select(state.c.value).where(state.c.key == "n")).scalar() or 0
                connection.execute(text("INSERT OR REPLACE INTO state VALUES ('n', :n)"), {"n": str(before + 1)})

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(count) for _ in range(4)]:
            done.result()
    assert StateStore(engine).get("n") == 40
    engine.dispose()


def delete_file(path: Path) -> None:
    path.unlink()


def replace_file(path: Path) -> None:
    path.rename(path.with_suffix(".aside"))
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [delete_file, replace_file])
def test_nothing_is_written_into_a_file_that_nobody_will_see_again(
    spoil: Callable[[Path], None], impatient: Engine, path: Path
) -> None:
    notices = ContentStore(impatient)
    notice = notices.claim(NOW)
    assert notice is not None
    spoil(path)
    with pytest.raises(OperationalError) as refusal:
        notices.put_back(notice, "it cannot be rendered")
    sentence = database_problem(refusal.value)
    assert sentence.startswith(f"The database file {path} was ")
    assert sentence.endswith("put it back, then restart the bot.")
    # Nor does a new connection make a new file in its place.
    impatient.dispose()
    with pytest.raises(OperationalError, match="while the bot runs"), impatient.connect():
        pass
    assert not path.exists() or path.read_bytes() == b""


def test_a_corrupted_database_is_a_sentence(impatient: Engine, path: Path) -> None:
    impatient.dispose()
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(Exception, match="not a database") as refusal:
        ContentStore(impatient).undelivered()
    assert database_problem(refusal.value) == (  # type: ignore[arg-type]
        "The database is damaged (file is not a database), so nothing is polled, sent or stored: stop the bot and run "
        "`claude-cost restore FILE` with a backup."
    )
