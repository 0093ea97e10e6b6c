"""Alerts at e-mail, ChatWork and a webhook beside Slack: each gets them, and none waits for another."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

import pytest
import requests
import responses
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import create_engine, text

from bot.runner.cycle import Bot
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from handlers.commands import answer
from tests.scenario.conftest import ADMIN, HARD, SOFT, World, member

TOKEN = "c0ffee5ecre7"
WEBHOOK = f"https://hooks.example.com/services/{TOKEN}"
ROOM = "https://api.chatwork.com/v2/rooms/4711/messages"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Post:
    """A mail server. Addresses in `refused` are rejected."""

    received: list[Envelope] = field(default_factory=list)
    arrivals: asyncio.Queue[Envelope] = field(default_factory=asyncio.Queue)
    refused: set[str] = field(default_factory=set)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.received.append(envelope)
        self.arrivals.put_nowait(envelope)
        return "250 OK"

    async def two_arrive(self) -> None:
        for _ in range(2):
            await asyncio.wait_for(self.arrivals.get(), 20)

    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(cast(bytes, e.content), policy=policy.default) for e in self.received]

    def recipients(self) -> list[list[str]]:
        return [envelope.rcpt_tos for envelope in self.received]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
async def mail_address(post: Post) -> AsyncIterator[str]:
    """The address of two people at a real mail server."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(post, hostname="localhost"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"mailto://127.0.0.1:{port}?from=bot@example.com&to=anna@example.com,ben@example.com&mode=insecure"
    server.close()
    await server.wait_closed()


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A fake internet; unexpected calls are refused as everywhere."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield web


@pytest.fixture
def destinations(simulated: World) -> Callable[..., None]:
    return lambda *tables: configure(simulated, *tables)


def configure(world: World, *tables: str) -> None:
    """The TOML tables of the destinations."""
    path = world.folder / "bot.toml"
    path.write_text("\n".join(f"[[destination]]\n{table}" for table in tables), encoding="utf-8")
    world.environ["CLAUDE_COST_CONFIG"] = str(path)


async def cycle(bot: Bot) -> None:
    await bot.cycle()
    await bot.destinations.settled()


def said(web: responses.RequestsMock, url: str) -> list[requests.PreparedRequest]:
    return [call.request for call in web.calls if str(call.request.url).startswith(url)]


def body(request: requests.PreparedRequest) -> str:
    return request.body.decode() if isinstance(request.body, bytes) else str(request.body)


def stored_text(folder: Path) -> str:
    """All text in the database."""
    engine = create_engine(f"sqlite:///{folder / 'claude-cost.db'}")
    with engine.connect() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        rows = [str(connection.execute(text(f'SELECT * FROM "{table}"')).all()) for table in tables]
    engine.dispose()
    return "\n".join(rows)


async def test_a_mail_goes_to_each_recipient_with_the_sum_as_its_subject(
    simulated: World, clock: HandClock, destinations: Callable[..., None], post: Post, mail_address: str
) -> None:
    simulated.anthropic.workspaces["wrkspc_1"] = "検索 <R&D>"
    destinations(f'url = "{mail_address}"\nname = "mail"')
    simulated.spend(HARD)
    clock.advance(HOUR)
    async with simulated.bot() as bot:
        await cycle(bot)
    assert sorted(post.recipients()) == [["anna@example.com"], ["ben@example.com"]]
    for mail in post.mails():
        assert mail["Subject"] == "$200.00 of $200.00 (100%): hard limit crossed, November"
        plain = mail.get_body(("plain",))
        assert plain is not None
        words = plain.get_content()
        assert "検索 <R&D>" in words
        assert "Nothing has been stopped" in words
    assert len(simulated.alerts("hard")) == 1


async def test_chatwork_and_a_webhook_get_the_same_words_in_their_own_forms(
    simulated: World, clock: HandClock, destinations: Callable[..., None], web: responses.RequestsMock
) -> None:
    simulated.anthropic.workspaces["wrkspc_1"] = "[toall] search"
    web.post(ROOM, json={"message_id": "1"})
    web.post(WEBHOOK)
    destinations(f'url = "chatwork://{TOKEN}@4711"', f'url = "{WEBHOOK.replace("https", "jsons")}"\nlevels = ["hard"]')
    simulated.spend(SOFT)
    clock.advance(HOUR)
    async with simulated.bot() as bot:
        await cycle(bot)
        assert said(web, WEBHOOK) == []
        simulated.spend(HARD - SOFT)
        await cycle(bot)
    soft, hard = said(web, ROOM)
    assert soft.headers["X-ChatWorkToken"] == TOKEN
    assert soft.headers["Content-Type"] == "application/x-www-form-urlencoded"
    (form,) = parse_qs(body(soft))["body"]
    assert form.splitlines()[0] == "$100.00 of $100.00 (100%): soft limit crossed, November"
    assert "[" not in form
    assert "［toall］ search" in form
    assert "hard limit crossed" in parse_qs(body(hard))["body"][0]
    (called,) = said(web, WEBHOOK)
    assert called.headers["Content-Type"] == "application/json"
    payload = json.loads(body(called))
    assert payload["title"] == "$200.00 of $200.00 (100%): hard limit crossed, November"
    assert payload["type"] == "failure"
    assert "[toall] search" in payload["message"]


