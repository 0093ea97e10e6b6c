"""Run several replicas on one PostgreSQL; kill, freeze, cut off or slow the owner while limits are crossed.

    python benchmarks/replicas.py [MINUTES] [--replicas 3] [--seed 1] [--no-history] [--only kill,kill,kill,freeze]

Real processes (`python -m bot run`) use the local Slack and the local Anthropic. Each replica reaches PostgreSQL and
Anthropic through its own TCP proxies; the replica that polled last is the owner. Slack sometimes fails on posts,
edits and reads. Faults of the owner, one at a time:

    kill         SIGKILL, started again after up to 5 s
    power        its connections go silent without FIN, then SIGKILL; PostgreSQL notices after 5 to 60 s
    freeze       SIGSTOP for 5 to 60 s
    black-hole   nothing passes between it and PostgreSQL for 5 to 60 s
    slow         up to 0.5 s and 20 kB/s between it and PostgreSQL for 5 to 60 s
    cut          its connections to PostgreSQL are aborted every 0.2 s for 3 s

Measures lost and duplicate alerts and thread replies (by the identity in their metadata), seconds from a fault to the
next poll (of another replica, or of the owner once the fault is over), seconds from a crossing to its alert, what each
replica delivered, the stand-bys' answers at /readyz during the fault, and the answers to commands, which are typed all
the time: Slack gives each to one of the replicas. Takes MINUTES and up to two more. Exit code 1 if an alert or reply is
lost, if one is duplicated although the bot may read the channel back, if nobody polls for more than 30 s after a fault,
or if a command is not answered within 3 s although its replica had no fault. --postgres or CLAUDE_COST_TEST_POSTGRES
names a server on which databases may be created; by default, one is started.
"""

import argparse
import asyncio
import logging
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import create_engine, make_url, select

from benchmarks.bot_process import BotProcess, RandomFaults, cross, give_budgets, until, until_served
from benchmarks.figures import Figure, emit
from benchmarks.owner_faults import KINDS, PATIENCE, Outage, OwnerFaults, Polls, Replica
from benchmarks.tcp_proxy import TcpProxy
from bot.clock import system_clock
from bot.db.schema import notices
from bot.notify.model import NoticeStatus
from bot.sandbox.anthropic_usage import UsageEvent
from bot.sandbox.slack_workspace import Message, NotDispatchedError
from tests import postgres_server
from tests.databases import postgres_database
from tests.postgres_server import GIVEN
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

MOST_GAP = 30.0
LONG_GAP = 10.0
"""Seconds without a poll after which a stand-by should report that no replica works."""
NEVER = 999.0
DRAIN = 90.0
SETTLE = 6.0
COMMANDS_EVERY = 0.5
MOST_UNANSWERED = 3.0
"""Seconds that a command may wait for its answer, and Slack for the acknowledgement."""

SHARE_OF_FAULTS = 0.15

Rows = list[tuple[str, object, object, bool]]
"""Name, figure, bound, and whether it is within the bound."""


@dataclass(slots=True)
class Crossing:
    """A budget whose limit was crossed once. Its usage may be withdrawn later."""

    name: str
    event: UsageEvent
    taken_back: bool = False


@dataclass(slots=True)
class Command:
    """Moments by the monotonic clock; None: never. `during`: the fault that was under way when it was typed."""

    typed_at: float
    during: str | None
    acknowledged_at: float | None = None
    answered_at: float | None = None
    answers: int = 0

    @property
    def is_late(self) -> bool:
        return self.answered_at is None or self.answered_at - self.typed_at > MOST_UNANSWERED

    def was_hit_by(self, outage: Outage) -> bool:
        """Whether Slack may have given it to that replica, and the answer did not come before the fault.

        A killed replica gets no further commands once Slack has seen its connection end.
        """
        typed = self.typed_at - outage.begun_at
        over = 0.3 if outage.kind in ("kill", "power") else outage.lasted
        answered = self.answered_at is not None and self.answered_at < outage.begun_at
        return -MOST_UNANSWERED < typed < over and not answered

    def __str__(self) -> str:
        moments = ((None if at is None else at - self.typed_at) for at in (self.acknowledged_at, self.answered_at))
        return " and ".join(
            f"{what} {'never' if after is None else f'after {after:.1f} s'}"
            for what, after in zip(("acknowledged", "answered"), moments, strict=True)
        )


