"""HTTP mode: nothing of a request is used before its signature holds, and only Slack is called."""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict
from pydantic import SecretStr
from slack_sdk.signature import SignatureVerifier

from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import ALERTS, SIGNING_SECRET
from bot.sandbox.slack_workspace import ADMIN, TEAM_ID
from bot.steady_clock import SteadyClock
from bot.web.connections import Connections
from bot.web.server import open_port, web_app
from handlers.render.estimate_form import ESTIMATE_FORM
from handlers.render.fallback import FORM_ACTION
from handlers.render.forms import FALLBACK_FORM
from tests.scenario.conftest import World
from tests.scenario.http_port import nothing_wrong

FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Inner:
    """A server that only the bot's machine reaches."""

    origin: str = ""
    called: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.called.append(request.path)
        return web.Response(text="inner")


@pytest.fixture
async def inner() -> AsyncIterator[Inner]:
    inner = Inner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", inner.take)
    async with TestServer(app) as server:
        inner.origin = str(server.make_url("/")).rstrip("/")
        yield inner


@asynccontextmanager
async def port_of(bot: Bot) -> AsyncIterator[str]:
    """The origin of the port that this bot opens in HTTP mode."""
    connections = Connections()
    secret = SecretStr(SIGNING_SECRET)
    app = web_app(bot.slack, nothing_wrong, bot.services, None, signing_secret=secret, connections=connections)
    async with open_port(app, "127.0.0.1", 0, connections) as addresses:
        yield f"http://127.0.0.1:{addresses[0][1]}"


def signed(body: bytes, at: datetime, content_type: str = FORM) -> CIMultiDict[str]:
    timestamp = str(int(at.timestamp()))
    made = SignatureVerifier(SIGNING_SECRET).generate_signature(timestamp=timestamp, body=body)
    assert made is not None
    return CIMultiDict(
        {"Content-Type": content_type, "X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": made}
    )


async def post(origin: str, body: bytes | BytesIO | AsyncIterator[bytes], headers: Any) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{origin}/slack/events", data=body, headers=headers, allow_redirects=False) as answer,
    ):
        await answer.read()
        return answer.status


def posted_to(world: World, bot: Bot, origin: str) -> None:
    """Slack posts to this port what people do, and its clock agrees with the bot's."""
    world.slack.http_endpoint = f"{origin}/slack/events"
    world.slack.signing_clock = bot.services.clock


def command(**changes: str) -> bytes:
    fields = {"command": "/claude-cost", "text": "help", "user_id": ADMIN, "team_id": TEAM_ID, "channel_id": ALERTS}
    return urlencode(fields | changes).encode()


def assert_nothing_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in caplog.text


async def test_an_unsigned_request_is_one_4xx_and_calls_nobody(
    simulated: World, inner: Inner, caplog: pytest.LogCaptureFixture
) -> None:
    body = command(response_url=f"{inner.origin}/internal")
    right = signed(body, simulated.clock())
    stamp, signature = right["X-Slack-Request-Timestamp"], right["X-Slack-Signature"]
    headers: list[CIMultiDict[str]] = [CIMultiDict({"Content-Type": FORM})]
    for odd_stamp in ("abc", "", "-1", "1e9", f"{stamp}.0", "9" * 40, "１２３", "0"):
        headers.append(CIMultiDict({**right, "X-Slack-Request-Timestamp": odd_stamp}))
    for odd_signature in ("v0=0", "", "é", "v0=é", signature[:-1], "v0=" + "0" * 64):
        headers.append(CIMultiDict({**right, "X-Slack-Signature": odd_signature}))
    twice = CIMultiDict(right)
    twice.add("X-Slack-Signature", signature)
    headers.append(twice)
    headers.append(CIMultiDict({**right, "Content-Type": f"{FORM}; charset=no-such", "X-Slack-Signature": "v0=0"}))
    async with simulated.bot() as bot, port_of(bot) as origin:
        calls = len(simulated.slack.calls)
        for each in headers:
            assert await post(origin, body, each) == 401
        for odd_body in (b"payload=[]", b"[]", b"\xff\xfe", b"", b"payload=" + b"[" * 5_000, body + b"&x=1"):
            assert await post(origin, odd_body, right) == 401
        assert await post(origin, BytesIO(b"x" * 2_000_000), right) == 413
        await asyncio.sleep(0.2)
        assert (inner.called, len(simulated.slack.calls)) == ([], calls)
    assert_nothing_was_logged(caplog)


