"""Reads files that `claude-cost price` has not cached: slow to import, so skipped if nothing changed."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Self

from bot.cli.price_settled import Settled
from bot.pricing.responses import Call
from bot.pricing.tally import COMPARED, FileCalls, Kept, Tally, kept_in
from bot.usage.logs.calls import CallReader, RecordChain
from bot.usage.logs.files import RecordFile, UnreadableError
from bot.usage.logs.price_cache import PriceCache, State, state_at
from bot.usage.logs.streams import Advance
from bot.usage.logs.usage_block import Record, Skipped
from bot.usage.logs.usual_lines import UsualLines

MOST_NAMELESS = 10_000
"""Most calls without an id held at a time."""


def read(
    files: Sequence[RecordFile], states: Sequence[State], tally: Tally, cache: PriceCache
) -> tuple[Settled, list[str]]:
    """Sums of the files, and a sentence for each unreadable one."""
    skipped, skipped_in, broken = Counter[str](), dict[str, list[str]](), list[str]()
    with Progress(sum(file.size for file in files)) as progress:
        for file, (name, state) in zip(files, states or repeat((b"", None)), strict=False):
            known = None if state is None else cache.find_one_of_many(name, state)
            kept = None if known is None else kept_in(known)
            try:
                parts = _recalled(file, tally, kept) if kept else _parts(file, tally, progress.advance)
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
            # Do not cache a file that changed while it was read.
            if state is None or kept is not None or whole is None or file.path is None:
                continue
            if state_at(file.path) == state:
                cache.keep(name, state, whole.kept())
    return Settled(tally.pile(), dict(skipped), skipped_in), broken


def _recalled(file: RecordFile, tally: Tally, kept: Kept) -> Iterator[FileCalls]:
    part = tally.file(file.name)
    part.recall(kept)
    yield part


def _placed(records: Iterable[Record | Skipped]) -> Iterator[tuple[Call | Skipped, int]]:
    """Calls of one file, each of the first without an id with a number that is the same in every copy of the file."""
    reader, chain, found = CallReader(), RecordChain(), 0
    for record in records:
        if isinstance(record, Skipped):
            yield record, 0
            continue
        if found < COMPARED:
            chain.add(record)
        for number, call in enumerate(reader.calls(record)):
            place = 0
            if found < COMPARED and isinstance(call, Call) and (call.response is None or call.sums_session):
                found += 1
                place = (int.from_bytes(chain.digest[:8]) + number) % 2**64
            yield call, place


class Progress:
    """A progress bar on a terminal, shown after a while. `size`: in bytes."""

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
        """This many more bytes were read."""
        if self._bar is not None:
            self._bar.update(size)


def _parts(file: RecordFile, tally: Tally, advance: Advance) -> Iterator[FileCalls]:
    """Calls of a file in parts, since memory must not grow with the calls without an id.

    Raises `UnreadableError`, after the readable part.
    """
    part = tally.file(file.name)
    usual = UsualLines(part)
    try:
        for call, place in _placed(file.records(advance, usual.take)):
            if isinstance(call, Skipped):
                part.skipped[call.value] += 1
                continue
            part.add(call, place)
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
