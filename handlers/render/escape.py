"""Values from outside, made fit to be shown: harmless, on one line, and short.

Names of workspaces, keys and models, reasons and error sentences may hold anything. In mrkdwn exactly three
characters are escaped (docs.slack.dev, formatting message text); plain_text knows no markup and no escapes.
"""

import re
from collections.abc import Sequence

NAME_LIMIT = 60
SENTENCE_LIMIT = 400
"""Characters as they are sent, escapes included. Edits take 4,000 in all (docs.slack.dev, chat.update)."""

MOST_NAMES = 5

ELLIPSIS = "…"
UNNAMED = "(no name)"

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN = str.maketrans("<>", "‹›")
_HALF_ESCAPE = re.compile(r"&[a-z]{0,3}$")
_JOINER = "\u200d"
"""Holds one emoji together that is written as several."""

_MARKUP = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)|:[a-z][a-z0-9_+'-]*:")

_USER_ID = re.compile(r"[UW][A-Z0-9]+")


def escape(value: str) -> str:
    """The value with nothing changed but what mrkdwn would read as markup of links and mentions."""
    return "".join(_ESCAPES.get(character, character) for character in value)


def shown(value: str, limit: int = NAME_LIMIT) -> str:
    """The value on one line of mrkdwn, with an ellipsis where it is longer than `limit` characters."""
    line = _one_line(value)
    escaped = escape(line)
    if len(escaped) <= limit:
        return escaped
    kept, length = [], len(ELLIPSIS)
    for character in line:
        piece = _ESCAPES.get(character, character)
        length += len(piece)
        if length > limit:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + ELLIPSIS


def sentence(value: str) -> str:
    """The same for a whole sentence, such as an error's."""
    return shown(value, SENTENCE_LIMIT)


def has_markup(value: str) -> bool:
    """Whether mrkdwn would draw some of it: bold, italic, struck out, code or an emoji.

    Slack has no escape for these; such text is drawn as typed in plain_text alone.
    """
    return _MARKUP.search(value) is not None


def code(value: str, limit: int = NAME_LIMIT) -> str:
    """The value in code style, which a backtick of its own cannot end."""
    harmless = value.replace("`", "'")
    return f"`{shown(harmless, limit)}`"


def plain(value: str, limit: int) -> str:
    """The value on one line of plain_text, with nothing in it that could be taken for markup after all."""
    return cut(_one_line(value).translate(_PLAIN), limit)


def cut(text: str, limit: int) -> str:
    """`text`, or as much of it as the limit lets stand, with an ellipsis. No escape is cut in two."""
    if len(text) <= limit:
        return text
    return _HALF_ESCAPE.sub("", text[: limit - len(ELLIPSIS)]).rstrip() + ELLIPSIS


def names(values: Sequence[str]) -> str:
    """The values with commas between, the first few of them where they are many."""
    listed = ", ".join(shown(value) for value in values[:MOST_NAMES])
    more = len(values) - MOST_NAMES
    return listed if more <= 0 else f"{listed} and {more} more"


def mention(user: str) -> str:
    """A Slack user's id as a mention; what is no id is shown as it is."""
    return f"<@{user}>" if _USER_ID.fullmatch(user) else shown(user)


def _one_line(value: str) -> str:
    visible = "".join(character if character.isprintable() or character == _JOINER else " " for character in value)
    return " ".join(visible.split()) or UNNAMED