VIEW = {"id": "V1", "type": "modal", "callback_id": "x", "state": {"values": {}}}
ODD_TYPES: list[Any] = [1, None, True, [], {}, ["modal"], "", "workflow_step", "home"]
ODD_VIEWS: list[dict[str, Any]] = [
    *({**VIEW, "type": odd} for odd in ODD_TYPES),
    {name: value for name, value in VIEW.items() if name != "type"},
    {**VIEW, "callback_id": 1},
    {**VIEW, "state": {"values": {"a": 1}}},
]


def interaction(kind: str, **fields: Any) -> bytes:
    payload = {"type": kind, "user": {"id": ADMIN}, "team": {"id": TEAM_ID}, **fields}
    return urlencode({"payload": json.dumps(payload)}).encode()


def submission(view: dict[str, Any]) -> bytes:
    return interaction("view_submission", view=view)


ODD_BODIES = [
    (b"payload=[]", FORM, 400),
    (b"[]", FORM, 400),
    (b"[]", "application/json", 400),
    (b"payload=1", FORM, 400),
    (b'payload={"type":1}', FORM, 400),
    (b"payload=" + b"[" * 50_000, FORM, 400),
    (b'{"a":' * 5_000, "application/json", 400),
    (b"", FORM, 400),
    (b"", "application/json", 400),
    (b"command=%2Fclaude-cost", "application/json", 400),
    (b'{"type": "event_callback"}', FORM, 400),
    (b"command=%2Fclaude-cost&user_id=%ff", FORM, 400),
    *((submission(view), FORM, 400) for view in ODD_VIEWS),
    (b"command=%2Fclaude-cost", "text/plain", 415),
    (b"command=%2Fclaude-cost", "", 415),
    (b"command=%2Fclaude-cost", "nonsense", 415),
    (b"command=%2Fclaude-cost", f"{FORM}; charset=no-such-charset", 415),
    (b"command=%2Fclaude-cost", f"{FORM}; charset=utf-16", 415),
]


