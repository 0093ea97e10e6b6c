"""The bot's clock follows a jump of the machine's only where Anthropic's agrees."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import is_over
from bot.steady_clock import NAMED_FOR, WITHOUT_WORD, SteadyClock

START = datetime(2026, 11, 16, 9, tzinfo=UTC)
JUMPS = [
    timedelta(seconds=-60),
    timedelta(hours=-1),
    timedelta(hours=2),
    timedelta(days=40),
    timedelta(days=-40),
    timedelta(days=3650),
]


class Machine:
    """A wall clock that can be set, and a monotonic one that cannot."""

    def __init__(self) -> None:
        self.true = START
        self.off = timedelta()

    def wall(self) -> datetime:
        return self.true + self.off

    def monotonic(self) -> float:
        return (self.true - START).total_seconds()

    def passes(self, seconds: float) -> None:
        self.true += timedelta(seconds=seconds)


def dated(moment: datetime) -> dict[str, str]:
    return {"Date": format_datetime(moment.replace(microsecond=0), usegmt=True)}


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> SteadyClock:
    return SteadyClock(machine.wall, machine.monotonic)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_wrong_clock_is_not_followed_and_is_named_until_it_is_corrected(
    machine: Machine, clock: SteadyClock, jump: timedelta
) -> None:
    clock.note(dated(machine.true))
    assert clock.said() is None
    machine.off = jump
    assert clock() == machine.true
    clock.note(dated(machine.true))
    for _ in range(3):
        machine.passes(3600)
        clock.note(dated(machine.true))
        assert clock() == machine.true
    said = clock.said()
    assert said is not None
    assert ("back" if jump < timedelta() else "forward") in said
    assert "Anthropic's clock contradicts it" in said
    machine.off = timedelta()
    assert clock() == machine.true
    machine.passes(NAMED_FOR.total_seconds() + 1)
    assert clock.said() is None


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_corrected_is_followed(jump: timedelta) -> None:
    machine = Machine()
    machine.off = -jump
    clock = SteadyClock(machine.wall, machine.monotonic)
    clock.note(dated(machine.true))
    assert clock() == machine.wall()
    machine.off = timedelta()
    clock.note(dated(machine.true))
    assert clock() == machine.true
    assert "the bot has followed it" in str(clock.jump_said())


def test_without_a_word_from_anthropic_the_machine_counts_after_a_while_until_the_word_comes(
    machine: Machine, clock: SteadyClock
) -> None:
    machine.off = timedelta(hours=2)
    assert clock() == machine.true
    machine.passes(WITHOUT_WORD.total_seconds() + 1)
    assert clock() == machine.wall()
    clock.note(dated(machine.true))
    assert clock() == machine.true


def test_a_clock_that_agrees_with_nobody_s_is_followed_and_named(machine: Machine, clock: SteadyClock) -> None:
    machine.off = timedelta(hours=2)
    clock.note(dated(machine.true - timedelta(days=9)))
    assert clock() == machine.wall()
    assert "ahead of Anthropic's: set it from the network" in str(clock.said())


def test_what_has_no_readable_date_yields_nothing(machine: Machine, clock: SteadyClock) -> None:
    machine.off = timedelta(hours=2)
    clock.note({})
    clock.note({"date": "yesterday"})
    assert clock() == machine.true


def test_a_clock_that_is_slewed_does_not_jump(machine: Machine, clock: SteadyClock) -> None:
    for _ in range(1000):
        machine.passes(1)
        machine.off += timedelta(milliseconds=10)
        assert clock() == machine.wall()
    assert clock.said() is None


@given(
    wait=st.timedeltas(timedelta(seconds=1), timedelta(days=2)),
    jump=st.timedeltas(timedelta(days=-4000), timedelta(days=4000)),
    passed=st.timedeltas(timedelta(), timedelta(days=4)),
)
def test_no_wait_lasts_longer_than_twice_its_length(wait: timedelta, jump: timedelta, passed: timedelta) -> None:
    if passed >= 2 * wait:
        now = START + jump + passed
        # A clock set back by less than the wait needs as long again; by more, or forward, the wait is over at once.
        assert is_over(wait, START, now)


def test_a_wait_lasts_its_length_while_nobody_sets_the_clock() -> None:
    wait = timedelta(minutes=30)
    assert not is_over(wait, START, START)
    assert not is_over(wait, START, START + wait - timedelta(microseconds=1))
    assert is_over(wait, START, START + wait)


def test_a_process_that_was_held_up_between_two_clocks_takes_that_for_no_jump(machine: Machine) -> None:
    held_up = iter([0.0, 3.0])

    def wall() -> datetime:
        found = machine.wall()
        machine.passes(next(held_up, 0.0))
        return found

    clock = SteadyClock(wall, machine.monotonic)
    assert clock() == machine.true
    assert clock.said() is None
