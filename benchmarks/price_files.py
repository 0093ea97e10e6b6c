"""Compare the CPU of `claude-cost price` with ccusage and with bare decoding of every line, in the same run.

    python benchmarks/price_files.py FOLDER [--ccusage PATH] [--copies 10]

FOLDER holds Claude Code transcripts; they are measured unchanged and as copies with distinct ids. `--ccusage` is the
native program of the npm package ccusage 20.0.24 (or one found on PATH). Measured is user and system time of the child
processes; the programs alternate, and the best of several turns counts.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

TURNS = 3

FLOOR = (
    "import sys, msgspec, pathlib\n"
    "decode = msgspec.json.Decoder().decode\n"
    "for path in pathlib.Path(sys.argv[1]).rglob('*.jsonl'):\n"
    "    with path.open('rb') as lines:\n"
    "        for line in lines:\n"
    "            decode(line)\n"
)

IDS = re.compile(rb'"((?:msg|req)_[A-Za-z0-9_]+)"')


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ccusage", default=shutil.which("ccusage"))
    parser.add_argument("--copies", type=int, default=10)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for copies in (1, words.copies):
            home = Path(temporary) / str(copies)
            copy(words.folder, home / "projects", copies)
            measure(home, words.ccusage, f"{copies} x")


def copy(folder: Path, target: Path, copies: int) -> None:
    """Write the copies, each with its own ids."""
    for path in sorted(folder.rglob("*.jsonl")):
        content = path.read_bytes()
        for number in range(copies):
            name = target / f"{path.parent.relative_to(folder)}-{number}" / path.name
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_bytes(IDS.sub(rb'"\g<1>c%d"' % number, content) if number else content)


def measure(home: Path, ccusage: str | None, title: str) -> None:
    time.sleep(0.2)  # recently changed files are not cached
    price = [sys.executable, "-m", "bot", "price", str(home / "projects"), "--json"]
    programs = {
        "bare decoding": [sys.executable, "-c", FLOOR, str(home / "projects")],
        "read": [*price, "--no-cache"],
        "unchanged": price,
    }
    if ccusage is not None:
        programs["ccusage"] = [ccusage, "claude", "daily", "--offline", "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "CLAUDE_CONFIG_DIR": str(home)}
    # Compiled modules, as in an installation.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(home / "compiled")
    seconds([*price, "--no-cache"], environment)  # compiles what reading needs
    seconds(price, environment)  # fills the cache
    best: dict[str, float] = {}
    printed: dict[str, str] = {}
    for _ in range(TURNS):
        for name, words in programs.items():
            spent, printed[name] = seconds(words, environment)
            best[name] = min(spent, best.get(name, spent))
    if ccusage is None:
        sys.stdout.write("ccusage is not installed: npm install ccusage@20.0.24, and name its native program.\n")
    else:
        ours = Decimal(json.loads(printed["read"])["total_usd"])
        theirs = Decimal(str(json.loads(printed["ccusage"])["totals"]["totalCost"]))
        sys.stdout.write(f"{title:6} totals {ours} and {theirs:.6f}\n")
    for name, spent in best.items():
        against = "".join(
            f"  {spent / best[other]:6.2f} x {other}" for other in ("ccusage", "bare decoding") if other in best
        )
        sys.stdout.write(f"{title:6} {name:14} {spent:7.3f} s{against}\n")


def seconds(words: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """User and system time of a program, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


if __name__ == "__main__":
    main()
