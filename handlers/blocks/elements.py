"""The few Block Kit elements that this bot uses, as plain dicts, and the escaping of outside values."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bot.message import Block

SECTION_LIMIT = 3000
"""Characters of a section's text (docs.slack.dev, section block)."""

CONFIRM_LIMIT = 300
"""Characters of a confirm dialog's text (docs.slack.dev, confirmation dialog object)."""

HEADER_LIMIT = 150
"""Characters of a header (docs.slack.dev, header block)."""


def escape(value: str) -> str:
    """An outside value made harmless in mrkdwn: exactly these three characters (docs.slack.dev, formatting text)."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """`text`, or as much of it as the limit lets stand, with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def moment(at: datetime) -> str:
    """`23 Nov 14:05 UTC`."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %H:%M} UTC"


def local_moment(at: datetime) -> str:
    """The same for a block: Slack shows it in the reader's own zone."""
    return f"<!date^{int(at.timestamp())}^{{date_short}} {{time}}|{moment(at)}>"


def header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": cut(text, HEADER_LIMIT)}}


def section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION_LIMIT), "verbatim": True}}


def context(*texts: str) -> Block:
    elements = [{"type": "mrkdwn", "text": cut(text, SECTION_LIMIT), "verbatim": True} for text in texts]
    return {"type": "context", "elements": elements}


def actions(buttons: Sequence[Block]) -> Block:
    return {"type": "actions", "elements": list(buttons)}


def button(
    label: str, action_id: str, value: str, *, confirm: dict[str, Any] | None = None, style: str | None = None
) -> Block:
    element: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": cut(label, 75)},
        "action_id": action_id,
        "value": value,
    }
    if confirm is not None:
        element["confirm"] = confirm
    if style is not None:
        element["style"] = style
    return element


def confirmation(title: str, text: str, confirm: str, *, danger: bool = False) -> dict[str, Any]:
    dialog: dict[str, Any] = {
        "title": {"type": "plain_text", "text": cut(title, 100)},
        "text": {"type": "plain_text", "text": cut(text, CONFIRM_LIMIT)},
        "confirm": {"type": "plain_text", "text": cut(confirm, 30)},
        "deny": {"type": "plain_text", "text": "Cancel"},
    }
    if danger:
        dialog["style"] = "danger"
    return dialog
