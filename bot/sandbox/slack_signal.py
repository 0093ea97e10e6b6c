"""Waiting for something to become true, without asking again and again."""

import asyncio
from collections.abc import Callable


class Signal:
    """Fired after every change of something; whoever waits for a condition then looks again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return once `condition` holds. Raises `TimeoutError` after `seconds` of real time."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._event.wait()
