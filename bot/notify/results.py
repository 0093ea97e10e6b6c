"""Results of attempts as a fixed set of words, for counting. Texts of errors would be endless."""

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
    """The result of one attempt. `failed`: the notice waits for a retry. `diverted`: it moves to the main channel."""

    result: Result
    reason: Reason


NO_MESSAGE = DeliveryResult("dropped", "no_message")
"""The result for an edit or a reply without a message."""

UNREADABLE = DeliveryResult("failed", "unreadable")
"""The result for a notice that this version cannot read or render."""

FROM_ZERO = (
    DeliveryResult("delivered", "sent"),
    DeliveryResult("failed", "refused"),
    DeliveryResult("failed", "outcome_unknown"),
    DeliveryResult("failed", "message_refused"),
    DeliveryResult("failed", "unreachable"),
)
"""Results whose counters exist from the start, at 0."""

CountResult = Callable[[DeliveryResult, timedelta], None]
"""Gets each result, and the time since the notice was decided."""


def result_of(outcome: Delivered | Found | Failed | NotEditable | Unreachable) -> DeliveryResult:
    """The result of an attempt, or of a search for the message of an earlier one."""
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
