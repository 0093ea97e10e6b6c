"""What the rows of a report are, in words, and lists of words."""

from collections.abc import Iterable, Mapping

from bot.language import tr, tr_noop

NOUNS: Mapping[str, str] = {
    "model": tr_noop("model"),
    "workspace": tr_noop("workspace"),
    "key": tr_noop("key"),
    "feature": tr_noop("feature"),
    "user": tr_noop("user"),
    "tag": tr_noop("tag"),
    "product": tr_noop("product"),
    "group": tr_noop("group"),
    "agent": tr_noop("agent"),
    "actor": tr_noop("actor"),
    "organization": tr_noop("organization"),
}

HEADINGS: Mapping[str, str] = {
    "model": tr_noop("Model"),
    "workspace": tr_noop("Workspace"),
    "key": tr_noop("Key"),
    "feature": tr_noop("Feature"),
    "user": tr_noop("User"),
    "tag": tr_noop("Tag"),
    "product": tr_noop("Product"),
    "group": tr_noop("Group"),
    "agent": tr_noop("Agent"),
    "actor": tr_noop("Actor"),
    "organization": tr_noop("Organization"),
}

NOBODY: Mapping[str, str] = {
    "model": tr_noop("no model"),
    "workspace": tr_noop("no workspace"),
    "key": tr_noop("no key"),
    "feature": tr_noop("no feature"),
    "user": tr_noop("no user"),
    "tag": tr_noop("no tag"),
    "product": tr_noop("no product"),
    "group": tr_noop("no group"),
    "agent": tr_noop("no agent"),
    "actor": tr_noop("no actor"),
    "organization": tr_noop("no organization"),
}
"""Of usage that has none."""


def noun(by: str, tag: str | None = None) -> str:
    """`feature`, `tag:team`. `by`: a `GroupBy` or an `AttributedBy`."""
    return tr(NOUNS[by]) if tag is None else f"{by}:{tag}"


def heading_of(by: str, tag: str | None = None) -> str:
    """The heading of the column of labels: the name of a tag, where the rows are its values."""
    return tag or tr(HEADINGS[by])


def nobody(by: str) -> str:
    """The label of usage that has no such thing."""
    return tr(NOBODY[by])


def listed_apart(parts: Iterable[str]) -> str:
    """`one; two; three`: a list whose parts may have commas inside."""
    return tr("; ").join(parts)