@dataclass(slots=True)
class Story:
    """Crosses limits, and withdraws some of the usage once its alert is posted."""

    world: World
    random: Random
    crossings: list[Crossing] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    async def cross(self, names: Iterator[str]) -> None:
        """Cross one budget after another."""
        for name in names:
            self.crossings.append(Crossing(name, cross(self.world, name)))
            await asyncio.sleep(self.random.uniform(1, 5))
            posts = self.posts()
            alerted = [one for one in self.crossings[-30:] if not one.taken_back and one.name in posts]
            if alerted and self.random.random() < 0.6:
                taken = self.random.choice(alerted)
                self.world.anthropic.history.correct(taken.event, system_clock())
                taken.taken_back = True

    async def type(self, faults: OwnerFaults) -> None:
        """Type a command twice a second; Slack gives it to any replica."""

        async def typed(command: Command) -> None:
            self.commands.append(command)
            with suppress(NotDispatchedError, TimeoutError):
                interaction = await self.world.slack.command("status")
                command.acknowledged_at = time.monotonic()
                await interaction.first_reply(PATIENCE)
                command.answered_at = time.monotonic()
                await asyncio.sleep(SETTLE)
                command.answers = len(interaction.replies)

        async with asyncio.TaskGroup() as group:
            while True:
                during = faults.outages[-1].kind if faults.under_way else None
                group.create_task(typed(Command(time.monotonic(), during)))
                await asyncio.sleep(COMMANDS_EVERY)

    def posts(self) -> dict[str, list[Message]]:
        """The channel's messages by the subject of their incident."""
        found: dict[str, list[Message]] = {}
        for post in self.world.posts():
            found.setdefault(_identity(post)[0].partition("/")[0], []).append(post)
        return found

    def lost_alerts(self) -> list[str]:
        posts = self.posts()
        return [one.name for one in self.crossings if one.name not in posts]

    def lost_replies(self) -> list[str]:
        """Incidents that are over, but neither the first line nor the thread says so."""
        posts = self.posts()
        lost = []
        for one in self.crossings:
            if one.taken_back and (alerts := posts.get(one.name)):
                replies = [reply.text for alert in alerts for reply in alert.replies]
                edited = any("resolved" in alert.text.partition("\n")[0] for alert in alerts)
                if not edited or not any(reply.startswith("Resolved") for reply in replies):
                    lost.append(one.name)
        return lost

    def doubled_alerts(self) -> list[str]:
        return _twice([_identity(post)[0] for post in self.world.posts()])

    def doubled_replies(self) -> list[str]:
        return _twice([" notice ".join(_identity(reply)) for post in self.world.posts() for reply in post.replies])

    def strange(self) -> list[str]:
        """Messages of the channel without a crossing."""
        known = {one.name for one in self.crossings}
        return [_identity(post)[0] for subject, posts in self.posts().items() if subject not in known for post in posts]

    def waits(self) -> list[float]:
        """Seconds from each crossing to its first alert."""
        posts = self.posts()
        alerted = [one for one in self.crossings if one.name in posts]
        return [(posts[one.name][0].posted_at - one.event.at).total_seconds() for one in alerted]


def _identity(message: Message) -> tuple[str, str]:
    payload = (message.metadata or {}).get("event_payload", {})
    return str(payload.get("what")), str(payload.get("notice"))


def _twice(names: Sequence[str]) -> list[str]:
    return sorted((Counter(names) - Counter(set(names))).elements())


