"""Keeps the lease of a running bot, and logs when it is lost, taken or unreachable."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from bot.db.lease import Lease

log = logging.getLogger(__name__)

ATTEMPT_SECONDS = 5
"""Seconds to wait for an attempt. It then goes on in the background, and no other one starts."""

RELEASE_SECONDS = 1.5
"""Seconds that the shutdown waits for the release. If it fails, the next copy waits for the term."""

AGAIN_SECONDS = 1
"""Seconds between a failed attempt and the next one."""


NOT_IN_TIME = "the lease was not renewed in time: this copy stops polling until it holds the lease again"


class Leadership:
    """Renews the lease from the event loop, so that a stuck loop loses it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        # A database that does not respond blocks only this thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lease")
        self._attempt: asyncio.Future[bool] | None = None
        self._hangs = False
        self._led = False
        self._said: str | None = None

    def held(self) -> bool:
        """Whether this copy holds the lease. No I/O."""
        return self.lease.held()

    def previous_may_live(self) -> bool:
        """Whether the previous leader may still be making calls. No I/O."""
        return self.lease.previous_may_live

    def problem(self) -> str | None:
        """A sentence for the readiness check if no copy is known to lead, else None. No I/O."""
        if self.lease.problem is not None:
            return self.lease.problem
        if self.held():
            return None
        if self._hangs:
            return "The database is not responding, so this copy of the bot polls and sends nothing."
        silent = self.lease.silent_for()
        if silent > self.lease.timing.term:
            return f"No copy of the bot polls: the leader has not renewed its lease for {silent:.0f} s."
        return None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator["Leadership"]:
        """Try to take the lease at once, keep trying or renewing inside the context, and release it at the end."""
        await self.renew()
        renewing = asyncio.create_task(self._renew_for_ever())
        try:
            yield self
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            releasing = asyncio.get_running_loop().run_in_executor(self._thread, self.lease.release)
            await asyncio.wait([releasing], timeout=RELEASE_SECONDS)
            self._thread.shutdown(wait=False)

    async def still_held(self) -> bool:
        """Whether this copy leads, after one more attempt if its last renewal is too old."""
        return self.held() or await self.renew()

    async def renew(self) -> bool:
        """Make one attempt, which concurrent callers share. Returns whether this copy holds the lease."""
        if self._led and not self.held():
            self._say(NOT_IN_TIME)
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.get_running_loop().run_in_executor(self._thread, self.lease.acquire)
        await asyncio.wait([self._attempt], timeout=ATTEMPT_SECONDS)
        self._hangs = not self._attempt.done()
        if not self._hangs:
            self._attempt.result()
        self._log_change()
        return self.held()

    async def settled(self) -> bool:
        """Try until this copy leads or another one is seen to renew. Returns whether this copy leads.

        Takes little longer than the lease's term.
        """
        timing = self.lease.timing
        with suppress(TimeoutError):
            async with asyncio.timeout(timing.term + ATTEMPT_SECONDS):
                while True:
                    if await self.renew() or self.lease.other_is_alive:
                        break
                    await asyncio.sleep(AGAIN_SECONDS)
        return self.held()

    async def _renew_for_ever(self) -> None:
        timing = self.lease.timing
        while True:
            failed = self._hangs or self.lease.problem is not None
            await asyncio.sleep(AGAIN_SECONDS if failed else timing.renew if self.held() else timing.look)
            try:
                await self.renew()
            except Exception:
                log.exception("the lease could not be renewed")

    def _log_change(self) -> None:
        """Log each change once."""
        if self.held():
            if not self._led or self._said is not None:
                log.info("this copy of the bot polls and delivers")
            self._led, self._said = True, None
            return
        if self.lease.problem is not None or self._hangs:
            self._say(f"nothing is polled or delivered: {self.problem()}")
        elif self.lease.other is not None:
            self._say(
                "another copy of the bot leads on this database: this one answers commands, but does not poll "
                f"({self.lease.other})"
            )
        elif self._led:
            # The attempt began in time and ended too late.
            self._say(NOT_IN_TIME)
        self._led = False

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            log.warning("%s", sentence)
        self._said = sentence
