"""Spend by product, group, agent, actor and organization, from the Usage and Cost Analytics API.

Source: Anthropic's SDK 2.14.0 (types). Without `time_bucket_width` each row is a sum over the whole range, whose ends
are rounded down to the hour; `ending_at` is then by default now, or 31 days after the beginning. A range has 31 days at
most and begins at most 365 days ago, and not before 2026.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Generic, TypeVar

from bot.clock import DAY, floor_day, floor_hour
from bot.language import tr_lazy
from bot.usage.anthropic.admin import rfc3339
from bot.usage.anthropic.analytics import BETA, COST_PATH, USAGE_PATH
from bot.usage.anthropic.client import Transport
from bot.usage.anthropic.pages import PageParts, all_pages, value_in
from bot.usage.anthropic.responses import AnalyticsCost, Answer, Bucket, Counts, parsed, usd_from_cents
from bot.usage.attributed_days import AttributedDay, AttributedReading
from bot.usage.model import (
    Attributed,
    AttributedBy,
    AttributedRow,
    MalformedError,
    NotAttributedError,
    SourceError,
    Who,
)

ROWS_PER_PAGE = 1000
LONGEST = 31 * DAY
KEPT = 365 * DAY
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)

DIMENSIONS: Mapping[AttributedBy, str] = {
    AttributedBy.PRODUCT: "product",
    AttributedBy.GROUP: "rbac_group_id",
    AttributedBy.AGENT: "agent_id",
    AttributedBy.ACTOR: "actor",
    AttributedBy.ORGANIZATION: "organization_id",
}

ZERO = Decimal(0)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Cost:
    who: Who
    usd: Decimal
    list_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class _Tokens:
    who: Who
    tokens_in: int
    tokens_out: int


class _CostRow(Answer):
    group: dict[str, Any]
    cost: AnalyticsCost


class _UsageRow(Answer):
    group: dict[str, Any]
    usage: Counts


class _DayRow(Bucket):
    group: dict[str, Any]
    cost: AnalyticsCost


class Rows(Generic[Row]):
    """Implements `Collector`: every row as `read` makes it; an unreadable row is only counted."""

    def __init__(self, path: str, read: Callable[[Any], Row]) -> None:
        self._path = path
        self._read = read
        self.rows: list[Row] = []
        self.odd = 0
        self.refreshed_at: list[datetime | None] = []

        self.odd_days: set[date | None] = set()
        """Days of unreadable rows; None if even the day is unreadable."""

    def take(self, page: PageParts) -> None:
        """Read all rows of a page."""
        self.refreshed_at.append(page.refreshed_at)
        for entry in page.entries:
            value = None
            try:
                value = value_in(entry, self._path)
                self.rows.append(self._read(value))
            except MalformedError:
                self.odd += 1
                self.odd_days.add(_day_in(value))

    def end(self) -> None:
        """Raises `MalformedError` if none of several rows can be read: that is another kind of response, and not
        zero.
        """
        if self.odd and not self.rows:
            raise MalformedError(
                tr_lazy(
                    "Anthropic's answer from {path} does not have the documented shape; nothing was counted.",
                    path=self._path,
                )
            )


async def read_attribution(
    transport: Transport, by: AttributedBy, starts_at: datetime, ends_at: datetime, now: datetime
) -> Attributed:
    """Spend of UTC days up to the last whole hour.

    Raises `SourceError`, and `NotAttributedError` for a time that cannot be requested.
    """
    begins = max(starts_at, first_kept(now))
    until = min(ends_at, floor_hour(now))
    if ends_at <= begins:
        raise NotAttributedError(
            tr_lazy(
                "Anthropic keeps its attribution for 365 days, and has none from before {day}: ask about a later time.",
                day=NOT_BEFORE.date(),
            )
        )
    if until <= begins:
        raise NotAttributedError(
            tr_lazy("Anthropic attributes spend by whole hours, and none has ended yet: ask in an hour.")
        )
    dimension = DIMENSIONS[by]
    asked = [("group_by[]", dimension)]
    costs = await _read(transport, COST_PATH, (begins, until), now, asked, _cost_reader(dimension))
    tokens = await _tokens(transport, (begins, until), now, dimension)
    whole = costs
    if by is AttributedBy.GROUP:
        # Somebody in two groups counts in both.
        whole = await _read(transport, COST_PATH, (begins, until), now, [], _cost_reader(dimension))
    lists = [row.list_usd for row in whole.rows if row.list_usd is not None]
    refreshed = [moment for moment in costs.refreshed_at if moment is not None]
    return Attributed(
        by=by,
        origin="analytics",
        starts_at=begins,
        ends_at=until,
        usd=sum((row.usd for row in whole.rows), ZERO),
        list_usd=sum(lists, ZERO) if len(lists) == len(whole.rows) else None,
        rows=_summed(costs.rows, None if tokens is None else tokens.rows),
        refreshed_at=min(refreshed) if len(refreshed) == len(costs.refreshed_at) else None,
        odd=costs.odd,
    )


async def read_attributed_days(transport: Transport, by: AttributedBy, first: date, now: datetime) -> AttributedReading:
    """Spend of each value of a dimension on every UTC day from `first` up to today. Raises `SourceError`."""
    begins, until = max(_midnight(first), first_kept(now)), floor_day(now) + DAY
    dimension = DIMENSIONS[by]
    rows: list[AttributedDay] = []
    odd: set[date | None] = set()
    refreshed: list[datetime | None] = []
    for starts_at, ends_at in ranges(begins, until):
        query = [
            ("starting_at", rfc3339(starts_at)),
            ("ending_at", rfc3339(ends_at)),
            ("time_bucket_width", "1d"),
            ("order_by", "time"),
            ("limit", str(ROWS_PER_PAGE)),
            ("group_by[]", dimension),
        ]
        read = _day_reader(dimension, starts_at, ends_at)
        part = await all_pages(transport, COST_PATH, query, [BETA], lambda: Rows(COST_PATH, read))  # noqa: B023
        rows += part.rows
        odd |= part.odd_days
        refreshed += part.refreshed_at
    last = (until - DAY).date()
    days = [begins.date() + index * DAY for index in range((last - begins.date()).days + 1)]
    summed = _days_of(rows)
    return AttributedReading(
        by=by,
        first=begins.date(),
        last=last,
        rows=summed,
        refreshed_at=_complete_to([row.day for row in summed], refreshed, begins, now),
        odd_days=frozenset(days if None in odd else (day for day in days if day in odd)),
    )


def _complete_to(
    days: Sequence[date], refreshed: Sequence[datetime | None], begins: datetime, now: datetime
) -> datetime:
    """How far the data is complete; without Anthropic's own word, up to the start of the newest day with spend."""
    said = [moment for moment in refreshed if moment is not None]
    if said and len(said) == len(refreshed):
        return min(*said, now)
    return max([_midnight(day) for day in days] or [begins])


