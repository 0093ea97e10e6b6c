"""What a form shows beside its fields: waited for as long as Slack's `trigger_id` allows, and left out after that."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Content = TypeVar("Content")

CONTENT_SECONDS = 1.5
"""Of the three for which a `trigger_id` holds; the rest is for the call that opens the form."""


async def in_time(content: Awaitable[Content]) -> Content | None:
    """The content, or None where it is not there in time. Raises what it raises."""
    task = asyncio.ensure_future(content)
    done, _ = await asyncio.wait({task}, timeout=CONTENT_SECONDS)
    if done:
        return task.result()
    task.cancel()
    return None
