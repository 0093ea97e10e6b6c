"""The Usage and Cost Analytics API: beta, recommended since 2026-10-29.

Source: Anthropic's SDK 2.12.0 (types) and the documentation of October 2026. Flat rows, largest first unless asked
otherwise; `limit` counts rows; at most five groups; the default workspace has an id of its own; `data_refreshed_at`
tells the age; money is a decimal string in cents.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

from bot.clock import DAY
from bot.pricing.tokens import Terms
from bot.usage.admin import UNKNOWN_MODEL, rfc3339
from bot.usage.answers import AnalyticsCostRow, AnalyticsRow, AnalyticsUsageRow, Page, belongs, parsed, usd_from_cents
from bot.usage.names import UNKNOWN_WORKSPACE, Directory
from bot.usage.odd_fields import OddFields
from bot.usage.paging import all_pages
from bot.usage.source import BilledReading, BilledRow, Read, SourceName, UsageReading, UsageRow
from bot.usage.transport import Query, Transport

USAGE_PATH = "/v1/organizations/analytics/usage"
COST_PATH = "/v1/organizations/analytics/cost"

BETA = "analytics-usage-cost-2026-08-24"

ROWS_PER_PAGE = 1000

GROUPS = ("model", "api_key_id", "service_tier", "inference_geo", "speed")
KEYLESS_GROUPS = ("model", "workspace_id", "service_tier", "inference_geo", "speed")
"""Five groups at most: the workspace comes from the key, and traffic without a key is asked for apart."""


class AnalyticsSource:
    """Implements `UsageSource`."""

    name: SourceName = "analytics"

    def __init__(self, transport: Transport, directory: Directory) -> None:
        self._transport = transport
        self._directory = directory

    async def usage(self, read: Read) -> UsageReading:
        """Every row of the read, at its width."""
        pages = await self._usage_pages(read, [("group_by[]", group) for group in GROUPS])
        odd = OddFields(USAGE_PATH)
        rows = _rows(pages, read, odd)
        with_key = [row for row in rows if row.group.api_key_id is not None]
        keyless = [row for row in rows if row.group.api_key_id is None]
        if keyless:
            apart = [("api_key_ids[]", ""), *(("group_by[]", group) for group in KEYLESS_GROUPS)]
            more = await self._usage_pages(read, apart)
            pages = [*pages, *more]
            answered = _rows(more, read, OddFields(USAGE_PATH))
            if _is_without_key(answered, keyless, with_key):
                keyless = answered
        keys = {row.group.api_key_id for row in with_key if row.group.api_key_id is not None}
        workspaces = {row.group.workspace_id for row in keyless if row.group.workspace_id is not None}
        await self._directory.know(keys, workspaces)
        return UsageReading(
            read,
            tuple(
                [self._row(row, self._directory.workspace_of_key(str(row.group.api_key_id))) for row in with_key]
                + [self._row(row, self._workspace(row.group.workspace_id)) for row in keyless]
            ),
            _refreshed_at(pages),
            odd.found(),
        )

    async def billed(self, first: date, last: date) -> BilledReading:
        """The cost report, day by day; credits are not taken off yet, discounts are."""
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
        pages = await all_pages(self._transport, COST_PATH, query, [BETA])
        odd = OddFields(COST_PATH)
        rows = [
            row
            for page in pages
            for value in page.data
            if (row := odd.cost(AnalyticsCostRow, value, parsed(AnalyticsRow, value, COST_PATH).starting_at.date()))
            is not None
        ]
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

    async def _usage_pages(self, read: Read, groups: Query) -> list[Page]:
        query = [
            ("starting_at", rfc3339(read.starts_at)),
            ("ending_at", rfc3339(read.ends_at)),
            ("time_bucket_width", read.width),
            ("order_by", "time"),
            ("limit", str(ROWS_PER_PAGE)),
            *groups,
        ]
        return await all_pages(self._transport, USAGE_PATH, query, [BETA])

    def _workspace(self, workspace_id: str | None) -> str:
        return UNKNOWN_WORKSPACE if workspace_id is None else self._directory.canonical(workspace_id)

    @staticmethod
    def _row(row: AnalyticsUsageRow, workspace_id: str) -> UsageRow:
        group = row.group
        return UsageRow(
            starts_at=row.starting_at,
            model=group.model or UNKNOWN_MODEL,
            workspace_id=workspace_id,
            api_key_id=group.api_key_id,
            terms=Terms(group.service_tier, group.inference_geo, group.speed),
            counts=row.usage.tokens(),
        )


def _rows(pages: Iterable[Page], read: Read, odd: OddFields) -> list[AnalyticsUsageRow]:
    buckets = [(parsed(AnalyticsRow, value, USAGE_PATH), value) for page in pages for value in page.data]
    return [
        row
        for bucket, value in buckets
        if belongs(bucket, read, USAGE_PATH)
        if (row := odd.usage(AnalyticsUsageRow, value, bucket.starting_at)) is not None
    ]


def _is_without_key(
    answered: Iterable[AnalyticsUsageRow], keyless: Iterable[AnalyticsUsageRow], with_key: Iterable[AnalyticsUsageRow]
) -> bool:
    """Whether the separate answer holds the traffic without a key; some may have come in between the two answers.

    A server that ignored the filter would answer with all traffic, and so double the bill; one that took it for the
    name of a key would answer with none, and so lose it.
    """
    answer, least, rest = _tokens_by_bucket(answered), _tokens_by_bucket(keyless), _tokens_by_bucket(with_key)
    return least <= answer and (not rest or not least + rest <= answer)


def _tokens_by_bucket(rows: Iterable[AnalyticsUsageRow]) -> Counter[tuple[datetime, str | None]]:
    totals: Counter[tuple[datetime, str | None]] = Counter()
    for row in rows:
        counts = row.usage.tokens()
        totals[row.starting_at, row.group.model] += counts.prompt_tokens + counts.output_tokens
    return totals


def _refreshed_at(pages: Sequence[Page]) -> datetime | None:
    moments = [page.data_refreshed_at for page in pages]
    return None if any(moment is None for moment in moments) else min(moment for moment in moments if moment)
