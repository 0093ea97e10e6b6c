"""The file of settings: `.env` in the working directory, or the one that CLAUDE_COST_ENV_FILE names.

A variable of the file counts if the environment does not set it. Values are literal: a `$` has no meaning. Not to be
confused with the env file that the bot writes for services: `bot/fallback/targets/env_file.py`.
"""

import io
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from bot.addresses import absolute
from bot.config.environment import VARIABLES
from bot.config.settings import SettingsError
from bot.secret_shapes import looks_secret

VARIABLE = "CLAUDE_COST_ENV_FILE"
DEFAULT = ".env"

MOST_BYTES = 2**20

SETTINGS = frozenset(v.name for v in VARIABLES) | {f"{v.name}_FILE" for v in VARIABLES if v.secret}
"""All names of settings."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"\s*")
_QUOTED = re.compile(r"\s*(?:export\s+)?[^=#\s]+\s*=[^\S\r\n]*['\"]")
_ASSIGNED = re.compile(r"^[^\S\r\n]*(?:export[^\S\r\n]+)?([A-Z_]+)[^\S\r\n]*=", re.MULTILINE)
_SHELL = re.compile(r"\$\{\w|\$\(|`")


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement of the file. `line`: where it begins, from 1. `text`: as written, with the blank lines before it.

    `name` is empty for a comment, and for blank lines.
    """

    name: str
    value: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file that was read. `doubts`: a sentence for each line that is usable but looks like a mistake."""

    path: Path
    entries: Sequence[Entry]
    doubts: Sequence[str]

    @property
    def values(self) -> Mapping[str, str]:
        """Values by name; the last value of a name that is set twice."""
        return {entry.name: entry.value for entry in self.entries if entry.name}


def load_env_file(environ: MutableMapping[str, str]) -> EnvFile | None:
    """Add to `environ` what it does not set itself. None if there is no file. Raises `SettingsError`.

    A setting that is empty in `environ` is not set, as everywhere.
    """
    file = find_env_file(environ)
    if file is None:
        return None
    environ.update(missing(environ, file.values))
    environ[VARIABLE] = str(file.path)
    return file


def find_env_file(environ: Mapping[str, str]) -> EnvFile | None:
    """The current file; None if none is named and `.env` is no file. Raises `SettingsError`."""
    path, is_named = env_file_path(environ)
    if not is_named and not path.is_file() and not path.is_symlink():
        # A virtual environment may have that name.
        return None
    try:
        entries = parsed(_text(path))
    except OSError as error:
        remedy = f"correct {VARIABLE} or its rights" if is_named else "correct its rights, or remove it"
        raise SettingsError(f"{path} cannot be read ({error.strerror}): {remedy}.") from None
    except ValueError as error:
        raise SettingsError(f"{path}, {error}.") from None
    return EnvFile(path, entries, list(_doubts(path, entries)))


def env_file_path(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The absolute path, and whether the environment names it. Raises `SettingsError`."""
    named = environ.get(VARIABLE, "").strip()
    if looks_secret(named):
        raise SettingsError(f"{VARIABLE} holds what looks like a secret: it must be the path of a file.")
    try:
        return absolute(named or DEFAULT), bool(named)
    except ValueError as error:
        raise SettingsError(f"{VARIABLE} cannot be used: {error}.") from None


def missing(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The `values` that `environ` does not set. A secret may be set by its own name or by that of its file."""
    is_set = {name for name in values if name != VARIABLE and environ.get(name, "").strip()}
    for secret in (variable.name for variable in VARIABLES if variable.secret):
        both = {secret, f"{secret}_FILE"}
        if any(environ.get(name, "").strip() for name in both):
            is_set |= both
    others = {name for name in values if name not in SETTINGS and name in environ}
    return {name: value for name, value in values.items() if name not in is_set | others | {VARIABLE}}


def is_open_to_others(path: Path, environ: Mapping[str, str]) -> bool:
    """Whether another user of the machine may read or change the file."""
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials and path.is_relative_to(credentials):
        # systemd grants the service access by an access list, whose mask looks like group permissions.
        return False
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o077)


def parsed(text: str) -> list[Entry]:
    """Every statement; their texts concatenate to `text`. Raises ValueError with a clause that names the line."""
    entries = []
    for binding in parse_stream(io.StringIO(text, newline="")):
        text_of = binding.original.string
        blank = _BLANK.match(text_of)
        before = 0 if blank is None else len(_LINE_BREAK.findall(blank[0]))
        line = binding.original.line + before
        fault = _fault(binding)
        if fault is not None:
            raise ValueError(f"line {line} {fault}")
        entries.append(Entry(binding.key or "", binding.value or "", line, text_of))
    return entries


def _fault(binding: Binding) -> str | None:
    """Why a statement is unusable. Quotes nothing: misplaced text may be a secret."""
    if binding.error:
        if _QUOTED.match(binding.original.string):
            return "has a quote without its end, or text after it: write NAME=VALUE, or NAME='VALUE'"
        if binding.original.string.lstrip().startswith("="):
            return "has no name before the =: write NAME=VALUE"
        return "cannot be read: write NAME=VALUE"
    if binding.key is None:
        return None
    if binding.value is None:
        return "has no =: write NAME=VALUE"
    if not _NAME.fullmatch(binding.key):
        return "has a name with other characters than letters, digits and _: write NAME=VALUE"
    if "\0" in binding.value:
        return "has a NUL character: remove it"
    # A key of several lines may be there for another program; a setting never has them.
    if _LINE_BREAK.search(binding.value) and SETTINGS & {binding.key, *_ASSIGNED.findall(binding.value)}:
        return "begins a value of several lines: the quote at its end is missing"
    return None


def _doubts(path: Path, entries: Sequence[Entry]) -> Iterator[str]:
    settings = [entry for entry in entries if entry.name in SETTINGS]
    last = {entry.name: entry.line for entry in settings}
    for name, number in Counter(entry.name for entry in settings).items():
        if number > 1:
            yield f"{path} sets {name} in {number} lines, of which the last one counts, line {last[name]}"
    for entry in settings:
        if entry.name == VARIABLE:
            yield f"{path}, line {entry.line} sets {VARIABLE}, which counts in the environment alone"
        elif _SHELL.search(entry.value):
            yield (
                f"{path}, line {entry.line}: {entry.name} has what a shell would replace, and is taken as it stands: "
                "write the value itself"
            )


def _text(path: Path) -> str:
    """Content of the file. Raises OSError, and ValueError with a clause."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"which has more than {MOST_BYTES // 2**20} MB, is no file of settings: correct {VARIABLE}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("line 1 is UTF-16: save the file as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(_LINE_BREAK.findall(data[: error.start].decode("utf-8"))) + 1
        raise ValueError(f"line {line} is not UTF-8: save the file as UTF-8") from None
