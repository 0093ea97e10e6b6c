"""A target: a place to which a mode's variables are written, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class TargetError(Exception):
    """A target cannot be read or written; the text is one sentence that names it, with the remedy."""


class Target(Protocol):
    """One place. Synchronous; whoever calls it has a thread for that.

    `name` identifies it, for people and in the store. `follows`: one sentence that says when those
    who read it follow. `variables` are those of the mode, its name among them.
    """

    @property
    def name(self) -> str: ...

    @property
    def follows(self) -> str: ...

    def holds(self, variables: Mapping[str, str]) -> bool:
        """Whether it says exactly this already. Raises `TargetError`."""
        ...

    def write(self, variables: Mapping[str, str]) -> None:
        """Make it say exactly this, as a whole or not at all. Raises `TargetError`."""
        ...

    def doubts(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Sentences about what may keep readers from following though it is written. Raises `TargetError`."""
        ...


@dataclass(frozen=True, slots=True)
class TargetState:
    """What became of a target. `change_id`: the change of the mode that it was brought to last; None before the first.

    `variables`: what was written last, None as long as nothing was. `written_at`: since when it holds the mode, None
    while it does not, for the reason of `error`. `repaired_at`: when it was last put right after others had changed it.
    """

    target: str
    change_id: int | None
    variables: Mapping[str, str] | None = None
    written_at: datetime | None = None
    error: str | None = None
    repaired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target for people: what is known of it under the mode that is wanted, and what makes one doubt."""

    name: str
    follows: str
    written_at: datetime | None = None
    error: str | None = None
    repaired_at: datetime | None = None
    doubts: tuple[str, ...] = ()
