"""A story of alerts whose bot is killed again and again, and what the channel then lacks or has twice."""

import asyncio
import copy
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.clock import DAY, HOUR
from bot.sandbox.anthropic_usage import UsageHistory
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import SlackSandbox
from bot.sandbox.slack_workspace import Message
from tests.scenario.conftest import World, world_at
from tests.scenario.fork_server import LONGEST_MESSAGE

ROOT = Path(__file__).resolve().parents[2]
BEGIN = datetime.fromisoformat("2026-11-27T09:00:00+00:00")
POST, EDIT = "chat.postMessage", "chat.update"
LOOKS = ("conversations.history", "conversations.replies")
READ = "channels:history"
MOST_LIVES = 20
PATIENCE = 180
"""Seconds without a word of a process: on PostgreSQL it waits for the lease, and for attempts, of the killed one."""
STATE_QUERIES = (
    "SELECT kind, subject, key, limit_kind, limit_usd, status, acknowledged_by, ts IS NULL FROM alerts ORDER BY id",
    "SELECT mode, changed_by, ts IS NULL FROM mode_changes ORDER BY id",
    "SELECT count(*) FROM notices WHERE status IN ('pending', 'sending')",
)

Edge = Literal["arrived", "stored", "answered"]
"""Phases of a call at Slack: before it does anything, before it responds, after it has responded."""
EDGES: tuple[Edge, ...] = ("arrived", "stored", "answered")


@dataclass(frozen=True, slots=True)
class Step:
    """`prepare` makes the world ready, once; then the bot does its deed, until nothing waits to be delivered."""

    after: timedelta
    deed: str
    prepare: Callable[[World], object] = lambda world: None


def _falls_back(world: World) -> None:
    now = world.clock()
    for event in world.anthropic.history.shown(BEGIN, now, now, timedelta(0)):
        world.anthropic.history.correct(event, now)


STORY = (
    Step(timedelta(0), "cycle", lambda world: world.spend(130)),
    Step(HOUR, "cycle", lambda world: world.spend(80)),
    Step(HOUR, "acknowledge"),
    Step(HOUR, "switch"),
    Step(HOUR, "cycle", _falls_back),
    Step(4 * DAY, "cycle"),
)
"""Soft limit, hard limit, somebody acknowledges and changes the mode, a correction removes the spend, and the next
month begins.
"""
LAST = len(STORY) - 1


@dataclass(frozen=True, slots=True)
class Crash:
    """Crash of a process: at its commit or call of this number, or this many real seconds after its start.

    `after`: after the commit. `edge`: of the call. None of them: it runs to the end. Numbers begin with 1.
    """

    commit: int | None = None
    after: bool = False
    call: int | None = None
    edge: Edge = "arrived"
    seconds: float | None = None


NO_CRASH = Crash()


class ForkServer:
    """The process that forks the bot."""

    def __init__(self, certificates: Path) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.scenario.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                # Reading the system's certificates takes longer than a cycle, and no server here uses TLS.
                env={"PATH": os.environ["PATH"], "SSL_CERT_DIR": str(certificates)},
                pass_fds=[theirs.fileno()],
                stderr=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait(60)

    async def say(self, **said: object) -> None:
        """Send to the bot's process, or to the fork server if there is none."""
        await asyncio.get_running_loop().sock_sendall(self._socket, json.dumps(said).encode())

    async def hear(self) -> dict[str, Any]:
        """The next thing that either of them says."""
        received = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, LONGEST_MESSAGE), PATIENCE)
        heard: dict[str, Any] = json.loads(received)
        return heard


@contextmanager
def fork_server_in(folder: Path) -> Iterator[ForkServer]:
    """The process that forks the bot, ended at the end. The folder is an empty one."""
    fork_server = ForkServer(folder)
    try:
        yield fork_server
    finally:
        fork_server.close()


class Line:
    """Counts the calls of Slack that send something, and kills the process at the fatal one."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.calls: Counter[str] = Counter()
        self._since_begin: list[str] = []
        self._crash = NO_CRASH
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, crash: Crash) -> None:
        """A new process is about to begin, which is to die like this."""
        self.pid, self._since_begin, self._crash = None, [], crash

    @property
    def since_begin(self) -> list[str]:
        """Calls of the last process, in order. A reply is its own kind."""
        return self._since_begin

    @web.middleware
    async def pass_on(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        method = request.match_info.get("method", "")
        if method not in (POST, EDIT):
            return await handler(request)
        self.calls[method] += 1
        self._since_begin.append(f"{method} in a thread" if b"thread_ts" in await request.read() else method)
        edge = self._crash.edge if len(self._since_begin) == self._crash.call else None
        if edge == "arrived":
            self.kill()
            raise ConnectionResetError("the process that has called is dead")
        self._under_way += 1
        self._idle.clear()
        try:
            response = await handler(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        if edge == "answered":
            await response.prepare(request)
            await response.write_eof()
        if edge is not None:
            self.kill()
        return response

    def kill(self) -> None:
        """The process, if it lives."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def idle(self) -> None:
        """Return once no call is under way: a start takes longer than a call."""
        await self._idle.wait()


