"""What a person did, what the app answered, and the response URL over which it may answer."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from bot.clock import Clock
from bot.sandbox.slack_arguments import content
from bot.sandbox.slack_checks import POSTED_TEXT
from bot.sandbox.slack_dispatch import Ack
from bot.sandbox.slack_workspace import BOT_USER, ApiError, Message, Signal, SlackWorkspace

RESPONSE_USES = 5
RESPONSE_LIFE = timedelta(minutes=30)


@dataclass(slots=True, eq=False)
class Interaction:
    """One command, click or submission. `source`: the message that was clicked. `uses`: of its response URL."""

    id: str
    user: str
    channel: str
    at: datetime
    source: Message | None = None
    ack: Ack | None = None
    uses: int = 0
    replies: list[Message] = field(default_factory=list)
    _signal: Signal = field(default_factory=Signal)

    async def first_reply(self, seconds: float = 5) -> Message:
        """The first message that the app answered with. Raises `TimeoutError`."""
        return await self.reply(0, seconds)

    async def reply(self, index: int, seconds: float = 5) -> Message:
        """The answer with this index, waited for. Raises `TimeoutError`."""
        await self._signal.until(lambda: len(self.replies) > index, seconds)
        return self.replies[index]

    def answered(self, message: Message) -> None:
        self.replies.append(message)
        self._signal.fire()


class ResponseUrls:
    """`POST /response/{id}`: five uses within 30 minutes by `lifetime_clock`."""

    def __init__(self, workspace: SlackWorkspace, lifetime_clock: Clock) -> None:
        self._workspace = workspace
        self._clock = lifetime_clock
        self._interactions: dict[str, Interaction] = {}

    def new(self, user: str, channel: str, source: Message | None = None) -> Interaction:
        """An interaction whose id is good for `POST /response/{id}`."""
        interaction = Interaction(self._workspace.new_id("R"), user, channel, self._clock(), source)
        self._interactions[interaction.id] = interaction
        return interaction

    def use(self, id_: str, body: dict[str, Any]) -> web.Response:
        """What Slack answers to one use."""
        interaction = self._interactions.get(id_)
        if interaction is None:
            return _refused(404, "invalid_url")
        if self._clock() - interaction.at > RESPONSE_LIFE:
            return _refused(404, "expired_url")
        if interaction.uses >= RESPONSE_USES:
            return _refused(404, "used_url")
        interaction.uses += 1
        try:
            self.answer(interaction, body)
        except ApiError as error:
            return _refused(400, error.code, **error.details)
        return web.Response(text="ok")

    def answer(self, interaction: Interaction, body: dict[str, Any]) -> None:
        """An answer as a response URL or an acknowledgement carries it. Raises `ApiError`."""
        workspace, source = self._workspace, interaction.source
        if body.get("delete_original"):
            workspace.delete(self._original(source))
            return
        text, blocks = content(body, most=POSTED_TEXT, unknown=self._workspace.unknown_blocks)
        if source is not None and body.get("replace_original", True):
            workspace.edit(self._original(source), text, blocks)
            interaction.answered(source)
            return
        everyone = body.get("response_type", "ephemeral") == "in_channel"
        message = workspace.post(
            interaction.channel,
            BOT_USER,
            text,
            blocks,
            thread_ts=body.get("thread_ts"),
            ephemeral_to=None if everyone else interaction.user,
        )
        interaction.answered(message)

    def _original(self, source: Message | None) -> Message:
        if source is None or source not in self._workspace.messages:
            raise ApiError("message_not_found")
        return source


def _refused(status: int, code: str, **details: Any) -> web.Response:
    return web.json_response({"ok": False, "error": code, **details}, status=status)
