"""Polls Anthropic's own attribution for budgets that count it, and stores it.

A failure changes no number, and is kept with its remedy until a read succeeds.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from bot.clock import HOUR, MINUTE, Clock, is_over
from bot.language import tr_noop
from bot.usage.anthropic.attribution import first_kept, read_attributed_days
from bot.usage.anthropic.attribution_cache import NotChosenError, because
from bot.usage.anthropic.client import BadRequestError, NotServedError, Transport
from bot.usage.attributed_days import NOTHING_READ, AttributedReading, AttributedState, first_due
from bot.usage.attributed_store import AttributedStore
from bot.usage.model import AttributedBy, RefusedError, SourceError, UnavailableError, UsageChoice
from bot.usage.poller import MayStore, always

log = logging.getLogger(__name__)

AGAIN_AFTER_FAULT = timedelta(minutes=5)
AGAIN_AFTER_REFUSAL = HOUR

LOGGED_BUDGETS = tr_noop("Budgets of feature:NAME, user:ID or tag:NAME=VALUE count what your applications log.")

LONGEST = HOUR
"""Longest read of one dimension: an endless response would block the others forever."""

LASTING = (RefusedError, NotServedError, BadRequestError)
"""Errors that a retry soon does not fix."""


class AttributionPoller:
    """`choice`: the operator's `CLAUDE_COST_USAGE_API`. `may_store`: see `Poller`."""

    def __init__(
        self,
        store: AttributedStore,
        transport: Transport,
        choice: UsageChoice,
        clock: Clock,
        may_store: MayStore = always,
    ) -> None:
        self._running: asyncio.Task[None] | None = None
        self._store = store
        self._transport = transport
        self._choice = choice
        self._clock = clock
        self._may_store = may_store
        self._failed: dict[AttributedBy, tuple[datetime, timedelta]] = {}

    async def poll(self, needed: Mapping[AttributedBy, date], seconds: float | None = None) -> None:
        """Read what is due, and wait at most `seconds` for it; a longer read continues, but no other is started.

        `needed`: dimensions that budgets count, each with the first UTC day needed. Others are not kept up to date.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._poll(needed))
        running = self._running
        if (await asyncio.wait({running}, timeout=seconds))[0]:
            self._running = None
            running.result()

    async def close(self) -> None:
        """Cancel running reads."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        self._transport.close()

    async def _poll(self, needed: Mapping[AttributedBy, date]) -> None:
        now = self._clock()
        before = await asyncio.to_thread(self._store.states)
        self._failed = {by: failed for by, failed in self._failed.items() if by in needed}
        states = {by: before.get(by, NOTHING_READ) for by in needed}
        readings: list[AttributedReading] = []
        for by, since in needed.items():
            first = max(since, first_kept(now).date())
            begin = first_due(states[by], first, now)
            if begin is None or self._waits(by, now):
                continue
            try:
                async with asyncio.timeout(LONGEST.total_seconds()):
                    reading = await self._read(by, begin, now)
            except TimeoutError:
                text = f"Anthropic's answer is not complete after {LONGEST // MINUTE} minutes; the bot asks again."
                states[by] = self._after_failure(by, states[by], UnavailableError(text), now)
            except SourceError as error:
                states[by] = self._after_failure(by, states[by], error, now)
            else:
                self._failed.pop(by, None)
                states[by] = states[by].after(reading, first, now)
                readings.append(reading)
        if states != before and await self._may_store():
            await asyncio.to_thread(self._store.save, readings, states)

    async def _read(self, by: AttributedBy, begin: date, now: datetime) -> AttributedReading:
        if self._choice == "admin":
            raise NotChosenError("CLAUDE_COST_USAGE_API is admin")
        return await read_attributed_days(self._transport, by, begin, now)

    def _waits(self, by: AttributedBy, now: datetime) -> bool:
        failed = self._failed.get(by)
        return failed is not None and not is_over(failed[1], failed[0], now)

    def _after_failure(
        self, by: AttributedBy, state: AttributedState, error: SourceError, now: datetime
    ) -> AttributedState:
        self._failed[by] = now, AGAIN_AFTER_REFUSAL if isinstance(error, LASTING) else AGAIN_AFTER_FAULT
        because_of = because(error, by, LOGGED_BUDGETS)
        sentence = because_of[:1].upper() + because_of[1:]
        if sentence != state.error:
            log.error("no attribution by %s: %s", by, sentence)
        return state.failed(sentence, now)
