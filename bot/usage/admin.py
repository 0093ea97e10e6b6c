"""The admin usage and cost reports: legacy since October 2026, supported, about five minutes behind.

Source: platform.claude.com, Usage and Cost API (August and September 2026). Buckets with results, oldest first; the
default workspace is null; money is a decimal string in cents.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from bot.clock import DAY, HOUR, Clock
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.usage.answers import CostResult, ResultsBucket, UsageResult, belongs, parsed, usd_from_cents
from bot.usage.names import UNKNOWN_WORKSPACE, Directory
from bot.usage.odd_fields import OddFields
from bot.usage.paging import all_pages
from bot.usage.source import (
    DEFAULT_WORKSPACE,
    BilledReading,
    BilledRow,
    OddUsage,
    Read,
    SourceName,
    UsageReading,
    UsageRow,
    Width,
)
from bot.usage.transport import BadRequestError, Transport

log = logging.getLogger(__name__)

USAGE_PATH = "/v1/organizations/usage_report/messages"
COST_PATH = "/v1/organizations/cost_report"

SPEED_BETA = "fast-mode-2026-02-01"
"""Without it the report neither groups by speed nor accepts the word."""

BUCKETS_PER_PAGE: dict[Width, int] = {"1m": 1440, "1h": 168}
DAYS_PER_PAGE = 31

GROUPS = ("model", "api_key_id", "service_tier", "inference_geo", "speed")
WORKSPACE_GROUPS = ("model", "workspace_id", "service_tier", "inference_geo", "speed")
SPEEDLESS_GROUPS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo")
"""Five groups at most: "Cannot specify more than 5 group_by[] dimensions" is the API's answer to a sixth (2026-11).

