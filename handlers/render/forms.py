"""What forms are made of, and the form that changes the fallback mode."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.fallback.impact import Overview
from bot.language import tr
from bot.messages import Block, Message, Part
from bot.mode import NORMAL
from handlers.render.parts import LABEL_LIMIT, cut, paragraph, plain, section, shown
from handlers.render.spend import cost_lines, saving_clause

FIELD = "value"
"""The action id of every field; its block id says which word it is."""

PROMPT_LIMIT = 3000
"""Characters of a plain_text_input (docs.slack.dev, plain-text input element)."""

HINT_LIMIT = 300
"""Characters that fit under a field on a phone; Slack takes 2,000."""

VALUE_LIMIT = 150
"""Characters of an option's value (docs.slack.dev, option object)."""

FALLBACK_FORM = "fallback_change"
MODE, LASTS, REASON = "mode", "for", "because"
MOST_MODES = 20
REASON_LIMIT = 300


IN_MODALS = frozenset({"actions", "context", "divider", "header", "image", "input", "rich_text", "section"})
"""Blocks that Slack shows in a modal (docs.slack.dev, blocks)."""

MOST_VIEW_BLOCKS = 100
"""Of a view (docs.slack.dev, views)."""


def in_modal(parts: Sequence[Part]) -> list[Block]:
    """The blocks of parts in a modal, where tables, charts and folds are in words."""
    fits = [all(block["type"] in IN_MODALS for block in part.blocks) for part in parts]
    drawn = [part if fit else paragraph(*part.text.splitlines()) for part, fit in zip(parts, fits, strict=True)]
    return [block for part in drawn for block in part.blocks][:MOST_VIEW_BLOCKS]


def text_view(title: str, message: Message) -> Block:
    """An answer in a modal, for somebody who asked where there is no channel to answer in."""
    return {
        "type": "modal",
        "title": plain_label(title),
        "close": plain_label(tr("Close")),
        "blocks": in_modal(message.parts),
    }


def change_form(modes: Sequence[str], present: str, overview: Overview, response_url: str) -> Block:
    """The modes with what each saves beside the one in force."""
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
            input_block(
                LASTS,
                tr("For how long"),
                {"type": "plain_text_input", "action_id": FIELD, "placeholder": plain_label("2h")},
                hint=tr("Like 90m, 2h or 3d; empty: until the next period begins."),
                optional=True,
            ),
            input_block(
                REASON,
                tr("Why"),
                {"type": "plain_text_input", "action_id": FIELD, "max_length": REASON_LIMIT},
                optional=True,
            ),
            *([section("\n".join(lines))] if lines else []),
        ],
    }


def filled_change(state: Mapping[str, Any]) -> dict[str, str]:
    """What the submitted form holds; empty fields are empty."""
    found = {}
    for key, elements in state["values"].items():
        element = elements.get(FIELD) or {}
        option = element.get("selected_option") or {}
        found[key] = str(option.get("value") or element.get("value") or "").strip()
    return found


def select_field(key: str, label: str, choices: Mapping[str, str], chosen: str) -> Block:
    """A field with one choice. `choices`: names by value."""
    options = {value: option(value, name) for value, name in choices.items()}
    element = {
        "type": "static_select",
        "action_id": FIELD,
        "options": list(options.values()),
        "initial_option": options[chosen],
    }
    return input_block(key, label, element)


def checkbox(key: str, label: str, meaning: str, checked: bool) -> Block:
    """A field that is ticked or not; ticked it is `yes`."""
    ticked = option("yes", meaning)
    element: Block = {"type": "checkboxes", "action_id": FIELD, "options": [ticked]}
    if checked:
        element["initial_options"] = [ticked]
    return input_block(key, label, element, optional=True)


def text_field(
    key: str,
    label: str,
    placeholder: str,
    values: Mapping[str, str],
    *,
    hint: str | None = None,
    optional: bool = False,
    multiline: bool = False,
) -> Block:
    """A field for text, filled in with what `values` has under its key."""
    element: Block = {"type": "plain_text_input", "action_id": FIELD, "placeholder": plain_label(placeholder)}
    if multiline:
        element |= {"multiline": True, "max_length": PROMPT_LIMIT}
    if values.get(key):
        element["initial_value"] = values[key]
    return input_block(key, label, element, hint=hint, optional=optional)


def input_block(key: str, label: str, element: Block, *, hint: str | None = None, optional: bool = False) -> Block:
    """A field around any element of Slack's; `key` is its block id."""
    block: Block = {
        "type": "input",
        "block_id": key,
        "label": plain_label(label),
        "element": element,
        "optional": optional,
    }
    if hint is not None:
        block["hint"] = {"type": "plain_text", "text": plain(hint, HINT_LIMIT)}
    return block


def option(value: str, name: str) -> Block:
    """A choice of a select or a checkbox."""
    return {"text": plain_label(name), "value": cut(value, VALUE_LIMIT)}


def plain_label(text: str) -> Block:
    """Text of a label, a title or a button."""
    return {"type": "plain_text", "text": plain(text, LABEL_LIMIT)}
