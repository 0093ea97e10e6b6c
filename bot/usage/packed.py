"""Readings of a poll that wait to be stored, packed: the rows of a month of a large organisation are gigabytes."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import overload

import msgspec

from bot.usage.model import UsageReading, UsageRow

PACKED_FROM = 20_000
"""Fewer rows than these, all readings together, are left as they are."""

ROWS_PER_PACK = 2_000
"""Few enough to be packed in an instant, in which nothing else runs."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[UsageRow])


class _PackedRows(Sequence[UsageRow]):
    """Unpacked a few at a time."""

    def __init__(self, rows: Sequence[UsageRow]) -> None:
        self._count = len(rows)
        some, self._packs = iter(rows), list[bytes]()
        while pack := list(islice(some, ROWS_PER_PACK)):
            self._packs.append(zlib.compress(_ENCODER.encode(pack), 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[UsageRow]:
        for pack in self._packs:
            yield from _DECODER.decode(zlib.decompress(pack))

    @overload
    def __getitem__(self, index: int) -> UsageRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[UsageRow]: ...

    def __getitem__(self, index: int | slice) -> UsageRow | Sequence[UsageRow]:
        return list(self)[index]


def packed(reading: UsageReading) -> UsageReading:
    """The same with its rows packed."""
    return replace(reading, rows=_PackedRows(reading.rows))
