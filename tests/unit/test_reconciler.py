"""One reconciler for every target: drift is repaired and reported, one that fails is named, and the others go on."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.fallback.reconciler import Reconciler
from bot.fallback.service import FallbackService
from bot.fallback.store import ModeStore, TargetStore
from bot.fallback.targets.base import TargetError, TargetView
from bot.fallback.targets.env_file import EnvFile
from bot.mode import modes_from_chain
from bot.sandbox.clock import HandClock
from tests.databases import NOW

MODES = modes_from_chain(("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"), {})
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Board:
    """A target that is not a file, and may be unavailable."""

    name = "the board in the office"
    follows = "Whoever walks past follows at once."

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.away = False
        self.tries = 0

    def holds(self, variables: Mapping[str, str]) -> bool:
        self.tries += 1
        if self.away:
            raise TargetError("the board in the office cannot be reached: switch it on.")
        return self.shown == variables

    def write(self, variables: Mapping[str, str]) -> None:
        self.shown = dict(variables)

    def doubts(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        return ()


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def file(tmp_path: Path) -> EnvFile:
    return EnvFile(tmp_path / "services.env")


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def service(engine: Engine, clock: HandClock, file: EnvFile, board: Board) -> FallbackService:
    return service_on(engine, clock, file, board)


def service_on(engine: Engine, clock: HandClock, file: EnvFile, board: Board) -> FallbackService:
    reconciler = Reconciler(TargetStore(engine), [board, file], clock)
    return FallbackService(ModeStore(engine), reconciler, MODES, clock)


def switch(service: FallbackService, mode: str = "degraded") -> None:
    service.switch(MODES[mode], "U1", "too dear", (), None)


def views(service: FallbackService) -> dict[str, TargetView]:
    return {view.name: view for view in service.state().targets}


def test_a_switch_reaches_every_target(service: FallbackService, file: EnvFile, board: Board) -> None:
    switch(service)
    assert file.holds(MODES["degraded"].variables)
    assert board.shown == MODES["degraded"].variables
    assert [view.written_at for view in views(service).values()] == [NOW, NOW]


def test_a_target_that_fails_is_named_and_the_others_go_on(
    service: FallbackService, file: EnvFile, board: Board, clock: HandClock
) -> None:
    board.away = True
    switch(service)
    state = service.state()
    assert file.holds(MODES["degraded"].variables)
    assert state.write_error == "the board in the office cannot be reached: switch it on."
    assert state.written_at is None
    assert (views(service)[file.name].written_at, views(service)[file.name].error) == (NOW, None)
    board.away = False
    clock.advance(MINUTE)
    service.reconcile()
    state = service.state()
    assert (state.written_at, state.write_error) == (NOW + MINUTE, None)
    assert board.shown == MODES["degraded"].variables


def test_a_failing_target_is_tried_again_ever_less_often_and_at_once_at_the_next_change(
    service: FallbackService, board: Board, clock: HandClock
) -> None:
    board.away = True
    switch(service)
    for _ in range(20 * 60):
        clock.advance(SECOND)
        service.reconcile()
    # At once, after 1 + 2 + 4 … 16 seconds, then every half minute.
    assert 1 + 5 + 38 <= board.tries <= 1 + 5 + 39
    tries = board.tries
    switch(service, "minimal")
    assert board.tries == tries + 1


def test_drift_is_repaired_and_said_also_after_a_restart(
    service: FallbackService, file: EnvFile, board: Board, clock: HandClock, engine: Engine
) -> None:
    switch(service)
    for restarts in (False, True):
        clock.advance(MINUTE)
        file.path.write_text(file.path.read_text().replace("sonnet", "opus"))
        service = service_on(engine, clock, file, board) if restarts else service
        service.reconcile()
        assert file.holds(MODES["degraded"].variables)
        assert views(service)[file.name].repaired_at == clock()
    assert views(service)[board.name].repaired_at is None
    assert views(service_on(engine, clock, file, board))[file.name].repaired_at == clock()


def test_a_chain_that_was_configured_anew_is_no_drift(
    service: FallbackService, file: EnvFile, board: Board, clock: HandClock, engine: Engine
) -> None:
    switch(service)
    modes = modes_from_chain(("claude-sonnet-5-5", "claude-haiku-4-5"), {})
    again = FallbackService(ModeStore(engine), Reconciler(TargetStore(engine), [board, file], clock), modes, clock)
    again.reconcile()
    assert file.holds(modes["degraded"].variables)
    assert [view.repaired_at for view in views(again).values()] == [None, None]


def test_a_target_that_nobody_has_written_yet_is_not_called_written(service: FallbackService) -> None:
    assert [(view.written_at, view.error) for view in views(service).values()] == [(None, None), (None, None)]


def test_a_copy_that_does_not_lead_keeps_its_targets_to_itself(
    service: FallbackService, file: EnvFile, board: Board, engine: Engine
) -> None:
    service.reconcile(records=False)
    assert board.shown == MODES["normal"].variables
    assert TargetStore(engine).all() == {}
    service.reconcile()
    assert set(TargetStore(engine).all()) == {file.name, board.name}
