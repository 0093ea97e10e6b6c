"""The bot in processes that can be killed at a chosen moment: `python -m tests.scenario.fork_server FD`.

The product is imported once. For every process requested on the socket FD a child is forked that builds the bot, plays
the steps of a story in order and ends. Before each step it asks for the time, so that the world can be prepared, and it
can kill itself at one of its commits, which no outsider could hit. A run without a fork warms up everything that later
ones would otherwise do first.
"""

import asyncio
import gc
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from bot.app import bot_from
from bot.budgets.budget import LimitKind
from bot.config.settings import Need, load_settings
from bot.notify.outbox import Delivery
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, TEAM_ID
from handlers.commands import answer
from tests import compiled_once
from tests.scenario.conftest import member

LONGEST_MESSAGE = 65_536
SECOND = timedelta(seconds=1)
AGAIN_SECONDS = 0.1
WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s+(\w+)")
SWITCH = "fallback on because of a test"


async def _cycle(bot: Bot, clock: HandClock) -> None:
    await _until_delivered(bot, clock, (await bot.cycle()).delivery)


async def _acknowledge(bot: Bot, clock: HandClock) -> None:
    (hard,) = [alert for alert in bot.services.alerts.life.seen() if alert.level is LimitKind.HARD]
    bot.services.alerts.life.acknowledge(hard.alert_id, ADMIN, clock())
    await _until_delivered(bot, clock, await bot.deliver())


async def _switch(bot: Bot, clock: HandClock) -> None:
    await answer(bot.services, member(ADMIN), SWITCH)
    await _until_delivered(bot, clock, (await bot.cycle()).delivery)


async def _until_delivered(bot: Bot, clock: HandClock, delivery: Delivery | None) -> None:
    while delivery is None or delivery.waiting:
        # Without its own time, notices were postponed before this process began.
        clock.advance((delivery and delivery.retry_in) or SECOND)
        delivery = await bot.deliver()


DEEDS: dict[str, Callable[[Bot, HandClock], Awaitable[None]]] = {
    "cycle": _cycle,
    "acknowledge": _acknowledge,
    "switch": _switch,
}
"""Actions of the bot; each can be repeated when it was interrupted, and ends when nothing waits."""


@dataclass(slots=True)
class Commits:
    """Counts the commits of this process. It dies at number `fatal`, if any: before it or, if `after`, after it.

    `kinds`: what each commit has written, such as `INSERT INTO alerts`.
    """

    fatal: int | None
    after: bool
    kinds: list[list[str]] = field(default_factory=list)
    _written: dict[int, set[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of started ones."""
        return len(self.kinds)

    def watch(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._write)
        event.listen(Engine, "rollback", self._forget)
        event.listen(Engine, "commit", self._about_to)
        event.listen(Pool, "checkin", self._over)

    def _write(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        self._written.setdefault(id(connection), set()).update(" ".join(found) for found in WRITES.findall(statement))

    def _forget(self, connection: Any) -> None:
        self._written.pop(id(connection), None)

    def _about_to(self, connection: Any) -> None:
        self.kinds.append(sorted(self._written.pop(id(connection), ())))
        if self.count == self.fatal and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _over(self, connection: Any, record: Any) -> None:
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


async def _live(world: socket.socket, life: dict[str, Any]) -> None:
    commits = Commits(life["fatal_commit"], life["after"])
    commits.watch()
    clock = HandClock(datetime.fromisoformat(life["now"]))
    async with bot_from(load_settings(life["environ"], Need.RUN), clock) as bot:
        bot.workspace.team = TEAM_ID
        while not await bot.leadership.still_held():  # noqa: ASYNC110  # no event tells of it
            # On PostgreSQL the lease of a killed process lasts for its term, in real time.
            await asyncio.sleep(AGAIN_SECONDS)
        for number in range(life["first"], len(life["deeds"])):
            _say(world, step=number)
            clock.now = datetime.fromisoformat(_heard(world)["now"])
            await DEEDS[life["deeds"][number]](bot, clock)
    _say(world, commits=commits.kinds)


def _say(world: socket.socket, **said: object) -> None:
    world.send(json.dumps(said).encode())


def _heard(world: socket.socket) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(world.recv(LONGEST_MESSAGE) or "{}")
    return heard


def main(fd: int) -> None:
    """Fork a process for every life that is asked for, until the other end is closed."""
    compiled_once.register()
    with socket.socket(fileno=fd) as world:
        while heard := _heard(world):
            if "deeds" not in heard:
                continue  # A response to a process that was killed before it arrived.
            gc.freeze()  # A garbage collection in a fork would copy the shared memory.
            child = os.fork() if heard["forks"] else 0
            if child:
                _, status = os.waitpid(child, 0)
                _say(world, ended=os.waitstatus_to_exitcode(status))
                continue
            _say(world, pid=os.getpid())
            asyncio.run(_live(world, heard))
            if heard["forks"]:
                os._exit(0)
            _say(world, ended=0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
