"""Lists of words in the language in force: `50%, 75% and 90%`."""

from collections.abc import Sequence

from bot.language import tr


def comma_list(words: Sequence[str]) -> str:
    """`day, week`."""
    return tr(", ").join(words)


def labelled(label: str, text: str) -> str:
    """`search: $4.10`."""
    return tr("{label}: {text}", label=label, text=text)


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


def joined_by_and(names: Sequence[str]) -> str:
    """`Opus 5 and Sonnet 5 and Haiku 4.5`: each is one of several separate things."""
    joined = names[0]
    for name in names[1:]:
        joined = tr("{names} and {last}", names=joined, last=name)
    return joined


def clauses(parts: Sequence[str]) -> str:
    """`Send in batches: $675.00; with the caching below: $400.00`: each could be its own sentence."""
    joined = parts[0]
    for part in parts[1:]:
        joined = tr("{before}; {after}", before=joined, after=part)
    return joined


def sentences(parts: Sequence[str]) -> str:
    """Whole sentences in a row."""
    joined = parts[0]
    for part in parts[1:]:
        joined = tr("{sentence} {next}", sentence=joined, next=part)
    return joined


class Alternatives:
    """`day or week or month`, formatted where it is shown. No dataclass: short commands avoid what those import."""

    __slots__ = ("words",)

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __str__(self) -> str:
        return tr(" or ").join(self.words)
