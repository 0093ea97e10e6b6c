"""Two copies and one destination: a message that one may be sending is left alone by the other until that is over."""

import asyncio
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.alerts.notice_contents import ContentStore
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.messages import PlainMessage
from bot.notify.background import BackgroundDelivery
from bot.notify.claims import ATTEMPT_SECONDS
from bot.notify.model import Address, Delivered, Destination, May, Notice, SendResult, always
from bot.notify.outbox import Outbox
from bot.sandbox.clock import HandClock
from bot.threads import InFlight
from tests.databases import NOW, crossed, open_migrated
from tests.unit.test_outbox import record

WANTED = {"pager": frozenset({LimitKind.SOFT, LimitKind.HARD})}


class Pager(Destination):
    """Takes every message, once `answers` is set."""

    name = "pager"

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.arrived = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def post(
        self,
        message: PlainMessage,
        identity: Mapping[str, str],
        thread: Address | None = None,
        *,
        broadcast: bool = False,
        reached: AbstractSet[str] = frozenset(),
        channel: str | None = None,
        may: May = always,
    ) -> SendResult:
        self.titles.append(message.title)
        self.arrived.set()
        await self.answers.wait()
        return Delivered()


def render(notice: Notice, now: datetime) -> PlainMessage:
    return PlainMessage(notice.about, "", "hard")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


class Copies:
    """Copies of the bot with one destination."""

    def __init__(self, engine: Engine, pager: Pager) -> None:
        self.engine = engine
        self.store = AlertStore(engine, WANTED)
        self.pager = pager
        self.seconds = 0.0

    def copy(self, leads: May = always, *, predecessor: bool = True) -> BackgroundDelivery:
        outbox = Outbox(
            ContentStore(self.engine, "pager"),
            self.pager,
            render,
            HandClock(NOW),
            may_deliver=leads,
            others_alive=lambda: predecessor,
            monotonic=lambda: self.seconds,
        )
        return BackgroundDelivery([outbox], InFlight())


async def run(outbox: BackgroundDelivery) -> None:
    outbox.begin()
    await outbox.settled()


async def test_a_message_that_a_living_copy_is_sending_waits_and_others_go_on(engine: Engine) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    pager.answers.clear()
    record(copies.store, crossed(LimitKind.SOFT))
    first = copies.copy()
    first.begin()
    await pager.arrived.wait()
    record(copies.store, crossed(LimitKind.HARD))
    pager.answers.set()
    second = copies.copy()
    second.begin()
    await asyncio.gather(first.settled(), second.settled())
    await run(second)
    assert sorted(pager.titles) == ["default/2026-11/hard/600", "default/2026-11/soft/400"]


@pytest.mark.parametrize("predecessor", [True, False])
async def test_a_message_of_a_copy_that_is_gone_is_taken_over(engine: Engine, predecessor: bool) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    record(copies.store, crossed(LimitKind.SOFT))
    assert ContentStore(engine, "pager").claim(NOW) is not None
    second = copies.copy(predecessor=predecessor)
    await run(second)
    assert len(pager.titles) == (0 if predecessor else 1)
    copies.seconds += ATTEMPT_SECONDS
    await run(second)
    assert len(pager.titles) == 1


async def test_a_copy_that_lost_the_lease_sends_no_message(engine: Engine) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    record(copies.store, crossed(LimitKind.SOFT))
    await run(copies.copy(lambda: False))
    assert pager.titles == []
    await run(copies.copy())
    assert pager.titles == ["default/2026-11/soft/400"]
