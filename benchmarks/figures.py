"""A figure that a benchmark has measured, and the line that it prints for it.

Every benchmark prints one JSON object per figure on stdout, and anything meant for people on stderr:

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
"""What the goal bounds: the value itself, the value divided by its floor, or the value minus its floor."""

Bound = Literal["at most", "at least", "within"]


@dataclass(frozen=True, slots=True)
class Figure:
    """`name`: what was measured, with its size. `floor`: the same work done barely, in the same run and unit.

    `goal`: None where a figure only informs. `goal_high`: the upper end where `bound` is "within".
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
        """The value as a multiple of its floor; None where one of them is missing or the floor is 0."""
        return None if self.value is None or not self.floor else self.value / self.floor

    @property
    def measured(self) -> float | None:
        """What is held against the goal."""
        if self.measure == "ratio":
            return self.ratio
        if self.measure == "beyond":
            return None if self.value is None or self.floor is None else self.value - self.floor
        return self.value

    @property
    def met(self) -> bool | None:
        """None where there is no goal. A figure that could not be measured does not meet its goal."""
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
    """The figures among the lines that a benchmark printed; other lines are left out."""
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
    """Tell the person who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed. Raises `ValueError` if empty."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU that this process uses for `work`, all threads and both user and system, in seconds."""
    before = time.process_time()
    work()
    return time.process_time() - before
