"""The world around the bot: a local Slack, a local Anthropic, and the settings that point at both."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.app import bot_from
from bot.clock import Clock, system_clock
from bot.config.settings import Need, load_settings
from bot.db.state import Person
from bot.notify.slack_connection import ANSWER_SECONDS, SocketMode
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_claude_code import CodeDays, serve_claude_code
from bot.sandbox.anthropic_limits import LimitTable, SpendLimitTable, serve_rate_limits, serve_spend_limits
from bot.sandbox.anthropic_messages import add_token_count
from bot.sandbox.anthropic_server import ADMIN_KEY, AnthropicSandbox
from bot.sandbox.anthropic_usage import UsageEvent, UsageHistory
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, TEAM_ID, Message
from tests.databases import migrate_by_copy
from tests.scenario.forked import ForkServer, Process, fork_server
from tests.scenario.loop_statements import statements_on_the_loop

SOFT, HARD = Decimal(100), Decimal(200)
OPUS = "claude-opus-4-8"
CHANGE_OF_A_BUDGET = re.compile(r"Budget \S+ was (set|changed|removed) by ")
GREETING = "claude-cost watches what this organization spends on Claude"
TOKENS_FOR_ONE_USD = 200_000
"""Uncached input tokens of `OPUS`, at $5 per million."""


def member(user: str) -> Person:
    """A person of the bot's own workspace."""
    return Person(user, frozenset({TEAM_ID}))


