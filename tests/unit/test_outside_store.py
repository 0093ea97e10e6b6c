"""What further destinations are told: once when a limit is crossed, once when it is resolved, nothing twice."""

import pytest
from sqlalchemy import Engine

from bot.alerts.incident_facts import IncidentFacts
from bot.budgets.budget import Level
from bot.budgets.decide import Step
from bot.store.alerts import AlertStore
from tests.databases import (
    BUDGET,
    NOW,
    PERIOD,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    SOFT_SUPERSEDED,
    SOFT_WITHDRAWN,
    crossed,
    facts_of,
)

WANTED = {"mail": frozenset({Level.SOFT, Level.HARD}), "pager": frozenset({Level.HARD})}


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine, WANTED)


def record(store: AlertStore, *steps: Step) -> None:
    store.record(BUDGET, PERIOD, steps, facts_of(), NOW)


def told(store: AlertStore, name: str) -> list[str]:
    facts = [notice.facts for notice in store.outside.pending(name)]
    return [f"{fact.level} {fact.status}" if isinstance(fact, IncidentFacts) else "test" for fact in facts]


def test_every_destination_is_told_the_levels_that_it_wants(store: AlertStore) -> None:
    record(store, crossed(Level.SOFT))
    record(store, crossed(Level.HARD), SOFT_SUPERSEDED)
    assert told(store, "mail") == ["soft open", "hard open"]
    assert told(store, "pager") == ["hard open"]


def test_a_limit_that_goes_to_and_fro_is_told_once_each_way(store: AlertStore) -> None:
    record(store, crossed(Level.SOFT))
    for _ in range(3):
        record(store, SOFT_RESOLVED)
        record(store, SOFT_AGAIN)
    assert told(store, "mail") == ["soft open", "soft resolved"]


def test_two_copies_that_see_the_same_crossing_tell_it_once(store: AlertStore, engine: Engine) -> None:
    record(store, crossed(Level.SOFT))
    record(AlertStore(engine, WANTED), crossed(Level.SOFT))
    assert told(store, "mail") == ["soft open"]


def test_who_was_not_told_that_it_opened_is_not_told_that_it_is_resolved(store: AlertStore, engine: Engine) -> None:
    record(AlertStore(engine), crossed(Level.SOFT))
    record(store, SOFT_RESOLVED)
    assert told(store, "mail") == []


def test_a_limit_that_was_lifted_is_slacks_to_show(store: AlertStore) -> None:
    record(store, crossed(Level.SOFT))
    record(store, SOFT_WITHDRAWN)
    assert told(store, "mail") == ["soft open"]


def test_what_a_destination_has_taken_waits_no_more(store: AlertStore) -> None:
    record(store, crossed(Level.HARD))
    (notice,) = store.outside.pending("pager")
    assert store.outside.start_attempt(notice, NOW)
    assert not store.outside.start_attempt(notice, NOW)
    store.outside.finish(notice.id, NOW)
    assert store.outside.undelivered() == {"mail": 1}
    assert store.outside.waiting() == []


def test_a_failure_is_kept_with_those_who_were_reached(store: AlertStore) -> None:
    record(store, crossed(Level.SOFT))
    (notice,) = store.outside.pending("mail")
    store.outside.keep(notice.id, "it does not take the message", {"a1"})
    assert store.outside.pending("mail")[0].reached == {"a1"}
    (waiting,) = store.outside.waiting()
    assert (waiting.destination, waiting.count, waiting.since) == ("mail", 1, NOW)
    assert waiting.error == "it does not take the message"


def test_what_waits_for_a_destination_that_is_gone_is_stranded_and_blocks_nothing(
    store: AlertStore, engine: Engine
) -> None:
    record(store, crossed(Level.HARD))
    later = AlertStore(engine, {"mail": WANTED["mail"]})
    assert later.outside.stranded() == {"pager": 1}
    assert later.outside.undelivered() == {"mail": 1}


def test_only_the_latest_attempt_settles_a_letter(store: AlertStore) -> None:
    record(store, crossed(Level.HARD))
    (notice,) = store.outside.pending("pager")
    assert store.outside.start_attempt(notice, NOW)
    (under_way,) = store.outside.pending("pager")
    assert under_way.attempted_at == NOW
    assert store.outside.start_attempt(under_way, NOW)
    assert not store.outside.keep(notice.id, "it does not take the message", frozenset(), attempts=1)
    assert not store.outside.finish(notice.id, NOW, attempts=1)
    assert store.outside.keep(notice.id, "it does not take the message", frozenset(), attempts=2)
    assert [waiting.attempted_at for waiting in store.outside.pending("pager")] == [None]
    assert store.outside.finish(notice.id, NOW, attempts=2)
