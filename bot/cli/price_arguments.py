"""The words of `claude-cost price`, apart from what the command needs to run."""

import argparse
from datetime import UTC, tzinfo

GROUPS = ("model", "day", "feature", "user")
"""What the table can show."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `price`."""
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
        help="read every file again; otherwise what unchanged files hold is remembered in $XDG_CACHE_HOME/claude-cost "
        "or ~/.cache/claude-cost, as tokens and ids without dollars",
    )
    parser.add_argument(
        "--zone",
        type=_zone,
        default=UTC,
        metavar="ZONE",
        help="the time zone of the days that are shown, as in Europe/Berlin (default: UTC); prices go by UTC days",
    )


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is no IANA time zone; write it as in Europe/Berlin") from None
    return UTC if zone.key in ("UTC", "Etc/UTC") else zone
