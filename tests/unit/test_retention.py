"""What retention deletes, and that no decision depends on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, event, func, insert, select

from bot.alerts.cycle_state import DueStore
from bot.alerts.notice_contents import newest_payload
from bot.alerts.rules import AlertRules
from bot.alerts.store import AlertStore, IncidentStore
from bot.budgets.budget import LimitKind
from bot.db.engine import open_database
from bot.db.retention import RULES, Retention, prune
from bot.db.schema import alerts, audit, budget_changes, digest_changes, digests, expectations, metadata, notices
from bot.digests.store import DigestStore
from tests.contract.test_readme import rows, section
from tests.databases import NOW, crossed, migrate_by_copy, reported

DAYS = Retention()
LONG_AGO = NOW - DAYS.notices - timedelta(days=1)
LONGER_AGO = NOW - DAYS.changes - timedelta(days=1)


def test_every_table_has_a_rule_and_the_docs_have_it() -> None:
    assert set(RULES) == set(metadata.tables)
    written = [row for row in rows(section("What is kept")) if row[0].startswith("`")]
    assert written == [[f"`{table}`", rule] for table, rule in RULES.items()]


def notice(created_at: datetime, **values: Any) -> dict[str, Any]:
    known = {"destination": "Slack", "action": "post", "about": "x", "reposts": False, "facts": {"kind": "x"}}
    state = {"status": "sent", "attempts": 1, "next_attempt_at": created_at, "reached": [], "alert_id": None}
    return {**known, **state, "budget_change_id": None, "created_at": created_at, **values}


def put(engine: Engine, table: Table, *values: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table), list(values))


def count_of(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_the_history_of_messages_and_changes_goes_and_what_is_younger_stays(engine: Engine) -> None:
    young = NOW - timedelta(days=30)
    for at in (LONGER_AGO, young):
        put(engine, audit, {"at": at, "actor": "U1", "action": "a", "outcome": "done", "detail": ""})
        of_change = {"at": at, "by": "U1"}
        put(engine, budget_changes, {**of_change, "budget": "b", "action": "set", "reason": ""})
        put(engine, digest_changes, {**of_change, "rule": "r"})
        put(engine, digests, {"rule": "r", "key": f"{at:%Y-%m-%d}", "posted_at": at})
        put(engine, expectations, {"subject": "b", "starts_at": at, "until": at, "by": "U1"})
        put(engine, notices, notice(at, budget_change_id=1 if at == LONGER_AGO else 2))
    assert prune(engine, NOW, DAYS) == 6
    for table in (audit, budget_changes, digest_changes, digests, expectations, notices):
        assert count_of(engine, table) == 1
    assert DigestStore(engine).is_posted("r", f"{young:%Y-%m-%d}")
    assert prune(engine, NOW, DAYS) == 0


def test_a_change_to_which_a_message_refers_stays_and_so_does_what_waits(engine: Engine) -> None:
    put(engine, budget_changes, {"at": LONGER_AGO, "by": "U1", "budget": "b", "action": "set", "reason": ""})
    put(engine, notices, notice(LONGER_AGO, budget_change_id=1, status="pending"), notice(LONGER_AGO, status="sending"))
    assert prune(engine, NOW, DAYS) == 0


def test_the_last_message_of_all_stays(engine: Engine) -> None:
    """A database without any would take itself for new, and greet."""
    put(engine, notices, notice(LONG_AGO), notice(LONG_AGO))
    assert prune(engine, NOW, DAYS) == 1
    assert prune(engine, NOW, DAYS) == 0


def test_a_transaction_and_a_run_delete_a_bounded_number_of_rows(engine: Engine) -> None:
    put(engine, notices, *[notice(LONG_AGO) for _ in range(1001)])
    deleted: list[int] = []

    @event.listens_for(engine, "after_cursor_execute")
    def _(_c: Any, cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("DELETE"):
            deleted.append(cursor.rowcount)

    assert prune(engine, NOW, DAYS, most=600, at_once=250) == 600
    assert deleted == [250, 250, 100]
    assert prune(engine, NOW, DAYS) == 400
    assert count_of(engine, notices) == 1


AGES = st.sampled_from([timedelta(days=days) for days in (0, 1, 40, 399, 401, 800)])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, timedelta, list[tuple[str, str, timedelta, str]]]]:
    """Incidents: status, age, and their messages: action, status, age, destination."""
    message = st.tuples(
        st.sampled_from(["update", "reply", "broadcast"]),
        st.sampled_from(["pending", "sending", "sent", "obsolete"]),
        AGES,
        st.sampled_from(["Slack", "mail"]),
    )
    status = st.sampled_from(["open", "superseded", "resolved", "withdrawn", "closed"])
    return draw(st.lists(st.tuples(status, AGES, st.lists(message, max_size=4)), min_size=1, max_size=4))


@pytest.fixture(scope="module")
def one_database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("retention") / "claude-cost.db"
    migrate_by_copy(f"sqlite:///{path}")
    engine = open_database(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def decided_from(engine: Engine, ids: list[int]) -> list[object]:
    """Everything that detectors, buttons and the outbox read of the past."""
    store = AlertStore(engine, {"mail": frozenset()})
    with engine.connect() as connection:
        shown = [newest_payload(connection, id_) for id_ in ids]
        rows_of = connection.execute(select(alerts).order_by(alerts.c.id)).all()
        waiting = connection.execute(select(notices.c.id).where(notices.c.status.in_(("pending", "sending")))).all()
        posts = connection.execute(select(notices.c.id).where(notices.c.action == "post")).all()
    states = IncidentStore(engine)
    return [
        *(shown, rows_of, waiting, posts, states.watching_since()),
        store.notices.undelivered(),
        store.notices.last_error(),
        store.destinations.waiting(),
        store.life.seen(),
        store.life.open_alerts(),
        DueStore(engine, ("mail",), AlertRules()).look(NOW),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_decisions_are_the_same_with_and_without_what_is_deleted(
    one_database: Engine, history: list[tuple[str, timedelta, list[tuple[str, str, timedelta, str]]]]
) -> None:
    engine = one_database
    with engine.begin() as connection:
        connection.execute(delete(notices))
        connection.execute(delete(alerts))
    ids = []
    for index, (status, age, messages) in enumerate(history):
        steps = reported([crossed(LimitKind.SOFT)], budget=f"b{index}")
        AlertStore(engine).record(steps, NOW - age)
        with engine.begin() as connection:
            alert = connection.execute(select(func.max(alerts.c.id))).scalar_one()
            facts = connection.execute(select(notices.c.facts).order_by(notices.c.id.desc()).limit(1)).scalar_one()
            connection.execute(alerts.update().where(alerts.c.id == alert).values(status=status))
        ids.append(alert)
        if messages:
            made = [
                notice(NOW - old, alert_id=alert, action=action, status=state, destination=where, facts=facts)
                for action, state, old, where in messages
            ]
            put(engine, notices, *made)
    before = decided_from(engine, ids)
    prune(engine, NOW, DAYS)
    assert decided_from(engine, ids) == before
    # The remaining history does not exceed the rules.
    assert prune(engine, NOW, DAYS) == 0


def test_what_an_alert_says_last_stays_and_the_messages_before_it_go(engine: Engine) -> None:
    AlertStore(engine).record(reported([crossed(LimitKind.SOFT)]), LONG_AGO)
    with engine.begin() as connection:
        connection.execute(alerts.update().values(status="resolved"))
        connection.execute(notices.update().values(status="sent"))
    put(engine, notices, *[notice(LONG_AGO, alert_id=1, action="update") for _ in range(3)])
    put(engine, notices, notice(datetime(2026, 11, 20, tzinfo=UTC)))
    assert prune(engine, NOW, DAYS) == 2
    with engine.connect() as connection:
        left = connection.execute(select(notices.c.action, notices.c.alert_id).order_by(notices.c.id)).all()
    assert [tuple(row) for row in left] == [("post", 1), ("update", 1), ("post", None)]