The workspace follows from the key. Only usage whose key is in no list is asked for again, by workspace.
"""

SPEED_AGAIN = HOUR
"""While the API refuses to group by speed, it is asked again this often."""

UNKNOWN_MODEL = "unknown"
"""A row without a model, which only a server that does not group would send."""


class AdminSource:
    """Implements `UsageSource`."""

    name: SourceName = "admin"

    def __init__(self, transport: Transport, directory: Directory, clock: Clock) -> None:
        self._transport = transport
        self._directory = directory
        self._clock = clock
        self._speed_refused_at: datetime | None = None

    async def usage(self, read: Read) -> UsageReading:
        """Every bucket of the read, at its width."""
        try:
            if self._speed_may_be_asked():
                return await self._with_speed(read)
        except BadRequestError as error:
            # The beta is not open to every organisation, and one refusal is not for good.
            reading = await self._without_speed(read)
            self._speed_refused_at = self._clock()
            log.warning("fast mode cannot be told apart, so its tokens are priced as standard ones: %s", error)
            return reading
        return await self._without_speed(read)

    def _speed_may_be_asked(self) -> bool:
        # A clock that was set back makes the wait negative.
        refused_at = self._speed_refused_at
        return refused_at is None or not timedelta() <= self._clock() - refused_at < SPEED_AGAIN

    async def _with_speed(self, read: Read) -> UsageReading:
        results = await self._results(read, GROUPS, [SPEED_BETA])
        keys = {result.api_key_id for _, result in results.rows if result.api_key_id is not None}
        await self._directory.know(keys, set())
        rows = [
            _row(starts_at, result, result.workspace_id or self._workspace_of(result.api_key_id))
            for starts_at, result in results.rows
        ]
        if any(row.workspace_id == UNKNOWN_WORKSPACE for row in rows):
            by_workspace = await self._results(read, WORKSPACE_GROUPS, [SPEED_BETA])
            whole = [
                _row(starts_at, result, result.workspace_id or DEFAULT_WORKSPACE)
                for starts_at, result in by_workspace.rows
            ]
            await self._directory.know(keys, {row.workspace_id for row in whole} - {DEFAULT_WORKSPACE})
            rows = located(rows, whole)
        return UsageReading(read, tuple(rows), None, results.odd)

    async def _without_speed(self, read: Read) -> UsageReading:
        results = await self._results(read, SPEEDLESS_GROUPS)
        rows = [
            _row(starts_at, result, result.workspace_id or DEFAULT_WORKSPACE, speed=UNKNOWN_TERM)
            for starts_at, result in results.rows
        ]
        keys = {row.api_key_id for row in rows if row.api_key_id is not None}
        await self._directory.know(keys, {row.workspace_id for row in rows} - {DEFAULT_WORKSPACE})
        return UsageReading(read, tuple(rows), None, results.odd)

    def _workspace_of(self, key: str | None) -> str:
        return UNKNOWN_WORKSPACE if key is None else self._directory.workspace_of_key(key)

    async def _results(self, read: Read, groups: Sequence[str], betas: Sequence[str] = ()) -> "_Results":
        query = [
            ("starting_at", rfc3339(read.starts_at)),
            ("ending_at", rfc3339(read.ends_at)),
            ("bucket_width", read.width),
            ("limit", str(BUCKETS_PER_PAGE[read.width])),
            *(("group_by[]", group) for group in groups),
        ]
        pages = await all_pages(self._transport, USAGE_PATH, query, betas)
        odd = OddFields(USAGE_PATH)
        buckets = [parsed(ResultsBucket, value, USAGE_PATH) for page in pages for value in page.data]
        rows = [
            (bucket.starting_at, result)
            for bucket in buckets
            if belongs(bucket, read, USAGE_PATH)
            for value in bucket.results
            if (result := odd.usage(UsageResult, value, bucket.starting_at)) is not None
        ]
        return _Results(rows, odd.found())

    async def billed(self, first: date, last: date) -> BilledReading:
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
        buckets = [parsed(ResultsBucket, value, COST_PATH) for page in pages for value in page.data]
        odd = OddFields(COST_PATH)
        rows = tuple(
            BilledRow(
                day=bucket.starting_at.date(),
                workspace_id=result.workspace_id or DEFAULT_WORKSPACE,
                cost_type=result.cost_type or "tokens",
                usd=usd_from_cents(result.amount, result.currency, COST_PATH),
                list_usd=None,
                model=result.model,
            )
            for bucket in buckets
            for value in bucket.results
            if (result := odd.cost(CostResult, value, bucket.starting_at.date())) is not None
        )
        return BilledReading(rows, odd.days(), odd.sentence())


def rfc3339(moment: datetime) -> str:
    """`2026-11-23T14:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class _Results:
    """The results of one range with the starts of their buckets, and what of them could not be read."""

    rows: Sequence[tuple[datetime, UsageResult]]
    odd: OddUsage


def located(rows: Sequence[UsageRow], whole: Sequence[UsageRow]) -> list[UsageRow]:
    """`rows`, by key, with the workspaces of those whose workspace is unknown, as far as `whole`, by workspace, says.

    What `whole` has of a bucket, model and terms beyond the rows of known workspaces is theirs. Where that is in
    one workspace, they are of it; rows of one key, or of none, may be in several. What stays open, such as two keys in
    two workspaces or usage that came in between the two answers, keeps its workspace unknown: no token is lost or made.
    """
    beyond: dict[_Place, dict[str, TokenCounts]] = {}
    for row in whole:
        counts = beyond.setdefault(_place(row), {})
        counts[row.workspace_id] = counts.get(row.workspace_id, TokenCounts()) + row.counts
    unknown: dict[_Place, list[UsageRow]] = {}
    known: list[UsageRow] = []
    for row in rows:
        if row.workspace_id == UNKNOWN_WORKSPACE:
            unknown.setdefault(_place(row), []).append(row)
            continue
        known.append(row)
        counts = beyond.setdefault(_place(row), {})
        counts[row.workspace_id] = counts.get(row.workspace_id, TokenCounts()) - row.counts
    for place, open_rows in unknown.items():
        rest = {workspace: counts for workspace, counts in beyond.get(place, {}).items() if any(astuple(counts))}
        known += _shared_out(open_rows, rest)
    return known


_Place = tuple[datetime, str, Terms]


def _place(row: UsageRow) -> _Place:
    return row.starts_at, row.model, row.terms


def _shared_out(rows: Sequence[UsageRow], rest: Mapping[str, TokenCounts]) -> list[UsageRow]:
    if len(rest) == 1:
        (workspace,) = rest
        return [replace(row, workspace_id=workspace) for row in rows]
    whole = sum(rest.values(), TokenCounts()) == rows[0].counts and min(map(min, map(astuple, rest.values()))) >= 0
    if len(rows) == 1 and rest and whole:
        return [replace(rows[0], workspace_id=workspace, counts=counts) for workspace, counts in rest.items()]
    return list(rows)


def _row(starts_at: datetime, result: UsageResult, workspace_id: str, speed: str | None = None) -> UsageRow:
    return UsageRow(
        starts_at=starts_at,
        model=result.model or UNKNOWN_MODEL,
        workspace_id=workspace_id,
        api_key_id=result.api_key_id,
        terms=Terms(result.service_tier, result.inference_geo, speed or result.speed),
        counts=result.tokens(),
    )