def _of_commands(commands: Sequence[Command], outages: Sequence[Outage]) -> Rows:
    typed = [one for one in commands if one.typed_at < time.monotonic() - SETTLE - MOST_UNANSWERED]
    acknowledged = [one.acknowledged_at - one.typed_at for one in typed if one.acknowledged_at is not None]
    answered = [one.answered_at - one.typed_at for one in typed if one.answered_at is not None]
    late = [one for one in typed if one.is_late]
    hit = [one for one in late if any(one.was_hit_by(outage) for outage in outages)]
    kinds = Counter(next(outage.kind for outage in reversed(outages) if one.was_hit_by(outage)) for one in hit)
    of_kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    unexplained = len(late) - len(hit)
    return [
        ("commands typed", len(typed), "", True),
        ("  acknowledged, p50 / p95 / max s", _spread(acknowledged, 2), "", True),
        ("  answered, p50 / p95 / max s", _spread(answered, 2), "", True),
        ("  unanswered for more than 3 s", len(late), "", True),
        ("    given to a replica in a fault", f"{len(hit)} {of_kinds and f'({of_kinds})'}".strip(), "", True),
        ("    others", unexplained, 0, not unexplained),
        ("  answered twice", sum(one.answers > 1 for one in typed), 0, all(one.answers <= 1 for one in typed)),
    ]


def _unexplained(commands: Sequence[Command], outages: Sequence[Outage]) -> list[str]:
    late = [one for one in commands if one.is_late and not any(one.was_hit_by(outage) for outage in outages)]
    before = [[outage for outage in outages if outage.begun_at < one.typed_at] for one in late]
    return [
        f"{one}, {f'{one.typed_at - past[-1].begun_at:.1f} s after a {past[-1].kind}' if past else 'before any fault'}"
        for one, past in zip(late, before, strict=True)
    ]


def _delivered_by(database: str, replicas: Sequence[Replica]) -> str:
    """How many notices each replica has sent, by the process that its claim names."""
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        claims = connection.execute(select(notices.c.claim).where(notices.c.status == NoticeStatus.SENT)).scalars()
        pids = Counter(int(str(claim).split("/")[1]) for claim in claims)
    engine.dispose()
    return " / ".join(str(sum(pids[pid] for pid in replica.process.pids)) for replica in replicas)


def _report(story: Story, faults: OwnerFaults, slack: RandomFaults, database: str, *, readable: bool) -> bool:
    lost, lost_replies = story.lost_alerts(), story.lost_replies()
    twice, replies_twice = story.doubled_alerts(), story.doubled_replies()
    strange = story.strange()
    ended = sum(not replica.process.alive for replica in faults.replicas)
    logs = [replica.process.log_text() for replica in faults.replicas]
    rows: Rows = [
        ("crossings, one alert expected of each", len(story.crossings), "", True),
        ("alerts lost", len(lost), 0, not lost),
        ("alerts doubled", len(twice), 0 if readable else "", not (readable and twice)),
        ("incidents over, one reply expected of each", sum(one.taken_back for one in story.crossings), "", True),
        ("replies or last edits lost", len(lost_replies), 0, not lost_replies),
        ("replies doubled", len(replies_twice), 0 if readable else "", not (readable and replies_twice)),
        ("other messages", len(strange), "", True),
        ("crossing to alert, p50 / p95 / max s", _spread(story.waits()), "", True),
        ("delivered by each replica", _delivered_by(database, faults.replicas), "", True),
        _gaps("fault to the next poll, min / p50 / max s", faults.outages),
        *(_gaps(f"  {kind}", of_kind) for kind in KINDS if (of_kind := [o for o in faults.outages if o.kind == kind])),
        *_of_stand_bys(faults.outages),
        ("polls of two replicas within 3 s, both ways", faults.polls.interleaved(), "", True),
        *_of_commands(story.commands, faults.outages),
        *((f"faults of {what}", number, "", True) for what, number in sorted(slack.met.items())),
        ("replicas that ended by themselves", ended, 0, not ended),
        ("tracebacks in the logs", sum(log.count(b"Traceback (most") for log in logs), "", True),
    ]
    _print(rows)
    said = {re.sub(r"[\d.:T+-]{2,}", "…", one) for outage in faults.outages for *_, ones in outage.said for one in ones}
    for title, found in (
        ("lost", lost),
        ("doubled", twice),
        ("reply lost", lost_replies),
        ("reply doubled", replies_twice),
        ("other message", strange),
        ("a stand-by said", sorted(said)),
        ("a command of no fault was", _unexplained(story.commands, faults.outages)),
    ):
        sys.stdout.writelines(f"  {title}: {one}\n" for one in found[:15])
    kinds = ", ".join(f"{number} × {kind}" for kind, number in Counter(one.kind for one in faults.outages).items())
    note = f"{len(story.crossings)} crossings, faults of the owner: {kinds}"
    emit(Figure(f"{len(faults.replicas)} replicas: alerts lost", len(lost), "", goal=0, note=note))
    emit(Figure(f"{len(faults.replicas)} replicas: alerts doubled", len(twice), "", goal=0 if readable else None))
    gaps = [NEVER if one.gap is None else one.gap for one in faults.outages]
    if gaps:
        note = f"median {median(gaps):.1f} s"
        longest = Figure(
            f"{len(faults.replicas)} replicas: longest take-over", max(gaps), "s", goal=MOST_GAP, note=note
        )
        emit(longest)
    return all(well for *_, well in rows)


