"""One call to Slack: what becomes of it, and what it means for the message."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.language import spoken
from bot.messages import Message, Part
from bot.notify.model import Address, Delivered, Failed, Found, NotEditable, NotThere, SendResult
from bot.notify.slack import LONGEST_TEXT, SlackDestination
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault, LocalServer
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from tests.databases import (
    NOW,
)

SECOND = timedelta(seconds=1)
OTHER = "C0OTHER"
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*450 of 400 USD*"}}]
MESSAGE = Message([Part("soft limit crossed", BLOCKS)])
IDENTITY = {"what": "default/2026-11/soft/400", "notice": "1", "created_at": NOW.isoformat()}
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


def calls(slack: SlackSandbox, method: str) -> list[Any]:
    return [call.arguments for call in slack.calls if call.method == method]


def fail(outcome: SendResult) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


async def test_a_message_is_posted_with_its_identity_and_without_previews(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    outcome = await destination.post(MESSAGE, IDENTITY)
    [posted] = slack.messages
    assert outcome == Delivered(Address(ALERTS, posted.ts))
    assert (posted.text, posted.blocks) == (MESSAGE.text, MESSAGE.blocks)
    assert posted.metadata == {"event_type": "claude_cost_notice", "event_payload": IDENTITY}
    [arguments] = calls(slack, POST)
    assert (arguments["unfurl_links"], arguments["unfurl_media"]) == (False, False)


async def test_an_edit_replaces_text_and_blocks_and_keeps_the_identity(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    posted = await destination.post(MESSAGE, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.address is not None
    assert await destination.update(posted.address, Message([Part("resolved")])) == posted
    [message] = slack.messages
    assert (message.texts, message.blocks) == ([MESSAGE.text, "resolved"], [])
    assert message.metadata is not None


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("not_in_channel", f"The bot is not in {ALERTS}: type /invite @claude-cost there."),
        ("channel_not_found", "CLAUDE_COST_CHANNEL"),
        ("is_archived", "unarchive it"),
        ("missing_scope", "add it on OAuth & Permissions and reinstall the app"),
        ("token_revoked", "SLACK_BOT_TOKEN was revoked"),
        ("invalid_auth", "SLACK_BOT_TOKEN"),
        ("account_inactive", "reinstall the Slack app"),
        ("restricted_action_read_only_channel", "ask its admins"),
        ("a_code_of_next_year", "a_code_of_next_year"),
        ("message_not_found", "deleted"),
    ],
)
async def test_a_refusal_becomes_a_sentence_with_the_remedy_and_nothing_is_unknown(
    slack: SlackSandbox, destination: SlackDestination, code: str, remedy: str
) -> None:
    slack.faults.add(POST, Fault("error", error=code))
    failed = fail(await destination.post(MESSAGE, IDENTITY))
    assert remedy in spoken(failed.sentence)
    assert (failed.retry_after, failed.outcome_unknown) == (None, False)
    assert len(slack.calls) == 1


async def test_the_missing_scope_is_named_as_slack_names_it(slack: SlackSandbox, destination: SlackDestination) -> None:
    slack.workspace.scopes.remove("chat:write")
    assert "lacks the scope chat:write:" in spoken(fail(await destination.post(MESSAGE, IDENTITY)).sentence)


@pytest.mark.parametrize("status", ["429", "200"])
async def test_a_limit_is_reported_with_the_time_that_slack_asks_for(
    slack: SlackSandbox, destination: SlackDestination, status: str
) -> None:
    fault = Fault("status", status=429, retry_after="7") if status == "429" else Fault("error", error="ratelimited")
    slack.faults.add(POST, fault)
    failed = fail(await destination.post(MESSAGE, IDENTITY))
    assert failed.retry_after == (timedelta(seconds=7) if status == "429" else None)
    assert not failed.outcome_unknown


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1.5", "²"])
async def test_a_time_that_is_none_is_no_time(slack: SlackSandbox, destination: SlackDestination, asked: str) -> None:
    slack.faults.add(POST, Fault("status", status=429, retry_after=asked))
    assert fail(await destination.post(MESSAGE, IDENTITY)).retry_after is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500),
        Fault("status", status=503),
        Fault("html", status=502),
        Fault("html", status=200),
        Fault("not_json"),
        Fault("drop_after"),
        Fault("slow", seconds=3),
        Fault("error", error="internal_error"),
        Fault("error", error="fatal_error"),
        Fault("error", error="service_unavailable"),
        Fault("error", error="request_timeout"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.error or fault.status}",
)
async def test_after_a_fault_of_slacks_own_the_message_may_stand_there(
    slack: SlackSandbox, client: AsyncWebClient, fault: Fault
) -> None:
    if fault.kind == "slow":
        client.timeout = 1
    slack.faults.add(POST, fault)
    failed = fail(await SlackDestination(client, ALERTS).post(MESSAGE, IDENTITY))
    assert failed.outcome_unknown
    assert len(failed.sentence.splitlines()) == 1


class Proxy(LocalServer):
    """Something between the bot and Slack that answers in its own words."""

    def __init__(self, status: int, body: bytes, content_type: str) -> None:
        super().__init__()
        self._answer = (status, body, content_type)
        self.app.router.add_route("*", "/{path:.*}", self._say)

    async def _say(self, request: web.Request) -> web.Response:
        status, body, content_type = self._answer
        headers = {"Content-Type": content_type, "Retry-After": "9"}
        return web.Response(status=status, body=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"all is well", "text/plain"),
        (b"[]", "application/json"),
        (b'["ok"]', "application/json"),
        (b'"ok"', "application/json"),
        (b"null", "application/json"),
        (b"\xff\xfe", "application/json; charset=utf-8"),
        (b'{"ok": true}', "application/json"),
        (b"", "application/json"),
    ],
)
async def test_an_answer_that_is_not_slacks_is_an_unknown_outcome_and_never_a_crash(
    body: bytes, content_type: str
) -> None:
    async with Proxy(200, body, content_type) as proxy:
        client = AsyncWebClient("xoxb-1", base_url=f"{proxy.origin}/api/", retry_handlers=[])
        assert fail(await SlackDestination(client, ALERTS).post(MESSAGE, IDENTITY)).outcome_unknown


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/json"])
async def test_a_proxy_that_asks_to_wait_is_obeyed_whatever_it_writes(content_type: str) -> None:
    async with Proxy(429, b"<html>", content_type) as proxy:
        client = AsyncWebClient("xoxb-1", base_url=f"{proxy.origin}/api/", retry_handlers=[])
        failed = fail(await SlackDestination(client, ALERTS).post(MESSAGE, IDENTITY))
        assert (failed.retry_after, failed.outcome_unknown) == (timedelta(seconds=9), False)


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with Proxy(200, b"", "text/plain") as proxy:
        gone = proxy.origin
    client = AsyncWebClient("xoxb-1", base_url=f"{gone}/api/", retry_handlers=[])
    failed = fail(await SlackDestination(client, ALERTS).post(MESSAGE, IDENTITY))
    assert spoken(failed.sentence).startswith("Slack cannot be reached")
    assert not failed.outcome_unknown


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_blocks_too_long", "only_one_table_allowed"])
async def test_blocks_that_slack_refuses_leave_the_text_which_is_complete(
    slack: SlackSandbox, destination: SlackDestination, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    slack.faults.add(POST, Fault("error", error=code))
    with caplog.at_level(logging.WARNING):
        assert isinstance(await destination.post(MESSAGE, IDENTITY), Delivered)
    [posted] = slack.messages
    assert (posted.text, posted.blocks) == (MESSAGE.text, [])
    assert posted.metadata is not None
    assert code in caplog.text


FOLDED = Message(
    [
        Part("soft limit crossed", BLOCKS),
        Part(
            "who and why",
            [{"type": "container", "title": {"type": "plain_text", "text": "Details"}, "child_blocks": BLOCKS}],
        ),
    ]
)


async def test_where_slack_refuses_a_fold_the_rest_is_sent_and_the_details_are_known_to_be_missing(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    slack.faults.add(POST, Fault("error", error="invalid_blocks"))
    posted = await destination.post(FOLDED, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.without_details
    [message] = slack.messages
    assert (message.text, message.blocks) == (FOLDED.text, BLOCKS)
    # A fold that Slack accepts needs no reply.
    assert posted.address is not None
    assert await destination.update(posted.address, FOLDED) == Delivered(posted.address)
    assert message.blocks == FOLDED.blocks


async def test_where_slack_refuses_every_block_the_text_has_the_details_too(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    slack.faults.add(POST, Fault("error", error="invalid_blocks"), times=2)
    posted = await destination.post(FOLDED, IDENTITY)
    assert isinstance(posted, Delivered)
    assert not posted.without_details
    [message] = slack.messages
    assert (message.text, message.blocks) == ("soft limit crossed\nwho and why", [])


async def test_slacks_own_check_of_the_blocks_leads_to_the_text(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    wrong = Message([Part("complete", [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}])])
    assert isinstance(await destination.post(wrong, IDENTITY), Delivered)
    posted = await destination.post(MESSAGE, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.address is not None
    assert await destination.update(posted.address, wrong) == posted
    assert [(message.text, message.blocks) for message in slack.messages] == [("complete", []), ("complete", [])]


async def test_an_identity_that_slack_refuses_does_not_hold_the_message_back(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    slack.faults.add(POST, Fault("error", error="metadata_too_large"))
    assert isinstance(await destination.post(MESSAGE, IDENTITY), Delivered)
    [posted] = slack.messages
    assert (posted.blocks, posted.metadata) == (MESSAGE.blocks, None)


async def test_a_text_too_long_to_edit_keeps_its_first_line_and_the_incident_at_its_end(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    posted = await destination.post(MESSAGE, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.address is not None
    lines = [
        "hard limit crossed",
        *["a mover" * 20] * 60,
        "Incident default/2026-11/hard/600",
        "Data as of 20 Nov 11:55 UTC.",
        "Nothing has been stopped.",
    ]
    assert await destination.update(posted.address, Message([Part("\n".join(lines))])) == posted
    [message] = slack.messages
    assert len(message.text) <= LONGEST_TEXT
    assert message.text.startswith("hard limit crossed\n")
    assert message.text.endswith("\n".join(["\n…", *lines[-3:]]))


async def test_what_is_refused_even_as_text_waits(slack: SlackSandbox, destination: SlackDestination) -> None:
    slack.faults.add(POST, Fault("error", error="invalid_blocks"), times=5)
    assert not fail(await destination.post(MESSAGE, IDENTITY)).outcome_unknown
    assert len(slack.calls) == 2


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message", "is_inactive"])
async def test_a_message_that_cannot_be_edited_is_distinguished_from_one_to_try_again(
    slack: SlackSandbox, destination: SlackDestination, code: str
) -> None:
    slack.faults.add(EDIT, Fault("error", error=code))
    outcome = await destination.update(Address(ALERTS, "1.000000"), MESSAGE)
    assert isinstance(outcome, NotEditable)
    slack.faults.add(EDIT, Fault("error", error="not_in_channel"))
    fail(await destination.update(Address(ALERTS, "1.000000"), MESSAGE))


async def test_a_message_in_a_channel_of_before_that_is_closed_counts_as_gone(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    assert slack.workspace.channels.pop(OTHER)
    outcome = await destination.update(Address(OTHER, "1.000000"), MESSAGE)
    assert isinstance(outcome, NotEditable)
    assert OTHER in outcome.sentence


async def test_what_was_posted_is_found_by_its_identity_where_the_bot_may_read(
    slack: SlackSandbox, destination: SlackDestination
) -> None:
    slack.workspace.scopes.add("channels:history")
    await destination.post(MESSAGE, {**IDENTITY, "notice": "2"})
    posted = await destination.post(MESSAGE, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.address is not None
    slack.say("450 of 400 USD?")
    assert await destination.find(IDENTITY, NOW) == Found(posted.address)
    assert await destination.find({**IDENTITY, "notice": "3"}, NOW) == NotThere()


async def test_it_is_found_below_hundreds_of_later_messages(slack: SlackSandbox, destination: SlackDestination) -> None:
    slack.workspace.scopes.add("channels:history")
    posted = await destination.post(MESSAGE, IDENTITY)
    assert isinstance(posted, Delivered)
    assert posted.address is not None
    for number in range(450):
        slack.say(f"message {number}")
    assert await destination.find(IDENTITY, NOW) == Found(posted.address)
    assert len(calls(slack, HISTORY)) == 3
