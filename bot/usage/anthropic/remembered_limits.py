"""The organisation's own rate limits, asked for when an estimate wants them, and remembered for an hour."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from bot.clock import HOUR, Clock, is_over
from bot.pricing.throughput import Limits, Pool
from bot.usage.anthropic.client import Transport
from bot.usage.anthropic.limits import read_rate_limits

FRESH_FOR = HOUR
PATIENCE = timedelta(seconds=2)
"""An estimate does not wait longer than this: it then goes by the table, and the next one has the answer."""


class RememberedLimits:
    """Never raises: what cannot be read is not known."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._known: Mapping[Pool, Limits] | None = None
        self._asked_at: datetime | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def known(self) -> Mapping[Pool, Limits] | None:
        """What is known already, without waiting."""
        return self._known

    async def measured(self) -> Mapping[Pool, Limits] | None:
        """The limits as they were within the last hour; None where they are not known."""
        now = self._clock()
        if self._asked_at is None or is_over(FRESH_FOR, self._asked_at, now):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None and not self._asking.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE.total_seconds())
        return self._known

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self) -> None:
        self._known = (await read_rate_limits(self._transport)).measured
