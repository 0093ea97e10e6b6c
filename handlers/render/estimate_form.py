"""The form of an estimate: a modal with a field for each common word, and its result."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.messages import Block
from bot.pricing.card import RateCard
from bot.pricing.estimate import Estimate
from bot.pricing.model_names import short_name
from bot.pricing.workload import Workload
from bot.typed_text import cleaned
from handlers.render.elements import button, section
from handlers.render.escape import cut
from handlers.render.estimate import estimate_message, lines_section

FORM = "estimate_form"
SHARE_ACTION = "estimate_share"
PROMPT = "prompt"
MORE = "more"
FIELD = "value"
"""The action id of every field; its block id says which word it is."""

PROMPT_LIMIT = 3000
"""Characters of a plain_text_input (docs.slack.dev, plain-text input element)."""

FIELDS = ("requests", "in", PROMPT, "out", "cached", "hit", "ttl", "batch", MORE)


@dataclass(frozen=True, slots=True)
class Context:
    """What the form carries from its command to its result: where a shared result goes."""

    response_url: str

    def packed(self) -> str:
        """As private metadata."""
        return json.dumps({"response_url": self.response_url})


def form(card: RateCard, last: Workload | None, carried: Context) -> Block:
    """The empty form, or one that is filled in as the user's last one was."""
    values = {} if last is None else _values(last)
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": carried.packed(),
        "title": _plain("Estimate a workload"),
        "submit": _plain("Estimate"),
        "close": _plain("Cancel"),
        "blocks": [
            _model_field(card, values.get("model")),
            _text_field("requests", "Requests", "100k", values, hint="A month has 30 days; or write 500/day."),
            _text_field("in", "Input tokens of a request", "2000", values, optional=True),
            _text_field(
                PROMPT,
                "… or paste a prompt",
                "It is counted instead of input tokens",
                values,
                optional=True,
                multiline=True,
            ),
            _text_field("out", "Output tokens of a request", "500", values),
            _text_field("cached", "Of the input, tokens that are cached", "1500", values, optional=True),
            _text_field("hit", "Cache hit rate", "90%", values, optional=True),
            _select_field("ttl", "The cache lives", {"5m": "5 minutes", "1h": "1 hour"}, values.get("ttl", "5m")),
            _checkbox("batch", "Send in batches", "Half the price, results within 24 hours", "batch" in values),
            _text_field(MORE, "More words", "turns=20 peak=10x target=700 to=haiku-4.5", values, optional=True),
        ],
    }


def result_view(estimate: Estimate, lines: tuple[str, ...], words: str, carried: Context) -> Block:
    """The result in place of the form, with a button that shares it."""
    blocks = [
        lines_section(estimate) if block["type"] == "table" else block
        for block in estimate_message(estimate, lines).blocks
    ]
    return _view([*blocks, {"type": "actions", "elements": [share_button(words)]}], carried)


def counting_view(carried: Context) -> Block:
    """What stands there while a prompt is counted."""
    return _view([section("Counting the prompt's tokens …")], carried)


def share_button(words: str) -> Block:
    """Shows the estimate to everybody in the channel."""
    return button("Share to channel", SHARE_ACTION, words)


_PER_CENT = re.compile(r"(?!1(?:\.0*)?$)(?:[1-9]\d?(?:\.\d+)?|100(?:\.0+)?)")


def words_from(values: Mapping[str, str]) -> str:
    """The line of words that the filled fields stand for; the prompt is none of them."""
    words = [values.get("model", ""), *(["batch"] if values.get("batch") else [])]
    for key in ("requests", "in", "out", "cached", "hit"):
        if value := cleaned(values.get(key, "")).replace(" ", ""):
            # In a field that is named a rate, 90 can only be per cent.
            per_cent = "%" if key == "hit" and _PER_CENT.fullmatch(value) else ""
            words.append(f"{key}={value}{per_cent}")
    if values.get("cached") and values.get("ttl", "5m") != "5m":
        words.append(f"ttl={values['ttl']}")
    return " ".join([*words, values.get(MORE, "")]).strip()


