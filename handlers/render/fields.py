"""Fields of forms, and values of submitted forms."""

from collections.abc import Mapping
from typing import Any

from bot.messages import Block
from bot.slack_api import as_object
from handlers.render.parts import LABEL_LIMIT, cut, plain

FIELD = "value"
"""Action id of every field; its block id is the key of the field."""

PROMPT_LIMIT = 3000
"""Characters of a plain_text_input (docs.slack.dev, plain-text input element)."""

HINT_LIMIT = 300
"""Characters of a hint that fit under a field on a phone; Slack takes 2,000."""

VALUE_LIMIT = 150
"""Characters of an option's value (docs.slack.dev, option object)."""

TICKED = "yes"
"""Value of a ticked checkbox."""


def filled_fields(state: Mapping[str, Any]) -> dict[str, str]:
    """Values of a submitted form by field; empty fields are empty."""
    found = {}
    for key, elements in state["values"].items():
        element = as_object(elements.get(FIELD))
        ticked = TICKED if element.get("selected_options") else ""
        chosen = as_object(element.get("selected_option")).get("value")
        value = chosen or element.get("selected_conversation") or element.get("value") or ticked
        found[key] = str(value).strip()
    return found


def select_field(
    key: str,
    label: str,
    choices: Mapping[str, str],
    chosen: str,
    *,
    hint: str | None = None,
    optional: bool = False,
) -> Block:
    """A field with one choice. `choices`: names by value."""
    options = {value: option(value, name) for value, name in choices.items()}
    element = {
        "type": "static_select",
        "action_id": FIELD,
        "options": list(options.values()),
        "initial_option": options[chosen],
    }
    return input_block(key, label, element, hint=hint, optional=optional)


def checkbox(key: str, label: str, meaning: str, checked: bool) -> Block:
    """A checkbox; its value is `TICKED` if ticked."""
    ticked = option(TICKED, meaning)
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
    longest: int | None = None,
) -> Block:
    """A text field, filled in with the value of its key in `values`. `longest`: most characters it takes."""
    element: Block = {"type": "plain_text_input", "action_id": FIELD}
    if placeholder:
        element["placeholder"] = plain_label(placeholder)
    if multiline:
        element["multiline"] = True
    if longest is not None or multiline:
        element["max_length"] = longest or PROMPT_LIMIT
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
