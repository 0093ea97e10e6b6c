"""The demo's page, used over HTTP as a browser does, over the local Slack and a real Bolt app with a form."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.anthropic_server import AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import HandClock, RunningClock
from bot.sandbox.page_server import ASSETS, PageServer
from bot.sandbox.slack_server import ALERTS, BOT_TOKEN, SIGNING_SECRET, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER
from bot.sandbox.stage import Directions
from bot.sandbox.team import Team
from tests.scenario.form_app import FORM, Browser, FormApp, Json, field_of, filled, option, plain
from tests.scenario.sandbox_slack.real_app import START, WITH_BUTTON, socket_mode

MONTH_STARTS = datetime(2026, 11, 1, tzinfo=UTC)
FILE = "CLAUDE_FALLBACK_MODE=normal\n"


@pytest.fixture
async def slack() -> AsyncIterator[SlackSandbox]:
    async with SlackSandbox(HandClock(START)) as running:
        yield running


@pytest.fixture
def fallback_file(tmp_path: Path) -> Path:
    path = tmp_path / "fallback.env"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def directions(slack: SlackSandbox, fallback_file: Path) -> Directions:
    """Time stands still until it is asked to play."""
    clock, history = RunningClock(START, 0), UsageHistory()
    return Directions(clock, slack, AnthropicSandbox(clock, history), Team(history, fallback_file, MONTH_STARTS), 2)


@pytest.fixture
async def browser(directions: Directions, fallback_file: Path) -> AsyncIterator[Browser]:
    async with (
        PageServer(directions, fallback_file, 0) as page,
        aiohttp.ClientSession(page.origin) as session,
    ):
        yield Browser(session)


@pytest.fixture
async def app(slack: SlackSandbox) -> AsyncIterator[FormApp]:
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=BOT_TOKEN, base_url=slack.api_url, session=session, retry_handlers=[])
        app = FormApp(AsyncApp(client=client, signing_secret=SIGNING_SECRET))
        app.listen()
        async with socket_mode(app.app, slack):
            yield app


# What it shows


async def test_the_first_event_has_the_channel_the_time_and_the_file(slack: SlackSandbox, browser: Browser) -> None:
    slack.say("for everyone", DEVELOPER)
    slack.workspace.post(ALERTS, BOT_USER, "for Ada", WITH_BUTTON, ephemeral_to=ADMIN)
    state = await browser.state(ADMIN)
    assert (state["now"], state["stage"]["speed"]) == ("Mon 23 Nov 2026, 14:00 UTC", "time stands still")
    assert (state["places"][0]["name"], state["file"], state["modals"]) == ("# alerts", FILE, [])
    assert [(message["text"], message["by_bot"], message["ephemeral"]) for message in state["messages"]] == [
        ("for everyone", False, False),
        ("for Ada", True, True),
    ]
    assert state["messages"][1]["blocks"] == WITH_BUTTON
    assert [message["text"] for message in (await browser.state(DEVELOPER))["messages"]] == ["for everyone"]


async def test_a_person_sees_the_channels_the_home_tab_and_their_own_direct_messages(
    slack: SlackSandbox, browser: Browser
) -> None:
    places = (await browser.state(DEVELOPER))["places"]
    assert [place["name"] for place in places] == ["# alerts", "Home", "Messages"]
    direct = places[-1]["id"]
    slack.workspace.post(slack.workspace.direct_channel(DEVELOPER).id, BOT_USER, "for you", [])
    assert [one["text"] for one in (await browser.state(DEVELOPER, direct))["messages"]] == ["for you"]
    async with browser.session.get("/events", params={"user": ADMIN, "place": direct}) as answer:
        assert answer.status == 400


async def test_what_people_write_reaches_the_app_where_it_is_spoken_to(
    slack: SlackSandbox, browser: Browser, app: FormApp
) -> None:
    direct = (await browser.state(DEVELOPER))["places"][-1]["id"]
    for words in ({"text": "lunch?"}, {"text": "status", "mentions": True}, {"text": "status", "place": direct}):
        await browser.post("/say", user=DEVELOPER, **words)
    assert [message.text for message in slack.messages] == ["lunch?", f"<@{BOT_USER}> status", "status"]
    assert [message.channel for message in slack.messages] == [ALERTS, ALERTS, direct]


async def test_a_fallback_file_that_was_never_written_is_shown_as_missing(
    browser: Browser, fallback_file: Path
) -> None:
    await asyncio.to_thread(fallback_file.unlink)
    assert (await browser.state())["file"] is None


async def test_the_stream_goes_on_with_what_happens(slack: SlackSandbox, browser: Browser) -> None:
    async with aclosing(browser.events()) as events:
        assert (await anext(events))["messages"] == []
        message = slack.say("news")
        async for state in events:
            if state["messages"]:
                break
        slack.workspace.edit(message, "old news", [])
        async for edited in events:
            if edited["messages"][0]["edited"]:
                break
    assert state["messages"][0]["text"] == "news"
    assert edited["messages"][0]["text"] == "old news"


async def test_a_form_is_shown_to_the_person_who_opened_it(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    [modal] = (await browser.state(ADMIN))["modals"]
    assert (modal["id"], modal["title"], modal["submit"], modal["close"]) == (view_id, "Estimate", "Go", None)
    assert not modal["submit_disabled"]
    assert [block["block_id"] for block in modal["blocks"]] == [
        "requests",
        "tokens",
        "model",
        "kinds",
        "ttl",
        "b5",
        "b6",
    ]
    assert (await browser.state(DEVELOPER))["modals"] == []


async def test_everyone_but_the_bot_can_be_chosen(browser: Browser) -> None:
    async with browser.session.get("/people") as answer:
        assert await answer.json() == [[ADMIN, "Ada (admin)"], [DEVELOPER, "Dev"]]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}], ids=str
)
async def test_a_page_of_another_site_neither_sees_nor_does_anything(browser: Browser, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/"), ("GET", "/people"), ("POST", "/command")):
        async with browser.session.request(method, path, headers=headers) as answer:
            assert answer.status == 403


async def test_every_file_of_the_page_is_served_under_a_strict_policy(browser: Browser) -> None:
    folder = files("bot.sandbox").joinpath("page")
    assert {path.name for path in folder.iterdir()} == set(ASSETS)
    for name, kind in ASSETS.items():
        async with browser.session.get("/" if name == "index.html" else f"/{name}") as answer:
            assert (answer.status, answer.content_type) == (200, kind)
            assert await answer.text() == folder.joinpath(name).read_text(encoding="utf-8")
            policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")


async def test_replies_name_their_thread_and_what_is_deleted_above_them_leaves_a_tombstone(
    slack: SlackSandbox, browser: Browser
) -> None:
    alert = slack.workspace.post(ALERTS, BOT_USER, "soft limit", WITH_BUTTON)
    slack.workspace.post(ALERTS, BOT_USER, "acknowledged", [], thread_ts=alert.ts)
    slack.workspace.post(ALERTS, BOT_USER, "escalated", [], thread_ts=alert.ts, broadcast=True)
    messages = (await browser.state())["messages"]
    assert [(message["thread"], message["broadcast"]) for message in messages] == [
        (None, False),
        (alert.ts, False),
        (alert.ts, True),
    ]
    assert await browser.post("/delete", user=ADMIN, ts=alert.ts) == (204, "")
    [stone, *replies] = (await browser.state())["messages"]
    assert (stone["tombstone"], stone["blocks"], stone["deletable"]) == (True, [], False)
    assert [reply["tombstone"] for reply in replies] == [False, False]
    for reply in replies:
        await browser.post("/delete", user=ADMIN, ts=reply["ts"])
    assert (await browser.state())["messages"] == []


# What people do in the channel


async def test_an_admin_of_the_workspace_deletes_the_bots_message_and_others_only_their_own(
    slack: SlackSandbox, browser: Browser
) -> None:
    alert, word = slack.workspace.post(ALERTS, BOT_USER, "soft limit", []), slack.say("on it", DEVELOPER)
    slack.workspace.post(ALERTS, BOT_USER, "for Ada", [], ephemeral_to=ADMIN)
    of_admin, of_developer = (await browser.state(ADMIN))["messages"], (await browser.state(DEVELOPER))["messages"]
    assert [message["deletable"] for message in of_admin] == [True, True, False]
    assert [message["deletable"] for message in of_developer] == [False, True]
    refused = (400, "Nobody could do this in Slack: U0DEV may not delete that message.")
    assert await browser.post("/delete", user=DEVELOPER, ts=alert.ts) == refused
    assert await browser.post("/delete", user=DEVELOPER, ts=word.ts) == (204, "")
    assert await browser.post("/delete", user=ADMIN, ts=alert.ts) == (204, "")
    gone = (404, "This message is not there, or not any more.")
    assert await browser.post("/delete", user=ADMIN, ts=alert.ts) == gone
    assert [message["text"] for message in (await browser.state(ADMIN))["messages"]] == ["for Ada"]


async def test_a_button_in_a_thread_is_clicked_where_it_stands(
    slack: SlackSandbox, browser: Browser, app: FormApp
) -> None:
    heard: list[Json] = []

    async def on_switch(ack: AsyncAck, body: Json) -> None:
        heard.append(body["container"])
        await ack()

    app.app.action("switch")(on_switch)
    alert = slack.workspace.post(ALERTS, BOT_USER, "soft limit", [])
    reply = slack.workspace.post(ALERTS, BOT_USER, "escalated", WITH_BUTTON, thread_ts=alert.ts)
    place = {"block_id": "choices", "action_id": "switch"}
    assert await browser.post("/click", user=ADMIN, ts=reply.ts, **place) == (204, "")
    assert [(container["message_ts"], container["thread_ts"]) for container in heard] == [(reply.ts, alert.ts)]


# What may happen on the stage


async def test_time_is_paused_played_and_hurried_without_a_jump(directions: Directions, browser: Browser) -> None:
    for cue, hours, words in (
        ("play", 2, "2 hours a second"),
        ("faster", 6, "6 hours a second"),
        ("pause", 0, "time stands still"),
    ):
        assert await browser.post("/direct", cue=cue) == (204, "")
        stage = (await browser.state())["stage"]
        assert (stage["pace"], stage["speed"], directions.clock.speed) == (cue, words, hours * 3600)
    assert directions.clock() > START


@pytest.mark.parametrize("service", ["anthropic", "slack"])
async def test_a_service_goes_down_and_comes_back(directions: Directions, browser: Browser, service: str) -> None:
    faults = {"anthropic": directions.anthropic.faults, "slack": directions.slack.faults}[service]
    for way in ("down", "up"):
        assert await browser.post("/direct", cue=f"{service}_{way}") == (204, "")
        assert (await browser.state())["stage"][f"{service}_down"] is (way == "down")
        assert (faults.next("any call") is not None) is (way == "down")


async def test_the_runaway_jobs_usage_is_corrected_once_and_the_job_ends(
    directions: Directions, browser: Browser
) -> None:
    async def runaway() -> str:
        return str((await browser.state())["stage"]["runaway"])

    def used(now: datetime) -> set[str | None]:
        events = directions.anthropic.history.shown(MONTH_STARTS, now, now, timedelta())
        return {event.api_key_id for event in events}

    refused = (409, "This cannot happen now: the runaway job has not begun, or is corrected already.")
    assert await browser.post("/direct", cue="correct") == refused
    assert await runaway() == "before"
    directions.team.work_until(START)
    assert await runaway() == "running"
    assert "apikey_01Ingest" in used(START)
    assert await browser.post("/direct", cue="correct") == (204, "")
    later = START + timedelta(days=1)
    directions.team.work_until(later)
    assert await runaway() == "corrected"
    assert used(later) == {"apikey_01Answers", "apikey_01Review", None}
    assert await browser.post("/direct", cue="correct") == refused


async def test_the_support_feature_retries_and_both_anthropic_and_the_log_know(
    directions: Directions, browser: Browser
) -> None:
    assert await browser.post("/direct", cue="retries") == (204, "")
    [logged] = directions.team.take_logged()
    later = START + timedelta(minutes=1)
    [used] = directions.anthropic.history.shown(START, later, later, timedelta())
    assert (logged.feature.name, logged.at, used.at) == ("support", START, START)
    assert used.counts == tuple(logged.requests * tokens for tokens in logged.shape)


async def test_a_direction_that_the_stage_does_not_know_is_refused(browser: Browser) -> None:
    status, text = await browser.post("/direct", cue="applause")
    assert (status, text.partition(":")[0]) == (400, "cue")
    assert await browser.post("/direct") == (400, "cue: Field required.")


# What people do with forms


async def test_a_form_is_refused_at_its_field_and_then_turns_into_its_result(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    [before] = (await browser.state())["modals"]
    refused = await browser.submit(view_id, filled(requests="many"))
    assert refused == {"response_action": "errors", "errors": {"requests": "Write a number, such as 100k."}}
    assert (await browser.state())["modals"] == [before]

    assert await browser.submit(view_id, filled()) == {"response_action": "update", "errors": {}}
    [shown] = (await browser.state())["modals"]
    assert (shown["id"], shown["title"], shown["submit"], shown["close"]) == (view_id, "Result", None, "Done")
    assert shown["hash"] != before["hash"]

    for clicks in (1, 2):
        done = await browser.post("/click", user=ADMIN, view_id=view_id, block_id="go_on", action_id="more")
        assert done == (204, "")
        [shown] = (await browser.state())["modals"]
        assert shown["blocks"][0]["text"]["text"] == f"{clicks} clicks"


async def test_what_was_typed_ticked_and_chosen_arrives_as_slack_sends_it(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    await browser.submit(view_id, filled(requests="200k", kinds=["batch", "cache"], ttl="1h"))
    assert app.submitted == [
        {
            "requests": {"value": {"type": "plain_text_input", "value": "200k"}},
            "tokens": {"value": {"type": "number_input", "value": "2000"}},
            "model": {"value": {"type": "static_select", "selected_option": option("sonnet")}},
            "kinds": {"value": {"type": "checkboxes", "selected_options": [option("batch"), option("cache")]}},
            "ttl": {"value": {"type": "radio_buttons", "selected_option": option("1h")}},
        }
    ]


async def test_what_is_left_alone_stays_as_it_began_and_what_is_emptied_is_empty(
    browser: Browser, app: FormApp
) -> None:
    await browser.submit(await browser.open_form(), filled())
    await browser.submit(await browser.open_form(), filled(kinds=[], ttl=""))
    alone, emptied = app.submitted
    assert alone["requests"]["value"]["value"] == "100k"
    assert alone["kinds"]["value"]["selected_options"] == [option("cache")]
    assert alone["ttl"]["value"]["selected_option"] == option("5m")
    assert emptied["kinds"]["value"]["selected_options"] == []
    assert emptied["ttl"]["value"]["selected_option"] is None


async def test_a_picker_holds_a_date_a_channel_or_people(browser: Browser, app: FormApp) -> None:
    pickers = [
        field_of("from", "datepicker", initial_date="2026-11-01"),
        field_of("to", "datepicker"),
        field_of("who", "users_select"),
        field_of("where", "conversations_select"),
        field_of("owners", "multi_users_select", initial_users=[ADMIN]),
        field_of("more", "multi_users_select"),
    ]
    app.form = FORM | {"blocks": [*FORM["blocks"], *pickers]}
    chosen = filled(to="2026-11-30", who=DEVELOPER, where=ALERTS, more=[ADMIN, DEVELOPER])
    await browser.submit(await browser.open_form(), chosen)
    [state] = app.submitted
    assert state["from"]["value"] == {"type": "datepicker", "selected_date": "2026-11-01"}
    assert state["to"]["value"] == {"type": "datepicker", "selected_date": "2026-11-30"}
    assert state["who"]["value"] == {"type": "users_select", "selected_user": DEVELOPER}
    assert state["where"]["value"] == {"type": "conversations_select", "selected_conversation": ALERTS}
    assert state["owners"]["value"] == {"type": "multi_users_select", "selected_users": [ADMIN]}
    assert state["more"]["value"] == {"type": "multi_users_select", "selected_users": [ADMIN, DEVELOPER]}


@pytest.mark.parametrize(
    ("answers", "action", "left"), [("close", None, 1), ("clear", "clear", 0), ("push", "push", 3)]
)
async def test_a_form_on_top_of_another_closes_alone_clears_all_or_gets_one_more(
    browser: Browser, app: FormApp, answers: str, action: str | None, left: int
) -> None:
    await browser.open_form()
    answer = await browser.submit(await browser.open_form(), filled(requests=answers))
    assert answer == {"response_action": action, "errors": {}}
    assert len((await browser.state())["modals"]) == left


async def test_a_click_in_a_form_carries_what_was_typed_by_then(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    values = {"requests": {"value": "half-w"}, "kinds": {"value": ["batch"]}}
    for block_id in ("b5", "b6"):
        place = {"user": ADMIN, "view_id": view_id, "block_id": block_id, "action_id": "example"}
        assert await browser.post("/click", **place, values=values) == (204, "")
    small, large = app.clicked
    assert (small["actions"][0]["value"], large["actions"][0]["value"]) == ("small", "large")
    state = small["view"]["state"]["values"]
    assert state["requests"]["value"]["value"] == "half-w"
    assert state["kinds"]["value"]["selected_options"] == [option("batch")]
    assert state["model"]["value"]["selected_option"] is None
    assert set(state) == {"requests", "tokens", "model", "kinds", "ttl"}


@pytest.mark.parametrize(("clears", "left"), [(False, 1), (True, 0)])
async def test_an_app_that_asked_for_it_hears_that_its_form_was_closed(
    browser: Browser, app: FormApp, clears: bool, left: int
) -> None:
    await browser.open_form()
    app.form = FORM | {"notify_on_close": True, "clear_on_close": clears, "private_metadata": "from the report"}
    view_id = await browser.open_form()
    assert await browser.post("/close", user=ADMIN, view_id=view_id) == (204, "")
    assert len((await browser.state())["modals"]) == left
    [heard] = app.closed
    assert (heard["type"], heard["is_cleared"], heard["user"]["id"]) == ("view_closed", clears, ADMIN)
    assert (heard["view"]["id"], heard["view"]["private_metadata"]) == (view_id, "from the report")


async def test_a_form_closes_quietly_where_the_app_did_not_ask(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    assert await browser.post("/close", user=ADMIN, view_id=view_id) == (204, "")
    assert (await browser.state())["modals"] == []
    assert app.closed == []


async def test_a_menu_in_a_message_sends_what_was_chosen(slack: SlackSandbox, browser: Browser, app: FormApp) -> None:
    chosen: list[Json] = []

    async def on_choice(ack: AsyncAck, action: Json) -> None:
        chosen.append(action)
        await ack()

    app.app.action("period")(on_choice)
    for kind in ("static_select", "checkboxes"):
        menu = {"type": kind, "action_id": "period", "options": [option("day"), option("week")]}
        section = {"type": "section", "text": plain("Which?"), "accessory": menu}
        slack.workspace.post(ALERTS, BOT_USER, "Which?", [section])
    one, several = (await browser.state())["messages"]
    used = {"user": ADMIN, "block_id": one["blocks"][0]["block_id"], "action_id": "period"}
    assert await browser.post("/click", **used, ts=one["ts"], chosen="week") == (204, "")
    assert await browser.post("/click", **used, ts=several["ts"], chosen=["day", "week"]) == (204, "")
    assert chosen[0]["selected_option"] == option("week")
    assert chosen[1]["selected_options"] == [option("day"), option("week")]


# What it refuses


@pytest.mark.parametrize("path", ["/command", "/click", "/delete", "/submit", "/close"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body: Invalid JSON"),
        (b"rubbish", "the body: Invalid JSON"),
        (b"\xff", "the body: Invalid JSON"),
        (b"[" * 100_000, "the body: Invalid JSON"),
        (b'"text"', "the body: Input should be an object"),
        (b"{}", "user: Field required"),
        (b'{"user": 7}', "user: Input should be a valid string"),
    ],
)
async def test_a_body_that_is_no_act_is_refused_in_one_sentence(
    browser: Browser, path: str, body: bytes, said: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with browser.session.post(path, data=body, headers=headers) as answer:
        text = await answer.text()
    assert answer.status == 400
    assert text.startswith(said)
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/command", {}, "text: Field required."),
        ("/command", {"text": "help", "loud": True}, "loud: Extra inputs are not permitted."),
        ("/click", {"ts": "1.2", "action_id": "more"}, "block_id: Field required."),
        ("/click", {"ts": "1.2", "block_id": "b0"}, "action_id: Field required."),
        ("/click", {"block_id": "b0", "action_id": "more"}, "the body: either ts or view_id must be given."),
        ("/submit", {"view_id": "V1"}, "values: Field required."),
        ("/submit", {"view_id": "V1", "values": {"in": "5"}}, "values.in: Input should be an object."),
        ("/close", {}, "view_id: Field required."),
        ("/delete", {}, "ts: Field required."),
    ],
)
async def test_a_missing_or_wrong_field_is_named(browser: Browser, path: str, body: Json, said: str) -> None:
    assert await browser.post(path, user=ADMIN, **body) == (400, said)


@pytest.mark.parametrize("user", ["U0NOBODY", BOT_USER, ""])
async def test_nobody_acts_or_looks_as_someone_who_is_not_there(browser: Browser, user: str) -> None:
    refused = (400, "user: nobody here has this id; GET /people lists everyone.")
    assert await browser.post("/command", user=user, text="help") == refused
    async with browser.session.get("/events", params={"user": user}) as answer:
        assert (answer.status, await answer.text()) == refused


async def test_another_site_cannot_post_by_a_plain_form(browser: Browser) -> None:
    async with browser.session.post("/command", data=json.dumps({"user": ADMIN, "text": "help"})) as answer:
        said = await answer.text()
    assert (answer.status, said) == (400, "The body must be JSON and say so in its Content-Type.")


async def test_a_form_or_message_that_is_not_there_is_not_found(
    slack: SlackSandbox, browser: Browser, app: FormApp
) -> None:
    below = await browser.open_form()
    await browser.open_form()
    button = {"block_id": "choices", "action_id": "switch"}
    gone = (404, "This form is not open, or not any more.")
    for user, view_id in ((ADMIN, below), (ADMIN, "V1"), (DEVELOPER, below)):
        assert await browser.post("/submit", user=user, view_id=view_id, values={}) == gone
        assert await browser.post("/close", user=user, view_id=view_id) == gone
        assert await browser.post("/click", user=user, view_id=view_id, **button) == gone
    private = slack.workspace.post(ALERTS, BOT_USER, "for Ada", WITH_BUTTON, ephemeral_to=ADMIN)
    for user, ts in ((ADMIN, "1.2"), (DEVELOPER, private.ts)):
        refused = await browser.post("/click", user=user, ts=ts, **button)
        assert refused == (404, "This message is not there, or not any more.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (filled(requests=""), "in the block 'requests' the input 'value' is required"),
        (filled(tokens=""), "in the block 'tokens' the input 'value' is required"),
        (filled(model="gpt"), "'value' has no option 'gpt'"),
        (filled(kinds=["batch", "speed"]), "'value' has no option 'speed'"),
        (filled(ttl=["5m"]), "'value' takes one value"),
        (filled(b5="small"), "the form has no input 'value' in 'b5'"),
    ],
)
async def test_what_nobody_could_fill_in_is_refused_and_the_app_hears_nothing(
    browser: Browser, app: FormApp, values: Json, said: str
) -> None:
    view_id = await browser.open_form()
    answer = await browser.post("/submit", user=ADMIN, view_id=view_id, values=values)
    assert answer == (400, f"Nobody could do this in Slack: {said}.")
    assert app.submitted == []


async def test_a_button_that_is_not_there_cannot_be_clicked(slack: SlackSandbox, browser: Browser) -> None:
    message = slack.workspace.post(ALERTS, BOT_USER, "alert", WITH_BUTTON)
    place = {"ts": message.ts, "block_id": "choices", "action_id": "explode"}
    status, text = await browser.post("/click", user=ADMIN, **place)
    assert (status, text.partition(":")[0]) == (400, "Nobody could do this in Slack")


async def test_a_button_is_found_in_a_message_whose_blocks_have_moved_meanwhile(
    slack: SlackSandbox, browser: Browser
) -> None:
    message = slack.workspace.post(ALERTS, BOT_USER, "alert", WITH_BUTTON)
    place = {"ts": message.ts, "block_id": "b9", "action_id": "switch"}
    _, text = await browser.post("/click", user=ADMIN, **place)
    assert "Nobody could do this in Slack" not in text


async def test_an_answer_that_slack_would_not_take_is_the_apps_fault(browser: Browser, app: FormApp) -> None:
    view_id = await browser.open_form()
    values = filled(requests="a view that is none")
    status, text = await browser.post("/submit", user=ADMIN, view_id=view_id, values=values)
    assert status == 502
    assert text.startswith("Slack refuses the app's answer: invalid_arguments; [ERROR] must be a list")
    assert [modal["id"] for modal in (await browser.state())["modals"]] == [view_id]


async def test_without_an_app_the_person_gets_an_error(slack: SlackSandbox, browser: Browser) -> None:
    refused = (502, "The app did not take it: dispatch_failed: the app has no open connection.")
    assert await browser.post("/command", user=ADMIN, text="help") == refused
    view = slack.views.put_on_top(ADMIN, FORM | {"notify_on_close": True})
    assert await browser.post("/close", user=ADMIN, view_id=view.id) == refused
    assert (await browser.state())["modals"] == []


# How tests fill in forms without the page


async def test_a_field_is_named_by_its_action_or_where_that_is_not_enough_by_its_block(
    slack: SlackSandbox, browser: Browser, app: FormApp
) -> None:
    name = field_of("kept_as", "plain_text_input", optional=True, action_id="name")
    app.form = FORM | {"blocks": [*FORM["blocks"], name]}
    await browser.open_form()
    with pytest.raises(ValueError, match="no input 'value', or several of that name"):
        await slack.submit_view({"value": "1"})
    with pytest.raises(ValueError, match="no input 'colour', or several"):
        await slack.submit_view({"colour": "blue"})
    await slack.submit_view({"tokens": "5", "model": {"value": "opus"}, "name": "search"})
    [state] = app.submitted
    assert (state["tokens"]["value"]["value"], state["kept_as"]["name"]["value"]) == ("5", "search")
    assert state["model"]["value"]["selected_option"] == option("opus")
