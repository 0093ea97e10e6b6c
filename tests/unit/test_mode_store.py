"""The fallback mode in the store: who, why, when; announced in the same transaction; one change at a time."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import TypeAdapter
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.store import AlertStore
from bot.db.schema import audit, mode_changes, notices
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.base import TargetState
from bot.modes.changes import NO_CHANGE, AutoSwitch
from bot.modes.model import ModeAnnouncement, ModeEnding
from tests.databases import NOW, mode_facts

VARIABLES = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5", "A_LAST": "1"}
LATER = NOW + timedelta(minutes=1)
LATE = replace(mode_facts(), written=True)


@pytest.fixture
def store(engine: Engine) -> ModeStore:
    return ModeStore(engine)


def announcements(engine: Engine) -> list[ModeAnnouncement]:
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.facts).order_by(notices.c.id)).scalars().all()
    return [TypeAdapter(ModeAnnouncement).validate_python(row) for row in rows]


def test_before_the_first_change_there_is_none(store: ModeStore) -> None:
    assert store.current() is None


def test_a_change_keeps_who_why_when_and_the_variables_in_order(store: ModeStore, engine: Engine) -> None:
    change_id = store.change(VARIABLES, mode_facts())
    current = store.current()
    assert current is not None
    assert (current.id, current.mode, current.changed_by, current.reason, current.changed_at) == (
        change_id,
        "degraded",
        "U1",
        "too dear",
        NOW,
    )
    assert list(current.variables.items()) == list(VARIABLES.items())
    assert (current.written_at, current.write_error) == (None, None)
    with engine.connect() as connection:
        entry = connection.execute(select(audit)).one()
    assert (entry.at, entry.actor, entry.action, entry.outcome) == (NOW, "U1", "mode", "done")
    assert entry.detail == "normal -> degraded: too dear"


def test_a_change_and_its_announcement_are_one(store: ModeStore, engine: Engine) -> None:
    change_id = store.change(VARIABLES, mode_facts())
    notice = AlertStore(engine).notices.claim(NOW)
    assert notice is not None
    assert (notice.action, notice.content.payload) == ("post", mode_facts())
    with engine.connect() as connection:
        assert connection.execute(select(notices.c.mode_change_id)).scalar_one() == change_id


def test_a_change_that_cannot_be_announced_is_not_made(store: ModeStore, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notices RENAME TO gone")
    with pytest.raises(SQLAlchemyError):
        store.change(VARIABLES, mode_facts())
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO notices")
    with engine.connect() as connection:
        for table in (mode_changes, notices, audit):
            assert connection.execute(select(table)).all() == []


def test_a_change_from_a_mode_that_is_not_in_force_any_more_is_not_made(store: ModeStore, engine: Engine) -> None:
    assert store.change(VARIABLES, mode_facts("degraded")) is not None
    assert store.change({}, mode_facts("minimal", previous="normal")) is None
    assert store.change({}, mode_facts("minimal", previous="degraded")) is not None
    assert [(facts.previous, facts.mode) for facts in announcements(engine)] == [
        ("normal", "degraded"),
        ("degraded", "minimal"),
    ]


def test_of_several_copies_that_change_the_mode_at_once_one_does(engine: Engine) -> None:
    start = threading.Barrier(4)
    made: list[int | None] = []

    def copy(mode: str) -> None:
        start.wait()
        made.append(ModeStore(engine).change({}, mode_facts(mode)))

    copies = [threading.Thread(target=copy, args=(mode,)) for mode in ("degraded", "minimal", "degraded", "minimal")]
    for thread in copies:
        thread.start()
    for thread in copies:
        thread.join()
    assert len([change for change in made if change is not None]) == 1
    assert len(announcements(engine)) == 1


def test_a_write_error_is_kept_until_the_target_holds_the_mode(store: ModeStore) -> None:
    change_id = store.change(VARIABLES, mode_facts())
    assert change_id is not None
    store.not_written(change_id, "no right to write")
    current = store.current()
    assert current is not None
    assert (current.written_at, current.write_error) == (None, "no right to write")
    store.written(change_id, LATER)
    current = store.current()
    assert current is not None
    assert (current.written_at, current.write_error) == (LATER, None)


def test_that_the_target_follows_late_is_announced_once(store: ModeStore, engine: Engine) -> None:
    change_id = store.change(VARIABLES, mode_facts())
    assert change_id is not None
    store.not_written(change_id, "no right to write")
    store.written(change_id, LATER, LATE)
    store.written(change_id, LATER, LATE)
    assert announcements(engine) == [mode_facts(), LATE]


def test_who_was_refused_is_kept(store: ModeStore, engine: Engine) -> None:
    store.refused(NOW, "U2", "mode", "minimal: not an admin")
    with engine.connect() as connection:
        entry = connection.execute(select(audit)).one()
    assert (entry.at, entry.actor, entry.action, entry.outcome, entry.detail) == (
        NOW,
        "U2",
        "mode",
        "refused",
        "minimal: not an admin",
    )
    assert store.current() is None


def test_a_change_that_has_to_follow_another_is_not_made_after_a_third(store: ModeStore) -> None:
    first = store.change(VARIABLES, mode_facts())
    store.change({}, mode_facts("normal", "degraded"))
    store.change(VARIABLES, mode_facts())
    assert store.change({}, mode_facts("normal", "degraded"), after=first) is None
    newest = store.current()
    assert newest is not None
    assert store.change({}, mode_facts("normal", "degraded"), after=newest.id) is not None


def test_the_end_of_a_mode_is_announced_once_below_its_announcement(store: ModeStore, engine: Engine) -> None:
    change_id = store.change(VARIABLES, replace(mode_facts(), until=LATER))
    assert change_id is not None
    warning = ModeEnding(mode="degraded", ends_at=LATER, because="its time is over then")
    for _ in range(3):
        store.warn(change_id, warning, NOW)
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.action, notices.c.mode_change_id).order_by(notices.c.id)).all()
    assert [tuple(row) for row in rows] == [("post", change_id), ("broadcast", change_id)]
    current = store.current()
    assert current is not None
    assert (current.until, current.warned_at) == (LATER, NOW)


def test_history_lists_changes_and_refusals_with_the_newest_first(store: ModeStore) -> None:
    store.change(VARIABLES, mode_facts())
    store.refused(NOW, "U9", "mode", "minimal: not an admin")
    store.refused(NOW, "U9", "test-alert", "not an admin")
    store.set_auto(AutoSwitch(True, "U1", LATER))
    assert [(entry.actor, entry.action, entry.outcome, entry.detail) for entry in store.history(10)] == [
        ("U1", "auto", "done", "on"),
        ("U9", "mode", "refused", "minimal: not an admin"),
        ("U1", "mode", "done", "normal -> degraded: too dear"),
    ]
    assert len(store.history(1)) == 1


def test_what_was_said_last_about_stepping_down_holds(store: ModeStore) -> None:
    assert store.auto() is None
    for said in (AutoSwitch(True, "U1", NOW), AutoSwitch(False, "U2", LATER)):
        store.set_auto(said)
        assert store.auto() == said


def test_two_copies_with_targets_of_their_own_keep_them_apart(engine: Engine) -> None:
    targets = TargetStore(engine)
    one = TargetState("/srv/a.env", None, {"A": "1"}, NOW)
    other = TargetState("/srv/b.env", None, None, None, "No space is left.")
    for state in (one, other, replace(one, repaired_at=LATER)):
        targets.save(state)
    assert targets.all() == {"/srv/a.env": replace(one, repaired_at=LATER), "/srv/b.env": other}


def test_a_change_that_has_to_be_the_first_is_none_where_somebody_was_quicker(store: ModeStore) -> None:
    assert store.change(VARIABLES, mode_facts(), NO_CHANGE) is not None
    assert store.change(VARIABLES, mode_facts("minimal", "degraded"), NO_CHANGE) is None
