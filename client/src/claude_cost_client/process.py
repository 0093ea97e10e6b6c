"""Ends senders when their process exits, and resets them when it forks."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import Protocol

EXIT_SECONDS = 3.0
"""Longest time for all senders of an exiting process, in seconds."""


class Sender(Protocol):
    """Something that sends in the background."""

    def finish(self, timeout: float) -> None:
        """Send what waits, for at most `timeout` seconds."""

    def after_fork(self) -> None:
        """Start over in a forked child."""


class Process:
    """The senders of this process: ends them at exit, and resets them in a forked child."""

    def __init__(self) -> None:
        self._senders: weakref.WeakSet[Sender] = weakref.WeakSet()
        self._is_watched = self._is_worker = False

    def add(self, sender: Sender) -> None:
        """Track a sender while it is referenced."""
        self._senders.add(sender)
        if not self._is_watched:
            self._is_watched = True
            atexit.register(self.end)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._after_fork)

    def watch_worker(self) -> None:
        """A process of `multiprocessing` runs its own finalizers, but no `atexit` before Python 3.14."""
        util = sys.modules.get("multiprocessing.util")
        if util is not None and not self._is_worker and sys.modules["multiprocessing"].parent_process() is not None:
            self._is_worker = True
            util.Finalize(None, self.end, exitpriority=0)

    def end(self) -> None:
        """Send what waits, within one time limit for all."""
        deadline = time.monotonic() + EXIT_SECONDS
        for sender in list(self._senders):
            sender.finish(max(0.0, deadline - time.monotonic()))

    def _after_fork(self) -> None:
        self._is_worker = False
        for sender in list(self._senders):
            sender.after_fork()


PROCESS = Process()
