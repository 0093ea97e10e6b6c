"""Sends usage records to the bot in the background: an application's thread only puts them into an in-memory queue."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from claude_cost_client.ingest import Delivered, Ingest
from claude_cost_client.process import EXIT_SECONDS, PROCESS
from claude_cost_client.record import new_id
from claude_cost_client.spool import Spool, Taken
from claude_cost_client.wire import Complaints, secret_in

log = logging.getLogger("claude_cost.client")

URL_VARIABLE = "CLAUDE_COST_URL"
TOKEN_VARIABLE = "CLAUDE_COST_INGEST_TOKEN"
SPOOL_VARIABLE = "CLAUDE_COST_SPOOL"
ALLOW_HTTP_VARIABLE = "CLAUDE_COST_ALLOW_HTTP"

MANY = 1_000
"""Records that are written to disk at once, without waiting for `Bounds.collect` seconds."""
SPOOL_BYTES = 64 * 1024 * 1024
LOOK_SECONDS = 30.0
"""Seconds between two searches for files of killed processes."""
ANSWER_SECONDS = 10.0
JITTER = 0.25

MOST_IN_A_REQUEST = 500


class Bounds(NamedTuple):
    """Bounds of waiting records and times in seconds.

    `waiting`: records in memory; beyond, the oldest are dropped, which happens if the disk is too slow or not writable.
    `collect`: records within this time share a request, and are lost if the process is killed meanwhile. `first_pause`,
    `longest_pause`: after failures, each pause twice as long as the one before.
    """

    waiting: int = 20_000
    collect: float = 0.2
    first_pause: float = 1.0
    longest_pause: float = 60.0


BOUNDS = Bounds()


class UsageSender:
    """Sends records to `POST {url}/v1/usage`. Does nothing without a URL.

    `url`, `token`: default: `CLAUDE_COST_URL`, `CLAUDE_COST_INGEST_TOKEN` (or `_FILE`). `spool`: a directory for
    records that the bot does not have yet, at most `spool_bytes` in all; default: `CLAUDE_COST_SPOOL`, else one of this
    user's. `allow_http`: the token may be sent over plain http to any host, not only to the loopback and those in
    `CLAUDE_COST_ALLOW_HTTP`.

    `dropped` and `rejected` count records that did not fit, and that the bot rejected.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        spool: str | os.PathLike[str] | None = None,
        spool_bytes: int = SPOOL_BYTES,
        allow_http: bool = False,
        environ: Mapping[str, str] = os.environ,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._bounds = bounds
        self._given_url = url
        self._given_token = token
        self._given_spool = spool
        self._spool_bytes = spool_bytes
        self._allow_http = allow_http
        self._environ = environ
        self._ways: tuple[Ingest, Spool] | None = None
        self._reset()

    def __repr__(self) -> str:
        return f"UsageSender({self._ways[0].address!r})" if self._ways else "UsageSender()"

    def _reset(self) -> None:
        """Reset to the state before the first record; also in a forked child, which only sends what it records
        itself.
        """
        self.dropped = 0
        self.rejected = 0
        self._queue: deque[dict[str, Any]] = deque()
        self._unspooled: deque[bytes] = deque()
        # A finalizer may call put anywhere, so put takes no lock that the same thread may hold.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._many: SimpleQueue[None] = SimpleQueue()
        self._counting = threading.RLock()
        self._starting = threading.Lock()
        self._storing = threading.Lock()
        self._building = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._stopped = threading.Event()
        self._due = threading.Event()
        self._flushes: deque[_Flush] = deque()
        self._pauses = 0
        self._next_at = self._asked_until = 0.0
        self._logged: set[str] = set()
        self._next_dropped_log = 1
        self._rejecting, self._spooling, self._threading = (Complaints() for _ in range(3))

    @property
    def is_on(self) -> bool:
        """Whether there is a URL to send to."""
        return bool(self._given_url or self._environ.get(URL_VARIABLE))

    def put(self, record: Mapping[str, Any]) -> None:
        """Queue a record. No I/O, no waiting, raises nothing.

        A record without `id` or `time` gets them. If too many wait, the oldest is dropped.
        """
        if not self.is_on or self._stopped.is_set():
            return
        try:
            given = dict(record)
        except (TypeError, ValueError):
            self._count_rejected(1, "it is no mapping")
            return
        given["id"] = given.get("id") or new_id()
        given["time"] = given.get("time") or datetime.now(timezone.utc).isoformat()
        if len(self._queue) >= self._bounds.waiting:
            with suppress(IndexError):
                self._queue.popleft()
                self._count_dropped(1)
        self._queue.append(given)
        if self._wake.empty():
            self._wake.put(None)
        if len(self._queue) >= MANY and self._many.empty():
            self._many.put(None)
        self._start()

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what waits, including what earlier processes left; `timeout`: seconds. Returns whether the bot has
        everything.

        The rest stays on disk, for this process or the next one.
        """
        if not self.is_on:
            return True
        PROCESS.add(self)
        self._store()
        flush = _Flush()
        self._flushes.append(flush)
        if self._queue or self._threads:
            self._start()
        poster = self._threads.get("post")
        if poster is not None and poster.is_alive():
            self._due.set()
            flush.done.wait(timeout)
        else:
            self._round(timeout, time.monotonic() + timeout)
        return flush.sent

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Send what waits, for at most `timeout` seconds, then end the threads; later records are ignored."""
        until = time.monotonic() + timeout
        self.finish(timeout)
        self._stopped.set()
        self._many.put(None)
        self._wake.put(None)
        self._due.set()
        for thread in list(self._threads.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def finish(self, timeout: float) -> None:
        """Put waiting records on disk, and send them unless the bot is known to be unreachable; `timeout`: seconds."""
        if not self.is_on or not (self._threads or self._queue or self._unspooled):
            return
        self._store()
        if self._unspooled or time.monotonic() >= self._next_at:
            self.flush(timeout)
            self._store()
        if self._unspooled:
            log.warning("%s usage records are lost: neither the bot nor the disk took them", len(self._unspooled))

    # The collecting thread: from the queue to the disk.

    def _collect(self) -> None:
        while not self._stopped.is_set():
            self._wake.get()
            with suppress(Empty):
                self._many.get(timeout=self._bounds.collect)
            self._store()
            self._due.set()

    def _store(self) -> None:
        """Write waiting records to disk, or keep them in memory if that fails."""
        with self._storing:
            lines = []
            with suppress(IndexError):
                for _ in range(len(self._queue)):
                    lines.append(self._line(self._queue.popleft()))
            written = [line for line in lines if line is not None]
            if not written:
                return
            spool = self._way()[1]
            try:
                dropped = spool.add(written)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                self._spooling.say(
                    "usage records stay in memory until they are sent: %s cannot be used (%s); set %s to a directory "
                    "of this user's",
                    *(spool.directory, reason, SPOOL_VARIABLE),
                )
                self._unspooled.extend(written)
                dropped = 0
                while len(self._unspooled) > self._bounds.waiting:
                    self._unspooled.popleft()
                    dropped += 1
            else:
                self._spooling.end()
            if dropped:
                self._count_dropped(dropped)

    def _line(self, record: dict[str, Any]) -> bytes | None:
        try:
            return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            self._count_rejected(1, f"it is no JSON ({type(error).__name__})")
            return None

    # The posting thread: from the disk to the bot.

    def _post(self) -> None:
        while not self._stopped.is_set():
            left = self._next_at - time.monotonic()
            self._due.wait(left if left > 0 else LOOK_SECONDS)
            self._due.clear()
            if not self._stopped.is_set() and (self._flushes or time.monotonic() >= self._next_at):
                self._round(ANSWER_SECONDS)

    def _round(self, seconds: float, until: float = math.inf) -> None:
        """Send until nothing is left, the bot rejects it, or a time of the monotonic clock.

        `seconds`: for each response.
        """
        flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
        sent = time.monotonic() >= self._asked_until and self._send_all(seconds, until)
        for flush in flushes:
            flush.sent = sent
            flush.done.set()

    def _send_all(self, seconds: float, until: float) -> bool:
        ingest, _ = self._way()
        while time.monotonic() < until:
            batch = self._next_batch()
            if batch is None:
                return True
            outcome = ingest.post(batch.lines, seconds) if batch.lines else Delivered()
            if not isinstance(outcome, Delivered):
                batch.keep()
                self._pause(outcome.reason, outcome.retry_after)
                return False
            batch.delete()
            if batch.torn:
                self._count_dropped(1, "a process was killed while it wrote one")
            self._count_rejected(outcome.rejected, outcome.reason)
            self._go_on()
        return False

    def _next_batch(self) -> Taken | _InMemory | None:
        if self._unspooled:
            return _InMemory(self._unspooled)
        _, spool = self._way()
        taken = spool.take()
        if taken is None:
            spool.close_file()
            taken = spool.take()
        return taken

    def _pause(self, reason: str, retry_after: float | None) -> None:
        spread = 1 + JITTER * random.random()
        pause = min(self._bounds.longest_pause, self._bounds.first_pause * 2 ** min(self._pauses, 20)) * spread
        now = time.monotonic()
        self._pauses += 1
        if retry_after is not None:
            pause = max(pause, retry_after * spread)
            self._asked_until = now + retry_after
        self._next_at = now + pause
        self._log_once(reason)

    def _go_on(self) -> None:
        self._pauses, self._next_at, self._asked_until = 0, 0.0, 0.0
        if self._logged:
            self._logged.clear()
            log.info("%s takes usage records again", self._way()[0].address)

    def _log_once(self, reason: str) -> None:
        """Log each reason once until the bot accepts records again."""
        if reason not in self._logged:
            self._logged.add(reason)
            log.warning("%s %s; usage records are kept and sent later", self._way()[0].address, reason)

    def _count_dropped(self, count: int, reason: str = "too many wait to be sent, and the oldest go") -> None:
        with self._counting:
            self.dropped += count
            if self.dropped < self._next_dropped_log:
                return
            self._next_dropped_log = self.dropped * 10
        log.warning("usage records are dropped, %s until now: %s", self.dropped, reason)

    def _count_rejected(self, count: int, reason: str) -> None:
        if count:
            with self._counting:
                self.rejected += count
            self._rejecting.say("a usage record was rejected (%s); further ones are only counted", reason)

    # Shared by both threads.

    def _start(self) -> None:
        """Start the threads that are not alive; restart one that died of an exception."""
        if len(self._threads) == 2 and all(thread.is_alive() for thread in list(self._threads.values())):
            return
        # Never wait for it: its holder may be this very thread, interrupted by a finalizer.
        if self._stopped.is_set() or not self._starting.acquire(blocking=False):
            return
        try:
            PROCESS.add(self)
            for name, target in (("collect", self._collect), ("post", self._post)):
                thread = self._threads.get(name)
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=target, name=f"claude-cost-usage-{name}", daemon=True)
                    thread.start()
                    self._threads[name] = thread
            PROCESS.watch_worker()
        except RuntimeError as error:
            self._threading.say("no thread can be started (%s); usage records wait until flush or the exit", error)
        finally:
            self._starting.release()

    def _way(self) -> tuple[Ingest, Spool]:
        with self._building:
            if self._ways is None:
                url = (self._given_url or self._environ.get(URL_VARIABLE) or "").strip().rstrip("/")
                ingest = Ingest(url, self._token, None if self._allow_http else _hosts(self._environ))
                parent = Path(self._given_spool or self._environ.get(SPOOL_VARIABLE) or _own_directory(self._environ))
                self._ways = ingest, Spool(Path(os.path.abspath(os.path.expanduser(parent))), url, self._spool_bytes)
            return self._ways

    def _token(self) -> str | None:
        return self._given_token or secret_in(self._environ, TOKEN_VARIABLE)

    def after_fork(self) -> None:
        """Start empty in a forked child; waiting records belong to the parent."""
        stopped = self._stopped.is_set()
        if self._ways is not None:
            self._ways[1].after_fork()
        self._reset()
        if stopped:
            self._stopped.set()


class _Flush:
    """A request to send what waits, skipping the pause after a failure."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.sent = False


class _InMemory:
    """Lines that could not be written to disk, in place of a spool file."""

    torn = b""

    def __init__(self, waiting: deque[bytes]) -> None:
        self._waiting = waiting
        self.lines: list[bytes] = []
        # The collecting thread may drop some meanwhile.
        with suppress(IndexError):
            while len(self.lines) < MOST_IN_A_REQUEST:
                self.lines.append(waiting.popleft())

    def delete(self) -> None:
        """The bot has the lines."""

    def keep(self) -> None:
        self._waiting.extendleft(reversed(self.lines))


def _hosts(environ: Mapping[str, str]) -> Collection[str]:
    words = environ.get(ALLOW_HTTP_VARIABLE, "").replace(",", " ").split()
    return frozenset(word.strip("[]").lower().rstrip(".") for word in words)


def _own_directory(environ: Mapping[str, str]) -> Path:
    """A directory of this user that outlives the process; a temporary one without a home."""
    state = Path(environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))
    existing = state
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if state.is_absolute() and os.access(existing, os.W_OK):
        return state / "claude-cost"
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        # No directory is writable: the spool reports it, and records wait in memory.
        return state / "claude-cost"
