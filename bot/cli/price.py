"""`claude-cost price`: what recorded usage in files and folders cost."""

import argparse
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tqdm import tqdm

from bot.clock import Clock, system_clock
from bot.money import usd
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.tally import UNKNOWN, Sum, Tally, Totals
from bot.usage.record_files import STANDARD_INPUT, SUFFIXES, UnreadableError, find_files
from bot.usage.records import call_in
from bot.usage.usage_block import Skipped

GROUPS = ("model", "day", "feature", "user")

MICRODOLLAR = Decimal("0.000001")

COLUMNS = ("calls", "input", "5m writes", "1h writes", "cache reads", "output", "USD")


@dataclass(frozen=True, slots=True)
class Priced:
    """What the files came to. `skipped`: reason → lines; `unreadable`: a sentence for each file that is missing."""

    totals: Totals
    skipped: Mapping[str, int]
    unreadable: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `price`."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help=f"a file of JSON lines or JSON, a folder ({', '.join('*' + suffix for suffix in SUFFIXES)} in it and in "
        f"its folders), or {STANDARD_INPUT} for standard input",
    )
    parser.add_argument("--by", choices=GROUPS, default="model", help="what the table shows (default: model)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every grouping")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where calls were priced, 1 where there were none or a file could not be read, 2 for a wrong path."""
    card = load_rate_card()
    try:
        priced = price(arguments.paths, card, system_clock)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return 2
    for sentence in priced.unreadable:
        print(f"{sentence} It is missing from these sums.", file=sys.stderr)
    nothing = not priced.totals.total.calls
    if nothing:
        print(_nothing_found(priced, arguments.paths), file=sys.stderr)
    if arguments.json:
        _print(json.dumps(as_json(priced, card), indent=2))
    elif not nothing:
        _print("\n".join(as_text(priced, card, arguments.by)))
    return 1 if nothing or priced.unreadable else 0


def price(paths: list[str], card: RateCard, clock: Clock) -> Priced:
    """Read and add up. Raises `UnreadableError` for a path that is not there."""
    found = find_files(paths)
    unreadable = list(found.unreadable)
    tally, skipped = Tally(card, clock().astimezone(UTC).date()), Counter[str]()
    size = sum(file.size for file in found.files)
    # Only on a terminal, and only when it takes long enough to wonder.
    with tqdm(total=size or None, unit="B", unit_scale=True, delay=0.5, disable=None, leave=False) as progress:
        for file in found.files:
            try:
                for record in file.records(progress.update):
                    call = record if isinstance(record, Skipped) else call_in(record)
                    if isinstance(call, Skipped):
                        skipped[call.value] += 1
                    else:
                        tally.add(call)
            except UnreadableError as error:
                unreadable.append(str(error))
    return Priced(tally.totals(), skipped, tuple(unreadable))


def as_json(priced: Priced, card: RateCard) -> dict[str, Any]:
    """One object; amounts are strings of USD with six decimals, rounded half-up from exact sums."""
    totals = priced.totals
    return {
        "total_usd": _decimals(totals.total.usd),
        "calls": totals.total.calls,
        "duplicates": totals.repeats,
        "by_model": _sums(totals.by_model),
        "by_day": _sums(totals.by_day),
        "by_feature": _sums(totals.by_feature),
        "by_user": _sums(totals.by_user),
        "unpriced": {model: one.calls for model, one in sorted(totals.assumed.items())},
        "assumed_usd": _decimals(totals.assumed_usd),
        "at_least": dict(sorted(totals.at_least.items())),
        "not_in_total": {"calls": totals.beside.calls, "usd": _decimals(totals.beside.usd)},
        "skipped": dict(sorted(priced.skipped.items())),
        "unreadable": list(priced.unreadable),
        "rates_checked": card.checked_on.isoformat(),
    }


def _sums(sums: Mapping[str, Sum]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "calls": part.calls,
            "input_tokens": part.counts.uncached_input_tokens,
            "cache_creation_5m_input_tokens": part.counts.cache_creation_5m_input_tokens,
            "cache_creation_1h_input_tokens": part.counts.cache_creation_1h_input_tokens,
            "cache_read_input_tokens": part.counts.cache_read_input_tokens,
            "output_tokens": part.counts.output_tokens,
            "web_search_requests": part.counts.web_search_requests,
            "usd": _decimals(part.usd),
        }
        for name, part in sorted(sums.items())
    }


def _decimals(amount: Decimal) -> str:
    return str(amount.quantize(MICRODOLLAR, ROUND_HALF_UP))


def as_text(priced: Priced, card: RateCard, by: str) -> Iterator[str]:
    """The total first, then the table, then all that a reader must know to trust the total."""
    totals = priced.totals
    least = "at least " if totals.at_least else ""
    assumed = f", {usd(totals.assumed_usd)} of it ASSUMED" if totals.assumed else ""
    yield f"{least}{usd(totals.total.usd)} for {_number(totals.total.calls, 'call')}{assumed}"
    yield ""
    yield from _table(by, _grouped(totals, by), totals.total)
    yield ""
    yield from _notes(priced, card)


def _notes(priced: Priced, card: RateCard) -> Iterator[str]:
    totals = priced.totals
    for model, one in sorted(totals.assumed.items()):
        yield (
            f"ASSUMED: {_shown(model)} is in no price table: {_number(one.calls, 'call')}, {usd(one.usd)}, {one.how}. "
            "A newer claude-cost may know it."
        )
    for model, calls in sorted(totals.at_least.items()):
        yield (
            f"At least: {_number(calls, 'call')} of {_shown(model)} ran in fast mode, whose price is not known; "
            "counted at the standard price."
        )
    if totals.beside.calls:
        yield (
            f"Not in the total: {usd(totals.beside.usd)} of compaction and advisor tokens, billed too, that "
            f"{_number(totals.beside.calls, 'call')} list outside of their own counts."
        )
    searches = totals.total.counts.web_search_requests
    if searches:
        yield f"Included: {_number(searches, 'web search', 'web searches')} at {usd(card.web_search_usd)} each."
    if totals.repeats:
        yield f"{_number(totals.repeats, 'repeat')} of a response already counted: left out."
    for reason, lines in sorted(priced.skipped.items(), key=lambda item: (-item[1], item[0])):
        yield f"{_number(lines, 'line')} skipped: {reason}."
    if UNKNOWN in totals.by_day:
        yield f"{_number(totals.by_day[UNKNOWN].calls, 'call')} without a time: priced at today's rates."
    yield f"List prices in USD without tax, prices checked on {card.checked_on.isoformat()}. Days are UTC."


def _nothing_found(priced: Priced, paths: list[str]) -> str:
    if priced.skipped:
        reasons = "; ".join(f"{lines:,} × {reason}" for reason, lines in sorted(priced.skipped.items()))
        return f"No call was found in {', '.join(paths)}; what is there was skipped: {reasons}."
    return (
        f"Nothing to price in {', '.join(paths)}: no record in any file, and of a folder only "
        f"{', '.join('*' + suffix for suffix in SUFFIXES)} are read."
    )


def _grouped(totals: Totals, by: str) -> list[tuple[str, Sum]]:
    """Days in their order; everything else the dearest first."""
    if by == "day":
        return sorted(totals.by_day.items())
    sums = {"model": totals.by_model, "feature": totals.by_feature, "user": totals.by_user}[by]
    return sorted(sums.items(), key=lambda item: (-item[1].usd, item[0]))


def _table(by: str, rows: list[tuple[str, Sum]], total: Sum) -> Iterator[str]:
    cells = [(by, *COLUMNS), *((_shown(name), *_cells(part)) for name, part in rows)]
    if len(rows) > 1:
        cells.append(("total", *_cells(total)))
    widths = [max(map(_columns_of, column)) for column in zip(*cells, strict=True)]
    for first, *numbers in cells:
        name = first + " " * (widths[0] - _columns_of(first))
        yield "  ".join((name, *(number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))))


def _cells(part: Sum) -> tuple[str, ...]:
    counts = part.counts
    numbers = (
        part.calls,
        counts.uncached_input_tokens,
        counts.cache_creation_5m_input_tokens,
        counts.cache_creation_1h_input_tokens,
        counts.cache_read_input_tokens,
        counts.output_tokens,
    )
    return (*(f"{number:,}" for number in numbers), usd(part.usd))


def _number(number: int, one: str, more: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _shown(name: str) -> str:
    """A name from a file, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def _columns_of(text: str) -> int:
    """How many columns a terminal needs: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    # Flushed here, so that a reader who has gone away is noticed while somebody can handle it.
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