async def test_a_limit_that_goes_to_and_fro_is_reported_once_each_way(
    simulated: World, clock: HandClock, destinations: Callable[..., None], web: responses.RequestsMock
) -> None:
    web.post(WEBHOOK)
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"')
    async with simulated.bot() as bot:
        for _ in range(2):
            event = simulated.spend(SOFT)
            clock.advance(HOUR)
            await cycle(bot)
            simulated.anthropic.history.correct(event, clock.now)
            clock.advance(HOUR)
            await cycle(bot)
    titles = [json.loads(body(call))["title"] for call in said(web, WEBHOOK)]
    assert [title.partition(": ")[2] for title in titles] == [
        "soft limit crossed, November",
        "soft limit resolved, spend is below it again, November",
    ]


async def test_neither_slack_nor_another_destination_waits_for_one_that_hangs(
    simulated: World, destinations: Callable[..., None], web: responses.RequestsMock, post: Post, mail_address: str
) -> None:
    answers = threading.Event()

    def hang(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        answers.wait(60)
        return 200, {}, ""

    web.add_callback(responses.POST, WEBHOOK, hang)
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"', f'url = "{mail_address}"')
    simulated.spend(SOFT)
    async with simulated.bot() as bot:
        try:
            await bot.cycle()
            assert len(simulated.alerts("soft")) == 1
            await post.two_arrive()
            simulated.spend(HARD - SOFT)
            await bot.cycle()
            assert len(simulated.alerts("hard")) == 1
            await post.two_arrive()
            assert bot.services.alerts.destinations.undelivered()["jsons://hooks.example.com"] == 2
        finally:
            answers.set()
        await bot.destinations.settled()
        await bot.deliver()
        await bot.destinations.settled()
        assert bot.services.alerts.destinations.undelivered() == {}


async def test_what_fails_is_kept_over_a_restart_and_says_so_without_its_address(
    simulated: World,
    clock: HandClock,
    destinations: Callable[..., None],
    web: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    refusing = web.post(WEBHOOK, status=503, body=f"no such hook {TOKEN}")
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"\nname = "hook"')
    simulated.spend(SOFT)
    async with simulated.bot() as bot:
        await cycle(bot)
        reason = "because it responded with HTTP status 503"
        (problem,) = [line for line in await Lifecycle(bot, MINUTE).problems() if "hook" in line]
        assert problem == f"hook: 1 alert waiting since 2026-11-16T09:00:00+00:00, {reason}."
        status = await answer(bot.services, member(ADMIN), "status")
        assert f"hook: 1 alert waiting since 16 Nov 09:00 UTC, {reason}." in status.text
        assert problems(status.blocks, "message") == []
        await cycle(bot)
        assert len(said(web, WEBHOOK)) == 1
        clock.advance(MINUTE)
        await cycle(bot)
        assert len(said(web, WEBHOOK)) == 2
    web.remove(refusing)
    web.post(WEBHOOK)
    clock.advance(29 * MINUTE)
    async with simulated.bot() as bot:
        await bot.deliver()
        await bot.destinations.settled()
        assert bot.services.alerts.destinations.waiting() == []
        assert all("hook" not in line for line in await Lifecycle(bot, MINUTE).problems())
    sent = json.loads(body(said(web, WEBHOOK)[-1]))
    assert sent["message"].startswith("Late by 30 min: this is how it stood at 16 Nov 09:00 UTC.")
    assert re.search(r"hook: notice \d+ waits 1 s: it responded with HTTP status 503", caplog.text)
    shown = caplog.text + "".join(capfd.readouterr()) + stored_text(simulated.folder)
    assert "HTTP status 503" in shown
    assert TOKEN not in shown
    assert "hooks.example.com" not in shown


async def test_a_recipient_that_has_a_letter_is_spared_when_another_gets_it_later(
    simulated: World, clock: HandClock, destinations: Callable[..., None], post: Post, mail_address: str
) -> None:
    post.refused.add("ben@example.com")
    destinations(f'url = "{mail_address}"\nname = "mail"')
    simulated.spend(SOFT)
    async with simulated.bot() as bot:
        await cycle(bot)
        (waiting,) = bot.services.alerts.destinations.waiting()
        assert waiting.error == "some of its recipients refuse the message"
    post.refused.clear()
    async with simulated.bot() as bot:
        await cycle(bot)
        assert bot.services.alerts.destinations.undelivered() == {}
    assert post.recipients() == [["anna@example.com"], ["ben@example.com"]]
    assert "example.com" not in stored_text(simulated.folder)


async def test_a_letter_that_is_refused_for_good_does_not_hold_up_the_next_incident(
    simulated: World, destinations: Callable[..., None], web: responses.RequestsMock
) -> None:
    def refuse_soft(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        return (400 if "soft limit crossed" in body(request) else 200), {}, ""

    web.add_callback(responses.POST, WEBHOOK, refuse_soft)
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"\nname = "hook"')
    simulated.spend(SOFT)
    async with simulated.bot() as bot:
        await cycle(bot)
        simulated.spend(HARD - SOFT)
        await cycle(bot)
        assert bot.services.alerts.destinations.undelivered() == {"hook": 1}
    titles = [json.loads(body(call))["title"] for call in said(web, WEBHOOK)]
    assert [("hard" in title) for title in titles] == [False, True]


async def test_a_change_of_the_mode_is_announced_in_slack_alone(
    simulated: World, destinations: Callable[..., None], web: responses.RequestsMock
) -> None:
    web.post(WEBHOOK)
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"')
    async with simulated.bot() as bot:
        await answer(bot.services, member(ADMIN), "fallback on because of a test")
        await cycle(bot)
    assert any("degraded" in message.text for message in simulated.posts())
    assert said(web, WEBHOOK) == []


async def test_a_destination_that_is_not_configured_any_more_is_named_at_the_start_and_blocks_nothing(
    simulated: World,
    destinations: Callable[..., None],
    web: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    web.post(WEBHOOK, status=500)
    destinations(f'url = "{WEBHOOK.replace("https", "jsons")}"\nname = "hook"')
    simulated.spend(SOFT)
    async with simulated.bot() as bot:
        await cycle(bot)
    destinations()
    async with simulated.bot() as bot:
        await cycle(bot)
        assert bot.services.alerts.destinations.waiting() == []
    assert "1 alert waits for a destination named hook, which is not configured any more" in caplog.text


async def test_once_delivers_to_every_destination_and_ends_well(world: World, post: Post, mail_address: str) -> None:
    configure(world, f'url = "{mail_address}"')
    world.spend(SOFT)
    finished = await world.once()
    assert (finished.code, finished.err) == (0, "")
    assert sorted(post.recipients()) == [["anna@example.com"], ["ben@example.com"]]


async def test_once_ends_with_one_line_where_a_destination_does_not_take_what_is_due(world: World) -> None:
    configure(world, f'url = "json://127.0.0.1:1/{TOKEN}"\nname = "hook"')
    world.spend(SOFT)
    finished = await world.once()
    assert finished.code == 1
    assert finished.err == (
        "1 message waits for hook, because there is no connection to it, or it refuses the login.\n"
    )
    assert len(world.alerts("soft")) == 1


async def test_a_wrong_address_ends_the_start_with_one_sentence_that_does_not_show_it(world: World) -> None:
    configure(world, f'url = "mailot://me:{TOKEN}@mail.example.com"')
    finished = await world.once()
    path = world.folder / "bot.toml"
    assert (finished.code, finished.out) == (2, "")
    assert finished.err == (
        f"CLAUDE_COST_CONFIG: {path}: destination.0: Apprise does not know addresses that begin with mailot://; "
        "did you mean mailto://?\n"
    )


async def test_the_running_bot_notifies_every_destination_and_ends_well(
    world: World, post: Post, mail_address: str
) -> None:
    configure(world, f'url = "{mail_address}"\nname = "mail"', f'url = "json://127.0.0.1:1/{TOKEN}"\nname = "hook"')
    world.spend(SOFT)
    async with world.running() as process:
        await post.two_arrive()
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert len(world.alerts("soft")) == 1
    log = err.decode()
    assert re.search(r"hook: notice \d+ waits 1 s: there is no connection to it", log)
    for secret in (TOKEN, "example.com", "127.0.0.1:1/"):
        assert secret not in log