def _gaps(what: str, outages: Sequence[Outage]) -> tuple[str, object, object, bool]:
    seconds = [NEVER if one.gap is None else one.gap for one in outages]
    times = " / ".join(f"{one:.1f}" for one in (min(seconds), median(seconds), max(seconds))) if seconds else "-"
    figure = f"{times} ({len(outages)}, {sum(one.by_another for one in outages)} taken over)"
    return what, figure, MOST_GAP, max(seconds, default=0) <= MOST_GAP


def _of_stand_bys(outages: Sequence[Outage]) -> Rows:
    long = [one for one in outages if one.gap is None or one.gap > LONG_GAP + 2]
    said = Counter(
        _readiness(status, problems)
        for one in long
        for at, status, problems in one.said
        if LONG_GAP < at < (one.lasted if one.gap is None else one.gap)
    )
    counts = ", ".join(f"{number} {what}" for what, number in sorted(said.items())) or "-"
    return [
        ("faults with more than 12 s without a poll", len(long), "", True),
        ("  stand-bys at /readyz after 10 s of it", counts, "", True),
    ]


def _readiness(status: int | None, problems: Sequence[str]) -> str:
    if status == 503:
        return "not ready" if any(not one.startswith("Slack") for one in problems) else "complain of Slack alone"
    return {200: "ready", None: "no answer"}.get(status, f"status {status}")


def _spread(seconds: Sequence[float], digits: int = 1) -> str:
    if not seconds:
        return "-"
    high = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return " / ".join(f"{one:.{digits}f}" for one in (median(seconds), high, max(seconds)))


def _print(rows: Rows) -> None:
    sys.stdout.write(f"{'what':46}{'found':42}at most\n")
    for what, found, bound, well in rows:
        sys.stdout.write(f"{what:46}{found!s:42}{bound!s:8}{'' if well else 'BROKEN'}".rstrip() + "\n")


async def _play(arguments: argparse.Namespace, folder: Path, database: str) -> int:
    names = [f"b{number:04d}" for number in range(int(arguments.minutes * 60 / 2.5) + 60)]
    random = [Random(f"{arguments.seed} {what}") for what in ("slack", "story", "owner", "network")]
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(world_at(system_clock, folder))
        give_budgets(world, names)
        if not arguments.no_history:
            world.slack.workspace.scopes.add("channels:history")
        world.slack.faults = slack = RandomFaults(random[0], arguments.slack_faults)
        polls, story = Polls(), Story(world, random[1])
        replicas = [
            await _replica(stack, world, polls, random[3], database, number) for number in range(arguments.replicas)
        ]
        faults = OwnerFaults(replicas, polls, random[2], arguments.shortest, arguments.longest)
        for replica in replicas:
            await until_served(replica.port)
        await world.slack.wait_connected(len(replicas), 60)
        if not await faults.calm():
            raise SystemExit("no replica polls, so nothing can be measured")
        await _cross(story, faults, slack, iter(names), arguments)
        well = _report(story, faults, slack, database, readable=not arguments.no_history)
        if arguments.keep_logs is not None:
            arguments.keep_logs.mkdir(parents=True, exist_ok=True)
            for replica in replicas:
                shutil.copy(replica.process.log, arguments.keep_logs)
        return 0 if well else 1


