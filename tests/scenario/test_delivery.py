"""The outbox over a Slack that refuses, limits, breaks off and loses answers: no alert is lost."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Engine, select

from bot.alerts.limit import LimitAlert
from bot.alerts.store import AlertStore
from bot.budgets.budget import LimitKind
from bot.db.schema import notices
from bot.language import spoken
from bot.messages import Message, Part
from bot.notify.model import LONGEST_WAIT, Notice
from bot.notify.outbox import Delivery, Outbox
from bot.notify.slack import SlackDestination
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_workspace import Message as Posted
from tests.databases import (
    NOW,
    SOFT_AGAIN,
    SOFT_RESOLVED,
    SOFT_SUPERSEDED,
    crossed,
    open_migrated,
    reported,
)

SECOND = timedelta(seconds=1)
OTHER = "C0OTHER"
POST, EDIT, HISTORY = "chat.postMessage", "chat.update", "conversations.history"


@pytest.fixture
def clock() -> HandClock:
    return HandClock(NOW)


@pytest.fixture
async def slack(clock: HandClock) -> AsyncIterator[SlackSandbox]:
    async with SlackSandbox(clock, channels=(ALERTS, OTHER)) as sandbox:
        yield sandbox


@pytest.fixture
async def client(slack: SlackSandbox) -> AsyncIterator[AsyncWebClient]:
    """A client like the bot's: one session for everything, no retries."""
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(slack.bot_token, base_url=slack.api_url, timeout=15, session=session, retry_handlers=[])


