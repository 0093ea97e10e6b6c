"""The running bot: one cycle of poll, decide and deliver, in which no fault of one part stops another."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from slack_bolt.async_app import AsyncApp
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.cycle_state import CycleStateStore
from bot.alerts.delivery import DeliveryDetector
from bot.alerts.detector import Detector
from bot.alerts.due import Due, DueStore
from bot.alerts.life_watch import LifecycleTimer
from bot.alerts.no_data import NoDataDetector
from bot.budgets.review import Agenda
from bot.config.settings import Settings
from bot.db.engine import database_problem
from bot.in_flight import InFlight
from bot.ledger.store import MOST_PRUNED
from bot.mode import NORMAL
from bot.notify.background import BackgroundDelivery
from bot.notify.outbox import Delivery, Outbox
from bot.notify.slack_connection import Workspace
from bot.runner.leadership import Leadership
from bot.services import Services
from bot.threads import InThread
from bot.usage.poller import Poller, PollOutcome

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LEAST_PATIENCE_SECONDS = 15
"""What a poll may take, or else one interval between polls, before what is known is decided on beside it."""

HANGS_AFTER_SECONDS = 300
"""A poll that takes so long is no reason any more not to say how old the data is."""

STATE = "the state of modes and data"
MODES_END = "the end of modes"
REQUESTS_END = "the end of requests for approval"
"""Parts of a cycle, as its faults name them."""

LEDGER = "the age of the ledger"
RETENTION = "the deletion of old responses from the ledger"

LIFE = "snoozes and escalations"
TO_SLACK = "the delivery to Slack"
DELIVERY_HEALTH = "the check of delivery health"
"""Parts of a delivery, as its faults name them."""

PRUNE_SECONDS = 3600
"""Between two looks for responses that were kept long enough."""

TARGET_SECONDS = 5
"""How long a cycle waits for the targets of the fallback mode."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One poll, decision and delivery. `poll` is None where another copy holds the lease."""

    poll: PollOutcome | None
    delivery: Delivery | None


