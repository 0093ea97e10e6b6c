"""Parse a hundred thousand random estimate lines; the tests parse a few thousand.

    python benchmarks/words_at_random.py [LINES] [SEED]

Fails with an AssertionError at the first line that yields neither an estimable workload nor one sentence.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.unit.test_words_at_random import SEED, play

LINES = 100_000


def main(lines: int = LINES, seed: int = SEED) -> None:
    sys.stdout.write(f"{play(lines, seed):,} of {lines:,} lines are workloads\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
