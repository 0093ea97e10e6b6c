"""Notices at further destinations: once when a limit is crossed, once when it is resolved, nothing twice."""

import pytest
from sqlalchemy import Engine, select

from bot.alerts.decide import LimitStep
from bot.alerts.model import AlertPayload
from bot.alerts.notice_contents import ContentStore, parsed
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import notices
from bot.notify.claims import AskedToWaitError
from bot.notify.model import LONGEST_WAIT, Notice
from bot.notify.store import NoticeStore
from tests.databases import (
    NOW,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    SOFT_SUPERSEDED,
    SOFT_WITHDRAWN,
    crossed,
    reported,
)

WANTED = {"mail": frozenset({LimitKind.SOFT, LimitKind.HARD}), "pager": frozenset({LimitKind.HARD})}


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine, WANTED)


@pytest.fixture
def pager(engine: Engine) -> ContentStore:
    return ContentStore(engine, "pager")


def claimed(store: NoticeStore) -> Notice:
    notice = store.claim(NOW)
    assert notice is not None
    return notice


def record(store: AlertStore, *steps: LimitStep) -> None:
    store.record(reported(steps), NOW)


def notices_of(engine: Engine, name: str) -> list[str]:
    query = select(notices.c.facts).where(notices.c.destination == name).order_by(notices.c.id)
    with engine.connect() as connection:
        facts = [parsed(stored) for stored in connection.execute(query).scalars()]
    return [f"{fact.level} {fact.status}" if isinstance(fact, AlertPayload) else "test" for fact in facts]


def test_every_destination_gets_the_levels_that_it_wants(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    assert notices_of(engine, "mail") == ["soft open", "hard open"]
    assert notices_of(engine, "pager") == ["hard open"]


def test_a_limit_that_goes_to_and_fro_is_reported_once_each_way(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    for _ in range(3):
        record(store, SOFT_RESOLVED)
        record(store, SOFT_AGAIN)
    assert notices_of(engine, "mail") == ["soft open", "soft resolved"]


def test_two_copies_that_see_the_same_crossing_report_it_once(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(AlertStore(engine, WANTED), crossed(LimitKind.SOFT))
    assert notices_of(engine, "mail") == ["soft open"]


def test_a_destination_without_the_opening_gets_no_resolution(store: AlertStore, engine: Engine) -> None:
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    record(store, SOFT_RESOLVED)
    assert notices_of(engine, "mail") == []


def test_a_limit_that_was_lifted_is_slacks_to_show(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(LimitKind.SOFT))
    record(store, SOFT_WITHDRAWN)
    assert notices_of(engine, "mail") == ["soft open"]


def test_what_a_destination_has_taken_waits_no_more(store: AlertStore, pager: ContentStore) -> None:
    record(store, crossed(LimitKind.HARD))
    notice = claimed(pager)
    pager.finish(notice.id, NOW, None)
    assert store.destinations.undelivered() == {"mail": 1}
    assert store.destinations.waiting() == []


def test_a_failure_is_kept_with_those_who_were_reached(store: AlertStore, engine: Engine) -> None:
    mail = ContentStore(engine, "mail")
    record(store, crossed(LimitKind.SOFT))
    mail.retry(claimed(mail).id, NOW, "it refuses the message", outcome_unknown=False, reached={"a1"})
    assert claimed(mail).reached == {"a1"}
    (waiting,) = store.destinations.waiting()
    assert (waiting.destination, waiting.count, waiting.since) == ("mail", 1, NOW)
    assert waiting.error == "it refuses the message"


def test_what_waits_for_a_destination_that_is_gone_is_stranded_and_blocks_nothing(
    store: AlertStore, engine: Engine
) -> None:
    record(store, crossed(LimitKind.HARD))
    later = AlertStore(engine, {"mail": WANTED["mail"]})
    assert later.destinations.stranded() == {"pager": 1}
    assert later.destinations.undelivered() == {"mail": 1}


def test_only_the_latest_attempt_settles_a_notice(store: AlertStore, pager: ContentStore) -> None:
    record(store, crossed(LimitKind.HARD))
    first = claimed(pager)
    second = claimed(pager)
    assert (second.id, second.attempted_at) == (first.id, NOW)
    assert not pager.retry(first.id, None, "it refuses the message", outcome_unknown=False, claim=first.claim)
    assert not pager.finish(first.id, NOW, None, claim=first.claim)
    assert not pager.put_back(first, "it cannot be rendered")
    assert not pager.claim_again(first, "mine")
    assert pager.retry(first.id, None, "it refuses the message", outcome_unknown=False, claim=second.claim)
    third = claimed(pager)
    assert not third.outcome_unknown
    assert pager.finish(first.id, NOW, None, claim=third.claim)


def test_each_destination_has_an_order_and_a_pace_of_its_own(store: AlertStore, pager: ContentStore) -> None:
    record(store, crossed(LimitKind.HARD))
    in_slack = claimed(store.notices)
    store.notices.retry(in_slack.id, NOW + LONGEST_WAIT, "Slack asks to wait.", outcome_unknown=False)
    with pytest.raises(AskedToWaitError):
        store.notices.claim(NOW)
    assert claimed(pager).action == "post"
    assert (store.notices.undelivered(), pager.undelivered()) == (1, 1)
    assert (store.notices.last_error(), pager.last_error()) == ("Slack asks to wait.", None)
