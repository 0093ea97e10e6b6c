"""Two copies on one database: what one may be sending is left alone by the other until that attempt is surely over."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from bot.alerts.notice_contents import ContentStore
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import notices
from bot.messages import Message
from bot.notify.claims import ATTEMPT_SECONDS, SURELY_OVER, Claims
from bot.notify.model import (
    CALL_SECONDS,
    Address,
    Delivered,
    Failed,
    May,
    Notice,
    SendResult,
    Withheld,
    always,
)
from bot.notify.outbox import Outbox
from bot.sandbox.clock import HandClock
from tests.databases import NOW, SOFT_RESOLVED, crossed, reported
from tests.unit.test_outbox import Channel, later, record, render

SECOND = timedelta(seconds=1)


class Monotonic:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Wire(Channel):
    """A channel whose calls can be held in flight. It asks for leave like the real one."""

    def __init__(self, *script: SendResult, readable: bool = False) -> None:
        super().__init__(*script, readable=readable)
        self.arrived = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def post(
        self,
        message: Message,
        identity: Mapping[str, str],
        thread: Address | None = None,
        *,
        broadcast: bool = False,
        reached: AbstractSet[str] = frozenset(),
        channel: str | None = None,
        may: May = always,
    ) -> SendResult:
        if not may():
            return Withheld()
        outcome = await super().post(message, identity, thread, broadcast=broadcast)
        self.arrived.set()
        await self.answers.wait()
        return outcome


class Copies:
    """Copies of the bot on one database and one channel. They look at the same clocks."""

    def __init__(self, engine: Engine, channel: Channel) -> None:
        self.engine = engine
        self.channel = channel
        self.clock = HandClock(NOW)
        self.monotonic = Monotonic()

    def copy(
        self,
        *,
        leads: May = always,
        predecessor: bool = True,
        store: Callable[[Engine], ContentStore] = ContentStore,
        channel: Channel | None = None,
    ) -> Outbox:
        return Outbox(
            store(self.engine),
            channel or self.channel,
            render,
            self.clock,
            may_deliver=leads,
            others_alive=lambda: predecessor,
            monotonic=self.monotonic,
        )

    def states(self) -> list[tuple[str, int]]:
        query = select(notices.c.status, notices.c.attempts).order_by(notices.c.id)
        with self.engine.connect() as connection:
            return [(row.status, row.attempts) for row in connection.execute(query)]


async def test_what_a_living_copy_is_sending_is_not_sent_by_the_next_owner_and_other_incidents_are(
    engine: Engine,
) -> None:
    wire, theirs = Wire(), Channel()
    copies, store = Copies(engine, wire), AlertStore(engine)
    wire.answers.clear()
    record(store, crossed(LimitKind.SOFT))
    first = asyncio.create_task(copies.copy().deliver())
    await wire.arrived.wait()
    record(store, SOFT_RESOLVED)
    store.record(reported([crossed(LimitKind.HARD)]), NOW + SECOND)
    second = copies.copy(channel=theirs)
    assert (await second.deliver()).delivered == 1
    assert [text.split()[0] for _, text in theirs.sent] == ["default/2026-11/hard/600"]
    wire.answers.set()
    await first
    while (await second.deliver()).waiting:
        pass
    assert [*wire.actions, *theirs.actions].count("post") == 2


async def test_an_attempt_of_a_copy_that_is_gone_is_taken_over_once_it_is_surely_over(engine: Engine) -> None:
    wire = Wire(readable=True)
    copies = Copies(engine, wire)
    wire.answers.clear()
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    gone = asyncio.create_task(copies.copy().deliver())
    await wire.arrived.wait()
    gone.cancel()
    await asyncio.wait([gone])
    second = copies.copy()
    assert (await second.deliver()).delivered == 0
    copies.monotonic.seconds += ATTEMPT_SECONDS - 1
    assert (await second.deliver()).delivered == 0
    copies.monotonic.seconds += 1
    assert (await second.deliver()).delivered == 1
    assert wire.actions == ["post"]


@pytest.mark.parametrize("age", [SURELY_OVER, -2 * SURELY_OVER])
async def test_a_copy_that_lives_for_seconds_goes_by_the_databases_clock(engine: Engine, age: timedelta) -> None:
    channel = Channel(readable=True)
    copies, store = Copies(engine, channel), AlertStore(engine)
    record(store, crossed(LimitKind.SOFT))
    assert store.notices.claim(NOW) is not None
    assert (await copies.copy().deliver()).delivered == 0
    later(engine, age)
    assert (await copies.copy().deliver()).delivered == 1


async def test_where_the_former_owner_is_surely_dead_its_attempt_is_taken_over_at_once(engine: Engine) -> None:
    channel = Channel(readable=True)
    copies, store = Copies(engine, channel), AlertStore(engine)
    record(store, crossed(LimitKind.SOFT))
    assert store.notices.claim(NOW) is not None
    assert (await copies.copy(predecessor=False).deliver()).delivered == 1


async def test_a_copy_that_lost_the_lease_begins_nothing(engine: Engine) -> None:
    channel = Wire()
    copies = Copies(engine, channel)
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    assert (await copies.copy(leads=lambda: False).deliver()).delivered == 0
    assert (channel.sent, copies.states()) == ([], [("pending", 0)])


async def test_a_copy_that_loses_the_lease_at_its_commit_sends_nothing_and_leaves_the_row(engine: Engine) -> None:
    leads = True

    class Losing(ContentStore):
        def claim(
            self, now: datetime, held: AbstractSet[int] = frozenset(), claims: Claims | None = None
        ) -> Notice | None:
            nonlocal leads
            notice = super().claim(now, held, claims)
            leads = False
            return notice

    wire = Wire()
    copies = Copies(engine, wire)
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    assert (await copies.copy(leads=lambda: leads, store=Losing).deliver()).waiting == 1
    assert (wire.sent, copies.states()) == ([], [("sending", 1)])


async def test_a_process_that_was_frozen_after_its_commit_sends_nothing_when_it_wakes_up(engine: Engine) -> None:
    wire = Wire()
    copies = Copies(engine, wire)

    class Freezing(ContentStore):
        def claim(
            self, now: datetime, held: AbstractSet[int] = frozenset(), claims: Claims | None = None
        ) -> Notice | None:
            notice = super().claim(now, held, claims)
            if notice is not None and notice.attempts == 0:
                copies.monotonic.seconds += CALL_SECONDS
            return notice

    record(AlertStore(engine), crossed(LimitKind.SOFT))
    sender = copies.copy(store=Freezing)
    assert (await sender.deliver()).waiting == 1
    assert (wire.sent, copies.states()) == ([], [("sending", 1)])
    assert (await sender.deliver()).delivered == 1


@pytest.mark.parametrize("outcome", [None, Failed("Slack has an internal error.", outcome_unknown=True)])
async def test_a_former_owner_that_wakes_up_does_not_overwrite_what_the_new_one_did(
    engine: Engine, caplog: pytest.LogCaptureFixture, outcome: SendResult | None
) -> None:
    wire = Wire(*([] if outcome is None else [outcome]))
    copies, store = Copies(engine, wire), AlertStore(engine)
    wire.answers.clear()
    record(store, crossed(LimitKind.SOFT))
    frozen = asyncio.create_task(copies.copy().deliver())
    await wire.arrived.wait()
    notice = store.notices.claim(NOW)
    assert notice is not None
    assert store.notices.finish(notice.id, NOW, Address("C1", "99.0"), claim=notice.claim)
    wire.answers.set()
    with caplog.at_level(logging.WARNING):
        await frozen
    assert copies.states() == [("sent", 2)]
    assert ("it may appear twice" in caplog.text) == (outcome is None)
    assert store.notices.claim(NOW) is None


async def test_an_answer_that_is_late_counts_as_unknown(engine: Engine) -> None:
    wire = Wire(Delivered(Address("C1", "1.0")))
    wire.call_seconds = 0.05
    wire.answers.clear()
    copies = Copies(engine, wire)
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    delivery = await copies.copy().deliver()
    assert (delivery.waiting, delivery.retry_in) == (1, SECOND)
    assert copies.states() == [("sending", 1)]
