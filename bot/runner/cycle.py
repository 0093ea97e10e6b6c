"""The running bot: cycles of poll, decide and deliver. A fault of one part stops no other part."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from slack_bolt.async_app import AsyncApp
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.cycle_state import CycleStateStore, Due, DueStore
from bot.alerts.detector import Evaluator, Look
from bot.alerts.incident import AlertKind
from bot.alerts.lifecycle_store import LifecycleTimer
from bot.budgets.greeting_store import Greeter
from bot.budgets.review import needed_attribution
from bot.config.settings import Settings
from bot.db.backup import BackupError, copy_of_day, sqlite_file
from bot.db.engine import database_problem
from bot.db.retention import MOST
from bot.ledger.clickhouse import ClickHouseError
from bot.ledger.store import MOST_PRUNED
from bot.metrics import Cause, PollEnd
from bot.mode import NORMAL
from bot.notify.background import BackgroundDelivery
from bot.notify.outbox import Delivery, Outbox
from bot.notify.slack_connection import Workspace
from bot.runner.leadership import Leadership
from bot.services import Services
from bot.threads import InFlight, InThread
from bot.traces import OWN, span
from bot.usage.attribution_poller import AttributionPoller
from bot.usage.model import SourceError
from bot.usage.poller import Poller, PollOutcome

log = logging.getLogger(__name__)

Result = TypeVar("Result")

STATE = "the state of modes and data"
MODES_END = "the expiry of modes"
REQUESTS_END = "the expiry of proposals"
RAISES_END = "the end of raised limits"
"""Names of parts of a cycle, in faults."""

ATTRIBUTION = "the attribution of spend"
TARGETS = "the fallback targets"

LEDGER = "the age of the ledger"
ROLL_UP = "the move of responses to ClickHouse"
BACKUP = "the daily backup"
HISTORY = "the deletion of what was kept long enough"
RETENTION = "the deletion of old responses from the ledger"

LIFE = "snoozes and escalations"
TO_SLACK = "the delivery to Slack"
DELIVERY_HEALTH = "the check of delivery health"
"""Names of parts of a delivery, in faults."""

PRUNE_SECONDS = 3600
"""Seconds between two runs of the retention."""

BACKUP_QUICK, BACKUP_PAUSES = 1.0, 20
"""A backup that failed within `BACKUP_QUICK` seconds is retried in the next cycle. After a slower failure the pause is
`BACKUP_PAUSES` times as long as the attempt, so that a full disk is not filled again at every poll."""

BACKUP_WAITS = 5
"""Seconds that a cycle waits for a backup, which then goes on beside it."""

ROLL_UP_SECONDS = 5
"""Seconds that a cycle waits for the ledger's sums, which then go on beside it."""


class Patience(NamedTuple):
    """Seconds that a cycle waits for its parts.

    `poll`: for a poll, or one interval between polls if that is longer, before decisions go on beside it. `hangs`: for
    a poll, before missing data is reported. `target`: for the targets of the fallback mode. `attribution`: for
    attributed spend; None for no limit.
    """

    poll: float = 15
    hangs: float = 300
    target: float = 5
    attribution: float | None = 5


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Cycle:
    """The results of a cycle. `poll`: None if this copy does not lead. `delivery`: None if nothing was delivered."""

    poll: PollOutcome | None
    delivery: Delivery | None