@dataclass(slots=True)
class Bot:
    """The running parts. Built by `bot_from`, which also closes them."""

    settings: Settings
    services: Services
    poller: Poller
    outbox: Outbox
    destinations: BackgroundDelivery
    leadership: Leadership
    slack: AsyncApp
    in_flight: InFlight
    workspace: Workspace
    cycle_state: CycleStateStore
    detectors: Sequence[Detector]
    reacting: Sequence[Detector]
    life: LifecycleTimer
    delivery_watch: DeliveryDetector
    due: DueStore
    logged: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where applications may have logged something that is not decided on."""
    faults: dict[str, str] = field(default_factory=dict)
    """A sentence for each part that failed when it was tried last."""

    _reconciling: asyncio.Task[object] | None = None
    _mode: str = NORMAL
    """The fallback mode as it was read last."""
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ledger_version: int = 0
    """As it was read last."""
    _logged_version: int = 0
    """Of the ledger, as it was decided on last."""
    _pruned_at: float | None = None
    _shown: tuple[int | None, str, bool, tuple[Agenda, Agenda]] | None = None
    """The change and the mode that every open alert says by now, if the data was stale then, and which periods ran."""

    def leads(self) -> bool:
        """Whether this copy polls and delivers at this moment. No I/O."""
        return self.leadership.held()

    async def cycle(self) -> Cycle:
        """Poll, decide, deliver. Every copy brings its own fallback target to the wanted mode, whichever leads.

        While the poll takes long, time goes on for everything else: what is known is decided on at every interval.
        """
        # One more attempt, so that a copy whose owner has just gone does not lose a whole poll.
        leads = await self.leadership.still_held()
        await self._follow_modes(leads)
        if not leads:
            return Cycle(None, None)
        poll, began = asyncio.create_task(self._poll()), time.monotonic()
        try:
            while not (await asyncio.wait({poll}, timeout=max(self.settings.poll_seconds, LEAST_PATIENCE_SECONDS)))[0]:
                if not self.leads():
                    # Whoever holds the lease by now polls as well.
                    return Cycle(None, None)
                await self._follow_modes(leads)
                # After a long pause everything is to be read first, which is no silence of Anthropic's.
                await self._decide(silent=time.monotonic() - began >= HANGS_AFTER_SECONDS)
        finally:
            poll.cancel()
        if not await self.leadership.still_held():
            return Cycle(None, None)
        await self._decide()
        cycle = Cycle(poll.result(), await self._deliver())
        await self._prune()
        return cycle

    async def deliver(self) -> Delivery | None:
        """Deliver what is due, if this copy leads: to Slack, while the other destinations are only begun with."""
        if not self.leads():
            return None
        delivery = await self._deliver()
        if self._ledger_version != self._logged_version:
            # Another copy has stored what applications log.
            self.logged.set()
        return delivery

    async def react(self) -> None:
        """Decide on what applications have logged, and deliver, if this copy leads."""
        if not self.leads():
            return
        async with self._deciding:
            now = self.services.clock()
            version = await self._try(LEDGER, self.services.ledger.version)
            for detector in self.reacting:
                await self._try(detector.name, partial(detector.look, now, self._mode))
            self._logged_version = self._logged_version if version is None else version
        await self._deliver()

    async def _follow_modes(self, leads: bool) -> None:
        services = self.services
        if leads:
            state = await self._try(STATE, self.cycle_state.read)
            change = None if state is None else state.change
            if state is None or (change is not None and change.mode != NORMAL):
                await self._try(MODES_END, partial(services.fallback.expire, change))
            else:
                self.faults.pop(MODES_END, None)
            if state is None or state.proposals:
                await self._try(REQUESTS_END, services.approvals.expire)
            else:
                self.faults.pop(REQUESTS_END, None)
        else:
            # Whoever leads meanwhile may have told alerts under another mode.
            self._shown = None
        await self._reconcile(records=leads)

    async def _reconcile(self, *, records: bool) -> None:
        """Bring the targets to the mode. One that hangs, such as a file on a dead network disk, keeps nothing back."""
        what = "the fallback targets"
        if self._reconciling is None or self._reconciling.done():
            work = partial(self.services.fallback.reconcile, records=records)
            self._reconciling = asyncio.create_task(self._try(what, work))
        await asyncio.wait({self._reconciling}, timeout=TARGET_SECONDS)
        if not self._reconciling.done():
            self.faults[what] = f"A part of the bot hangs ({what}): the fallback file or its disk does not answer."

    async def _poll(self) -> PollOutcome:
        what = "the poll"
        try:
            since = await self.services.threads.cycle(self.services.review.usage.needed_since, self.services.clock())
            outcome = await self.poller.poll(since)
        except Exception as error:  # noqa: BLE001  # whatever it is, what is known is decided on
            return PollOutcome(False, None, self._failed(what, error))
        self.faults.pop(what, None)
        return outcome

    async def _prune(self) -> None:
        if self._pruned_at is not None and time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        before = self.services.clock() - self.settings.ledger_rules.keep
        pruned = await self._try(RETENTION, partial(self.services.ledger.prune, before))
        if pruned is None or pruned < MOST_PRUNED:
            self._pruned_at = time.monotonic()

    async def _deliver(self) -> Delivery:
        thread = self.services.threads.delivery
        looked = await self._try("the look at what is due", self._look_at_due, thread)
        # Where that fails, each part shows for itself whether it does.
        due = looked or Due()
        if due.life:
            await self._try(LIFE, self.life.look, thread)
            due = replace(due, slack=True)
        if due.destinations:
            self.destinations.begin()
        delivery = await self._deliver_to_slack() if due.slack else Delivery(0, 0, None, None)
        if due.watch:
            await self._try(DELIVERY_HEALTH, self.delivery_watch.look, thread)
            self.destinations.begin()
        for part, was_due in ((LIFE, due.life), (TO_SLACK, due.slack), (DELIVERY_HEALTH, due.watch)):
            if not was_due:
                # What has nothing to do fails no more.
                self.faults.pop(part, None)
        return delivery

    def _look_at_due(self) -> Due:
        self._ledger_version = self.services.ledger.version()
        return self.due.look(self.services.clock())

    async def _deliver_to_slack(self) -> Delivery:
        try:
            delivery = await self.outbox.deliver()
        except Exception as error:  # noqa: BLE001  # whatever it is, the other destinations go on
            return Delivery(0, 0, self._failed(TO_SLACK, error), None)
        self.faults.pop(TO_SLACK, None)
        return delivery

    async def _decide(self, *, silent: bool = True) -> None:
        """`silent`: whether missing data is reported."""
        async with self._deciding:
            await self._decide_alone(silent=silent)

    async def _decide_alone(self, *, silent: bool) -> None:
        now = self.services.clock()
        state = await self._try(STATE, self.cycle_state.read)
        if state is not None:
            self._mode = self.services.fallback.wanted(state.change).name
        mode = self._mode
        await self._try(LEDGER, partial(self.services.ledger.touch, now))
        for detector in self.detectors:
            if isinstance(detector, NoDataDetector) and not silent:
                continue
            await self._try(detector.name, partial(detector.look, now, mode))
        await self._try("the fallback mode in alerts", self._show_mode)

    def _show_mode(self) -> None:
        """Only after a change: what this cycle reports says the mode that was in force when it began."""
        fallback, state, now = self.services.fallback, self.cycle_state.latest(), self.services.clock()
        # Only the automatism changes the mode within a cycle; what others change is shown after the next one.
        change = fallback.store.current() if fallback.steps_down(state.auto) else state.change
        mode = fallback.wanted(change).name
        review = self.services.review
        shown = (None if change is None else change.id, mode, review.is_stale(now), review.agendas(now))
        if shown != self._shown:
            self.services.alerts.life.show_mode(mode, now, partial(self.services.review.spend_by_name, now=now))
            self._shown = shown

    async def _try(self, what: str, work: Callable[[], Result], in_thread: InThread | None = None) -> Result | None:
        """Do one thing of many: its fault is shown, and stops nothing else. None where it fails."""
        in_thread = in_thread or self.services.threads.cycle
        try:
            result = await in_thread(work)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other alerts have to get out
            self._failed(what, error)
            return None
        self.faults.pop(what, None)
        return result

    def _failed(self, what: str, error: Exception) -> str:
        """Keep a fault, with its traceback in the log where it is a new one; returns the sentence about it."""
        sentence = f"A part of the bot fails ({what}: {type(error).__name__}): its log has the details."
        new = self.faults.get(what) != sentence
        self.faults[what] = sentence
        if isinstance(error, SQLAlchemyError):
            log.error("%s failed: %s", what, database_problem(error))
        else:
            log.error("%s failed (%s)", what, type(error).__name__, exc_info=error if new else None)
        return sentence
