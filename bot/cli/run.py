"""`claude-cost run`: the bot, or one cycle of it for cron."""

import argparse
import asyncio
import logging
import os
import sys
import time
from contextlib import suppress
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from bot.amounts import count
from bot.app import bot_from
from bot.clock import system_clock
from bot.config.env_file import EnvFile, is_open_to_others, load_env_file
from bot.config.environment import misspelled
from bot.config.settings import LogSettings, Need, Settings, SettingsError, load_settings, log_settings, questionable
from bot.db.engine import DatabaseError, database_problem
from bot.doctor.database import shown_database
from bot.language import spoken
from bot.log_bound import BoundedHandler, JsonLines, TextLines
from bot.notify.slack_connection import SlackRefusedError, SlackUnreachableError, check_bot_token
from bot.runner.cycle import Bot, Cycle
from bot.runner.ending import Ending
from bot.runner.lifecycle import CredentialsRefusedError, Lifecycle
from bot.runner.service_manager import ServiceManager
from bot.steady_clock import SteadyClock

log = logging.getLogger(__name__)

FOR_ITSELF = 0o077
"""Umask: files of the bot show what a team spends, so other users of the machine may not read them."""

LIBRARIES = (
    *("slack_bolt", "slack_sdk", "httpx", "httpcore", "apscheduler", "alembic", "aiohttp", "urllib3"),
    "opentelemetry",
)

TEXT_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"

ONCE_WAITS_AT_MOST = timedelta(seconds=10)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 after a clean end, 1 if `--once` left something undone, 2 for wrong configuration."""
    once = bool(arguments.once)
    os.umask(FOR_ITSELF)
    try:
        env_file = load_env_file(os.environ)
        log_as = log_settings(os.environ)
        _log_to_stderr(log_as._replace(level=logging.CRITICAL) if once else log_as)
        settings = load_settings(os.environ, Need.RUN_ONCE if once else Need.RUN)
        doubts = _doubts(env_file)
        if once:
            return asyncio.run(_once(settings, doubts))
        ending = Ending()
        ending.handle_signals()
        with asyncio.Runner() as runner:
            code = runner.run(_for_ever(settings, ending))
            if ending.asked:
                # The runner would wait for threads at its end, and so would Python.
                ending.leave(code)
            return code
    except (SettingsError, DatabaseError, CredentialsRefusedError, SlackRefusedError) as error:
        print(" ".join([str(error), *(_sentences(misspelled(os.environ)) if once else [])]), file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        print(database_problem(error), file=sys.stderr)
        return 1


def _doubts(file: EnvFile | None) -> list[str]:
    """A sentence for each doubtful line of the file of settings; they are logged."""
    if file is None:
        return []
    log.info("settings from %s", file.path)
    if is_open_to_others(file.path, os.environ):
        log.warning("other users of this machine may read or change %s, which holds secrets: chmod 600 it", file.path)
    for doubt in file.doubts:
        log.warning("%s", doubt)
    return list(file.doubts)


async def _for_ever(settings: Settings, ending: Ending) -> int:
    async with bot_from(settings, SteadyClock()) as bot:
        log.info("fallback file %s, database %s", settings.fallback_file, shown_database(settings.database_url))
        lifecycle = Lifecycle(bot, timedelta(seconds=settings.poll_seconds), ServiceManager(os.environ))
        ending.when_asked(lifecycle.stop)
        await lifecycle.run()
    return 0


async def _once(settings: Settings, doubts: list[str]) -> int:
    deadline = time.monotonic() + ONCE_WAITS_AT_MOST.total_seconds()
    async with bot_from(settings, system_clock, most_waiting=ONCE_WAITS_AT_MOST, hears_clicks=False) as bot:
        try:
            bot.workspace.learn(await check_bot_token(bot.slack.client, settings.channel))
        except (SlackRefusedError, SlackUnreachableError):
            # Only links need the answer; delivery shows whether alerts get through.
            bot.workspace.url = ""
        if bot.workspace.is_known:
            # The cycle reports a database that does not answer.
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(bot.claim, bot.workspace)
        await bot.leadership.settled()
        # No later cycle would see what arrives after this.
        bot.patience = bot.patience._replace(attribution=None)
        cycle = await bot.cycle()
        if cycle.poll is not None and cycle.poll.foreign:
            raise CredentialsRefusedError(cycle.poll.error)
        others = asyncio.create_task(_deliver_to_others(bot, deadline))
        while cycle.delivery is not None and cycle.delivery.retry_in is not None:
            wait = cycle.delivery.retry_in.total_seconds()
            if time.monotonic() + wait > deadline:
                break
            await asyncio.sleep(wait)
            cycle = Cycle(cycle.poll, await bot.deliver())
        await others
        problem = _undone(bot, cycle)
    # One line in any case: cron sends it by mail.
    said = [
        *([] if problem is None else [problem]),
        *_sentences([*doubts, *misspelled(os.environ), *questionable(settings)]),
    ]
    if said:
        print(" ".join(said), file=sys.stderr)
    return 0 if problem is None else 1


async def _deliver_to_others(bot: Bot, deadline: float) -> None:
    """Deliver until nothing is left that may be tried before the deadline."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            await bot.destinations.settled()
            # Decided after the first look, such as a failure of Slack.
            bot.destinations.begin()
            await bot.destinations.settled()
            while (wait := bot.destinations.retry_in()) is not None:
                if time.monotonic() + wait.total_seconds() > deadline:
                    break
                await asyncio.sleep(wait.total_seconds())
                bot.destinations.begin()
                await bot.destinations.settled()
    except TimeoutError:
        return


def _undone(bot: Bot, cycle: Cycle) -> str | None:
    if cycle.poll is None or cycle.delivery is None:
        faults = [*filter(None, [bot.leadership.problem()]), *bot.faults.values()]
        if faults:
            return " ".join(faults)
        return "Another copy of the bot is alive on this database: nothing was polled. Stop one of the two."
    problems = [] if cycle.poll.ok else [cycle.poll.error or "No data was read."]
    problems += [fault for fault in bot.faults.values() if fault not in problems]
    problems += [spoken(each.error) for each in bot.services.fallback.state().targets if each.error is not None]
    if cycle.delivery.waiting:
        reason = cycle.delivery.error or "Slack has not been asked yet."
        problems.append(f"{_waiting(cycle.delivery.waiting)} for delivery: {reason}")
    tried = {one.destination: spoken(one.error) for one in bot.services.destinations.waiting()}
    for name, waiting in bot.services.destinations.undelivered().items():
        reason = tried.get(name, "it has not answered yet")
        problems.append(f"{_waiting(waiting)} for {name}, because {reason}.")
    return " ".join(problems) or None


def _waiting(messages: int) -> str:
    return f"{count(messages, 'message')} {'waits' if messages == 1 else 'wait'}"


def _sentences(warnings: list[str]) -> list[str]:
    return [warning if warning.endswith("?") else f"{warning}." for warning in warnings]


def _log_to_stderr(log_as: LogSettings) -> None:
    level, handler = log_as.level, BoundedHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_as.is_json else TextLines(TEXT_LINE))
    logging.basicConfig(level=level, handlers=[handler])
    # A step still at work logs that itself when the next run is skipped.
    logging.getLogger("apscheduler.scheduler").setLevel(max(level, logging.ERROR))
    for name in LIBRARIES:
        # Below this level these libraries log whole bodies and addresses.
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
