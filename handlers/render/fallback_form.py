"""The form that changes the fallback mode: which, for how long, why."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.fallback.impact import Overview
from bot.messages import Block
from bot.mode import NORMAL
from handlers.render.elements import section
from handlers.render.escape import cut, plain, shown
from handlers.render.fallback_costs import cost_lines
from handlers.render.spend import saving_clause

FORM = "fallback_change"
MODE, LASTS, REASON = "mode", "for", "because"
FIELD = "value"
MOST_MODES = 20
REASON_LIMIT = 300


def change_form(modes: Sequence[str], present: str, overview: Overview, response_url: str) -> Block:
    """The modes with what each saves beside the one in force."""
    savings = {saving.mode: saving for saving in overview.savings}
    options = []
    for mode in modes[:MOST_MODES]:
        saving = savings.get(mode)
        name = f"{mode} (in force)" if mode == present else mode
        if mode not in (present, NORMAL):
            name += f": {saving_clause(saving)}" if saving is not None else ": saving not known"
        options.append({"text": _plain(name), "value": cut(mode, 150)})
    lines = [
        f"*{shown(mode)}*: {' '.join(found)}"
        for mode in modes[:MOST_MODES]
        if mode != present and (found := cost_lines(overview.costs.get(mode)))
    ]
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": json.dumps({"response_url": response_url}),
        "title": _plain("Fallback mode"),
        "submit": _plain("Change"),
        "close": _plain("Cancel"),
        "blocks": [
            _input(MODE, "Mode", {"type": "static_select", "action_id": FIELD, "options": options}),
            _input(
                LASTS,
                "For how long",
                {"type": "plain_text_input", "action_id": FIELD, "placeholder": _plain("2h")},
                hint="Like 90m, 2h or 3d; empty: until the next period begins.",
            ),
            _input(
                REASON,
                "Why",
                {"type": "plain_text_input", "action_id": FIELD, "max_length": REASON_LIMIT},
            ),
            *([section("\n".join(lines))] if lines else []),
        ],
    }


def filled(state: Mapping[str, Any]) -> dict[str, str]:
    """What the submitted form holds; empty fields are empty."""
    found = {}
    for key, elements in state["values"].items():
        element = elements.get(FIELD) or {}
        option = element.get("selected_option") or {}
        found[key] = str(option.get("value") or element.get("value") or "").strip()
    return found


def _input(key: str, label: str, element: Block, *, hint: str | None = None) -> Block:
    block: Block = {
        "type": "input",
        "block_id": key,
        "label": _plain(label),
        "element": element,
        "optional": key != MODE,
    }
    if hint is not None:
        block["hint"] = _plain(hint)
    return block


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": plain(text, 75)}
