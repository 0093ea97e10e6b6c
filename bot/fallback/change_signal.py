"""Wakes what waits for a change of the fallback mode, in this process."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class ChangeSignal:
    """Calls every listener after a change was committed. Any thread may send and listen.

    A listener runs in the sender's thread, so it only wakes somebody. The signal carries no mode: whoever wakes reads
    the store, which also covers a signal that was sent twice. Changes by other copies send nothing here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []

    def send(self) -> None:
        """Call every listener; one that fails is logged and keeps neither the others nor the sender."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener()
            except RuntimeError as error:
                # Of an event loop that has closed meanwhile.
                log.warning("a reader of the fallback mode was not woken (%s)", type(error).__name__)

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call `listener` at every signal while the block runs."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)
