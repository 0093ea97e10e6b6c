"""The last changes of the fallback mode, and the refusals."""

import re
from collections.abc import Sequence

from bot.messages import Block, Message
from bot.modes.changes import AuditEntry
from handlers.render.elements import moment, sections, typed
from handlers.render.escape import has_markup, mention, shown

DETAIL_LIMIT = 300
REFUSED, PROPOSAL = "refused", "proposal"

_MENTION = re.compile(r"&lt;@([UW][A-Z0-9]+)&gt;")
"""A refusal names the admins in the form in which Slack shows them."""


def history_message(entries: Sequence[AuditEntry]) -> Message:
    """Who did or tried what, when and why; the newest first."""
    if not entries:
        lines = ["The fallback mode was never changed, and nobody was refused."]
        return Message(lines[0], sections(lines))
    lines = ["The last changes of the fallback mode, and refusals; the newest first."]
    twin = [lines[0], *(f"• {_line(entry)}" for entry in entries)]
    blocks: list[Block] = []
    waiting = [f"*{lines[0]}*"]
    for entry in entries:
        if not has_markup(entry.detail) or _is_ours(entry):
            waiting.append(f"• {_line(entry)}")
            continue
        # What somebody typed is drawn as typed, below who did it and when.
        blocks += [*sections([*waiting, f"• {_lead(entry)}"]), typed(_detail(entry))]
        waiting = []
    return Message("\n".join(twin), [*blocks, *(sections(waiting) if waiting else [])])


def _line(entry: AuditEntry) -> str:
    detail = shown(_detail(entry), DETAIL_LIMIT)
    if _is_ours(entry):
        detail = _MENTION.sub(r"<@\1>", detail)
    return f"{_lead(entry)}{detail}"


def _is_ours(entry: AuditEntry) -> bool:
    """Whether the detail is a refusal in our own words; that of a rejected proposal holds the reason that was typed."""
    return entry.outcome == REFUSED and entry.action != PROPOSAL


def _lead(entry: AuditEntry) -> str:
    what = "" if entry.action == "mode" else f"{shown(entry.action)} "
    refused = "" if entry.outcome == "done" else f"{shown(entry.outcome)}, "
    return f"{moment(entry.at)} · {mention(entry.actor)} · {refused}{what}"


def _detail(entry: AuditEntry) -> str:
    return entry.detail.rstrip(": ").replace("->", "→", 1)
