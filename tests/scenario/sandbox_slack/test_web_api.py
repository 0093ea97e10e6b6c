"""The local Slack's Web API, asked by the real SDK: it answers and refuses as Slack does."""

import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault, FaultKind
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER
from tests.scenario.sandbox_slack.real_app import START, WITH_BUTTON, refusal


async def test_a_client_learns_who_it_is_and_which_scopes_it_has(client: AsyncWebClient, slack: SlackSandbox) -> None:
    answer = await client.auth_test()
    assert (answer["user_id"], answer["url"]) == (BOT_USER, f"{slack.origin}/")
    assert answer.headers["X-OAuth-Scopes"] == "chat:write,commands"


@pytest.mark.parametrize(
    ("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")]
)
async def test_a_wrong_token_is_refused(slack: SlackSandbox, token: str, error: str) -> None:
    assert await refusal(AsyncWebClient(token=token, base_url=slack.api_url).auth_test()) == error


async def test_a_method_that_it_does_not_know_is_refused_and_noted(client: AsyncWebClient, slack: SlackSandbox) -> None:
    assert await refusal(client.pins_add(channel=ALERTS)) == "unknown_method"
    assert [call.method for call in slack.unknown_calls] == ["pins.add"]


async def test_a_missing_scope_is_named(client: AsyncWebClient, slack: SlackSandbox) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.conversations_history(channel=ALERTS)
    answer = caught.value.response
    assert (answer["error"], answer["needed"]) == ("missing_scope", "channels:history")
    assert answer["provided"] == "chat:write,commands"


async def test_calls_are_noted_with_their_arguments_and_without_the_token(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    await client.api_test(colour="blue")
    assert (slack.calls[-1].method, slack.calls[-1].arguments["colour"]) == ("api.test", "blue")
    assert slack.calls[-1].at == START
    assert BOT_TOKEN not in str(slack.calls)


async def test_a_posted_message_stands_in_the_channel(client: AsyncWebClient, slack: SlackSandbox) -> None:
    metadata = {"event_type": "notice", "event_payload": {"id": "1"}}
    answer = await client.chat_postMessage(channel=ALERTS, text="soft limit", blocks=WITH_BUTTON, metadata=metadata)
    [message] = slack.visible_to(DEVELOPER, ALERTS)
    assert (message.ts, message.text, message.blocks) == (answer["ts"], "soft limit", WITH_BUTTON)
    assert (message.user, message.metadata, message.posted_at) == (BOT_USER, metadata, START)


async def test_a_form_carries_blocks_as_json_text(client: AsyncWebClient, slack: SlackSandbox) -> None:
    arguments = {"channel": ALERTS, "text": "x", "blocks": json.dumps(WITH_BUTTON)}
    await client.api_call("chat.postMessage", data=arguments)
    await client.api_call("chat.postMessage", params=arguments)
    assert [message.blocks for message in slack.messages] == [WITH_BUTTON] * 2


async def test_ts_rises_even_while_the_clock_stands_still(client: AsyncWebClient) -> None:
    stamps = [(await client.chat_postMessage(channel=ALERTS, text=str(number)))["ts"] for number in range(3)]
    assert stamps == sorted(set(stamps))


async def test_a_reply_is_in_the_thread_and_shown_in_the_channel_when_broadcast(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    parent = (await client.chat_postMessage(channel=ALERTS, text="soft"))["ts"]
    await client.chat_postMessage(channel=ALERTS, text="hard", thread_ts=parent, reply_broadcast=True)
    reply = slack.messages[-1]
    assert (reply.thread_ts, reply.broadcast) == (parent, True)
    again = client.chat_postMessage(channel=ALERTS, text="in reply to a reply", thread_ts=reply.ts)
    assert await refusal(again) == "cannot_reply_to_message"


async def test_posting_where_the_bot_may_not_is_refused(client: AsyncWebClient, slack: SlackSandbox) -> None:
    async def error() -> str:
        return await refusal(client.chat_postMessage(channel=ALERTS, text="x"))

    assert await refusal(client.chat_postMessage(channel="C0OTHER", text="x")) == "channel_not_found"
    channel = slack.workspace.channels[ALERTS]
    channel.has_bot = False
    assert await error() == "not_in_channel"
    channel.is_private = True
    assert await error() == "channel_not_found"
    channel.has_bot = channel.is_archived = True
    assert await error() == "is_archived"
    assert slack.messages == []


async def test_a_person_is_reached_by_direct_message(client: AsyncWebClient, slack: SlackSandbox) -> None:
    assert (await client.chat_postMessage(channel=DEVELOPER, text="psst"))["channel"] == "D0DEV"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": "nonsense"}, "invalid_blocks_format"),
        ({"text": "x", "metadata": {"event_type": "notice"}}, "invalid_metadata_format"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 12_000}] * 2}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 5},
            "msg_blocks_too_long",
        ),
        (
            {"text": "x", "blocks": [{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}] * 2},
            "invalid_attachments",
        ),
    ],
)
async def test_a_message_that_slack_would_refuse_is_refused(
    client: AsyncWebClient, slack: SlackSandbox, arguments: dict[str, Any], error: str
) -> None:
    arguments = {"channel": ALERTS, **arguments}
    assert await refusal(client.api_call("chat.postMessage", json=arguments)) == error
    assert slack.messages == []


