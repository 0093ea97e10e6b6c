"""A local Slack: Web API, Socket Mode, signed requests and response URLs, as strict as the real one.

An app reaches it through its API address (`api_url`); nothing of the app is replaced.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from bot.clock import Clock, system_clock
from bot.sandbox import slack_payloads as payloads
from bot.sandbox.server import Fault, Faults, LocalServer, apply
from bot.sandbox.slack_arguments import arguments_of
from bot.sandbox.slack_dispatch import Ack, Interaction, ResponseUrls, SocketConnections, dispatch, post_signed
from bot.sandbox.slack_methods import METHODS, Slack, call
from bot.sandbox.slack_payloads import Entered, Values
from bot.sandbox.slack_views import SlackViews, View
from bot.sandbox.slack_workspace import ADMIN, APP_ID, BOT_USER, ApiError, Change, Message, SlackWorkspace

BOT_TOKEN = "xoxb-sandbox"
APP_TOKEN = "xapp-sandbox"
SIGNING_SECRET = "sandbox-signing-secret"
COMMAND = "/claude-cost"
ALERTS = "C0ALERTS"
RESPONSE_FAULTS = "response_url"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the Web API, without its token."""

    method: str
    arguments: Mapping[str, Any]
    at: datetime


class SlackSandbox(LocalServer):
    """Socket Mode unless `http_endpoint` is set: then people's actions are posted there, signed.

    `ack_seconds`: how long the app may take to acknowledge, in real time. `lifetime_clock`: expires trigger ids and
    response URLs, if `clock` runs too fast for that. Faults are scripted by the name of the method, or `response_url`.
    """

    def __init__(
        self,
        clock: Clock,
        port: int = 0,
        channels: Iterable[str] = (ALERTS,),
        *,
        bot_token: str = BOT_TOKEN,
        app_token: str = APP_TOKEN,
        signing_secret: str = SIGNING_SECRET,
        http_endpoint: str | None = None,
        ack_seconds: float = 3,
        lifetime_clock: Clock | None = None,
    ) -> None:
        super().__init__(port, clock)
        self.bot_token = bot_token
        self.app_token = app_token
        self.signing_secret = signing_secret
        self.http_endpoint = http_endpoint
        self.signing_clock: Clock = system_clock
        """Clock of signatures in HTTP mode; the app compares it with its own."""
        self.workspace = SlackWorkspace(clock, channels)
        self.views = SlackViews(self.workspace, lifetime_clock or clock)
        self.sockets = SocketConnections(ack_seconds)
        self.faults = Faults()
        self.calls: list[Call] = []
        self.unknown_calls: list[Call] = []
        self.response_urls = ResponseUrls(self.workspace, lifetime_clock or clock)
        self._slack = Slack(self.workspace, self.views, lambda: f"{self.origin}/", self._connection_url)
        self.app.router.add_route("*", "/api/{method}", self._api)
        self.app.router.add_get("/link", self.sockets.handle)
        self.app.router.add_post("/response/{id}", self._respond)

    @property
    def api_url(self) -> str:
        """The base address for a Web API client, once started."""
        return f"{self.origin}/api/"

    async def stop(self) -> None:
        """Close the connections and stop serving."""
        await self.sockets.close()
        await super().stop()

    # What it stores

    @property
    def messages(self) -> list[Message]:
        """Every message, in order of time."""
        return self.workspace.messages

    def visible_to(self, user: str, channel: str | None = None) -> list[Message]:
        """What a person sees, in order of time."""
        return self.workspace.visible_to(user, channel)

    def subscribe(self) -> AbstractContextManager[asyncio.Queue[Change]]:
        """A queue that gets every change from now on."""
        return self.workspace.subscribe()

    async def until(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Return once `condition`, a question about messages, views or calls, holds. Raises `TimeoutError`."""
        await self.workspace.until(condition, seconds)

    async def wait_connected(self, count: int = 1, seconds: float = 5) -> None:
        """Return once the app has this many connections. Raises `TimeoutError`."""
        await self.sockets.wait_for(count, seconds)

    async def disconnect(self, reason: str) -> None:
        """Send every connection a `disconnect` frame, such as `warning` or `refresh_requested`."""
        await self.sockets.disconnect(reason)

    async def close_connections(self) -> None:
        """Close every connection without warning."""
        await self.sockets.close()

    # What people do

    async def command(self, text: str, user: str = ADMIN, channel: str = ALERTS) -> Interaction:
        """Someone types a command: a whole line, or the words after `/claude-cost`. Raises `NotDispatchedError`."""
        interaction = self.response_urls.new(user, channel)
        line = text if text.startswith("/") else f"{COMMAND} {text}"
        place = self.workspace.channels[channel]
        trigger = self.views.new_trigger(user)
        payload = payloads.slash_command(self.workspace, line, user, place, self._response_url(interaction), trigger)
        return await self._dispatch(interaction, "slash_commands", payload)

    async def click(
        self,
        where: Message | View | str,
        action_id: str,
        user: str = ADMIN,
        *,
        block_id: str | None = None,
        chosen: Entered | None = None,
        values: Values | None = None,
    ) -> Interaction:
        """Someone clicks a button of a message (or its `ts`) or a view, and agrees if a dialog asks.

        `block_id`: if several blocks have elements with this id. `chosen`: the value of the option, for menus.
        `values`: of the view's inputs. Raises `NotDispatchedError`; `ValueError` if there is nothing to click, or
        nothing visible to this person.
        """
        place = self.workspace.find(where) if isinstance(where, str) else where
        trigger = self.views.new_trigger(user)
        if isinstance(place, View):
            interaction = self.response_urls.new(user, "")
            action = payloads.action_of(place.content["blocks"], action_id, chosen, block_id)
            added = payloads.view_click(place, values or {})
        else:
            if place not in self.visible_to(user):
                raise ValueError(f"{user} does not see that message")
            interaction = self.response_urls.new(user, place.channel, place)
            action = payloads.action_of(place.blocks, action_id, chosen, block_id)
            channel = self.workspace.channels[place.channel]
            added = payloads.message_click(place, channel, self._response_url(interaction))
        payload = payloads.block_actions(self.workspace, user, action, trigger, added)
        return await self._dispatch(interaction, "interactive", payload)

    async def submit_view(self, values: Values, user: str = ADMIN) -> Interaction:
        """Someone fills the topmost modal and submits it; inputs missing in `values` keep their initial values.

        Raises as `click` does; `ApiError` if the app replies with a view that Slack rejects.
        """
        view = self._topmost(user)
        trigger = self.views.new_trigger(user)
        payload = payloads.view_submission(self.workspace, user, view, values, trigger)
        interaction = await self._dispatch(self.response_urls.new(user, ""), "interactive", payload)
        self._after_submission(view, (interaction.ack and interaction.ack.payload) or {})
        return interaction

    async def close_view(self, user: str = ADMIN) -> Interaction | None:
        """Someone closes the topmost modal; None if the view does not ask to notify the app.

        It is closed whatever the app replies. Raises as `click` does.
        """
        view = self._topmost(user)
        cleared = bool(view.content.get("clear_on_close"))
        self.views.close(view, all_of_them=cleared)
        if not view.content.get("notify_on_close"):
            return None
        payload = payloads.view_closed(self.workspace, user, view, is_cleared=cleared)
        return await self._dispatch(self.response_urls.new(user, ""), "interactive", payload)

    async def open_home(self, user: str = ADMIN) -> Interaction:
        """Someone opens the app's Home tab."""
        payload = payloads.home_opened(self.workspace, user, self.views.homes.get(user))
        return await self._dispatch(self.response_urls.new(user, ""), "events_api", payload)

    async def shortcut(self, callback_id: str, user: str = ADMIN, message: Message | None = None) -> Interaction:
        """Someone chooses a shortcut: of the whole app, or of a message. Raises `NotDispatchedError`."""
        trigger = self.views.new_trigger(user)
        interaction = self.response_urls.new(user, "" if message is None else message.channel)
        place = None
        if message is not None:
            channel = self.workspace.channels[message.channel]
            place = payloads.message_click(message, channel, self._response_url(interaction))
        payload = payloads.shortcut(self.workspace, user, callback_id, trigger, place)
        return await self._dispatch(interaction, "interactive", payload)

    def say(self, text: str, user: str = ADMIN, channel: str = ALERTS, thread_ts: str | None = None) -> Message:
        """Someone writes an ordinary message, which is not sent to the app."""
        return self.workspace.post(channel, user, text, [], thread_ts=thread_ts)

    async def ask(
        self, text: str, user: str = ADMIN, channel: str = ALERTS, *, thread_ts: str | None = None
    ) -> Message:
        """Someone mentions the app in a channel (`@claude-cost …`). Raises `NotDispatchedError`."""
        message = self.say(f"<@{BOT_USER}> {text}", user, channel, thread_ts)
        payload = payloads.written(self.workspace, message, self.workspace.channels[channel], mentions=True)
        await self._dispatch(self.response_urls.new(user, channel), "events_api", payload)
        return message

    async def ask_directly(self, text: str, user: str = ADMIN) -> Message:
        """Someone writes a direct message to the app. Raises `NotDispatchedError`."""
        channel = self.workspace.direct_channel(user)
        message = self.say(text, user, channel.id)
        payload = payloads.written(self.workspace, message, channel, mentions=False)
        await self._dispatch(self.response_urls.new(user, channel.id), "events_api", payload)
        return message

    def delete(self, message: Message, user: str = ADMIN) -> None:
        """Someone deletes a message. Raises `ValueError` if Slack does not allow it."""
        if not self.workspace.may_delete(user, message):
            raise ValueError(f"{user} may not delete that message")
        self.workspace.delete(message)

    # Notifications of the app

    async def send_envelope(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        accepts_response_payload: bool = True,
        envelope_id: str | None = None,
    ) -> Ack:
        """Send an envelope to one connection, and wait for its acknowledgement. Raises `NotDispatchedError`."""
        return await self.sockets.send(
            kind, payload, accepts_response_payload=accepts_response_payload, envelope_id=envelope_id
        )

    async def post_signed(
        self,
        url: str,
        payload: dict[str, Any],
        kind: str,
        signing_secret: str | None = None,
        *,
        at: datetime | None = None,
    ) -> tuple[int, str]:
        """Post a payload like Slack in HTTP mode; status and body of the response.

        `kind`: of envelope. `at`: time in the signature, by default now, since the app compares it with its own.
        """
        secret = self.signing_secret if signing_secret is None else signing_secret
        return await post_signed(url, payload, kind, secret, at or self.signing_clock())

    async def _dispatch(self, interaction: Interaction, kind: str, payload: dict[str, Any]) -> Interaction:
        if self.http_endpoint is None:
            accepts = kind != "events_api"
            interaction.ack = await self.send_envelope(kind, payload, accepts_response_payload=accepts)
        else:
            seconds = self.sockets.ack_seconds
            interaction.ack = await dispatch(
                self.http_endpoint, payload, kind, self.signing_secret, seconds, self.signing_clock()
            )
        said = interaction.ack.payload
        if kind == "slash_commands" and said:
            self.response_urls.answer(interaction, said)
        return interaction

    def _after_submission(self, view: View, said: Mapping[str, Any]) -> None:
        match said.get("response_action"):
            case None:
                self.views.close(view)
            case "clear":
                self.views.close(view, all_of_them=True)
            case "update":
                self.views.update(view, said.get("view") or {})
            case "push":
                self.views.put_on_top(view.user, said.get("view") or {})

    def _topmost(self, user: str) -> View:
        stack = self.views.modals.get(user)
        if not stack:
            raise ValueError(f"{user} has no modal open")
        return stack[-1]

    def _response_url(self, interaction: Interaction) -> str:
        return f"{self.origin}/response/{interaction.id}"

    def _connection_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/link?ticket={self.sockets.new_ticket()}&app_id={APP_ID}"

    # What the app calls

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            arguments = await arguments_of(request)
        except ApiError as error:
            return _refusal(error)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or arguments.pop("token", "")
        made = Call(name, arguments, self.workspace.clock())
        self.calls.append(made)
        if name not in METHODS:
            self.unknown_calls.append(made)
            return _refusal(ApiError("unknown_method", req_method=name))
        try:
            return await self._with_faults(name, request, lambda: self._answer(name, arguments, token))
        finally:
            self.workspace.signal.fire()

    def _answer(self, name: str, arguments: Mapping[str, Any], token: str) -> web.Response:
        method = METHODS[name]
        try:
            self._check_token(method.token, token)
            answer = call(self._slack, method, arguments)
        except ApiError as error:
            return _refusal(error)
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.workspace.scopes))} if method.token == "bot" else {}
        return web.json_response({"ok": True, **answer}, headers=headers)

    def _check_token(self, wanted: str, token: str) -> None:
        if wanted == "none":
            return
        if not token:
            raise ApiError("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise ApiError("invalid_auth")
        if token != (self.app_token if wanted == "app" else self.bot_token):
            raise ApiError("not_allowed_token_type")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await arguments_of(request)
        except ApiError as error:
            return web.json_response({"ok": False, "error": error.code}, status=400)
        id_ = request.match_info["id"]
        return await self._with_faults(RESPONSE_FAULTS, request, lambda: self.response_urls.use(id_, body))

    async def _with_faults(
        self, name: str, request: web.Request, answer: Callable[[], web.Response]
    ) -> web.StreamResponse:
        fault = self.faults.next(name)
        if fault is None:
            return answer()
        done = answer() if fault.after_doing or fault.kind == "drop_after" else None
        instead = await _faulty(fault, request)
        if instead is not None:
            return instead
        return answer() if done is None else done


async def _faulty(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    if fault.kind == "error":
        return _refusal(ApiError(fault.error))
    code = "ratelimited" if fault.status == 429 else "internal_error"
    return await apply(fault, request, body={"ok": False, "error": code})


def _refusal(error: ApiError) -> web.Response:
    return web.json_response({"ok": False, "error": error.code, **error.details})
