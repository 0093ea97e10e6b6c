"""A message for Slack, as rendering makes it and delivery takes it."""

from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is complete without `blocks`: notifications, screen readers and terminals get nothing else."""

    text: str
    blocks: list[Block] = field(default_factory=list)