def filled(state: Mapping[str, Any]) -> dict[str, str]:
    """What the submitted form holds, by word; empty fields are left out."""
    found = {}
    for key, actions in state["values"].items():
        element = actions.get(FIELD) or {}
        if element.get("type") == "checkboxes":
            value = "yes" if element.get("selected_options") else ""
        elif element.get("type") == "static_select":
            value = (element.get("selected_option") or {}).get("value", "")
        else:
            value = element.get("value") or ""
        if value.strip():
            found[key] = value.strip()
    return found


def field_of(key: str | None) -> str:
    """The field that shows the mistake about a word."""
    return key if key in FIELDS or key == "model" else MORE


def _values(last: Workload) -> dict[str, str]:
    values = {"requests": f"{last.requests}" + ("" if last.per == "month" else f"/{last.per}")}
    if last.model is not None:
        values["model"] = short_name(last.model)
    if last.text is None:
        values["in"] = str(last.input_tokens)
    values["out"] = str(last.output_tokens)
    if last.cached_tokens:
        values |= {"cached": str(last.cached_tokens), "ttl": last.ttl}
        if last.hit_rate is not None:
            values["hit"] = f"{last.hit_rate:f}"
    if last.batch:
        values["batch"] = "yes"
    more = [] if last.text is None else [f"chars={last.text.chars}", f"lang={last.text.lang}"]
    more += [] if last.turns == 1 else [f"turns={last.turns}"]
    more += [f"search={last.searches:f}"] if last.searches else []
    more += [] if last.geo is None else [f"geo={last.geo}"]
    more += ["fast"] if last.fast else []
    more += [] if last.peak is None else [f"peak={last.peak:f}x"]
    return values | ({MORE: " ".join(more)} if more else {})


def _view(blocks: list[Block], carried: Context) -> Block:
    return {
        "type": "modal",
        "private_metadata": carried.packed(),
        "title": _plain("Estimate a workload"),
        "close": _plain("Close"),
        "blocks": blocks,
    }


def _model_field(card: RateCard, chosen: str | None) -> Block:
    names = {short_name(model): model.name for model in card.models.values()}
    default = chosen or short_name(card.newest("sonnet"))
    return _select_field("model", "Model", names, default)


def _select_field(key: str, label: str, choices: Mapping[str, str], chosen: str) -> Block:
    options = {value: _option(value, name) for value, name in choices.items()}
    element = {
        "type": "static_select",
        "action_id": FIELD,
        "options": list(options.values()),
        "initial_option": options[chosen],
    }
    return _input(key, label, element)


def _checkbox(key: str, label: str, meaning: str, checked: bool) -> Block:
    option = _option("yes", meaning)
    element: Block = {"type": "checkboxes", "action_id": FIELD, "options": [option]}
    if checked:
        element["initial_options"] = [option]
    return _input(key, label, element, optional=True)


def _text_field(
    key: str,
    label: str,
    placeholder: str,
    values: Mapping[str, str],
    *,
    hint: str | None = None,
    optional: bool = False,
    multiline: bool = False,
) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": FIELD, "placeholder": _plain(placeholder)}
    if multiline:
        element |= {"multiline": True, "max_length": PROMPT_LIMIT}
    if values.get(key):
        element["initial_value"] = values[key]
    return _input(key, label, element, hint=hint, optional=optional)


def _input(key: str, label: str, element: Block, *, hint: str | None = None, optional: bool = False) -> Block:
    block: Block = {"type": "input", "block_id": key, "label": _plain(label), "element": element, "optional": optional}
    if hint is not None:
        block["hint"] = _plain(hint)
    return block


def _option(value: str, name: str) -> Block:
    return {"text": _plain(cut(name, 75)), "value": value}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}
