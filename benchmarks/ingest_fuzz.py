"""Random requests to `POST /v1/usage`: right, broken and hostile ones, more of them than the tests send.

    python benchmarks/ingest_fuzz.py [--requests 100000] [--seed 1] [--quick]

Exit code 1 where an answer has the wrong status or is no JSON object, where the bot logs a fault, or where it takes
more than 400 MB of memory.
"""

import argparse
import asyncio
import logging
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, emit
from benchmarks.ingest_port import port_in
from tests.scenario.random_bodies import attempt

MOST_MEMORY = 400
KILOBYTES = 1024


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def measure(folder: Path, requests: int, seed: int) -> tuple[Counter[int], list[str]]:
    """How often each status came, and what was wrong."""
    random, statuses, wrong = Random(seed), Counter[int](), list[str]()
    async with port_in(folder) as (client, _):
        for number in range(requests):
            one = attempt(random)
            answer = await client.post("/v1/usage", content=one.body, headers=one.headers)
            statuses[answer.status_code] += 1
            is_object = answer.headers.get("content-type", "").startswith("application/json")
            if answer.status_code not in one.statuses or not is_object:
                wrong.append(f"{number}: {answer.status_code} {answer.text[:200]} for {one.body[:200]!r} {one.headers}")
    return statuses, wrong


def peak() -> float:
    """The most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few, to see that everything runs")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    if words.quick:
        words.requests = 2_000
    faults = _Faults()
    logging.getLogger().addHandler(faults)
    with tempfile.TemporaryDirectory() as folder:
        statuses, wrong = asyncio.run(measure(Path(folder), words.requests, words.seed))
    sys.stderr.writelines(f"{line}\n" for line in (f"statuses {dict(statuses)}", *wrong[:20], *faults.messages[:20]))
    memory = Figure("most memory of the bot and its sender", peak(), "MB", goal=MOST_MEMORY)
    emit(Figure(f"wrong answers of {words.requests}", len(wrong), "answers", goal=0))
    emit(Figure(f"faults logged in {words.requests}", len(faults.messages), "lines", goal=0))
    emit(memory)
    return 0 if memory.met and not wrong and not faults.messages else 1


if __name__ == "__main__":
    sys.exit(main())
