"""Incidents and the outbox: a decision and its notice are one, and a limit is reported once."""

import logging
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select
from sqlalchemy import event as events

from bot.alerts.decide import LimitReason, LimitStep
from bot.alerts.incident import Status, Step
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import alerts, notices
from bot.fallback.store import ModeStore
from bot.notify.claims import AskedToWaitError, Claims
from bot.notify.model import Address, Notice, NoticeStatus
from tests.databases import (
    BUDGET,
    HARD,
    NOW,
    PERIOD,
    SOFT,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    SOFT_SUPERSEDED,
    SOFT_WITHDRAWN,
    crossed,
    facts_of,
    limit_incident,
    limit_step,
    mode_facts,
    reported,
    spend_facts,
)

SECOND = timedelta(seconds=1)


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine)


def record(store: AlertStore, *steps: LimitStep) -> None:
    store.record(reported(steps), NOW)


def claimed(store: AlertStore) -> Notice:
    """The oldest notice, as of a copy that takes over from one that is dead."""
    notice = store.notices.claim(NOW)
    assert notice is not None
    return notice


def send(store: AlertStore, ts: str | None = None) -> Notice:
    """Deliver the oldest notice."""
    notice = claimed(store)
    store.notices.finish(notice.id, NOW, None if ts is None else Address("C1", ts))
    return notice


