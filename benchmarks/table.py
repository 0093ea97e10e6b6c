"""Run every benchmark that prints figures as JSON lines, and write one Markdown table of them.

    python benchmarks/table.py [PATH] [--quick] [--only decisions,answers] [--jsonl PATH]

Without a path the table goes to standard output, progress to standard error. `--quick`: small sizes where a benchmark
has them, as a smoke test; its figures mean little. `--jsonl`: make the table of the lines that earlier runs have
printed, and run nothing, as for docs/benchmarks.md.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure, figures_of, say

HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    "decisions",
    "waits",
    "answers",
    "acknowledgements",
    "alert_latency",
    "ingest",
    "ingest_fuzz",
    "ingest_kills",
    "fuzz",
    "kills",
    "replicas",
    "soak",
)
HOURS = 4 * 3600
WRITTEN = (
    "`benchmarks/table.py` writes this page: run it instead of editing. [performance.md](performance.md) explains it."
)
HEAD = ("what", "measured", "floor", "ratio", "goal", "met?")


def figures_from(name: str, *, quick: bool, seconds: float = HOURS) -> list[Figure]:
    """Run one benchmark. A failure becomes one figure that misses its goal."""
    script = HERE / f"{name}.py"
    words = [sys.executable, str(script)]
    if quick and "--quick" in script.read_text(encoding="utf-8"):
        words.append("--quick")
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        out = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return [*figures_of(out.splitlines()), failed(name, f"not done after {seconds:.0f} s")]
    found = figures_of(done.stdout.splitlines())
    if done.returncode:
        found.append(failed(name, f"exit code {done.returncode}"))
    elif not found:
        found.append(failed(name, "it printed no figure"))
    return found


def failed(name: str, why: str) -> Figure:
    """A row for a benchmark that failed."""
    return Figure(f"{name}.py", None, "", goal=0, note=why)


def markdown(figures: Iterable[Figure]) -> str:
    """The table."""
    lines = [row(HEAD), row(["---"] * len(HEAD)), *(row(cells(figure)) for figure in figures)]
    return "\n".join(lines) + "\n"


def page(figures: Iterable[Figure], *, quick: bool = False) -> str:
    """The table below a title, with when and where it was made."""
    kind = " with small sizes" if quick else ""
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return (
        f"# Benchmarks\n\n{WRITTEN} Measured{kind} until {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {where}.\n\n"
        f"{markdown(figures)}"
    )


def cells(figure: Figure) -> list[str]:
    """The cells of a figure's row."""
    if figure.value is None:
        return [figure.name, f"not measured: {figure.note or 'no reason given'}", "", "", "", "**no**"]
    value, unit = number(figure.value), figure.unit
    measured = f"{value} {unit}" + (f" ({figure.note})" if figure.note else "")
    floor = "" if figure.floor is None else f"{number(figure.floor)} {unit}"
    ratio = "" if figure.ratio is None else f"{number(figure.ratio)} ×"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    return [figure.name, measured, floor, ratio, goal_of(figure), met]


def goal_of(figure: Figure) -> str:
    """The goal in words."""
    if figure.goal is None:
        return ""
    unit = "×" if figure.measure == "ratio" else figure.unit
    beyond = " beyond the floor" if figure.measure == "beyond" else ""
    if figure.bound == "within":
        high = figure.goal if figure.goal_high is None else figure.goal_high
        return f"{number(figure.goal)}–{number(high)} {unit}{beyond}"
    sign = "≥" if figure.bound == "at least" else "≤"
    return f"{sign} {number(figure.goal)} {unit}{beyond}"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def main() -> int:
    """Run the benchmarks and write the table; 0 if every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names, separated by commas")
    parser.add_argument("--jsonl", type=Path, nargs="*", default=[], help="files with lines of earlier runs")
    chosen = parser.parse_args()
    figures = [figure for file in chosen.jsonl for figure in figures_of(file.read_text().splitlines())]
    for name in [] if chosen.jsonl else chosen.only.split(","):
        if not (HERE / f"{name}.py").exists():
            say(f"{name}: there is no such benchmark")
            figures.append(failed(name, "there is no such benchmark"))
            continue
        say(f"{name} …")
        figures += figures_from(name, quick=chosen.quick)
    text = page(figures, quick=chosen.quick)
    if chosen.path is None:
        sys.stdout.write(text)
    else:
        chosen.path.write_text(text, encoding="utf-8")
    return 0 if all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
