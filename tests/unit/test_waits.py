"""Waits on a wall clock that jumps: none gets longer, and no jump causes a flood."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, update

from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import notices
from bot.notify.model import LONGEST_WAIT, Failed, Waits, back_off
from bot.notify.outbox import Outbox
from bot.sandbox.clock import HandClock
from tests.databases import NOW, crossed, open_migrated
from tests.unit.test_outbox import Channel, later, record, render

SECOND, TICK = timedelta(seconds=1), timedelta(seconds=2)
JUMPS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(-(10**7), 10**7)), max_size=6, unique_by=lambda jump: jump[0]
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@given(st.integers(1, 300), JUMPS)
def test_no_wait_outlasts_itself_by_more_than_a_tick_for_each_time_the_clock_is_set(
    seconds: int, jumps: list[tuple[int, int]]
) -> None:
    clock, jump_at = HandClock(NOW), dict(jumps)
    waits: Waits[int] = Waits(clock)
    waits.put(1, timedelta(seconds=seconds))
    passed = timedelta(0)
    for number in range(1000):
        if not waits.left(1):
            break
        clock.advance(TICK)
        passed += TICK
        clock.now += timedelta(seconds=jump_at.get(number, 0))
    assert passed <= timedelta(seconds=seconds) + TICK * (len(jumps) + 1)
    if not jumps:
        assert passed >= timedelta(seconds=seconds)


@pytest.mark.parametrize("jump", [-timedelta(days=40), timedelta(0), timedelta(days=40)])
async def test_what_slack_asked_for_holds_no_longer_after_a_restart_whatever_the_clock_says(
    engine: Engine, jump: timedelta
) -> None:
    store, clock = AlertStore(engine), HandClock(NOW)
    record(store, crossed(LimitKind.SOFT))
    limited = Channel(Failed("Slack asks to wait.", retry_after=timedelta(minutes=3)))
    await Outbox(store.notices, limited, render, clock).deliver()
    clock.now += jump
    later(engine, jump)
    sender = Outbox(store.notices, Channel(), render, clock)
    delivered_at_once = (await sender.deliver()).delivered == 1
    assert delivered_at_once == (jump > timedelta(0))
    clock.advance(timedelta(minutes=3))
    assert delivered_at_once or (await sender.deliver()).delivered == 1


async def test_a_wait_that_was_written_while_the_clock_was_far_ahead_is_over_once_it_is_right(engine: Engine) -> None:
    store, clock = AlertStore(engine), HandClock(NOW)
    record(store, crossed(LimitKind.SOFT))
    await Outbox(store.notices, Channel(Failed("Slack asks to wait.", retry_after=SECOND)), render, clock).deliver()
    with engine.begin() as connection:
        connection.execute(update(notices).values(next_attempt_at=NOW + timedelta(days=365)))
    sender = Outbox(store.notices, Channel(), render, clock)
    assert (await sender.deliver()).delivered == 0
    clock.advance(LONGEST_WAIT)
    assert (await sender.deliver()).delivered == 1


async def test_a_clock_set_back_holds_a_delivery_no_longer_than_its_back_off(engine: Engine) -> None:
    store, clock = AlertStore(engine), HandClock(NOW)
    record(store, crossed(LimitKind.SOFT))
    channel = Channel(*[Failed("Slack cannot be reached.", retry_after=timedelta(minutes=1))])
    sender = Outbox(store.notices, channel, render, clock)
    await sender.deliver()
    clock.now -= timedelta(hours=2)
    for _ in range(31):
        await sender.deliver()
        clock.advance(TICK)
    assert (await sender.deliver()).waiting == 0


async def test_each_jump_forward_lets_one_try_through_and_the_back_off_goes_on_growing(engine: Engine) -> None:
    store, clock = AlertStore(engine), HandClock(NOW)
    record(store, crossed(LimitKind.SOFT))
    channel = Channel(*[Failed("Slack cannot be reached.")] * 100)
    sender = Outbox(store.notices, channel, render, clock)
    waits = []
    for _ in range(6):
        clock.now += timedelta(days=1)
        waits.append((await sender.deliver()).retry_in)
        assert (await sender.deliver()).retry_in is None
    assert waits == [back_off(attempts, LONGEST_WAIT) for attempts in range(6)]
    assert len(channel.sent) == 6
