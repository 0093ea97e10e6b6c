"""Changes the file of settings: other lines stay, and the file is replaced as a whole."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bot.config.env_file import Entry

NEW_FILE = "# Settings of claude-cost. This file holds secrets: keep it out of version control.\n\n"

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*", re.ASCII)
_START = re.compile(r"(\s*)(export[^\S\r\n]+)?")
_LINE_BREAK = re.compile(r"\r\n|\n|\r")


def edited(entries: Sequence[Entry], changes: Mapping[str, str | None]) -> str:
    """Text of the file with these values; None removes a name. A name that is set twice is left with one line.

    Raises ValueError for a value of several lines.
    """
    if not entries:
        return NEW_FILE + "".join(f"{name}={quoted(value)}\n" for name, value in changes.items() if value is not None)
    whole = "".join(entry.text for entry in entries)
    found = _LINE_BREAK.search(whole)
    end = "\n" if found is None else found[0]
    last = {entry.name: number for number, entry in enumerate(entries)}
    pieces = []
    for number, entry in enumerate(entries):
        if entry.name not in changes:
            pieces.append(entry.text)
            continue
        start = _START.match(entry.text)
        blank, export = ("", "") if start is None else (start[1], start[2] or "")
        value = changes[entry.name]
        is_kept = value is not None and number == last[entry.name]
        pieces.append(f"{blank}{export}{entry.name}={quoted(value)}{end}" if is_kept and value is not None else blank)
    new = [f"{name}={quoted(value)}{end}" for name, value in changes.items() if value is not None and name not in last]
    kept = "".join(pieces)
    if new and kept and not kept.endswith(("\n", "\r")):
        kept += end
    return kept + "".join(new)


def quoted(value: str) -> str:
    """The value quoted for `bot.config.env_file`, and for shells too if one way of quoting serves both."""
    if _LINE_BREAK.search(value) or "\0" in value:
        raise ValueError("a value has several lines, or a NUL character")
    if _PLAIN.fullmatch(value):
        return value
    if not re.search(r"['\\]", value):
        return f"'{value}'"
    if not re.search(r"[$`]", value):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def replace_privately(path: Path, text: str) -> None:
    """Replace the content of the file atomically, readable by its user only. Raises OSError.

    A link is followed, and root keeps the file's owner. The fallback file is replaced by other rules (its rights are
    kept, and leftovers of killed writers are removed), so they share no code.
    """
    path = Path(os.path.realpath(path))
    # Created with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            with suppress(FileNotFoundError, PermissionError):
                old = path.stat()
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    with suppress(OSError):  # File systems whose directories cannot be opened.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
