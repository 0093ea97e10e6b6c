"""Two copies and one destination: a letter that one may be sending is left alone by the other until that is over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bot.alerts.outside import ATTEMPT_SECONDS, OutsideOutbox, Told
from bot.budgets.budget import Level
from bot.in_flight import InFlight
from bot.message import PlainMessage
from bot.notify.slack import May, always
from bot.sandbox.clock import HandClock
from bot.store.alerts import AlertStore
from bot.store.engine import open_database
from tests.databases import NOW, crossed
from tests.unit.test_outbox import record

WANTED = {"pager": frozenset({Level.SOFT, Level.HARD})}


class Pager:
    """Takes every letter, once `answers` is set."""

    name = "pager"

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.arrived = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def tell(self, letter: PlainMessage, reached: frozenset[str]) -> Told:
        self.letters.append(letter.title)
        self.arrived.set()
        await self.answers.wait()
        return Told(None)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


class Copies:
    """Copies of the bot with one destination."""

    def __init__(self, engine: Engine, pager: Pager) -> None:
        self.store = AlertStore(engine, WANTED)
        self.pager = pager
        self.seconds = 0.0

    def copy(self, leads: May = always, *, predecessor: bool = True) -> OutsideOutbox:
        return OutsideOutbox(
            self.store.outside,
            [self.pager],
            lambda facts, decided_at, now: PlainMessage(facts.incident, "", "hard"),
            HandClock(NOW),
            InFlight(),
            still_leads=leads,
            predecessor_alive=lambda: predecessor,
            monotonic=lambda: self.seconds,
        )


async def run(outbox: OutsideOutbox) -> None:
    outbox.begin()
    await outbox.settled()


async def test_a_letter_that_a_living_copy_is_sending_waits_and_others_go_on(engine: Engine) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    pager.answers.clear()
    record(copies.store, crossed(Level.SOFT))
    first = copies.copy()
    first.begin()
    await pager.arrived.wait()
    record(copies.store, crossed(Level.HARD))
    pager.answers.set()
    second = copies.copy()
    second.begin()
    await asyncio.gather(first.settled(), second.settled())
    await run(second)
    assert sorted(pager.letters) == ["default/2026-11/hard/600", "default/2026-11/soft/400"]


@pytest.mark.parametrize("predecessor", [True, False])
async def test_a_letter_of_a_copy_that_is_gone_is_taken_over(engine: Engine, predecessor: bool) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    record(copies.store, crossed(Level.SOFT))
    (notice,) = copies.store.outside.pending("pager")
    assert copies.store.outside.start_attempt(notice, NOW)
    second = copies.copy(predecessor=predecessor)
    await run(second)
    assert len(pager.letters) == (0 if predecessor else 1)
    copies.seconds += ATTEMPT_SECONDS
    await run(second)
    assert len(pager.letters) == 1


async def test_a_copy_that_lost_the_lease_sends_no_letter(engine: Engine) -> None:
    pager = Pager()
    copies = Copies(engine, pager)
    record(copies.store, crossed(Level.SOFT))
    await run(copies.copy(lambda: False))
    assert pager.letters == []
    await run(copies.copy())
    assert pager.letters == ["default/2026-11/soft/400"]
