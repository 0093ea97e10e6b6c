"""`claude-cost price`: what recorded usage in files and folders cost."""

import argparse
import json
import sys
from collections import Counter
from datetime import UTC, tzinfo

from tqdm import tqdm

from bot.cli.output import complain, show
from bot.cli.price_answer import Priced, as_json, as_text, nothing_found
from bot.clock import Clock, system_clock
from bot.pricing.call import Call
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.tally import Tally
from bot.usage.calls import read_calls
from bot.usage.record_files import UnreadableError, find_files


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
