"""The demo's story for the terminal: a month that crosses both limits, and what people do about it."""

import re
import textwrap
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.clock import HOUR
from bot.notify.slack_connection import SocketMode, check_bot_token
from bot.sandbox.clock import HandClock
from bot.sandbox.page_server import buttons
from bot.sandbox.slack_server import ALERTS, APP_TOKEN
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER, Message
from bot.sandbox.stage import CURTAIN, FEATURE, HARD_USD, SEARCH, SEARCH_TEAM, SOFT_USD, YUKI, Stage, set_stage

Say = Callable[[str], object]

POLL_EVERY = HOUR
PATIENCE = timedelta(days=15)
WORKLOAD = "sonnet-5.5 requests=600/day in=34k out=1500 cached=30k hit=90%"
ESTIMATE = f"estimate {WORKLOAD} as=support-bot for=feature:{FEATURE}"

BRIEF = 3
"""Most lines shown of a message that repeats another one."""

MOST_NEW = 5
"""Most lines shown of an edited message."""

MARKUP = re.compile(r"<([^\s<>|][^<>|]*)(?:\|([^<>]*))?>")


class StoryError(Exception):
    """An expected part of the story did not happen."""


async def play(folder: Path, say: Say) -> None:
    """Play the story with the real bot; every line goes to `say`. Raises `StoryError`."""
    clock = HandClock(CURTAIN)
    async with set_stage(clock, folder, poll_seconds=int(POLL_EVERY.total_seconds())) as stage:
        stage.bot.workspace.url = (await check_bot_token(stage.bot.slack.client, ALERTS)).url
        socket = SocketMode(stage.bot.slack, APP_TOKEN)
        await socket.connect_async()  # type: ignore[no-untyped-call]
        try:
            await _Story(stage, clock, say).play()
        finally:
            await socket.close_async()  # type: ignore[no-untyped-call]


class _Story:
    def __init__(self, stage: Stage, clock: HandClock, say: Say) -> None:
        self._stage = stage
        self._clock = clock
        self._say = say
        self._shown: dict[str, str] = {}

    async def play(self) -> None:
        file = self._stage.bot.settings.fallback_file
        self._say(f"A team with a monthly budget: soft limit ${SOFT_USD}, hard limit ${HARD_USD}. Time is simulated.")
        await self._poll_until("soft limit")
        await self._type(DEVELOPER, "status")
        await self._type(DEVELOPER, ESTIMATE)
        await self._type(DEVELOPER, "fallback on")
        alert = await self._poll_until("hard limit")
        await self._type(YUKI, "top", SEARCH)
        await self._click(alert, "Acknowledge", DEVELOPER)
        await self._click(alert, "Switch to degraded", ADMIN)
        self._say(f"\n  {file.name} now says:")
        self._say(textwrap.indent(file.read_text(encoding="utf-8").rstrip(), "    | "))
        for _ in range(24):
            await self._poll()
        await self._type(ADMIN, "status")
        await self._type(ADMIN, "fallback off")
        await self._type(DEVELOPER, "report month by feature")
        await self._type(DEVELOPER, "estimate show support-bot")
        await self._retry()
        self._say("\nThat was the demo. Without --once it runs on a web page.")

    async def _poll(self) -> None:
        self._clock.advance(POLL_EVERY)
        await self._stage.work()
        await self._stage.bot.cycle()
        self._show()

    async def _retry(self) -> None:
        self._say("\nThe support feature retries without end. Its log reaches the bot at once, before any poll.")
        self._stage.team.retry_support(self._clock())
        await self._stage.work()
        await self._stage.bot.react()
        self._show()
        if self._alert("soft limit", FEATURE) is None:
            raise StoryError(f"The demo broke off: no alert about the budget {FEATURE} came.")

    async def _deliver(self) -> None:
        await self._stage.bot.deliver()
        self._show()

    def _show(self) -> None:
        for message in self._stage.slack.messages:
            if message.user == BOT_USER and self._shown.get(message.ts) != message.text and not message.ephemeral_to:
                before = self._shown.get(message.ts)
                verb = "edits" if before is not None else "posts" if message.thread_ts is None else "answers"
                self._shown[message.ts] = message.text
                channel = self._stage.slack.workspace.channels[message.channel].name
                self._quote(f"claude-cost {verb} in #{channel}", news_of(message, before))

    async def _poll_until(self, limit: str) -> Message:
        end = self._clock() + PATIENCE
        while self._clock() < end:
            await self._poll()
            if (message := self._alert(limit)) is not None:
                return message
        raise StoryError(f"The demo broke off: no alert about the {limit} came.")

    def _alert(self, limit: str, budget: str | None = None) -> Message | None:
        """The newest alert about this limit; without a name, of the budget that counts everything."""
        for message in reversed(self._stage.slack.messages):
            first = message.text.partition("\n")[0]
            if message.channel == ALERTS and limit in first and _budget_in(first) == budget:
                return message
        return None

    async def _type(self, user: str, words: str, channel: str = ALERTS) -> None:
        interaction = await self._stage.slack.command(words, user, channel)
        reply = await interaction.first_reply()
        self._quote(f"{self._name(user)} types /claude-cost {words}", reply.text)
        await self._deliver()

    async def _click(self, message: Message, label: str, user: str) -> None:
        button = next((button for button in buttons(message.blocks) if _says(button, label)), None)
        if button is None:
            raise StoryError(f"The demo broke off: the alert has no button “{label}”.")
        interaction = await self._stage.slack.click(message, button["action_id"], user)
        reply = await interaction.first_reply()
        agreed = f" and agrees to: {button['confirm']['text']['text']}" if "confirm" in button else ""
        self._quote(f"{self._name(user)} clicks “{label}”{agreed}", reply.text)
        await self._deliver()

    def _quote(self, what: str, text: str) -> None:
        workspace = self._stage.slack.workspace
        names = {**workspace.users, **{id_: channel.name for id_, channel in workspace.channels.items()}}
        self._say(f"\n{self._clock():%d %b %H:%M} · {what}")
        self._say(textwrap.indent(without_markup(text, names), "    "))

    def _name(self, user: str) -> str:
        return self._stage.slack.workspace.users[user]


def _says(button: Mapping[str, Any], label: str) -> bool:
    """Whether the button has this label, with or without a saving."""
    return str(button["text"]["text"]).partition(" · ")[0] == label


def _budget_in(first: str) -> str | None:
    """The budget in the first line of an alert."""
    found = re.search(r", budget (.+)$", first)
    return None if found is None else found[1]


def news_of(message: Message, before: str | None) -> str:
    """What is new to a reader. `before`: text of the message until now, None if it is new."""
    lines = message.text.split("\n")
    if before is not None:
        known = set(before.split("\n"))
        return _cut([lines[0], *(line for line in lines[1:] if line not in known)], MOST_NEW)
    also_elsewhere = message.channel != ALERTS or _budget_in(lines[0]) == SEARCH_TEAM
    return _cut(lines, BRIEF) if also_elsewhere else message.text


def _cut(lines: list[str], most: int) -> str:
    left = len(lines) - most
    return "\n".join([*lines[:most], f"… and {left} lines more"] if left > 1 else lines)


def without_markup(text: str, names: Mapping[str, str]) -> str:
    """Plain text as shown by Slack. `names`: of people and channels, by id."""

    def shown(found: re.Match[str]) -> str:
        target, label = found[1], found[2]
        if label:
            return label
        sign, id_ = (target[0], target[1:].partition("^")[0]) if target[0] in "@#!" else ("", target)
        return f"{'@' if sign == '!' else sign}{names.get(id_, id_)}"

    return MARKUP.sub(shown, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
