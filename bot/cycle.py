"""The running bot: one cycle of poll, decide and deliver, in which no fault of one part stops another."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from slack_bolt.async_app import AsyncApp

from bot.alerts.delivery_watch import DeliveryWatch
from bot.alerts.life_watch import LifeWatch
from bot.alerts.outbox import Delivery, Outbox
from bot.alerts.outside import OutsideOutbox
from bot.in_flight import InFlight
from bot.services import Services
from bot.settings import Settings
from bot.slack_connection import Workspace
from bot.store.lease import Lease
from bot.usage.poll import Poller, PollOutcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cycle:
    """One poll, decision and delivery. `poll` is None where another copy holds the lease."""

    poll: PollOutcome | None
    delivery: Delivery | None


class Watch(Protocol):
    """Looks for something beside crossed limits that people are to hear of, after every poll."""

    def look(self, now: datetime, mode: str) -> None:
        """Record what is to be told. `mode`: the fallback mode in force."""


@dataclass(slots=True)
class Bot:
    """The running parts. Built by `bot_from`, which also closes them."""

    settings: Settings
    services: Services
    poller: Poller
    outbox: Outbox
    outside: OutsideOutbox
    lease: Lease
    slack: AsyncApp
    in_flight: InFlight
    workspace: Workspace
    watches: Sequence[Watch]
    life: LifeWatch
    delivery_watch: DeliveryWatch
    faults: dict[str, str] = field(default_factory=dict)
    """A sentence for each part that failed when it was tried last."""

    _warned_of_other_copy: bool = False

    def leads(self) -> bool:
        """Whether this copy polls and delivers. Said once when another one does."""
        if self.lease.acquire():
            self._warned_of_other_copy = False
            return True
        if not self._warned_of_other_copy:
            log.warning("another copy of the bot is alive on this database: this one answers, but does not poll")
            self._warned_of_other_copy = True
        return False

    async def cycle(self) -> Cycle:
        """Poll, decide, deliver. Every copy brings its own fallback target to the wanted mode, whichever leads."""
        leads = await asyncio.to_thread(self.leads)
        services = self.services
        if leads:
            await self._try("the end of modes", services.fallback.expire)
            await self._try("the end of requests for approval", services.approvals.expire)
        await self._try("the fallback targets", partial(services.fallback.reconcile, records=leads))
        if not leads:
            return Cycle(None, None)
        now = services.clock()
        poll = await self.poller.poll(await asyncio.to_thread(services.review.needed_since, now))
        await self._decide()
        return Cycle(poll, await self._deliver())

    async def deliver(self) -> Delivery | None:
        """Deliver what is due, if this copy leads: to Slack, while the other destinations are only begun with."""
        if not await asyncio.to_thread(self.leads):
            return None
        return await self._deliver()

    async def _deliver(self) -> Delivery:
        await self._try("snoozes and escalations", self.life.look)
        self.outside.begin()
        delivery = await self.outbox.deliver()
        await self._try("the watch over deliveries", self.delivery_watch.look)
        self.outside.begin()
        return delivery

    async def _decide(self) -> None:
        now = self.services.clock()
        mode = (await asyncio.to_thread(self.services.fallback.state)).mode.name
        await self._try("the review of limits", partial(self.services.review.decide, now, mode))
        for watch in self.watches:
            await self._try(type(watch).__name__, partial(watch.look, now, mode))
        await self._try("the fallback mode in alerts", self._show_mode)

    def _show_mode(self) -> None:
        mode = self.services.fallback.state().mode.name
        self.services.alerts.life.show_mode(mode, self.services.clock())

    async def _try(self, what: str, work: Callable[[], object]) -> None:
        """Do one thing of many: a fault in it is shown, and keeps nothing else from being told."""
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # whatever it is, the other alerts have to get out
            log.error("%s failed", what, exc_info=error)
            self.faults[what] = f"A part of the bot fails ({what}: {type(error).__name__}): its log has the details."
        else:
            self.faults.pop(what, None)
