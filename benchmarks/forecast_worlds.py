"""Simulated organizations and recorded traces, as dollars per UTC hour, for scoring forecasts."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Random = np.random.Generator
HOURS = 24 * 70
"""Four weeks before the first scored month, and six from its first day."""

TEN_MINUTES_IN_WEEK = 7 * 24 * 6


def _clock(weekday: int) -> tuple[Floats, Floats]:
    hours = np.arange(HOURS)
    return hours % 24.0, (weekday + hours // 24) % 7.0


def _office(weekday: int, random: Random) -> Floats:
    hour, day = _clock(weekday)
    begins, length = random.integers(6, 11), random.integers(8, 12)
    busy = np.where((hour >= begins) & (hour < begins + length), 1.0, random.uniform(0.02, 0.15))
    return busy * np.where(day >= 5, random.uniform(0.05, 0.4), 1.0)


def _noise(random: Random, hourly: float, daily: float) -> Floats:
    by_day = np.repeat(random.lognormal(-daily * daily / 2, daily, HOURS // 24), 24)
    return by_day * random.lognormal(-hourly * hourly / 2, hourly, HOURS)


def _changes_at(random: Random) -> int:
    """A random hour of the scored month or the week before it."""
    return int(random.integers(21 * 24, 56 * 24))


def steady(weekday: int, random: Random) -> Floats:
    return 4 * _noise(random, 0.2, random.uniform(0.02, 0.1))


def weekdays(weekday: int, random: Random) -> Floats:
    return 10 * _office(weekday, random) * _noise(random, 0.25, random.uniform(0.05, 0.2))


def nightly(weekday: int, random: Random) -> Floats:
    hour, _ = _clock(weekday)
    begins, length = random.integers(0, 5), random.integers(1, 5)
    batch = np.where((hour >= begins) & (hour < begins + length), random.uniform(10, 40), 0.0)
    return batch * _noise(random, 0.15, 0.15) + random.uniform(0.1, 2) * _noise(random, 0.2, 0.05)


def ramp(weekday: int, random: Random) -> Floats:
    grows = random.uniform(0.005, 0.03)
    base = _office(weekday, random) if random.random() < 0.6 else np.ones(HOURS)
    return 3 * base * np.exp(grows * np.arange(HOURS) / 24) * _noise(random, 0.2, 0.1)


def runaway(weekday: int, random: Random) -> Floats:
    usual = weekdays(weekday, random)
    job = np.where(np.arange(HOURS) >= _changes_at(random), random.uniform(0.3, 2) * usual.mean(), 0.0)
    return usual + job * random.uniform(0.8, 1.2, HOURS)


def _before_step(weekday: int, random: Random) -> Floats:
    return weekdays(weekday, random) if random.random() < 0.6 else steady(weekday, random)


def step_down(weekday: int, random: Random) -> Floats:
    usual = _before_step(weekday, random)
    ended = np.arange(HOURS) >= _changes_at(random)
    if random.random() < 0.5:
        return usual * np.where(ended, random.uniform(0.2, 0.7), 1.0)
    job = random.uniform(0.3, 2) * usual.mean() * random.uniform(0.8, 1.2, HOURS)
    return usual + np.where(ended, 0.0, job)


def sparse(weekday: int, random: Random) -> Floats:
    often = random.uniform(0.3, 2.0) / 24
    return np.where(random.random(HOURS) < often, random.lognormal(0, 0.8, HOURS), 0.0) + 0.001


def month_end(weekday: int, random: Random) -> Floats:
    usual = weekdays(weekday, random)
    day = np.arange(HOURS) // 24 % 30
    return usual * np.where(day >= 27, random.uniform(1.2, 1.8), 1.0)


def change_of(kind: str, weekday: int, seed: int) -> int | None:
    """The hour at which the workload changes for good, as planned by the generator."""
    random = _random(kind, seed)
    if kind == "runaway":
        weekdays(weekday, random)
    elif kind == "step down":
        _before_step(weekday, random)
    else:
        return None
    return _changes_at(random)


KINDS: Mapping[str, Callable[[int, Random], Floats]] = {
    "steady": steady,
    "weekday": weekdays,
    "nightly batch": nightly,
    "ramp": ramp,
    "runaway": runaway,
    "step down": step_down,
    "sparse": sparse,
    "month end": month_end,
}


def traces(folder: Path) -> dict[str, list[Floats]]:
    """One series per client of each trace, repeated to the length of the others.

    ServeGen: two weeks of six clients, rates per 10 minutes, replayed end to end. Azure and Mooncake last less than an
    hour: their minutes become the hours of a day and a half, replayed end to end at a working week's level.
    """
    found: dict[str, list[Floats]] = {}
    for path in sorted(folder.glob("servegen-*/chunk-*.csv")):
        found.setdefault("ServeGen", []).append(_servegen(path))
    for path in sorted(folder.glob("AzureLLM*.csv")):
        with path.open(newline="") as file:
            rows = [
                (
                    datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC).timestamp(),
                    3.0 * int(row["ContextTokens"]) + 15.0 * int(row["GeneratedTokens"]),
                )
                for row in csv.DictReader(file)
            ]
        found.setdefault("Azure", []).append(_minutes(rows))
    for path in sorted(folder.glob("mooncake*.jsonl")):
        with path.open() as lines:
            records = [json.loads(line) for line in lines]
        found.setdefault("Mooncake", []).append(
            _minutes((r["timestamp"] / 1000, 3.0 * r["input_length"] + 15.0 * r["output_length"]) for r in records)
        )
    return found


def _servegen(path: Path) -> Floats:
    rows = np.loadtxt(path, delimiter=",", usecols=(0, 1))
    hour = (rows[:, 0] // 3600).astype(np.int64)
    two_weeks = np.zeros(14 * 24)
    np.add.at(two_weeks, hour[hour < len(two_weeks)], rows[hour < len(two_weeks), 1] / 6)
    return np.resize(two_weeks * 10, HOURS)


def _minutes(rows: Iterable[tuple[float, float]]) -> Floats:
    at, usd = np.array(list(rows)).T
    minute = ((at - at.min()) // 60).astype(np.int64)
    sums = np.zeros(minute.max())
    np.add.at(sums, minute[minute < len(sums)], usd[minute < len(sums)])
    return np.resize(sums / max(sums.mean(), 1e-9), HOURS)


def drawn(kind: str, weekday: int, seed: int, recorded: Mapping[str, list[Floats]]) -> Floats:
    """The series of this kind and seed; a trace starts at a random offset, and its days vary slightly."""
    random = _random(kind, seed)
    if kind in KINDS:
        return KINDS[kind](weekday, random)
    series = recorded[kind][int(random.integers(len(recorded[kind])))]
    if kind == "ServeGen":
        return np.roll(series, 24 * int(random.integers(14))) * _noise(random, 0.05, 0.05)
    return np.roll(series, int(random.integers(HOURS))) * _noise(random, 0.05, 0.1)


def _random(kind: str, seed: int) -> Random:
    return np.random.default_rng([seed, sum(map(ord, kind))])