async def _cross(
    story: Story, faults: OwnerFaults, slack: RandomFaults, names: Iterator[str], arguments: argparse.Namespace
) -> None:
    end = time.monotonic() + arguments.minutes * 60
    others = [asyncio.create_task(story.cross(names)), asyncio.create_task(story.type(faults))]
    try:
        await faults.disturb(arguments.only, end)
    finally:
        for task in others:
            task.cancel()
        ends = await asyncio.gather(*others, return_exceptions=True)
    for one in ends:
        if isinstance(one, Exception):
            raise one
    slack.active = False
    await until(lambda: not story.lost_alerts() and not story.lost_replies(), DRAIN)
    # A duplicate may arrive a little later.
    await asyncio.sleep(SETTLE)


async def _replica(
    stack: AsyncExitStack, world: World, polls: Polls, random: Random, database: str, number: int
) -> Replica:
    address = make_url(database)
    to_database = await stack.enter_async_context(TcpProxy(address.port or 5432, random=random))
    to_anthropic = await stack.enter_async_context(TcpProxy(world.anthropic.port, heard=lambda: polls.heard(number)))
    port = free_port()
    folder = world.folder / f"replica {number}"
    here = address.set(drivername="postgresql", host="127.0.0.1", port=to_database.port)
    environ = world.environ | {
        "CLAUDE_COST_DATABASE_URL": here.render_as_string(hide_password=False),
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{to_anthropic.port}",
        "CLAUDE_COST_HTTP_PORT": str(port),
        "CLAUDE_COST_FALLBACK_FILE": str(folder / "fallback.env"),
    }
    process = await stack.enter_async_context(BotProcess(folder, f"replica-{number}", environ))
    return Replica(number, process, to_database, port)


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"{kind} is none of {', '.join(KINDS)}")
    return kinds


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=10, help="minutes of faults")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="for kinds, lengths and moments")
    parser.add_argument("--no-history", action="store_true", help="deny the bot channels:history")
    parser.add_argument("--only", type=_kinds, default=list(KINDS), metavar="KIND,KIND", help="only these faults")
    parser.add_argument("--shortest", type=float, default=5, help="minimum seconds of a fault with a duration")
    parser.add_argument("--longest", type=float, default=60, help="and at most")
    parser.add_argument("--slack-faults", type=float, default=SHARE_OF_FAULTS, metavar="SHARE", help="of Slack's calls")
    parser.add_argument("--postgres", default=GIVEN, metavar="URL", help="by default one is started")
    parser.add_argument("--keep-logs", type=Path, metavar="FOLDER", help="copy the replicas' logs to this folder")
    arguments = parser.parse_args(words)
    logging.disable(logging.CRITICAL)
    scope = "without" if arguments.no_history else "with"
    sys.stdout.write(
        f"seed {arguments.seed}, {arguments.minutes:g} min, {arguments.replicas} replicas, {scope} channels:history, "
        f"faults {', '.join(arguments.only)}\n"
    )
    sys.stdout.flush()
    postgres_server.prepare()
    try:
        with tempfile.TemporaryDirectory() as folder, postgres_database(arguments.postgres) as database:
            return asyncio.run(_play(arguments, Path(folder), database))
    finally:
        postgres_server.stop()


if __name__ == "__main__":
    sys.exit(main())
