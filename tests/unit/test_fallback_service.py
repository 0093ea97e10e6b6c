"""Switching the fallback mode: recorded and announced first, then written, and repaired if anything fails in
between.
"""

import threading
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from sqlalchemy import Engine, event, select

from bot.alerts.store import AlertStore
from bot.budgets.savings import Saving
from bot.db.schema import audit, mode_changes, notices
from bot.fallback.reconciler import Reconciler
from bot.fallback.service import FallbackService, ModeState
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.base import Target, TargetView
from bot.fallback.targets.env_file import EnvFile
from bot.mode import Mode, modes_from_chain
from bot.modes.model import ModeAnnouncement
from bot.sandbox.clock import HandClock
from tests.databases import NOW

CHAIN = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
MODES = modes_from_chain(CHAIN, {})
NORMAL, DEGRADED, MINIMAL = MODES["normal"], MODES["degraded"], MODES["minimal"]
SAVING = Saving(mode="degraded", model="claude-sonnet-5-5", usd=Decimal("120.50"))
MINUTE = timedelta(minutes=1)


class CountingFile(EnvFile):
    """An env file that knows how often it was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writes = 0

    def write(self, variables: Mapping[str, str]) -> None:
        super().write(variables)
        self.writes += 1


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def target(tmp_path: Path) -> CountingFile:
    return CountingFile(tmp_path / "services.env")


@pytest.fixture
def store(engine: Engine) -> ModeStore:
    return ModeStore(engine)


@pytest.fixture
def service(engine: Engine, target: CountingFile, clock: HandClock) -> FallbackService:
    return service_on(engine, clock, target)


def service_on(
    engine: Engine, clock: HandClock, *targets: Target, modes: Mapping[str, Mode] = MODES
) -> FallbackService:
    """A copy of the bot with these targets."""
    return FallbackService(ModeStore(engine), Reconciler(TargetStore(engine), targets, clock), modes, clock)


def switch(service: FallbackService, mode: Mode, by: str = "U1") -> ModeState:
    return service.switch(mode, by, "too dear", (SAVING,), NOW)


def announcements(engine: Engine) -> list[ModeAnnouncement]:
    with engine.connect() as connection:
        rows = connection.execute(select(notices.c.facts).order_by(notices.c.id)).scalars().all()
    return [TypeAdapter(ModeAnnouncement).validate_python(row) for row in rows]


def test_a_switch_is_recorded_written_and_announced(
    service: FallbackService, target: CountingFile, engine: Engine
) -> None:
    state = switch(service, DEGRADED)
    written = TargetView(str(target.path), EnvFile.follows, NOW)
    assert state == ModeState(DEGRADED, NOW, "U1", "too dear", NOW, None, (written,))
    assert target.holds(DEGRADED.variables)
    assert announcements(engine) == [
        ModeAnnouncement(
            mode="degraded", previous="normal", by="U1", reason="too dear", changed_at=NOW, savings=(SAVING,), as_of=NOW
        )
    ]


def test_before_anybody_switched_the_mode_is_normal_since_ever(service: FallbackService, target: CountingFile) -> None:
    unknown = TargetView(str(target.path), EnvFile.follows)
    assert service.state() == ModeState(NORMAL, None, None, None, None, None, (unknown,))


def test_to_switch_to_the_mode_in_force_changes_nothing(
    service: FallbackService, target: CountingFile, engine: Engine, clock: HandClock
) -> None:
    switch(service, NORMAL)
    assert (target.writes, announcements(engine)) == (0, [])
    switch(service, DEGRADED)
    clock.advance(MINUTE)
    state = switch(service, DEGRADED, by="U2")
    assert (state.changed_at, state.changed_by) == (NOW, "U1")
    assert (target.writes, len(announcements(engine))) == (1, 1)


def test_back_to_normal_leaves_no_model_behind(service: FallbackService, target: CountingFile, engine: Engine) -> None:
    switch(service, DEGRADED)
    switch(service, NORMAL)
    assert "CLAUDE_MODEL" not in target.path.read_text()
    assert [(facts.previous, facts.mode) for facts in announcements(engine)] == [
        ("normal", "degraded"),
        ("degraded", "normal"),
    ]


def test_at_start_the_file_is_written_where_it_differs(service: FallbackService, target: CountingFile) -> None:
    service.reconcile()
    assert target.holds(NORMAL.variables)
    assert target.writes == 1


def test_at_start_a_file_that_holds_the_mode_is_not_touched(
    service: FallbackService, engine: Engine, target: CountingFile, clock: HandClock
) -> None:
    switch(service, DEGRADED)
    before = target.path.stat()
    again = service_on(engine, clock, target)
    again.reconcile()
    again.reconcile()
    after = target.path.stat()
    assert target.writes == 1
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_crash_between_the_record_and_the_file_is_healed_at_the_next_start(
    store: ModeStore, target: CountingFile, clock: HandClock, engine: Engine
) -> None:
    class Crash(BaseException):
        """The process ends here."""

    class Crashing(FallbackService):
        def reconcile(self, *, records: bool = True) -> None:
            raise Crash

    with pytest.raises(Crash):
        switch(Crashing(store, Reconciler(TargetStore(engine), [target], clock), MODES, clock), DEGRADED)
    assert not target.path.exists()
    clock.advance(MINUTE)
    service = service_on(engine, clock, target)
    service.reconcile()
    state = service.state()
    assert target.holds(DEGRADED.variables)
    assert (state.changed_at, state.written_at, state.write_error) == (NOW, NOW + MINUTE, None)
    assert len(announcements(engine)) == 1


def test_a_change_by_hand_within_the_block_is_put_right(service: FallbackService, target: CountingFile) -> None:
    switch(service, DEGRADED)
    target.path.write_text(target.path.read_text().replace("sonnet", "opus"))
    service.reconcile()
    assert target.holds(DEGRADED.variables)


def test_a_file_that_cannot_be_written_is_shown_tried_again_and_announced_when_it_follows(
    tmp_path: Path, clock: HandClock, engine: Engine
) -> None:
    target = EnvFile(tmp_path / "mounted" / "services.env")
    service = service_on(engine, clock, target)
    state = switch(service, DEGRADED)
    assert state.mode == DEGRADED
    assert state.written_at is None
    assert state.write_error is not None
    assert "CLAUDE_COST_FALLBACK_FILE" in state.write_error
    service.reconcile()
    announced = AlertStore(engine).notices.claim(NOW)
    assert announced is not None
    assert announced.content.write_error == state.write_error

    target.path.parent.mkdir()
    clock.advance(MINUTE)
    service.reconcile()
    service.reconcile()
    state = service.state()
    assert (state.written_at, state.write_error) == (NOW + MINUTE, None)
    assert target.holds(DEGRADED.variables)
    assert [(facts.mode, facts.written) for facts in announcements(engine)] == [("degraded", False), ("degraded", True)]


def test_a_write_error_before_the_first_switch_is_shown_too(engine: Engine, tmp_path: Path, clock: HandClock) -> None:
    path = tmp_path / "services.env"
    path.mkdir()
    service = service_on(engine, clock, EnvFile(path))
    service.reconcile()
    error = service.state().write_error
    assert error is not None
    assert "cannot be read" in error


def test_managed_names_that_other_lines_set_are_reported(service: FallbackService, target: CountingFile) -> None:
    target.path.write_text("CLAUDE_MODEL=claude-opus-5-5\n")
    (view,) = switch(service, DEGRADED).targets
    assert view.doubts == (
        "Careful: other lines of the file set CLAUDE_MODEL too, and services may read those instead.",
    )


def test_a_mode_that_has_left_the_configuration_keeps_its_variables(
    target: CountingFile, clock: HandClock, engine: Engine
) -> None:
    modes = modes_from_chain(CHAIN, {"night": {"CLAUDE_MODEL": "claude-haiku-5-5", "BATCH": "1"}})
    switch(service_on(engine, clock, target, modes=modes), modes["night"])
    service = service_on(engine, clock, target)
    service.reconcile()
    assert service.state().mode.variables == modes["night"].variables
    assert target.holds(modes["night"].variables)
    switch(service, NORMAL)
    assert announcements(engine)[-1].previous == "night"


def test_a_chain_that_was_configured_anew_reaches_the_file_at_the_next_start(
    service: FallbackService, engine: Engine, target: CountingFile, clock: HandClock
) -> None:
    switch(service, MINIMAL)
    modes = modes_from_chain(("claude-sonnet-5-5", "claude-haiku-4-5"), {})
    service_on(engine, clock, target, modes=modes).reconcile()
    assert "CLAUDE_MODEL=claude-haiku-4-5\n" in target.path.read_text()


def test_who_was_refused_stands_in_the_audit_trail(
    service: FallbackService, target: CountingFile, engine: Engine
) -> None:
    service.refused("U9", "mode", "degraded: not an admin")
    with engine.connect() as connection:
        entry = connection.execute(select(audit)).one()
    assert (entry.at, entry.actor, entry.action, entry.outcome, entry.detail) == (
        NOW,
        "U9",
        "mode",
        "refused",
        "degraded: not an admin",
    )
    assert not target.path.exists()


@pytest.mark.parametrize("copies", [1, 4], ids=["in one process", "in four copies on one file"])
def test_switches_at_the_same_time_end_in_one_consistent_state(
    engine: Engine, target: CountingFile, clock: HandClock, copies: int
) -> None:
    services = [service_on(engine, clock, target) for _ in range(copies)]
    wanted = [DEGRADED, MINIMAL, NORMAL, DEGRADED, MINIMAL, DEGRADED, NORMAL, MINIMAL]
    start = threading.Barrier(len(wanted))
    failures: list[BaseException] = []

    def click(index: int) -> None:
        start.wait()
        try:
            switch(services[index % copies], wanted[index], by=f"U{index}")
        except BaseException as error:
            failures.append(error)
            raise

    clicks = [threading.Thread(target=click, args=(index,)) for index in range(len(wanted))]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert failures == []
    state = services[0].state()
    assert target.holds(state.mode.variables)
    assert (state.written_at, state.write_error) == (NOW, None)
    posted = announcements(engine)
    assert [facts.previous for facts in posted] == ["normal", *(facts.mode for facts in posted[:-1])]
    assert all(facts.previous != facts.mode for facts in posted)
    with engine.connect() as connection:
        recorded = connection.execute(select(mode_changes.c.mode).order_by(mode_changes.c.id)).scalars().all()
    assert list(recorded) == [facts.mode for facts in posted]
    assert recorded[-1] == state.mode.name


def test_a_double_click_switches_and_announces_once(service: FallbackService, engine: Engine) -> None:
    start = threading.Barrier(2)

    def click() -> None:
        start.wait()
        switch(service, DEGRADED)

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert len(announcements(engine)) == 1


def test_a_copy_that_wrote_an_older_mode_meanwhile_writes_the_newer_one(
    engine: Engine, target: CountingFile, clock: HandClock
) -> None:
    other = service_on(engine, clock, target)

    class Overtaken(EnvFile):
        """While this copy writes, another one switches."""

        overtaken = False

        def write(self, variables: Mapping[str, str]) -> None:
            if not self.overtaken:
                self.overtaken = True
                switch(other, MINIMAL, by="U2")
            super().write(variables)

    switch(service_on(engine, clock, Overtaken(target.path)), DEGRADED)
    assert target.holds(MINIMAL.variables)


def test_a_copy_that_does_not_lead_writes_its_own_file_and_leaves_the_record_to_the_others(
    service: FallbackService, clock: HandClock, engine: Engine, tmp_path: Path
) -> None:
    switch(service, DEGRADED)
    broken = tmp_path / "broken.env"
    broken.mkdir()
    follower = service_on(engine, clock, EnvFile(broken))
    for _ in range(3):
        clock.advance(MINUTE)
        follower.reconcile(records=False)
        service.reconcile()
    broken.rmdir()
    clock.advance(MINUTE)
    follower.reconcile(records=False)
    assert EnvFile(broken).holds(DEGRADED.variables)
    assert (service.state().written_at, service.state().write_error) == (NOW, None)
    assert len(announcements(engine)) == 1


@pytest.mark.parametrize("switched", [False, True])
def test_what_applications_ask_for_takes_one_statement(
    engine: Engine, service: FallbackService, clock: HandClock, switched: bool
) -> None:
    if switched:
        for mode in (DEGRADED, MINIMAL, NORMAL, DEGRADED):
            clock.advance(MINUTE)
            service.switch(mode, "U1", "too dear", [SAVING], None, until=NOW + 60 * MINUTE)
    whole = service.state()
    statements: list[str] = []

    def count(connection: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    posted = service.in_force()
    event.remove(engine, "before_cursor_execute", count)
    assert len([each for each in statements if each != "BEGIN"]) == 1
    asked = ("mode", "changed_at", "changed_by", "reason", "until")
    assert [getattr(posted, name) for name in asked] == [getattr(whole, name) for name in asked]


def test_readers_are_woken_after_the_commit_and_before_the_targets(
    service: FallbackService, target: CountingFile
) -> None:
    seen: list[tuple[str, int]] = []
    with service.changes.heard_by(lambda: seen.append((service.in_force().mode.name, target.writes))):
        service.switch(DEGRADED, "U1", "too dear", [SAVING], None)
        # Nothing changes, so no listener is called.
        service.switch(DEGRADED, "U1", "too dear", [SAVING], None)
    assert seen == [("degraded", 0)]
    assert target.writes == 1
