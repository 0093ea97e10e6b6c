"""`claude-cost demo`: the real bot against a local Slack and Anthropic, on a web page or as a story on the terminal."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bot.config.environment import given
from bot.log_bound import BoundedHandler
from bot.runner.lifecycle import Lifecycle
from bot.sandbox.clock import RunningClock
from bot.sandbox.page_server import PageServer
from bot.sandbox.stage import CURTAIN, FASTEST, Directions, Stage, set_stage
from bot.sandbox.story import StoryError, play

DEFAULT_PORT = 8765
HOURS_A_SECOND = 1.5
TICK_SECONDS = 1 / 3
"""Seconds between two polls: each costs the bot and the local Anthropic some hundredths of a second."""
POLL_SECONDS = 3600
"""Simulated seconds from which the age of data is judged, the most that the setting takes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `demo`."""
    parser.add_argument("--once", action="store_true", help="play the story on the terminal and exit")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=HOURS_A_SECOND,
        metavar="HOURS",
        help=f"simulated hours in one second (default {HOURS_A_SECOND}, at most {FASTEST:g})",
    )
    parser.add_argument(
        "--port", type=_port, help=f"of the page (default {DEFAULT_PORT}, or a free one where that is taken)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 after the story or an interrupt, 1 if the port is taken or the story failed."""
    os.umask(0o077)
    level = logging.CRITICAL if arguments.once else logging.ERROR
    logging.basicConfig(level=level, handlers=[BoundedHandler(sys.stderr)])
    ignored = given(os.environ)
    if ignored:
        print(ignored_sentence(ignored), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="claude-cost-demo-") as folder:
        try:
            if arguments.once:
                asyncio.run(play(Path(folder), print))
            else:
                asyncio.run(_serve(Path(folder), float(arguments.speed), arguments.port))
        except StoryError as error:
            print(error, file=sys.stderr)
            return 1
        except OSError as error:
            print(f"The page cannot be served ({error}): choose another port with --port.", file=sys.stderr)
            return 1
    return 0


def ignored_sentence(names: Sequence[str]) -> str:
    """The sentence that these settings of the environment are ignored."""
    what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    hint = " The port of the page is set with --port." if "CLAUDE_COST_HTTP_PORT" in names else ""
    return f"The demo has settings of its own and does not use {what} of the environment.{hint}"


async def _serve(folder: Path, speed: float, port: int | None) -> None:
    clock = RunningClock(CURTAIN, speed * 3600)
    async with set_stage(clock, folder, poll_seconds=POLL_SECONDS) as stage:
        fallback_file = stage.bot.settings.fallback_file
        directions = Directions(clock, stage.slack, stage.anthropic, stage.team, speed)
        page = PageServer(directions, fallback_file, _default_port() if port is None else port)
        async with page:
            print(f"The demo runs at {page.origin}/ until Ctrl-C.", flush=True)
            lifecycle = Lifecycle(stage.bot, timedelta(seconds=TICK_SECONDS))
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, lifecycle.stop)
            working = asyncio.create_task(_work(stage))
            try:
                await lifecycle.run()
            finally:
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await working


async def _work(stage: Stage) -> None:
    while True:
        await stage.work()
        await asyncio.sleep(TICK_SECONDS / 2)


def _default_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            return 0
    return DEFAULT_PORT


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours above 0 and up to {FASTEST:g}")
    return speed


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
