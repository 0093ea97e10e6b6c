"""The migration to one outbox: every stored notice is kept, and goes on where it was."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from bot.alerts.incident import LEVELS
from bot.alerts.limit import LimitAlert
from bot.alerts.model import SyntheticAlert
from bot.alerts.notice_contents import ContentStore, Payload, dumped, enqueue, parsed
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.engine import connect, migrate
from bot.db.migrations.versions.v0014_one_outbox import about
from bot.db.migrations.versions.v0015_kinds_of_alerts import rewritten
from bot.db.schema import notices
from bot.notify.model import Action, Address, Notice
from tests.databases import NOW, SOFT_RESOLVED, crossed, facts_of, mode_facts, reported
from tests.unit.test_stored_payloads import STORED

SECOND = timedelta(seconds=1)
WITH_ID = [each for each in STORED if each["kind"] not in ("mode_end", "proof", "proposal")]

SOFT = facts_of()(crossed(LimitKind.SOFT))
HARD = facts_of()(crossed(LimitKind.HARD))
RESOLVED = facts_of()(SOFT_RESOLVED)
TEST = SyntheticAlert(by="U1", requested_at=NOW + timedelta(microseconds=7))


def as_stored_then(payload: LimitAlert | SyntheticAlert) -> dict[str, Any]:
    """The payload as the version before stored it."""
    stored: dict[str, Any] = dumped(payload)
    if not isinstance(payload, LimitAlert):
        return stored
    limit = stored.pop("limit")
    return {**stored, "kind": "alert", "level": limit["kind"], "limit_usd": limit["usd"]}


def insert(engine: Engine, table: str, **values: object) -> None:
    columns = ", ".join(values)
    placeholders = ", ".join(f":{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({placeholders})"), values)


def alert(engine: Engine, level: str, ts: str | None) -> None:
    known = {"budget": "default", "period": "2026-11", "limit_usd": "400" if level == "soft" else "600"}
    moments = {"opened_at": "2026-11-20 12:00:00.000000", "changed_at": "2026-11-20 12:00:00.000000"}
    place = {"channel": None if ts is None else "C1", "ts": ts}
    insert(engine, "alerts", level=level, status="open", **known, **moments, **place)


def slack(engine: Engine, action: str, facts: LimitAlert | None, status: str, **values: object) -> None:
    stored = {"kind": "of another version"} if facts is None else as_stored_then(facts)
    known = {"created_at": "2026-11-20 12:00:00.000000", "next_attempt_at": "2026-11-20 12:00:00.000000"}
    attempts = values.pop("attempts", 0)
    insert(
        engine, "notices", **known, **values, attempts=attempts, action=action, facts=json.dumps(stored), status=status
    )


def further(engine: Engine, destination: str, step: str, facts: LimitAlert | SyntheticAlert, **values: object) -> None:
    known = {"attempts": 0, "reached": "[]", "created_at": "2026-11-20 12:00:00.000000"} | values
    stored = json.dumps(as_stored_then(facts))
    insert(engine, "outside_notices", **known, destination=destination, step=step, facts=stored)


@pytest.fixture
def old(empty_database_url: str) -> Engine:
    """A database of the version before, with notices in both tables."""
    engine = connect(empty_database_url)
    migrate(engine, "0013")
    alert(engine, "soft", "1.0")
    alert(engine, "hard", None)
    slack(engine, "post", SOFT, "sent", alert_id=1, attempts=1, sent_at="2026-11-20 12:00:01.000000")
    slack(engine, "post", HARD, "sending", alert_id=2, attempts=3, attempted_at="2026-11-20 12:00:02.000000")
    slack(engine, "update", SOFT, "pending", alert_id=1)
    slack(engine, "update", RESOLVED, "obsolete", alert_id=1, error="The message was deleted in Slack.")
    slack(engine, "reply", RESOLVED, "pending", alert_id=1)
    slack(engine, "post", None, "pending")
    sent = {"attempts": 1, "sent_at": "2026-11-20 12:00:03.000000", "attempted_at": "2026-11-20 12:00:03.000000"}
    further(engine, "mail", "open", SOFT, alert_id=1, **sent)
    further(engine, "mail", "resolved", RESOLVED, alert_id=1, reached='["a1", "b2"]', attempts=2, error="it fails")
    further(engine, "hook", "open", HARD, alert_id=2, attempts=1, attempted_at="2026-11-20 12:00:04.000000")
    further(engine, "hook", "test", TEST)
    return engine


def claimed(store: ContentStore, held: frozenset[int] = frozenset()) -> Notice:
    notice = store.claim(NOW + SECOND, held)
    assert notice is not None
    return notice


def test_every_notice_is_kept_with_its_state(old: Engine) -> None:
    migrate(old)
    columns = (notices.c.destination, notices.c.step, notices.c.action, notices.c.status, notices.c.attempts)
    with old.connect() as connection:
        rows = connection.execute(select(notices.c.id, *columns).order_by(notices.c.id)).all()
        errors = connection.execute(select(notices.c.error).order_by(notices.c.id)).scalars().all()
    assert [tuple(row)[1:] for row in rows] == [
        ("Slack", None, "post", "sent", 1),
        ("Slack", None, "post", "sending", 3),
        ("Slack", None, "update", "pending", 0),
        ("Slack", None, "update", "obsolete", 0),
        ("Slack", None, "reply", "pending", 0),
        ("Slack", None, "post", "pending", 0),
        ("mail", "open", "post", "sent", 1),
        ("mail", "resolved", "post", "pending", 2),
        ("hook", "open", "post", "sending", 1),
        ("hook", "test", "post", "pending", 0),
    ]
    assert [row.id for row in rows] == [*range(1, 11)]
    assert [error for error in errors if error is not None] == ["The message was deleted in Slack.", "it fails"]
    old.dispose()


def test_slacks_notices_go_on_where_they_were(old: Engine) -> None:
    migrate(old)
    store = AlertStore(old).notices
    uncertain = claimed(store)
    assert (uncertain.id, uncertain.outcome_unknown, uncertain.about) == (2, True, HARD.incident)
    assert (uncertain.attempts, uncertain.attempted_at) == (3, NOW + 2 * SECOND)
    edit = claimed(store, frozenset({2}))
    assert (edit.id, edit.address, edit.content.payload, edit.reposts) == (3, Address("C1", "1.0"), SOFT, True)
    old.dispose()


def test_further_destinations_get_what_waited_and_only_those_who_lack_it(old: Engine) -> None:
    migrate(old)
    waiting = AlertStore(old, {"mail": frozenset(LEVELS), "hook": frozenset(LEVELS)})
    assert waiting.destinations.undelivered() == {"mail": 1, "hook": 2}
    (failing,) = waiting.destinations.waiting()
    assert (failing.destination, failing.since, failing.error) == ("mail", NOW, "it fails")
    resolved = claimed(ContentStore(old, "mail"))
    assert (resolved.content.payload, resolved.reached) == (RESOLVED, frozenset({"a1", "b2"}))
    uncertain = claimed(ContentStore(old, "hook"))
    assert (uncertain.content.payload, uncertain.outcome_unknown) == (HARD, True)
    waiting.record(reported([crossed(LimitKind.SOFT), SOFT_RESOLVED], budget="default", period="2026-11"), NOW)
    assert waiting.destinations.undelivered() == {"mail": 1, "hook": 4}, "mail is not notified of the same steps again"
    old.dispose()


@pytest.mark.parametrize("stored", WITH_ID, ids=lambda each: str(each["kind"]))
def test_a_message_is_recognised_by_what_it_was_sent_with(stored: dict[str, Any], engine: Engine) -> None:
    with engine.begin() as connection:
        enqueue(connection, "post", parsed(rewritten(stored)), NOW)
        now_sent_with = connection.execute(select(notices.c.about)).scalar_one()
    assert about(stored) == now_sent_with


def test_an_open_alert_is_posted_anew_and_nothing_else_is(engine: Engine) -> None:
    sent: list[tuple[Action, Payload]] = [
        ("update", SOFT),
        ("update", RESOLVED),
        ("update", mode_facts()),
        ("post", SOFT),
    ]
    with engine.begin() as connection:
        for action, facts in sent:
            enqueue(connection, action, facts, NOW)
        assert connection.execute(select(notices.c.reposts).order_by(notices.c.id)).scalars().all() == [
            True,
            False,
            False,
            False,
        ]