async def test_refused_blocks_are_pointed_at(client: AsyncWebClient) -> None:
    block = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=ALERTS, text="x", blocks=[block])
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 151 characters [json-pointer:/blocks/0/text/text]"
    ]


async def test_an_edited_message_remembers_what_it_said(
    client: AsyncWebClient, slack: SlackSandbox, clock: HandClock
) -> None:
    metadata = {"event_type": "notice", "event_payload": {}}
    ts = (await client.chat_postMessage(channel=ALERTS, text="open", blocks=WITH_BUTTON, metadata=metadata))["ts"]
    clock.advance(timedelta(minutes=1))
    await client.chat_update(channel=ALERTS, ts=ts, text="resolved", blocks=[])
    [message] = slack.messages
    assert (message.texts, message.blocks) == (["open", "resolved"], [])
    assert message.earlier[0].blocks == WITH_BUTTON
    assert message.edited_at == START + timedelta(minutes=1)
    assert message.metadata == metadata


async def test_an_empty_object_takes_metadata_away(client: AsyncWebClient, slack: SlackSandbox) -> None:
    metadata = {"event_type": "notice", "event_payload": {}}
    ts = (await client.chat_postMessage(channel=ALERTS, text="open", metadata=metadata))["ts"]
    await client.chat_update(channel=ALERTS, ts=ts, text="open", metadata={})
    assert slack.messages[0].metadata is None


async def test_only_the_bots_own_lasting_messages_can_be_edited(client: AsyncWebClient, slack: SlackSandbox) -> None:
    said = slack.say("hello")
    seen_once = (await client.chat_postEphemeral(channel=ALERTS, user=ADMIN, text="just you"))["message_ts"]
    assert await refusal(client.chat_update(channel=ALERTS, ts="1.000000", text="x")) == "message_not_found"
    assert await refusal(client.chat_update(channel=ALERTS, ts=seen_once, text="x")) == "message_not_found"
    assert await refusal(client.chat_update(channel=ALERTS, ts=said.ts, text="x")) == "cant_update_message"
    ts = (await client.chat_postMessage(channel=ALERTS, text="x"))["ts"]
    assert await refusal(client.chat_update(channel=ALERTS, ts=ts, text="x" * 4001)) == "msg_too_long"


