"""Rows of Anthropic's answers with a field that cannot be read: each costs at most itself, and is counted and named.

New fields and values appear without notice. What can be read of such a row counts; its hour is marked, so that sums
over it are "at least". An answer in which no row at all has its main counts is another matter: it is refused.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from pydantic import ValidationError

from bot.clock import floor_hour
from bot.usage.anthropic.responses import Answer, Counts, Shape
from bot.usage.model import MalformedError, OddUsage, Tally

MAIN_COUNTS = ("uncached_input_tokens", "output_tokens")
FEW_ROWS = 10
"""Of fewer rows than these all may be odd by chance."""

MOST_NAMED = 5


class OddFields:
    """Collects what could not be read of one bucket or one answer. `path`: the endpoint, for sentences."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._hours: Counter[datetime] = Counter()
        self._days: set[date] = set()
        self._fields: dict[str, None] = {}
        self._rows = 0
        self._odd = 0
        self._without_main_counts = 0

    def usage(self, shape: type[Shape], value: Any) -> Shape | None:
        """A row of usage; counts that cannot be read are 0. None for what is no row."""
        self._rows += 1
        row, places = _read(shape, value)
        if row is None or any(place[-1] in MAIN_COUNTS for place in places):
            self._without_main_counts += 1
        new = [] if row is None else _new_cache_times(row)
        if places or new:
            self._odd += 1
            self._name([*(".".join(place) for place in places), *new])
        return row

    def usual(self, rows: int) -> None:
        """So many further rows lack nothing."""
        self._rows += rows

    def tally(self) -> Tally:
        """Of all rows so far."""
        return Tally(self._rows, self._odd, self._without_main_counts, tuple(self._fields))

    def add(self, tally: Tally, starts_at: datetime) -> None:
        """The rows of a bucket that begins at `starts_at`."""
        self._rows += tally.rows
        self._odd += tally.odd
        self._without_main_counts += tally.without_main_counts
        if tally.odd:
            self._hours[floor_hour(starts_at)] += tally.odd
        self._name(tally.fields)

    def cost(self, shape: type[Shape], value: Any, day: date) -> Shape | None:
        """A row of the cost report of `day`, or None; a sum that lacks a row is no bill of that day."""
        row, places = _read(shape, value)
        if not places:
            return row
        self._days.add(day)
        self._name([".".join(place) for place in places])
        return None

    def found(self) -> OddUsage:
        """The marked hours. Raises `MalformedError` where no row of many has its main counts."""
        if self._rows >= FEW_ROWS and self._without_main_counts == self._rows:
            raise MalformedError(
                f"Anthropic's answer from {self._path} does not have the documented shape ({self._named()}); "
                "nothing was counted."
            )
        if not self._hours:
            return OddUsage()
        rows = sum(self._hours.values())
        return OddUsage(
            dict(self._hours),
            f"{rows:,} row{'' if rows == 1 else 's'} of {self._path} cannot be read in full ({self._named()}): "
            "sums with them are at least what is shown. Update this bot.",
        )

    def days(self) -> frozenset[date]:
        """Days of the cost report that lack a row."""
        return frozenset(self._days)

    def sentence(self) -> str | None:
        """What is wrong with the cost report, None where nothing is."""
        if not self._days:
            return None
        days = ", ".join(day.isoformat() for day in sorted(self._days)[:MOST_NAMED])
        return (
            f"Anthropic's cost report has rows that cannot be read ({self._named()}) on {days}: these days are "
            "computed from usage. Update this bot."
        )

    def _name(self, fields: Sequence[str]) -> None:
        self._fields.update(dict.fromkeys(fields))

    def _named(self) -> str:
        names = list(self._fields)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return ", ".join(names[:MOST_NAMED]) + more


def _read(shape: type[Shape], value: Any) -> tuple[Shape | None, list[tuple[str, ...]]]:
    """The row, and the places of its fields that cannot be read; they are left out. None where that does not help."""
    try:
        return shape.model_validate(value), []
    except ValidationError as error:
        places = [tuple(str(part) for part in each["loc"]) for each in error.errors(include_url=False)]
    if not isinstance(value, dict) or any(not place for place in places):
        return None, [("row",)]
    mended = copy.deepcopy(value)
    for place in places:
        _leave_out(mended, place)
    try:
        return shape.model_validate(_with_zeros(shape, mended)), places
    except ValidationError:
        return None, places


def _leave_out(value: Any, place: Sequence[str]) -> None:
    *parents, last = place
    for part in parents:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.pop(last, None)


def _with_zeros(shape: type[Answer], value: dict[str, Any]) -> dict[str, Any]:
    """`value` with 0 for every required count that it lacks, also in its parts."""
    filled = dict(value)
    for name, field in shape.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Answer):
            inner = filled.get(name)
            filled[name] = _with_zeros(part, inner if isinstance(inner, dict) else {})
        elif name not in filled and field.is_required() and part is int:
            filled[name] = 0
    return filled


def _new_cache_times(row: Answer) -> list[str]:
    counts = row if isinstance(row, Counts) else getattr(row, "usage", None)
    return (
        [f"cache_creation.{name}" for name in counts.cache_creation.new_times()] if isinstance(counts, Counts) else []
    )