async def test_a_signed_body_that_is_odd_is_one_4xx_and_no_fault_in_the_log(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        for body, content_type, status in ODD_BODIES:
            assert await post(origin, body, signed(body, bot.services.clock(), content_type)) == status, (
                body[:40],
                content_type,
            )
        not_text = b"\xff\xfe"
        headers = signed(b"", bot.services.clock())
        headers["X-Slack-Signature"] = _bytes_signature(not_text, headers["X-Slack-Request-Timestamp"])
        assert await post(origin, not_text, headers) == 400
        packed = signed(b"x", bot.services.clock())
        packed["Content-Encoding"] = "gzip"
        assert await post(origin, b"x", packed) == 415
    assert_nothing_was_logged(caplog)


def _bytes_signature(body: bytes, timestamp: str) -> str:
    return "v0=" + hmac.new(SIGNING_SECRET.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("path", ["/internal", "/redirected"])
async def test_a_signed_request_that_names_another_address_is_answered_to_nobody(
    simulated: World, inner: Inner, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        for address in (
            f"{inner.origin}{path}",
            f"{simulated.slack.origin}@{inner.origin.removeprefix('http://')}{path}",
            "file:///etc/passwd",
            "not an address",
        ):
            assert await post(origin, body := command(response_url=address), signed(body, bot.services.clock())) == 200
        await bot.in_flight.drain(10)
        assert inner.called == []
    assert "Traceback" not in caplog.text
    assert inner.origin not in caplog.text


async def test_a_chunked_request_of_slacks_is_served_and_answered(simulated: World) -> None:
    interaction = simulated.slack.response_urls.new(ADMIN, ALERTS)
    body = command(response_url=f"{simulated.slack.origin}/response/{interaction.id}", text="help because payload")

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:10]
        yield body[10:]

    async with simulated.bot() as bot, port_of(bot) as origin:
        assert await post(origin, pieces(), signed(body, bot.services.clock())) == 200
        assert "`/claude-cost" in (await interaction.first_reply(10)).text


async def test_a_command_whose_words_name_a_payload_is_heard(simulated: World) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        posted_to(simulated, bot, origin)
        typed = await simulated.slack.command("fallback on because the payload grew")
        assert "normal → degraded" in (await typed.first_reply(10)).text


async def test_an_error_after_the_acknowledgement_is_one_traceback_and_one_sentence(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        posted_to(simulated, bot, origin)
        # As after an unexpected fault.
        object.__setattr__(bot.services, "card", None)
        typed = await simulated.slack.command("rates")
        assert "Something went wrong here (error " in (await typed.first_reply(10)).text
        await bot.in_flight.drain(10)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in errors] == ["handlers.requests"]
    assert "AssertionError" not in caplog.text


async def test_the_estimate_form_is_submitted_over_http(simulated: World) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        posted_to(simulated, bot, origin)
        await simulated.slack.command("estimate")
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        fields = {"model": "sonnet-4.6", "requests": "many", "in": "2000", "out": "500", "ttl": "5m"}
        wrong = await simulated.slack.submit_view(fields)
        assert wrong.ack is not None
        assert "is not a number of requests" in (wrong.ack.payload or {})["errors"]["requests"]
        right = await simulated.slack.submit_view(fields | {"requests": "100k"})
        assert right.ack is not None
        assert "$1,350.00 a month" in str((right.ack.payload or {})["view"])
        await bot.in_flight.drain(10)


async def test_a_mention_the_home_tab_and_a_shortcut_are_answered_over_http(simulated: World) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        posted_to(simulated, bot, origin)
        question = await simulated.slack.ask("what do we spend?")
        await simulated.slack.until(lambda: bool(simulated.replies(question)))
        await simulated.slack.open_home()
        await simulated.slack.until(lambda: ADMIN in simulated.slack.views.homes)
        await simulated.slack.shortcut("estimate_prompt", message=question)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        assert "what do we spend?" in str(simulated.slack.views.modals[ADMIN][-1].content)
        await bot.in_flight.drain(10)


async def test_the_fallback_form_is_submitted_over_http(simulated: World, caplog: pytest.LogCaptureFixture) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        posted_to(simulated, bot, origin)
        status = await (await simulated.slack.command("fallback status")).first_reply(10)
        await simulated.slack.click(status, FORM_ACTION)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(ADMIN)))
        await simulated.slack.submit_view({"mode": "degraded", "for": "2h", "because": "of a test"})
        await bot.in_flight.drain(10)
        assert bot.services.fallback.state().mode.name == "degraded"
    assert "Traceback" not in caplog.text


BARE_BODIES = [
    *(submission({**VIEW, "callback_id": name}) for name in (ESTIMATE_FORM, FALLBACK_FORM, "", "other")),
    submission({name: value for name, value in VIEW.items() if name != "callback_id"}),
    *(interaction("view_closed", view={"id": "V1", "callback_id": name}) for name in (ESTIMATE_FORM, "other")),
    interaction("view_closed", view={"id": "V1"}),
    *(interaction("block_actions", actions=[{"action_id": name}]) for name in (FORM_ACTION, "estimate_share", "")),
    interaction("block_actions", actions=[{"action_id": "other"}], view={"id": "V1"}),
    interaction("view_submission", view=VIEW, team=None, enterprise={"id": "E1"}),
    command(text="", command="/other"),
]
BARE_EVENTS = [
    *("message", "app_home_opened", "app_mention", "function_executed", "workflow_step_execute", "tokens_revoked"),
    *("app_uninstalled", "assistant_thread_started", "assistant_thread_context_changed", "member_joined_channel", ""),
]


