"""Answers in a modal, and the form that changes the fallback mode."""

import json
from collections.abc import Sequence

from bot.fallback.impact import Overview
from bot.language import tr
from bot.messages import Block, Message, Part
from bot.mode import NORMAL
from handlers.render.fields import FIELD, input_block, option, plain_label, text_field
from handlers.render.parts import paragraph, section, shown
from handlers.render.spend import cost_lines, saving_clause

FALLBACK_FORM = "fallback_change"
MODE, LASTS, REASON = "mode", "for", "because"
MOST_MODES = 20
REASON_LIMIT = 300


IN_MODALS = frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section"})
"""Blocks that Slack shows in a modal (docs.slack.dev, blocks)."""

MOST_VIEW_BLOCKS = 100
"""Most blocks of a view (docs.slack.dev, views)."""


def in_modal(parts: Sequence[Part]) -> list[Block]:
    """The blocks of parts in a modal, with tables, charts and folds as text."""
    fits = [all(block["type"] in IN_MODALS for block in part.blocks) for part in parts]
    drawn = [part if fit else paragraph(*part.text.splitlines()) for part, fit in zip(parts, fits, strict=True)]
    return [block for part in drawn for block in part.blocks][:MOST_VIEW_BLOCKS]


def text_view(title: str, message: Message) -> Block:
    """An answer in a modal, if there is no channel to answer in."""
    return {
        "type": "modal",
        "title": plain_label(title),
        "close": plain_label(tr("Close")),
        "blocks": in_modal(message.parts),
    }


def change_form(modes: Sequence[str], present: str, overview: Overview, response_url: str) -> Block:
    """The modes, each with its saving against the one in force."""
    savings = {saving.mode: saving for saving in overview.savings}
    options = []
    for mode in modes[:MOST_MODES]:
        saving = savings.get(mode)
        name = tr("{mode} (in force)", mode=mode) if mode == present else mode
        if mode not in (present, NORMAL):
            what = tr("saving not known") if saving is None else saving_clause(saving)
            name = tr("{mode}: {saving}", mode=mode, saving=what)
        options.append(option(mode, name))
    lines = [
        f"*{shown(mode)}*: {' '.join(found)}"
        for mode in modes[:MOST_MODES]
        if mode != present and (found := cost_lines(overview.costs.get(mode)))
    ]
    return {
        "type": "modal",
        "callback_id": FALLBACK_FORM,
        "private_metadata": json.dumps({"response_url": response_url}),
        "title": plain_label(tr("Fallback mode")),
        "submit": plain_label(tr("Change")),
        "close": plain_label(tr("Cancel")),
        "blocks": [
            input_block(MODE, tr("Mode"), {"type": "static_select", "action_id": FIELD, "options": options}),
            text_field(
                LASTS,
                tr("For how long"),
                "2h",
                {},
                hint=tr("Like 90m, 2h or 3d; empty: until the next period begins."),
                optional=True,
            ),
            text_field(REASON, tr("Why"), "", {}, optional=True, longest=REASON_LIMIT),
            *([section("\n".join(lines))] if lines else []),
        ],
    }
