"""Types of the callables that count, which the composition root passes to rooms. Light to import."""

from collections.abc import Callable
from typing import Protocol

Acknowledged = Callable[[str, float], None]
"""Called with the kind of a request of Slack's, and the seconds until its acknowledgement was sent."""

CountAnswer = Callable[[int | None], None]
"""Called with the status of each answer of Anthropic's; None where there was none."""

CountRecords = Callable[[str, int, int, int], None]
"""Called with the route of a body, and how many of its records were accepted, duplicates, and rejected."""

CountRequest = Callable[[str, int], None]
"""Called with the route and the status of each answer."""


class CountSwitch(Protocol):
    """Called with each fallback mode that this copy has switched to. `automatic`: not by a person."""

    def __call__(self, mode: str, *, automatic: bool) -> None: ...


def not_counted(*_: object, **__: object) -> None:
    """The default of all these callables: nobody counts."""
