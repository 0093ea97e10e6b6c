"""The Usage and Cost Analytics API: beta, recommended since 2026-10-29.

Source: Anthropic's SDK 2.12.0 (types) and the documentation of October 2026. Flat rows, largest first unless asked
otherwise; `limit` counts rows; at most five groups; the default workspace has an id of its own; `data_refreshed_at`
gives the age; money is a decimal string in cents.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

from bot.clock import DAY
from bot.usage.anthropic.admin import rfc3339, set_workspaces, settled
from bot.usage.anthropic.buckets import AgainError, RowBuckets, asked_apart, ids_in, read_again, seen_with
from bot.usage.anthropic.client import Query, Transport
from bot.usage.anthropic.pages import ReportRows, Values, all_pages, as_stored
from bot.usage.anthropic.responses import AnalyticsCostRow, AnalyticsRow, OddFields, parsed, usd_from_cents
from bot.usage.directory import UNKNOWN_WORKSPACE, Directory
from bot.usage.model import (
    NOTHING_STORED,
    BilledReading,
    BilledRow,
    Read,
    Seen,
    SeenBucket,
    SourceName,
    UsageReading,
    UsageRow,
)

USAGE_PATH = "/v1/organizations/analytics/usage"
COST_PATH = "/v1/organizations/analytics/cost"

BETA = "analytics-usage-cost-2026-08-24"

ROWS_PER_PAGE = 1000

GROUPS = ("model", "api_key_id", "service_tier", "inference_geo", "speed")
KEYLESS_GROUPS = ("model", "workspace_id", "service_tier", "inference_geo", "speed")
"""Five groups at most: the workspace comes from the key, and traffic without a key is requested separately."""


class AnalyticsSource:
    """Implements `UsageSource`."""

    name: SourceName = "analytics"

    def __init__(self, transport: Transport, directory: Directory) -> None:
        self._transport = transport
        self._directory = directory

    async def usage(self, read: Read, stored: Seen = NOTHING_STORED, most_rows: int | None = None) -> UsageReading:
        """Every row of the read, at its width."""
        return await read_again(partial(self._usage, read, most_rows), stored)

    async def _usage(self, read: Read, most_rows: int | None, stored: Seen) -> UsageReading:
        work, directory = self._transport.work, self._directory
        await directory.load()
        generation = directory.generation
        grouped = [("group_by[]", group) for group in GROUPS]
        found = await self._buckets(
            read, grouped, decided_by=str(generation), stored=stored, most_rows=most_rows, wanted=None
        )
        refreshed = found.refreshed_at
        odd = found.odd()
        with_key, keyless = await work(_by_having_a_key, found.rows)
        seen = found.seen
        needed = {start for start, each in keyless.items() if each}
        if asked := asked_apart(found, found.rows.keys() if needed else set()):
            apart = [("api_key_ids[]", ""), *(("group_by[]", group) for group in KEYLESS_GROUPS)]
            more = await self._buckets(read, apart, stored=asked, wanted=asked.keys())
            refreshed = refreshed + more.refreshed_at
            more.odd()
            seen = seen_with(found, more, asked, needed)
            answered = {start: each for start, each in more.rows.items() if start in found.rows}
            obeyed: bool = await work(_is_without_key, answered, keyless, with_key)
            if needed and obeyed:
                keyless = answered
        (keys, _), (_, workspaces) = await work(lambda: (ids_in(with_key), ids_in(keyless)))
        await directory.know(keys, workspaces)
        if found.unchanged and directory.generation != generation:
            raise AgainError
        made = partial(self._with_workspaces, found.rows.keys(), with_key, keyless, seen, str(directory.generation))
        rows, seen = await work(made)
        return UsageReading(read, rows, _oldest(refreshed), odd, frozenset(found.unchanged), seen)

    def _with_workspaces(
        self, starts: Iterable[datetime], with_key: ReportRows, keyless: ReportRows, seen: Seen, decided_by: str
    ) -> tuple[Sequence[UsageRow], dict[datetime, SeenBucket]]:
        """The rows of these buckets in the form of the store, and `seen` as `settled`."""
        directory = self._directory
        set_workspaces(with_key, lambda row: directory.workspace_of_key(str(row.api_key_id)))
        set_workspaces(keyless, lambda row: self._workspace(row.workspace_id))
        rows = {start: [*with_key.get(start, ()), *keyless.get(start, ())] for start in starts}
        return as_stored(rows), settled(seen, rows, directory, decided_by)

    async def billed(self, first: date, last: date) -> BilledReading:
        """The cost report, day by day; after discounts, before credits."""
        query = [
            ("starting_at", rfc3339(datetime.combine(first, time(), UTC))),
            ("ending_at", rfc3339(datetime.combine(last, time(), UTC) + DAY)),
            ("time_bucket_width", "1d"),
            ("order_by", "time"),
            ("limit", str(ROWS_PER_PAGE)),
            ("group_by[]", "workspace_id"),
            ("group_by[]", "model"),
            ("group_by[]", "cost_type"),
        ]
        answer = await all_pages(self._transport, COST_PATH, query, [BETA], lambda: Values(COST_PATH))
        rows, odd = await self._transport.work(_cost_rows, answer.values)
        await self._directory.know(set(), {row.group.workspace_id for row in rows if row.group.workspace_id})
        billed = tuple(
            BilledRow(
                day=row.starting_at.date(),
                workspace_id=self._workspace(row.group.workspace_id),
                cost_type=row.group.cost_type or "tokens",
                usd=usd_from_cents(row.cost.amount, row.cost.currency, COST_PATH),
                list_usd=None
                if row.cost.list_amount is None
                else usd_from_cents(row.cost.list_amount, row.cost.currency, COST_PATH),
                model=row.group.model,
            )
            for row in rows
        )
        return BilledReading(billed, odd.days(), odd.sentence())

    async def _buckets(
        self,
        read: Read,
        groups: Query,
        *,
        decided_by: str = "",
        stored: Seen = NOTHING_STORED,
        most_rows: int | None = None,
        wanted: Container[datetime] | None,
    ) -> RowBuckets:
        def collector() -> RowBuckets:
            return RowBuckets(
                read, USAGE_PATH, decided_by=decided_by, stored=stored, wanted=wanted, most_rows=most_rows
            )

        query = [
            ("starting_at", rfc3339(read.starts_at)),
            ("ending_at", rfc3339(read.ends_at)),
            ("time_bucket_width", read.width),
            ("order_by", "time"),
            ("limit", str(ROWS_PER_PAGE)),
            *groups,
        ]
        return await all_pages(self._transport, USAGE_PATH, query, [BETA], collector)

    def _workspace(self, workspace_id: str | None) -> str:
        return UNKNOWN_WORKSPACE if workspace_id is None else self._directory.canonical(workspace_id)


def _cost_rows(values: Sequence[Any]) -> tuple[list[AnalyticsCostRow], OddFields]:
    odd = OddFields(COST_PATH)
    rows = [
        row
        for value in values
        if (row := odd.cost(AnalyticsCostRow, value, parsed(AnalyticsRow, value, COST_PATH).starting_at.date()))
        is not None
    ]
    return rows, odd


def _by_having_a_key(rows: ReportRows) -> tuple[ReportRows, ReportRows]:
    """The rows with a key, and those without."""
    with_key = {start: [row for row in each if row.api_key_id is not None] for start, each in rows.items()}
    keyless = {start: [row for row in each if row.api_key_id is None] for start, each in rows.items()}
    return with_key, keyless


def _is_without_key(answered: ReportRows, keyless: ReportRows, with_key: ReportRows) -> bool:
    """Whether the separate response holds exactly the traffic without a key; some may have arrived between the two
    responses.

    A server that ignored the filter would answer with all traffic and double the bill; one that took it for the name of
    a key would answer with none and lose it.
    """
    answer, least, rest = _tokens_by_bucket(answered), _tokens_by_bucket(keyless), _tokens_by_bucket(with_key)
    return least <= answer and (not rest or not least + rest <= answer)


def _tokens_by_bucket(rows: ReportRows) -> Counter[tuple[datetime, str | None]]:
    totals: Counter[tuple[datetime, str | None]] = Counter()
    for starts_at, each in rows.items():
        for row in each:
            totals[starts_at, row.model] += row.counts.prompt_tokens + row.counts.output_tokens
    return totals


def _oldest(moments: Sequence[datetime | None]) -> datetime | None:
    return None if any(moment is None for moment in moments) else min(moment for moment in moments if moment)