async def test_no_payload_that_is_accepted_lacks_a_field_that_bolt_reads(
    simulated: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin:
        for body in BARE_BODIES:
            assert await post(origin, body, signed(body, bot.services.clock())) in (200, 404), body
        for name in BARE_EVENTS:
            body = json.dumps({"type": "event_callback", "event": {"type": name}}).encode()
            headers = signed(body, bot.services.clock(), "application/json")
            assert await post(origin, body, headers) in (200, 404), name
        await bot.in_flight.drain(10)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_machine_clock_that_is_set_does_not_refuse_slack(
    simulated: World, clock: HandClock, minutes: int
) -> None:
    start, wrong = clock(), timedelta()
    steady = SteadyClock(lambda: clock() + wrong, lambda: (clock() - start).total_seconds())
    simulated.clock = steady
    async with simulated.bot() as bot, port_of(bot) as origin:
        assert await post(origin, body := command(), signed(body, clock())) == 200
        wrong = timedelta(minutes=minutes)
        clock.advance(timedelta(seconds=5))
        assert await post(origin, body := command(), signed(body, clock())) == 200
        assert await post(origin, body := command(), signed(body, clock() + timedelta(minutes=minutes))) == 401


async def test_a_captured_request_is_served_once_and_its_repeat_changes_nothing(
    simulated: World, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    interaction = simulated.slack.response_urls.new(ADMIN, ALERTS)
    body = command(response_url=f"{simulated.slack.origin}/response/{interaction.id}", text="fallback on for 2h")
    async with simulated.bot() as bot, port_of(bot) as origin:
        captured = signed(body, clock())
        assert await post(origin, body, captured) == 200
        await bot.in_flight.drain(10)
        replies = len(interaction.replies)
        assert replies > 0
        for seconds in (0, 1, 299):
            clock.advance(timedelta(seconds=seconds))
            assert await post(origin, body, captured) == 200
        await bot.in_flight.drain(10)
        assert len(interaction.replies) == replies
        assert caplog.text.count("was handled before") == 3
        clock.advance(timedelta(seconds=1))
        assert await post(origin, body, captured) == 401
        assert await post(origin, body, signed(body, clock())) == 200
        await bot.in_flight.drain(10)
        assert len(interaction.replies) > replies


async def test_the_challenge_of_a_new_address_is_echoed(simulated: World) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "echo"}).encode()
    async with simulated.bot() as bot, port_of(bot) as origin, aiohttp.ClientSession() as session:
        headers = signed(body, bot.services.clock(), "application/json")
        async with session.post(f"{origin}/slack/events", data=body, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, {"challenge": "echo"})


@pytest.mark.parametrize(
    ("name", "value", "status"), [("Sec-Fetch-Site", "cross-site", 403), ("X_Host", "a.example", 401)]
)
async def test_without_a_token_no_reader_comes_from_another_site_or_through_a_proxy(
    simulated: World, name: str, value: str, status: int
) -> None:
    async with simulated.bot() as bot, port_of(bot) as origin, aiohttp.ClientSession() as session:
        for path in ("/v1/fallback", "/metrics"):
            async with session.get(origin + path) as answer:
                assert answer.status == 200
            async with session.get(origin + path, headers={name: value}) as answer:
                assert answer.status == status
        async with session.get(f"{origin}/healthz", headers={name: value}) as answer:
            assert answer.status == 200
        body = command()
        assert await post(origin, body, CIMultiDict({**signed(body, bot.services.clock()), name: value})) == 200
