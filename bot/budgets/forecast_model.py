"""The forecast model: predicts the cost of each future hour from the hours of the last four weeks.

An hour costs a base, spent night and day, plus a weekly shape on top:

- The base of a day is what its cheapest hours cost. It continues at its recent level, through weekends too, so a job
  that runs around the clock adds the same USD to each future hour.
- The shape is the mean of what hours of the same weekday cost above the base. With few known weeks it is shrunk to the
  mean of working days or weekends, of all days, and of all hours. It is scaled by the last days.
- Base and scale are shrunk to their four-week means as far as chance explains the difference.
- A deviation of the last hours beyond chance is added until a whole day is known; a smaller one fades within hours.
- Growth in every week is removed from the past first, and continues ever more slowly.

The range comes from how far the same model missed in the same stretch from earlier days on, blended with a
prior while few days are known. Hours follow the wall clock, one row per series. Pure numpy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.budgets.forecast_trend import growth_of

Floats = NDArray[np.float64]

DAYS = 28
WEEK = 7
HOURS_IN_DAY = 24
COLUMNS = DAYS * HOURS_IN_DAY
WEEKS = DAYS // WEEK
SATURDAY = 5
OFFICE = (8, 18)
"""Wall-clock hours in which most teams work."""

JUMP = 5.0
"""A step from day to day this many times the usual one is a change of what runs."""
LEAST_JUMP = 0.5

LEAST_OF_A_DAY = 12
"""Fewest known hours for a day to have a base of its own."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Parameters chosen by `benchmarks/forecast.py` on its tuning seeds."""

    week_keeps: float = 1.0
    """Weight of a week relative to the next one."""
    base_keeps: float = 0.6
    """Weight of a day's base relative to the next day's."""
    scale_keeps: float = 0.8
    """Weight of a day relative to the next one, for the scale of the shape."""
    scale_drawn: float = 0.18
    """How much noise between days shrinks the scale to 1."""
    base_chance: float = 2.0
    scale_chance: float = 0.5
    """A squared deviation from the mean of all weeks of this many daily variances is believed by half."""
    slot_drawn: float = 0.5
    kind_drawn: float = 0.12
    hour_drawn: float = 0.25
    last_hours: int = 6
    last_doubt: float = 40.0
    """A squared deviation of the last hours of this many usual variances is believed by half to be permanent."""
    near_doubt: float = 0.6
    near_hours: float = 8.0
    near_quiet: float = 0.15
    """The same for the next hours; it fades. Hours below this share of the mean cost say little of others."""
    own_days: float = 1.1
    """This many of the series' own misses weigh as much as the prior."""
    prior_share: float = 0.05
    inflation: float = 0.82
    growth: float = 1.1
    own_share: float = 0.67
    """Quantile of the series' own misses that makes the range."""
    change_share: float = 0.07
    """Uncertainty from changes that nothing announces, as a share of what is left of four weeks."""
    trend_kept: float = 0.9
    """Share of a trend that is kept from week to week."""
    trend_share: float = 0.8
    """Share of a trend's contribution that is doubtful."""
    jump_share: float = 2.0
    drift_share: float = 0.75
    noise_share: float = 1.5
    tested_days: float = 11.0
    young_share: float = 0.4
    young_days: float = 3.8
    weekend_less: float = 0.9
    working_more: float = 0.4
    office_usual: float = 1.12
    night_usual: float = 0.9
    weekend_usual: float = 0.85


TUNED = Tuning()
TINY = 1e-300
MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class ExpectedHours:
    """USD of each future hour per series, and how far below and above their sum the range reaches."""

    rates: Floats
    below: Floats
    above: Floats


def expected_hours(
    known: Floats,
    week_hours: NDArray[np.int64],
    steps: NDArray[np.int64],
    lengths: Floats,
    tuning: Tuning | None = None,
) -> ExpectedHours:
    """`known`: USD of the `COLUMNS` hours up to the present one, NaN if unknown.

    `week_hours`: hours of the week of the 168 hours from the present one on, 0 is midnight on Monday. `steps`:
    wall-clock distance of each future hour from the present one. `lengths`: how much of each counts, in hours.
    """
    learnt = _Learnt(known, week_hours, tuning or TUNED)
    rates = learnt.week()[:, steps % (WEEK * HOURS_IN_DAY)] * learnt.trend(steps) * learnt.near(steps)
    width = learnt.miss(lengths, rates)
    return ExpectedHours(rates, width, width)


