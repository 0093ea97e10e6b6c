"""Every action of people in Slack, one after the other, with the times of the bot's reactions.

Commands come from the bot's own table, buttons from what it posts. A button that a new world does not show is clicked
with an unknown id, so that its listener runs too.
"""

import asyncio
import importlib
import pkgutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

import handlers
from bot.sandbox.slack_dispatch import Ack, Interaction
from bot.sandbox.slack_payloads import Entered, elements_of
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_views import View
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER
from handlers.commands import SUBCOMMANDS
from handlers.estimate import FORM_SHORTCUT, PROMPT_SHORTCUT
from handlers.render.estimate_form import ESTIMATE_FORM
from handlers.render.fallback import FORM_ACTION
from handlers.render.verification import PROOF_DISMISS

PATIENCE = 30.0
REPLY, OPENED, UPDATED, PUBLISHED, POSTED = (
    "response_url",
    "views.open",
    "views.update",
    "views.publish",
    "chat.postMessage",
)
MADE_UP = "1"

MORE_WORDS: Mapping[str, tuple[str, ...]] = {
    "help": ("budget", "all", "nonsense"),
    "estimate": ("list", "show support-bot", "drop nothing", "opus requests=none"),
    "report": ("today", "week", "month by key", "month by workspace", "month by feature", "month by user"),
    "forecast": ("default",),
    "plan": ("sonnet-4.6 requests=10k in=2000 out=500 seats=3",),
    "fallback": ("status", "auto on", "auto off", "history", "on"),
    "rates": ("opus",),
    "budget": ("list", "history", "try default soft=300 hard=400", "raise default to=9000 until=3d because of a test"),
    "calendar": ("list",),
    "digest": ("today", "yesterday", "month"),
}
"""Words to type after a command, in addition to its examples in `help`."""

FORM_COMMANDS = ("estimate", "budget set")
FORM_ACTIONS = ("raise_open", "alert_expect", FORM_ACTION)
VALUES: Mapping[str, Mapping[str, Entered]] = {
    ESTIMATE_FORM: {"model": "sonnet-4.6", "requests": "100k", "in": "2000", "out": "500", "ttl": "5m"},
}
"""Values for forms whose placeholders are not enough, by callback id."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Slack's last envelope. `begun_at`, `acked_at`: `time.perf_counter()`."""

    kind: str
    payload: dict[str, Any]
    accepts: bool
    begun_at: float
    acked_at: float


class TimedSlack(SlackSandbox):
    """The local Slack, with the time of each acknowledgement and of each call of the app.

    `last`: the last envelope; `heard`: names of the app's calls, each with its `time.perf_counter()`.
    """

    last: Envelope | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.heard: list[tuple[str, float]] = []

    async def send_envelope(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        accepts_response_payload: bool = True,
        envelope_id: str | None = None,
    ) -> Ack:
        """See `SlackSandbox`."""
        begun_at = time.perf_counter()
        ack = await super().send_envelope(
            kind, payload, accepts_response_payload=accepts_response_payload, envelope_id=envelope_id
        )
        self.last = Envelope(kind, payload, accepts_response_payload, begun_at, time.perf_counter())
        return ack

    async def seconds_until(self, name: str) -> float:
        """Seconds from the last envelope to the app's next call of this name. Raises `TimeoutError`."""
        assert self.last is not None
        begun_at = self.last.begun_at

        def moments() -> list[float]:
            return [at for heard, at in reversed(self.heard) if at >= begun_at and heard == name]

        await self.until(lambda: bool(moments()), PATIENCE)
        return moments()[-1] - begun_at

    async def _api(self, request: web.Request) -> web.StreamResponse:
        self.heard.append((request.match_info["method"], time.perf_counter()))
        return await super()._api(request)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        self.heard.append((REPLY, time.perf_counter()))
        try:
            return await super()._respond(request)
        finally:
            self.workspace.signal.fire()


