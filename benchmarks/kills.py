"""The story of the tests with the bot killed at random moments among faults of Slack, more often than the tests do it.

    python benchmarks/kills.py [KILLS]

KILLS are made where the bot may read the channel back and as many where it may not, by default 200. Prints for both how
many alerts and answers were lost, and how many stand there twice; ends with exit code 1 where one was lost, where one
is doubled though the bot may read, or where there are more doubles than kills and answers that Slack swallowed.
"""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.scenario.kills import Stormy, Undisturbed, Zygote, play_through_a_storm, undisturbed_in, zygote_in

KILLS_OF_A_STORY = 5


def main(kills: int) -> int:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        certificates = Path(folder) / "no certificates"
        certificates.mkdir()
        with zygote_in(certificates) as zygote:
            return asyncio.run(_both(Path(folder), zygote, kills))


async def _both(folder: Path, zygote: Zygote, kills: int) -> int:
    undisturbed = await undisturbed_in(folder, zygote)
    well = True
    for readable in (True, False):
        storms = await _stories(folder / f"readable {readable}", zygote, undisturbed, kills, readable=readable)
        well = _printed(storms, readable=readable) and well
    return 0 if well else 1


async def _stories(
    folder: Path, zygote: Zygote, undisturbed: Undisturbed, kills: int, *, readable: bool
) -> Sequence[Stormy]:
    found: list[Stormy] = []
    for seed in count(1000):
        left = kills - sum(storm.deaths for storm in found)
        if not left:
            break
        storm = await play_through_a_storm(
            folder / str(seed),
            zygote,
            undisturbed.scenes[-1].told,
            Random(seed),
            seconds=undisturbed.seconds,
            deaths=min(KILLS_OF_A_STORY, left),
            readable=readable,
        )
        found.append(storm)
    return found


def _printed(storms: Sequence[Stormy], *, readable: bool) -> bool:
    kills = sum(storm.deaths for storm in storms)
    swallowed = sum(storm.unanswered for storm in storms)
    lost = [one for storm in storms for one in (*storm.difference.lost, *storm.difference.strange)]
    doubled = sum(len(storm.difference.doubled) for storm in storms)
    sys.stdout.write(
        f"{'with' if readable else 'without'} channels:history: {kills} kills in {len(storms)} stories, "
        f"{swallowed} posts whose answer was swallowed; {len(lost)} lost, {doubled} doubled\n"
    )
    sys.stdout.writelines(f"  lost: {one}\n" for one in lost)
    return not lost and doubled <= (0 if readable else kills + swallowed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
