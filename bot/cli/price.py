"""`claude-cost price`: what recorded usage in files and folders cost."""

import argparse
import json
import sys
from collections import Counter
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tqdm import tqdm

from bot.cli.output import complain, show
from bot.cli.price_answer import GROUPS, Priced, as_json, as_text, nothing_found
from bot.clock import Clock, system_clock
from bot.pricing.call import Call
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.tally import Tally
from bot.usage.calls import read_calls
from bot.usage.record_files import STANDARD_INPUT, UnreadableError, find_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `price`."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file of JSON lines, JSON or CSV, also compressed with gzip, bzip2 or xz; a folder, of which every file "
        f"that holds usage is read; or {STANDARD_INPUT} for standard input",
    )
    parser.add_argument("--by", choices=GROUPS, default="model", help="what the table shows (default: model)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every grouping")
    parser.add_argument(
        "--zone",
        type=_zone,
        default=UTC,
        metavar="ZONE",
        help="the time zone of the days that are shown, as in Europe/Berlin (default: UTC); prices go by UTC days",
    )


def _zone(name: str) -> tzinfo:
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is no IANA time zone; write it as in Europe/Berlin") from None
    return UTC if zone.key in ("UTC", "Etc/UTC") else zone


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where calls were priced, 1 where there were none or something could not be read or written, 2 for a
    wrong path."""
    card = load_rate_card()
    try:
        priced = price(arguments.paths, card, system_clock, arguments.zone)
    except UnreadableError as error:
        complain(str(error))
        return 2
    for sentence in priced.unreadable:
        complain(f"{sentence} It is missing from these sums.")
    nothing = not priced.totals.total.calls
    if nothing:
        complain(nothing_found(priced, arguments.paths))
    if arguments.json:
        show(json.dumps(as_json(priced, card), indent=2))
    elif not nothing:
        show("\n".join(as_text(priced, card, arguments.by)))
    return 1 if nothing or priced.unreadable else 0


def price(paths: list[str], card: RateCard, clock: Clock, zone: tzinfo = UTC) -> Priced:
    """Read and add up. Raises `UnreadableError` for a path that is not there."""
    found = find_files(paths)
    unreadable = list(found.unreadable)
    tally, skipped = Tally(card, clock().astimezone(UTC).date(), zone), Counter[str]()
    skipped_in: dict[str, dict[str, None]] = {}
    size = sum(file.size for file in found.files)
    # Only on a terminal, and only when it takes long enough to wonder.
    quiet = True if sys.stderr is None else None
    with tqdm(total=size or None, unit="B", unit_scale=True, delay=0.5, disable=quiet, leave=False) as progress:
        for file in found.files:
            try:
                for call in read_calls(file.records(progress.update)):
                    if isinstance(call, Call):
                        tally.add(call, file.name)
                    else:
                        skipped[call.value] += 1
                        skipped_in.setdefault(call.value, {})[file.name] = None
            except UnreadableError as error:
                unreadable.append(str(error))
    left_out = {str(one.path): one.reason for one in found.left_out}
    files = {reason: tuple(names) for reason, names in skipped_in.items()}
    return Priced(tally.totals(), skipped, files, tuple(unreadable), left_out, str(zone))
