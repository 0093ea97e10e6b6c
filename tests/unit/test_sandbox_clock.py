"""The demo's clock: simulated time goes on without a jump, however its speed is changed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sandbox.clock import RunningClock

START = datetime(2026, 11, 10, 12, tzinfo=UTC)


@dataclass
class RealTime:
    """Seconds that pass by hand."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_time_passes_at_its_speed_from_the_start() -> None:
    real = RealTime()
    clock = RunningClock(START, 5400, real)
    assert clock() == START
    real.seconds += 2
    assert clock() == START + timedelta(hours=3)


def test_at_speed_zero_time_stands_still_and_then_goes_on_from_there() -> None:
    real = RealTime()
    clock = RunningClock(START, 3600, real)
    real.seconds += 1
    clock.run(0)
    real.seconds += 100
    assert (clock(), clock.speed) == (START + timedelta(hours=1), 0)
    clock.run(7200)
    assert clock() == START + timedelta(hours=1)
    real.seconds += 1
    assert clock() == START + timedelta(hours=3)


def test_time_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        RunningClock(START, 1).run(-1)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100_000)), max_size=20))
def test_time_is_the_sum_of_its_stretches_and_a_change_of_speed_does_not_move_it(
    stretches: list[tuple[float, float]],
) -> None:
    real = RealTime()
    clock = RunningClock(START, 0, real)
    passed = 0.0
    for seconds, speed in stretches:
        before = clock()
        clock.run(speed)
        assert clock() == before
        real.seconds += seconds
        passed += seconds * speed
        assert clock() >= before
    assert (clock() - START).total_seconds() == pytest.approx(passed, rel=1e-9, abs=1e-3)
