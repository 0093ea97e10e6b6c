"""The model behind a forecast: what each hour to come will cost, learnt from the hours of the last four weeks.

An hour costs the sum of a base, which is spent night and day, and a shape of the week on top of it:

- The base of a day is what its cheapest hours cost. It is carried on as it was lately, through weekends too, so a job
  that runs around the clock adds the same dollars to each hour to come.
- The shape is the mean of what hours of the same weekday cost above the base. Where few weeks are known it is drawn
  to the mean of working days or weekends, of all days, and of all hours. It is scaled by the last days against it.
- What the last hours cost more or less than that, further than chance explains, is added until a whole day is known.

The range is taken from how far the same model missed in the same stretch from earlier days on, blended with what was
seen elsewhere while few days are known. Hours are those of the wall clock, in rows of one series each. Pure numpy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS = 28
WEEK = 7
HOURS_IN_DAY = 24
COLUMNS = DAYS * HOURS_IN_DAY
WEEKS = DAYS // WEEK
SATURDAY = 5

LEAST_OF_A_DAY = 12
"""A day of which fewer hours are known has no base of its own."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Chosen by `benchmarks/forecast.py` on its tuning seeds."""

    week_keeps: float = 0.75
    """Weight of a week against the one after it."""
    base_keeps: float = 0.4
    """Weight of a day's base against the next day's."""
    scale_keeps: float = 0.7
    """Weight of a day against the next one, for the scale of the shape."""
    scale_drawn: float = 0.15
    """How much noise between days draws the scale to 1."""
    slot_drawn: float = 0.5
    kind_drawn: float = 0.5
    hour_drawn: float = 0.3
    last_hours: int = 6
    last_doubt: float = 12.0
    own_days: float = 4.0
    """So many earlier misses weigh as much as what was seen elsewhere."""
    prior_share: float = 0.25
    inflation: float = 1.15
    growth: float = 0.85
    doubt_of_shift: float = 0.3


TUNED = Tuning()
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Outlook:
    """By series: dollars of each hour to come, and how far below and above their sum the range reaches."""

    rates: Floats
    below: Floats
    above: Floats


def outlook(
    known: Floats, weekday: NDArray[np.int64], steps: NDArray[np.int64], lengths: Floats, tuning: Tuning = TUNED
) -> Outlook:
    """`known`: dollars of the `COLUMNS` hours up to the present one, NaN where not known.

    `weekday`: of the 168 hours from the present one on, 0 is Monday. `steps`: the hours to come as their distance from
    the present hour, by the wall clock. `lengths`: how much of each counts, in hours.
    """
    learnt = _Learnt(known, weekday, tuning)
    week = learnt.week()
    rates = week[:, steps % (WEEK * HOURS_IN_DAY)]
    below, above = learnt.miss(steps, lengths, rates)
    return Outlook(rates, below, above)


