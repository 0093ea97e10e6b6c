"""The parser of the command line, which never repeats a secret that was typed among its words."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn


class HelpText(argparse.HelpFormatter):
    """As wide as the terminal. argparse makes one for each option, and would import compression to find the width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class PlainHelpText(HelpText, argparse.RawDescriptionHelpFormatter):
    """The same, with the line breaks of descriptions kept."""


def _columns() -> int:
    """As `shutil.get_terminal_size` has it."""
    text = os.environ.get("COLUMNS", "")
    if text.isdecimal() and int(text):
        return int(text)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # no output, a closed one, or no terminal
        return 80


class CommandParser(argparse.ArgumentParser):
    """Refuses wrong words with exit code 2."""

    def __init__(self, *, formatter_class: type[HelpText] = HelpText, **options: Any) -> None:
        super().__init__(formatter_class=formatter_class, **options)

    def error(self, message: str) -> NoReturn:
        # Imported for a refusal alone: its patterns take longer than the parsing.
        from bot.secret_shapes import masked

        super().error(masked(message))


class ShowVersion(argparse.Action):
    """`--version`. The version is looked up when it is asked for, as that reads what is installed."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help or "show the version and exit")

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> NoReturn:
        print(version_line())
        parser.exit()


def version_line() -> str:
    """`claude-cost 0.1.0`."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"claude-cost {version('claude-cost-bot')}"
    except PackageNotFoundError:
        return "claude-cost, not installed"
