"""Names one after the other, as the reader's language joins them."""

from collections.abc import Sequence

from bot.language import tr


def listed(names: Sequence[str]) -> str:
    """`Opus 5`, `Opus 5 and Haiku 4.5`, `Opus 5, Sonnet 5 and Haiku 4.5`."""
    if len(names) == 1:
        return names[0]
    return tr("{names} and {last}", names=in_row(names[:-1]), last=names[-1])


def joined_by_and(names: Sequence[str]) -> str:
    """`Opus 5 and Sonnet 5 and Haiku 4.5`: each of them counts on its own."""
    joined = names[0]
    for name in names[1:]:
        joined = tr("{names} and {last}", names=joined, last=name)
    return joined


def in_row(parts: Sequence[str]) -> str:
    """`batch, fast mode`."""
    joined = parts[0]
    for part in parts[1:]:
        joined = tr("{before}, {after}", before=joined, after=part)
    return joined


def clauses(parts: Sequence[str]) -> str:
    """`Send in batches: $675.00; with the caching below: $400.00`: each could be a sentence of its own."""
    joined = parts[0]
    for part in parts[1:]:
        joined = tr("{before}; {after}", before=joined, after=part)
    return joined


def sentences(parts: Sequence[str]) -> str:
    """Whole sentences, one behind the other."""
    joined = parts[0]
    for part in parts[1:]:
        joined = tr("{sentence} {next}", sentence=joined, next=part)
    return joined
