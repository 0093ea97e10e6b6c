"""`claude-cost price`: what recorded usage in files and folders cost."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from itertools import chain, repeat
from typing import Any, Self

import msgspec

from bot.cli.output import complain, show
from bot.cli.price_answer import Priced, as_json, as_text, nothing_found
from bot.clock import Clock, system_clock
from bot.pricing.card import RateCard, load_rate_card
from bot.pricing.file_calls import FileCalls, Kept
from bot.pricing.tally import Pile, Tally
from bot.usage.calls import read_calls
from bot.usage.price_cache import PriceCache, cache_folder, fingerprint, name_of, name_of_all
from bot.usage.record_files import RecordFile, UnreadableError, find_files
from bot.usage.record_streams import Advance
from bot.usage.usage_block import Skipped
from bot.usage.usual_lines import UsualLines

MOST_NAMELESS = 10_000
"""Calls without an id that are held at a time."""


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where calls were priced, 1 where there were none or something could not be read or written, 2 for a
    wrong path."""
    card = load_rate_card()
    try:
        cache = PriceCache(None if arguments.no_cache else cache_folder(os.environ))
        priced = price(arguments.paths, card, system_clock, arguments.zone, cache)
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


class _Settled(msgspec.Struct, array_like=True):
    """What all files came to together: tokens by place, and what was skipped where."""

    pile: Pile
    skipped: dict[str, int]
    skipped_in: dict[str, list[str]]


def price(
    paths: list[str], card: RateCard, clock: Clock, zone: tzinfo = UTC, cache: PriceCache | None = None
) -> Priced:
    """Read and add up. Raises `UnreadableError` for a path that is not there."""
    found = find_files(paths)
    cache = cache or PriceCache(None)
    now = clock().astimezone(UTC)
    tally = Tally(card, now.date(), zone)
    states = _states(found.files, cache)
    name = None
    if states and all(state is not None for _, state in states):
        name = name_of_all(f"{zone} {now.date()}", [(one, state or b"") for one, state in states])
    settled = None if name is None else cache.find(name, b"", _Settled)
    unreadable = list(found.unreadable)
    if settled is None:
        settled, broken = _read(found.files, states, tally, cache)
        unreadable += broken
        if name is not None and not broken and states == _states(found.files, cache):
            cache.keep(name, b"", settled)
    cache.close()
    left_out = {str(one.path): one.reason for one in found.left_out}
    files = {reason: tuple(names) for reason, names in settled.skipped_in.items()}
    totals = tally.priced(settled.pile)
    return Priced(totals, settled.skipped, files, tuple(unreadable), left_out, str(zone))


def _states(files: Sequence[RecordFile], cache: PriceCache) -> list[tuple[bytes, bytes | None]]:
    """The name and the state of each file, None where it cannot be kept."""
    if not cache.is_open:
        return []
    now_ns = time.time_ns()
    return [(b"", None) if one.path is None else (name_of(one.path), fingerprint(one.path, now_ns)) for one in files]


def _read(
    files: Sequence[RecordFile], states: list[tuple[bytes, bytes | None]], tally: Tally, cache: PriceCache
) -> tuple[_Settled, list[str]]:
    """What the files come to, and a sentence for each that could not be read."""
    skipped, skipped_in, broken = Counter[str](), dict[str, list[str]](), list[str]()
    with _Progress(sum(file.size for file in files)) as progress:
        for file, (name, state) in zip(files, states or repeat((b"", None)), strict=False):
            kept = None if state is None else cache.find(name, state, Kept)
            try:
                parts = list(_recalled(file, tally, kept)) if kept else _parts(file, tally, progress.advance)
                whole: FileCalls | None = None
                for first, part in zip(chain((True,), repeat(False)), parts, strict=False):
                    whole = part if first else None
                    tally.include(part)
                    skipped.update(part.skipped)
                    for reason in part.skipped:
                        names = skipped_in.setdefault(reason, [])
                        if file.name not in names[-1:]:
                            names.append(file.name)
            except UnreadableError as error:
                broken.append(str(error))
                continue
            # A file that changed while it was read is not kept.
            if state is None or kept is not None or whole is None or file.path is None:
                continue
            if fingerprint(file.path, time.time_ns()) == state:
                cache.keep(name, state, whole.kept())
    return _Settled(tally.pile(), dict(skipped), skipped_in), broken


def _recalled(file: RecordFile, tally: Tally, kept: Kept) -> Iterator[FileCalls]:
    part = tally.file(file.name)
    part.recall(kept)
    yield part


class _Progress:
    """A bar on a terminal, once it takes long enough to wonder. `size`: in bytes."""

    def __init__(self, size: int) -> None:
        self._bar: Any = None
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=size or None, unit="B", unit_scale=True, delay=0.5, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, size: int) -> None:
        """So many bytes more were read."""
        if self._bar is not None:
            self._bar.update(size)


def _parts(file: RecordFile, tally: Tally, advance: Advance) -> Iterator[FileCalls]:
    """The calls of a file in parts, since memory must not grow with the calls that have no id.

    Raises `UnreadableError`, after what could be read.
    """
    part = tally.file(file.name)
    usual = UsualLines(part)
    try:
        for call in read_calls(file.records(advance, usual.take)):
            if isinstance(call, Skipped):
                part.skipped[call.value] += 1
                continue
            part.add(call)
            if len(part.nameless) >= MOST_NAMELESS:
                before, part = part, tally.file(file.name)
                usual.go_on(part)
                yield before
    except UnreadableError:
        usual.finish()
        yield part
        raise
    usual.finish()
    yield part
