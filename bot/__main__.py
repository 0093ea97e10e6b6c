"""The command line: `claude-cost`, also `python -m bot`. Each subcommand lives in `bot/cli/`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from bot.secret_shapes import masked

COMMANDS = {
    "run": "run the bot",
    "demo": "run the bot against a local Slack and a local Anthropic, and show the channel on a web page",
    "doctor": "check settings, keys, scopes, the age of the data, the channel, the fallback file and the clock",
    "estimate": "say what a workload would cost",
    "price": "price recorded usage in files and folders",
}


class _Parser(argparse.ArgumentParser):
    """Refuses wrong words without repeating a secret that was typed among them."""

    def error(self, message: str) -> NoReturn:
        super().error(masked(message))


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong words or configuration."""
    words = sys.argv[1:] if words is None else words
    parser = _Parser(prog="claude-cost", description="Watches what a team spends on the Claude API.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=meaning, description=meaning.capitalize() + ".")
        # Only the command that was asked for is imported: a price should not wait for Slack's libraries.
        if name in words[:1]:
            module = import_module(f"bot.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `claude-cost price … | head`.
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
