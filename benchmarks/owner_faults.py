"""Faults of the polling replica: find it, disturb it, and measure how long nobody polls."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from benchmarks.bot_process import BotProcess, asked, until
from benchmarks.tcp_proxy import Mode, TcpProxy

KINDS = ("kill", "power", "freeze", "black-hole", "slow", "cut")
OWNER_MAY_GO_ON = frozenset({"slow", "cut"})
CALM = 5.0
PATIENCE = 60.0
"""Seconds after which no further poll is expected."""


@dataclass(slots=True)
class Polls:
    """Which replica asked Anthropic when, by the monotonic clock."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def heard(self, replica: int) -> None:
        self.seen.append((time.monotonic(), replica))

    @property
    def owner(self) -> int:
        return self.seen[-1][1]

    def calm(self) -> bool:
        """Whether exactly one replica has polled within the last seconds, more than once."""
        since = time.monotonic() - CALM
        last = [(at, replica) for at, replica in self.seen[-100:] if at >= since]
        return len({replica for _, replica in last}) == 1 and last[-1][0] - last[0][0] > 0.5

    def first(self, since: float, owner: int, owner_from: float) -> tuple[float, int] | None:
        """The first poll after `since`; the owner's polls count only after `owner_from`."""
        return next((one for one in self.seen if one[0] > (owner_from if one[1] == owner else since)), None)

    def interleaved(self) -> int:
        """How often two replicas polled in alternation within 3 s."""
        changes = [one for before, one in pairwise([(0.0, -1), *self.seen]) if before[1] != one[1]]
        return sum(1 for before, after in pairwise(changes) if after[0] - before[0] < 3)


@dataclass(slots=True)
class Replica:
    """`database`: the proxy to PostgreSQL. `port`: its HTTP port."""

    number: int
    process: BotProcess
    database: TcpProxy
    port: int


@dataclass(slots=True)
class Outage:
    """`gap`: seconds until an undisturbed replica polled; None: none did. `lasted`: seconds of the fault.

    `said`: answers of stand-bys at /readyz: seconds since the start, status (None: no answer), problems.
    """

    kind: str
    owner: int
    begun_at: float
    lasted: float = 0
    gap: float | None = None
    by_another: bool = False
    said: list[tuple[float, int | None, tuple[str, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class OwnerFaults:
    """Disturbs the polling replica, one fault after another. `under_way`: whether a fault is active.

    `shortest`, `longest`: seconds of a fault with a duration.
    """

    replicas: Sequence[Replica]
    polls: Polls
    random: Random
    shortest: float
    longest: float
    outages: list[Outage] = field(default_factory=list)
    under_way: bool = False

    async def disturb(self, kinds: Sequence[str], end: float) -> None:
        """Run until `end` (monotonic clock); every kind occurs once before one repeats."""
        bag: list[str] = []
        while time.monotonic() < end:
            await self.calm()
            await asyncio.sleep(self.random.uniform(1, 6))
            bag = bag or self.random.sample(list(kinds), len(kinds))
            outage = Outage(bag.pop(), self.polls.owner, time.monotonic())
            self.outages.append(outage)
            seconds = self.random.uniform(self.shortest, self.longest)
            self.under_way = True
            asking = asyncio.create_task(self._ask_stand_bys(outage))
            try:
                await self._apply(outage, min(seconds, max(self.shortest, end - time.monotonic())))
                await self._recovered(outage)
            finally:
                asking.cancel()
                self.under_way = False

    async def calm(self) -> bool:
        """Wait until exactly one replica polls; False after the timeout."""
        return await until(self.polls.calm, PATIENCE)

    async def _apply(self, outage: Outage, seconds: float) -> None:
        replica = self.replicas[outage.owner]
        process, database = replica.process, replica.database
        match outage.kind:
            case "kill":
                await process.kill()
                await asyncio.sleep(self.random.uniform(0.2, 5))
                await process.start()
            case "power":
                give_up = database.lose()
                await process.kill()
                await asyncio.sleep(seconds)
                give_up()
                await process.start()
            case "freeze":
                process.freeze()
                await asyncio.sleep(seconds)
                process.thaw()
            case "black-hole" | "slow":
                database.mode = Mode(outage.kind)
                await asyncio.sleep(seconds)
                database.mode = Mode.PASS
            case "cut":
                for _ in range(15):
                    database.cut()
                    await asyncio.sleep(0.2)
        outage.lasted = time.monotonic() - outage.begun_at

    async def _recovered(self, outage: Outage) -> None:
        owner_from = outage.begun_at + (0 if outage.kind in OWNER_MAY_GO_ON else outage.lasted)

        def found() -> tuple[float, int] | None:
            return self.polls.first(outage.begun_at, outage.owner, owner_from)

        await until(lambda: found() is not None, PATIENCE)
        if (first := found()) is not None:
            outage.gap = first[0] - outage.begun_at
            outage.by_another = first[1] != outage.owner

    async def _ask_stand_bys(self, outage: Outage) -> None:
        stand_bys = [replica for replica in self.replicas if replica.number != outage.owner]
        while True:
            for replica in stand_bys:
                status, body = await asked(replica.port, "/readyz", 2) or (None, {})
                problems = tuple(body.get("problems", ())) if isinstance(body, dict) else ()
                outage.said.append((time.monotonic() - outage.begun_at, status, problems))
            await asyncio.sleep(1)
