"""Which files begin with the very records that another one begins with, and may be copies of it. Pure.

Nothing shows that a record without an id is a repeat, so it counts in each file, and the file is named.
"""

from collections.abc import Collection, Sequence

COMPARED = 16
"""Calls without an id, from the first one of a file."""


class Beginnings:
    """How files begin: each call is known by a number that depends on all calls before it."""

    def __init__(self) -> None:
        self._known: dict[int, list[Sequence[int]]] = {}
        self._alike: list[str] = []

    def add(self, name: str, numbers: Sequence[int]) -> None:
        """The first calls of a file, by 8 bytes of a digest each."""
        if not numbers:
            return
        known = self._known.setdefault(numbers[0], [])
        if any(numbers[last] == one[last] for one in known if (last := min(len(numbers), len(one)) - 1) >= 0):
            self._alike.append(name)
        known.append(numbers)

    def alike(self, besides: Collection[str]) -> tuple[str, ...]:
        """The files that begin as one read before, without those in `besides`."""
        return tuple(name for name in self._alike if name not in besides)
