"""Messages, as rendering makes them and delivery takes them."""

from dataclasses import dataclass, field
from typing import Any, Literal

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """For Slack. `text` is complete without `blocks`: notifications, screen readers and terminals get nothing else."""

    text: str
    blocks: list[Block] = field(default_factory=list)


Tone = Literal["soft", "hard", "resolved"]


@dataclass(frozen=True, slots=True)
class PlainMessage:
    """For places that know nothing of Slack: plain text. `tone`: services that have colours show it."""

    title: str
    body: str
    tone: Tone