class _Learnt:
    def __init__(self, known: Floats, weekday: NDArray[np.int64], tuning: Tuning) -> None:
        self._tuning = tuning
        series = known.shape[0]
        self._mask = ~np.isnan(known)
        self._days = np.where(self._mask, known, 0.0).reshape(series, DAYS, HOURS_IN_DAY)
        self._known = self._mask.reshape(series, DAYS, HOURS_IN_DAY)
        self._count = self._known.sum(axis=2)
        self._base_of_days()
        self._shape(weekday.reshape(WEEK, HOURS_IN_DAY) >= SATURDAY)
        self._levels()

    def _base_of_days(self) -> None:
        cheapest = HOURS_IN_DAY // 4
        count = self._count
        values = np.where(self._known, self._days, np.inf)
        lowest = np.partition(values, range(cheapest) if (count < HOURS_IN_DAY).any() else cheapest - 1, axis=2)
        lowest = lowest[:, :, :cheapest]
        wanted = np.clip(count // 4, 1, cheapest)
        if (wanted < cheapest).any():
            lowest = np.where(np.arange(cheapest) < wanted[:, :, None], lowest, 0.0)
        base = lowest.sum(axis=2) / wanted
        has = count >= LEAST_OF_A_DAY
        young = ~has.any(axis=1)
        if young.any():
            mean = self._days.sum(axis=(1, 2)) / np.maximum(count.sum(axis=1), 1)
            base = np.where(young[:, None], mean[:, None], base)
            has = has | (young[:, None] & (count > 0))
        self._has_base = has
        self._base = np.where(has, base, 0.0)
        # By day: the base as it was carried on from the days up to it.
        self._carried = _carried(self._base, has, self._tuning.base_keeps)
        filled = np.where(has, base, self._carried)
        first = np.argmax(has, axis=1)
        early = np.arange(DAYS) < first[:, None]
        filled = np.where(early, np.take_along_axis(base, first[:, None], axis=1), filled)
        self._rest = np.where(self._known, self._days - filled[:, :, None], 0.0)

    def _shape(self, weekend: NDArray[np.bool_]) -> None:
        tuning = self._tuning
        series = self._rest.shape[0]
        weights = tuning.week_keeps ** np.arange(WEEKS - 1, -1, -1.0)
        split = (series, WEEKS, WEEK, HOURS_IN_DAY)
        number = np.einsum("w,swdh->sdh", weights, self._known.reshape(split).astype(np.float64))
        usd = np.einsum("w,swdh->sdh", weights, self._rest.reshape(split))
        mean = usd.sum(axis=(1, 2)) / np.maximum(number.sum(axis=(1, 2)), TINY)
        hour = _drawn(usd.sum(axis=1), number.sum(axis=1), mean[:, None], tuning.hour_drawn)
        shape = np.empty_like(usd)
        for kind in (weekend, ~weekend):
            of_kind = _drawn((usd * kind).sum(axis=1), (number * kind).sum(axis=1), hour, tuning.kind_drawn)
            shape = np.where(kind, of_kind[:, None, :], shape)
        self._weekly = _drawn(usd, number, shape, tuning.slot_drawn)
        self._usual = np.tile(self._weekly, (1, WEEKS, 1))

    def _levels(self) -> None:
        tuning = self._tuning
        usual = np.where(self._known, self._usual, 0.0)
        rest_usd, usual_usd = self._rest.sum(axis=2), usual.sum(axis=2)
        full = self._count >= LEAST_OF_A_DAY
        size = np.abs(usual_usd).sum(axis=1) / np.maximum(full.sum(axis=1), 1)
        noise = np.square(rest_usd - usual_usd).sum(axis=1) / np.maximum(full.sum(axis=1), 1)
        noise = noise / np.maximum(np.square(size), TINY)
        drawn = (0.1 + tuning.scale_drawn * noise * 10)[:, None] * size[:, None]
        top, bottom = np.zeros_like(rest_usd), np.zeros_like(rest_usd)
        above, below = np.zeros(len(size)), np.zeros(len(size))
        for day in range(DAYS):
            above = above * tuning.scale_keeps + rest_usd[:, day]
            below = below * tuning.scale_keeps + usual_usd[:, day]
            top[:, day], bottom[:, day] = above, below
        scale = np.where(bottom + drawn > TINY, (top + drawn) / np.maximum(bottom + drawn, TINY), 1.0)
        self._scale = np.clip(scale, 0.0, 3.0)

    def _lately(self) -> Floats:
        """Dollars an hour that the last hours cost more than base and shape."""
        tuning = self._tuning
        expected = self._carried[:, -1, None] + self._scale[:, -1, None] * self._weekly[:, -1]
        off = np.where(self._known[:, -1], self._days[:, -1] - expected, 0.0)
        scattered = self._rest - self._usual * self._known
        spread = np.sqrt(np.square(scattered).sum(axis=(1, 2)) / np.maximum(self._count.sum(axis=1), 1))
        last, known = off[:, -tuning.last_hours :], self._known[:, -1, -tuning.last_hours :]
        number = np.maximum(known.sum(axis=1), 1)
        mean = last.sum(axis=1) / number
        lowest = np.where(known, last, np.inf).min(axis=1)
        highest = np.where(known, last, -np.inf).max(axis=1)
        alike = np.where(mean > 0, np.clip(lowest, 0, None), np.clip(highest, None, 0))
        alike = np.where(known.sum(axis=1) >= tuning.last_hours // 2, alike, 0.0)
        score = np.square(mean) * number / np.maximum(np.square(spread), TINY)
        return np.where(alike != 0, mean * score / (score + tuning.last_doubt), 0.0)

    def week(self) -> Floats:
        """Dollars of each of the next 168 hours."""
        base = self._carried[:, -1] + self._lately()
        rates = base[:, None, None] + self._scale[:, -1, None, None] * self._weekly
        return np.maximum(rates, 0.0).reshape(len(base), -1)

    def miss(self, steps: NDArray[np.int64], lengths: Floats, rates: Floats) -> tuple[Floats, Floats]:
        """How far below and above the sum of the hours to come the range of 80 % reaches, dollars."""
        tuning = self._tuning
        left = rates @ lengths
        hours = float(lengths.sum())
        tested = min(hours, 10.0 * HOURS_IN_DAY)
        whole, part = int(tested // HOURS_IN_DAY), int(tested % HOURS_IN_DAY)
        if whole == 0:
            part = max(part, 1)
        off, valid = self._misses(whole, part)
        stretch = (hours / max(whole * HOURS_IN_DAY + part, 1)) ** tuning.growth if hours > 0 else 0.0
        number = valid.sum(axis=1)
        own = _quantile(np.where(valid, np.abs(off), np.nan), 0.8) * stretch * tuning.inflation
        days = hours / HOURS_IN_DAY
        prior = tuning.prior_share * left * (1 + 0.1 * days / (1 + 0.02 * days))
        independent = number / max(whole, 1) ** 0.5
        weight = independent / (independent + tuning.own_days)
        width = weight * own + (1 - weight) * prior
        return width, width

    def _misses(self, whole: int, part: int) -> tuple[Floats, NDArray[np.bool_]]:
        """By earlier day: dollars of the stretch that followed, less what the model says of it."""
        usd, known = self._days, self._known
        usual = self._usual
        first_day = WEEK
        origins = np.arange(first_day, DAYS - whole - (1 if part else 0))
        if len(origins) == 0:
            return np.zeros((len(usd), 1)), np.zeros((len(usd), 1), dtype=np.bool_)

        def following(cells: Floats) -> Floats:
            totals = np.concatenate([np.zeros((len(cells), 1)), np.cumsum(cells.sum(axis=2), axis=1)], axis=1)
            found: Floats = totals[:, origins + 1 + whole] - totals[:, origins + 1]
            if part:
                found = found + cells[:, origins + 1 + whole, :part].sum(axis=2)
            return found

        hours = following(known.astype(np.float64))
        said = self._carried[:, origins] * hours + self._scale[:, origins] * following(usual * known)
        enough = hours >= 0.75 * (whole * HOURS_IN_DAY + part)
        seen = np.cumsum(self._has_base, axis=1)[:, origins] >= 1
        return following(usd) - np.maximum(said, 0.0), enough & seen


def _carried(values: Floats, has: NDArray[np.bool_], keeps: float) -> Floats:
    carried = np.zeros_like(values)
    usd, number = np.zeros(len(values)), np.zeros(len(values))
    for day in range(values.shape[1]):
        usd = np.where(has[:, day], usd * keeps + values[:, day], usd)
        number = np.where(has[:, day], number * keeps + 1.0, number)
        carried[:, day] = usd / np.maximum(number, TINY)
    return carried


def _drawn(usd: Floats, number: Floats, to: Floats, by: float) -> Floats:
    found: Floats = (usd + by * to) / (number + by)
    return found


def _quantile(values: Floats, share: float) -> Floats:
    """Of each row, between its known values; 0 where there is none."""
    ordered = np.sort(values, axis=1)
    number = (~np.isnan(values)).sum(axis=1)
    place = np.clip(share * (number + 1) - 1, 0, np.maximum(number - 1, 0))
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(number - 1, 0))
    rows = np.arange(len(values))
    low, high = ordered[rows, lower], ordered[rows, upper]
    return np.where(number > 0, np.nan_to_num(low + (high - low) * (place - lower)), 0.0)
