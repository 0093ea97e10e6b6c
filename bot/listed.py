"""Words in a row, in the language in force: `50%, 75% and 90%`."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.language import tr


def comma_list(words: Sequence[str]) -> str:
    """`day, week`."""
    return tr(", ").join(words)


def all_of(words: Sequence[str]) -> str:
    """`50%, 75% and 90%`."""
    if len(words) < 2:
        return "".join(words)
    return tr("{some} and {last}", some=comma_list(words[:-1]), last=words[-1])


def any_of(words: Sequence[str]) -> str:
    """`day, week or month`."""
    if len(words) < 2:
        return "".join(words)
    return tr("{some} or {last}", some=comma_list(words[:-1]), last=words[-1])


@dataclass(frozen=True, slots=True)
class Alternatives:
    """`day or week or month`, listed where it is shown."""

    words: Sequence[str]

    def __str__(self) -> str:
        return tr(" or ").join(self.words)
