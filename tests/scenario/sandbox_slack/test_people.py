"""What people do in the local Slack, heard and answered by a real Bolt app."""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.clock import system_clock
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from tests.scenario.sandbox_slack.real_app import (
    FORM,
    START,
    WITH_BUTTON,
    answer_commands,
    refusal,
    socket_mode,
)


async def test_a_command_is_acknowledged_and_answered_through_its_response_url(
    app: AsyncApp, slack: SlackSandbox
) -> None:
    seen: list[dict[str, Any]] = []

    async def on_command(ack: AsyncAck, command: dict[str, Any], respond: AsyncRespond) -> None:
        seen.append(command)
        await ack()
        await respond(text="all is well", blocks=WITH_BUTTON)

    app.command("/claude-cost")(on_command)
    async with socket_mode(app, slack):
        interaction = await slack.command("status a < b", user=DEVELOPER)
        reply = await interaction.first_reply()
    assert interaction.ack is not None
    assert interaction.ack.payload is None
    assert (reply.text, reply.ephemeral_to, reply.channel) == ("all is well", DEVELOPER, ALERTS)
    assert slack.visible_to(ADMIN) == []
    assert (seen[0]["command"], seen[0]["text"]) == ("/claude-cost", "status a &lt; b")
    assert (seen[0]["user_id"], seen[0]["channel_id"]) == (DEVELOPER, ALERTS)


async def test_an_answer_may_come_with_the_acknowledgement(app: AsyncApp, slack: SlackSandbox) -> None:
    async def on_command(ack: AsyncAck) -> None:
        await ack(text="seen by all", response_type="in_channel")

    app.command("/claude-cost")(on_command)
    async with socket_mode(app, slack):
        interaction = await slack.command("/claude-cost status")
    assert [reply.text for reply in interaction.replies] == ["seen by all"]
    assert len(slack.visible_to(DEVELOPER)) == 1


