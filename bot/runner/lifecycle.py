"""The lifecycle of the running bot: connect, run the schedule, stop cleanly."""

import asyncio
import gc
import itertools
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import count
from bot.config.secret_file import secret_problems
from bot.config.settings import SettingsError
from bot.db.engine import database_problem
from bot.language import spoken
from bot.notify.model import back_off
from bot.notify.slack_connection import (
    SlackRefusedError,
    SlackUnreachableError,
    SocketMode,
    Workspace,
    check_app_token,
    check_bot_token,
)
from bot.runner.cycle import Bot
from bot.runner.ending import close_within
from bot.runner.schedule import Job, schedule
from bot.runner.service_manager import ALIVE, READY, STOPPING, ServiceManager
from bot.steady_clock import SteadyClock
from bot.usage.model import is_stale
from bot.web.connections import Connections
from bot.web.server import open_port, web_app

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 2
REACTION_SECONDS, LONGEST_REACTION = 0.3, 2.0
"""Shortest and longest pause in seconds between two decisions on logged usage. It is as long as the last decision took,
so that answers get their turn beside an import."""

DRAIN_SECONDS = 2.5
"""Seconds that the shutdown waits for polls and posts in flight, and half as many for listeners that began since."""

CLOSE_SECONDS = 1
STUCK_SECONDS = 600
"""Seconds without progress, besides one interval, after which a cycle is stuck: the process should be restarted."""

LATE_SECONDS = 15
"""Seconds without progress, besides two intervals, after which a cycle is late: the bot is not ready."""

SLACK_SECONDS = 60
"""Shortest time in seconds between two checks of the token."""
SLACK_AGAIN_SECONDS = 3
"""Seconds after which a check without a response is repeated, since one lost response is no fault."""

READINESS_SECONDS = 2
"""Seconds that a readiness check waits for the database."""

LONGEST_CONNECT_WAIT = timedelta(minutes=1)


class CredentialsRefusedError(Exception):
    """Anthropic refused the key at the first request, or the key is of another organization than the database.

    The text is one sentence with the remedy.
    """


