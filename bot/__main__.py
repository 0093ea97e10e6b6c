"""The command line: `claude-cost`, also `python -m bot`. Each subcommand lives in `bot/cli/`."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any

from bot.cli.output import guarded

COMMANDS = {
    "init": "ask for what the bot needs, check each answer, and write the file of settings",
    "run": "run the bot",
    "demo": "run the bot against a local Slack and a local Anthropic, and show the channel on a web page",
    "doctor": "check settings, keys, scopes, the age of the data, the channel, the fallback file and the clock",
    "estimate": "estimate what a workload would cost a month",
    "price": "price recorded usage in files and folders",
    "import": "store recorded usage of files and folders in the ledger, once each",
    "export": "write a report as CSV, or its usage in the columns of FOCUS",
    "backup": "copy the database to a file while the bot runs, and check the copy",
    "restore": "put a backup in the place of the database, which is kept beside it",
}

MODULES = {"import": "bot.cli.import_files"}
"""Modules of commands whose names are Python keywords."""

INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong arguments or configuration, 130 interrupted."""
    words = sys.argv[1:] if words is None else words
    if os.path.expanduser("~") == "~":
        # A user without an account entry, as in containers; slack_sdk cannot be imported without a home.
        os.environ["HOME"] = "/"
    handled = _end_on_signals(words)
    try:
        return guarded(lambda: _main(words))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        for name, before in handled.items():
            signal.signal(name, before)


def _main(words: Sequence[str]) -> int:
    from bot.cli.command_parser import ARGUMENTS, CommandParser, ShowVersion

    # `help` and `version` are what people try before the options.
    if list(words[:1]) == ["help"]:
        words = [*words[1:], "--help"]
    elif list(words) == ["version"]:
        words = ["--version"]
    parser = CommandParser(prog="claude-cost", description="Watches what a team spends on the Claude API.")
    parser.add_argument("--version", action=ShowVersion)
    # With its own prog, argparse does not format a usage line at each start.
    subparsers = parser.add_subparsers(prog="claude-cost", dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=meaning, description=f"{meaning[:1].upper()}{meaning[1:]}.")
        # Import only the requested command: a price should not wait for Slack's libraries.
        if name in words[:1]:
            add_arguments = ARGUMENTS.get(name) or import_module(f"bot.cli.{name}").add_arguments
            add_arguments(subparser)
    if not words:
        parser.print_help()
        return 0
    # Words of an estimate may begin with a dash: `--batch`, or `-batch` from a phone.
    arguments = parser.parse_args([words[0], "--", *words[1:]] if words[0] == "estimate" else words)
    if arguments.command not in words[:1]:
        parser.error(f"the command comes first, as in claude-cost {arguments.command}")
    return int(import_module(MODULES.get(arguments.command, f"bot.cli.{arguments.command}")).run(arguments))


def _end_on_signals(words: Sequence[str]) -> dict[signal.Signals, Any]:
    """End the process on a signal, even during the imports that take most of a start; returns the previous handlers.

    `run` replaces the handlers once it has something to finish. The demo has a folder to remove, and `init` a terminal
    with echo off.
    """
    if "demo" in words[:1]:
        return {}
    run, is_dialog = "run" in words[:1], "init" in words[:1]
    names = (signal.SIGTERM, signal.SIGINT) if run or is_dialog else (signal.SIGINT,)
    code = int("--once" in words) if run else INTERRUPTED

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    handler = signal.default_int_handler if is_dialog else end
    try:
        return {name: signal.signal(name, handler) or signal.SIG_DFL for name in names}
    except ValueError:  # Only the main thread takes signals.
        return {}


if __name__ == "__main__":
    sys.exit(main())
