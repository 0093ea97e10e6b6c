"""Threads of the local Slack, and what becomes of them when messages are deleted."""

from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER, TOMBSTONE
from tests.scenario.sandbox_slack.real_app import WITH_BUTTON, refusal, socket_mode


async def post(client: AsyncWebClient, text: str, **more: Any) -> str:
    return str((await client.chat_postMessage(channel=ALERTS, text=text, **more))["ts"])


async def test_a_thread_is_read_with_its_parent_and_only_broadcasts_stand_in_the_channel(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    slack.workspace.scopes.add("channels:history")
    parent = await post(client, "soft")
    quiet = await post(client, "acknowledged", thread_ts=parent)
    loud = await post(client, "escalated", thread_ts=parent, reply_broadcast=True)
    thread = (await client.conversations_replies(channel=ALERTS, ts=parent))["messages"]
    assert [(message["ts"], message["thread_ts"]) for message in thread] == [
        (ts, parent) for ts in (parent, quiet, loud)
    ]
    first = thread[0]
    assert (first["reply_count"], first["reply_users"], first["latest_reply"]) == (2, [BOT_USER], loud)
    history = (await client.conversations_history(channel=ALERTS))["messages"]
    assert [(message["ts"], message.get("subtype")) for message in history] == [
        (loud, "thread_broadcast"),
        (parent, None),
    ]


async def test_reading_a_thread_needs_the_history_scope(client: AsyncWebClient) -> None:
    parent = await post(client, "soft")
    assert await refusal(client.conversations_replies(channel=ALERTS, ts=parent)) == "missing_scope"


async def test_the_bot_deletes_its_own_messages_alone(client: AsyncWebClient, slack: SlackSandbox) -> None:
    own, ts = await post(client, "own"), slack.say("a person's").ts
    answer = await client.chat_delete(channel=ALERTS, ts=own)
    assert (answer["channel"], answer["ts"]) == (ALERTS, own)
    assert await refusal(client.chat_delete(channel=ALERTS, ts=own)) == "message_not_found"
    assert await refusal(client.chat_delete(channel=ALERTS, ts=ts)) == "cant_delete_message"
    assert [message.ts for message in slack.messages] == [ts]


async def test_a_deleted_message_can_be_neither_edited_nor_linked_to(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    ts = await post(client, "soft")
    slack.delete(slack.messages[0])
    assert await refusal(client.chat_update(channel=ALERTS, ts=ts, text="resolved")) == "message_not_found"
    assert await refusal(client.chat_getPermalink(channel=ALERTS, message_ts=ts)) == "message_not_found"


async def test_a_reply_to_a_deleted_message_lands_in_the_channel_and_only_the_response_says_so(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    parent = await post(client, "soft")
    slack.delete(slack.messages[0])
    answer = await client.chat_postMessage(channel=ALERTS, text="resolved", thread_ts=parent, reply_broadcast=True)
    assert "thread_ts" not in answer["message"]
    assert "subtype" not in answer["message"]
    [reply] = slack.messages
    assert (reply.text, reply.thread_ts) == ("resolved", None)


async def test_above_its_replies_a_deleted_message_leaves_a_tombstone_and_the_thread_goes_on(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    slack.workspace.scopes.add("channels:history")
    parent = await post(client, "soft", blocks=WITH_BUTTON)
    first = await post(client, "acknowledged", thread_ts=parent)
    slack.delete(slack.messages[0])
    answer = await client.chat_postMessage(channel=ALERTS, text="resolved", thread_ts=parent)
    assert answer["message"]["thread_ts"] == parent
    [stone, *replies] = (await client.conversations_replies(channel=ALERTS, ts=parent))["messages"]
    assert (stone["subtype"], stone["text"], stone["blocks"]) == ("tombstone", TOMBSTONE, [])
    assert [reply["text"] for reply in replies] == ["acknowledged", "resolved"]
    for call in (
        client.chat_update(channel=ALERTS, ts=parent, text="x"),
        client.chat_delete(channel=ALERTS, ts=parent),
    ):
        assert await refusal(call) == "message_not_found"
    for ts in (first, answer["ts"]):
        await client.chat_delete(channel=ALERTS, ts=ts)
    assert slack.messages == []


async def test_admins_delete_any_message_and_others_what_they_wrote(
    client: AsyncWebClient, slack: SlackSandbox
) -> None:
    await post(client, "the bot's")
    of_bot, of_developer = slack.messages[0], slack.say("the developer's", DEVELOPER)
    with pytest.raises(ValueError, match="U0DEV may not delete"):
        slack.delete(of_bot, DEVELOPER)
    slack.delete(of_developer, DEVELOPER)
    slack.delete(of_bot, ADMIN)
    private = slack.workspace.post(ALERTS, BOT_USER, "for Ada", [], ephemeral_to=ADMIN)
    with pytest.raises(ValueError, match="U0ADMIN may not delete"):
        slack.delete(private, ADMIN)
    assert slack.messages == [private]


async def test_a_click_in_a_thread_says_which_one(app: AsyncApp, client: AsyncWebClient, slack: SlackSandbox) -> None:
    seen: list[dict[str, Any]] = []

    async def on_switch(ack: AsyncAck, body: dict[str, Any]) -> None:
        seen.append(body)
        await ack()

    app.action("switch")(on_switch)
    parent = await post(client, "soft", blocks=WITH_BUTTON)
    async with socket_mode(app, slack):
        await slack.click(parent, "switch")
        reply = await post(client, "escalated", blocks=WITH_BUTTON, thread_ts=parent)
        await slack.click(reply, "switch")
        await slack.click(parent, "switch")
    alone, in_thread, above_it = seen
    assert "thread_ts" not in alone["container"]
    assert "thread_ts" not in alone["message"]
    for body in (in_thread, above_it):
        assert (body["container"]["thread_ts"], body["message"]["thread_ts"]) == (parent, parent)
