"""The one look of a delivery, and the one read of a cycle: they miss nothing that the parts would find themselves."""

from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import Engine, update

from bot.alerts.cycle_state import CycleStateStore, Due, DueStore
from bot.alerts.decide import LimitReason
from bot.alerts.incident import DATA, AlertKind, Status
from bot.alerts.lifecycle import due_step
from bot.alerts.model import SyntheticAlert, Transition
from bot.alerts.notice_contents import ContentStore
from bot.alerts.rules import AlertRules
from bot.alerts.store import AlertStore, IncidentStore
from bot.budgets.budget import LimitKind
from bot.db.schema import alerts, notices
from bot.fallback.store import ModeStore
from bot.modes.changes import AutoSwitch
from bot.notify.model import Address
from bot.usage.model import DataState
from bot.usage.store import UsageStore
from tests.databases import HARD, NOW, crossed, delivery_payload, limit_step, mode_facts, no_data_payload, reported

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOTHING = Due(slack=False, destinations=False, life=False, reports=False)
RULES = AlertRules(escalate_after=30 * MINUTE)


def due_store(engine: Engine, store: AlertStore, rules: AlertRules = RULES) -> DueStore:
    return DueStore(engine, store.destinations.names, rules)


def deliver_all(store: AlertStore) -> None:
    while (notice := store.notices.claim(NOW)) is not None:
        store.notices.finish(notice.id, NOW, Address("C1", "1.0"))


def test_what_waits_is_due_until_it_is_delivered(engine: Engine) -> None:
    store = AlertStore(engine, {"mail": frozenset({LimitKind.HARD})})
    due = due_store(engine, store)
    assert due.look(NOW) == NOTHING
    store.record(reported([crossed(LimitKind.HARD)]), NOW)
    assert due.look(NOW) == Due(slack=True, destinations=True, life=False, reports=False)
    deliver_all(store)
    assert due.look(NOW) == Due(slack=False, destinations=True, life=False, reports=False)
    mail = ContentStore(engine, "mail")
    notice = mail.claim(NOW)
    assert notice is not None
    mail.finish(notice.id, NOW, None)
    assert due.look(NOW) == NOTHING


def test_a_notice_whose_outcome_is_unknown_is_due(engine: Engine) -> None:
    store = AlertStore(engine)
    store.enqueue_test(SyntheticAlert(by="U1", requested_at=NOW))
    assert store.notices.claim(NOW) is not None
    assert due_store(engine, store).look(NOW).slack


def test_letters_for_a_destination_that_is_gone_are_not_due(engine: Engine) -> None:
    before = AlertStore(engine, {"mail": frozenset({LimitKind.HARD})})
    before.record(reported([crossed(LimitKind.HARD)]), NOW)
    deliver_all(before)
    assert due_store(engine, AlertStore(engine)).look(NOW) == NOTHING


def test_an_open_report_about_a_destination_is_looked_at(engine: Engine) -> None:
    store = AlertStore(engine, {"mail": frozenset()})
    store.record([Transition(delivery_payload())], NOW)
    assert due_store(engine, store).look(NOW).watch
    assert due_store(engine, store).look(NOW).reports


@pytest.mark.parametrize("level", [LimitKind.SOFT, LimitKind.HARD])
def test_no_step_that_time_brings_is_missed_whatever_was_done_to_the_clock(engine: Engine, level: LimitKind) -> None:
    store = AlertStore(engine)
    store.record(reported([crossed(level)]), NOW)
    deliver_all(store)
    moments = (None, NOW - 31 * MINUTE, NOW, NOW + 2 * DAY)
    found, looks = 0, {rules: due_store(engine, store, rules) for rules in (RULES, AlertRules(escalate_after=None))}
    for changed_at, snoozed_until, answered_at in product(moments[1:], moments, (None, NOW - HOUR)):
        with engine.begin() as connection:
            connection.execute(
                update(alerts).values(
                    changed_at=changed_at, snoozed_until=snoozed_until, acknowledged_at=answered_at, escalated_at=None
                )
            )
            connection.execute(update(notices).values(sent_at=changed_at))
        (living,) = store.life.seen()
        for rules, look in looks.items():
            if due_step(living, rules, NOW) is not None:
                found += 1
                assert look.look(NOW).life, (changed_at, snoozed_until, answered_at)
    assert found


def test_a_resolved_alert_is_never_due(engine: Engine) -> None:
    store = AlertStore(engine)
    store.record(reported([crossed(LimitKind.HARD)]), NOW)
    resolved = limit_step(LimitKind.HARD, HARD, Status.RESOLVED, LimitReason.FELL_BELOW)
    assert due_store(engine, store).look(NOW + HOUR).life
    store.record(reported([resolved]), NOW)
    assert not due_store(engine, store).look(NOW + HOUR).life


def test_the_state_of_a_cycle_is_what_its_parts_say(engine: Engine) -> None:
    states, usage, modes, incidents = (
        CycleStateStore(engine),
        UsageStore(engine),
        ModeStore(engine),
        IncidentStore(engine),
    )
    empty = states.read()
    assert (empty.data, empty.change, empty.auto, empty.proposals, empty.no_data) == (
        DataState(),
        None,
        None,
        False,
        None,
    )
    usage.save_state(DataState(as_of=NOW, source="admin", polled_at=NOW))
    modes.set_auto(AutoSwitch(True, "U1", NOW))
    for mode, previous in (("degraded", "normal"), ("minimal", "degraded")):
        modes.change({"CLAUDE_MODEL": mode}, mode_facts(mode, previous))
    AlertStore(engine).record([Transition(no_data_payload(began_at=NOW - HOUR))], NOW)
    assert states.latest() == empty
    state = states.read()
    assert (state.data, state.change, state.auto) == (usage.data_state(), modes.current(), modes.auto())
    assert state.change is not None
    assert state.change.variables == {"CLAUDE_MODEL": "minimal"}
    assert state.no_data == incidents.newest(DATA, AlertKind.NO_DATA)
    assert state.no_data is not None
    assert not state.proposals
    assert states.latest() is state
