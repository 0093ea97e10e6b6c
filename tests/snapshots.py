"""Snapshots made of rows, without a database."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from operator import attrgetter

from bot.budgets.snapshot import Snapshot
from bot.budgets.usage_index import UsageIndex
from bot.budgets.usage_table import Day, Table, TableBuilder, UsagePrices
from bot.clock import MINUTE, floor_hour
from bot.pricing.card import RateCard, load_rate_card
from bot.usage.model import BilledRow, DataState, UsageRow
from bot.usage.store_reads import NO_NAMES, Head, Version


def snapshot_of(
    rows: Sequence[UsageRow],
    data: DataState,
    bills: Iterable[BilledRow] = (),
    known: Collection[datetime] = (),
    card: RateCard | None = None,
    *,
    wide: bool = False,
) -> Snapshot:
    """Hours of the rows and of `known` are held, none by the minute.

    `wide`: with integers of any size.
    """
    card = load_rate_card() if card is None else card
    index = UsageIndex(card)
    prices = UsagePrices(card, index, wide=wide)
    builder = TableBuilder(index, prices)
    days: dict[date, Day] = {}
    tables: dict[datetime, Table] = {}
    empty = builder.table([], date.min)
    by_hour: dict[datetime, list[UsageRow]] = {hour: [] for hour in known}
    for row in rows:
        by_hour.setdefault(floor_hour(row.starts_at), []).append(row)
    for hour, mine in sorted(by_hour.items()):
        minutes = [(row.starts_at - hour) // MINUTE for row in mine]
        new = builder.table([_values(row) for row in mine], hour.date(), minutes)
        day = days.get(hour.date()) or builder.empty_day(by_hour=True)
        day, tables[hour] = builder.with_hour(hour.date(), day, hour.hour, empty, empty, new)
        days[hour.date()] = replace(day, known=day.known | 1 << hour.hour)
    by_day: dict[date, list[BilledRow]] = {}
    for bill in sorted(bills, key=attrgetter("day")):
        by_day.setdefault(bill.day, []).append(bill)
    return Snapshot(
        head=Head(data, Version(1, 1, 0), None),
        names=NO_NAMES,
        card=card,
        index=index,
        prices=prices,
        days=days,
        tables=tables,
        by_minute=frozenset(),
        bills=by_day,
        load=lambda _, by_hour: builder.empty_day(by_hour=by_hour),
        load_days=lambda _, __: None,
        load_rows=lambda _: empty,
        load_minutes=lambda _: None,
        callers=len(index.callers),
    )


def _values(row: UsageRow) -> tuple[object, ...]:
    return row.model, row.workspace_id, row.api_key_id, *row.terms, *row.counts
