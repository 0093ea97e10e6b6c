"""Output of `claude-cost price`: one JSON object, or a total, a table and notes on how far to trust them."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import PurePath
from typing import Any

from bot.amounts import usd
from bot.pricing.card import RateCard
from bot.pricing.totals import LONGEST_PROMPT, UNKNOWN, Sum, Totals

MICRODOLLAR = Decimal("0.000001")

COLUMNS = ("calls", "input", "5m writes", "1h writes", "cache reads", "output", "USD")

MOST_NAMES = 3
"""File names in one note; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Priced:
    """Result of the files. `skipped`: reason → lines, `skipped_in`: reason → files; `unreadable`: a sentence for each
    missing file; `left_out`: file of a folder → why it has nothing to price. `zone`: of the days.
    """

    totals: Totals
    skipped: Mapping[str, int]
    skipped_in: Mapping[str, tuple[str, ...]]
    unreadable: tuple[str, ...]
    left_out: Mapping[str, str]
    zone: str


def as_json(priced: Priced, card: RateCard) -> dict[str, Any]:
    """One object; amounts are strings of USD with six decimals, rounded half-up from exact sums."""
    totals = priced.totals
    return {
        "total_usd": decimals(totals.total.usd),
        "calls": totals.total.calls,
        "duplicates": totals.repeats,
        "by_model": _sums(totals.by_model),
        "by_day": _sums(totals.by_day),
        "by_feature": _sums(totals.by_feature),
        "by_user": _sums(totals.by_user),
        "unpriced": {model: one.calls for model, one in sorted(totals.assumed.items())},
        "assumed_usd": decimals(totals.assumed_usd),
        "at_least": dict(sorted(totals.at_least.items())),
        "not_in_total": {"calls": 0, "usd": decimals(Decimal(0))},
        "outside_counts": {
            "calls": totals.outside.calls,
            "usd": decimals(totals.outside.usd),
            "unreadable": totals.odd_iterations,
        },
        "unknown_service_tiers": dict(sorted(totals.tiers.items())),
        "longer_than_any_prompt": dict(sorted(totals.beyond.items())),
        "sums_of_requests": totals.sums,
        "running_totals": {"left_out": totals.running_totals, "files": list(totals.running_totals_in)},
        "session_sums": totals.session_sums,
        "begin_alike": list(totals.begin_alike),
        "not_claude": dict(sorted(totals.not_claude.items())),
        "skipped": dict(sorted(priced.skipped.items())),
        "unreadable": list(priced.unreadable),
        "left_out": dict(priced.left_out),
        "zone": priced.zone,
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
            "usd": decimals(part.usd),
        }
        for name, part in sorted(sums.items())
    }


def decimals(amount: Decimal) -> str:
    """Six decimals, rounded half-up."""
    return str(amount.quantize(MICRODOLLAR, ROUND_HALF_UP))


def as_text(priced: Priced, card: RateCard, by: str) -> Iterator[str]:
    """The total first, then the table, then everything a reader must know to trust the total."""
    totals = priced.totals
    least = "at least " if totals.at_least else ""
    assumed = f", {usd(totals.assumed_usd)} of it ASSUMED" if totals.assumed else ""
    yield f"{least}{usd(totals.total.usd)} for {number(totals.total.calls, 'call')}{assumed}"
    yield ""
    yield from _table(by, _grouped(totals, by), totals.total)
    yield ""
    yield from _notes(priced, card)


def _notes(priced: Priced, card: RateCard) -> Iterator[str]:
    totals = priced.totals
    for model, one in sorted(totals.assumed.items()):
        yield (
            f"ASSUMED: {shown(model)} is in no price table: {number(one.calls, 'call')}, {usd(one.usd)}, {one.how}. "
            "A newer claude-cost may know it."
        )
    for model, calls in sorted(totals.at_least.items()):
        yield (
            f"At least: {number(calls, 'call')} of {shown(model)} may have cost more, in fast mode or above "
            "a step of the price that the records do not show; counted at the standard price."
        )
    if totals.outside.calls:
        yield (
            f"Included: {usd(totals.outside.usd)} of compaction, advice and other attempts, billed too, that "
            f"{number(totals.outside.calls, 'call')} list outside of their own counts."
        )
    if totals.odd_iterations:
        yield f"{number(totals.odd_iterations, 'iteration')} could not be read: their tokens are not in the total."
    for tier, calls in sorted(totals.tiers.items()):
        yield f"Service tier {shown(tier)} has no published price: {number(calls, 'call')} counted as standard."
    yield from _notes_on_sums(totals)
    searches = totals.total.counts.web_search_requests
    if searches:
        yield f"Included: {number(searches, 'web search', 'web searches')} at {usd(card.web_search_usd)} each."
    if totals.repeats:
        yield f"{number(totals.repeats, 'repeat')} of a response already counted: left out."
    for model, calls in sorted(totals.not_claude.items()):
        yield f"Left out: {number(calls, 'call')} of {shown(model)}, which is not a Claude model."
    for reason, lines in sorted(priced.skipped.items(), key=lambda item: (-item[1], item[0])):
        yield f"{number(lines, 'line')} skipped in {_names(priced.skipped_in[reason])}: {reason}."
    yield from _notes_on_files(priced.left_out)
    if UNKNOWN in totals.by_day:
        yield f"{number(totals.by_day[UNKNOWN].calls, 'call')} without a time: priced at today's rates."
    yield (
        f"List prices in USD without tax, prices checked on {card.checked_on.isoformat()}. Days are {priced.zone}"
        f"{'' if priced.zone == 'UTC' else '; prices go by UTC days'}."
    )


