"""The migration to identities of alerts: every incident and notice of the version before goes on where it was."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, text

from bot.alerts.decide import LimitReason, track_limits
from bot.alerts.incident import AlertKind, Identity, Incident, Status
from bot.alerts.model import AlertPayload, Transition, restated
from bot.alerts.notice_contents import LifecycleEvent, loaded
from bot.alerts.spike_rates import Spike
from bot.alerts.store import AlertStore, IncidentStore, SpikeStore
from bot.budgets.budget import ORGANIZATION, Budget, Limit, LimitKind, PeriodKind
from bot.db.engine import connect, migrate
from bot.db.migrations.versions.v0014_one_outbox import about
from bot.db.migrations.versions.v0015_kinds_of_alerts import rewritten
from bot.db.schema import alerts, notices
from bot.modes.model import VerificationReport
from bot.notify.model import Address
from tests.databases import NOW, limit_step, reported
from tests.unit.test_stored_payloads import STORED

THEN = "2026-11-20 12:00:00.000000"
UTC_ZONE = ZoneInfo("UTC")
SECOND = timedelta(seconds=1)
ROWS = [
    ("default", "2026-11", "soft", "400", "superseded"),
    ("default", "2026-11", "hard", "600.5", "open"),
    ("default", "2026-11", "threshold", "300", "open"),
    ("default", "2026-11", "forecast", "600", "resolved"),
    ("default", "2026-11", "forecast", "400", "superseded"),
    ("default", "2026-11", "forecast", "450", "withdrawn"),
    ("default", "2026-11-20T12:00Z", "spike", "70", "resolved"),
    ("default", "2026-11-20T12:00Z", "spike", "40", "open"),
    ("data", "2026-11-20T12:00Z", "stale", "0", "open"),
    ("bill", "2026-11-18", "drift", "0", "open"),
    ("default", "2026-12", "period", "0", "open"),
    ("Slack", "2026-11-20T12:00Z", "delivery", "0", "open"),
]


def insert(engine: Engine, table: str, **values: object) -> None:
    columns, placeholders = ", ".join(values), ", ".join(f":{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({placeholders})"), values)


def incident(engine: Engine, budget: str, period: str, level: str, limit_usd: str, status: str) -> None:
    moments = {"opened_at": THEN, "changed_at": THEN, "first_opened_at": THEN}
    known = {"budget": budget, "period": period, "level": level, "limit_usd": limit_usd, "status": status}
    insert(engine, "alerts", **known, **moments, channel="C1", ts=f"{limit_usd}.{level}")


def notice(engine: Engine, alert_id: int | None, facts: dict[str, Any], action: str = "post", **values: Any) -> None:
    known = {"destination": "Slack", "about": "", "status": "sent", "attempts": 1, "reached": "[]", "reposts": False}
    moments = {"created_at": THEN, "next_attempt_at": THEN, "sent_at": THEN}
    insert(engine, "notices", **(known | moments | values), alert_id=alert_id, action=action, facts=json.dumps(facts))


def stored(kind: str, level: str | None = None) -> dict[str, Any]:
    found = next(each for each in STORED if each["kind"] == kind and level in (None, each.get("level")))
    return dict(found)


@pytest.fixture
def old(empty_database_url: str) -> Engine:
    """A database of the version before, in the middle of every kind of incident."""
    engine = connect(empty_database_url)
    migrate(engine, "0014")
    for row in ROWS:
        incident(engine, *row)
    notice(engine, 1, stored("alert", "soft"))
    notice(engine, 2, stored("alert", "hard"))
    notice(engine, 3, stored("alert", "threshold"))
    notice(engine, 4, stored("forecast"))
    notice(engine, 8, stored("spike"))
    notice(engine, 9, stored("stale"))
    notice(engine, 10, stored("drift"))
    notice(engine, 11, {**stored("period"), "status": "open"})
    notice(engine, 2, stored("life"), action="reply", status="pending", sent_at=None, about=about(stored("life")))
    notice(engine, None, {"kind": "of another version"}, status="pending", sent_at=None)
    return engine


def test_every_incident_keeps_its_row_and_says_what_it_is(old: Engine) -> None:
    migrate(old)
    columns = (alerts.c.kind, alerts.c.subject, alerts.c.key, alerts.c.limit_kind, alerts.c.limit_usd)
    more = (alerts.c.bound_usd_per_hour, alerts.c.status)
    with old.connect() as connection:
        rows = [tuple(row) for row in connection.execute(select(alerts.c.id, *columns, *more).order_by(alerts.c.id))]
    soft, hard, hour = Decimal(400), Decimal("600.5"), "2026-11-20T12:00Z"
    assert rows == [
        (1, "limit", "default", "2026-11", "soft", soft, None, "superseded"),
        (2, "limit", "default", "2026-11", "hard", hard, None, "open"),
        (3, "limit", "default", "2026-11", "threshold", Decimal(300), None, "open"),
        (4, "forecast", "default", "2026-11", "hard", Decimal(600), None, "resolved"),
        (5, "forecast", "default", "2026-11", "soft", soft, None, "superseded"),
        (6, "forecast", "default", "2026-11", "hard", Decimal(450), None, "withdrawn"),
        (7, "spike", "default", f"{hour}/70", None, None, Decimal(70), "resolved"),
        (8, "spike", "default", hour, None, None, Decimal(40), "open"),
        (9, "stale", "data", "2026-11-20T12:00Z", None, None, None, "open"),
        (10, "drift", "bill", "2026-11-18", None, None, None, "open"),
        (11, "period", "default", "2026-12", None, None, None, "closed"),
        (12, "delivery", "Slack", "2026-11-20T12:00Z", None, None, None, "open"),
    ]
    old.dispose()


def test_every_stored_notice_is_read_and_its_incident_is_the_row_it_belongs_to(old: Engine) -> None:
    migrate(old)
    with old.connect() as connection:
        query = select(notices.c.facts, notices.c.alert_id).where(notices.c.action == "post").order_by(notices.c.id)
        found = [(row.alert_id, loaded(row.facts)) for row in connection.execute(query)]
        rows = {row.id: row for row in connection.execute(select(alerts))}
    assert found.pop() == (None, None), "what another version wrote stays as it is"
    for alert_id, payload in found:
        assert isinstance(payload, AlertPayload)
        row, identity = rows[alert_id], payload.identity
        assert (row.kind, row.subject, row.key) == (identity.kind, identity.subject, identity.key)
        limit = None if row.limit_usd is None else Limit(LimitKind(row.limit_kind), row.limit_usd)
        assert limit == identity.limit
    old.dispose()


@pytest.mark.parametrize("payload", [each for each in STORED if "level" in each], ids=lambda each: each["kind"])
def test_the_ids_that_people_have_seen_stay_those_of_the_same_incidents(payload: dict[str, Any]) -> None:
    now = loaded(rewritten(payload))
    assert isinstance(now, AlertPayload)
    assert now.incident == about(payload)


def test_rates_of_a_verification_become_sums_with_the_same_rates() -> None:
    old = stored("proof")
    report = loaded(rewritten(old))
    assert isinstance(report, VerificationReport)
    assert report.before is not None
    rates = old["before"]
    assert report.before.usd_per_hour == Decimal(rates["usd_per_hour"])
    assert report.before.above_usd_per_hour == Decimal(rates["above_usd_per_hour"])
    assert report.before.usd_per_mtok == Decimal(rates["usd_per_mtok"])
    assert report.after is None
    uncounted = loaded(rewritten({**old, "before": {**rates, "usd_per_mtok": None}}))
    assert isinstance(uncounted, VerificationReport)
    assert uncounted.before is not None
    assert uncounted.before.usd_per_mtok is None


def test_a_button_of_a_posted_message_acts_on_its_alert(old: Engine) -> None:
    migrate(old)
    store = AlertStore(old)
    assert store.life.acknowledge(2, "U2", NOW).outcome == "done"
    assert [alert.identity for alert in store.life.open_alerts() if alert.life.acknowledged_by] == [
        Identity(AlertKind.LIMIT, "default", "2026-11", Limit(LimitKind.HARD, Decimal("600.5")))
    ]
    waiting = store.notices.claim(NOW + SECOND)
    assert waiting is not None
    assert isinstance(waiting.content.payload, LifecycleEvent)
    assert (waiting.about, waiting.address) == ("default/2026-11/hard/600.50", Address("C1", "600.5.hard"))
    old.dispose()


def test_the_middle_of_an_incident_is_neither_repeated_nor_lost(old: Engine) -> None:
    migrate(old)
    store = AlertStore(old)
    budget = Budget("default", ORGANIZATION, PeriodKind.MONTH, UTC_ZONE, Decimal(400), Decimal("600.5"), "environment")
    assert track_limits(budget, store.incidents("default", "2026-11")) == (), "what is in force was noted already"
    before = store.notices.undelivered()
    crossed = limit_step(LimitKind.HARD, Decimal("600.5"), Status.OPEN, LimitReason.CROSSED, post=True)
    store.record(reported([crossed]), NOW)
    for payload in store.standing():
        store.record([Transition(payload, post=True)], NOW)
    with old.connect() as connection:
        posts = connection.execute(select(notices.c.id).where(notices.c.action == "post", notices.c.sent_at.is_(None)))
        assert len(posts.all()) == 1, "only the one that cannot be read"
        assert len(connection.execute(select(alerts.c.id)).all()) == len(ROWS), "no row is added"
    assert store.notices.undelivered() > before, "each message is edited"
    old.dispose()


def test_what_each_detector_asks_for_is_found_again(old: Engine) -> None:
    migrate(old)
    store, incidents = AlertStore(old), IncidentStore(old)
    newest = SpikeStore(old).newest("default")
    assert newest == Spike("2026-11-20T12:00Z", Decimal(40), Status.OPEN, NOW, NOW)
    gap = incidents.newest("data", AlertKind.NO_DATA)
    assert gap is not None
    assert (gap.key, gap.status) == ("2026-11-20T12:00Z", Status.OPEN)
    assert store.incidents("bill", "2026-11-18") == [Incident(AlertKind.DRIFT, None, Status.OPEN)]
    assert store.open_incidents(AlertKind.DELIVERY) == [("Slack", "2026-11-20T12:00Z")]
    assert [each.identity.level for each in incidents.opened([LimitKind.HARD, AlertKind.SPIKE], NOW + SECOND)] == [
        LimitKind.HARD,
        AlertKind.SPIKE,
    ]
    old.dispose()


def test_an_open_incident_ends_in_its_own_row(old: Engine) -> None:
    migrate(old)
    store = AlertStore(old)
    for payload in store.standing():
        step = limit_step(LimitKind.HARD, Decimal(1), Status.RESOLVED, LimitReason.FELL_BELOW)
        store.record([Transition(restated(payload, step, mode="normal", now=NOW))], NOW)
    with old.connect() as connection:
        still_open = connection.execute(select(alerts.c.id).where(alerts.c.status == "open")).scalars().all()
    assert still_open == [12], "only the one that has no message"
    old.dispose()
