"""Run `claude-cost run` in its own process that can be killed, frozen and stopped, with its log in a file.

Also here: budgets that can be crossed one by one, the HTTP port's answers, and random faults of the local Slack.
"""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.server import Fault, Faults
from tests.scenario.conftest import World
from tests.scenario.kills import LOOK_FAULTS

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60


class BotProcess:
    """`environ`: its settings. `most_files`: RLIMIT_NOFILE of the process. Killed on exit if it still runs."""

    def __init__(self, folder: Path, name: str, environ: Mapping[str, str], most_files: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        certificates = folder / "no certificates"
        certificates.mkdir(exist_ok=True)
        self.folder = folder
        self.name = name
        self.log = folder / f"{name}.log"
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            # Reading the machine's certificates takes longer than a poll, and no server here uses TLS.
            "SSL_CERT_DIR": str(certificates),
            **environ,
        }
        self._most_files = most_files
        self._process: asyncio.subprocess.Process | None = None
        self.pids: set[int] = set()
        """Of every start."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log_bytes(self) -> int:
        return self.log.stat().st_size

    def log_lines(self, from_byte: int = 0, to_byte: int | None = None) -> int:
        """Number of log lines between two byte offsets."""
        return self.log_text(from_byte, to_byte).count(b"\n")

    def log_text(self, from_byte: int = 0, to_byte: int | None = None) -> bytes:
        """The log between two byte offsets."""
        with self.log.open("rb") as log:
            log.seek(from_byte)
            return log.read(-1 if to_byte is None else to_byte - from_byte)

    def open_files(self) -> int:
        """Number of open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def start(self) -> None:
        """Start it; appends to an existing log."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bot", "run"),
                env={name: value for name, value in self._environ.items() if value},
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        self.pids.add(self.pid)
        if self._most_files is not None:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self._most_files, self._most_files))

    async def kill(self) -> None:
        """SIGKILL, which ends a frozen process too."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def terminate(self, patience: float) -> tuple[float, int | None]:
        """Send SIGTERM. Returns the seconds until the exit and the exit code; None after `patience` seconds."""
        assert self._process is not None
        begun_at = time.monotonic()
        self._signal(signal.SIGTERM)
        code: int | None = None
        with suppress(TimeoutError):
            code = await asyncio.wait_for(self._process.wait(), patience)
        return time.monotonic() - begun_at, code

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


async def asked(port: int, path: str, seconds: float) -> tuple[int, Any] | None:
    """Status and JSON of the bot's HTTP port over a new connection; None if it does not answer in time."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition`; return whether it held within `seconds`."""
    patience = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > patience:
            return False
        await asyncio.sleep(0.1)
    return True


async def until_served(port: int, seconds: float = START_SECONDS) -> None:
    """Wait until `/healthz` answers. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while await asked(port, "/healthz", 2) is None:  # noqa: ASYNC110  # another process answers
            await asyncio.sleep(0.1)


CONFIG = """\
[alerts]
escalate_minutes = 0
[forecast]
enabled = false
[spike]
enabled = false
[drift]
enabled = false
"""
BUDGET = """\
[[budget]]
name = "{name}"
scope = "key:apikey_{name}"
soft_usd = "1"
"""


def give_budgets(world: World, names: Sequence[str]) -> None:
    """Configure one budget per name, and switch all other alerts off, for bots started with the world's settings."""
    world.anthropic.keys = {f"apikey_{name}": (f"key {name}", None) for name in names}
    config = world.folder / "claude-cost.toml"
    config.write_text("".join([CONFIG, *(BUDGET.format(name=name) for name in names)]), encoding="utf-8")
    world.environ |= dict.fromkeys(("CLAUDE_COST_SOFT_USD", "CLAUDE_COST_HARD_USD"), "")
    world.environ["CLAUDE_COST_CONFIG"] = str(config)


def cross(world: World, name: str) -> UsageEvent:
    """Spend more than this budget's limit, now."""
    return world.spend("1.25", key=f"apikey_{name}")


POST_FAULTS = (
    Fault("status", status=500, after_doing=True),
    Fault("drop"),
    Fault("drop_after"),
    Fault("status", status=429, retry_after="1"),
    Fault("slow", seconds=1.5),
)
"""Stored but reported as failed (500, cut), cut before storing, rejected by the rate limit, and done late."""

SLACK_FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "chat.postMessage": POST_FAULTS,
    "chat.update": POST_FAULTS,
    "conversations.history": LOOK_FAULTS,
    "conversations.replies": LOOK_FAULTS,
}


class RandomFaults(Faults):
    """Each call of a method in `kinds` fails with the probability `share`, while `active`. `met`: how many of each."""

    def __init__(self, random: Random, share: float, kinds: Mapping[str, tuple[Fault, ...]] = SLACK_FAULTS) -> None:
        super().__init__()
        self._random = random
        self._share = share
        self._kinds = kinds
        self.active = True
        self.met: Counter[str] = Counter()

    def next(self, name: str) -> Fault | None:
        """The fault for this call, or None."""
        kinds = self._kinds.get(name)
        if not self.active or kinds is None or self._random.random() >= self._share:
            return super().next(name)
        self.met[name] += 1
        return self._random.choice(kinds)
