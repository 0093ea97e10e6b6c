"""Measure the CPU time of short commands, each in its own process, against `python -c pass` in the same run.

    python benchmarks/start_up.py [ROUNDS]

Prints one row per command: median CPU milliseconds (user and system of the child processes) and the ratio to the floor.
Commands and floor alternate, so other load on the machine slows both alike. The first run of each is not measured: it
compiles the modules into a temporary folder, as an installation has them.
"""

import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
ESTIMATE = ["estimate", "sonnet", "requests=100k", "in=2000", "out=500"]
SCRIPT = str(Path(sysconfig.get_path("scripts")) / "claude-cost")

FLOOR = "python -c pass"
COMMANDS = {
    FLOOR: [sys.executable, "-c", "pass"],
    "claude-cost estimate": [SCRIPT, *ESTIMATE],
    "python -m bot estimate": [sys.executable, "-m", "bot", *ESTIMATE],
    "claude-cost --help": [SCRIPT, "--help"],
    "claude-cost doctor --help": [SCRIPT, "doctor", "--help"],
    "claude-cost price --help": [SCRIPT, "price", "--help"],
    "claude-cost --version": [SCRIPT, "--version"],
}


def cpu_ms(command: list[str], environment: dict[str, str]) -> float:
    """CPU milliseconds of one run. Raises CalledProcessError if the command fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as compiled:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        for command in COMMANDS.values():
            cpu_ms(command, environment)
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                times[name].append(cpu_ms(command, environment))
    floor = median(times[FLOOR])
    print(f"{'command':28}{'CPU ms':>8}{'ratio':>8}")  # noqa: T201
    for name, taken in times.items():
        print(f"{name:28}{median(taken):8.1f}{median(taken) / floor:8.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
