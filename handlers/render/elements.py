"""The few Block Kit elements that this bot uses, as plain dicts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.messages import Block
from handlers.render.escape import cut, plain

SECTION_LIMIT = 3000
"""Characters of a section's text (docs.slack.dev, section block)."""

CONFIRM_LIMIT = 300
"""Characters of a confirm dialog's text (docs.slack.dev, confirmation dialog object)."""

HEADER_LIMIT = 150
"""Characters of a header (docs.slack.dev, header block)."""

TYPED_LIMIT = 400
"""Characters of a reason, as in the text beside the blocks."""

ACTION_ID_LIMIT = BLOCK_ID_LIMIT = 255
VALUE_LIMIT = 2000
"""Characters of a button's ids (docs.slack.dev, button element)."""


def moment(at: datetime) -> str:
    """`23 Nov 14:05 UTC`."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %H:%M} UTC"


def local_moment(at: datetime) -> str:
    """The same for a block: Slack shows it in the reader's own zone."""
    return f"<!date^{int(at.timestamp())}^{{date_short}} {{time}}|{moment(at)}>"


def header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": plain(text, HEADER_LIMIT)}}


def section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION_LIMIT), "verbatim": True}}


def sections(lines: Iterable[str]) -> list[Block]:
    """The lines in as few sections as they fit in, none cut in two."""
    texts: list[str] = []
    for line in lines:
        if texts and len(texts[-1]) + 1 + len(line) <= SECTION_LIMIT:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return [section(text) for text in texts]


def typed(text: str) -> Block:
    """What a person typed, drawn as it was typed, whatever marks of mrkdwn are in it."""
    drawn = plain(text, TYPED_LIMIT)
    return {"type": "section", "text": {"type": "plain_text", "text": drawn, "emoji": False}}


def context(*texts: str) -> Block:
    elements = [{"type": "mrkdwn", "text": cut(text, SECTION_LIMIT), "verbatim": True} for text in texts]
    return {"type": "context", "elements": elements}


def actions(buttons: Sequence[Block], block_id: str | None = None) -> Block:
    """`block_id`: differs from that of every other block of the message."""
    block: Block = {"type": "actions", "elements": list(buttons)}
    return block if block_id is None else {**block, "block_id": cut(block_id, BLOCK_ID_LIMIT)}


def button(
    label: str, action_id: str, value: str, *, confirm: dict[str, Any] | None = None, style: str | None = None
) -> Block:
    """`value`: what the click says; `action_id` differs from that of every other button of the row."""
    element: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": plain(label, 75)},
        "action_id": cut(action_id, ACTION_ID_LIMIT),
        "value": cut(value, VALUE_LIMIT),
    }
    if confirm is not None:
        element["confirm"] = confirm
    if style is not None:
        element["style"] = style
    return element


def confirmation(title: str, text: str, confirm: str, *, danger: bool = False) -> dict[str, Any]:
    """A dialog before a button acts. What must not be cut stands at the beginning of `text`."""
    dialog: dict[str, Any] = {
        "title": {"type": "plain_text", "text": plain(title, 100)},
        "text": {"type": "plain_text", "text": plain(text, CONFIRM_LIMIT)},
        "confirm": {"type": "plain_text", "text": plain(confirm, 30)},
        "deny": {"type": "plain_text", "text": "Cancel"},
    }
    if danger:
        dialog["style"] = "danger"
    return dialog
