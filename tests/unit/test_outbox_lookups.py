"""A look into the channel that fails settles nothing: it is repeated, and ends some day."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from bot.alerts.notice_contents import ContentStore
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.notify.model import LONGEST_WAIT, Address, CouldNotLook, Delivered, Failed, Look
from bot.notify.outbox import FEWEST_LOOKS, LOOKING_AT_MOST, MOST_LOOKS, Outbox
from bot.sandbox.clock import HandClock
from tests.databases import NOW, SOFT_RESOLVED, crossed, open_migrated
from tests.unit.test_outbox import REFUSED, UNKNOWN, Channel, outbox, record, render

SECOND = timedelta(seconds=1)
FAULT = CouldNotLook("Slack has an internal error (HTTP 500).")


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield AlertStore(engine)
    engine.dispose()


async def test_what_cannot_be_looked_for_now_is_looked_for_again_and_not_sent_twice(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(UNKNOWN, readable=True)
    channel.looks = [FAULT] * 3
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    waits = []
    while (delivery := await sender.deliver()).waiting:
        assert delivery.retry_in is not None
        waits.append(delivery.retry_in)
        clock.advance(delivery.retry_in)
    assert waits == [SECOND, SECOND, 2 * SECOND, 4 * SECOND]
    assert channel.actions == ["post"]


async def test_the_wait_that_slack_asks_for_at_a_look_is_kept(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(UNKNOWN, readable=True)
    channel.looks = [CouldNotLook("Slack asks to wait.", retry_after=30 * SECOND)]
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    clock.advance(SECOND)
    delivery = await sender.deliver()
    assert (delivery.retry_in, "searching there fails" in str(delivery.error)) == (30 * SECOND, True)
    clock.advance(29 * SECOND)
    await sender.deliver()
    assert channel.searches == 1
    clock.advance(SECOND)
    assert (await sender.deliver()).waiting == 0
    assert channel.actions == ["post"]


async def test_other_incidents_go_on_while_one_is_looked_for(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(UNKNOWN, readable=True)
    channel.looks = [FAULT]
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    clock.advance(SECOND)
    assert (await sender.deliver()).delivered == 1
    assert [text.split()[0] for _, text in channel.sent] == ["default/2026-11/soft/400", "default/2026-11/hard/600"]


async def test_where_no_look_ever_works_the_alert_is_sent_again_since_a_lost_one_is_worse(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(UNKNOWN, readable=True)
    channel.looks = [FAULT] * 1000
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    begun_at = clock.now
    while (delivery := await sender.deliver()).waiting:
        clock.advance(delivery.retry_in or SECOND)
    assert LOOKING_AT_MOST <= clock.now - begun_at <= 2 * LOOKING_AT_MOST
    assert channel.actions == ["post", "post"]


async def test_the_first_looks_after_a_long_time_off_may_fail_too(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(UNKNOWN, readable=True)
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, channel, clock).deliver()
    clock.advance(timedelta(hours=8))
    channel.looks = [FAULT] * (FEWEST_LOOKS - 1)
    sender = outbox(store, channel, clock)
    while (delivery := await sender.deliver()).waiting:
        clock.advance(delivery.retry_in or SECOND)
    assert channel.actions == ["post"]


async def test_a_clock_that_was_set_back_does_not_prolong_the_looking(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(UNKNOWN, readable=True)
    channel.looks = [FAULT] * 1000
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    clock.now -= timedelta(days=40)
    for _ in range(MOST_LOOKS + 2):
        clock.advance((await sender.deliver()).retry_in or SECOND)
    assert channel.actions == ["post", "post"]


async def test_a_reply_is_looked_for_until_a_look_works(store: AlertStore, clock: HandClock) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    channel = Channel(Delivered(Address("C1", "1.0")), UNKNOWN, readable=True)
    channel.looks = [FAULT, FAULT]
    sender = outbox(store, channel, clock)
    while (delivery := await sender.deliver()).waiting:
        clock.advance(delivery.retry_in or LONGEST_WAIT)
    assert channel.actions == ["edit 1.0", "below 1.0"]


async def test_a_search_that_crashes_holds_up_only_its_own_incident_and_ends(
    store: AlertStore, clock: HandClock
) -> None:
    class Crashing(Channel):
        async def find(self, *_: object, **__: object) -> Look:
            self.searches += 1
            raise KeyError("a fault in reading Slack's response")

    channel = Crashing(UNKNOWN)
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    clock.advance(SECOND)
    record(store, crossed(LimitKind.HARD))
    assert (await sender.deliver()).delivered == 1
    for _ in range(MOST_LOOKS):
        clock.advance(LONGEST_WAIT)
        await sender.deliver()
    assert [text.split("/")[2] for _, text in channel.sent] == ["soft", "hard", "soft"]
    assert channel.searches == FEWEST_LOOKS


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "tried by another copy meanwhile"])
async def test_an_alert_that_arrived_while_the_database_failed_is_not_posted_again(
    store: AlertStore, clock: HandClock, others: int
) -> None:
    """Nothing can be looked up here: this copy remembers what it has sent."""
    fails = [True]

    class Failing(ContentStore):
        def finish(self, *args: Any, **kwargs: Any) -> bool:
            if fails.pop():
                raise OperationalError("UPDATE", None, Exception("the disk is full"))
            return super().finish(*args, **kwargs)

    channel = Channel()
    record(store, crossed(LimitKind.SOFT))
    sender = Outbox(Failing(store.notices._engine), channel, render, clock)
    with pytest.raises(OperationalError):
        await sender.deliver()
    for _ in range(others):
        await outbox(store, Channel(UNKNOWN), clock).deliver()
    fails[:] = [False]
    assert (await sender.deliver()).delivered == 1
    assert channel.actions == ["post"] * (1 + others)
    record(store, SOFT_RESOLVED)
    fails[:] = [False, False]
    await sender.deliver()
    assert channel.actions[1 + others] == f"edit {1 + others}.0"


async def test_once_the_cause_of_failures_is_over_what_slack_asked_for_still_holds(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(Failed("Slack asks to wait.", retry_after=30 * SECOND), REFUSED)
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    sender.try_again()
    assert (await sender.deliver()).delivered == 0
    assert len(channel.sent) == 1
    clock.advance(30 * SECOND)
    await sender.deliver()
    sender.try_again()
    assert (await sender.deliver()).delivered == 1
