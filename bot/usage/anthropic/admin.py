"""The admin usage and cost reports: legacy since October 2026, supported, about five minutes behind.

Source: platform.claude.com, Usage and Cost API (August and September 2026). Buckets with results, oldest first; the
default workspace is null; money is a decimal string in cents.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from bot.clock import DAY, HOUR, Clock
from bot.pricing.tokens import UNKNOWN_TERM, Terms, TokenCounts
from bot.usage.anthropic.buckets import AgainError, ResultBuckets, asked_apart, ids_in, read_again, seen_with
from bot.usage.anthropic.client import BadRequestError, TooManyBytesError, Transport
from bot.usage.anthropic.pages import ReportRow, ReportRows, Values, all_pages, as_stored, report_row, usage_row
from bot.usage.anthropic.responses import WIDTHS, CostResult, OddFields, ResultsBucket, parsed, usd_from_cents
from bot.usage.directory import UNKNOWN_WORKSPACE, Directory
from bot.usage.model import (
    DEFAULT_WORKSPACE,
    NOTHING_STORED,
    BilledReading,
    BilledRow,
    Read,
    Seen,
    SeenBucket,
    SourceName,
    UsageReading,
    UsageRow,
    Width,
)

log = logging.getLogger(__name__)

USAGE_PATH = "/v1/organizations/usage_report/messages"
COST_PATH = "/v1/organizations/cost_report"

SPEED_BETA = "fast-mode-2026-02-01"
"""Without it the report neither groups by speed nor accepts the word."""

BUCKETS_PER_PAGE: dict[Width, int] = {"1m": 1440, "1h": 168}
DAYS_PER_PAGE = 31

PAGE_MOST_BYTES = 24 * 2**20
"""Largest page of more than one bucket, in bytes: a page is split in one go, which blocks everything else."""

GROUPS = ("model", "api_key_id", "service_tier", "inference_geo", "speed")
WORKSPACE_GROUPS = ("model", "workspace_id", "service_tier", "inference_geo", "speed")
SPEEDLESS_GROUPS = ("model", "workspace_id", "api_key_id", "service_tier", "inference_geo")
"""The API takes at most five groups: "Cannot specify more than 5 group_by[] dimensions" is its answer to a sixth
(2026-11).

