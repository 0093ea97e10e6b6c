"""A measured figure and its JSON line.

Every benchmark prints one JSON object per figure on stdout and progress for people on stderr:

    emit(Figure("wake an OFREP client", value=31.0, unit="ms", floor=8.6, goal=50, measure="beyond"))

`table.py` runs them all and reads those lines.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TextIO

Measure = Literal["value", "ratio", "beyond"]
"""What the goal applies to: the value, value / floor, or value − floor."""

Bound = Literal["at most", "at least", "within"]


@dataclass(frozen=True, slots=True)
class Figure:
    """`name`: what was measured, with its size. `floor`: the same work done minimally, in the same run and unit.

    `goal`: None: for information only. `goal_high`: the upper end if `bound` is "within".
    """

    name: str
    value: float | None
    unit: str
    floor: float | None = None
    goal: float | None = None
    measure: Measure = "value"
    bound: Bound = "at most"
    goal_high: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """value / floor; None if either is missing or the floor is 0."""
        return None if self.value is None or not self.floor else self.value / self.floor

    @property
    def measured(self) -> float | None:
        """The number compared with the goal."""
        if self.measure == "ratio":
            return self.ratio
        if self.measure == "beyond":
            return None if self.value is None or self.floor is None else self.value - self.floor
        return self.value

    @property
    def met(self) -> bool | None:
        """None: no goal. A figure that could not be measured does not meet its goal."""
        if self.goal is None:
            return None
        measured = self.measured
        if measured is None:
            return False
        if self.bound == "at least":
            return measured >= self.goal
        if self.bound == "within":
            return self.goal <= measured <= (self.goal if self.goal_high is None else self.goal_high)
        return measured <= self.goal


def emit(figure: Figure, to: TextIO | None = None) -> Figure:
    """Print the figure as one line of JSON."""
    line = {**asdict(figure), "ratio": figure.ratio, "met": figure.met}
    print(json.dumps(line, ensure_ascii=False), file=to or sys.stdout, flush=True)
    return figure


def figures_of(lines: Iterable[str]) -> list[Figure]:
    """Parse the figures in a benchmark's output; other lines are ignored."""
    found = []
    for line in lines:
        try:
            read = json.loads(line)
        except ValueError:
            continue
        if isinstance(read, dict) and {"name", "value", "unit"} <= read.keys():
            found.append(Figure(**{name: read[name] for name in Figure.__dataclass_fields__ if name in read}))
    return found


def say(text: str) -> None:
    """Print progress on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is ≥ at least this share of the values. Raises `ValueError` if empty."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds (user and system, all threads) of this process for `work`."""
    before = time.process_time()
    work()
    return time.process_time() - before
