"""Compare the CPU of `claude-cost import` with bare decoding of every line and with `price`, in the same run.

    python benchmarks/import.py FOLDER [--copies 10] [--said 16000]

FOLDER holds Claude Code transcripts without their texts. They are copied with distinct ids, and each response gets
`--said` characters of text, as real transcripts have in prompts, answers and tool results. Measured is user and system
time of the child processes minus the time for an empty folder; the best of several turns counts.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
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
WORDS = 'def add(one, other):\n    return one + other  # as it was said, with "quotes" and lines\n'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--said", type=int, default=16_000)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        (home / "empty").mkdir()
        size, responses = copy(words.folder, home / "projects", words.copies, words.said)
        sys.stdout.write(f"{size / 1e6:,.0f} MB, {responses:,} responses\n")
        floor = best(home, [sys.executable, "-c", FLOOR])
        for name, command in {
            "price": [sys.executable, "-m", "bot", "price", "--no-cache"],
            "import": [sys.executable, "-m", "bot", "import"],
            "import again": [sys.executable, "-m", "bot", "import"],
        }.items():
            spent = best(home, command, keep=name == "import again")
            sys.stdout.write(f"{name:14} {spent:7.3f} s  {floor / spent:5.2f} x bare decoding ({floor:.3f} s)\n")


def copy(folder: Path, target: Path, copies: int, said: int) -> tuple[int, int]:
    """Write the copies, each with its own ids and text. Returns their bytes and responses."""
    size, responses = 0, set[tuple[int, bytes]]()
    text = (WORDS * (said // len(WORDS) + 1))[:said]
    for path in sorted(folder.rglob("*.jsonl")):
        content = path.read_bytes()
        for number in range(copies):
            known = set[bytes]()
            name = target / f"{path.parent.relative_to(folder)}-{number}" / path.name
            name.parent.mkdir(parents=True, exist_ok=True)
            with name.open("wb") as lines:
                for line in content.splitlines(keepends=True):
                    found = IDS.search(line)
                    if found is not None and found[1] not in known:
                        known.add(found[1])
                        own = {"uuid": f"{found[1].decode()}-{number}", "sessionId": "s"}
                        result = {"type": "user", **own, "message": {"role": "user", "content": text}}
                        if said:
                            lines.write(json.dumps(result, separators=(",", ":")).encode() + b"\n")
                    lines.write(IDS.sub(rb'"\g<1>c%d"' % number, line) if number else line)
                responses |= {(number, one) for one in known}
            size += name.stat().st_size
    return size, len(responses)


def best(home: Path, command: list[str], *, keep: bool = False) -> float:
    """Seconds for the folder minus those for an empty one."""
    spent = [seconds(home, command, "projects", keep) - seconds(home, command, "empty", keep) for _ in range(TURNS)]
    return min(spent)


def seconds(home: Path, command: list[str], folder: str, keep: bool) -> float:
    database = home / "ledger.db"
    if not keep:
        for old in home.glob("ledger.db*"):
            old.unlink()
        start = [sys.executable, "-c", f"from bot.db.engine import open_database as o; o('sqlite:///{database}')"]
        subprocess.run(start, check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "CLAUDE_COST_DATABASE_URL": f"sqlite:///{database}"}
    subprocess.run([*command, str(home / folder)], env=environment, capture_output=True, check=folder != "empty")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
