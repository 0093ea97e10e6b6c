"""`claude-cost price`: cost of recorded usage in files and folders."""

import argparse
import json
import os
import time
from datetime import UTC, tzinfo

from bot.cli.output import complain, show
from bot.cli.price_answer import Priced, as_json, as_text, nothing_found
from bot.cli.price_settled import read_settled
from bot.clock import Clock, system_clock
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.totals import priced
from bot.usage.logs.files import UnreadableError, find_files, in_order
from bot.usage.logs.price_cache import PriceCache, cache_folder, name_of_all, states_of


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 if calls were priced, 1 if there were none or a file could not be read or written, 2 for a wrong
    path.
    """
    card = load_rate_card()
    try:
        cache = PriceCache(None if arguments.no_cache else cache_folder(os.environ))
        found = price(arguments.paths, card, system_clock, arguments.zone, cache)
    except UnreadableError as error:
        complain(str(error))
        return 2
    for sentence in found.unreadable:
        complain(f"{sentence} It is missing from these sums.")
    nothing = not found.totals.total.calls
    if nothing:
        complain(nothing_found(found, arguments.paths))
    if arguments.json:
        show(json.dumps(as_json(found, card), indent=2))
    elif not nothing:
        show("\n".join(as_text(found, card, arguments.by)))
    return 1 if nothing or found.unreadable else 0


def price(
    paths: list[str], card: RateCard, clock: Clock, zone: tzinfo = UTC, cache: PriceCache | None = None
) -> Priced:
    """Read and add up. Raises `UnreadableError` for a missing path."""
    cache = cache or PriceCache(None)
    asked_ns = time.time_ns()
    found = find_files(paths)
    files = in_order(found.files)
    today = clock().astimezone(UTC).date()
    states = states_of(files, asked_ns) if cache.is_open else ()
    name = None
    if states and all(state is not None for _, state in states):
        name = name_of_all(f"{zone} {today}", states)
    known = None if name is None else cache.find(name, b"")
    settled = None if known is None else read_settled(known)
    unreadable = list(found.unreadable)
    if settled is None:
        from bot.cli.price_reading import read
        from bot.pricing.tally import Tally

        settled, broken = read(files, states, Tally(card, today, zone), cache)
        unreadable += broken
        # Do not cache files that changed while they were read.
        if name is not None and not broken and states == states_of(files, asked_ns, again=True):
            cache.keep(name, b"", settled.written())
    cache.close()
    left_out = {one.path: one.reason for one in found.left_out}
    skipped_in = {reason: tuple(names) for reason, names in settled.skipped_in.items()}
    totals = priced(settled.pile, card, today)
    return Priced(totals, settled.skipped, skipped_in, tuple(unreadable), left_out, str(zone))