@dataclass(frozen=True, slots=True)
class Finished:
    """A command of the command line that has ended."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class World:
    """Everything around a scenario.

    `environ`: environment of the bot. `forks`: makes its processes; without it, each starts an interpreter.
    """

    clock: Clock
    slack: SlackSandbox
    anthropic: AnthropicSandbox
    limits: LimitTable
    console: SpendLimitTable
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    code: CodeDays = field(default_factory=CodeDays)
    forks: ForkServer | None = None

    def spend(
        self,
        usd: Decimal | int | str,
        at: datetime | None = None,
        model: str = OPUS,
        key: str | None = "apikey_1",
        workspace: str | None = "wrkspc_1",
    ) -> UsageEvent:
        """Use as many tokens as cost this much on `OPUS`, now or at a moment of this month."""
        counts = TokenCounts(uncached_input_tokens=int(Decimal(usd) * TOKENS_FOR_ONE_USD))
        event = UsageEvent(at or self.clock(), model, counts, workspace, key)
        self.anthropic.history.add(event)
        return event

    def naming_users(self) -> dict[str, str]:
        """Variable of a file that lets everybody see what single users spend."""
        file = self.folder / "everyone.toml"
        file.write_text('[privacy]\nuser_spend = "everyone"\n', encoding="utf-8")
        return {"CLAUDE_COST_CONFIG": str(file)}

    @property
    def fallback_file(self) -> Path:
        return self.folder / "fallback.env"

    def posts(self) -> list[Message]:
        """Posts of the bot for everyone in the alert channel, without threads, changes of budgets and the greeting."""
        greeted = [m.ts for m in self.greetings()]
        return [m for m in self._posts() if m.ts not in greeted and not CHANGE_OF_A_BUDGET.match(m.texts[0])]

    def greetings(self) -> list[Message]:
        """The greetings of a new database."""
        return [m for m in self._posts() if m.texts[0].startswith(GREETING)]

    def changes(self) -> list[Message]:
        """The announcements of changes of budgets."""
        return [m for m in self._posts() if CHANGE_OF_A_BUDGET.match(m.texts[0])]

    def _posts(self) -> list[Message]:
        return [m for m in self._of_the_bot() if m.thread_ts is None]

    def replies(self, to: Message) -> list[Message]:
        """Replies of the bot in the thread of a message."""
        return [m for m in self._of_the_bot() if m.thread_ts == to.ts]

    def _of_the_bot(self) -> list[Message]:
        return [m for m in self.slack.messages if m.user == BOT_USER and m.ephemeral_to is None and m.channel == ALERTS]

    def alerts(self, level: str) -> list[Message]:
        """The posts whose first version reported this level's limit."""
        return [post for post in self.posts() if f"{level} limit" in post.texts[0].partition("\n")[0]]

    async def once(self, **changes: str) -> Finished:
        """`claude-cost run --once`, as a process of its own."""
        self._migrate(changes)
        return await self.command("run", "--once", **changes)

    async def command(self, *words: str, **changes: str) -> Finished:
        """A command of the command line, run to its end."""
        process = await self.start(*words, **changes)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return Finished(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def running(self, **changes: str) -> AsyncIterator[Process]:
        """`claude-cost run`, killed at the end if it is still there."""
        self._migrate(changes)
        process = await self.start("run", **changes)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def start(self, *words: str, **changes: str) -> Process:
        """`claude-cost` with these words, in the world's folder."""
        inherited = {name: os.environ.get(name, "") for name in ("PATH", "SSL_CERT_FILE")}
        environ = {name: value for name, value in {**inherited, **self.environ, **changes}.items() if value}
        if self.forks is not None:
            return await self.forks.start(words, environ, self.folder)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", *words),
            env=environ,
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    def _migrate(self, changes: Mapping[str, str]) -> None:
        migrate_by_copy({**self.environ, **changes}["CLAUDE_COST_DATABASE_URL"])

    @asynccontextmanager
    async def bot(self, **changes: str) -> AsyncIterator[Bot]:
        """The bot in this process, with the world's clock; nothing runs until the test says so."""
        self._migrate(changes)
        environ = {name: value for name, value in {**self.environ, **changes}.items() if value}
        async with bot_from(load_settings(environ, Need.RUN), self.clock) as bot:
            # As once it has connected.
            bot.workspace.team = TEAM_ID
            yield bot

    @asynccontextmanager
    async def connected_bot(self, answer_seconds: float = ANSWER_SECONDS, /, **changes: str) -> AsyncIterator[Bot]:
        """The bot in this process, connected to Slack; it polls when the test says so."""
        async with self.bot(**changes) as bot:
            socket = SocketMode(bot.slack, APP_TOKEN, answer_seconds, acknowledged=bot.services.metrics.acknowledged)
            await socket.connect_async()  # type: ignore[no-untyped-call]
            try:
                await self.slack.wait_connected()
                yield bot
            finally:
                await socket.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def world_at(clock: Clock, folder: Path, slack: SlackSandbox | None = None) -> AsyncIterator[World]:
    """A world whose Anthropic shows usage at once; `clock` is Anthropic's. `slack`: by default with the machine's."""
    history = UsageHistory()
    keys: dict[str, tuple[str, str | None]] = {"apikey_1": ("ingest", "wrkspc_1"), "apikey_2": ("answers", None)}
    anthropic = AnthropicSandbox(clock, history, workspaces={"wrkspc_1": "Search"}, keys=keys)
    limits, console = LimitTable(), SpendLimitTable()
    add_token_count(anthropic.app)
    serve_rate_limits(anthropic, limits)
    serve_spend_limits(anthropic, console)
    code = CodeDays()
    serve_claude_code(anthropic, code)
    async with slack or SlackSandbox(system_clock) as slack, anthropic:
        anthropic.delay = timedelta(0)
        anthropic.analytics_behind = timedelta(0)
        world = World(clock, slack, anthropic, limits, console, folder, code=code)
        world.environ = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
            "ANTHROPIC_BASE_URL": anthropic.origin,
            "CLAUDE_COST_CHANNEL": ALERTS,
            "CLAUDE_COST_SOFT_USD": str(SOFT),
            "CLAUDE_COST_HARD_USD": str(HARD),
            "CLAUDE_COST_POLL_SECONDS": "1",
            "CLAUDE_COST_DATABASE_URL": f"sqlite:///{folder / 'claude-cost.db'}",
            "CLAUDE_COST_FALLBACK_FILE": str(folder / "fallback.env"),
            "CLAUDE_COST_ADMINS": ADMIN,
        }
        yield world


@pytest.fixture(scope="session")
def on_the_loop() -> Iterator[list[str]]:
    """The places of all statements that ran on the event loop."""
    with statements_on_the_loop() as found:
        yield found


@pytest.fixture(autouse=True)
def no_statement_on_the_loop(on_the_loop: list[str]) -> Iterator[None]:
    """In no story does the bot wait for its database where it answers Slack."""
    on_the_loop.clear()
    yield
    assert on_the_loop == []


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """The server that forks the processes of the bot."""
    with fork_server() as server:
        yield server


@pytest.fixture
async def world(tmp_path: Path, forks: ForkServer) -> AsyncIterator[World]:
    """The world of today, for the bot as a process of its own."""
    async with world_at(system_clock, tmp_path) as world:
        world.forks = forks
        yield world


@pytest.fixture
def clock() -> HandClock:
    """Simulated time, on a Monday morning in the middle of a month."""
    return HandClock(datetime.fromisoformat("2026-11-16T09:00:00+00:00"))


@pytest.fixture
async def simulated(clock: HandClock, tmp_path: Path) -> AsyncIterator[World]:
    """A world in simulated time, for the bot in this process."""
    async with world_at(clock, tmp_path) as world:
        yield world


__all__ = ["ADMIN", "ALERTS", "HARD", "SIGNING_SECRET", "SOFT", "Finished", "World"]
