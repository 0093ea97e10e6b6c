"""Score the forecast against naive models and, if installed, statsforecast; then measure its speed.

    python benchmarks/forecast.py [--traces FOLDER] [--seeds N] [--tuning]

Each kind of organization is simulated with seeds that the model was not tuned on (`--tuning` uses the tuning seeds).
The end of day, week and month budgets is forecast at 10, 25, 50 and 75 % of the period, with 6 hours, 2, 7 and 28 days
of history. The error is |expected end − true end| divided by the mean cost of such periods, averaged over all cases.

Cases in which the workload changes for good before the end have a separate row: the past does not announce them, so
only an oracle could predict them.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.forecast_worlds import KINDS, change_of, drawn, traces
from bot.budgets.budget import ORGANIZATION, Budget, Period, PeriodKind
from bot.budgets.forecast import HOURS_BACK, Hours, Request, forecasts
from bot.clock import HOUR, floor_hour

Floats = NDArray[np.float64]

SHARES = (0.1, 0.25, 0.5, 0.75)
KNOWN = (6, 48, 168, 672)
STARTS = (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
WARM = 28 * 24
TUNING_SEED, REPORT_SEED = 1000, 900_000
GOOD_ERROR, GOOD_RANGE = 0.8, (0.75, 0.90)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, its true end, and the input of the naive forecasts. `left`: hours until the end.

    `surprise`: the workload changes for good before the end, which the past does not announce.
    """

    request: Request
    true_usd: float
    period: PeriodKind
    known: int
    share: float
    left: float
    surprise: bool

    @property
    def past(self) -> Floats:
        """The known whole hours."""
        usd = self.request.hours.usd[:-1]
        return usd[~np.isnan(usd)]


def cases(kind: str, seeds: Sequence[int], recorded: Mapping[str, list[Floats]]) -> list[Case]:
    found = []
    for seed in seeds:
        starts_at = STARTS[seed % len(STARTS)]
        first = starts_at - WARM * HOUR
        usd = drawn(kind, first.weekday(), seed, recorded)
        change = change_of(kind, first.weekday(), seed)
        sums = np.concatenate([[0.0], np.cumsum(usd)])
        for period in PeriodKind:
            budget = Budget("b", ORGANIZATION, period, ZoneInfo("UTC"), Decimal(1), Decimal(2), "benchmark")
            # A day and a week that start anywhere in the month.
            of = budget.period_at(
                starts_at
                + timedelta(
                    days=(seed * 7) % 27
                    if period is PeriodKind.DAY
                    else 7 + seed % 14
                    if period is PeriodKind.WEEK
                    else 0
                )
            )
            for share in SHARES:
                as_of = of.starts_at + (of.ends_at - of.starts_at) * share
                as_of = as_of.replace(second=0, microsecond=0)
                for known in KNOWN:
                    found.append(_case(budget, of, as_of, known, share, first, usd, sums, change))
    return [case for case in found if case.true_usd > 0]


def _case(
    budget: Budget,
    of: Period,
    as_of: datetime,
    known: int,
    share: float,
    first: datetime,
    usd: Floats,
    sums: Floats,
    change: int | None,
) -> Case:
    running = floor_hour(as_of)
    at = (running - first) // HOUR
    part = (as_of - running) / HOUR
    begins = (of.starts_at - first) // HOUR
    ends = (of.ends_at - first) // HOUR
    spent = sums[at] - sums[begins] + part * usd[at]
    hours = np.full(HOURS_BACK + 1, np.nan)
    count = min(known, at, HOURS_BACK)
    hours[HOURS_BACK - count : HOURS_BACK] = usd[at - count : at]
    hours[-1] = part * usd[at]
    request = Request(budget, of, Decimal(f"{spent:.6f}"), Hours(running - HOURS_BACK * HOUR, hours), as_of)
    surprise = change is not None and at <= change < ends
    return Case(request, sums[ends] - sums[begins], budget.period, known, share, ends - at - part, surprise)


def last_day_goes_on(case: Case) -> float:
    return float(case.request.spent_usd) + case.past[-24:].mean() * case.left


def seasonal_naive(case: Case) -> float:
    """Repeat the same hour of the previous week; of the previous day if less than a week is known."""
    past = case.past
    season = 168 if len(past) >= 168 else 24 if len(past) >= 24 else len(past)
    count = int(np.ceil(case.left))
    rates = np.resize(past[-season:], count)
    lengths = np.ones(count)
    lengths[0] = 1 - (count - case.left)
    return float(case.request.spent_usd) + float(rates @ lengths)


