"""The parser of the command line, which never repeats a secret that was typed among its words."""

import argparse
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from bot.secret_shapes import masked


class CommandParser(argparse.ArgumentParser):
    """Refuses wrong words with exit code 2."""

    def error(self, message: str) -> NoReturn:
        super().error(masked(message))


def version_line() -> str:
    """`claude-cost 0.1.0`."""
    try:
        return f"claude-cost {version('claude-cost-bot')}"
    except PackageNotFoundError:
        return "claude-cost, not installed"
