"""A secret in a file, read again after the file has changed: secrets rotate without a restart."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

_PLAIN = re.compile(r"[!-~]+")


class SecretFile(SecretStr):
    """`get_secret_value` checks the file each time. A missing file or one without a secret changes nothing.

    `name`: of the setting that names the file. `prefix`: how the secret begins.
    """

    def __init__(self, value: str, name: str, path: Path, prefix: str = "") -> None:
        super().__init__(value)
        self._name, self._path, self._prefix = name, path, prefix
        self._problem: str | None = None
        self._seen = self._state()

    def get_secret_value(self) -> str:
        """Content of the file, or its last usable content."""
        state = self._state()
        if state is None:
            self._problem = f"{self._name} names {self._path}, which cannot be read: the secret it held is still used."
        elif state != self._seen or self._problem is not None:
            self._read_again(state)
        return self._secret_value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self.get_secret_value() == other.get_secret_value()

    def __hash__(self) -> int:
        return hash(self._path)

    def problem(self) -> str | None:
        """A sentence if the file has no usable secret now."""
        self.get_secret_value()
        return self._problem

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read_again(self, state: tuple[int, int, int]) -> None:
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            text = ""
        if _PLAIN.fullmatch(text) is None or not text.startswith(self._prefix):
            wanted = f"one that begins with {self._prefix}" if self._prefix else "a secret in one line"
            self._problem = (
                f"{self._name} names {self._path}, which does not hold {wanted}: the one before is still used."
            )
            return
        self._secret_value, self._seen, self._problem = text, state, None


def secret_problems(secrets: Iterable[SecretStr | None]) -> list[str]:
    """A sentence for each file without a usable secret now."""
    return [problem for each in secrets if isinstance(each, SecretFile) and (problem := each.problem()) is not None]