class Lifecycle:
    """Runs one bot until `stop` is called. `tick`: interval between two polls. `manager`: systemd."""

    def __init__(
        self, bot: Bot, tick: timedelta, manager: ServiceManager | None = None, stuck_seconds: float = STUCK_SECONDS
    ) -> None:
        self._bot = bot
        self._tick = tick
        self._manager = manager or ServiceManager({})
        self._stuck_seconds = stuck_seconds
        self._stopping = asyncio.Event()
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: SocketMode | None = None
        self._slack_problem: str | None = "Slack is not connected yet."
        self.slack_again_seconds: float = SLACK_AGAIN_SECONDS
        self._is_connected = False
        """Whether Slack has accepted the tokens at least once."""
        self._claimed: Workspace | None = None
        """The workspace that the database is known to belong to."""
        self._polled = False
        self._asking: asyncio.Future[list[str]] | None = None

    def stop(self) -> None:
        """Request the shutdown; `run` then drains and returns."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`.

        Raises `CredentialsRefusedError`, `SlackRefusedError` or `SettingsError` if a start cannot succeed.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(calm_collector())
            stack.enter_context(prompt_loop())
            await stack.enter_async_context(self._http())
            stack.push_async_callback(self._bot.in_flight.drain, DRAIN_SECONDS / 2)
            stack.push_async_callback(close_within, "the connection to Slack", CLOSE_SECONDS, self.disconnect)
            await stack.enter_async_context(self._schedule())
            stopped = asyncio.ensure_future(self._stopping.wait())
            connected = asyncio.ensure_future(self.connect())
            reacting = asyncio.ensure_future(self._react())
            pinging = asyncio.ensure_future(self._ping())
            self._manager.tell(READY)
            waiting: set[asyncio.Future[object]] = {stopped, connected, reacting, self._refused}  # type: ignore[arg-type]
            try:
                while not stopped.done():
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for finished in done:
                        finished.result()
            finally:
                for task in (stopped, connected, reacting, pinging):
                    task.cancel()
                self._manager.tell(STOPPING)
            log.info("stopping: finishing work in progress")

    def is_alive(self) -> bool:
        """Whether cycles make progress. That this returns shows that the event loop does."""
        return self._idle() <= self._tick.total_seconds() + self._stuck_seconds

    def _idle(self) -> float:
        """Seconds since the last progress."""
        return time.monotonic() - self._bot.progressed_at()

    def _late(self) -> list[str]:
        idle = self._idle()
        if idle <= 2 * self._tick.total_seconds() + LATE_SECONDS:
            return []
        return [f"The cycle of poll, decide and deliver has not gone on for {idle:.0f} s."]

    async def problems(self) -> list[str]:
        """Why the bot is not ready, for the readiness check. Never raises, and returns within seconds."""
        slack, stored = await asyncio.gather(self._slack(), self._ask_database())
        lease = self._bot.leadership.problem()
        files = secret_problems(self._bot.settings.secrets())
        found = [*([slack] if slack else []), *([lease] if lease else []), *self._late(), *files]
        return [*found, *self._bot.faults.values(), *stored]

    async def _slack(self) -> str | None:
        if self._slack_problem is None and self.socket is not None and not await self._connected(self.socket):
            return "The connection to Slack is lost; reconnecting."
        return self._slack_problem

    def notes(self) -> list[str]:
        """Sentences for the readiness check that do not affect readiness."""
        clock = self._bot.services.clock
        said = clock.said() if isinstance(clock, SteadyClock) else None
        return [] if said is None else [said]

    async def _connected(self, socket: SocketMode) -> bool:
        try:
            async with asyncio.timeout(READINESS_SECONDS):
                return bool(await socket.client.is_connected())
        except TimeoutError:
            return False

    async def _ask_database(self) -> list[str]:
        if self._asking is None:
            # Run one query at a time, since each that hangs holds one of a few threads.
            self._asking = asyncio.ensure_future(self._bot.services.threads.web(self._stored_problems))
        asking = self._asking
        done, _ = await asyncio.wait({asking}, timeout=READINESS_SECONDS)
        if not done:
            return [f"The database has not responded for {READINESS_SECONDS} s."]
        if self._asking is asking:
            self._asking = None
        try:
            return asking.result()
        except SQLAlchemyError as error:
            return [database_problem(error)]
        except Exception as error:  # noqa: BLE001  # a check that fails is an answer too
            return [f"The database cannot be read ({type(error).__name__}): check its log and its disk."]

    def _stored_problems(self) -> list[str]:
        services = self._bot.services
        data = services.usage.data_state()
        found: list[str] = []
        if data.as_of is None:
            found.append("There is no usage data yet.")
        elif is_stale(data, services.clock(), services.poll_seconds):
            found.append(f"The usage data is stale, as of {data.as_of.isoformat()}.")
        if data.error:
            found.append(spoken(data.error))
        found += [spoken(target.error) for target in services.fallback.state().targets if target.error is not None]
        waiting = services.alerts.notices.last_error()
        if waiting:
            found.append(spoken(waiting))
        for failing in services.alerts.destinations.waiting():
            since = failing.since.isoformat()
            waits = count(failing.count, "alert")
            found.append(f"{failing.destination}: {waits} waiting since {since}, because {spoken(failing.error)}.")
        return found

    async def connect(self) -> None:
        """Check the tokens and connect to Slack. Retries until that succeeds; raises `SlackRefusedError`."""
        settings = self._bot.settings
        client = self._bot.slack.client
        for failures in itertools.count():
            try:
                workspace = await check_bot_token(client, settings.channel)
                await self._claim(workspace)
                self._bot.workspace.learn(workspace)
                if settings.slack_app_token is not None:
                    app_token = settings.slack_app_token.get_secret_value()
                    await check_app_token(client, app_token, settings.channel)
                    acknowledged = self._bot.services.metrics.acknowledged
                    self.socket = SocketMode(
                        self._bot.slack, app_token, secret=settings.slack_app_token, acknowledged=acknowledged
                    )
                    await self.socket.connect_async()  # type: ignore[no-untyped-call]
            except SlackUnreachableError as error:
                self._slack_problem = str(error)
                wait = back_off(failures, LONGEST_CONNECT_WAIT).total_seconds()
                log.error("%s Retrying in %d s.", error, wait)
                await asyncio.sleep(wait)
            else:
                self._slack_problem, self._is_connected = None, True
                log.info("connected to Slack (%s)", "Socket Mode" if self.socket else "HTTP mode")
                return

    async def _claim(self, workspace: Workspace) -> None:
        """Check whose the database is. One that does not answer is asked again at the next look at Slack.

        Raises `SlackRefusedError` if it belongs to another workspace.
        """
        try:
            await self._bot.services.threads.commands(self._bot.claim, workspace)
        except SQLAlchemyError as error:
            log.warning("whose the database is cannot be checked: %s", database_problem(error))
        else:
            self._claimed = workspace

    async def look_at_slack(self) -> None:
        """Check whether Slack still accepts the token, which a bot without messages would not notice otherwise."""
        if not self._is_connected:
            return
        problem = await self._token_problem()
        if problem == self._slack_problem:
            return
        self._slack_problem = problem
        if problem is not None:
            log.error("%s", problem)
            return
        log.info("Slack accepts the token again")
        self._bot.outbox.try_again()

    async def _token_problem(self) -> str | None:
        client, channel = self._bot.slack.client, self._bot.settings.channel
        try:
            try:
                workspace = await check_bot_token(client, channel)
            except SlackUnreachableError:
                await asyncio.sleep(self.slack_again_seconds)
                workspace = await check_bot_token(client, channel)
            if workspace != self._claimed:
                # The token's file may have changed since.
                await self._claim(workspace)
                self._bot.workspace.learn(workspace)
        except (SlackUnreachableError, SlackRefusedError) as error:
            return str(error)
        return None

    async def disconnect(self) -> None:
        """Close the Socket Mode connection, if any."""
        if self.socket is not None:
            await self.socket.close_async()  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _http(self) -> AsyncIterator[None]:
        settings = self._bot.settings
        if settings.http_port is None:
            yield
            return
        slack = self._bot.slack if settings.slack_app_token is None else None
        connections = Connections()
        app = web_app(
            slack,
            self.problems,
            self._bot.services,
            settings.read_token,
            notes=self.notes,
            alive=self.is_alive,
            signing_secret=settings.slack_signing_secret,
            host=settings.http_host,
            connections=connections,
            ingest_tokens=settings.ingest_tokens,
            stored=self._bot.logged.set,
        )
        async with AsyncExitStack() as stack:
            port = open_port(app, settings.http_host, settings.http_port, connections)
            addresses = await _listen(stack, port)
            log.info("HTTP on %s", addresses)
            yield

    def _schedule(self) -> AbstractAsyncContextManager[object]:
        seconds = self._tick.total_seconds()
        jobs = [
            Job("poll", seconds, self._poll, at_once=True),
            Job("deliver", min(DELIVERY_SECONDS, seconds), self._deliver),
            Job("look at Slack", max(SLACK_SECONDS, seconds), self.look_at_slack),
        ]
        return schedule(jobs, partial(self._bot.in_flight.drain, DRAIN_SECONDS), self._forget_last_pong)

    def _forget_last_pong(self) -> None:
        # slack_sdk compares it with the wall clock: after a jump, a live connection would look dead, or a dead one
        # alive.
        if self.socket is not None:
            self.socket.client.last_ping_pong_time = None

    async def _poll(self) -> None:
        async with self._bot.in_flight.work():
            cycle = await self._bot.cycle()
        if cycle.poll is None:
            return
        if cycle.poll.ok:
            self._polled = True
        elif cycle.poll.refused and not self._polled and not self._refused.done():
            self._refused.set_exception(CredentialsRefusedError(cycle.poll.error))

    async def _react(self) -> None:
        """Decide on logged usage soon after it is stored."""
        while True:
            await self._bot.logged.wait()
            self._bot.logged.clear()
            begun_at = time.monotonic()
            async with self._bot.in_flight.work():
                await self._bot.react()
            took = time.monotonic() - begun_at
            await asyncio.sleep(min(max(REACTION_SECONDS, took), LONGEST_REACTION))

    async def _ping(self) -> None:
        """Send systemd signs of life while cycles make progress."""
        while (seconds := self._manager.ping_seconds) is not None:
            if self.is_alive():
                self._manager.tell(ALIVE)
            await asyncio.sleep(seconds)

    async def _deliver(self) -> None:
        async with self._bot.in_flight.work():
            await self._bot.deliver()


async def _listen(stack: AsyncExitStack, port: AbstractAsyncContextManager[list[Any]]) -> list[Any]:
    try:
        return await stack.enter_async_context(port)
    except OSError as error:
        raise SettingsError(
            f"CLAUDE_COST_HTTP_PORT cannot be opened ({error}): choose another port, correct CLAUDE_COST_HTTP_HOST, or "
            "stop the process that listens there."
        ) from None


SWITCH_SECONDS = 0.0005


@contextmanager
def prompt_loop() -> Iterator[None]:
    """Make computing threads give way to the event loop within `SWITCH_SECONDS`, a tenth of Python's default.

    The loop waits that long after each of its system calls, and an acknowledgement needs some ten of them.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


YOUNG = 10_000
"""Number of new objects, less freed ones, after which young objects are collected."""

MIDDLE = 10
"""Number of collections of young objects after which the survivors are collected too: at most 100,000 objects."""

FULL = 1_000
"""Number of collections of the middle generation after which everything is collected."""


@contextmanager
def calm_collector() -> Iterator[None]:
    """Tune Python's garbage collector so that no collection stalls the event loop. Enter once everything is built.

    A collection stops every thread while it visits objects. Those of the start, mostly modules, stay until the end, so
    they are frozen and not visited again. Young objects are collected in portions, which bounds each stop to some
    milliseconds. Full collections are rare, for reference cycles that gather over days.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
