"""The unpacked content of a growing file: how far it is complete, and how much was read before. Pure."""

import io
from collections.abc import Collection
from hashlib import sha256
from typing import Any, BinaryIO

from bot.usage.logs.streams import (
    BUFFER,
    LONGEST,
    Reader,
    begins_array,
    cells_of,
    opened,
    parsed,
    table_of,
)
from bot.usage.logs.usage_block import Skipped

HEAD = 64 * 1024
"""Bytes searched for the end of the first line."""


def head_of(stream: BinaryIO) -> str:
    """Hash of the first line, 64 hexadecimal digits, unchanged while a file grows, is renamed, copied or compressed.
    Raises like `opened`.
    """
    beginning = opened(stream).read(HEAD)
    return sha256(beginning.lstrip().partition(b"\n")[0].rstrip()).hexdigest()


def known_part(stream: BinaryIO, known: Collection[tuple[int, str]]) -> tuple[str | None, bool]:
    """Digest of the largest known content that this one equals or begins with, and whether it is equal.

    `known`: sizes in bytes, and SHA-256. Raises like `opened`.
    """
    reader, hashed = opened(stream), sha256()
    size = found = 0
    digest = None
    for wanted, its in sorted(known):
        while size < wanted and (piece := reader.read1(min(BUFFER, wanted - size))):
            hashed.update(piece)
            size += len(piece)
        if size < wanted:
            return digest, False
        if hashed.hexdigest() == its:
            found, digest = wanted, its
    return digest, digest is not None and found == size and not reader.peek(1)


class Content(io.RawIOBase):
    """Content without an incomplete last line, which is read next time.

    `size` and `digest`: of what was read. `known`: size of what was read before; `is_new`: whether anything after that
    was read. A read never spans the border, so that lines before and after it are not mixed.
    """

    def __init__(self, reader: Reader, known: int = 0) -> None:
        self.size = 0
        self.is_new = not known
        self.has_half_row = False
        self.last_column: str | None = None
        self._reader = reader
        self._known = known
        self._hashed = sha256()
        self._ready = memoryview(b"")
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._is_lines: bool | None = None
        self._columns = 0
        self._delimiter = ","
        self._is_complete = False

    @property
    def digest(self) -> str:
        return self._hashed.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._is_complete:
            self._ready = memoryview(self._more())
        size = min(len(buffer), len(self._ready))
        if self.size < self._known:
            left = self._known - self.size
            if bytes(self._ready[left : left + 1]) == b"\n":
                self._known += 1
                left += 1
            size = min(size, left)
        elif size:
            self.is_new = True
        piece, self._ready = self._ready[:size], self._ready[size:]
        buffer[:size] = piece
        if not self.has_half_row:
            self._hashed.update(piece)
            self.size += size
        return size

    def _more(self) -> bytes:
        piece = self._reader.read1(BUFFER)
        if self._is_lines is False:
            self._is_complete = not piece
            return piece
        end = piece.rfind(b"\n") + 1
        if not piece or (not end and self._tail_size > LONGEST):
            return self._last(piece)
        if not end:
            if self._is_lines is None and not self._tail and piece.lstrip()[:1] == b"[":
                self._is_lines = False
                return piece
            self._hold(piece)
            return b""
        whole = b"".join((*self._tail, memoryview(piece)[:end]))
        self._tail.clear()
        self._tail_size = 0
        if self._is_lines is None and whole.strip():
            self._is_lines = self._decide(whole)
            if not self._is_lines:
                return whole + piece[end:]
        self._hold(piece[end:])
        return whole

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._tail.append(piece)
            self._tail_size += len(piece)

    def _last(self, piece: bytes) -> bytes:
        """The incomplete last line, or the rest of a line that is too long."""
        tail = b"".join((*self._tail, piece))
        self._tail.clear()
        self._tail_size = 0
        self._is_complete = not piece
        if piece or self._is_lines is None:
            self._is_lines = self._is_lines or False
            return tail
        if self._columns:
            # The last cell of such a row may be incomplete, so the row is read again.
            self.has_half_row = len(cells_of(tail.decode("utf-8", "replace"), self._delimiter)) >= self._columns
            return tail if self.has_half_row else b""
        return b"" if isinstance(parsed(tail), Skipped) else tail

    def _decide(self, beginning: bytes) -> bool:
        """Whether the content consists of lines."""
        first = beginning.lstrip().partition(b"\n")[0]
        if table_of(first) is not None:
            text = first.decode("utf-8", "replace").strip()
            self._delimiter = max(",;\t", key=text.count)
            columns = cells_of(text, self._delimiter)
            self._columns, self.last_column = len(columns), columns[-1]
            return True
        if begins_array(beginning):
            return False
        return not (first[:1] == b"{" and parsed(first) is Skipped.NOT_JSON)