@dataclass(slots=True)
class Bot:
    """The running bot, on one event loop. `bot_from` builds and closes its parts."""

    settings: Settings
    services: Services
    poller: Poller
    attribution: AttributionPoller
    outbox: Outbox
    destinations: BackgroundDelivery
    leadership: Leadership
    all_deliver: bool
    """Whether this copy also delivers while another one leads."""

    slack: AsyncApp
    in_flight: InFlight
    workspace: Workspace
    cycle_state: CycleStateStore
    greeter: Greeter
    looks: Sequence[Look]
    reacting: Sequence[Look]
    """The looks that are also run when applications have logged something."""
    lifecycle_timer: LifecycleTimer
    delivery_health: Evaluator
    due: DueStore
    claim: Callable[[Workspace], None]
    """Records the workspace of the database. Raises `SlackRefusedError` if it belongs to another one."""
    prune_history: Callable[[datetime], int]
    """Deletes what was kept long enough at a moment. Returns the number of rows."""
    patience: Patience = PATIENCE
    logged: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when applications may have logged something that has not been decided on."""
    faults: dict[str, str] = field(default_factory=dict)
    """A sentence for each part whose last run failed."""
    progress_at: float = field(default_factory=time.monotonic)
    """When a cycle last began, ended or went on beside a long poll, by `time.monotonic`."""

    _reconciling: asyncio.Task[object] | None = None
    _rolling_up: asyncio.Task[object] | None = None
    _backing_up: asyncio.Task[object] | None = None
    _back_up_after: float = 0
    """When the next backup may begin, by `time.monotonic`."""
    _mode: str = NORMAL
    """The fallback mode as last read."""
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _has_polled: bool = False
    _knows_owner: bool = False
    """Whether this copy has checked, without polling, that the database is its organization's."""
    _ledger_version: int = 0
    """The version of the ledger as last read."""
    _logged_version: int = 0
    """The version of the ledger that was decided on last."""
    _pruned_at: float | None = None
    _shown: tuple[object, ...] | None = None
    """What the open alerts show: the change of mode, the mode, whether data was stale, and the open periods."""

    def progressed_at(self) -> float:
        """When a cycle or a delivery last made progress, by `time.monotonic`."""
        return max(self.progress_at, self.outbox.progress_at)

    def leads(self) -> bool:
        """Whether this copy holds the lease. No I/O."""
        return self.leadership.held()

    async def cycle(self) -> Cycle:
        """Poll, decide and deliver, if this copy leads. Every copy writes the mode to its own fallback targets.

        While a poll takes long, decisions go on with the stored data at every interval.
        """
        self.progress_at = began = time.monotonic()
        try:
            with span("cycle"):
                cycle = await self._cycle()
        finally:
            self.progress_at = time.monotonic()
        if cycle.poll is not None:
            self.services.metrics.cycled(self.progress_at - began)
        return cycle

    async def _cycle(self) -> Cycle:
        # Make one more attempt at the lease: if the leader has just ended, no poll is missed.
        leads = await self.leadership.still_held()
        await self._follow_modes(leads)
        if not leads:
            return await self._stand_by()
        await self._try(self.greeter.name, self.greeter.prepare)
        poll, began = asyncio.create_task(self._poll()), time.monotonic()
        try:
            while not (await asyncio.wait({poll}, timeout=max(self.settings.poll_seconds, self.patience.poll)))[0]:
                if not self.leads():
                    # The new holder of the lease polls as well.
                    return Cycle(None, None)
                await self._follow_modes(leads)
                self.progress_at = time.monotonic()
                # After a long pause the bot has much to read; that is not missing data.
                await self._decide(judges_age=time.monotonic() - began >= self.patience.hangs)
        finally:
            poll.cancel()
        if not await self.leadership.still_held():
            return Cycle(None, None)
        if poll.result().foreign and not self._has_polled:
            # Report nothing of another organization's usage. The start ends.
            return Cycle(poll.result(), None)
        await self._decide()
        cycle = Cycle(poll.result(), await self._deliver())
        await self._roll_up()
        await self._prune()
        await self._back_up()
        return cycle

    async def deliver(self) -> Delivery | None:
        """Deliver what is due: wait for Slack, and start the other destinations. None if this copy may not deliver.

        A copy that does not lead delivers only once it has reached Slack, which shows whose the database is.
        """
        leads = self.leads()
        if not leads and not (self.all_deliver and self.workspace.is_known):
            return None
        delivery = await self._deliver(leads=leads)
        if leads and self._ledger_version != self._logged_version:
            # Another copy has stored something that applications have logged.
            self.logged.set()
        return delivery

    async def react(self) -> None:
        """Decide on what applications have logged, and deliver, if this copy leads."""
        if not self.leads():
            return
        async with self._deciding:
            now = self.services.clock()
            version = await self._try(LEDGER, self.services.ledger.version)
            mode = await self._mode_in_force()
            await self._try_each([(each.name, partial(each.look, now, mode)) for each in self.reacting])
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
            await self._try(RAISES_END, services.raises.expire)
        else:
            # Meanwhile the leader may have shown another mode in alerts.
            self._shown = None
            # Drop the faults of parts that only a leader runs.
            for part in set(self.faults) - {TARGETS}:
                del self.faults[part]
        await self._reconcile(records=leads)

    async def _reconcile(self, *, records: bool) -> None:
        """Write the mode to the targets. A target that hangs, such as a file on a dead network disk, delays nothing."""
        what = TARGETS
        if self._reconciling is None or self._reconciling.done():
            work = partial(self.services.fallback.reconcile, records=records)
            self._reconciling = asyncio.create_task(self._try(what, work))
        await asyncio.wait({self._reconciling}, timeout=self.patience.target)
        if not self._reconciling.done():
            self.faults[what] = f"A part of the bot hangs ({what}): the fallback file or its disk does not answer."

    async def _poll(self) -> PollOutcome:
        what, began = "the poll", time.monotonic()
        try:
            with span("poll") as mark:
                needed_since, now = self.services.review.usage.needed_since, self.services.clock()
                outcome = await self.poller.poll(await self.services.threads.cycle(needed_since, now))
                mark.set(f"{OWN}ok", outcome.ok)
        except Exception as error:  # noqa: BLE001  # whatever fails, decisions go on with the stored data
            self.services.metrics.polled("failed", time.monotonic() - began)
            return PollOutcome(False, None, self._failed(what, error))
        ended: PollEnd = "ok" if outcome.ok else "refused" if outcome.refused or outcome.foreign else "failed"
        self.services.metrics.polled(ended, time.monotonic() - began)
        if outcome.foreign:
            self.faults[what] = outcome.error or what
            return outcome
        self.faults.pop(what, None)
        self._has_polled = self._has_polled or outcome.ok
        await self._attribute()
        return outcome

    async def _stand_by(self) -> Cycle:
        """Check once, in place of a poll, whether the database is of this copy's organization."""
        if not self._knows_owner:
            try:
                async with asyncio.timeout(self.patience.target):
                    foreign = await self.poller.foreign()
            except (SourceError, SQLAlchemyError, TimeoutError):
                return Cycle(None, None)
            if foreign is not None:
                return Cycle(foreign, None)
            self._knows_owner = True
        return Cycle(None, None)

    async def _attribute(self) -> None:
        """Read attributed spend, if a budget counts it. Decisions do not wait long for it."""
        try:
            budgets = await self.services.threads.cycle(self.services.budgets.in_force)
            needed = needed_attribution(budgets, self.services.clock())
            await self.attribution.poll(needed, self.patience.attribution)
        except Exception as error:  # noqa: BLE001  # whatever fails, decisions go on with the stored data
            self._failed(ATTRIBUTION, error)
        else:
            self.faults.pop(ATTRIBUTION, None)

    async def _roll_up(self) -> None:
        """Bring the ledger's sums up to date. The next cycle does not wait for it."""
        if self._rolling_up is None or self._rolling_up.done():
            work = partial(self.services.ledger.roll_up, self.services.clock())
            self._rolling_up = asyncio.create_task(self._try(ROLL_UP, work, self.services.threads.ledger))
        await asyncio.wait({self._rolling_up}, timeout=ROLL_UP_SECONDS)

    async def _prune(self) -> None:
        if self._pruned_at is not None and time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        pruned = await self._try(RETENTION, self._prune_ledger)
        history = await self._try(HISTORY, self._prune_history)
        # Try again in the next cycle what has failed, so that its fault ends with the cause.
        if pruned is not None and pruned < MOST_PRUNED and history is not None and history < MOST:
            self._pruned_at = time.monotonic()

    def _prune_ledger(self) -> int:
        now = self._newest_data()
        if now is None:
            return 0
        before = now - self.settings.ledger_rules.keep
        self.services.otlp.prune(before)
        return self.services.ledger.prune(before)

    def _prune_history(self) -> int:
        now = self._newest_data()
        return 0 if now is None else self.prune_history(now)

    def _newest_data(self) -> datetime | None:
        """The moment from which retention counts, so that a wrong clock deletes nothing. None before the first poll."""
        as_of = self.cycle_state.latest().data.as_of
        return None if as_of is None else min(as_of, self.services.clock())

    async def _back_up(self) -> None:
        """Make the day's backup if it is missing. The next cycle does not wait for it."""
        folder, database = self.settings.backup_folder, sqlite_file(self.settings.database_url)
        if folder is None or database is None or time.monotonic() < self._back_up_after:
            return
        if self._backing_up is None or self._backing_up.done():
            work = partial(copy_of_day, database, folder, self.services.clock().date(), self.settings.backups_kept)
            self._backing_up = asyncio.create_task(self._backed_up(work))
        await asyncio.wait({self._backing_up}, timeout=BACKUP_WAITS)

    async def _backed_up(self, work: Callable[[], object]) -> None:
        began = time.monotonic()
        await self._try(BACKUP, work, asyncio.to_thread)
        took = time.monotonic() - began
        failed_late = BACKUP in self.faults and took > BACKUP_QUICK
        self._back_up_after = began + BACKUP_PAUSES * took if failed_late else 0

    async def _deliver(self, *, leads: bool = True) -> Delivery:
        """Send what is due. The leader also takes timed steps of alerts, and checks the health of the destinations."""
        thread = self.services.threads.delivery
        looked = await self._try("the query for due notices", self._look_at_due, thread)
        # If the query fails, run every part, which reports its own fault.
        due = looked or Due()
        if not leads:
            due = replace(due, life=False, reports=False)
        if due.life:
            await self._try(LIFE, self.lifecycle_timer.look, thread)
            due = replace(due, slack=True)
        if due.destinations:
            self.destinations.begin()
        delivery = await self._deliver_to_slack() if due.slack else Delivery(0, 0, None, None)
        watch = leads and due.watch
        if watch:
            await self._try(DELIVERY_HEALTH, self._look_at_deliveries, thread)
            self.destinations.begin()
        for part, was_due in ((LIFE, due.life), (TO_SLACK, due.slack), (DELIVERY_HEALTH, watch)):
            if not was_due:
                # A part with nothing to do has no fault any more.
                self.faults.pop(part, None)
        return delivery

    def _look_at_deliveries(self) -> int:
        return self.delivery_health.look(self.services.clock(), self._mode)

    def _look_at_due(self) -> Due:
        self._ledger_version = self.services.ledger.version()
        return self.due.look(self.services.clock())

    async def _deliver_to_slack(self) -> Delivery:
        try:
            with span("deliver", destination=self.outbox.name):
                delivery = await self.outbox.deliver()
        except Exception as error:  # noqa: BLE001  # whatever fails, the other destinations go on
            return Delivery(0, 0, self._failed(TO_SLACK, error), None)
        self.faults.pop(TO_SLACK, None)
        return delivery

    async def _decide(self, *, judges_age: bool = True) -> None:
        """Run all detectors, one after the other. `judges_age`: whether missing data is reported."""
        async with self._deciding:
            with span("decide"):
                await self._decide_alone(judges_age=judges_age)

    async def _decide_alone(self, *, judges_age: bool) -> None:
        now = self.services.clock()
        mode = await self._mode_in_force()
        looks = [
            (each.name, partial(each.look, now, mode))
            for each in self.looks
            if judges_age or not (isinstance(each, Evaluator) and each.kind is AlertKind.NO_DATA)
        ]
        ledger = (LEDGER, partial(self.services.ledger.touch, now))
        await self._try_each([ledger, *looks, ("the fallback mode in alerts", self._show_mode)])

    async def _mode_in_force(self) -> str:
        """The fallback mode in force; if it cannot be read, as last read."""
        state = await self._try(STATE, self.cycle_state.read)
        if state is not None:
            self._mode = self.services.fallback.wanted(state.change).name
        return self._mode

    def _show_mode(self) -> None:
        """Show a new mode in the open alerts. Alerts of this cycle show the mode at its start."""
        fallback, state, now = self.services.fallback, self.cycle_state.latest(), self.services.clock()
        # Only the automatic switch changes the mode within a cycle. Other changes are shown by the next one.
        change = fallback.store.current() if fallback.steps_down(state.auto) else state.change
        mode = fallback.wanted(change).name
        review = self.services.review
        shown = (None if change is None else change.id, mode, *review.shown(now))
        if shown != self._shown:
            self.services.alerts.life.show_mode(mode, now, partial(self.services.review.spend_by_name, now=now))
            self._shown = shown

    async def _try(self, what: str, work: Callable[[], Result], in_thread: InThread | None = None) -> Result | None:
        """Run one part in a thread. A failure is recorded and stops no other part. Returns None then."""
        in_thread = in_thread or self.services.threads.cycle
        try:
            result = await in_thread(work)
        except Exception as error:  # noqa: BLE001  # whatever fails, the other alerts get out
            self._failed(what, error)
            return None
        self.faults.pop(what, None)
        return result

    async def _try_each(self, parts: Sequence[tuple[str, Callable[[], object]]]) -> None:
        """Like `_try` for each part, one after the other in one thread: to change threads takes longer than most.

        Where this is cancelled, the part that runs is the last one.
        """
        ended: list[tuple[str, Exception | None]] = []
        go_on = True

        def run() -> None:
            for what, work in parts:
                if not go_on:
                    return
                try:
                    work()
                    ended.append((what, None))
                except Exception as error:  # noqa: BLE001  # as in `_try`
                    ended.append((what, error))

        try:
            await self.services.threads.cycle(run)
        finally:
            go_on = False
        for what, error in ended:
            if error is None:
                self.faults.pop(what, None)
            else:
                self._failed(what, error)

    def _failed(self, what: str, error: Exception) -> str:
        """Record a fault and log it, a new one with its traceback. Returns the sentence about it."""
        sentence = f"A part of the bot fails ({what}: {type(error).__name__}): its log has the details."
        if isinstance(error, BackupError):
            sentence = f"There is no backup of today: {error}"
        new = self.faults.get(what) != sentence
        self.services.metrics.failed(what, _cause(error))
        self.faults[what] = sentence
        if isinstance(error, SQLAlchemyError):
            log.error("%s failed: %s", what, database_problem(error))
        elif isinstance(error, ClickHouseError | BackupError):
            log.error("%s failed: %s", what, error)
        else:
            log.error("%s failed (%s)", what, type(error).__name__, exc_info=error if new else None)
        return sentence


def _cause(error: Exception) -> Cause:
    if isinstance(error, SQLAlchemyError):
        return "database"
    if isinstance(error, ClickHouseError):
        return "clickhouse"
    return "backup" if isinstance(error, BackupError) else "internal"
