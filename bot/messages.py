"""Messages: lists of parts, as rendering makes them and delivery takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Block = dict[str, Any]

MOST_BLOCKS = 50
"""In a message (docs.slack.dev, chat.postMessage)."""

KEPT_AT_END = 5
"""Of the blocks that are too many, the last ones stay: buttons, and how old the data is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: what it says as text (mrkdwn), and the blocks that show the same.

    Text alone is for what Slack shows elsewhere, blocks alone for what says nothing, such as buttons.
    """

    text: str = ""
    blocks: Sequence[Block] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A list of parts, which is both the text and the blocks; empty parts do not count."""

    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """Complete without `blocks`: notifications, screen readers and terminals get nothing else."""
        return "\n".join(part.text for part in self.parts if part.text)

    @property
    def blocks(self) -> list[Block]:
        """For Slack, as many as it takes."""
        blocks = [block for part in self.parts for block in part.blocks]
        return blocks if len(blocks) <= MOST_BLOCKS else [*blocks[: MOST_BLOCKS - KEPT_AT_END], *blocks[-KEPT_AT_END:]]

    def below_first_line(self, *parts: Part) -> "Message":
        """The message with more below what it says first."""
        at = next((number for number, part in enumerate(self.parts, 1) if part.text), len(self.parts))
        return Message([*self.parts[:at], *parts, *self.parts[at:]])


Tone = Literal["soft", "hard", "resolved"]


@dataclass(frozen=True, slots=True)
class PlainMessage:
    """Plain text for destinations other than Slack. `tone`: shown by services that have colours."""

    title: str
    body: str
    tone: Tone
