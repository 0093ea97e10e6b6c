"""How far the machine's clock is off, by the dates in the answers of Slack and Anthropic."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from bot.clock import Clock

WARN_ABOVE = timedelta(seconds=30)
FAIL_ABOVE = timedelta(minutes=5)
"""Requests that Slack signed longer ago than this are refused (docs.slack.dev, verifying requests)."""


class ClockOffsets:
    """Collects the difference at each answer: positive where the machine is ahead of the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.found: dict[str, timedelta] = {}

    def note(self, server: str, headers: Mapping[str, Any]) -> None:
        """Take the `Date` of an answer that has just arrived; one without a date is ignored."""
        now = self._clock()
        date = date_of(headers)
        if date is not None:
            self.found[server] = now - date


def date_of(headers: Mapping[str, Any]) -> datetime | None:
    """The `Date` of an answer; None where it has none that can be read."""
    dates = [_parsed(str(value)) for name, value in headers.items() if name.lower() == "date"]
    return next((date for date in dates if date is not None), None)


def _parsed(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
