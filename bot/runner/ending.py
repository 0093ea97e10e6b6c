"""Ends `claude-cost run` with exit code 0 within seconds of the first signal, whatever hangs.

At exit Python waits for every thread, and a thread may hang in a call to a database or a mail server. Everything that
must last is always in the database, so such threads are abandoned.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType

log = logging.getLogger(__name__)

END_WITHIN_SECONDS = 7.0
"""Seconds from the first signal. Docker kills after 10 seconds, Kubernetes after 30."""


class Ending:
    """Handles SIGTERM and SIGINT. The first signal after `when_asked` starts the clean-up.

    The process ends at once, with `code`, at any signal before that, at a second one, and `END_WITHIN_SECONDS` after
    the first one, even if the clean-up hangs.
    """

    def __init__(self, code: int = 0) -> None:
        self._code = code
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None
        self._alarm = -1
        self.asked = False
        """Whether a signal has arrived."""

    def handle_signals(self) -> None:
        """Install the handlers of both signals. Only in the main thread."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)

    def when_asked(self, stop: Callable[[], None]) -> None:
        """Call `stop` in the running loop at the first signal."""
        read, self._alarm = os.pipe()
        # Start the thread here: a signal handler must not, as it may have interrupted the start of a thread.
        threading.Thread(target=self._watch, args=(read,), daemon=True, name="ending").start()
        self._loop, self._stop = asyncio.get_running_loop(), stop

    def leave(self, code: int) -> None:
        """End the process now, without waiting for any thread."""
        for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
            try:
                flush()
            except (OSError, ValueError):
                continue
        os._exit(code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self._loop is None or self._stop is None or self._loop.is_closed():
            # Take no lock here, since the signal may have interrupted its holder.
            os._exit(self._code)
        self.asked = True
        os.write(self._alarm, b"!")
        self._loop.call_soon_threadsafe(self._stop)

    def _watch(self, alarm: int) -> None:
        """End the process even if the loop or a thread is stuck, or the log's lock is held."""
        os.read(alarm, 1)
        time.sleep(END_WITHIN_SECONDS)
        os._exit(self._code)


async def close_within(what: str, seconds: float, close: Callable[[], Awaitable[object]]) -> None:
    """Run one step of the clean-up. A failure is logged; after `seconds` the step is abandoned."""

    async def step() -> None:
        await close()

    task = asyncio.ensure_future(step())
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        log.warning("stopping: %s takes longer than %g s and is abandoned", what, seconds)
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("stopping: %s failed (%s)", what, type(error).__name__)


async def close_in_thread(what: str, seconds: float, close: Callable[[], object]) -> None:
    """Like `close_within`, for a call that may block."""
    await close_within(what, seconds, lambda: asyncio.to_thread(close))