def _days_of(rows: Iterable[AttributedDay]) -> tuple[AttributedDay, ...]:
    """Rows merged by day and id."""
    found: dict[tuple[date, str | None], AttributedDay] = {}
    for row in rows:
        before = found.get((row.day, row.who.id))
        if before is not None:
            row = AttributedDay(row.day, _named(before.who, row.who), before.usd + row.usd)
        found[row.day, row.who.id] = row
    return tuple(found.values())


def _day_reader(dimension: str, starts_at: datetime, ends_at: datetime) -> Callable[[Any], AttributedDay]:
    def read(value: Any) -> AttributedDay:
        row = parsed(_DayRow, value, COST_PATH)
        begins = row.starting_at.astimezone(UTC)
        if not starts_at <= begins < ends_at or floor_day(begins) != begins or row.ending_at - begins > DAY:
            raise MalformedError(
                tr_lazy("Anthropic's answer from {path} is not by the day; nothing was counted.", path=COST_PATH)
            )
        usd = usd_from_cents(row.cost.amount, row.cost.currency, COST_PATH)
        return AttributedDay(begins.date(), who_in(row.group, dimension), usd)

    return read


def _day_in(value: Any) -> date | None:
    try:
        return datetime.fromisoformat(value["starting_at"]).astimezone(UTC).date()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def first_kept(now: datetime) -> datetime:
    """The first whole UTC day that the API has."""
    oldest = floor_day(now - KEPT)
    return max(NOT_BEFORE, oldest if oldest == now - KEPT else oldest + DAY)


def ranges(starts_at: datetime, ends_at: datetime) -> list[tuple[datetime, datetime]]:
    """The stretch split into ranges of one request each."""
    found = []
    while starts_at < ends_at:
        found.append((starts_at, min(starts_at + LONGEST, ends_at)))
        starts_at += LONGEST
    return found


