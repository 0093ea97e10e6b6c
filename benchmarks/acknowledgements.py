"""Measure how fast the bot acknowledges every command, button and form beside an import, in turns with a bare Bolt app.

    python benchmarks/acknowledgements.py [--events 1000000] [--rounds 4] [--ways import,http] [--postgres ADDRESS]
                                          [--runs 1] [--quick]

`claude-cost run` and `bare_bolt.py` run in processes of their own, each connected to a local Slack over Socket Mode.
While `claude-cost import` (or, for `http`, requests to `POST /v1/usage`) brings a million events into the bot's
database, everything that people can do in Slack is done, one after the other. Both apps get each envelope, now the bot
first, now the other. Measured is the time from the envelope to its acknowledgement; also until a form opens, and until
the first answer.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.answers import APOLOGIES
from benchmarks.bot_process import BotProcess, until_served
from benchmarks.busy_database import Way, busy
from benchmarks.figures import Figure, emit, percentile, say
from benchmarks.slack_actions import OPENED, Doing, Envelope, TimedSlack, done, echoed, set_up, settled
from bot.clock import system_clock
from bot.sandbox.slack_server import APP_TOKEN, BOT_TOKEN
from bot.sandbox.slack_workspace import NotDispatchedError
from tests.databases import postgres_database
from tests.scenario.conftest import World, world_at
from tests.scenario.http_port import free_port

HERE = Path(__file__).resolve().parent
PATIENCE = 60
GOAL_RATIO, FORM_MS = 1.5, 1_000
CALM_SECONDS = 0.05
"""Seconds without a call of the bot after which the next thing is done."""

WORST = 3
TOKEN = "ingest-token"
BUDGETS = "".join(
    f'[[budget]]\nname = "{name}"\nscope = "{scope}"\nsoft_usd = "{limit}"\nhard_usd = "{limit * 2}"\n'
    for name, scope, limit in (
        ("support", "feature:feature-1", 100_000),
        ("search", "feature:feature-2", 50),
        ("one-user", "user:user-1", 100_000),
        ("team", "tag:team=team-1", 100_000),
        ("opus", "model:opus", 1_000_000),
    )
)


@dataclass(slots=True)
class Times:
    """Seconds by kind of action. `late`: not acknowledged or answered in time.

    `apologies`: answers that report an error.
    """

    acked: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    echoed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: list[str] = field(default_factory=list)
    apologies: list[str] = field(default_factory=list)


@asynccontextmanager
async def both(folder: Path, address: str | None) -> AsyncIterator[tuple[World, TimedSlack, TimedSlack, int]]:
    """The bot with an alert in its channel, the bare app, and the port of the bot. `address`: of PostgreSQL."""
    async with AsyncExitStack() as stack:
        slack = TimedSlack(system_clock, ack_seconds=PATIENCE)
        world = await stack.enter_async_context(world_at(system_clock, folder, slack))
        world.spend(250)
        config = folder / "claude-cost.toml"
        config.write_text(BUDGETS, encoding="utf-8")
        port = free_port()
        world.environ |= {
            "CLAUDE_COST_POLL_SECONDS": "60",
            "CLAUDE_COST_CONFIG": str(config),
            "CLAUDE_COST_HTTP_PORT": str(port),
            "CLAUDE_COST_INGEST_TOKEN": TOKEN,
            **({} if address is None else {"CLAUDE_COST_DATABASE_URL": address}),
        }
        await stack.enter_async_context(BotProcess(folder / "bot", "bot", world.environ))
        bare = await stack.enter_async_context(TimedSlack(system_clock, ack_seconds=PATIENCE))
        environ = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": bare.api_url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / "bare_bolt.py")), env={"PATH": os.environ["PATH"], **environ}
        )
        stack.push_async_callback(process.wait)
        stack.callback(process.kill)
        await until_served(port)
        await slack.wait_connected(seconds=PATIENCE)
        await bare.wait_connected(seconds=PATIENCE)
        await slack.until(lambda: bool(world.alerts("hard")), PATIENCE)
        yield world, slack, bare, port


async def one_turn(slack: TimedSlack, bare: TimedSlack, doing: Doing, known: Envelope | None, times: Times) -> Envelope:
    """Do it once. `known`: an earlier envelope of the same, which the bare app then gets first.

    Raises `NotDispatchedError`.
    """
    if known is not None:
        times.echoed[doing.name].append(await echoed(bare, known))
    sent = await done(slack, doing)
    times.acked[doing.name].append(sent.acked_at - sent.begun_at)
    if doing.answer is not None:
        try:
            took = await slack.seconds_until(doing.answer)
        except TimeoutError:
            times.late.append(doing.name)
        else:
            (times.opened if doing.answer == OPENED else times.answered)[doing.name].append(took)
    await settled(slack, CALM_SECONDS)
    if known is None:
        times.echoed[doing.name].append(await echoed(bare, sent))
    return sent


async def measured(
    way: Way, events: int, rounds: int, folder: Path, address: str | None = None, only: Collection[str] = ()
) -> tuple[Times, int, float | None]:
    """The times, the number of actions in each round, and the seconds of the first import.

    `only`: names of actions, by default all. Raises `RuntimeError` if the import fails.
    """
    times = Times()
    async with both(folder, address) as (world, slack, bare, port):
        doings = [doing for doing in await set_up(slack) if not only or doing.name in only]
        say(f"{len(doings)} things to do; {events:,} events ({way}) are written …")
        known: dict[str, Envelope] = {}
        async with busy(way, folder, world.environ, events, f"{port} {TOKEN}") as bringing:
            for number in range(rounds):
                for doing in doings:
                    first = known.get(doing.name) if number % 2 else None
                    try:
                        known[doing.name] = await one_turn(slack, bare, doing, first, times)
                    except (NotDispatchedError, TimeoutError, ValueError) as error:
                        times.late.append(doing.name)
                        say(f"{doing.name}: {error}")
                    if bringing.problem is not None:
                        raise RuntimeError(bringing.problem)
                say(f"round {number + 1} of {rounds}")
            times.apologies = [post.text for post in slack.messages if post.text.startswith(APOLOGIES)]
            return times, len(doings), bringing.first


def report(times: Times, count: int, first: float | None, title: str) -> float | None:
    """Print the figures; returns the ratio of the two p99."""
    ours, theirs = every(times.acked), every(times.echoed)
    late = f"{len(times.late)} not in time: {', '.join(sorted(set(times.late)))}" if times.late else ""
    note = f"{len(ours)} of {count} kinds; " + (f"the import took {first:.0f} s" if first else "during one import")
    emit(Figure(f"acknowledged, p50: {title}", ms(ours, 0.5), "ms", ms(theirs, 0.5), measure="ratio", note=note))
    p99 = emit(
        Figure(f"acknowledged, p99: {title}", ms(ours, 0.99), "ms", ms(theirs, 0.99), GOAL_RATIO, "ratio", note=late)
    )
    emit(Figure(f"slowest acknowledgement: {title}", ms(ours, 1), "ms", ms(theirs, 1), note=worst(times.acked)))
    opened = every(times.opened)
    if opened:
        emit(Figure(f"a form opens, p99: {title}", ms(opened, 0.99), "ms", ms(theirs, 0.99)))
        emit(Figure(f"slowest form: {title}", ms(opened, 1), "ms", goal=FORM_MS, note=worst(times.opened)))
    answered = every(times.answered)
    if answered:
        emit(Figure(f"answered, p50: {title}", ms(answered, 0.5), "ms", ms(theirs, 0.5)))
        emit(Figure(f"answered, p99: {title}", ms(answered, 0.99), "ms", ms(theirs, 0.99), note=worst(times.answered)))
    emit(Figure(f"apologies: {title}", len(times.apologies), "answers", goal=0, note="; ".join(times.apologies[:1])))
    return p99.ratio


def every(found: dict[str, list[float]]) -> list[float]:
    return [each for values in found.values() for each in values]


def ms(values: Sequence[float], share: float) -> float:
    return round(percentile(values, share) * 1000, 2)


def worst(found: dict[str, list[float]]) -> str:
    """The names with the longest single times."""
    ranked = sorted(found, key=lambda name: max(found[name]), reverse=True)[:WORST]
    return "; ".join(f"{name} {max(found[name]) * 1000:.0f} ms" for name in ranked)


@contextmanager
def database_of(postgres: str | None) -> Iterator[str | None]:
    """The address of a new PostgreSQL database; None for SQLite."""
    if postgres is None:
        yield None
        return
    with postgres_database(postgres) as address:
        yield address


def run(way: Way, events: int, rounds: int, postgres: str | None) -> float | None:
    """Measure once, and print."""
    kind = "SQLite" if postgres is None else "PostgreSQL"
    beside = f"beside {'`import`' if way == 'import' else '`POST /v1/usage`'} of {events:,} events, {kind}"
    with tempfile.TemporaryDirectory() as folder, database_of(postgres) as address:
        times, count, first = asyncio.run(measured(way, events, rounds, Path(folder), address))
    return report(times, count, first, beside)


def main() -> None:
    """Measure each way on each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="of one import; another one follows it")
    parser.add_argument("--rounds", type=int, default=4, help="how often each thing is done")
    parser.add_argument("--ways", default="import,http")
    parser.add_argument("--postgres", default=os.environ.get("CLAUDE_COST_TEST_POSTGRES"))
    parser.add_argument("--runs", type=int, default=1, help="of everything; the spread of the ratio is said at the end")
    parser.add_argument("--quick", action="store_true", help="20,000 events, 1 round, SQLite")
    chosen = parser.parse_args()
    events, rounds, postgres = chosen.events, chosen.rounds, chosen.postgres
    if chosen.quick:
        events, rounds, postgres = 20_000, 1, None
    ways: list[Way] = [way for way in ("import", "http") if way in chosen.ways.split(",")]
    for where in (None, postgres) if postgres else (None,):
        for way in ways:
            ratios = [run(way, events, rounds, where) for _ in range(chosen.runs)]
            if found := [ratio for ratio in ratios if ratio is not None and chosen.runs > 1]:
                say(f"ratios of p99: {min(found):.2f} to {max(found):.2f}, median {statistics.median(found):.2f}")


if __name__ == "__main__":
    main()
