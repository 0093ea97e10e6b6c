"""Targets: places to which a mode's variables are written, and their state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class TargetError(Exception):
    """A target cannot be read or written; the message is one sentence that names it, with the remedy."""


class Target(Protocol):
    """One place. Synchronous; callers use a thread.

    `name`: for display and in the store. `follows`: one sentence on when its readers follow. `variables`: those of the
    mode, including its name.
    """

    @property
    def name(self) -> str: ...

    @property
    def follows(self) -> str: ...

    def holds(self, variables: Mapping[str, str]) -> bool:
        """Whether it has exactly this already. Raises `TargetError`."""
        ...

    def write(self, variables: Mapping[str, str]) -> None:
        """Write exactly this, as a whole or not at all. Raises `TargetError`."""
        ...

    def doubts(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Sentences about what may keep readers from following although it is written. Raises `TargetError`."""
        ...


@dataclass(frozen=True, slots=True)
class TargetState:
    """State of a target. `change_id`: the last mode change it was brought to; None before the first.

    `variables`: last written, None if none were. `written_at`: since when it has the mode, None while it does not
    because of `error`. `repaired_at`: when a change by others was last repaired.
    """

    target: str
    change_id: int | None
    variables: Mapping[str, str] | None = None
    written_at: datetime | None = None
    error: str | None = None
    repaired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target for display: its state under the wanted mode, and doubts about its readers."""

    name: str
    follows: str
    written_at: datetime | None = None
    error: str | None = None
    repaired_at: datetime | None = None
    doubts: tuple[str, ...] = ()
