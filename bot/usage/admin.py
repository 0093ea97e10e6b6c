"""The admin usage and cost reports: legacy since October 2026, supported, about five minutes behind.

Source: platform.claude.com, Usage and Cost API (August and September 2026). Buckets with results, oldest first; the
default workspace is null; money is a decimal string in cents.
"""

import logging
from datetime import UTC, date, datetime, time

from bot.clock import DAY
from bot.pricing.tokens import Terms
from bot.usage.answers import CostBucket, Page, UsageBucket, UsageResult, belongs, parsed, usd_from_cents
from bot.usage.names import Directory
from bot.usage.paging import all_pages
from bot.usage.source import DEFAULT_WORKSPACE, BilledRow, Read, SourceName, UsageReading, UsageRow, Width
from bot.usage.transport import BadRequestError, Query, Transport

log = logging.getLogger(__name__)

USAGE_PATH = "/v1/organizations/usage_report/messages"
COST_PATH = "/v1/organizations/cost_report"

SPEED_BETA = "fast-mode-2026-02-01"
"""Without it the report neither groups by speed nor accepts the word."""

BUCKETS_PER_PAGE: dict[Width, int] = {"1m": 1440, "1h": 168}
DAYS_PER_PAGE = 31

GROUPS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo")

UNKNOWN_MODEL = "unknown"
"""A row without a model, which only a server that does not group would send."""


class AdminSource:
    """Implements `UsageSource`."""

    name: SourceName = "admin"

    def __init__(self, transport: Transport, directory: Directory) -> None:
        self._transport = transport
        self._directory = directory
        self._groups_by_speed = True

    async def usage(self, read: Read) -> UsageReading:
        """Every bucket of the read, at its width."""
        query = [
            ("starting_at", rfc3339(read.starts_at)),
            ("ending_at", rfc3339(read.ends_at)),
            ("bucket_width", read.width),
            ("limit", str(BUCKETS_PER_PAGE[read.width])),
            *(("group_by[]", group) for group in GROUPS),
        ]
        pages = await self._pages(query)
        buckets = [parsed(UsageBucket, value, USAGE_PATH) for page in pages for value in page.data]
        rows = [
            _row(bucket.starting_at, result)
            for bucket in buckets
            if belongs(bucket, read, USAGE_PATH)
            for result in bucket.results
        ]
        keys = {row.api_key_id for row in rows if row.api_key_id is not None}
        await self._directory.know(keys, {row.workspace_id for row in rows} - {DEFAULT_WORKSPACE})
        return UsageReading(read, tuple(rows), None)

    async def billed(self, first: date, last: date) -> tuple[BilledRow, ...]:
        """The cost report, day by day."""
        query = [
            ("starting_at", rfc3339(datetime.combine(first, time(), UTC))),
            ("ending_at", rfc3339(datetime.combine(last, time(), UTC) + DAY)),
            ("bucket_width", "1d"),
            ("limit", str(DAYS_PER_PAGE)),
            ("group_by[]", "workspace_id"),
            ("group_by[]", "description"),
        ]
        pages = await all_pages(self._transport, COST_PATH, query)
        buckets = [parsed(CostBucket, value, COST_PATH) for page in pages for value in page.data]
        return tuple(
            BilledRow(
                day=bucket.starting_at.date(),
                workspace_id=result.workspace_id or DEFAULT_WORKSPACE,
                cost_type=result.cost_type or "tokens",
                usd=usd_from_cents(result.amount, result.currency, COST_PATH),
                list_usd=None,
                model=result.model,
            )
            for bucket in buckets
            for result in bucket.results
        )

    async def _pages(self, query: Query) -> list[Page]:
        if not self._groups_by_speed:
            return await all_pages(self._transport, USAGE_PATH, query)
        try:
            return await all_pages(self._transport, USAGE_PATH, [*query, ("group_by[]", "speed")], [SPEED_BETA])
        except BadRequestError:
            pages = await all_pages(self._transport, USAGE_PATH, query)
        # The beta is not open to every organisation; had the query been wrong, this would have been refused as well.
        self._groups_by_speed = False
        log.warning("the usage report does not tell fast mode apart: its tokens are priced as standard ones")
        return pages


def rfc3339(moment: datetime) -> str:
    """`2026-11-23T14:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(starts_at: datetime, result: UsageResult) -> UsageRow:
    return UsageRow(
        starts_at=starts_at,
        model=result.model or UNKNOWN_MODEL,
        workspace_id=result.workspace_id or DEFAULT_WORKSPACE,
        api_key_id=result.api_key_id,
        terms=Terms(result.service_tier, result.inference_geo, result.speed),
        counts=result.tokens(),
    )
