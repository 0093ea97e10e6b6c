"""Messages: lists of parts, made by rendering and sent by delivery."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Block = dict[str, Any]

MOST_BLOCKS = 50
"""Most blocks in a message (docs.slack.dev, chat.postMessage)."""

KEPT_AT_END = 5
"""If there are too many blocks, this many last ones stay: buttons, and the age of the data."""


FOLD, CHILDREN = "container", "child_blocks"
"""The block that folds others (docs.slack.dev, container block)."""

TIME_FORMAT = "{date_short_pretty} {time}"
"""Slack's format of a time in the reader's zone (docs.slack.dev, date formatting)."""

_TIME = re.compile(r"<!date\^\d+\^" + re.escape(TIME_FORMAT) + r"\|([^<>|]*)>")


def in_utc(text: str) -> str:
    """`text` with times as shown outside Slack: `23 Nov 14:05 UTC`."""
    return _TIME.sub(r"\1", text)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: its text (mrkdwn), and blocks that show the same.

    Text alone is shown elsewhere by Slack, blocks alone add no text, such as buttons. `older`: equivalent for a
    workspace that does not support `blocks` yet; None if every workspace does.
    """

    text: str = ""
    blocks: Sequence[Block] = ()
    older: Sequence[Block] | None = None

    @property
    def in_older_blocks(self) -> "Part":
        """The same part for a workspace without charts, data tables and folds."""
        return self if self.older is None else Part(self.text, self.older)

    @property
    def is_folded(self) -> bool:
        """Whether it is in a container that opens at a click."""
        return any(block["type"] == FOLD for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Message:
    """A list of parts, with both text and blocks; empty parts do not count."""

    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """Complete without `blocks`, times in UTC: all that notifications, screen readers and terminals get."""
        return in_utc(self.mrkdwn)

    @property
    def mrkdwn(self) -> str:
        """The text for Slack, which shows times in the reader's zone."""
        return "\n".join(part.text for part in self.parts if part.text)

    @property
    def blocks(self) -> list[Block]:
        """The blocks for Slack, at most `MOST_BLOCKS`."""
        blocks = [block for part in self.parts for block in part.blocks]
        return blocks if len(blocks) <= MOST_BLOCKS else [*blocks[: MOST_BLOCKS - KEPT_AT_END], *blocks[-KEPT_AT_END:]]

    @property
    def in_older_blocks(self) -> "Message | None":
        """The same without charts, data tables and folds; None if there are none."""
        if all(part.older is None for part in self.parts):
            return None
        return Message([part.in_older_blocks for part in self.parts])

    @property
    def details(self) -> "Message | None":
        """The folded parts as a separate message; None if there are none."""
        folded = [part.in_older_blocks for part in self.parts if part.is_folded]
        return Message(folded) if folded else None

    def below_first_line(self, *parts: Part) -> "Message":
        """The message with more parts below its first line."""
        at = next((number for number, part in enumerate(self.parts, 1) if part.text), len(self.parts))
        return Message([*self.parts[:at], *parts, *self.parts[at:]])


Tone = Literal["soft", "hard", "resolved"]


@dataclass(frozen=True, slots=True)
class PlainMessage:
    """Plain text for destinations other than Slack. `tone`: a colour in services that have colours."""

    title: str
    body: str
    tone: Tone