async def test_a_click_carries_the_message_and_can_replace_it(
    app: AsyncApp, client: AsyncWebClient, slack: SlackSandbox
) -> None:
    seen: list[dict[str, Any]] = []

    async def on_switch(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        seen.append(body)
        await ack()
        await respond(text="switched", replace_original=True)

    app.action("switch")(on_switch)
    ts = (await client.chat_postMessage(channel=ALERTS, text="alert", blocks=WITH_BUTTON))["ts"]
    async with socket_mode(app, slack):
        interaction = await slack.click(ts, "switch", user=DEVELOPER)
        reply = await interaction.first_reply()
    [body] = seen
    assert body["user"]["id"] == DEVELOPER
    assert (body["actions"][0]["value"], body["actions"][0]["block_id"]) == ("minimal", "choices")
    assert (body["message"]["ts"], body["channel"]["id"]) == (ts, ALERTS)
    assert body["container"] == {"type": "message", "message_ts": ts, "channel_id": ALERTS, "is_ephemeral": False}
    assert (slack.messages, reply.texts) == ([reply], ["alert", "switched"])


async def test_an_answer_to_a_click_replaces_the_message_unless_it_says_otherwise(
    app: AsyncApp, client: AsyncWebClient, slack: SlackSandbox
) -> None:
    async def on_switch(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        await respond(text="beside it", replace_original=False, response_type="in_channel")
        await respond(text="instead")

    app.action("switch")(on_switch)
    await client.chat_postMessage(channel=ALERTS, text="alert", blocks=WITH_BUTTON)
    async with socket_mode(app, slack):
        await (await slack.click(slack.messages[0], "switch")).reply(1)
    assert [message.text for message in slack.visible_to(DEVELOPER)] == ["instead", "beside it"]


async def test_a_menu_sends_the_option_that_was_chosen(
    app: AsyncApp, client: AsyncWebClient, slack: SlackSandbox
) -> None:
    options = [{"text": {"type": "plain_text", "text": word}, "value": word} for word in ("day", "week")]
    menu = {"type": "static_select", "action_id": "period", "options": options}
    chosen: list[dict[str, Any]] = []

    async def on_choice(ack: AsyncAck, action: dict[str, Any]) -> None:
        chosen.append(action)
        await ack()

    app.action("period")(on_choice)
    await client.chat_postMessage(channel=ALERTS, text="x", blocks=[{"type": "actions", "elements": [menu]}])
    async with socket_mode(app, slack):
        await slack.click(slack.messages[0], "period", chosen="week")
        with pytest.raises(ValueError, match="no option 'year'"):
            await slack.click(slack.messages[0], "period", chosen="year")
    assert [action["selected_option"] for action in chosen] == [options[1]]


async def test_a_click_in_an_ephemeral_message_comes_without_the_message(app: AsyncApp, slack: SlackSandbox) -> None:
    seen: list[dict[str, Any]] = []

    async def on_switch(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        seen.append(body)
        await ack()
        await respond(delete_original=True)

    answer_commands(app, blocks=WITH_BUTTON)
    app.action("switch")(on_switch)
    async with socket_mode(app, slack):
        offered = await (await slack.command("status")).first_reply()
        with pytest.raises(ValueError, match="does not see"):
            await slack.click(offered, "switch", user=DEVELOPER)
        with pytest.raises(ValueError, match="there are: switch"):
            await slack.click(offered, "undo")
        await slack.click(offered, "switch")
        await slack.until(lambda: offered not in slack.messages)
    assert ("message" in seen[0], seen[0]["container"]["is_ephemeral"]) == (False, True)


async def test_a_response_url_is_good_for_five_uses(app: AsyncApp, slack: SlackSandbox) -> None:
    statuses: asyncio.Queue[int] = asyncio.Queue()

    async def on_command(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        for number in range(6):
            statuses.put_nowait((await respond(text=str(number))).status_code)

    app.command("/claude-cost")(on_command)
    async with socket_mode(app, slack):
        interaction = await slack.command("status")
        async with asyncio.timeout(5):
            assert [await statuses.get() for _ in range(6)] == [200] * 5 + [404]
    assert [message.text for message in interaction.replies] == list("01234")


async def test_a_fault_can_befall_a_response_url(app: AsyncApp, slack: SlackSandbox) -> None:
    statuses: asyncio.Queue[int] = asyncio.Queue()

    async def on_command(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        statuses.put_nowait((await respond(text="x")).status_code)

    app.command("/claude-cost")(on_command)
    slack.faults.add("response_url", Fault("status", status=503))
    async with socket_mode(app, slack):
        await slack.command("status")
        async with asyncio.timeout(5):
            assert await statuses.get() == 503
    assert slack.messages == []


async def test_a_response_url_ends_after_half_an_hour(slack: SlackSandbox, clock: HandClock, app: AsyncApp) -> None:
    urls: list[str] = []

    async def on_command(ack: AsyncAck, command: dict[str, str]) -> None:
        urls.append(command["response_url"])
        await ack()

    app.command("/claude-cost")(on_command)
    async with socket_mode(app, slack):
        await slack.command("status")
    async with aiohttp.ClientSession() as session:
        bad = await session.post(urls[0], json={"text": "x", "blocks": [{"type": "alert"}]})
        assert (bad.status, (await bad.json())["error"]) == (400, "invalid_blocks")
        clock.advance(timedelta(minutes=30))
        assert (await session.post(urls[0], json={"text": "just in time"})).status == 200
        clock.advance(timedelta(seconds=1))
        late = await session.post(urls[0], json={"text": "late"})
        assert (late.status, (await late.json())["error"]) == (404, "expired_url")
    assert [message.text for message in slack.messages] == ["just in time"]


async def test_a_clock_that_runs_too_fast_does_not_end_response_urls(app: AsyncApp, clock: HandClock) -> None:
    async def on_command(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        clock.advance(timedelta(days=1))
        await respond(text="still here")

    app.command("/claude-cost")(on_command)
    async with SlackSandbox(clock, lifetime_clock=system_clock) as slack:
        app.client.base_url = slack.api_url
        async with socket_mode(app, slack):
            reply = await (await slack.command("status")).first_reply()
    assert (reply.text, reply.posted_at) == ("still here", START + timedelta(days=1))


async def test_a_modal_opens_within_three_seconds_once_and_is_submitted(
    app: AsyncApp, slack: SlackSandbox, clock: HandClock
) -> None:
    submitted: list[dict[str, Any]] = []
    refused: list[str] = []

    async def on_command(ack: AsyncAck, command: dict[str, str], client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=command["trigger_id"], view=FORM)
        refused.append(await refusal(client.views_open(trigger_id=command["trigger_id"], view=FORM)))
        await ack()

    async def on_late(ack: AsyncAck, command: dict[str, str], client: AsyncWebClient) -> None:
        clock.advance(timedelta(seconds=3.1))
        refused.append(await refusal(client.views_open(trigger_id=command["trigger_id"], view=FORM)))
        await ack()

    async def on_submit(ack: AsyncAck, view: dict[str, Any]) -> None:
        submitted.append(view)
        if not view["state"]["values"]["limit"]["usd"]["value"].isdigit():
            await ack(response_action="errors", errors={"limit": "a number, please"})
        else:
            await ack()

    app.command("/claude-cost")(on_command)
    app.command("/late")(on_late)
    app.view("budget")(on_submit)
    async with socket_mode(app, slack):
        await slack.command("budget")
        with pytest.raises(ValueError, match="'usd' is required"):
            await slack.submit_view({})
        wrong = await slack.submit_view({"usd": "much"})
        assert len(slack.views.modals[ADMIN]) == 1
        await slack.submit_view({"usd": "50"})
        assert slack.views.modals[ADMIN] == []
        await slack.command("/late")
    assert wrong.ack is not None
    assert wrong.ack.payload == {"response_action": "errors", "errors": {"limit": "a number, please"}}
    assert refused == ["exchanged_trigger_id", "expired_trigger_id"]
    assert submitted[-1]["state"]["values"] == {"limit": {"usd": {"type": "plain_text_input", "value": "50"}}}


@pytest.mark.parametrize(
    ("answer", "titles"),
    [
        ({}, []),
        ({"response_action": "clear"}, []),
        ({"response_action": "update", "view": FORM | {"title": {"type": "plain_text", "text": "Next"}}}, ["Next"]),
        ({"response_action": "push", "view": FORM}, ["Budget", "Budget"]),
    ],
)
async def test_a_submitted_form_closes_changes_or_gets_another_on_top(
    app: AsyncApp, slack: SlackSandbox, answer: dict[str, Any], titles: list[str]
) -> None:
    async def on_submit(ack: AsyncAck) -> None:
        await ack(**answer)

    app.view("budget")(on_submit)
    slack.views.put_on_top(ADMIN, FORM)
    async with socket_mode(app, slack):
        await slack.submit_view({"usd": "50"})
    assert [view.content["title"]["text"] for view in slack.views.modals[ADMIN]] == titles


async def test_a_home_tab_is_published_when_someone_opens_it_and_has_buttons(
    app: AsyncApp, slack: SlackSandbox
) -> None:
    clicked: list[dict[str, Any]] = []

    async def on_opened(event: dict[str, Any], client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": WITH_BUTTON})

    async def on_switch(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        clicked.append(body)
        await client.views_update(view_id=body["view"]["id"], view={"type": "home", "blocks": []})
        await ack()

    app.event("app_home_opened")(on_opened)
    app.action("switch")(on_switch)
    async with socket_mode(app, slack):
        await slack.open_home(DEVELOPER)
        await slack.until(lambda: DEVELOPER in slack.views.homes)
        home = slack.views.homes[DEVELOPER]
        await slack.click(home, "switch", user=DEVELOPER)
    assert home.content["blocks"] == []
    assert clicked[0]["container"] == {"type": "view", "view_id": home.id}
    assert "response_url" not in clicked[0]


async def test_a_view_is_checked_and_two_writers_do_not_overwrite_each_other(client: AsyncWebClient) -> None:
    home = {"type": "home", "blocks": WITH_BUTTON}
    first = await client.views_publish(user_id=ADMIN, view=home)
    await client.views_publish(user_id=ADMIN, view=home, hash=first["view"]["hash"])
    assert await refusal(client.views_publish(user_id=ADMIN, view=home, hash=first["view"]["hash"])) == "hash_conflict"
    chart = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": [{"type": "table", "rows": []}]}
    assert await refusal(client.views_open(trigger_id="1.2.3", view=chart)) == "invalid_arguments"
    assert await refusal(client.views_open(trigger_id="1.2.3", view=FORM)) == "invalid_trigger_id"
    assert await refusal(client.views_update(view_id="V0", view=home)) == "not_found"
