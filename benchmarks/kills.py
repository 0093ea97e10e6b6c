"""Play the kill tests' story with random kills among Slack faults, more often than the tests do.

    python benchmarks/kills.py [--kills 200] [--history with,failing,without] [--seed 1000] [--at-once 1]
                               [--postgres [ADDRESS]]
    python benchmarks/kills.py --every

Slack has random faults of posts and edits (429, 500, cut, each before or after it has stored the call). The database is
SQLite, or with `--postgres` a PostgreSQL: that of ADDRESS, or the one that the tests start. There each process waits
for the lease of the killed one: play several stories at once.
Three settings get equally many kills: the bot may read the channel back; it may, but reading sometimes fails (429, 500,
cut); it may not. Counts lost and duplicate alerts and answers. Exit code 1 if one was lost, if one is duplicated
although the bot may read, or if there are more duplicates than kills plus answers that Slack swallowed.

`--every` instead kills the bot once before and after every commit and at every edge of every Slack call, with and
without the right to read the channel back. The tests take a sample of these points.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, emit, say
from tests import postgres_server
from tests.databases import postgres_database
from tests.scenario.kills import (
    ForkServer,
    Stormy,
    Undisturbed,
    at_calls,
    at_commits,
    fork_server_in,
    kill,
    play_through_a_storm,
    undisturbed_in,
)

KILLS_OF_A_STORY = 5
HISTORY = ("with", "failing", "without")
"""Whether the bot may read the channel back, and whether reading sometimes fails."""


@dataclass(frozen=True, slots=True)
class Series:
    """Totals over all stories of one setting."""

    history: str
    storms: Sequence[Stormy]

    @property
    def kills(self) -> int:
        return sum(storm.crashes for storm in self.storms)

    @property
    def swallowed(self) -> int:
        """Posts that Slack stored without acknowledging them."""
        return sum(storm.unanswered for storm in self.storms)

    @property
    def lost(self) -> list[str]:
        return [one for storm in self.storms for one in (*storm.difference.lost, *storm.difference.strange)]

    @property
    def doubled(self) -> list[str]:
        return [one for storm in self.storms for one in storm.difference.doubled]

    @property
    def most_doubled(self) -> int:
        return self.kills + self.swallowed if self.history == "without" else 0

    @property
    def well(self) -> bool:
        return not self.lost and len(self.doubled) <= self.most_doubled


async def _play(folder: Path, servers: Sequence[ForkServer], arguments: argparse.Namespace) -> int:
    # Each does everything once, which its forks then need not do.
    undisturbed, *_ = [await undisturbed_in(folder / str(number), one) for number, one in enumerate(servers)]
    if arguments.every:
        return await _at_every_moment(folder, servers[0], undisturbed)
    sys.stdout.write(
        f"seeds from {arguments.seed}\n{'channels:history':18}{'kills':>7}{'stories':>9}{'swallowed':>11}{'lost':>6}"
        f"{'doubled':>9}{'at most':>9}\n"
    )
    well = True
    for history in arguments.history:
        series = await _series(folder / history, servers, undisturbed, arguments, history)
        sys.stdout.write(
            f"{history:18}{series.kills:7}{len(series.storms):9}{series.swallowed:11}{len(series.lost):6}"
            f"{len(series.doubled):9}{series.most_doubled:9}{'' if series.well else '  BROKEN'}\n"
        )
        sys.stdout.writelines(f"  lost: {one}\n" for one in series.lost)
        if history != "without":
            sys.stdout.writelines(f"  doubled: {one}\n" for one in series.doubled)
        sys.stdout.flush()
        what = f"kills on {'SQLite' if arguments.postgres is None else 'PostgreSQL'}, {history} channels:history"
        note = f"{series.kills:,} kills, {series.swallowed:,} posts that Slack swallowed"
        emit(Figure(f"{what}: alerts or replies lost", len(series.lost), "", goal=0, note=note))
        emit(Figure(f"{what}: doubled", len(series.doubled), "", goal=series.most_doubled))
        well = well and series.well
    return 0 if well else 1


async def _at_every_moment(folder: Path, fork_server: ForkServer, undisturbed: Undisturbed) -> int:
    well = True
    for name, moments in (
        ("before commits", at_commits(undisturbed, after=False)),
        ("after commits", at_commits(undisturbed, after=True)),
        ("calls of Slack", at_calls(undisturbed)),
    ):
        for readable in (True, False):
            broken = []
            for index, moment in enumerate(moments):
                found = await kill(
                    folder / f"{name} {readable} {index}", fork_server, undisturbed, moment, readable=readable
                )
                wrong = [*found.difference.lost, *found.difference.strange]
                doubled = len(found.difference.doubled)
                if found.crashes != 1 or wrong or not found.keeps_state or doubled > (0 if readable else 1):
                    broken.append(f"  step {moment.step}, {moment.crash}: {found}\n")
            history = "with" if readable else "without"
            sys.stdout.write(f"{name}, {history} channels:history: {len(moments)} kills, {len(broken)} broken\n")
            sys.stdout.writelines(broken)
            sys.stdout.flush()
            well = well and not broken
    return 0 if well else 1


async def _series(
    folder: Path, servers: Sequence[ForkServer], undisturbed: Undisturbed, arguments: argparse.Namespace, history: str
) -> Series:
    found: list[Stormy] = []
    seeds, left = count(arguments.seed), arguments.kills

    async def play(fork_server: ForkServer) -> None:
        nonlocal left
        while left > 0:
            crashes, seed = min(KILLS_OF_A_STORY, left), next(seeds)
            left -= crashes
            with nullcontext() if arguments.postgres is None else postgres_database(arguments.postgres) as database_url:
                storm = await play_through_a_storm(
                    folder / str(seed),
                    fork_server,
                    undisturbed.scenes[-1].posted,
                    Random(seed),
                    seconds=undisturbed.seconds,
                    crashes=crashes,
                    readable=history != "without",
                    looks_fail=history == "failing",
                    database_url=database_url,
                )
            # A process may come to its end before it is killed.
            left += crashes - storm.crashes
            found.append(storm)
            say(f"{history}: seed {seed}, {sum(each.crashes for each in found)} kills")

    await asyncio.gather(*map(play, servers))
    return Series(history, found)


def _settings(text: str) -> list[str]:
    settings = text.split(",")
    for setting in settings:
        if setting not in HISTORY:
            raise argparse.ArgumentTypeError(f"{setting} is none of {', '.join(HISTORY)}")
    return settings


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="in each setting")
    parser.add_argument("--history", type=_settings, default=list(HISTORY), help="only these settings")
    parser.add_argument("--seed", type=int, default=1000, help="of the first story; each further one adds 1")
    parser.add_argument("--at-once", type=int, default=1, metavar="STORIES")
    parser.add_argument("--every", action="store_true", help="once at every commit and call, none at random")
    parser.add_argument("--postgres", nargs="?", const="", metavar="ADDRESS", help="kills at random, on PostgreSQL")
    arguments = parser.parse_args(words)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, server_for(arguments):
        certificates = Path(folder) / "no certificates"
        certificates.mkdir()
        with ExitStack() as stack:
            servers = [stack.enter_context(fork_server_in(certificates)) for _ in range(arguments.at_once)]
            return asyncio.run(_play(Path(folder), servers, arguments))


@contextmanager
def server_for(arguments: argparse.Namespace) -> Iterator[None]:
    """A PostgreSQL of the tests where `--postgres` names none; its address is put into `arguments`."""
    if arguments.postgres != "":
        yield
        return
    postgres_server.prepare()
    try:
        arguments.postgres = postgres_server.address()
        yield
    finally:
        postgres_server.stop()


if __name__ == "__main__":
    sys.exit(main())