@dataclass(frozen=True, slots=True)
class PostedAlert:
    """A message of the channel: which incident it is of, its first line, and those of its replies."""

    incident: str
    line: str
    replies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """State before a step, or after the last one."""

    now: datetime
    folder: Path
    messages: list[Message]
    history: UsageHistory
    posted: list[PostedAlert]
    state: list[str]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The story without a crash. `scenes`: what stood before each step, and at the end.

    `commits` and `calls`: those of a process that plays one step alone: what each commit writes, and of which kind each
    call is. `seconds`: how long all steps take.
    """

    scenes: list[Scene]
    commits: list[list[list[str]]]
    calls: list[list[str]]
    seconds: float


@dataclass(slots=True)
class Play:
    """The story in one world. `at`: the step that is under way. `crashes`: how many processes were killed.

    `commits`: of the last process that came to its end. `scenes`: where to keep what stood before each step.
    `waits_for_lease`: a crash some seconds after the begin is one after the begin of its first step.
    """

    world: World
    clock: HandClock
    fork_server: ForkServer
    line: Line
    at: int = 0
    crashes: int = 0
    commits: list[list[str]] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    waits_for_lease: bool = False
    _prepared: int = -1

    async def alone(self, number: int) -> None:
        """Play one step in the fork_server itself, which has done everything once by then."""
        self.at = number
        await self._run_process(number, NO_CRASH, forks=False)

    async def until(self, last: int, crashes: Iterator[Crash]) -> None:
        """Begin a process anew until one has come to the end of step `last`. Those after `crashes` live."""
        for _ in range(MOST_LIVES):
            if await self._run_process(last, next(crashes, NO_CRASH)):
                return
            self.crashes += 1
        raise AssertionError("the story does not end")

    def scene(self, folder: Path) -> Scene:
        """Save the state while no process is running. `folder`: for the files."""
        shutil.copytree(self.world.folder, folder)
        messages, history = copy.deepcopy(self.world.slack.messages), copy.deepcopy(self.world.anthropic.history)
        return Scene(self.clock.now, folder, messages, history, self.posted(), self.state())

    def go_to(self, number: int, scene: Scene) -> None:
        """Be where the story was before this step."""
        shutil.copytree(scene.folder, self.world.folder, dirs_exist_ok=True)
        self.clock.now = scene.now
        self.world.slack.messages[:] = copy.deepcopy(scene.messages)
        self.world.anthropic.history = copy.deepcopy(scene.history)
        self.at, self._prepared = number, number - 1

    def posted(self) -> list[PostedAlert]:
        """Alerts in the channel."""
        return [
            PostedAlert(_incident(post), _line(post), tuple(_line(reply) for reply in self.world.replies(post)))
            for post in self.world.posts()
        ]

    def state(self) -> list[str]:
        """The bot's stored state of alerts and modes, and how much it still has to send: later steps depend on it."""
        path = self.world.folder / "claude-cost.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as database:
            return [str(row) for query in STATE_QUERIES for row in database.execute(query)]

    async def _run_process(self, last: int, crash: Crash, *, forks: bool = True) -> bool:
        self.line.begin(crash)
        await self.fork_server.say(
            forks=forks,
            environ=self.world.environ,
            deeds=[step.deed for step in STORY[: last + 1]],
            first=self.at,
            now=self.clock.now.isoformat(),
            fatal_commit=crash.commit,
            after=crash.after,
        )
        self.line.pid = int((await self.fork_server.hear())["pid"])
        timer = None if self.waits_for_lease else self._timer(crash)
        while "ended" not in (heard := await self.fork_server.hear()):
            if "step" in heard:
                timer = timer or self._timer(crash)
                await self._begin(heard["step"])
            self.commits = heard.get("commits", self.commits)
        self.line.pid = None
        if timer is not None:
            timer.cancel()
        assert heard["ended"] in (0, -signal.SIGKILL)
        await self.line.idle()
        return bool(heard["ended"] == 0)

    def _timer(self, crash: Crash) -> asyncio.TimerHandle | None:
        if crash.seconds is None:
            return None
        return asyncio.get_running_loop().call_later(crash.seconds, self.line.kill)

    async def _begin(self, number: int) -> None:
        self.at = number
        if self._prepared < number:
            self.clock.now = BEGIN + sum((step.after for step in STORY[: number + 1]), timedelta(0))
            STORY[number].prepare(self.world)
            self._prepared = number
        await self.fork_server.say(now=self.clock.now.isoformat())


