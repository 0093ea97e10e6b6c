"""An outbox at a destination with fewer capabilities than Slack, and what delivery may know of alerts."""

import ast
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import Engine, select

import bot.notify
from bot.alerts.incident import AlertKind
from bot.alerts.model import AlertPayload
from bot.alerts.notice_contents import Payload, payload_type
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import notices
from bot.messages import Message
from bot.notify.model import Address, Capability, Delivered, Destination, Failed, May, SendResult, always
from bot.notify.outbox import Outbox
from bot.sandbox.clock import HandClock
from handlers.rendering import RENDERERS
from tests.contract.parsed import tree_in
from tests.databases import NOW, SOFT_AGAIN, SOFT_RESOLVED, crossed, open_migrated
from tests.unit.test_outbox import Channel, outbox, record, render

SECOND = timedelta(seconds=1)
LOST = Failed("There is no answer.", outcome_unknown=True)


class Board(Destination):
    """Takes messages and can do nothing else. Time passes while it does; then it answers from a script."""

    name = "board"

    def __init__(self, clock: HandClock, *script: SendResult | Exception, takes: timedelta = timedelta(0)) -> None:
        self.clock = clock
        self.script = list(script)
        self.takes = takes
        self.taken: list[str] = []
        self.skipped: list[AbstractSet[str]] = []

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
        assert thread is None
        self.clock.advance(self.takes)
        self.taken.append(message.text)
        self.skipped.append(reached)
        answer = self.script.pop(0) if self.script else Delivered()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine)


def states(engine: Engine) -> list[tuple[str, str]]:
    query = select(notices.c.action, notices.c.status).order_by(notices.c.id)
    with engine.connect() as connection:
        return [(row.action, row.status) for row in connection.execute(query)]


async def test_what_cannot_be_searched_for_is_sent_again_at_once(store: AlertStore, clock: HandClock) -> None:
    board = Board(clock, LOST)
    record(store, crossed(LimitKind.SOFT))
    await Outbox(store.notices, board, render, clock).deliver()
    clock.advance(SECOND)
    assert (await Outbox(store.notices, board, render, clock).deliver()).delivered == 1
    assert board.taken == ["default/2026-11/soft/400 open"] * 2


async def test_where_nothing_can_be_edited_an_open_alert_is_sent_anew_and_the_rest_is_dropped(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    board = Board(clock)
    assert (await Outbox(store.notices, board, render, clock).deliver()).waiting == 0
    record(store, SOFT_AGAIN)
    assert (await Outbox(store.notices, board, render, clock).deliver()).waiting == 0
    assert board.taken == ["default/2026-11/soft/400 open"]
    assert states(engine) == [
        ("post", "sent"),
        ("update", "obsolete"),
        ("reply", "obsolete"),
        ("update", "sent"),
        ("reply", "obsolete"),
    ]


async def test_recipients_that_have_a_message_are_skipped_at_every_further_attempt(
    store: AlertStore, clock: HandClock
) -> None:
    some = Failed("some of its recipients do not take it", alone=True, reached=frozenset({"a1"}))
    other = Failed("some of its recipients do not take it", alone=True, reached=frozenset({"b2"}))
    board = Board(clock, some, other)
    record(store, crossed(LimitKind.SOFT))
    while (delivery := await Outbox(store.notices, board, render, clock).deliver()).waiting:
        clock.advance(delivery.retry_in or SECOND)
    assert board.skipped == [set(), {"a1"}, {"a1", "b2"}]


async def test_a_run_tries_each_notice_once_however_long_a_dead_destination_takes(
    store: AlertStore, clock: HandClock
) -> None:
    board = Board(clock, *[Failed("it hangs", alone=True)] * 10, takes=timedelta(minutes=1))
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD))
    sender = Outbox(store.notices, board, render, clock)
    assert (await sender.deliver()).waiting == 2
    assert len(board.taken) == 2
    assert sender.retry_in() == timedelta(0)
    board.script.clear()
    assert (await sender.deliver()).delivered == 2
    assert sender.retry_in() is None


async def test_a_failure_for_good_shows_until_something_is_taken(store: AlertStore, clock: HandClock) -> None:
    board = Board(clock, Failed("the token was revoked", alone=True, for_good=True))
    record(store, crossed(LimitKind.SOFT))
    sender = Outbox(store.notices, board, render, clock)
    await sender.deliver()
    assert sender.refused == "the token was revoked"
    clock.advance(SECOND)
    await sender.deliver()
    assert sender.refused is None


def test_slack_can_do_everything() -> None:
    assert Channel.capabilities == frozenset(Capability)


def test_every_kind_of_notice_has_a_renderer() -> None:
    assert set(RENDERERS) == {*map(payload_type, AlertKind), *get_args(Payload)} - {AlertPayload}


def test_delivery_knows_no_kind_of_alert() -> None:
    """Payloads, budgets and renderers may change without a change of delivery."""
    (folder,) = bot.notify.__path__
    imported = {
        node.module
        for path in Path(folder).glob("*.py")
        for node in ast.walk(tree_in(path))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
    rooms = ("bot.alerts", "bot.budgets", "bot.fallback", "bot.usage", "handlers")
    assert sorted(module for module in imported if module.startswith(rooms)) == []


async def test_what_a_destination_raises_keeps_no_later_notice_and_shows_as_waiting(
    store: AlertStore, clock: HandClock
) -> None:
    sender = Outbox(store.notices, Board(clock, RuntimeError("can't start new thread")), render, clock)
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD))
    delivery = await sender.deliver()
    assert (delivery.delivered, delivery.waiting) == (1, 1)
    assert "an internal error (RuntimeError)" in (delivery.error or "")
    clock.advance(timedelta(minutes=1))
    assert (await sender.deliver()).delivered == 1
