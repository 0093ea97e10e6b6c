"""Requests and their answers: every command, click and form passes through here."""

import asyncio
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError

from bot.budgets.snapshots import what_is_there
from bot.db.engine import database_problem
from bot.db.state import Person
from bot.language import tr
from bot.messages import Block, Message
from bot.notify.model import Address
from bot.services import Services
from bot.slack_api import CallError, call
from bot.threads import InFlight
from bot.traces import Value, span
from bot.typed_text import cleaned
from handlers.render.parts import age_line, said, with_age

log = logging.getLogger(__name__)

Content = TypeVar("Content")

CONTENT_SECONDS = 0.6
"""A form must open within a second; the rest of it is for the call that opens it."""

_ID = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Request:
    """One typed command: the person, and the words after the subcommand, as typed.

    `channel`: id of the channel; empty if there is none.
    """

    person: Person
    typed: str
    channel: str = ""

    @property
    def words(self) -> str:
        """The words, normalized to a plain keyboard."""
        return cleaned(self.typed)


@dataclass(frozen=True, slots=True)
class Click:
    """One clicked button. `action`: its id; `row`: id of the row of buttons. All of it may be forged.

    `message`: where it was clicked, or the message of that thread; None if Slack does not say.
    """

    person: Person
    action: str
    value: str
    row: str = ""
    message: Address | None = None

    @property
    def id(self) -> int | None:
        """The value as the id of a database row; None if it is not one."""
        return int(self.value) if _ID.fullmatch(self.value) else None


def click_of(body: Mapping[str, Any], action: Mapping[str, Any]) -> Click:
    """The click that a request is about."""
    named = {name: str(action.get(key) or "") for name, key in (("action", "action_id"), ("row", "block_id"))}
    message, channel = _object(body.get("message")), _object(body.get("channel"))
    ts = message.get("thread_ts") or message.get("ts")
    where = Address(str(channel["id"]), str(ts)) if channel.get("id") and ts else None
    return Click(person_of(body), value=str(action.get("value") or ""), message=where, **named)


