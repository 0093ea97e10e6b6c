"""The outbox: in order, until Slack says ok; nothing is lost, and what may have been sent is looked for first."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Row, select, update
from sqlalchemy.exc import OperationalError

from bot.alerts.decide import LimitStep
from bot.alerts.limit import LimitAlert
from bot.alerts.notice_contents import ContentStore, dumped
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import alerts, notices
from bot.fallback.store import ModeStore
from bot.messages import Message, Part
from bot.modes.model import ModeAnnouncement
from bot.notify.model import (
    LONGEST_WAIT,
    Address,
    CouldNotLook,
    Delivered,
    Failed,
    Found,
    Look,
    May,
    NotEditable,
    Notice,
    NotThere,
    SendResult,
    always,
)
from bot.notify.outbox import PATIENCE, Delivery, Outbox
from bot.notify.queue_store import insert_notice
from bot.notify.slack import SlackDestination
from bot.sandbox.clock import HandClock
from tests.databases import (
    NOW,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    SOFT_SUPERSEDED,
    crossed,
    mode_facts,
    open_migrated,
    reported,
)

SECOND = timedelta(seconds=1)
UNKNOWN = Failed("Slack cannot be reached (TimeoutError).", outcome_unknown=True)
REFUSED = Failed("The bot is not in C1: type /invite @claude-cost there.")


class Channel(SlackDestination):
    """A channel that answers from a script, and well once the script is over. `sent`: what it was asked, in order."""

    def __init__(self, *script: SendResult, readable: bool = False) -> None:
        self._script = list(script)
        self._readable = readable
        self._stands: dict[str, Address] = {}
        self.sent: list[tuple[str, str]] = []
        self.searches = 0
        self.looks: list[Look] = []

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
        self.sent.append(("post" if thread is None else f"below {thread.ts}", message.text))
        await asyncio.sleep(0)
        outcome = self._next()
        address = Address("C1", f"{len(self.sent)}.0")
        if not isinstance(outcome, Failed) or outcome.outcome_unknown:
            self._stands[str(identity)] = address
        return Delivered(address) if outcome is None else outcome

    async def update(self, address: Address, message: Message, *, may: May = always) -> SendResult:
        self.sent.append((f"edit {address.ts}", message.text))
        await asyncio.sleep(0)
        return self._next() or Delivered(address)

    async def find(
        self,
        identity: Mapping[str, str],
        since: datetime | None,
        thread: Address | None = None,
        resume: str = "",
        channel: str | None = None,
    ) -> Look:
        self.searches += 1
        if not self._readable:
            return CouldNotLook("The Slack app lacks the scope channels:history.", for_good=True)
        if self.looks:
            return self.looks.pop(0)
        address = self._stands.get(str(identity))
        return NotThere() if address is None else Found(address)

    def _next(self) -> SendResult | None:
        return self._script.pop(0) if self._script else None

    @property
    def actions(self) -> list[str]:
        return [action for action, _ in self.sent]


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine)


def render(notice: Notice, now: datetime) -> Message:
    """The incident's visible id and how it stands."""
    if isinstance(notice.content.payload, LimitAlert):
        return Message([Part(f"{notice.content.payload.incident} {notice.content.payload.status}")])
    assert isinstance(notice.content.payload, ModeAnnouncement)
    return Message([Part(f"fallback mode {notice.content.payload.mode}")])


def outbox(store: AlertStore, channel: Channel, clock: HandClock) -> Outbox:
    return Outbox(store.notices, channel, render, clock)


def record(store: AlertStore, *steps: LimitStep) -> None:
    store.record(reported(steps), NOW)


def later(engine: Engine, passed: timedelta) -> None:
    """Let time pass by the database's clock: claims get older."""
    with engine.begin() as connection:
        for row in connection.execute(select(notices.c.id, notices.c.claimed_at)).all():
            older = {} if row.claimed_at is None else {"claimed_at": row.claimed_at - passed}
            connection.execute(update(notices).where(notices.c.id == row.id).values({"id": row.id, **older}))


def soft_address(engine: Engine) -> tuple[str, str]:
    with engine.connect() as connection:
        row = connection.execute(
            select(alerts.c.channel, alerts.c.ts).where(alerts.c.limit_kind == LimitKind.SOFT)
        ).one()
    return row.channel, row.ts


async def test_an_empty_outbox_asks_slack_nothing(store: AlertStore, clock: HandClock) -> None:
    channel = Channel()
    assert await outbox(store, channel, clock).deliver() == Delivery(0, 0, None, None)
    assert channel.sent == []