def notified(engine: Engine) -> list[tuple[str, str]]:
    """Action and status of every notice, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.action, notices.c.status).order_by(notices.c.id)).all()
    return [(row.action, row.status) for row in rows]


def test_an_incident_and_its_notice_are_recorded_together(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    assert store.incidents(BUDGET, PERIOD) == [limit_incident(LimitKind.SOFT, SOFT, Status.OPEN)]
    notice = claimed(store)
    assert notice.action == "post"
    assert notice.content.payload == facts_of()(crossed(LimitKind.SOFT))
    assert (notice.attempts, notice.outcome_unknown, notice.created_at) == (0, False, NOW)


def test_a_failure_between_the_incident_and_its_notice_leaves_neither(store: AlertStore, engine: Engine) -> None:
    inserted: list[str] = []

    def fails(*call: Any) -> None:
        if call[2].startswith("INSERT INTO notices"):
            inserted.append(call[2])
            if len(inserted) == 2:
                raise RuntimeError("the machine stops here")

    events.listen(engine, "before_cursor_execute", fails)
    with pytest.raises(RuntimeError):
        record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED, crossed(LimitKind.SOFT))
    assert store.incidents(BUDGET, PERIOD) == []
    assert notified(engine) == []


def test_the_same_limit_is_posted_once_however_often_it_is_recorded(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.SOFT))
    assert [action for action, _ in notified(engine)].count("post") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [crossed(LimitKind.SOFT), crossed(LimitKind.HARD), SOFT_SUPERSEDED, SOFT_RESOLVED, SOFT_AGAIN]
            ),
            st.just("send"),
            st.just("fail"),
        ),
        max_size=12,
    )
)
def test_whatever_happens_no_limit_is_posted_twice(engine: Engine, course: list[LimitStep | str]) -> None:
    with engine.begin() as connection:
        connection.execute(delete(notices))
        connection.execute(delete(alerts))
    store = AlertStore(engine)
    for event in course:
        if isinstance(event, Step):
            record(store, event)
        elif (notice := store.notices.claim(NOW)) is None:
            continue
        elif event == "send":
            store.notices.finish(notice.id, NOW, Address("C1", "1.0"))
        else:
            store.notices.retry(notice.id, NOW, "Slack cannot be reached.", outcome_unknown=True)
    with engine.connect() as connection:
        posted = connection.execute(select(notices.c.alert_id).where(notices.c.action == "post")).scalars().all()
    assert len(posted) == len(set(posted))


@pytest.mark.parametrize("written", ["400.00", "4E+2", "400"])
def test_a_limit_written_differently_is_the_same_limit(store: AlertStore, engine: Engine, written: str) -> None:
    record(store, crossed(LimitKind.SOFT, Decimal("400")))
    record(store, crossed(LimitKind.SOFT, Decimal(written)))
    assert store.incidents(BUDGET, PERIOD) == [limit_incident(LimitKind.SOFT, SOFT, Status.OPEN)]
    assert [action for action, _ in notified(engine)].count("post") == 1


def test_another_limit_and_another_period_are_other_incidents(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.SOFT, Decimal("400.01")))
    store.record(reported([crossed(LimitKind.SOFT)], budget=BUDGET, period="2026-12"), NOW)
    assert [action for action, _ in notified(engine)] == ["post", "post", "post"]
    assert len(store.incidents(BUDGET, PERIOD)) == 2


def test_two_copies_that_see_the_same_crossing_at_once_post_it_once(engine: Engine) -> None:
    start = threading.Barrier(4)

    def copy() -> None:
        start.wait()
        record(AlertStore(engine), crossed(LimitKind.HARD))

    copies = [threading.Thread(target=copy) for _ in range(4)]
    for thread in copies:
        thread.start()
    for thread in copies:
        thread.join()
    assert [action for action, _ in notified(engine)].count("post") == 1
    assert AlertStore(engine).incidents(BUDGET, PERIOD) == [limit_incident(LimitKind.HARD, HARD, Status.OPEN)]


def test_notices_come_in_the_order_in_which_they_were_recorded(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    order = [send(store, f"{number}.0") for number in range(4)]
    assert [(notice.action, notice.content.payload.level) for notice in order] == [
        ("post", LimitKind.SOFT),
        ("post", LimitKind.HARD),
        ("update", LimitKind.SOFT),
        ("reply", LimitKind.SOFT),
    ]
    assert store.notices.claim(NOW) is None


def test_nothing_overtakes_a_notice_that_waits(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    first, claims = claimed(store), Claims()
    record(store, crossed(LimitKind.HARD))
    store.notices.retry(first.id, NOW + SECOND, "Slack asks to wait.", outcome_unknown=False)
    with pytest.raises(AskedToWaitError) as asked:
        store.notices.claim(NOW, claims=claims)
    assert timedelta(0) < asked.value.left <= SECOND
    waiting = store.notices.claim(NOW + SECOND, claims=claims)
    assert waiting is not None
    assert waiting.id == first.id
    assert (store.notices.undelivered(), store.notices.last_error()) == (2, "Slack asks to wait.")


def test_an_update_knows_the_message_to_edit_and_the_one_to_link_to(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    hard = send(store, "2.0")
    assert (hard.address, hard.content.related) == (None, Address("C1", "1.0"))
    superseded = claimed(store)
    assert (superseded.address, superseded.content.related) == (Address("C1", "1.0"), Address("C1", "2.0"))


def test_a_message_never_links_to_the_one_of_a_limit_that_was_edited_since(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, SOFT_WITHDRAWN)
    send(store)
    send(store)
    raised = spend_facts(soft_usd=Decimal(500))
    store.record(reported([crossed(LimitKind.HARD)], spend=raised), NOW)
    assert claimed(store).content.related is None


def test_a_withdrawn_limit_edits_its_message_and_can_come_back_to_it(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, SOFT_WITHDRAWN)
    assert store.incidents(BUDGET, PERIOD) == [limit_incident(LimitKind.SOFT, SOFT, Status.WITHDRAWN)]
    assert send(store).address == Address("C1", "1.0")
    assert send(store).action == "reply"
    record(store, limit_step(LimitKind.SOFT, SOFT, Status.OPEN, LimitReason.CROSSED_AGAIN))
    again = claimed(store)
    assert (again.action, again.address) == ("update", Address("C1", "1.0"))


def test_an_incident_that_was_not_posted_changes_silently(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    assert notified(engine) == [("post", "pending")]
    assert limit_incident(LimitKind.SOFT, SOFT, Status.SUPERSEDED) in store.incidents(BUDGET, PERIOD)


def test_an_edit_that_waits_gives_way_to_a_newer_one(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(store, SOFT_RESOLVED)
    record(store, SOFT_AGAIN)
    assert notified(engine) == [
        ("post", "pending"),
        ("update", "obsolete"),
        ("reply", "pending"),
        ("update", "pending"),
        ("reply", "pending"),
    ]


def test_an_edit_that_is_under_way_is_never_taken_back(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, SOFT_RESOLVED)
    claimed(store)
    record(store, SOFT_AGAIN)
    assert notified(engine) == [
        ("post", "sent"),
        ("update", "sending"),
        ("reply", "pending"),
        ("update", "pending"),
        ("reply", "pending"),
    ]


def test_a_crash_between_sending_and_recording_leaves_a_notice_of_unknown_outcome(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    claimed(store)
    left = claimed(store)
    assert (left.outcome_unknown, left.attempts) == (True, 1)


def test_a_delivered_notice_carries_no_error_any_more(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    notice = claimed(store)
    store.notices.retry(notice.id, NOW, "Slack cannot be reached.", outcome_unknown=True)
    send(store, "1.0")
    assert (store.notices.undelivered(), store.notices.last_error()) == (0, None)
    with engine.connect() as connection:
        row = connection.execute(select(notices)).one()
    assert (row.status, row.attempts, row.sent_at, row.error) == (NoticeStatus.SENT, 2, NOW, None)


def test_an_answer_below_a_message_leaves_the_incidents_message_where_it_is(store: AlertStore) -> None:
    record(store, crossed(LimitKind.SOFT))
    send(store, "1.0")
    record(store, SOFT_RESOLVED)
    send(store, None)
    send(store, None)
    record(store, SOFT_AGAIN)
    assert claimed(store).address == Address("C1", "1.0")


def test_an_announcement_shows_how_far_the_target_has_followed_by_now(store: AlertStore, engine: Engine) -> None:
    modes = ModeStore(engine)
    change = modes.change({"CLAUDE_FALLBACK_MODE": "degraded"}, mode_facts())
    assert change is not None
    modes.not_written(change, "the file cannot be written")
    assert claimed(store).content.write_error == "the file cannot be written"
    modes.written(change, NOW + SECOND)
    announcement = claimed(store)
    assert (announcement.content.written_at, announcement.content.write_error) == (NOW + SECOND, None)
    assert announcement.content.payload == mode_facts()


def test_incidents_of_many_budgets_and_periods_are_read_at_once(engine: Engine, store: AlertStore) -> None:
    periods = ("2026-10", "2026-11", "2026-11-20")
    for number in range(20):
        for period in periods:
            both = [crossed(LimitKind.SOFT), crossed(LimitKind.HARD)]
            store.record(reported(both, budget=f"team-{number}", period=period), NOW)
    store.record(reported([SOFT_RESOLVED], budget="team-0", period="2026-11"), NOW)
    statements: list[str] = []
    events.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    found = store.incidents_in(["2026-11", "2026-11-20", "2026-12"])
    # One statement shows whether anything has changed since.
    assert len([each for each in statements if each != "BEGIN"]) == 2
    asked = [(f"team-{number}", period) for number in range(20) for period in periods[1:]]
    assert found == {key: store.incidents(*key) for key in asked}
    assert store.incidents_in([]) == {}


def test_the_log_has_one_line_with_the_reason_for_each_step(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    store = AlertStore(engine)
    caplog.set_level(logging.INFO)
    watched = limit_step(LimitKind.HARD, HARD, Status.WATCHED, LimitReason.IN_FORCE)
    store.record(reported([watched, crossed(LimitKind.SOFT)]), NOW)
    store.record(reported([SOFT_RESOLVED]), NOW)
    store.record(reported([SOFT_AGAIN]), NOW)
    assert [record.getMessage() for record in caplog.records if record.name == "bot.alerts.store"] == [
        "alert default/2026-11/soft/400: open, because: crossed",
        "alert default/2026-11/soft/400: resolved, because: fell back below the limit",
        "alert default/2026-11/soft/400: open again, because: crossed again",
    ]