def library_models() -> dict[str, Callable[[Case], float]]:
    """The models of statsforecast, if installed. Each takes seconds; the product takes a millisecond."""
    if importlib.util.find_spec("statsforecast") is None:
        return {}
    from statsforecast.models import MSTL, AutoETS, AutoTheta, SeasonalExponentialSmoothingOptimized

    def made(build: Callable[[int], object]) -> Callable[[Case], float]:
        def end(case: Case) -> float:
            past = case.past
            count = int(np.ceil(case.left))
            season = 168 if len(past) >= 2 * 168 else 24 if len(past) >= 48 else 1
            rates = np.maximum(build(season).forecast(y=past.astype(np.float64), h=count)["mean"], 0)  # type: ignore[attr-defined]
            lengths = np.ones(count)
            lengths[0] = 1 - (count - case.left)
            return float(case.request.spent_usd) + float(rates @ lengths)

        return end

    return {
        "MSTL": made(
            lambda season: (
                MSTL([24, 168] if season == 168 else season, trend_forecaster=AutoETS(model="ZNN"))
                if season > 1
                else AutoETS(model="ZNN")
            )
        ),
        "AutoTheta": made(lambda season: AutoTheta(season_length=min(season, 24))),
        "SeasonalES": made(
            lambda season: SeasonalExponentialSmoothingOptimized(season) if season > 1 else AutoETS(model="ZNN")
        ),
    }


@dataclass(frozen=True, slots=True)
class Score:
    error: float
    naive: Mapping[str, float]
    held: float
    library: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return self.error / min(self.naive.values())


def score(found: Sequence[Case], library: Mapping[str, Callable[[Case], float]], some: int) -> Score:
    made = forecasts([case.request for case in found])
    costs = {kind: np.mean([c.true_usd for c in found if c.period is kind] or [1.0]) for kind in PeriodKind}
    errors, held = [], []
    for case, forecast in zip(found, made, strict=True):
        assert forecast is not None
        errors.append(abs(float(forecast.expected_usd) - case.true_usd) / costs[case.period])
        # A hundredth of a cent: the resolution of the sums here.
        held.append(float(forecast.low_usd) - 1e-4 <= case.true_usd <= float(forecast.high_usd) + 1e-4)

    def of(model: Callable[[Case], float], of_cases: Sequence[Case]) -> float:
        return float(np.mean([abs(model(case) - case.true_usd) / costs[case.period] for case in of_cases]))

    return Score(
        float(np.mean(errors)),
        {"seasonal": of(seasonal_naive, found), "last 24 h": of(last_day_goes_on, found)},
        float(np.mean(held)),
        {name: of(model, found[:some]) for name, model in library.items()},
    )


def speed(budgets: int = 1000) -> tuple[float, float]:
    """CPU seconds of `count` forecasts and of a numpy pass over the same hours; best of 5 each."""
    random = np.random.default_rng(5)
    as_of = datetime(2026, 11, 11, 9, 30, tzinfo=UTC)
    matrix = random.gamma(2, 1, (budgets, HOURS_BACK + 1))
    kinds = list(PeriodKind)
    asked = []
    for index, row in enumerate(matrix):
        budget = Budget(
            f"b{index}", ORGANIZATION, kinds[index % 3], ZoneInfo("UTC"), Decimal(400), Decimal(600), "benchmark"
        )
        hours = Hours(floor_hour(as_of) - HOURS_BACK * HOUR, row)
        asked.append(Request(budget, budget.period_at(as_of), Decimal(100), hours, as_of))
    product, floor = [], []
    for _ in range(5):
        begun = time.process_time()
        forecasts(asked)
        between = time.process_time()
        np.nan_to_num(matrix).sum(axis=1)
        product.append(between - begun)
        floor.append(time.process_time() - between)
    return min(product), min(floor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=None, help="folder of recorded traces")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--by", choices=["period", "known", "share"], default=None)
    parser.add_argument("--library-cases", type=int, default=48, help="of each kind; the library is slow")
    asked = parser.parse_args()
    recorded = {} if asked.traces is None else traces(asked.traces)
    begin = TUNING_SEED if asked.tuning else REPORT_SEED
    library = library_models()
    _write(
        f"{'kind':16}{'error':>9}{'seasonal':>10}{'last 24 h':>11}{'ratio':>8}{'80 % held':>11}"
        + "".join(f"{n:>12}" for n in library)
    )
    played: list[Case] = []
    for kind in [*KINDS, *recorded]:
        found = cases(kind, range(begin, begin + asked.seeds), recorded)
        played += found
        _print(kind, score(found, library, asked.library_cases))
        if any(case.surprise for case in found):
            # Only an oracle knows which row a case belongs to.
            whole = [case for case in found if case.known == max(KNOWN)]
            _print("  28 d", score(whole, {}, 0))
            for surprise, name in ((False, "  goes on"), (True, "  will change")):
                some = [case for case in whole if case.surprise is surprise]
                _print(f"{name} {len(some) / len(whole):.0%}", score(some, {}, 0))
        if asked.by:
            for value in sorted({getattr(case, asked.by) for case in found}):
                _print(f"  {value}", score([c for c in found if getattr(c, asked.by) == value], {}, 0))
    _print("all", score(played, {}, 0))
    product, floor = speed()
    _write(
        f"1,000 budgets x 28 days: {product * 1000:.0f} ms of CPU; "
        f"one numpy pass over the same hours {floor * 1000:.1f} ms"
    )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _print(name: str, found: Score) -> None:
    row = f"{name:16}{found.error:9.3f}{found.naive['seasonal']:10.3f}{found.naive['last 24 h']:11.3f}"
    row += f"{found.ratio:8.2f}{found.held:11.1%}"
    _write(row + "".join(f"{error:12.3f}" for error in found.library.values()))


if __name__ == "__main__":
    main()
