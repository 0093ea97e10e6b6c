"""Migrations: from nothing to the present schema, once, also when several copies start together."""

import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.engine import DatabaseError, connect, look_into, migrate, open_database
from bot.db.schema import alerts, metadata, notices, state
from bot.db.sqlite import rebuilding
from bot.pricing.store import EstimateStore
from bot.usage.model import DataState
from bot.usage.store import UsageStore
from bot.usage.store_reads import DATA_STATE, DATA_STATE_KEY
from tests.databases import NOW, crossed, open_migrated, reported

OPEN = "import sys; from bot.db.engine import open_database; open_database(sys.argv[1]).dispose()"


def tables(url: str) -> set[str]:
    engine = connect(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def execute(url: str, statement: str) -> None:
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_empty_database_gets_every_table(empty_database_url: str) -> None:
    open_database(empty_database_url).dispose()
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_the_migrations_and_the_tables_in_the_code_are_the_same_schema(empty_database_url: str) -> None:
    engine = open_database(empty_database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_again_changes_nothing_and_keeps_what_is_there(empty_database_url: str) -> None:
    engine = open_database(empty_database_url)
    AlertStore(engine).record(reported([crossed(LimitKind.SOFT)]), NOW)
    engine.dispose()
    engine = open_database(empty_database_url)
    migrate(engine)
    assert AlertStore(engine).notices.undelivered() == 1
    engine.dispose()


def test_an_older_databases_estimates_are_bound_to_nothing(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    migrate(engine, "0017")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO estimates (name, words, monthly_usd, rates_checked, kept_by, kept_at) "
                "VALUES ('bot', 'opus requests=1 in=1 out=1', '1350', '2026-11-22', 'U0DEV', '2026-11-20 12:00:00')"
            )
        )
    migrate(engine)
    store = EstimateStore(engine)
    [before] = store.all()
    assert (before.monthly_usd, before.scope) == (Decimal(1350), None)
    store.keep(replace(before, scope="tag:team=care"))
    assert store.find("bot") == replace(before, scope="tag:team=care")
    engine.dispose()


def test_digests_that_wait_in_an_older_database_wait_for_their_channel(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    migrate(engine, "0025")
    values = "'post', false, '{}', '2026-11-20 12:00:00', 0, '2026-11-20 12:00:00', '[]'"
    with engine.begin() as connection:
        for about, destination in (("digest/day/2026-11-19", "Slack C0OTHER"), ("hard", "Slack by mail")):
            connection.execute(
                text(
                    "INSERT INTO notices (about, destination, status, action, reposts, facts, created_at, attempts, "
                    f"next_attempt_at, reached) VALUES ('{about}', '{destination}', 'pending', {values})"
                )
            )
    migrate(engine)
    with engine.connect() as connection:
        query = select(notices.c.destination, notices.c.channel).order_by(notices.c.id)
        assert connection.execute(query).all() == [("Slack", "C0OTHER"), ("Slack by mail", None)]
    engine.dispose()


@pytest.mark.parametrize(
    ("error", "read_at"),
    [(None, NOW - timedelta(hours=1)), ("HTTP 500", datetime(2026, 11, 17, tzinfo=UTC))],
    ids=["read at the last attempt", "read before the last attempt"],
)
def test_an_older_database_learns_when_its_cost_report_was_read(
    empty_database_url: str, error: str | None, read_at: datetime
) -> None:
    engine = connect(empty_database_url)
    migrate(engine, "0003")
    tried_at = NOW - timedelta(hours=1)
    data = DataState(as_of=NOW, source="admin", polled_at=NOW, billed_error=error, billed_at=tried_at)
    day = date(2026, 11, 17)
    UsageStore(engine).save_state(data)
    as_before = DATA_STATE.dump_python(data, mode="json")
    del as_before["billed_read_at"]
    with engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO billed (day, workspace_id, cost_type, usd) VALUES ('{day}', 'wrkspc_1', 'tokens', '20')")
        )
        connection.execute(update(state).where(state.c.key == DATA_STATE_KEY).values(value=as_before))
    migrate(engine)
    assert UsageStore(engine).data_state() == replace(data, billed_read_at=read_at)
    engine.dispose()


def test_an_older_database_learns_when_its_incidents_were_first_opened(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    migrate(engine, "0008")
    with engine.begin() as connection:
        for number, posted in ((1, True), (2, False)):
            connection.execute(
                text(
                    "INSERT INTO alerts (id, budget, period, level, limit_usd, status, opened_at, changed_at) VALUES "
                    f"({number}, 'default', '2026-11', 'hard', '{number}', 'open', '2026-11-01', '2026-11-09')"
                )
            )
            if posted:
                connection.execute(
                    text(
                        "INSERT INTO notices (alert_id, action, facts, status, created_at, attempts, next_attempt_at) "
                        f"VALUES ({number}, 'post', '{{}}', 'sent', '2026-11-05 10:00:00.000000', 1, '2026-11-05')"
                    )
                )
    migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(select(alerts.c.first_opened_at).order_by(alerts.c.id)).scalars().all()
    assert found == [datetime(2026, 11, 5, 10, tzinfo=UTC), None]
    engine.dispose()


def test_a_migration_that_would_lose_what_others_refer_to_changes_nothing(tmp_path: Path) -> None:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    AlertStore(engine).record(reported([crossed(LimitKind.SOFT)]), NOW)
    with pytest.raises(OperationalError, match="would refer to a row of alerts"), rebuilding(engine) as connection:
        connection.execute(text("DELETE FROM alerts"))
    with engine.connect() as connection:
        assert connection.execute(select(alerts.c.status)).scalars().all() == ["open"]
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("DELETE FROM alerts"))
    engine.dispose()


def test_several_processes_may_open_an_empty_database_at_once(empty_database_url: str) -> None:
    command = [sys.executable, "-c", OPEN, empty_database_url]
    copies = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [copy.communicate()[1] for copy in copies]
    assert [(copy.returncode, error) for copy, error in zip(copies, errors, strict=True)] == [(0, "")] * 3
    assert "alerts" in tables(empty_database_url)


def test_a_migration_that_fails_halfway_leaves_nothing_behind(empty_database_url: str) -> None:
    execute(empty_database_url, 'CREATE TABLE "usage" (id INTEGER)')
    with pytest.raises(DatabaseError, match="CLAUDE_COST_DATABASE_URL"):
        open_database(empty_database_url)
    assert tables(empty_database_url) <= {"usage", "alembic_version"}
    execute(empty_database_url, 'DROP TABLE "usage"')
    open_database(empty_database_url).dispose()
    assert tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(empty_database_url: str) -> None:
    open_database(empty_database_url).dispose()
    execute(empty_database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError) as refusal:
        open_database(empty_database_url)
    assert str(refusal.value) == (
        "CLAUDE_COST_DATABASE_URL names a database that a newer version of the bot has migrated (revision 9999): "
        "update the bot, or name another database."
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////dev/null/claude-cost.db", "unable to open database file"),
        ("postgresql+psycopg://bot:hunter2@127.0.0.1:1/claude", "connection"),
        ("postgresql+psycopg://bot:hunter2@127.0.0.1:port/claude", "not a database address"),
        ("postgresql+psycopg://bot:p@hunter2@127.0.0.1/claude", "not a database address"),
        ("nosuchsql://bot:hunter2@127.0.0.1/claude", "nosuchsql"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence_without_the_password(url: str, reason: str) -> None:
    with pytest.raises(DatabaseError) as refusal:
        open_database(url)
    sentence = str(refusal.value)
    assert "CLAUDE_COST_DATABASE_URL" in sentence
    assert reason in sentence
    assert "hunter2" not in sentence
    assert "\n" not in sentence


def test_a_file_that_is_no_database_is_named_as_such_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("shopping list " * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        open_database(f"sqlite:///{path}")
    assert path.read_text() == "shopping list " * 100
    assert stat.S_ISREG(path.stat().st_mode)


def test_a_database_of_the_present_schema_is_opened_without_alembic(empty_database_url: str) -> None:
    open_database(empty_database_url).dispose()
    program = f"{OPEN}; print('alembic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, empty_database_url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_newest_migration_is_known_by_its_file(empty_database_url: str) -> None:
    engine = open_database(empty_database_url)
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    other, state_of_schema = look_into(empty_database_url, 5)
    other.dispose()
    assert state_of_schema.present == state_of_schema.newest == present