class _Learnt:
    def __init__(self, known: Floats, week_hours: NDArray[np.int64], tuning: Tuning) -> None:
        self._tuning = tuning
        series = known.shape[0]
        self._mask = ~np.isnan(known)
        self._days = np.where(self._mask, known, 0.0).reshape(series, DAYS, HOURS_IN_DAY)
        self._known = self._mask.reshape(series, DAYS, HOURS_IN_DAY)
        self._count = self._known.sum(axis=2)
        self._grow()
        self._base_of_days()
        cells = week_hours.reshape(WEEK, HOURS_IN_DAY)
        self._weekend = cells // HOURS_IN_DAY >= SATURDAY
        hour = cells % HOURS_IN_DAY
        self._office = ~self._weekend & (hour >= OFFICE[0]) & (hour < OFFICE[1])
        self._night = ~self._weekend & ~self._office
        self._shape(self._weekend)
        self._levels()

    def _grow(self) -> None:
        """Scale the past to the present level if every week has grown or shrunk."""
        self._growth = growth_of(self._days.sum(axis=2), self._count.min(axis=1) == HOURS_IN_DAY)
        grows = np.flatnonzero(self._growth)
        if len(grows):
            back = (COLUMNS - 0.5 - np.arange(COLUMNS)).reshape(DAYS, HOURS_IN_DAY) / (WEEK * HOURS_IN_DAY)
            self._days[grows] *= np.exp(self._growth[grows, None, None] * back)

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
        # What runs around the clock only on some weekdays is shape.
        weekly = np.where(has, base, 0.0).reshape(-1, WEEKS, WEEK)
        least, most = weekly.min(axis=1), weekly.max(axis=1)
        of_week = np.maximum(least - most.min(axis=1)[:, None], 0.0) * has.all(axis=1)[:, None]
        base = base - np.tile(of_week, (1, WEEKS))
        self._has_base = has
        self._base = np.where(has, base, 0.0)
        # By day: the base carried on from the days up to it.
        self._carried, self._jumped = _carried(self._base, has, self._tuning.base_keeps)
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
        drawn = self._doubt_of_slots(usd, number, shape, weights)
        self._weekly = _drawn(usd, number, shape, drawn[:, None, None])
        # Correct for misses that are too small because the day itself shaped the mean.
        mean_weight = float(weights.mean())
        self._unseen = 1 / (1 - mean_weight / (np.maximum(number.mean(axis=(1, 2)), mean_weight) + drawn))
        self._usual = np.tile(self._weekly, (1, WEEKS, 1))

    def _doubt_of_slots(self, usd: Floats, number: Floats, shape: Floats, weights: Floats) -> Floats:
        """Pseudo-weeks for shrinking one hour of the week to the mean of its kind: noise against signal."""
        tuning = self._tuning
        split = (len(usd), WEEKS, WEEK, HOURS_IN_DAY)
        squares = np.einsum("w,swdh->s", weights, np.square(self._rest).reshape(split))
        some = np.maximum(number, TINY)
        within = squares - (np.square(usd) / some).sum(axis=(1, 2))
        free = number.sum(axis=(1, 2)) * (1 - float(weights.max()) / np.maximum(number.max(axis=(1, 2)), 1.0))
        within = np.maximum(within, 0.0) / np.maximum(free, TINY)
        seen = number > 0
        cells = np.maximum(seen.sum(axis=(1, 2)), 1)
        between = (np.square(usd / some - shape) * seen).sum(axis=(1, 2)) / cells
        signal = between - within / np.maximum(number.mean(axis=(1, 2)), TINY)
        doubt = within / np.maximum(np.maximum(signal, 0.01 * within), TINY)
        return np.where(free > 0, np.clip(tuning.slot_drawn * doubt, 0.05, 50.0), 2.0)

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
        self._settle(usual_usd)

    def _settle(self, usual: Floats) -> None:
        """Shrink base and scale to their means of all weeks, as far as chance explains the difference."""
        tuning = self._tuning
        has = self._has_base
        number = np.maximum(has.sum(axis=1), 1)
        mean = self._base.sum(axis=1) / number
        weight = _beyond_chance(self._carried - mean[:, None], self._base, has, tuning.base_chance)
        self._carried = mean[:, None] + weight * (self._carried - mean[:, None])
        full = (self._count >= LEAST_OF_A_DAY) & (np.abs(usual) > TINY)
        size = np.sqrt(np.maximum(usual, 0.0) * usual.clip(0).mean(axis=1)[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.where(full & (size > 0), (self._rest.sum(axis=2) - usual) / size, 0.0)
        weight = _beyond_chance(self._scale - 1.0, off, full & (size > 0), tuning.scale_chance)
        self._scale = 1 + weight * (self._scale - 1)

    def _lately(self) -> Floats:
        """USD an hour by which the last hours exceed base and shape."""
        tuning = self._tuning
        expected = self._carried[:, -1, None] + self._scale[:, -1, None] * self._weekly[:, -1]
        off = np.where(self._known[:, -1], self._days[:, -1] - expected, 0.0)
        hours = slice(-tuning.last_hours, None)
        said = self._carried[:, :-1, None] + self._scale[:, :-1, None] * self._usual[:, :-1, hours]
        ends = ((self._days[:, :-1, hours] - said) * self._known[:, :-1, hours]).sum(axis=2)
        counted = self._known[:, :-1, -tuning.last_hours :].sum(axis=2)
        square = np.square(ends / np.maximum(counted, 1)).sum(axis=1) / np.maximum((counted > 0).sum(axis=1), 1)
        last, known = off[:, -tuning.last_hours :], self._known[:, -1, -tuning.last_hours :]
        number = np.maximum(known.sum(axis=1), 1)
        mean = last.sum(axis=1) / number
        lowest = np.where(known, last, np.inf).min(axis=1)
        highest = np.where(known, last, -np.inf).max(axis=1)
        alike = np.where(mean > 0, np.clip(lowest, 0, None), np.clip(highest, None, 0))
        alike = np.where(known.sum(axis=1) >= tuning.last_hours // 2, alike, 0.0)
        score = np.minimum(np.square(mean) / np.maximum(square, TINY), 1 / MICRO)
        usual = np.where(known, expected[:, -tuning.last_hours :], 0.0).sum(axis=1) / number
        late = np.where(alike != 0, mean / (1 + np.square(tuning.last_doubt / np.maximum(score, MICRO))), 0.0)
        # A deviation that is not believed to be permanent still affects the next hours.
        usual = np.where(known, expected[:, -tuning.last_hours :], 0.0).sum(axis=1) / number
        overall = self._days.sum(axis=(1, 2)) / np.maximum(self._count.sum(axis=1), 1)
        against = np.maximum(usual, 0.0) + np.maximum(late, 0.0)
        share = np.clip((mean - late) / np.maximum(against, TINY), -0.9, 1.0) * (usual > 0)
        quiet = against / np.maximum(against + tuning.near_quiet * overall, TINY)
        enough = known.sum(axis=1) >= tuning.last_hours // 2
        self._today = share * quiet * enough * score / (score + tuning.near_doubt)
        return late

    def week(self) -> Floats:
        """USD of each of the next 168 hours."""
        self._late = self._lately()
        base = self._carried[:, -1] + self._late
        rates = base[:, None, None] + self._scale[:, -1, None, None] * self._weekly
        rates = np.maximum(rates, 0.0)
        number = self._count.sum(axis=1)
        if (number < WEEK * HOURS_IN_DAY).any():
            rates = self._assumed(rates, number)
        return rates.reshape(len(base), -1)

    def near(self, steps: NDArray[np.int64]) -> Floats:
        """Factor of each future hour because the last hours deviate; fades to 1."""
        found: Floats = 1 + self._today[:, None] * np.exp(-steps / self._tuning.near_hours)
        return found

    def trend(self, steps: NDArray[np.int64]) -> Floats:
        """Factor of each future hour, relative to the present level."""
        if not self._growth.any():
            return np.ones((1, 1))
        kept = self._tuning.trend_kept
        weeks = (1 - kept ** (steps / (WEEK * HOURS_IN_DAY))) / -np.log(kept)
        found: Floats = np.exp(self._growth[:, None] * weeks)
        return found

    def _assumed(self, rates: Floats, number: NDArray[np.int64]) -> Floats:
        """Fill unseen kinds of hours with those of most teams, as far as this one is like them."""
        tuning = self._tuning
        known, days = self._known[:, -WEEK:], self._days[:, -WEEK:]

        def seen(cells: NDArray[np.bool_]) -> tuple[Floats, Floats]:
            hours = (known & cells).sum(axis=(1, 2)).astype(np.float64)
            return hours, (days * cells).sum(axis=(1, 2)) / np.maximum(hours, 1.0)

        (by_day, day), (by_night, night), (at_weekends, _) = seen(self._office), seen(self._night), seen(self._weekend)
        contrast = np.clip((day - night) / np.maximum(day + night, TINY), 0.0, 1.0)
        contrast = np.where((by_day >= 4) & (by_night >= 4), contrast, 0.0)
        others = by_day + by_night
        weekend = 1 - tuning.weekend_less * contrast / (1 + at_weekends / 12)
        # Only weekends were seen: working days cost more.
        working = 1 + tuning.working_more * (others < 12)
        hours = np.maximum(number, 1)
        mean = days.sum(axis=(1, 2)) / hours
        spread = np.sqrt(np.maximum(np.square(days).sum(axis=(1, 2)) / hours - np.square(mean), 0.0))
        alike = np.clip(1 - spread / np.maximum(0.05 * mean, TINY), 0.0, 1.0)
        rates = rates * np.where(
            self._weekend, weekend[:, None, None], (1 + (working - 1) * (1 - alike))[:, None, None]
        )
        # Less than a day: hours of the day that were not seen.
        usual = np.where(
            self._office, tuning.office_usual, np.where(self._night, tuning.night_usual, tuning.weekend_usual)
        )
        of_known = (known * usual).sum(axis=(1, 2)) / hours
        typical = mean[:, None, None] * (
            alike[:, None, None] + (1 - alike)[:, None, None] * usual / np.maximum(of_known, TINY)[:, None, None]
        )
        return np.where((number < HOURS_IN_DAY)[:, None, None], typical, rates)

    def miss(self, lengths: Floats, rates: Floats) -> Floats:
        """How far below and above the sum of the future hours the 80 % range reaches, USD."""
        tuning = self._tuning
        left = rates @ lengths
        hours = float(lengths.sum())
        tested = min(hours, tuning.tested_days * HOURS_IN_DAY)
        whole, part = int(tested // HOURS_IN_DAY), int(tested % HOURS_IN_DAY)
        if whole == 0:
            part = max(part, 1)
        off, valid = self._misses(whole, part)
        number = valid.sum(axis=1)
        stretch = (max(hours, tested) / max(tested, TINY)) ** tuning.growth
        if tested < 1:
            stretch *= tested
        own = _quantile(np.where(valid, np.abs(off), np.nan), tuning.own_share)
        own = own * stretch * tuning.inflation * self._unseen
        days = hours / HOURS_IN_DAY
        seen = self._count.sum(axis=1) / HOURS_IN_DAY
        share = tuning.prior_share + tuning.young_share * np.exp(-seen / tuning.young_days)
        prior = share * left / np.sqrt(np.clip(days, 0.3, 1.0)) + tuning.noise_share * self._noise(hours)
        independent = number / max(whole, 1) ** 0.5
        weight = independent / (independent + tuning.own_days)
        changes = (
            tuning.change_share * min(days / DAYS, 1.0) + tuning.trend_share * np.abs(self._growth) * days / WEEK / 2
        )
        width: Floats = (
            weight * own + (1 - weight) * prior + changes * left + tuning.drift_share * self._drift() * hours
        )
        return width + tuning.jump_share * (self._jumped[:, -1] + np.abs(self._late)) * hours

    def _drift(self) -> Floats:
        """USD an hour by which the last week differs from the two before; 0 if unknown."""
        whole = self._count.reshape(-1, WEEKS, WEEK).min(axis=2) == HOURS_IN_DAY
        weeks = self._days.sum(axis=2).reshape(-1, WEEKS, WEEK).sum(axis=2)
        off = np.abs(weeks[:, -1:] - weeks[:, -3:-1])
        off = np.where(whole[:, -3], off.min(axis=1), off[:, 1])
        return np.where(whole[:, -1] & whole[:, -2], off, 0.0) / (WEEK * HOURS_IN_DAY)

    def _noise(self, hours: float) -> Floats:
        """Random error of a sum of hours: its own, and that of the known hours."""
        number = np.maximum(self._count.sum(axis=1), 1)
        mean = self._days.sum(axis=(1, 2)) / number
        around_mean = np.square(np.where(self._known, self._days - mean[:, None, None], 0.0)).sum(axis=(1, 2))
        off = np.square(self._rest - self._usual * self._known).sum(axis=(1, 2)) * np.square(self._unseen)
        spread = np.sqrt(np.where(number <= 2 * HOURS_IN_DAY, 0.5 * around_mean, off) / number)
        found: Floats = 1.28 * spread * np.sqrt(hours + hours * hours / number)
        return found

    def _misses(self, whole: int, part: int) -> tuple[Floats, NDArray[np.bool_]]:
        """By earlier day: USD of the stretch that followed, minus the model's prediction."""
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


def _carried(values: Floats, has: NDArray[np.bool_], keeps: float) -> tuple[Floats, Floats]:
    """By day: the weighted mean up to it, restarted after a jump; and the size of recent jumps."""
    carried, jumped = np.zeros_like(values), np.zeros_like(values)
    usd, number = np.zeros(len(values)), np.zeros(len(values))
    usual_step, jump = np.zeros(len(values)), np.zeros(len(values))
    for day in range(values.shape[1]):
        now, known = values[:, day], has[:, day]
        before = usd / np.maximum(number, TINY)
        step = np.abs(now - before)
        jumps = known & (number > 1) & (step > JUMP * usual_step) & (step > LEAST_JUMP * before)
        afresh = jumps | (number == 0)
        usual_step = np.where(known & ~afresh, 0.8 * usual_step + 0.2 * step, usual_step)
        jump = np.where(jumps, step, jump * 0.7)
        usd = np.where(known, np.where(afresh, now, usd * keeps + now), usd)
        number = np.where(known, np.where(afresh, 1.0, number * keeps + 1.0), number)
        carried[:, day], jumped[:, day] = usd / np.maximum(number, TINY), jump
    return carried, jumped


def _beyond_chance(off: Floats, values: Floats, has: NDArray[np.bool_], doubt: float) -> Floats:
    """Share of `off` to keep, 0 to 1. Chance is measured from day to day, which a change of level hardly affects."""
    both = has[:, 1:] & has[:, :-1]
    steps = np.abs(np.diff(values, axis=1)) * both
    spread = 0.886 * steps.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    square = np.square(off)
    found = square / (square + doubt * np.square(spread)[:, None] + TINY)
    return np.where(both.sum(axis=1)[:, None] >= 6, found, 1.0)


def _drawn(usd: Floats, number: Floats, to: Floats, by: float | Floats) -> Floats:
    found: Floats = (usd + by * to) / (number + by)
    return found


def _quantile(values: Floats, share: float) -> Floats:
    """Quantile of each row over its known values; 0 if there are none."""
    ordered = np.sort(values, axis=1)
    number = (~np.isnan(values)).sum(axis=1)
    place = np.clip(share * (number + 1) - 1, 0, np.maximum(number - 1, 0))
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(number - 1, 0))
    rows = np.arange(len(values))
    low, high = ordered[rows, lower], ordered[rows, upper]
    return np.where(number > 0, np.nan_to_num(low + (high - low) * (place - lower)), 0.0)