def who_in(group: Mapping[str, Any], dimension: str) -> Who:
    """Whom a row is about. Raises `MalformedError` if the row has no known form."""
    value = group.get(dimension)
    if value is None:
        return Who(None)
    if isinstance(value, str):
        name = group.get(f"{dimension.removesuffix('_id')}_name")
        return Who(value, name if isinstance(name, str) and name != value else None)
    if isinstance(value, dict):
        return actor_in(value)
    raise MalformedError(
        tr_lazy("Anthropic's answer has a {dimension} that cannot be read; nothing was counted.", dimension=dimension)
    )


def actor_in(actor: Mapping[str, Any]) -> Who:
    """A user, a service account, a key or a federated identity; new kinds may appear."""
    texts = {name: value for name, value in actor.items() if isinstance(value, str) and value.strip()}
    own = [texts[name] for name in ("user_id", "service_account_id", "api_key_id") if name in texts]
    others = [value for name, value in texts.items() if name.endswith("_id")]
    name = next(
        (texts[key] for key in ("name", "email_address", "email", "api_key_name", "subject") if key in texts), None
    )
    id_ = next(iter([*own, *others]), None)
    # An actor without an id is identified by all its fields.
    return Who(json.dumps(actor, sort_keys=True) if id_ is None else id_, name)


async def _tokens(
    transport: Transport, stretch: tuple[datetime, datetime], now: datetime, dimension: str
) -> Rows[_Tokens] | None:
    """Tokens; None if the usage report cannot be read, since money alone is an answer too."""
    try:
        found = await _read(transport, USAGE_PATH, stretch, now, [("group_by[]", dimension)], _tokens_reader(dimension))
    except SourceError:
        return None
    return None if found.odd else found


async def _read(
    transport: Transport,
    path: str,
    stretch: tuple[datetime, datetime],
    now: datetime,
    more: Sequence[tuple[str, str]],
    read: Callable[[Any], Row],
) -> Rows[Row]:
    whole = Rows(path, read)
    for begins, ends in ranges(*stretch):
        # Omit an end in the future, which is not documented.
        ending = [] if ends == floor_hour(now) else [("ending_at", rfc3339(ends))]
        query = [("starting_at", rfc3339(begins)), *ending, ("limit", str(ROWS_PER_PAGE)), *more]
        part = await all_pages(transport, path, query, [BETA], lambda: Rows(path, read))
        whole.rows += part.rows
        whole.odd += part.odd
        whole.refreshed_at += part.refreshed_at
    return whole


def _cost_reader(dimension: str) -> Callable[[Any], _Cost]:
    def read(value: Any) -> _Cost:
        row = parsed(_CostRow, value, COST_PATH)
        amounts = [row.cost.amount, row.cost.list_amount]
        usd, list_usd = (
            None if cents is None else usd_from_cents(cents, row.cost.currency, COST_PATH) for cents in amounts
        )
        assert usd is not None
        return _Cost(who_in(row.group, dimension), usd, list_usd)

    return read


def _tokens_reader(dimension: str) -> Callable[[Any], _Tokens]:
    def read(value: Any) -> _Tokens:
        row = parsed(_UsageRow, value, USAGE_PATH)
        counts = row.usage.tokens()
        return _Tokens(who_in(row.group, dimension), counts.prompt_tokens, counts.output_tokens)

    return read


def _summed(costs: Iterable[_Cost], tokens: Iterable[_Tokens] | None) -> tuple[AttributedRow, ...]:
    """One row for each id over all ranges; tokens without cost have a row too."""
    names: dict[str | None, Who] = {}
    usd: dict[str | None, Decimal] = {}
    counts: dict[str | None, tuple[int, int]] = {}
    for cost in costs:
        names[cost.who.id] = _named(names.get(cost.who.id), cost.who)
        usd[cost.who.id] = usd.get(cost.who.id, ZERO) + cost.usd
    for row in tokens or ():
        names[row.who.id] = _named(names.get(row.who.id), row.who)
        tokens_in, tokens_out = counts.get(row.who.id, (0, 0))
        counts[row.who.id] = tokens_in + row.tokens_in, tokens_out + row.tokens_out
    unknown = None if tokens is None else 0
    rows = [AttributedRow(who, usd.get(id_, ZERO), *counts.get(id_, (unknown, unknown))) for id_, who in names.items()]
    return tuple(sorted(rows, key=lambda row: (-row.usd, str(row.who.id))))


def _named(before: Who | None, who: Who) -> Who:
    return before if before is not None and who.name is None else who
