"""What files came to when they were last read, so that unchanged ones are not read again. Tokens, never dollars.

It only saves time: whatever is wrong with it, files are read as if it were not there.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

Shape = TypeVar("Shape")

FORMAT = 1
HEAD = 4096
"""Bytes of a file's beginning that are compared besides its size and times."""

SETTLED_NS = 100_000_000
"""Nanoseconds; a file that changed this shortly before it was read may change again without a new time."""

MOST_BYTES = 512 * 1024 * 1024
"""Beyond this size the cache begins anew."""

BROKEN = (sqlite3.Error, OSError, ValueError, msgspec.MsgspecError, RecursionError, OverflowError)

_TABLE = "CREATE TABLE IF NOT EXISTS kept (name BLOB PRIMARY KEY, state BLOB, digest BLOB, body BLOB) WITHOUT ROWID"


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where the cache is: `$XDG_CACHE_HOME/claude-cost`, else `~/.cache/claude-cost`; None without a home."""
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "claude-cost"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "claude-cost" if os.path.isabs(home) else None


def fingerprint(path: Path, now_ns: int) -> bytes | None:
    """What changes when a file changes; None where that is not certain. `now_ns`: nanoseconds since 1970."""
    try:
        with path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            head = stream.read(HEAD)
    except (OSError, ValueError):
        return None
    if max(status.st_mtime_ns, status.st_ctime_ns) > now_ns - SETTLED_NS:
        return None
    numbers = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return blake2b(repr(numbers).encode() + head, digest_size=16).digest()


def rules() -> bytes | None:
    """What changes when the program reads, or sorts by its price table, in another way; None where nobody can say."""
    digest = blake2b(f"{FORMAT} {sys.version} {msgspec.__version__}".encode(), digest_size=16)
    package = Path(__file__).parent.parent
    try:
        for folder in ("usage", "pricing"):
            for path in sorted((package / folder).iterdir()):
                if path.suffix in (".py", ".toml"):
                    digest.update(path.name.encode() + path.read_bytes())
    except OSError:
        return None
    return digest.digest()


class PriceCache:
    """The cache in a folder, which is made; of no use where `folder` is None or cannot be used."""

    def __init__(self, folder: Path | None) -> None:
        self._rules = rules() if folder is not None else None
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
                path.unlink()  # no database, or a damaged one: the next run makes a new one
            return
        self._database = database

    def find(self, name: bytes, state: bytes, shape: type[Shape]) -> Shape | None:
        """What was kept under a name, if its state is still the same."""
        if self._database is None or self._rules is None:
            return None
        with suppress(*BROKEN):
            query = "SELECT digest, body FROM kept WHERE name = ? AND state = ?"
            row = self._database.execute(query, (name, self._rules + state)).fetchone()
            if row is not None and row[0] == _digest(name, row[1]):
                return msgspec.msgpack.decode(row[1], type=shape)
        return None

    def keep(self, name: bytes, state: bytes, value: object) -> None:
        """Keep this once the cache is closed."""
        if self._database is not None and self._rules is not None:
            with suppress(*BROKEN):
                body = msgspec.msgpack.encode(value)
                self._waiting.append((name, self._rules + state, _digest(name, body), body))

    def close(self) -> None:
        """Write what there is to keep."""
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


def name_of(path: Path) -> bytes:
    """The name under which a file is kept: where it is, and how it was named, which the result has in it."""
    return b"file\0" + os.fsencode(os.path.abspath(path)) + b"\0" + os.fsencode(path)


def name_of_all(said: str, files: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The name under which the sum of several files is kept. `said`: what else the sum depends on."""
    digest = blake2b(said.encode(), digest_size=16)
    for name, state in files:
        digest.update(len(name).to_bytes(4, "little") + name + state)
    return b"all\0" + digest.digest()