async def test_posts_and_edits_arrive_in_the_order_of_their_decisions(store: AlertStore, clock: HandClock) -> None:
    channel = Channel()
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    assert await outbox(store, channel, clock).deliver() == Delivery(4, 0, None, None)
    assert channel.sent == [
        ("post", "default/2026-11/soft/400 open"),
        ("post", "default/2026-11/hard/600 open"),
        ("edit 1.0", "default/2026-11/soft/400 superseded"),
        ("below 1.0", "default/2026-11/soft/400 superseded"),
    ]


async def test_alerts_and_announcements_share_one_queue(store: AlertStore, engine: Engine, clock: HandClock) -> None:
    channel = Channel()
    record(store, crossed(LimitKind.HARD))
    ModeStore(engine).change({}, mode_facts())
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, channel, clock).deliver()
    assert [text.split()[0] for _, text in channel.sent] == [
        "default/2026-11/hard/600",
        "fallback",
        "default/2026-11/soft/400",
    ]


async def test_a_refusal_keeps_everything_waiting_in_order_and_says_why(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(REFUSED)
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD))
    delivery = await outbox(store, channel, clock).deliver()
    assert delivery == Delivery(0, 2, REFUSED.sentence, SECOND)
    clock.advance(SECOND)
    assert await outbox(store, channel, clock).deliver() == Delivery(2, 0, None, None)
    assert channel.sent == [
        ("post", "default/2026-11/soft/400 open"),
        ("post", "default/2026-11/soft/400 open"),
        ("post", "default/2026-11/hard/600 open"),
    ]