def _notes_on_sums(totals: Totals) -> Iterator[str]:
    for model, calls in sorted(totals.beyond.items()):
        yield (
            f"{number(calls, 'record')} of {shown(model)} with a prompt above {LONGEST_PROMPT:,} tokens, which no "
            "model reads at once: priced as the sum of several requests. If it is a running total, it is too much."
        )
    if totals.running_totals:
        yield (
            f"Running totals in {_names(totals.running_totals_in)}: what each session and model has risen by counts, "
            f"{number(totals.running_totals, 'record')} that later ones contain left out."
        )
    if totals.sums:
        yield (
            f"{number(totals.sums, 'record')} of reports or clients, each the sum of several requests: a report of "
            "the same requests as other files here counts them twice."
        )
    if totals.begin_alike:
        yield (
            f"Counted, but perhaps copies: {_names(totals.begin_alike)} without ids, with the first records of another "
            "file. Name one of them to price one; `import` counts copies once."
        )
    if totals.session_sums:
        yield (f"{number(totals.session_sums, 'sum')} of a session left out: its calls are counted one by one.")


def _notes_on_files(left_out: Mapping[str, str]) -> Iterator[str]:
    reasons = Counter(left_out.values())
    for reason, files in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        names = tuple(name for name, why in left_out.items() if why == reason)
        yield f"{number(files, 'file')} not read ({reason}): {_names(names)}."


def _names(names: tuple[str, ...]) -> str:
    """The last parts of a few file names."""
    listed = ", ".join(shown(PurePath(name).name) for name in names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{listed} and {more:,} more" if more > 0 else listed


def nothing_found(priced: Priced, paths: list[str]) -> str:
    """One sentence for files without any call."""
    there = []
    for model, calls in sorted(priced.totals.not_claude.items()):
        there.append(f"{calls:,} × {shown(model)}, which is not a Claude model")
    there.extend(f"{lines:,} × {reason}" for reason, lines in sorted(priced.skipped.items()))
    where = ", ".join(paths)
    if there:
        return f"No call was found in {where}; what is there was skipped: {'; '.join(there)}."
    if priced.left_out:
        return f"Nothing to price in {where}: {number(len(priced.left_out), 'file')} there, none of them with usage."
    return f"Nothing to price in {where}: no record in any file."


def _grouped(totals: Totals, by: str) -> list[tuple[str, Sum]]:
    """Days in order; everything else most expensive first."""
    if by == "day":
        return sorted(totals.by_day.items())
    sums = {"model": totals.by_model, "feature": totals.by_feature, "user": totals.by_user}[by]
    return sorted(sums.items(), key=lambda item: (-item[1].usd, item[0]))


def _table(by: str, rows: list[tuple[str, Sum]], total: Sum) -> Iterator[str]:
    cells = [(by, *COLUMNS), *((shown(name), *_cells(part)) for name, part in rows)]
    if len(rows) > 1:
        cells.append(("total", *_cells(total)))
    widths = [max(map(_columns_of, column)) for column in zip(*cells, strict=True)]
    for first, *numbers in cells:
        name = first + " " * (widths[0] - _columns_of(first))
        yield "  ".join((name, *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))))


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
    return (*(f"{count:,}" for count in numbers), usd(part.usd))


def number(how_many: int, one: str, more: str | None = None) -> str:
    """`1 file`, `1,200 files`."""
    return f"{how_many:,} {one if how_many == 1 else more or one + 's'}"


def shown(name: str) -> str:
    """A name from a file, without control characters of terminals."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def _columns_of(text: str) -> int:
    """Terminal columns of a text: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