def _incident(message: Message) -> str:
    return str((message.metadata or {}).get("event_payload", {}).get("what"))


def _line(message: Message) -> str:
    return message.text.partition("\n")[0]


@asynccontextmanager
async def play_in(
    folder: Path, fork_server: ForkServer, *, readable: bool, database_url: str | None = None
) -> AsyncIterator[Play]:
    """A new world whose story has not begun. `readable`: whether the bot may read the channel back.

    `database_url`: an empty database on a server, instead of a file in the folder.
    """
    clock, line = HandClock(BEGIN), Line()
    slack = SlackSandbox(clock)
    slack.app.middlewares.append(line.pass_on)
    config = _configured(folder)
    async with world_at(clock, folder, slack) as world:
        if readable:
            slack.workspace.scopes.add(READ)
        world.environ["CLAUDE_COST_CONFIG"] = str(config)
        if database_url is not None:
            world.environ["CLAUDE_COST_DATABASE_URL"] = database_url
        yield Play(world, clock, fork_server, line, waits_for_lease=database_url is not None)


def _configured(folder: Path) -> Path:
    folder.mkdir(parents=True)
    config = folder / "claude-cost.toml"
    # A forecast in every cycle would take most of the time, and its alerts are sent like all others.
    config.write_text("[forecast]\nenabled = false\n", encoding="utf-8")
    return config


async def undisturbed_in(folder: Path, fork_server: ForkServer) -> Undisturbed:
    """Play the story without a crash, step by step, and then once more in one go."""
    scenes, commits, calls = [], [], []
    async with play_in(folder / "undisturbed", fork_server, readable=False) as play:
        for number in range(len(STORY)):
            scenes.append(play.scene(folder / f"scene {number}"))
            await play.alone(number)
            commits.append(play.commits)
            calls.append(play.line.since_begin)
        scenes.append(play.scene(folder / "the end"))
    async with play_in(folder / "in one go", fork_server, readable=False) as play:
        begun_at = time.monotonic()
        await play.until(LAST, iter(()))
        seconds = time.monotonic() - begun_at
        assert play.posted() == scenes[-1].posted
    return Undisturbed(scenes, commits, calls, seconds)


@dataclass(slots=True)
class Difference:
    """Differences from the story without a crash: missing, stale and duplicate messages."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


def difference(wanted: Sequence[PostedAlert], found: Sequence[PostedAlert], *, in_order: bool = True) -> Difference:
    """Compares two channels. Of several messages of one incident the last is the one that is edited and answered.

    `in_order`: whether the incidents have to stand in the same order.
    """
    result = Difference(strange=sorted({posted.incident for posted in found} - {posted.incident for posted in wanted}))
    for posted in wanted:
        same = [one for one in found if one.incident == posted.incident]
        replies = Counter(reply for one in same for reply in one.replies) - Counter(posted.replies)
        if not same or same[-1].line != posted.line or tuple(dict.fromkeys(same[-1].replies)) != posted.replies:
            result.lost.append(f"{posted} is {same[-1] if same else 'not there'}")
        result.doubled += [posted.incident] * (len(same) - 1)
        result.doubled += [
            f"{posted.incident}: {reply}" for reply in (Counter(replies) - Counter(posted.replies)).elements()
        ]
    order = list(dict.fromkeys(one.incident for one in found))
    if in_order and not result.lost and not result.strange and order != [posted.incident for posted in wanted]:
        result.strange = order
    return result


@dataclass(frozen=True, slots=True)
class Moment:
    """A crash in a step. `turn`: neighbours differ in it by 1. `kinds`: which statements or which call it cuts off."""

    step: int
    crash: Crash
    turn: int
    kinds: frozenset[str]


def at_commits(undisturbed: Undisturbed, *, after: bool) -> list[Moment]:
    """Moments before or after each commit of each step."""
    return [
        Moment(step, Crash(commit=number, after=after), step + number, frozenset(kinds))
        for step, commits in enumerate(undisturbed.commits)
        for number, kinds in enumerate(commits, 1)
    ]


def at_calls(undisturbed: Undisturbed) -> list[Moment]:
    """Moments at each phase of each call of Slack in each step."""
    return [
        Moment(step, Crash(call=number, edge=edge), step + number + index, frozenset({f"{kind}, {edge}"}))
        for step, calls in enumerate(undisturbed.calls)
        for number, kind in enumerate(calls, 1)
        for index, edge in enumerate(EDGES)
    ]


def spread(moments: Sequence[Moment], offset: int, every: int) -> list[Moment]:
    """One of `every` moments, and the first of each step and kind that none of those has."""
    chosen = [moment for moment in moments if (moment.turn + offset) % every == 0]
    met = {kind for moment in chosen for kind in moment.kinds}
    steps = {moment.step for moment in chosen}
    for moment in moments:
        if moment.step not in steps or not moment.kinds <= met:
            chosen.append(moment)
            met |= moment.kinds
            steps.add(moment.step)
    return chosen


@dataclass(frozen=True, slots=True)
class Killed:
    """Effect of one crash. `keeps_state`: whether the bot's state is the same afterwards as without it."""

    crashes: int
    keeps_state: bool
    difference: Difference