@pytest.fixture
def destination(client: AsyncWebClient) -> SlackDestination:
    return SlackDestination(client, ALERTS)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_migrated(f"sqlite:///{tmp_path / 'claude-cost.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> AlertStore:
    return AlertStore(engine)


@pytest.fixture
def outbox(store: AlertStore, destination: SlackDestination, clock: HandClock) -> Outbox:
    return Outbox(store.notices, destination, render, clock)


def render(notice: Notice, now: datetime) -> Message:
    """The incident's visible id, how it stands, and a link to the other level's message."""
    assert isinstance(notice.content.payload, LimitAlert)
    link = "" if notice.content.related is None else f", see {notice.content.related.ts}"
    text = f"{notice.content.payload.incident} {notice.content.payload.status}{link}"
    return Message([Part(text, [{"type": "section", "text": {"type": "mrkdwn", "text": text}}])])


def texts(slack: SlackSandbox) -> list[str]:
    return [message.text for message in slack.messages]


def record(store: AlertStore, *steps: Any) -> None:
    store.record(reported(steps), NOW)


async def run_until_empty(outbox: Outbox, clock: HandClock) -> list[Delivery]:
    runs = [await outbox.deliver()]
    while runs[-1].waiting:
        assert len(runs) < 50
        clock.advance(runs[-1].retry_in or LONGEST_WAIT)
        runs.append(await outbox.deliver())
    return runs


async def test_the_course_of_a_month_is_two_messages_that_link_to_each_other(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox.deliver()
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    assert await outbox.deliver() == Delivery(3, 0, None, None)
    soft, hard, step = slack.messages
    assert (step.thread_ts, step.broadcast) == (soft.ts, False)
    assert hard.texts == [f"default/2026-11/hard/600 open, see {soft.ts}"]
    assert soft.texts == ["default/2026-11/soft/400 open", f"default/2026-11/soft/400 superseded, see {hard.ts}"]


async def test_a_lost_answer_is_settled_by_reading_back(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.workspace.scopes.add("channels:history")
    slack.faults.add(POST, Fault("drop_after"))
    record(store, crossed(LimitKind.SOFT))
    runs = await run_until_empty(outbox, clock)
    assert [run.delivered for run in runs] == [0, 1]
    assert texts(slack) == ["default/2026-11/soft/400 open"]
    record(store, SOFT_RESOLVED)
    await outbox.deliver()
    assert slack.messages[0].texts[-1] == "default/2026-11/soft/400 resolved"


async def test_without_the_right_to_read_a_lost_answer_means_the_same_alert_twice(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.faults.add(POST, Fault("drop_after"))
    record(store, crossed(LimitKind.SOFT))
    await run_until_empty(outbox, clock)
    assert texts(slack) == ["default/2026-11/soft/400 open"] * 2


async def test_an_answer_that_was_lost_before_a_limit_is_still_looked_for(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.workspace.scopes.add("channels:history")
    slack.faults.add(POST, Fault("drop_after"))
    slack.faults.add(HISTORY, Fault("status", status=503))
    slack.faults.add(POST, Fault("status", status=429, retry_after="5"))
    record(store, crossed(LimitKind.SOFT))
    await run_until_empty(outbox, clock)
    assert texts(slack) == ["default/2026-11/soft/400 open"]


@pytest.mark.parametrize("readable", [True, False])
async def test_a_bot_that_dies_between_sending_and_recording_loses_no_alert(
    slack: SlackSandbox,
    store: AlertStore,
    destination: SlackDestination,
    outbox: Outbox,
    clock: HandClock,
    readable: bool,
) -> None:
    if readable:
        slack.workspace.scopes.add("channels:history")
    record(store, crossed(LimitKind.SOFT))
    notice = store.notices.claim(clock())
    assert notice is not None
    identity = {
        "what": "default/2026-11/soft/400",
        "notice": str(notice.id),
        "created_at": notice.created_at.isoformat(),
    }
    await destination.post(render(notice, NOW), identity)
    assert await outbox.deliver() == Delivery(1, 0, None, None)
    assert texts(slack) == ["default/2026-11/soft/400 open"] * (1 if readable else 2)


async def test_a_bot_that_is_not_invited_keeps_every_alert_until_it_is(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.workspace.channels[ALERTS].has_bot = False
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD))
    for _ in range(20):
        delivery = await outbox.deliver()
        assert (delivery.delivered, delivery.waiting) == (0, 2)
        assert delivery.error == f"The bot is not in {ALERTS}: type /invite @claude-cost there."
        assert spoken(store.notices.last_error() or "") == delivery.error
        clock.advance(LONGEST_WAIT)
    slack.workspace.channels[ALERTS].has_bot = True
    assert await outbox.deliver() == Delivery(2, 0, None, None)
    assert len(slack.messages) == 2


@pytest.mark.parametrize(
    ("code", "calls"),
    [("token_revoked", 1), ("not_in_channel", 1), ("missing_scope", 1), ("message_limit_exceeded", 2)],
)
async def test_what_concerns_every_message_is_asked_once_and_what_concerns_one_stops_only_that(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, code: str, calls: int
) -> None:
    slack.faults.add(POST, Fault("error", error=code))
    record(store, crossed(LimitKind.SOFT), crossed(LimitKind.HARD))
    delivery = await outbox.deliver()
    assert (delivery.delivered, len(slack.calls)) == (calls - 1, calls)


async def test_slacks_wish_to_wait_is_granted_up_to_a_bound(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.faults.add(POST, Fault("status", status=429, retry_after="30"))
    slack.faults.add(POST, Fault("status", status=429, retry_after="86400"))
    record(store, crossed(LimitKind.SOFT))
    runs = await run_until_empty(outbox, clock)
    assert [run.retry_in for run in runs] == [30 * SECOND, LONGEST_WAIT, None]
    assert [at - NOW for at in (call.at for call in slack.calls)] == [
        0 * SECOND,
        30 * SECOND,
        30 * SECOND + LONGEST_WAIT,
    ]


async def test_an_alert_deleted_by_hand_is_posted_anew_when_the_limit_is_crossed_again(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox.deliver()
    slack.workspace.delete(slack.messages[0])
    record(store, SOFT_RESOLVED)
    await outbox.deliver()
    assert slack.messages == []
    record(store, SOFT_AGAIN)
    await outbox.deliver()
    record(store, SOFT_RESOLVED)
    await outbox.deliver()
    assert [message.texts for message in slack.messages if message.thread_ts is None] == [
        ["default/2026-11/soft/400 open", "default/2026-11/soft/400 resolved"]
    ]


async def test_where_edits_are_closed_the_thread_says_that_the_limit_is_settled(
    slack: SlackSandbox, store: AlertStore, outbox: Outbox
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox.deliver()
    slack.faults.add(EDIT, Fault("error", error="edit_window_closed"))
    record(store, SOFT_RESOLVED)
    assert await outbox.deliver() == Delivery(2, 0, None, None)
    alert, below = slack.messages
    assert (below.text, below.thread_ts) == ("default/2026-11/soft/400 resolved", alert.ts)
    record(store, SOFT_AGAIN)
    await outbox.deliver()
    assert alert.text == "default/2026-11/soft/400 open"


async def test_a_new_channel_is_not_held_up_by_messages_in_the_old_one(
    slack: SlackSandbox, client: AsyncWebClient, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    record(store, crossed(LimitKind.SOFT))
    await outbox.deliver()
    slack.workspace.channels[ALERTS].is_archived = True
    moved = Outbox(store.notices, SlackDestination(client, OTHER), render, clock)
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    assert (await moved.deliver()).waiting == 0
    assert [(message.channel, message.text.split(",")[0]) for message in slack.messages] == [
        (ALERTS, "default/2026-11/soft/400 open"),
        (OTHER, "default/2026-11/hard/600 open"),
    ]


async def test_a_storm_of_faults_ends_with_every_alert_in_the_channel_in_order(
    slack: SlackSandbox, engine: Engine, store: AlertStore, outbox: Outbox, clock: HandClock
) -> None:
    slack.workspace.scopes.add("channels:history")
    for fault in (
        Fault("status", status=503),
        Fault("drop"),
        Fault("status", status=429, retry_after="2"),
        Fault("drop_after"),
        Fault("error", error="internal_error", after_doing=True),
        Fault("error", error="token_revoked"),
        Fault("html", status=502, after_doing=True),
    ):
        slack.faults.add(POST, fault)
    slack.faults.add(EDIT, Fault("drop_after"))
    record(store, crossed(LimitKind.SOFT))
    record(store, crossed(LimitKind.HARD), SOFT_SUPERSEDED)
    await run_until_empty(outbox, clock)
    first: list[Posted] = slack.messages
    assert [message.texts[0].split(",")[0] for message in first] == [
        "default/2026-11/soft/400 open",
        "default/2026-11/hard/600 open",
        "default/2026-11/soft/400 superseded",
    ]
    assert first[0].text.startswith("default/2026-11/soft/400 superseded")
    with engine.connect() as connection:
        assert set(connection.execute(select(notices.c.status)).scalars()) == {"sent"}