@dataclass(frozen=True, slots=True)
class Doing:
    """One action. `act`: its last envelope is measured. `answer`: the app's call that answers it."""

    name: str
    act: Callable[[TimedSlack], Awaitable[Any]]
    answer: str | None = REPLY


def typed() -> list[str]:
    """Every command in every form of words."""
    found: dict[str, None] = {}
    for row in SUBCOMMANDS:
        lines = (row.name, *row.examples, *(f"{row.name} {words}" for words in MORE_WORDS.get(row.name, ())))
        found |= dict.fromkeys(lines)
    return [*found, "budget set", "nonsense"]


def known_actions() -> Iterator[str]:
    """Ids of all buttons that the handlers know, up to the first colon."""
    yield PROOF_DISMISS
    for found in pkgutil.walk_packages(handlers.__path__, "handlers."):
        for name, value in vars(importlib.import_module(found.name)).items():
            if name.endswith("_ACTION") and isinstance(value, str):
                yield value


async def set_up(slack: TimedSlack) -> list[Doing]:
    """All actions. The alert of a crossed hard limit has to be in the channel."""
    for words, user in (
        ("fallback status", ADMIN),
        ("budget set asked scope=organization hard=9000", ADMIN),
        ("budget remove default", ADMIN),
        ("estimate sonnet-4.6 requests=1k in=10 out=5 as=support-bot", ADMIN),
        ("budget raise default to=9000 until=3d because of a test", DEVELOPER),
    ):
        await (await slack.command(words, user=user)).first_reply(PATIENCE)
    buttons = _buttons(slack)
    if "budget_set" in buttons:
        # The change is announced, with a button that undoes it.
        before = len(slack.messages)
        await _clicked(slack, "budget_set", buttons["budget_set"])
        with suppress(TimeoutError):
            await slack.until(lambda: "budget_undo" in _buttons(slack) and len(slack.messages) > before + 1, PATIENCE)
    await slack.open_home()
    await slack.until(lambda: ADMIN in slack.views.homes, PATIENCE)
    buttons = _buttons(slack)
    return [*_commands(), *_button_clicks(buttons), *_home(slack.views.homes[ADMIN]), *_forms(buttons), *_others()]


def _commands() -> Iterator[Doing]:
    for words in typed():
        opens = words in FORM_COMMANDS
        yield Doing(f"`{words}`", lambda slack, words=words: slack.command(words), OPENED if opens else REPLY)  # type: ignore[misc]


def _buttons(slack: TimedSlack) -> dict[str, str]:
    """The value of each button in messages, by its action id; the newest counts."""
    return {
        str(element["action_id"]): str(element.get("value") or "")
        for message in slack.messages
        for element in _elements(message.blocks)
        if element.get("type") == "button" and message.user == BOT_USER
    }


def _elements(place: Any) -> Iterator[dict[str, Any]]:
    """Every element with an action id, however deep it is folded."""
    if isinstance(place, dict):
        if "action_id" in place:
            yield place
        for value in place.values():
            yield from _elements(value)
    elif isinstance(place, list):
        for value in place:
            yield from _elements(value)


def _button_clicks(buttons: Mapping[str, str]) -> Iterator[Doing]:
    at_home = ("home_",)
    offered = {action.partition(":")[0] for action in buttons}
    missing = [action for action in known_actions() if action not in offered and not action.startswith(at_home)]
    for action, value in {**buttons, **dict.fromkeys(missing, MADE_UP)}.items():
        opens = action in FORM_ACTIONS
        yield Doing(
            f"button {action}" + (" (made up)" if action in missing else ""),
            lambda slack, action=action, value=value: _clicked(slack, action, value),  # type: ignore[misc]
            OPENED if opens else REPLY,
        )


async def _clicked(slack: TimedSlack, action: str, value: str) -> Interaction:
    """Click a button in a new message, since the one that showed it may have been edited."""
    text = {"type": "plain_text", "text": action}
    blocks = [{"type": "actions", "elements": [{"type": "button", "action_id": action, "text": text, "value": value}]}]
    return await slack.click(slack.workspace.post(ALERTS, BOT_USER, action, blocks), action)


