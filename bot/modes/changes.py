"""Changes of the fallback mode and what was said about them, as they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One change. `written_at`: when every target held it; `write_error`: why one does not, in sentences.

    `until`: when somebody wants it to end; `warned_at`: when its end was announced.
    """

    id: int
    mode: str
    variables: Mapping[str, str]
    changed_at: datetime
    changed_by: str
    reason: str
    written_at: datetime | None
    write_error: str | None
    until: datetime | None = None
    warned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AutoSwitch:
    """Whether the chain steps down by itself, as somebody has said in chat."""

    on: bool
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did or tried what. `outcome`: done | refused | failed."""

    at: datetime
    actor: str
    action: str
    outcome: str
    detail: str


AUTO_KEY = "fallback_auto"
AUTO_SWITCH = TypeAdapter(AutoSwitch)

NO_CHANGE = 0
"""Stands for the id of the newest change before there is one."""

LOOK_BACK = 50
"""Changes that are looked at for what has led to the present mode."""
