"""The result of an attempt at a notice, in words that are few: for counting, where texts of errors would be endless."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal, NamedTuple

from bot.notify.model import Delivered, Failed, Found, NotEditable, Unreachable

Result = Literal["delivered", "failed", "dropped", "diverted"]

Reason = Literal[
    "sent",
    "found",
    "refused",
    "asked_to_wait",
    "outcome_unknown",
    "message_refused",
    "unreachable",
    "unreadable",
    "message_gone",
    "not_editable",
    "no_message",
    "channel_unreachable",
]


class DeliveryResult(NamedTuple):
    """`failed`: the notice waits for a retry. `diverted`: to the main channel, since its own takes nothing."""

    result: Result
    reason: Reason


NO_MESSAGE = DeliveryResult("dropped", "no_message")
"""An edit or a reply, and nothing that it could belong to."""

UNREADABLE = DeliveryResult("failed", "unreadable")
"""This version cannot read it or draw it."""

FROM_ZERO = (
    DeliveryResult("delivered", "sent"),
    DeliveryResult("failed", "refused"),
    DeliveryResult("failed", "outcome_unknown"),
    DeliveryResult("failed", "message_refused"),
    DeliveryResult("failed", "unreachable"),
)
"""Results that are counted from 0 on, although they may never come."""

CountResult = Callable[[DeliveryResult, timedelta], None]
"""Called with each result and the time since the notice was decided."""


def result_of(outcome: Delivered | Found | Failed | NotEditable | Unreachable) -> DeliveryResult:
    """What became of one attempt, or of the search for an earlier one's message."""
    match outcome:
        case Delivered():
            return DeliveryResult("delivered", "sent")
        case Found():
            return DeliveryResult("delivered", "found")
        case Unreachable():
            return DeliveryResult("diverted", "channel_unreachable")
        case NotEditable():
            return DeliveryResult("dropped", "message_gone" if outcome.gone else "not_editable")
        case Failed():
            return DeliveryResult("failed", _why(outcome))


def _why(failed: Failed) -> Reason:
    if failed.for_good:
        return "refused"
    if failed.retry_after is not None:
        return "asked_to_wait"
    if failed.outcome_unknown:
        return "outcome_unknown"
    return "message_refused" if failed.alone else "unreachable"
