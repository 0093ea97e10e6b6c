"""A real Bolt app with a form that turns into its result, and the demo's page as a browser's script uses it."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack_server import ALERTS
from bot.sandbox.slack_workspace import ADMIN

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def option(value: str) -> Json:
    return {"text": plain(value.upper()), "value": value}


def field_of(block_id: str, kind: str, *, optional: bool = False, **element: Any) -> Json:
    """An input block; all of them have the same action id, which Slack allows."""
    element = {"type": kind, "action_id": "value", **element}
    return {"type": "input", "block_id": block_id, "label": plain(block_id), "element": element, "optional": optional}


EXAMPLE: Json = {"type": "button", "action_id": "example", "text": plain("Example"), "value": "small"}
FORM: Json = {
    "type": "modal",
    "callback_id": "estimate",
    "title": plain("Estimate"),
    "submit": plain("Go"),
    "blocks": [
        field_of("requests", "plain_text_input", initial_value="100k"),
        field_of("tokens", "number_input", is_decimal_allowed=False),
        field_of(
            "model",
            "static_select",
            option_groups=[{"label": plain("5.5"), "options": [option("opus"), option("sonnet")]}],
        ),
        field_of(
            "kinds",
            "checkboxes",
            optional=True,
            options=[option("batch"), option("cache")],
            initial_options=[option("cache")],
        ),
        field_of(
            "ttl", "radio_buttons", optional=True, options=[option("5m"), option("1h")], initial_option=option("5m")
        ),
        {"type": "section", "text": plain("Not sure?"), "accessory": EXAMPLE},
        {"type": "section", "text": plain("Still not?"), "accessory": EXAMPLE | {"value": "large"}},
    ],
}


def filled(**values: str | list[str]) -> Json:
    """Values for `FORM`, by block id and action id; required fields are valid unless given here."""
    return {block_id: {"value": value} for block_id, value in ({"tokens": "2000", "model": "sonnet"} | values).items()}


def result(clicks: int) -> Json:
    more = {"type": "button", "action_id": "more", "text": plain("More"), "value": str(clicks + 1)}
    return {
        "type": "modal",
        "title": plain("Result"),
        "close": plain("Done"),
        "blocks": [
            {"type": "section", "text": plain(f"{clicks} clicks")},
            {"type": "actions", "block_id": "go_on", "elements": [more]},
        ],
    }


@dataclass(slots=True)
class FormApp:
    """What the app received. `form`: opened by its command. Its response to a form depends on `requests`."""

    app: AsyncApp
    form: Json = field(default_factory=lambda: FORM)
    submitted: list[Json] = field(default_factory=list)
    clicked: list[Json] = field(default_factory=list)
    closed: list[Json] = field(default_factory=list)

    def listen(self) -> None:
        self.app.command("/claude-cost")(self._on_command)
        self.app.view("estimate")(self._on_submit)
        self.app.action("more")(self._on_more)
        self.app.action("example")(self._on_example)
        self.app.view_closed("estimate")(self._on_closed)

    async def _on_command(self, ack: AsyncAck, command: Json, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=command["trigger_id"], view=self.form)
        await ack()

    async def _on_submit(self, ack: AsyncAck, view: Json) -> None:
        values = view["state"]["values"]
        self.submitted.append(values)
        match values["requests"]["value"]["value"]:
            case "many":
                await ack(response_action="errors", errors={"requests": "Write a number, such as 100k."})
            case "a view that is none":
                await ack(response_action="update", view={"type": "modal", "title": plain("x"), "blocks": "none"})
            case "clear":
                await ack(response_action="clear")
            case "push":
                await ack(response_action="push", view=FORM)
            case "close":
                await ack()
            case _:
                await ack(response_action="update", view=result(0))

    async def _on_more(self, ack: AsyncAck, body: Json, action: Json, client: AsyncWebClient) -> None:
        await client.views_update(view_id=body["view"]["id"], view=result(int(action["value"])))
        await ack()

    async def _on_example(self, ack: AsyncAck, body: Json) -> None:
        self.clicked.append(body)
        await ack()

    async def _on_closed(self, ack: AsyncAck, body: Json) -> None:
        self.closed.append(body)
        await ack()


@dataclass(frozen=True, slots=True)
class Browser:
    """The page's script without drawing."""

    session: aiohttp.ClientSession

    async def post(self, path: str, **body: Any) -> tuple[int, str]:
        """Status and text of the answer."""
        async with self.session.post(path, json=body) as answer:
            return answer.status, await answer.text()

    async def open_form(self, user: str = ADMIN) -> str:
        """The id of the form that a command opens."""
        assert await self.post("/command", user=user, text="estimate") == (204, "")
        [*_, top] = (await self.state(user))["modals"]
        return str(top["id"])

    async def submit(self, view_id: str, values: Json) -> Json:
        """The app's response to the form."""
        status, text = await self.post("/submit", user=ADMIN, view_id=view_id, values=values)
        assert status == 200, text
        answer: Json = json.loads(text)
        return answer

    async def events(self, user: str = ADMIN, place: str = ALERTS) -> AsyncGenerator[Json, None]:
        """Events of the page, as they arrive."""
        async with self.session.get("/events", params={"user": user, "place": place}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            async for line in answer.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    async def state(self, user: str = ADMIN, place: str = ALERTS) -> Json:
        """The first event of a new stream."""
        async with aclosing(self.events(user, place)) as events:
            return await anext(events)
