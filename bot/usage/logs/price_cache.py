"""Caches the tokens of files, so that unchanged files are not read again. Never dollars.

The cache only saves time: if it is unusable, files are read as without it.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path

import bot
from bot.usage.logs.files import RecordFile

FORMAT = 3

READING = ("usage", "usage/logs")
"""Folders of the package whose code reads records."""

CHANGES_SET_CTIME = os.name == "posix"
"""Whether every change of a file sets a time that cannot be set back."""

HEAD = 4096
"""Bytes of a file's beginning that are compared if only its size and a settable time could reveal a change."""

SECOND_NS = 1_000_000_000
SETTLED_NS = 100_000_000
COARSE_SETTLED_NS = 2_100_000_000
"""Nanoseconds; a file that changed this shortly before it was read may change again without a new time: the second of
them where file systems know whole seconds only."""

MOST_BYTES = 512 * 1024 * 1024
"""Beyond this size the cache is cleared."""

BROKEN = (sqlite3.Error, OSError, ValueError, OverflowError)

_TABLE = "CREATE TABLE IF NOT EXISTS kept (name BLOB PRIMARY KEY, state BLOB, digest BLOB, body BLOB) WITHOUT ROWID"


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where the cache is: `$XDG_CACHE_HOME/claude-cost`, else `~/.cache/claude-cost`; None without a home."""
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "claude-cost"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "claude-cost" if os.path.isabs(home) else None


State = tuple[bytes, bytes | None]
"""The cache key of a file and its state, which changes when the file changes; None if that is not certain."""


def states_of(files: Iterable[RecordFile], asked_ns: int, *, again: bool = False) -> list[State]:
    """State of each file as found, or as of now. `asked_ns`: nanoseconds since 1970, before any file was examined."""
    here: bytes | None = None
    with suppress(OSError):
        here = os.getcwdb()
    return [_named(one, here, asked_ns, again) for one in files]


def _named(file: RecordFile, here: bytes | None, asked_ns: int, again: bool) -> State:
    path, status = file.path, file.status
    if path is None or status is None or not stat.S_ISREG(status.st_mode):
        return b"", None
    # Include the name as given, since the result contains it.
    base = b"" if path.startswith(os.sep) else here
    if base is None:
        return b"", None
    name = b"file\0" + base + b"\0" + os.fsencode(path)
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    settled = SETTLED_NS if status.st_ctime_ns % SECOND_NS else COARSE_SETTLED_NS
    if changed > asked_ns - settled:
        return name, None
    return name, state_at(path) if again else _state_in(status, path)


def state_at(path: str) -> bytes | None:
    """The state of a file now, even if it changed a moment ago; None if it does not exist."""
    try:
        return _state_in(os.stat(path), path)
    except (OSError, ValueError):
        return None


def _state_in(status: os.stat_result, path: str) -> bytes | None:
    numbers = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    state = " ".join(map(str, numbers)).encode()
    if not CHANGES_SET_CTIME:
        try:
            with open(path, "rb", buffering=0) as stream:
                return state + blake2b(stream.read(HEAD), digest_size=16).digest()
        except OSError:
            return None
    return state


def rules() -> bytes | None:
    """Changes when the reading code or the price table changes; None if that cannot be determined."""
    digest = blake2b(f"{FORMAT} {sys.version}".encode(), digest_size=16)
    package = os.path.dirname(os.path.abspath(bot.__file__))
    try:
        for folder in ("cli", "pricing", *READING):
            with os.scandir(os.path.join(package, folder)) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    if entry.name.endswith((".py", ".toml")):
                        digest.update(entry.name.encode() + (_state_in(entry.stat(), entry.path) or b""))
    except OSError:
        return None
    return digest.digest()


class PriceCache:
    """The cache in a folder, created if needed; disabled if `folder` is None or unusable."""

    def __init__(self, folder: Path | None) -> None:
        self._rules = rules() if folder is not None else None
        self._kept: dict[bytes, bytes] | None = None
        self._waiting: list[tuple[bytes, bytes, bytes, bytes]] = []
        self._database: sqlite3.Connection | None = None
        if folder is None or self._rules is None:
            return
        with suppress(*BROKEN):
            self._open(folder)

    @property
    def is_open(self) -> bool:
        return self._database is not None

    def _open(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "price.db"
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(path, flags, 0o600))
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            return
        if status.st_mode & 0o077:
            path.chmod(0o600)
        database = sqlite3.connect(path, timeout=0)
        try:
            database.execute("PRAGMA synchronous = OFF")
            database.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            database.close()
            if not isinstance(error, sqlite3.OperationalError):
                path.unlink()  # not a database, or damaged: the next run creates a new one
            return
        self._database = database

    def find(self, name: bytes, state: bytes) -> bytes | None:
        """The entry of a name, if its state has not changed."""
        if self._database is None or self._rules is None:
            return None
        with suppress(*BROKEN):
            query = "SELECT digest, body FROM kept WHERE name = ? AND state = ?"
            row = self._database.execute(query, (name, self._rules + state)).fetchone()
            if row is not None and row[0] == _digest(name, row[1]):
                return bytes(row[1])
        return None

    def find_one_of_many(self, name: bytes, state: bytes) -> bytes | None:
        """`find` for names that are mostly missing: one query finds those present."""
        if self._kept is None:
            self._kept = {}
            if self._database is not None:
                with suppress(*BROKEN):
                    self._kept = dict(self._database.execute("SELECT name, state FROM kept"))
        return self.find(name, state) if name in self._kept else None

    def keep(self, name: bytes, state: bytes, body: bytes) -> None:
        """Store this when the cache is closed."""
        if self._database is not None and self._rules is not None:
            self._waiting.append((name, self._rules + state, _digest(name, body), body))

    def close(self) -> None:
        """Write pending entries."""
        if self._database is None:
            return
        with suppress(*BROKEN), closing(self._database) as database:
            if self._waiting:
                pages, size = (database.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
                with database:
                    if pages * size > MOST_BYTES:
                        database.execute("DELETE FROM kept")
                    database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", self._waiting)
        self._database = None


def _digest(name: bytes, body: bytes) -> bytes:
    return blake2b(name + b"\0" + body, digest_size=16).digest()


def name_of_all(said: str, files: Iterable[State]) -> bytes:
    """Name under which the sum of several files is stored. `said`: what else the sum depends on."""
    parts = [said.encode()]
    for name, state in files:
        parts += (name, state or b"")
    sizes = b" ".join(str(len(part)).encode() for part in parts)
    return b"all\0" + blake2b(sizes + b"\0" + b"".join(parts), digest_size=16).digest()