def _home(home: View) -> Iterator[Doing]:
    yield Doing("Home opened", lambda slack: slack.open_home(), PUBLISHED)
    for _, element in elements_of(home.content["blocks"]):
        action = str(element["action_id"])
        opens = action.startswith("home_") and action != "home_refresh"
        yield Doing(
            f"button {action} (Home)",
            lambda slack, action=action: slack.click(slack.views.homes[ADMIN], action),  # type: ignore[misc]
            OPENED if opens else PUBLISHED if action == "home_refresh" else None,
        )


def _forms(buttons: Mapping[str, str]) -> Iterator[Doing]:
    for words in FORM_COMMANDS:
        yield Doing(f"form of `{words}`", lambda slack, words=words: _sent(slack, lambda: slack.command(words)), None)  # type: ignore[misc]
    for action in FORM_ACTIONS:
        yield Doing(
            f"form of {action}",
            lambda slack, action=action: _sent(slack, lambda: _clicked(slack, action, buttons.get(action, MADE_UP))),  # type: ignore[misc]
            None,
        )


async def _sent(slack: TimedSlack, opening: Callable[[], Awaitable[Interaction]]) -> Interaction:
    """Open a form, fill it in and send it."""
    slack.views.modals.clear()
    await opening()
    await slack.until(lambda: bool(slack.views.modals.get(ADMIN)), PATIENCE)
    view = slack.views.modals[ADMIN][-1]
    return await slack.submit_view(VALUES.get(str(view.content.get("callback_id"))) or dict(_filled(view)))


def _filled(view: View) -> Iterator[tuple[str, Entered]]:
    """Input of a person who accepts what the form suggests."""
    for block in view.content["blocks"]:
        element = block.get("element")
        if block["type"] != "input" or element is None:
            continue
        if element["type"] in ("plain_text_input", "number_input"):
            begun_with = str(element.get("initial_value") or "")
            suggested = element.get("placeholder", {}).get("text", "100").split(",")[0]
            if not begun_with and not block.get("optional"):
                yield block["block_id"], suggested
        elif not any(name.startswith("initial_") for name in element) and not block.get("optional"):
            groups = element.get("option_groups") or [element]
            yield block["block_id"], groups[0]["options"][-1]["value"]


def _others() -> Iterator[Doing]:
    yield Doing("shortcut of the app", lambda slack: slack.shortcut(FORM_SHORTCUT), OPENED)
    yield Doing(
        "shortcut of a message",
        lambda slack: slack.shortcut(PROMPT_SHORTCUT, message=slack.say("Sum this up.")),
        OPENED,
    )
    yield Doing("mention", lambda slack: slack.ask("what do we spend?"), POSTED)
    yield Doing("direct message", lambda slack: slack.ask_directly("status"), POSTED)


async def done(slack: TimedSlack, doing: Doing) -> Envelope:
    """Perform the action until it is acknowledged. Raises `NotDispatchedError`."""
    slack.views.modals.clear()
    await doing.act(slack)
    assert slack.last is not None
    return slack.last


async def echoed(slack: TimedSlack, envelope: Envelope) -> float:
    """Seconds until another app has acknowledged the same envelope."""
    await slack.send_envelope(envelope.kind, envelope.payload, accepts_response_payload=envelope.accepts)
    assert slack.last is not None
    return slack.last.acked_at - slack.last.begun_at


async def settled(slack: TimedSlack, seconds: float) -> None:
    """Wait until the app has made no call for this long, at most `PATIENCE`."""
    until = time.perf_counter() + PATIENCE
    while (now := time.perf_counter()) < until and slack.heard and now - slack.heard[-1][1] < seconds:  # noqa: ASYNC110
        await asyncio.sleep(slack.heard[-1][1] + seconds - now)
