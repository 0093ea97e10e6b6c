"""Finds statements that the bot's coroutines run themselves: a slow database would then hold up every answer."""

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sqlalchemy import Engine, event

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (f"{ROOT / 'bot'}/", f"{ROOT / 'handlers'}/")
SANDBOX = f"{ROOT / 'bot' / 'sandbox'}/"
OF_COROUTINES = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@contextmanager
def statements_on_the_loop() -> Iterator[list[str]]:
    """Collects the places, as `file:line`, of statements that run on the event loop within a coroutine of the bot."""
    found: list[str] = []

    def note(*_: object) -> None:
        if threading.current_thread() is threading.main_thread() and _runs_a_loop():
            place = _in_coroutine(sys._getframe(1))
            if place is not None:
                found.append(place)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_coroutine(frame: FrameType | None) -> str | None:
    """Where the innermost coroutine of the bot stands; None for a test that calls a store itself."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PRODUCT) and not file.startswith(SANDBOX) and frame.f_code.co_flags & OF_COROUTINES:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return None
