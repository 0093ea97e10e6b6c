"""Reads concatenated JSON values, or the elements of one array, piece by piece."""

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any

PIECE = 256 * 1024
LONGEST_VALUE = 8 * 1024 * 1024
"""Longest value in characters; a longer object is read member by member, and its lists element by element."""

NEAR_END = 16
"""Characters: an error this close to the end of the text read may belong to an incomplete value."""

_DECODER = json.JSONDecoder()


class BrokenError(Exception):
    """The values end in text that is not JSON. `rest`: the bytes read from there on; all of them if nothing was found
    before.
    """

    def __init__(self, found_any: bool, rest: bytes) -> None:
        super().__init__("broken JSON")
        self.found_any = found_any
        self.rest = rest


def values_of(stream: io.BufferedReader, first: bytes, piece: int = PIECE) -> Iterator[tuple[Any, bool]]:
    """The values, each with whether it is the only one; the elements of a sole array count as values of it.

    `piece`: bytes read at once.

    Raises `BrokenError`.
    """
    text = _Text(stream, first, piece)
    return _values(text)


def _values(text: "_Text") -> Iterator[tuple[Any, bool]]:
    found_any = False
    try:
        waiting: list[Any] = []
        while text.skip_space():
            if text.here() == "[":
                for element in _elements(text):
                    yield from ((value, False) for value in waiting)
                    waiting.clear()
                    found_any = True
                    yield [element], False
                continue
            value = text.value()
            if value is _TOO_LONG:
                for element in _members(text):
                    found_any = True
                    yield [element], False
                continue
            if found_any or waiting:
                yield from ((one, False) for one in (*waiting, value))
                waiting.clear()
            else:
                waiting.append(value)
            found_any = True
        yield from ((value, True) for value in waiting)
    except ValueError:
        yield from ((value, False) for value in waiting)
        raise BrokenError(found_any, text.rest(found_any)) from None


def _elements(text: "_Text") -> Iterator[Any]:
    """The elements of the array that begins here."""
    text.take()
    if text.skip_space() and text.here() == "]":
        text.take()
        return
    while True:
        if not text.skip_space():
            raise ValueError("an array without an end")
        value = text.value()
        if value is _TOO_LONG:
            raise ValueError("an element that is too long")
        yield value
        if not text.skip_space() or text.here() not in ",]":
            raise ValueError("an array without an end")
        if text.take() == "]":
            return


def _members(text: "_Text") -> Iterator[Any]:
    """The object that begins here in pieces: elements of its lists of objects, then its other members."""
    text.take()
    others: dict[str, Any] = {}
    while text.skip_space() and text.here() != "}":
        name = text.value()
        if not isinstance(name, str) or not text.skip_space() or text.take() != ":" or not text.skip_space():
            raise ValueError("no member")
        if text.here() == "[":
            for element in _elements(text):
                if isinstance(element, dict):
                    yield element
        else:
            others[name] = text.value()
            if others[name] is _TOO_LONG:
                raise ValueError("a member that is too long")
        if text.skip_space() and text.here() == ",":
            text.take()
    if not text.skip_space():
        raise ValueError("an object without an end")
    text.take()
    if "usage" in others or "input_tokens" in others:
        yield others


_TOO_LONG = object()


class _Text:
    """A window on a text."""

    def __init__(self, stream: io.BufferedReader, first: bytes, piece: int) -> None:
        self._stream = stream
        self._piece = piece
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._window = self._decode.decode(first).removeprefix("\ufeff")
        self._at = 0
        self._is_complete = False

    def skip_space(self) -> bool:
        """Skip white space; False at the end."""
        while True:
            while self._at < len(self._window) and self._window[self._at] in " \t\r\n\ufeff\x1e":
                self._at += 1
            if self._at < len(self._window):
                return True
            if not self._more(self._piece):
                return False

    def here(self) -> str:
        return self._window[self._at]

    def take(self) -> str:
        self._at += 1
        return self._window[self._at - 1]

    def value(self) -> Any:
        """The value that begins here; `_TOO_LONG` for one beyond `LONGEST_VALUE`, which is not taken."""
        piece = self._piece
        while True:
            try:
                value, end = _DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if error.pos < len(self._window) - NEAR_END and not error.msg.startswith("Unterminated string"):
                    raise
                if len(self._window) - self._at > LONGEST_VALUE:
                    if self._window[self._at] == "{":
                        return _TOO_LONG
                    raise
                if not self._more(piece):
                    raise
            except RecursionError:
                raise ValueError("nested too deep") from None
            else:
                if end < len(self._window) or self._is_complete or not self._more(self._piece):
                    self._at = end
                    return value
            piece *= 2

    def rest(self, found_any: bool) -> bytes:
        """The unconsumed text from the next line that begins with an object; all of it if there is none."""
        if not found_any:
            return self._window.encode("utf-8", "replace")
        begin = self._window.find("\n{", self._at)
        return self._window[begin + 1 :].encode("utf-8", "replace") if begin >= 0 else b""

    def _more(self, size: int) -> bool:
        """Read more and drop the consumed text."""
        if self._is_complete:
            return False
        content = self._stream.read(size)
        self._is_complete = len(content) < size
        if self._at > self._piece:
            self._window, self._at = self._window[self._at :], 0
        try:
            self._window += self._decode.decode(content, final=self._is_complete)
        except UnicodeDecodeError:
            self._decode.reset()
            self._window += content.decode("utf-8", "replace")
        return bool(content)
