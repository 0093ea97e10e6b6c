"""The text of an env file → its variables, as systemd, Docker and a shell would agree on them. Pure."""

from __future__ import annotations

import re

_BLANK = "[ \\t]*"
_LINE = re.compile(rf"{_BLANK}(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*){_BLANK}={_BLANK}(.*?){_BLANK}", re.DOTALL)


def variables_in(text: str) -> dict[str, str]:
    """Variables by name; the last line that sets a name counts. Lines that set nothing are passed over.

    A line ends at a line feed, a carriage return or both, and at no other character. A byte order mark is skipped.
    """
    found = {}
    for line in re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")):
        if match := _LINE.fullmatch(line):
            found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value