The workspace follows from the key. Only usage whose key is in no list is requested again, by workspace.
"""

SPEED_AGAIN = HOUR
"""How often grouping by speed is tried again while the API refuses it."""


class AdminSource:
    """Implements `UsageSource`."""

    name: SourceName = "admin"

    def __init__(
        self, transport: Transport, directory: Directory, clock: Clock, page_bytes: int = PAGE_MOST_BYTES
    ) -> None:
        self._page_bytes = page_bytes
        self._transport = transport
        self._directory = directory
        self._clock = clock
        self._speed_refused_at: datetime | None = None
        self._buckets_per_page: dict[Width, int] = {}

    async def usage(self, read: Read, stored: Seen = NOTHING_STORED, most_rows: int | None = None) -> UsageReading:
        """Every bucket of the read, at its width."""
        try:
            if self._speed_may_be_asked():
                return await read_again(partial(self._with_speed, read, most_rows), stored)
        except BadRequestError as error:
            # The beta is not open to every organization, and a refusal may be temporary.
            reading = await read_again(partial(self._without_speed, read, most_rows), stored)
            self._speed_refused_at = self._clock()
            log.warning("fast mode cannot be distinguished, so its tokens are priced as standard ones: %s", error)
            return reading
        return await read_again(partial(self._without_speed, read, most_rows), stored)

    def _speed_may_be_asked(self) -> bool:
        # A clock that was set back makes the wait negative.
        refused_at = self._speed_refused_at
        return refused_at is None or not timedelta() <= self._clock() - refused_at < SPEED_AGAIN

    async def _with_speed(self, read: Read, most_rows: int | None, stored: Seen) -> UsageReading:
        await self._directory.load()
        generation = self._directory.generation
        found = await self._buckets(
            read, GROUPS, [SPEED_BETA], decided_by=_decided_by(generation), stored=stored, most_rows=most_rows
        )
        odd = found.odd()
        keys, _ = await self._transport.work(ids_in, found.rows)
        await self._directory.know(keys, set())
        if found.unchanged and self._directory.generation != generation:
            raise AgainError
        generation = self._directory.generation
        seen = found.seen
        open_buckets = await self._transport.work(self._with_workspaces, found.rows)
        if asked := asked_apart(found, open_buckets):
            apart = await self._buckets(read, WORKSPACE_GROUPS, [SPEED_BETA], stored=asked, wanted=asked.keys())
            apart.odd()
            _, workspaces = await self._transport.work(ids_in, apart.rows)
            await self._directory.know(keys, workspaces)
            await self._transport.work(_locate, found.rows, open_buckets, apart.rows)
            seen = seen_with(found, apart, asked, open_buckets)
        decided_by = _decided_by(generation)
        rows, seen = await self._transport.work(
            lambda: (as_stored(found.rows), settled(seen, found.rows, self._directory, decided_by))
        )
        return UsageReading(read, rows, None, odd, frozenset(found.unchanged), seen)

    async def _without_speed(self, read: Read, most_rows: int | None, stored: Seen) -> UsageReading:
        found = await self._buckets(read, SPEEDLESS_GROUPS, stored=stored, most_rows=most_rows)
        odd = found.odd()
        keys, workspaces = await self._transport.work(ids_in, found.rows)
        await self._directory.know(keys, workspaces)
        rows = await self._transport.work(lambda: as_stored(_without_known_speed(found.rows)))
        return UsageReading(read, rows, None, odd, frozenset(found.unchanged), found.seen)

    def _with_workspaces(self, rows: ReportRows) -> set[datetime]:
        """Set the workspaces as far as the lists know them; returns the buckets with one that they do not."""
        set_workspaces(rows, self._workspace_of)
        return _without_workspace(rows)

    def _workspace_of(self, row: ReportRow) -> str:
        if row.workspace_id:
            return row.workspace_id
        return UNKNOWN_WORKSPACE if row.api_key_id is None else self._directory.workspace_of_key(row.api_key_id)

    async def _buckets(
        self,
        read: Read,
        groups: Sequence[str],
        betas: Sequence[str] = (),
        *,
        decided_by: str = "",
        stored: Seen = NOTHING_STORED,
        most_rows: int | None = None,
        wanted: Container[datetime] | None = None,
    ) -> ResultBuckets:
        """Request buckets; a page that is too large is requested again with half the buckets, as are later pages."""

        def collector() -> ResultBuckets:
            return ResultBuckets(
                read, USAGE_PATH, decided_by=decided_by, stored=stored, wanted=wanted, most_rows=most_rows
            )

        buckets = (read.ends_at - read.starts_at) // WIDTHS[read.width]
        while True:
            limit = min(self._buckets_per_page.get(read.width, buckets), BUCKETS_PER_PAGE[read.width])
            query = [
                ("starting_at", rfc3339(read.starts_at)),
                ("ending_at", rfc3339(read.ends_at)),
                ("bucket_width", read.width),
                ("limit", str(limit if limit < buckets else BUCKETS_PER_PAGE[read.width])),
                *(("group_by[]", group) for group in groups),
            ]
            try:
                most_bytes = self._page_bytes if limit > 1 else None
                found = await all_pages(self._transport, USAGE_PATH, query, betas, collector, most_bytes)
            except TooManyBytesError:
                if limit == 1:
                    raise
                self._buckets_per_page[read.width] = limit // 2
                continue
            if limit < buckets and found.largest_page < self._page_bytes // 3:
                self._buckets_per_page[read.width] = 2 * limit
            return found

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
        answer = await all_pages(self._transport, COST_PATH, query, (), lambda: Values(COST_PATH))
        return await self._transport.work(_billed, answer.values)


def _billed(values: Sequence[Any]) -> BilledReading:
    buckets = [parsed(ResultsBucket, value, COST_PATH) for value in values]
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


def located(rows: Sequence[UsageRow], whole: Sequence[UsageRow]) -> list[UsageRow]:
    """`rows`, by key, with missing workspaces filled in from `whole`, by workspace, as far as possible.

    What `whole` has of a bucket, model and terms beyond the rows of known workspaces belongs to them. If that is in one
    workspace, so are they; rows of one key, or of none, may be in several. Ambiguous cases, such as two keys in two
    workspaces or usage between the two responses, keep an unknown workspace: no token is lost or added.
    """
    unknown: dict[_Place, list[UsageRow]] = {}
    for row in rows:
        if row.workspace_id == UNKNOWN_WORKSPACE:
            unknown.setdefault(_place(row), []).append(row)
    beyond: dict[_Place, dict[str, TokenCounts]] = {place: {} for place in unknown}
    for row in whole:
        if (counts := beyond.get(_place(row))) is not None:
            counts[row.workspace_id] = counts.get(row.workspace_id, TokenCounts()) + row.counts
    known: list[UsageRow] = []
    for row in rows:
        if row.workspace_id == UNKNOWN_WORKSPACE:
            continue
        known.append(row)
        if (counts := beyond.get(_place(row))) is not None:
            counts[row.workspace_id] = counts.get(row.workspace_id, TokenCounts()) - row.counts
    for place, open_rows in unknown.items():
        rest = {workspace: counts for workspace, counts in beyond[place].items() if any(counts)}
        known += _shared_out(open_rows, rest)
    return known


_Place = tuple[datetime, str, Terms]


def _place(row: UsageRow) -> _Place:
    return row.starts_at, row.model, row.terms


def _shared_out(rows: Sequence[UsageRow], rest: Mapping[str, TokenCounts]) -> list[UsageRow]:
    if len(rest) == 1:
        (workspace,) = rest
        return [replace(row, workspace_id=workspace) for row in rows]
    whole = sum(rest.values(), TokenCounts()) == rows[0].counts and min(map(min, rest.values())) >= 0
    if len(rows) == 1 and rest and whole:
        return [replace(rows[0], workspace_id=workspace, counts=counts) for workspace, counts in rest.items()]
    return list(rows)


def set_workspaces(rows: ReportRows, workspace_of: Callable[[ReportRow], str]) -> None:
    """Give each row the id under which both sources know its workspace."""
    for each in rows.values():
        for row in each:
            row.workspace_id = workspace_of(row)


def _without_known_speed(rows: ReportRows) -> ReportRows:
    terms: dict[Terms, Terms] = {}
    for each in rows.values():
        for row in each:
            known = terms.get(row.terms)
            if known is None:
                known = terms[row.terms] = row.terms._replace(speed=UNKNOWN_TERM)
            row.terms = known
    return rows


def _without_workspace(rows: ReportRows) -> set[datetime]:
    return {starts_at for starts_at, each in rows.items() if any(row.workspace_id == UNKNOWN_WORKSPACE for row in each)}


def _locate(rows: dict[datetime, list[ReportRow]], open_buckets: Iterable[datetime], apart: ReportRows) -> None:
    """Replace the rows of these buckets by the result of `located`."""
    for starts_at in open_buckets:
        by_key = [usage_row(starts_at, row) for row in rows[starts_at]]
        by_workspace = [usage_row(starts_at, row) for row in apart.get(starts_at, ())]
        rows[starts_at] = [report_row(row) for row in located(by_key, by_workspace)]


def settled(seen: Seen, rows: ReportRows, directory: Directory, decided_by: str) -> dict[datetime, SeenBucket]:
    """Without the buckets that a later look-up may locate better, though their bytes stay the same.

    `decided_by`: what the workspaces of `rows` were found with, perhaps newer than at the start of the response.
    """

    def is_open(row: ReportRow) -> bool:
        key = row.api_key_id
        return row.workspace_id == UNKNOWN_WORKSPACE or (key is not None and not directory.lists(key))

    return {
        start: replace(bucket, decided_by=decided_by) if start in rows else bucket
        for start, bucket in seen.items()
        if not any(map(is_open, rows.get(start, ())))
    }


def _decided_by(generation: int) -> str:
    return f"speed, lists {generation}"
