"""Names and ids that applications send → texts that every database stores and every terminal shows. Pure."""

import hashlib

from bot.secret_shapes import masked, one_line

LONGEST_NAME = 200
"""Characters of a name or an id."""

LONGEST_STORED_ID = 256
"""Room for an id and the number of a part of its response. An index of PostgreSQL takes no long keys."""


def clean_name(text: str) -> str:
    """On one line, without control characters and halves of characters, cut to `LONGEST_NAME`; may be empty."""
    text = text[:LONGEST_NAME]
    return (text if text.isprintable() else one_line(text)).strip()


def clean_or_none(text: str | None) -> str | None:
    """The same; None where nothing is left of it."""
    return None if text is None else clean_name(text) or None


def shown_name(text: str | None) -> str | None:
    """The same, with an ellipsis for what has the form of a secret: some applications log their key as `key`."""
    return None if text is None else masked(clean_name(text)) or None


def stored_id(event_id: str) -> str:
    """The id itself, or for one that a database may refuse, 64 hexadecimal digits that stand for it alone."""
    if len(event_id) <= LONGEST_STORED_ID and event_id.isprintable() and event_id:
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()
