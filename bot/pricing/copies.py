"""Which calls without an id are in another file as well, at the same place: a copy of the log. Pure.

Nothing proves that such a call is a repeat, so it counts in each file, and is named.
"""

from array import array
from collections import Counter
from collections.abc import Collection


class Copies:
    """What files hold, call by call: a call is known by a number that it shares with all that stand before it."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._places: dict[str, array[int]] = {}
        self._alike: dict[int, list[str]] = {}

    def add(self, name: str, place: int) -> None:
        """The next call of a file by its number, 8 bytes of a digest; 0 where it has none."""
        places = self._places.get(name)
        if places is None:
            places = self._places[name] = array("Q")
            self._alike.setdefault(place, []).append(name)
        number = len(places)
        places.append(place)
        if place:
            others = (self._places[other] for other in self._alike[places[0]] if other != name)
            self._found[name] += any(number < len(other) and other[number] == place for other in others)

    def beside(self, names: Collection[str]) -> int:
        """How many calls are in a file read before as well, apart from those of the files named."""
        return sum(found for name, found in self._found.items() if name not in names)
