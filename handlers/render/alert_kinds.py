"""Which function draws which kind of alert: those of `handlers/render/spike_alert.py` draw spikes."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from bot.alerts.kinds import AlertKind
from bot.alerts.lifecycle import OpenAlert
from bot.messages import Message


def renderer(kind: AlertKind) -> Callable[[Any], Message]:
    """`spike_message`, which draws a payload of that kind."""
    found: Callable[[Any], Message] = _named(kind, "message")
    return found


def open_line(alert: OpenAlert) -> str:
    """What is open, in a list: by `spike_line` for a spike."""
    line: Callable[[OpenAlert], str] = _named(alert.identity.kind, "line")
    return line(alert)


def _named(kind: AlertKind, what: str) -> Any:
    return getattr(import_module(f"handlers.render.{kind.module}_alert"), f"{kind.module}_{what}")