def on_click(
    services: Services, in_flight: InFlight, answer: Callable[[Services, Click], Awaitable[Message]]
) -> Callable[..., Awaitable[None]]:
    """A listener that acknowledges a click and answers only the person who clicked."""

    async def clicked(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        async with answering(services, in_flight, body):
            await reply(services, body, await answer(services, click_of(body, action)))

    return clicked


@asynccontextmanager
async def answering(
    services: Services, in_flight: InFlight, body: Mapping[str, Any], command: str = ""
) -> AsyncIterator[None]:
    """Wrap every listener after its acknowledgement: count it as work, and answer in the person's language.

    `command`: the name of the command that is answered.
    """
    async with in_flight.work():
        with span("answer", **_traced(body, command)):
            async with services.languages.reader(person_of(body).id):
                with what_is_there():
                    yield


def _traced(body: Mapping[str, Any], command: str) -> dict[str, Value]:
    """What is answered, and nothing that anybody has typed."""
    actions, view, event = body.get("actions"), _object(body.get("view")), _object(body.get("event"))
    first = _object(actions[0]) if isinstance(actions, list) and actions else {}
    named = first.get("action_id") or view.get("callback_id") or event.get("type") or command
    return {"request": str(body.get("type") or "command"), "name": str(named or "").partition(":")[0]}


def person_of(body: Mapping[str, Any]) -> Person:
    """The user of a command, a click or a form, with every workspace and organization that the request names.

    For somebody of another company (Slack Connect) `user.team_id` is that company's workspace.
    """
    user, team, enterprise = (_object(body.get(name)) for name in ("user", "team", "enterprise"))
    return Person(
        id=str(user.get("id") or body.get("user_id") or ""),
        teams=_ids(body.get("team_id"), team.get("id"), user.get("team_id")),
        enterprises=_ids(
            body.get("enterprise_id"), enterprise.get("id"), team.get("enterprise_id"), user.get("enterprise_id")
        ),
    )


async def dated(services: Services, message: Message) -> Message:
    """The answer with the age of the data."""
    data = await services.threads.commands(services.usage.data_state)
    return with_age(message, age_line(data, services.clock(), services.poll_seconds))


async def reply(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Answer only the requester. Raises nothing if Slack no longer accepts an answer."""
    await _send(services, body, message, "ephemeral")


async def say_to_channel(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Answer everybody in the channel, even if the bot is not a member."""
    await _send(services, body, message, "in_channel")


async def replace(services: Services, body: Mapping[str, Any], message: Message) -> None:
    """Replace the message whose button was clicked, for everybody."""
    await _send(services, body, message, "in_channel", replace_original=True)


def response_url_of(body: Mapping[str, Any]) -> str | None:
    """The response URL of a request; a view carries the one of the command that opened it."""
    own = body.get("response_url")
    if isinstance(own, str) and own:
        return own
    view = body.get("view")
    packed = view.get("private_metadata") if isinstance(view, Mapping) else None
    try:
        carried = json.loads(packed) if isinstance(packed, str) else None
    except (ValueError, RecursionError):
        return None
    url = carried.get("response_url") if isinstance(carried, dict) else None
    return url if isinstance(url, str) and url else None


async def in_time(content: Awaitable[Content]) -> Content | None:
    """Further content of a form; None if it takes longer than `CONTENT_SECONDS`. Passes on its exceptions."""
    task = asyncio.ensure_future(content)
    done, _ = await asyncio.wait({task}, timeout=CONTENT_SECONDS)
    if done:
        return task.result()
    task.cancel()
    return None


async def form_taken(
    services: Services,
    body: Mapping[str, Any],
    ack: AsyncAck,
    mistakes: Callable[[], dict[str, str]],
    shows: Callable[[], Block] | None = None,
) -> bool:
    """Acknowledge a submitted form; False if it stays open with the mistakes from `mistakes`, by field.

    Without mistakes the person's language is not read from Slack first. `shows`: the view that replaces the form.
    """
    if shows is None and not mistakes():
        await ack()
        return True
    async with services.languages.reader(person_of(body).id):
        errors = mistakes()
        if errors:
            await ack(response_action="errors", errors=errors)
        elif shows is None:
            await ack()
        else:
            await ack(response_action="update", view=shows())
    return not errors


async def open_view(client: AsyncWebClient, body: Mapping[str, Any], view: Block) -> bool:
    """Open a form for the requester; False, with a log line, if Slack rejects it."""
    try:
        await call(client.views_open(trigger_id=str(body.get("trigger_id")), view=view))
    except CallError as error:
        log.warning("the form was not opened: %s", error)
        return False
    return True


SETTLES_SECONDS = 0.5
"""Seconds after which Slack has shown an acknowledgement's view."""


async def update_view(client: AsyncWebClient, view_id: str, view: Block) -> None:
    """Replace the content of an open form; does nothing if its reader has closed it."""
    try:
        await call(client.views_update(view_id=view_id, view=view))
    except CallError as error:
        log.info("a view was not updated: %s", error)


def register_errors(app: AsyncApp, services: Services) -> None:
    """Answer exceptions of listeners with an id for the person and the log, never with a traceback.

    In HTTP mode only requests with a valid signature reach the app.
    """

    async def on_error(error: Exception, body: dict[str, Any], response: BoltResponse | None) -> BoltResponse | None:
        incident = _logged(error)
        # The block that sets the person's language has been left by now.
        async with services.languages.reader(person_of(body).id):
            await reply(services, body, said(_sentence(error, incident)))
        # An acknowledged request has no response to fill in.
        return None if response is None else BoltResponse(status=200)

    app.error(on_error)


def _logged(error: Exception) -> str:
    """Log the error; returns the id by which it is found in the log."""
    incident = secrets.token_hex(4)
    if isinstance(error, SQLAlchemyError):
        # A database failure is its own kind of fault, and readiness reports it too.
        log.error("an answer was not possible: %s", database_problem(error))
    else:
        log.error("error %s while answering", incident, exc_info=error)
    return incident


def _sentence(error: Exception, incident: str) -> str:
    """The sentence for the person; the log has the rest."""
    if isinstance(error, SQLAlchemyError):
        return database_problem(error)
    return tr(
        "Something went wrong here (error {incident}). The operator finds the cause in the bot's log.",
        incident=incident,
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _ids(*values: object) -> frozenset[str]:
    return frozenset(str(value) for value in values if value)


async def _send(
    services: Services,
    body: Mapping[str, Any],
    message: Message,
    response_type: str,
    *,
    replace_original: bool = False,
) -> None:
    url = response_url_of(body)
    if url is None:
        return
    answer: dict[str, Any] = {
        "text": message.text,
        "response_type": response_type,
        "replace_original": replace_original,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    drawn = drawings(services, message)
    # Text alone is better than no answer.
    bodies = [*(answer | {"blocks": each.blocks} for each in drawn if each.blocks), answer]
    taken = await services.response_urls.post_first(url, bodies)
    if taken == 1 and len(drawn) > 1:
        services.native_blocks.refuse()


def drawings(services: Services, message: Message) -> list[Message]:
    """Versions of the message to try: with charts and data tables unless the workspace is known to reject them, then
    without.
    """
    older = message.in_older_blocks
    if older is None:
        return [message]
    return [older] if services.native_blocks.refused else [message, older]