async def test_an_ephemeral_message_is_seen_by_one_person_and_kept_by_nobody(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    slack.workspace.scopes.add("channels:history")
    await client.chat_postEphemeral(channel=ALERTS, user=ADMIN, text="just you")
    assert [message.text for message in slack.visible_to(ADMIN)] == ["just you"]
    assert slack.visible_to(DEVELOPER) == []
    assert (await client.conversations_history(channel=ALERTS))["messages"] == []
    assert await refusal(client.chat_postEphemeral(channel=ALERTS, user="U0X", text="x")) == "user_not_in_channel"


async def test_history_is_read_newest_first_in_pages(
    client: AsyncWebClient, slack: SlackSandbox, clock: HandClock
) -> None:
    slack.workspace.scopes.add("channels:history")
    for number in range(3):
        slack.say(str(number))
        clock.advance(timedelta(minutes=1))
    first = await client.conversations_history(channel=ALERTS, limit=2)
    assert [message["text"] for message in first["messages"]] == ["2", "1"]
    cursor = first["response_metadata"]["next_cursor"]
    rest = await client.conversations_history(channel=ALERTS, limit=2, cursor=cursor)
    assert ([message["text"] for message in rest["messages"]], rest["has_more"]) == (["0"], False)
    since = str((START + timedelta(minutes=1)).timestamp())
    late = await client.conversations_history(channel=ALERTS, oldest=since, inclusive=True)
    assert [message["text"] for message in late["messages"]] == ["2", "1"]


async def test_metadata_is_read_back_only_when_asked_for(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("channels:history")
    metadata = {"event_type": "notice", "event_payload": {"id": "1"}}
    parent = (await client.chat_postMessage(channel=ALERTS, text="open", metadata=metadata))["ts"]
    await client.chat_postMessage(channel=ALERTS, text="reply", thread_ts=parent)
    [bare] = (await client.conversations_history(channel=ALERTS))["messages"]
    [full] = (await client.conversations_history(channel=ALERTS, include_all_metadata=True))["messages"]
    assert ("metadata" in bare, full["metadata"]) == (False, metadata)
    thread = await client.conversations_replies(channel=ALERTS, ts=parent)
    assert [message["text"] for message in thread["messages"]] == ["open", "reply"]
    assert await refusal(client.conversations_replies(channel=ALERTS, ts="1.000000")) == "thread_not_found"


async def test_members_of_a_user_group_are_read_with_the_scope(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.workspace.usergroups["S0OPS"] = [ADMIN]
    assert await refusal(client.usergroups_users_list(usergroup="S0OPS")) == "missing_scope"
    slack.workspace.scopes.add("usergroups:read")
    assert (await client.usergroups_users_list(usergroup="S0OPS"))["users"] == [ADMIN]
    assert await refusal(client.usergroups_users_list(usergroup="S0NONE")) == "no_such_subteam"


async def test_a_message_has_a_permalink(client: AsyncWebClient, slack: SlackSandbox) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="x"))["ts"]
    answer = await client.chat_getPermalink(channel=ALERTS, message_ts=ts)
    assert answer["permalink"] == f"{slack.origin}/archives/{ALERTS}/p{ts.replace('.', '')}"


async def test_blocks_can_be_validated_without_posting(client: AsyncWebClient, slack: SlackSandbox) -> None:
    assert (await client.api_call("blocks.validate", json={"blocks": WITH_BUTTON}))["ok"]
    assert await refusal(client.api_call("blocks.validate", json={"blocks": [{}]})) == "invalid_blocks"
    assert await refusal(client.api_call("blocks.validate", json={"view": {"type": "modal"}})) == "invalid_view"
    assert await refusal(client.api_call("blocks.validate", json={})) == "invalid_arguments"
    assert slack.messages == []


async def test_a_rate_limit_says_how_long_to_wait(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.faults.add("chat.postMessage", Fault("status", status=429, retry_after="7"))
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=ALERTS, text="x")
    response = caught.value.response
    assert (response["error"], response.status_code) == ("ratelimited", 429)
    assert response.headers["Retry-After"] == "7"
    await client.chat_postMessage(channel=ALERTS, text="x")
    assert len(slack.messages) == 1


async def test_a_message_may_stand_although_the_answer_was_a_server_error(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    slack.faults.add("chat.postMessage", Fault("status", status=500, after_doing=True))
    assert await refusal(client.chat_postMessage(channel=ALERTS, text="x")) == "internal_error"
    assert len(slack.messages) == 1


@pytest.mark.parametrize(("kind", "texts"), [("drop", ["a"]), ("drop_after", ["b", "news"])])
async def test_a_connection_breaks_before_a_call_is_done_or_after_it(
    client: AsyncWebClient, slack: SlackSandbox, kind: FaultKind, texts: list[str]
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="a"))["ts"]
    slack.faults.add("chat.update", Fault(kind))
    slack.faults.add("chat.postMessage", Fault(kind))
    with pytest.raises(aiohttp.ClientError):
        await client.chat_update(channel=ALERTS, ts=ts, text="b")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=ALERTS, text="news")
    assert [message.text for message in slack.messages] == texts


async def test_an_edit_may_stand_although_the_answer_was_a_server_error_or_late(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="a"))["ts"]
    slack.faults.add("chat.update", Fault("status", status=500, after_doing=True))
    slack.faults.add("chat.update", Fault("slow", seconds=0.01))
    assert await refusal(client.chat_update(channel=ALERTS, ts=ts, text="b")) == "internal_error"
    await client.chat_update(channel=ALERTS, ts=ts, text="c")
    assert slack.messages[0].texts == ["a", "b", "c"]


async def test_in_an_outage_every_call_fails_until_it_is_over(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.faults.outage = Fault("status", status=503)
    for _ in range(2):
        assert await refusal(client.chat_postMessage(channel=ALERTS, text="x")) == "internal_error"
        assert await refusal(client.auth_test()) == "internal_error"
    slack.faults.outage = None
    await client.chat_postMessage(channel=ALERTS, text="x")
    assert len(slack.messages) == 1


async def test_a_slow_answer_posts_once(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.faults.add("chat.postMessage", Fault("slow", seconds=0.01, after_doing=True))
    slack.faults.add("chat.postMessage", Fault("slow", seconds=0.01))
    for number in range(2):
        await client.chat_postMessage(channel=ALERTS, text=str(number))
    assert [message.text for message in slack.messages] == ["0", "1"]


async def test_a_scripted_refusal_is_well_formed(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.faults.add("chat.postMessage", Fault("error", error="token_revoked"))
    assert await refusal(client.chat_postMessage(channel=ALERTS, text="x")) == "token_revoked"
    assert slack.messages == []


async def test_the_error_page_of_a_proxy_is_an_api_error(client: AsyncWebClient, slack: SlackSandbox) -> None:
    slack.faults.add("auth.test", Fault("html", status=502))
    with pytest.raises(SlackApiError) as caught:
        await client.auth_test()
    assert caught.value.response.status_code == 502


async def test_every_change_reaches_each_subscriber(client: AsyncWebClient, slack: SlackSandbox) -> None:
    with slack.subscribe() as changes:
        ts = (await client.chat_postMessage(channel=ALERTS, text="a"))["ts"]
        await client.chat_update(channel=ALERTS, ts=ts, text="b")
        reported = [changes.get_nowait() for _ in range(2)]
    assert [(change.kind, change.message) for change in reported] == [
        ("posted", slack.messages[0]),
        ("edited", slack.messages[0]),
    ]
    assert slack.workspace.revision == 2
