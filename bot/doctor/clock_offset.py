"""How far the machine's clock is off, by the dates in the answers of Slack and Anthropic."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from bot.clock import Clock
from bot.doctor.check import Check, State

WARN_ABOVE = timedelta(seconds=30)
FAIL_ABOVE = timedelta(minutes=5)
"""Requests that Slack signed longer ago than this are refused (docs.slack.dev, verifying requests)."""


class ClockOffsets:
    """Collects the difference at each answer: positive where the machine is ahead of the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.found: dict[str, timedelta] = {}

    def note(self, server: str, headers: Mapping[str, Any]) -> None:
        """Take the `Date` of an answer that has just arrived; one without a date tells nothing."""
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


def judge_clock(offsets: Mapping[str, timedelta], jumped: str | None = None) -> Check:
    """By the server whose clock differs most. `jumped`: a sentence about a jump that the running bot has seen."""
    check = _judge(offsets)
    if jumped is None:
        return check
    state = State.WARN if check.state is State.OK else check.state
    return Check(check.name, state, f"{jumped} {check.text}", check.remedy)


def _judge(offsets: Mapping[str, timedelta]) -> Check:
    if not offsets:
        return Check("clock", State.SKIPPED, "Not checked, since no server has answered.")
    server, offset = max(offsets.items(), key=lambda item: abs(item[1]))
    seconds = int(abs(offset).total_seconds())
    if abs(offset) <= WARN_ABOVE:
        servers = " and ".join(sorted(offsets))
        return Check("clock", State.OK, f"The machine's clock agrees with {servers} within {WARN_ABOVE.seconds} s.")
    direction = "ahead of" if offset > timedelta() else "behind"
    text = f"The machine's clock is {seconds} s {direction} {server}'s."
    remedy = "Let the machine set its clock from the network (NTP)."
    if abs(offset) > FAIL_ABOVE:
        text += " Slack's signatures are refused and ages are wrong at more than 5 minutes."
        return Check("clock", State.FAIL, text, remedy)
    return Check("clock", State.WARN, text, remedy)
