"""Steps of alerts by people and time in the database: row, audit, edit and reply are one transaction."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select, update

from bot.alerts.decide import LimitReason, LimitStep
from bot.alerts.incident import LEVELS, AlertKind, Identity, Status
from bot.alerts.lifecycle import Life, LifecycleStep, OpenAlert, SeenAlert
from bot.alerts.lifecycle_store import Handled, LifecycleTimer
from bot.alerts.model import Transition
from bot.alerts.notice_contents import LifecycleEvent
from bot.alerts.rules import AlertRules
from bot.alerts.store import AlertStore
from bot.budgets.budget import Limit, LimitKind
from bot.db.schema import alerts, audit, notices
from bot.notify.model import Address, Notice
from bot.sandbox.clock import HandClock
from tests.databases import (
    BUDGET,
    HARD,
    NOW,
    PERIOD,
    SOFT,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    crossed,
    facts_of,
    limit_incident,
    limit_step,
    new_period_payload,
    reported,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
INCIDENT = "default/2026-11/hard/600"


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine)


def opened(store: AlertStore, level: LimitKind = LimitKind.HARD) -> int:
    """An alert whose message is in the channel."""
    store.record(reported([crossed(level)]), NOW)
    return sent(store).content.alert_id or 0


def crossed_is(kind: LimitKind, usd: Decimal) -> Identity:
    return Identity(AlertKind.LIMIT, BUDGET, PERIOD, Limit(kind, usd))


def sent(store: AlertStore) -> Notice:
    notice = store.notices.claim(NOW)
    assert notice is not None
    store.notices.finish(notice.id, NOW, Address("C1", "1.0") if notice.action == "post" else None)
    return notice


def waiting(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        query = select(notices.c.action).where(notices.c.status == "pending").order_by(notices.c.id)
        return list(connection.execute(query).scalars())


def audited(engine: Engine) -> list[tuple[str, str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id)).all()
    return [(row.actor, row.action, row.outcome, row.detail) for row in rows]


def life(engine: Engine, alert_id: int) -> Life:
    with engine.connect() as connection:
        row = connection.execute(select(alerts).where(alerts.c.id == alert_id)).one()
    return Life(row.acknowledged_by, row.acknowledged_at, row.snoozed_by, row.snoozed_until, row.escalated_at)


def test_an_acknowledgement_is_kept_audited_edited_in_and_replied(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    known = Life("U1", NOW + MINUTE)
    assert store.life.acknowledge(alert_id, "U1", NOW + MINUTE) == Handled("done", known)
    assert life(engine, alert_id) == known
    assert audited(engine) == [("U1", "alert acknowledged", "done", INCIDENT)]
    edit, reply = sent(store), sent(store)
    assert (edit.action, edit.content.payload, edit.content.life) == (
        "update",
        facts_of()(crossed(LimitKind.HARD)),
        known,
    )
    assert reply.action == "reply"
    assert isinstance(reply.content.payload, LifecycleEvent)
    assert (reply.content.payload.step, reply.content.payload.by, reply.content.payload.at) == (
        LifecycleStep.ACKNOWLEDGED,
        "U1",
        NOW + MINUTE,
    )
    assert reply.content.payload.about == edit.content.payload


def test_a_failure_on_the_way_leaves_nothing_of_it(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    with pytest.raises(Exception, match="audit"):
        store.life.acknowledge(alert_id, "U1", NOW)
    assert life(engine, alert_id) == Life()
    assert waiting(engine) == []


def test_the_second_who_acknowledges_hears_who_was_first(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    store.life.acknowledge(alert_id, "U1", NOW)
    assert store.life.acknowledge(alert_id, "U2", NOW + MINUTE) == Handled("already", Life("U1", NOW))
    assert waiting(engine) == ["update", "reply"]
    assert len(audited(engine)) == 1


def test_of_two_who_acknowledge_at_once_one_is_first(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    start, found = threading.Barrier(2), []

    def click(user: str) -> None:
        start.wait()
        found.append(AlertStore(engine).life.acknowledge(alert_id, user, NOW))

    people = [threading.Thread(target=click, args=(user,)) for user in ("U1", "U2")]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join()
    assert sorted(handled.outcome for handled in found) == ["already", "done"]
    assert len({handled.life.acknowledged_by for handled in found}) == 1
    assert waiting(engine) == ["update", "reply"]


@pytest.mark.parametrize(
    "over", [SOFT_RESOLVED, limit_step(LimitKind.SOFT, SOFT, Status.CLOSED, LimitReason.PERIOD_CLOSED)]
)
def test_what_is_over_can_be_neither_acknowledged_nor_snoozed(
    store: AlertStore, engine: Engine, over: LimitStep
) -> None:
    alert_id = opened(store, LimitKind.SOFT)
    store.record(reported([over]), NOW)
    assert store.life.acknowledge(alert_id, "U1", NOW).outcome == "over"
    assert store.life.snooze(alert_id, "U1", NOW + HOUR, NOW).outcome == "over"
    assert life(engine, alert_id) == Life()
    assert audited(engine) == []


def test_an_alert_that_is_not_there_is_unknown(store: AlertStore) -> None:
    assert store.life.acknowledge(7, "U1", NOW) == Handled("unknown")


def test_an_alert_that_this_version_cannot_read_is_unknown_and_holds_up_no_other(
    store: AlertStore, engine: Engine
) -> None:
    unreadable = opened(store)
    with engine.begin() as connection:
        connection.execute(update(notices).values(facts={"kind": "from the future"}))
    readable = opened(store, LimitKind.SOFT)
    assert store.life.acknowledge(unreadable, "U1", NOW) == Handled("unknown")
    rules = AlertRules(escalate_levels=frozenset({LimitKind.SOFT, LimitKind.HARD}))
    LifecycleTimer(store.life, rules, HandClock(NOW + HOUR)).look()
    assert life(engine, unreadable) == Life()
    assert life(engine, readable) == Life(escalated_at=NOW + HOUR)


def test_an_alert_that_opens_again_is_nobodys_yet(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store, LimitKind.SOFT)
    store.life.acknowledge(alert_id, "U1", NOW)
    store.life.snooze(alert_id, "U1", NOW + HOUR, NOW)
    store.record(reported([SOFT_RESOLVED]), NOW)
    assert life(engine, alert_id) == Life("U1", NOW, "U1", NOW + HOUR)
    store.record(reported([SOFT_AGAIN]), NOW)
    assert life(engine, alert_id) == Life()


def test_an_alert_that_a_second_copy_opens_too_stays_whose_it_is(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    store.life.acknowledge(alert_id, "U1", NOW)
    store.record(reported([crossed(LimitKind.HARD)]), NOW)
    assert life(engine, alert_id) == Life("U1", NOW)


def test_a_snooze_ends_with_a_word_to_the_channel_and_the_alert_is_nobodys_again(
    store: AlertStore, engine: Engine
) -> None:
    alert_id = opened(store)
    store.life.acknowledge(alert_id, "U1", NOW)
    assert store.life.snooze(alert_id, "U2", NOW + HOUR, NOW) == Handled("done", Life("U1", NOW, "U2", NOW + HOUR))
    assert store.life.advance(alert_id, LifecycleStep.SNOOZE_OVER, NOW + 59 * MINUTE).outcome == "already"
    assert store.life.advance(alert_id, LifecycleStep.SNOOZE_OVER, NOW + HOUR).outcome == "done"
    assert life(engine, alert_id) == Life(escalated_at=NOW + HOUR)
    assert store.life.advance(alert_id, LifecycleStep.SNOOZE_OVER, NOW + 2 * HOUR).outcome == "already"
    assert waiting(engine) == ["reply", "reply", "update", "broadcast"]
    assert audited(engine)[-1] == ("claude-cost", "alert snooze over", "done", INCIDENT)


def test_whoever_acknowledges_a_snoozed_alert_ends_the_snooze(store: AlertStore, engine: Engine) -> None:
    alert_id = opened(store)
    store.life.acknowledge(alert_id, "U1", NOW)
    store.life.snooze(alert_id, "U1", NOW + HOUR, NOW)
    assert store.life.acknowledge(alert_id, "U2", NOW + MINUTE).outcome == "done"
    assert life(engine, alert_id) == Life("U2", NOW + MINUTE)


@pytest.mark.parametrize("deed", ["acknowledged", "snoozed"])
def test_a_click_between_the_look_and_the_step_comes_before_the_step(
    store: AlertStore, engine: Engine, deed: str
) -> None:
    alert_id = opened(store)
    if deed == "acknowledged":
        store.life.acknowledge(alert_id, "U1", NOW)
    else:
        store.life.snooze(alert_id, "U1", NOW + HOUR, NOW)
    assert store.life.advance(alert_id, LifecycleStep.ESCALATED, NOW + 30 * MINUTE).outcome == "already"
    assert life(engine, alert_id).escalated_at is None


def test_two_copies_that_advance_at_once_escalate_once(store: AlertStore, engine: Engine) -> None:
    opened(store)
    start = threading.Barrier(4)

    def copy() -> None:
        start.wait()
        LifecycleTimer(AlertStore(engine).life, AlertRules(), HandClock(NOW + 30 * MINUTE)).look()

    copies = [threading.Thread(target=copy) for _ in range(4)]
    for thread in copies:
        thread.start()
    for thread in copies:
        thread.join()
    assert waiting(engine) == ["update", "broadcast"]


def test_time_runs_from_the_moment_at_which_people_could_see_it(store: AlertStore, engine: Engine) -> None:
    store.record(reported([crossed(LimitKind.HARD)]), NOW - HOUR)
    assert store.life.seen() == [], "nobody can acknowledge what has not arrived"
    alert_id = sent(store).content.alert_id or 0
    assert store.life.seen() == [SeenAlert(alert_id, LimitKind.HARD, NOW, Life())]
    LifecycleTimer(store.life, AlertRules(), HandClock(NOW + 30 * MINUTE)).look()
    edit, notified = sent(store), sent(store)
    assert (edit.action, notified.action) == ("update", "broadcast")
    assert isinstance(notified.content.payload, LifecycleEvent)
    assert notified.content.payload.at - notified.content.payload.since == 30 * MINUTE


def test_that_a_period_has_begun_is_nobodys_to_acknowledge(store: AlertStore, engine: Engine) -> None:
    store.record([Transition(new_period_payload(Status.OPEN), post=True)], NOW)
    sent(store)
    rules = AlertRules(escalate_levels=frozenset(LEVELS))
    LifecycleTimer(store.life, rules, HandClock(NOW + HOUR)).look()
    assert waiting(engine) == []


def test_what_stands_open_is_known_with_its_owner_posted_or_not(store: AlertStore) -> None:
    store.record(reported([crossed(LimitKind.SOFT)]), NOW - HOUR)
    sent(store)
    alert_id = opened(store)
    store.record(
        reported(
            [limit_step(LimitKind.SOFT, SOFT, Status.RESOLVED, LimitReason.FELL_BELOW)],
            budget="search",
            period=PERIOD,
        ),
        NOW,
    )
    store.record([Transition(new_period_payload(Status.OPEN, key="2026-12"))], NOW)
    store.life.acknowledge(alert_id, "U1", NOW)
    assert store.life.open_alerts() == [
        OpenAlert(crossed_is(LimitKind.SOFT, SOFT), None, NOW - HOUR, Life(), Address("C1", "1.0")),
        OpenAlert(crossed_is(LimitKind.HARD, HARD), None, NOW, Life("U1", NOW), Address("C1", "1.0")),
    ]
    assert limit_incident(LimitKind.SOFT, SOFT, Status.OPEN) in store.incidents(BUDGET, PERIOD)
