"""The parser of the command line, and arguments of the commands that take seconds to import.

An error never repeats a secret that was typed.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, NoReturn

GROUPS = ("model", "day", "feature", "user")
"""Tables that `price` can show."""


class HelpText(argparse.HelpFormatter):
    """Help as wide as the terminal. argparse makes one per option, and would import compression to find the width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class PlainHelpText(HelpText, argparse.RawDescriptionHelpFormatter):
    """The same, with the line breaks of descriptions kept."""


def _columns() -> int:
    """Like `shutil.get_terminal_size`."""
    text = os.environ.get("COLUMNS", "")
    if text.isdecimal() and int(text):
        return int(text)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # No output, a closed one, or no terminal.
        return 80


class CommandParser(argparse.ArgumentParser):
    """Rejects wrong arguments with exit code 2."""

    def __init__(self, *, formatter_class: type[HelpText] = HelpText, **options: Any) -> None:
        super().__init__(formatter_class=formatter_class, **options)

    def error(self, message: str) -> NoReturn:
        # Import only for an error: its patterns take longer than the parsing.
        from bot.secret_shapes import masked

        super().error(masked(message))


class ShowVersion(argparse.Action):
    """`--version`. Looks the version up on demand, since that reads installed metadata."""

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


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `run`."""
    parser.add_argument("--once", action="store_true", help="poll, decide and deliver once, then exit (for cron)")


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--rollups", action="store_true", help="also compare every daily sum with its rows, which reads all of them"
    )
    parser.add_argument("--repair", action="store_true", help="like --rollups, and rebuild the sums that differ")


def price_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `price`."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file of JSON lines, JSON or CSV, also compressed with gzip, bzip2 or xz; a folder, of which every file "
        "that holds usage is read; or - for standard input",
    )
    parser.add_argument("--by", choices=GROUPS, default="model", help="what the table shows (default: model)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every grouping")
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="read every file again; otherwise what unchanged files hold is cached in $XDG_CACHE_HOME/claude-cost "
        "or ~/.cache/claude-cost, as tokens and ids without dollars",
    )
    parser.add_argument(
        "--zone",
        type=_zone,
        default=UTC,
        metavar="ZONE",
        help="the time zone of the days that are shown, as in Europe/Berlin (default: UTC); prices go by UTC days",
    )


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `import`."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file or folder that `claude-cost price` reads: logs and transcripts, also growing, rotated and "
        "compressed ones; or - for standard input. What was imported before is recognised and counts once",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--dry-run", action="store_true", help="say what would be stored, and store nothing")


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is no IANA time zone; write it as in Europe/Berlin") from None
    return UTC if zone.key in ("UTC", "Etc/UTC") else zone


ARGUMENTS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "run": run_arguments,
    "doctor": doctor_arguments,
    "price": price_arguments,
    "import": import_arguments,
}
"""Kept here so that help for these commands does not wait for their imports."""
