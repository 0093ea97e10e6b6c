"""Spend by user of Claude Code, from the report that Admin keys may read if the analytics API is closed.

Source: platform.claude.com, Claude Code Analytics API (2026). One UTC day per request; costs are estimates, numbers in
cents; excludes the last hour, and use over Bedrock, Vertex, Foundry and AWS.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bot.clock import DAY, HOUR, floor_day
from bot.language import tr_lazy
from bot.usage.anthropic.attribution import Rows, actor_in
from bot.usage.anthropic.client import Transport
from bot.usage.anthropic.pages import all_pages
from bot.usage.anthropic.responses import Answer, Cents, Count, Currency, parsed, usd_from_cents
from bot.usage.model import Attributed, AttributedBy, AttributedRow, NotAttributedError, Who

CLAUDE_CODE_PATH = "/v1/organizations/usage_report/claude_code"

RECORDS_PER_PAGE = 1000
MOST_DAYS = 31
AT_ONCE = 4

ZERO = Decimal(0)


class _Tokens(Answer):
    input: Count
    output: Count
    cache_read: Count
    cache_creation: Count


class _Cost(Answer):
    amount: Cents
    currency: Currency


class _Model(Answer):
    tokens: _Tokens
    estimated_cost: _Cost


class _Record(Answer):
    actor: dict[str, Any]
    customer_type: str | None = None
    model_breakdown: list[_Model]


@dataclass(frozen=True, slots=True)
class _Used:
    who: Who
    usd: Decimal
    tokens_in: int
    tokens_out: int
    on_a_plan: bool


async def read_claude_code(transport: Transport, starts_at: datetime, ends_at: datetime, now: datetime) -> Attributed:
    """The estimated spend of every user of Claude Code on UTC days.

    Raises `SourceError`, and `NotAttributedError` for more days than `MOST_DAYS` and for days that have just begun.
    """
    if now - HOUR <= starts_at:
        raise NotAttributedError(tr_lazy("Claude Code's report leaves out the last hour: ask in an hour."))
    until = min(ends_at, floor_day(now) + DAY)
    days = [starts_at + number * DAY for number in range(-((starts_at - until) // DAY))]
    if len(days) > MOST_DAYS:
        raise NotAttributedError(
            tr_lazy(
                "Claude Code's report has to be read day by day: ask about {days} days at most, as in `report month by "
                "user`.",
                days=MOST_DAYS,
            )
        )
    found = await _days(transport, days)
    used = [row for rows in found for row in rows.rows]
    return Attributed(
        by=AttributedBy.ACTOR,
        origin="claude_code",
        starts_at=starts_at,
        ends_at=min(until, now - HOUR),
        usd=sum((row.usd for row in used), ZERO),
        list_usd=None,
        rows=_summed(used),
        refreshed_at=None,
        odd=sum(rows.odd for rows in found),
        on_plans_usd=sum((row.usd for row in used if row.on_a_plan), ZERO),
    )


async def _days(transport: Transport, days: Sequence[datetime]) -> "list[Rows[_Used]]":
    """Several days concurrently; the first error cancels the others."""
    gate = asyncio.Semaphore(AT_ONCE)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_day(transport, day, gate)) for day in days]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _day(transport: Transport, day: datetime, gate: asyncio.Semaphore) -> Rows[_Used]:
    query = [("starting_at", day.date().isoformat()), ("limit", str(RECORDS_PER_PAGE))]
    async with gate:
        return await all_pages(transport, CLAUDE_CODE_PATH, query, [], lambda: Rows(CLAUDE_CODE_PATH, _used))


def _used(value: Any) -> _Used:
    record = parsed(_Record, value, CLAUDE_CODE_PATH)
    models = record.model_breakdown
    costs = [each.estimated_cost for each in models]
    return _Used(
        who=actor_in(record.actor),
        usd=sum((usd_from_cents(cost.amount, cost.currency, CLAUDE_CODE_PATH) for cost in costs), ZERO),
        tokens_in=sum(each.tokens.input + each.tokens.cache_read + each.tokens.cache_creation for each in models),
        tokens_out=sum(each.tokens.output for each in models),
        on_a_plan=record.customer_type == "subscription",
    )


def _summed(used: Iterable[_Used]) -> tuple[AttributedRow, ...]:
    rows: dict[str | None, AttributedRow] = {}
    for each in used:
        before = rows.get(each.who.id, AttributedRow(each.who, ZERO, 0, 0))
        rows[each.who.id] = AttributedRow(
            who=each.who,
            usd=before.usd + each.usd,
            tokens_in=(before.tokens_in or 0) + each.tokens_in,
            tokens_out=(before.tokens_out or 0) + each.tokens_out,
        )
    return tuple(sorted(rows.values(), key=lambda row: (-row.usd, str(row.who.id))))
