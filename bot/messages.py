"""Messages: lists of parts, as rendering makes them and delivery takes them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Block = dict[str, Any]

MOST_BLOCKS = 50
"""In a message (docs.slack.dev, chat.postMessage)."""

KEPT_AT_END = 5
"""Of the blocks that are too many, the last ones stay: buttons, and how old the data is."""


FOLD, CHILDREN = "container", "child_blocks"
"""The block that folds others away (docs.slack.dev, container block)."""

TIME_FORMAT = "{date_short_pretty} {time}"
"""How Slack writes a time in the reader's zone (docs.slack.dev, date formatting)."""

_TIME = re.compile(r"<!date\^\d+\^" + re.escape(TIME_FORMAT) + r"\|([^<>|]*)>")


def in_utc(text: str) -> str:
    """`text` with every time as it is where Slack does not draw it: `23 Nov 14:05 UTC`."""
    return _TIME.sub(r"\1", text)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: what it says as text (mrkdwn), and the blocks that show the same.

    Text alone is for what Slack shows elsewhere, blocks alone for what says nothing, such as buttons. `older`: what
    shows the same in a workspace that does not take `blocks` yet; None where every workspace does.
    """

    text: str = ""
    blocks: Sequence[Block] = ()
    older: Sequence[Block] | None = None

    @property
    def in_older_blocks(self) -> "Part":
        """The same part for a workspace that takes no chart, no data table and no fold."""
        return self if self.older is None else Part(self.text, self.older)

    @property
    def is_folded(self) -> bool:
        """Whether it is drawn folded: in a container that opens at a click."""
        return any(block["type"] == FOLD for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Message:
    """A list of parts, which is both the text and the blocks; empty parts do not count."""

    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """Complete without `blocks`, times in UTC: notifications, screen readers and terminals get nothing else."""
        return in_utc(self.mrkdwn)

    @property
    def mrkdwn(self) -> str:
        """The same for Slack to draw: it shows times in the reader's zone."""
        return "\n".join(part.text for part in self.parts if part.text)

    @property
    def blocks(self) -> list[Block]:
        """For Slack, as many as it takes."""
        blocks = [block for part in self.parts for block in part.blocks]
        return blocks if len(blocks) <= MOST_BLOCKS else [*blocks[: MOST_BLOCKS - KEPT_AT_END], *blocks[-KEPT_AT_END:]]

    @property
    def in_older_blocks(self) -> "Message | None":
        """The same without charts, data tables and folds; None where there are none."""
        if all(part.older is None for part in self.parts):
            return None
        return Message([part.in_older_blocks for part in self.parts])

    @property
    def details(self) -> "Message | None":
        """What is folded, as a message of its own; None where nothing is."""
        folded = [part.in_older_blocks for part in self.parts if part.is_folded]
        return Message(folded) if folded else None

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
