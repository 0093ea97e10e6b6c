"""The last changes of the fallback mode, and the refusals."""

import re
from collections.abc import Sequence

from bot.message import Message
from bot.store.modes import AuditEntry
from handlers.blocks.elements import moment, sections
from handlers.blocks.outside import mention, shown

DETAIL_LIMIT = 300

_MENTION = re.compile(r"&lt;@([UW][A-Z0-9]+)&gt;")
"""A refusal names the admins in the form in which Slack shows them."""


def history_message(entries: Sequence[AuditEntry]) -> Message:
    """Who did or tried what, when and why; the newest first."""
    if not entries:
        lines = ["The fallback mode was never changed, and nobody was refused."]
        return Message(lines[0], sections(lines))
    lines = ["The last changes of the fallback mode, and refusals; the newest first."]
    lines += [f"• {_line(entry)}" for entry in entries]
    return Message("\n".join(lines), sections([f"*{lines[0]}*", *lines[1:]]))


def _line(entry: AuditEntry) -> str:
    who = mention(entry.actor)
    what = "" if entry.action == "mode" else f"{shown(entry.action)} "
    refused = "" if entry.outcome == "done" else f"{shown(entry.outcome)}, "
    detail = _MENTION.sub(r"<@\1>", shown(entry.detail.rstrip(": "), DETAIL_LIMIT)).replace("-&gt;", "→")
    return f"{moment(entry.at)} · {who} · {refused}{what}{detail}"