async def kill(
    folder: Path, fork_server: ForkServer, undisturbed: Undisturbed, moment: Moment, *, readable: bool
) -> Killed:
    """Kill the bot at this moment, begin it anew, and play the step to its end.

    Where the bot keeps_state and the channel shows the same as without a crash, so will they after all later steps.
    """
    async with play_in(folder, fork_server, readable=readable) as play:
        play.go_to(moment.step, undisturbed.scenes[moment.step])
        await play.until(moment.step, iter([moment.crash]))
        wanted = undisturbed.scenes[moment.step + 1]
        keeps_state = play.state() == wanted.state
        return Killed(play.crashes, keeps_state, difference(wanted.posted, play.posted()))


NO_FAULT = Fault("slow")
FAULTS = (
    Fault("status", status=429, retry_after="1"),
    Fault("status", status=500),
    Fault("status", status=500, after_doing=True),
    Fault("drop"),
    Fault("drop_after"),
    Fault("slow", seconds=0.2),
)
LOOK_FAULTS = (
    Fault("status", status=429, retry_after="1"),
    Fault("status", status=500),
    Fault("drop"),
    Fault("html", status=200),
    Fault("error", error="internal_error"),
)
CALLS_WITH_FAULTS = 16
ESCALATED = "Nobody has acknowledged this"


@dataclass(frozen=True, slots=True)
class Stormy:
    """A story among faults and crashes at random moments. `unanswered`: posts that Slack has without having said so."""

    crashes: int
    unanswered: int
    difference: Difference


async def play_through_a_storm(
    folder: Path,
    fork_server: ForkServer,
    wanted: Sequence[PostedAlert],
    random: Random,
    *,
    seconds: float,
    crashes: int,
    readable: bool,
    looks_fail: bool = False,
    database_url: str | None = None,
) -> Stormy:
    """The whole story with faults of Slack, whose first processes die within `seconds` if they live so long.

    `looks_fail`: reading the channel back fails now and then too. `database_url`: as in `play_in`.
    """
    async with play_in(folder, fork_server, readable=readable, database_url=database_url) as play:
        script = {name: [random.choice((NO_FAULT, *FAULTS)) for _ in range(CALLS_WITH_FAULTS)] for name in (POST, EDIT)}
        all_crashes = [Crash(seconds=random.uniform(0, seconds)) for _ in range(crashes)]
        if looks_fail:
            for name in LOOKS:
                script[name] = [random.choice((NO_FAULT, *LOOK_FAULTS)) for _ in range(CALLS_WITH_FAULTS)]
        for name, faults in script.items():
            for fault in faults:
                play.world.slack.faults.add(name, fault)
        await play.until(LAST, iter(all_crashes))
        met = script[POST][: play.line.calls[POST]]
        unanswered = sum(1 for fault in met if fault.after_doing or fault.kind == "drop_after")
        found = [_without_escalations(posted) for posted in play.posted()]
        # On a server the killed process may still be sending: its message is waited for, and those of others go on.
        in_order = not looks_fail and database_url is None
        return Stormy(play.crashes, unanswered, difference(wanted, found, in_order=in_order))


def _without_escalations(posted: PostedAlert) -> PostedAlert:
    """Faults are waited for by the story's clock, at times for longer than the half hour before an escalation."""
    return replace(posted, replies=tuple(reply for reply in posted.replies if not reply.startswith(ESCALATED)))