async def test_nothing_is_sent_before_its_time_and_the_reason_is_still_reported(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(REFUSED)
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await sender.deliver()
    assert await sender.deliver() == Delivery(0, 1, REFUSED.sentence, None)
    assert len(channel.sent) == 1


async def test_a_start_tries_again_at_once_since_it_often_follows_the_remedy(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(*[REFUSED] * 5)
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    for _ in range(5):
        delivery = await sender.deliver()
        clock.advance(delivery.retry_in or timedelta())
    assert (await outbox(store, channel, clock).deliver()).delivered == 1


async def test_a_start_does_not_shorten_what_slack_asked_for(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    channel = Channel(Failed("Slack asks to wait.", retry_after=30 * SECOND))
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, channel, clock).deliver()
    assert await outbox(store, channel, clock).deliver() == Delivery(0, 1, "Slack asks to wait.", None)
    later(engine, 30 * SECOND)
    assert (await outbox(store, channel, clock).deliver()).delivered == 1


async def test_a_refused_alert_waits_for_hours_and_is_never_dropped(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(*[REFUSED] * 150)
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    waits = []
    for _ in range(150):
        delivery = await sender.deliver()
        assert delivery.waiting == 1
        assert delivery.retry_in is not None
        waits.append(delivery.retry_in)
        clock.advance(delivery.retry_in)
    assert (await sender.deliver()).delivered == 1
    assert waits[:4] == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (timedelta(seconds=7), timedelta(seconds=7)),
        (timedelta(seconds=300), timedelta(seconds=300)),
        (timedelta(hours=6), LONGEST_WAIT),
        (None, SECOND),
    ],
)
async def test_slack_is_left_alone_as_long_as_it_asks_within_a_bound(
    store: AlertStore, clock: HandClock, asked: timedelta | None, waits: timedelta
) -> None:
    channel = Channel(Failed("Slack asks to wait.", retry_after=asked))
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    assert (await sender.deliver()).retry_in == waits
    clock.advance(waits - timedelta(milliseconds=1))
    assert (await sender.deliver()).delivered == 0
    clock.advance(timedelta(milliseconds=1))
    assert (await sender.deliver()).delivered == 1


async def test_what_may_stand_in_the_channel_is_found_there_instead_of_being_sent_again(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    channel = Channel(UNKNOWN, readable=True)
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, channel, clock).deliver()
    clock.advance(SECOND)
    assert (await outbox(store, channel, clock).deliver()).delivered == 1
    assert channel.actions == ["post"]
    assert soft_address(engine) == ("C1", "1.0")


async def test_without_the_right_to_read_it_is_sent_again_with_the_same_incident_id(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(UNKNOWN)
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, channel, clock).deliver()
    clock.advance(SECOND)
    assert (await outbox(store, channel, clock).deliver()).delivered == 1
    assert channel.sent == [("post", "default/2026-11/soft/400 open")] * 2


async def test_an_unknown_outcome_stays_unknown_until_it_is_settled(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    channel = Channel(UNKNOWN, Failed("Slack asks to wait.", retry_after=SECOND))
    record(store, crossed(LimitKind.SOFT))
    for _ in range(3):
        await outbox(store, channel, clock).deliver()
        later(engine, SECOND)
    assert channel.searches == 2


async def test_what_was_surely_not_sent_is_not_looked_for(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(REFUSED, REFUSED)
    record(store, crossed(LimitKind.SOFT))
    for _ in range(3):
        await outbox(store, channel, clock).deliver()
        clock.advance(2 * SECOND)
    assert channel.searches == 0
    assert channel.actions == ["post"] * 3


@pytest.mark.parametrize("readable", [True, False])
async def test_after_a_crash_between_sending_and_recording_the_alert_gets_out(
    store: AlertStore, engine: Engine, clock: HandClock, readable: bool
) -> None:
    class Crash(BaseException):
        """The process ends here."""

    class Crashing(ContentStore):
        def finish(self, *record: object, **more: object) -> bool:
            raise Crash

    channel = Channel(readable=readable)
    record(store, crossed(LimitKind.SOFT))
    with pytest.raises(Crash):
        await Outbox(Crashing(engine), channel, render, clock).deliver()
    assert await outbox(store, channel, clock).deliver() == Delivery(1, 0, None, None)
    assert channel.actions == ["post"] if readable else ["post", "post"]
    assert len({text for _, text in channel.sent}) == 1


async def test_details_that_slack_does_not_fold_follow_once_in_a_reply(store: AlertStore, engine: Engine) -> None:
    """The message of a change of the mode is edited several times, and each edit leaves out the same details."""
    ModeStore(engine).change({}, mode_facts())
    for action in ("post", "update", "update"):
        if action == "update":
            with engine.begin() as connection:
                insert_notice(connection, "update", "mode/degraded", dumped(mode_facts()), NOW, mode_change_id=1)
        claimed = store.notices.claim(NOW)
        assert claimed is not None
        assert claimed.action == action
        store.notices.finish(claimed.id, NOW, Address("C1", "1.0"), claim=claimed.claim, without_details=True)
        if action == "post":
            details = store.notices.claim(NOW)
            assert details is not None
            assert details.action == "details"
            store.notices.finish(details.id, NOW, None, claim=details.claim)
    assert store.notices.undelivered() == 0


async def test_an_edit_whose_outcome_is_unknown_is_made_again(store: AlertStore, clock: HandClock) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    channel = Channel(UNKNOWN)
    await outbox(store, channel, clock).deliver()
    clock.advance(SECOND)
    assert (await outbox(store, channel, clock).deliver()).waiting == 0
    assert channel.actions == ["edit 1.0", "edit 1.0", "below 1.0"]


async def test_a_reply_whose_outcome_is_unknown_is_looked_for_below_its_message(
    store: AlertStore, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    channel = Channel(Delivered(Address("C1", "1.0")), UNKNOWN, readable=True)
    await outbox(store, channel, clock).deliver()
    clock.advance(SECOND)
    assert (await outbox(store, channel, clock).deliver()).waiting == 0
    assert channel.actions == ["edit 1.0", "below 1.0"]
    assert channel.searches == 1


async def test_a_limit_crossed_again_is_posted_anew_where_its_message_cannot_be_edited(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_AGAIN)
    channel = Channel(NotEditable("It cannot be edited."))
    assert await outbox(store, channel, clock).deliver() == Delivery(2, 0, None, None)
    assert channel.actions == ["edit 1.0", "post", "below 2.0"]
    assert soft_address(engine) == ("C1", "2.0")


async def test_a_settled_limit_is_posted_below_the_message_that_cannot_be_edited(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    channel = Channel(NotEditable("Slack does not let messages of that age be edited."))
    assert await outbox(store, channel, clock).deliver() == Delivery(2, 0, None, None)
    assert channel.actions == ["edit 1.0", "below 1.0"]
    assert soft_address(engine) == ("C1", "1.0")


async def test_a_deleted_message_gets_no_reply_that_it_is_settled(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    record(store, crossed(LimitKind.HARD))
    channel = Channel(NotEditable("The message was deleted in Slack.", gone=True))
    assert (await outbox(store, channel, clock).deliver()).waiting == 0
    assert channel.actions == ["edit 1.0", "post"]
    query = select(notices.c.status, notices.c.error).where(notices.c.action.in_(("update", "reply")))
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(notices.c.id)).all()
    assert [tuple(row) for row in rows] == [
        ("obsolete", "The message was deleted in Slack."),
        ("obsolete", "there is no message to edit or to reply to"),
    ]


async def test_a_limit_crossed_again_after_its_message_was_deleted_has_a_new_one(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox(store, Channel(), clock).deliver()
    record(store, SOFT_RESOLVED)
    await outbox(store, Channel(NotEditable("The message was deleted in Slack.", gone=True)), clock).deliver()
    record(store, SOFT_AGAIN)
    channel = Channel()
    assert (await outbox(store, channel, clock).deliver()).waiting == 0
    assert channel.actions == ["post", "below 1.0"]
    assert soft_address(engine) == ("C1", "1.0")


async def test_two_runs_at_once_send_everything_once(store: AlertStore, clock: HandClock) -> None:
    channel = Channel()
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    sender = outbox(store, channel, clock)
    deliveries = await asyncio.gather(*(sender.deliver() for _ in range(5)))
    assert sum(delivery.delivered for delivery in deliveries) == 4
    assert channel.actions == ["post", "post", "edit 1.0", "below 1.0"]


async def test_two_copies_that_take_the_same_notice_at_once_send_it_once(engine: Engine, clock: HandClock) -> None:
    both_have_read_it = threading.Barrier(2)

    class Copy(ContentStore):
        met = False

        def _claimed(self, row: Row[Any], claim: str, now: datetime) -> Notice | None:
            if not self.met:
                self.met = True
                both_have_read_it.wait()
            return super()._claimed(row, claim, now)

    channel = Channel()
    record(AlertStore(engine), crossed(LimitKind.SOFT))
    copies = [Outbox(Copy(engine), channel, render, clock, others_alive=lambda: True) for _ in range(2)]
    deliveries = await asyncio.gather(*(copy.deliver() for copy in copies))
    assert channel.actions == ["post"]
    assert sorted(delivery.delivered for delivery in deliveries) == [0, 1]


async def test_what_cannot_be_drawn_was_not_tried_and_holds_up_only_its_own_incident(
    store: AlertStore, clock: HandClock
) -> None:
    def broken(notice: Notice, now: datetime) -> Message:
        if isinstance(notice.content.payload, LimitAlert) and notice.content.payload.level is LimitKind.SOFT:
            raise LookupError(notice.id)
        return render(notice, now)

    channel = Channel()
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    sender = Outbox(store.notices, channel, broken, clock)
    why = "this version of the bot cannot render it (LookupError)"
    assert await sender.deliver() == Delivery(1, 3, why, LONGEST_WAIT)
    assert await sender.deliver() == Delivery(0, 3, why, None)
    assert channel.sent == [("post", "default/2026-11/hard/600 open")]
    assert await outbox(store, channel, clock).deliver() == Delivery(3, 0, None, None)
    assert channel.searches == 0


async def test_a_database_that_fails_while_a_message_is_drawn_delays_it_no_longer_than_it_is_away(
    store: AlertStore, clock: HandClock
) -> None:
    away = [OperationalError("SELECT", {}, Exception("away"))]
    drawn_in: list[threading.Thread] = []

    def reading(notice: Notice, now: datetime) -> Message:
        drawn_in.append(threading.current_thread())
        if away:
            raise away.pop()
        return render(notice, now)

    channel = Channel()
    record(store, crossed(LimitKind.SOFT))
    sender = Outbox(store.notices, channel, reading, clock)
    with pytest.raises(OperationalError):
        await sender.deliver()
    assert await sender.deliver() == Delivery(1, 0, None, None)
    assert channel.actions == ["post"]
    # Commands are answered while the database is slow.
    assert threading.main_thread() not in drawn_in


async def test_what_an_older_version_stored_in_another_form_does_not_stop_the_others(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    channel = Channel()
    record(store, crossed(LimitKind.SOFT))
    with engine.begin() as connection:
        connection.execute(notices.update().values(facts={"kind": "alert", "level": "soft"}))
    record(store, crossed(LimitKind.HARD))
    delivery = await outbox(store, channel, clock).deliver()
    assert (delivery.delivered, delivery.waiting, delivery.retry_in) == (1, 1, LONGEST_WAIT)
    assert "cannot read" in str(delivery.error)
    assert channel.sent == [("post", "default/2026-11/hard/600 open")]


async def test_a_notice_that_slack_keeps_refusing_holds_up_only_its_own_incident(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    refused = Failed("Slack refuses (invalid_metadata).", alone=True)
    channel = Channel(refused)
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    ModeStore(engine).change({}, mode_facts())
    sender = outbox(store, channel, clock)
    assert await sender.deliver() == Delivery(2, 3, refused.sentence, SECOND)
    clock.advance(SECOND)
    assert await sender.deliver() == Delivery(3, 0, None, None)
    assert [text for _, text in channel.sent] == [
        "default/2026-11/soft/400 open",
        "default/2026-11/hard/600 open",
        "fallback mode degraded",
        "default/2026-11/soft/400 open",
        *["default/2026-11/soft/400 superseded"] * 2,
    ]


async def fail(sender: Outbox, clock: HandClock, times: int, waiting: int) -> None:
    for _ in range(times):
        delivery = await sender.deliver()
        assert (delivery.delivered, delivery.waiting) == (0, waiting)
        clock.advance(delivery.retry_in or timedelta())


async def test_what_fails_for_minutes_holds_up_only_its_own_incident_where_others_get_through_meanwhile(
    store: AlertStore, engine: Engine, clock: HandClock
) -> None:
    channel = Channel(*[UNKNOWN] * (PATIENCE + 2))
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD))
    sender = outbox(store, channel, clock)
    await fail(sender, clock, PATIENCE + 1, waiting=2)
    assert await sender.deliver() == Delivery(1, 1, UNKNOWN.sentence, LONGEST_WAIT)
    ModeStore(engine).change({}, mode_facts())
    assert (await sender.deliver()).delivered == 1
    clock.advance(LONGEST_WAIT)
    assert (await sender.deliver()).delivered == 1
    assert [text.split()[0] for _, text in channel.sent[-3:]] == [
        "default/2026-11/hard/600",
        "fallback",
        "default/2026-11/soft/400",
    ]


async def test_after_a_long_outage_everything_is_shown_in_order(store: AlertStore, clock: HandClock) -> None:
    channel = Channel(*[UNKNOWN] * (PATIENCE + 1 + 2 * 10))
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD))
    sender = outbox(store, channel, clock)
    await fail(sender, clock, PATIENCE + 1, waiting=2)
    await fail(sender, clock, 10, waiting=2)
    assert await sender.deliver() == Delivery(2, 0, None, None)
    assert [text.split()[0] for _, text in channel.sent[-2:]] == [
        "default/2026-11/soft/400",
        "default/2026-11/hard/600",
    ]


async def test_what_comes_at_the_end_of_a_long_outage_does_not_overtake_what_waits(
    store: AlertStore, clock: HandClock
) -> None:
    channel = Channel(*[UNKNOWN] * (PATIENCE + 2))
    record(store, crossed(LimitKind.SOFT))
    sender = outbox(store, channel, clock)
    await fail(sender, clock, PATIENCE + 1, waiting=1)
    delivery = await sender.deliver()
    assert delivery.retry_in == LONGEST_WAIT
    record(store, crossed(LimitKind.HARD))
    assert (await sender.deliver()).delivered == 0
    clock.advance(LONGEST_WAIT)
    assert (await sender.deliver()).delivered == 2
    assert [text.split()[0] for _, text in channel.sent[-2:]] == [
        "default/2026-11/soft/400",
        "default/2026-11/hard/600",
    ]


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'property.db'}")
    yield engine
    engine.dispose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([UNKNOWN, REFUSED, Failed("Slack asks to wait.", retry_after=SECOND)]), max_size=8))
def test_whatever_slack_answers_every_alert_arrives_once_and_in_order(
    sqlite_engine: Engine, script: list[SendResult]
) -> None:
    with sqlite_engine.begin() as connection:
        connection.execute(notices.delete())
        connection.execute(alerts.delete())
    store, clock = AlertStore(sqlite_engine), HandClock(NOW)
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD))
    channel = Channel(*script, readable=True)
    arrived: list[str] = []

    async def deliver() -> None:
        sender = outbox(store, channel, clock)
        while (delivery := await sender.deliver()).waiting:
            clock.advance(delivery.retry_in or LONGEST_WAIT)

    asyncio.run(deliver())
    for _, text in channel.sent:
        if text not in arrived:
            arrived.append(text)
    assert arrived == ["default/2026-11/soft/400 open", "default/2026-11/hard/600 open"]
    assert len(channel._stands) == 2
