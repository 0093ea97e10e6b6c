"""Structured fields of a log line: event, incident, person, place and outcome.

`docs/operations.md` describes them; a line as JSON has these and no others, whatever a library adds to its records.
"""

from enum import StrEnum
from typing import TypedDict, Unpack


class Event(StrEnum):
    """Kinds of events. Other lines, such as faults and start-up messages, have no event."""

    TRANSITION = "transition"
    DELIVERY = "delivery"
    CHANGE = "change"
    TARGET = "target"
    REFUSAL = "refusal"


COMMITTED = frozenset({Event.TRANSITION, Event.DELIVERY, Event.CHANGE})
"""Events whose lines each report a row that was just stored, so that neither faults nor strangers can repeat them."""


class About(TypedDict, total=False):
    """The subject of a line."""

    incident: str | None
    kind: str | None
    budget: str | None
    mode: str | None


class Fields(About, total=False):
    """Every field with its type; None is left out of the line."""

    event: Event
    status: str | None
    user: str | None
    action: str | None
    outcome: str | None
    reason: str | None
    notice: int | None
    destination: str | None
    attempt: int | None
    wait_seconds: float | None
    target: str | None
    path: str | None
    http_status: int | None


NAMES: tuple[str, ...] = tuple(dict.fromkeys(("event", *Fields.__annotations__)))
"""In the order in which a line has them."""


def fields(**values: Unpack[Fields]) -> dict[str, object]:
    """For the `extra` of a call of `logging`."""
    return {name: value for name, value in values.items() if value is not None}
