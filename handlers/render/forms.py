"""The forms: a modal for an estimate with its result, and one that changes the fallback mode."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.fallback.impact import Overview
from bot.messages import Block, Part
from bot.mode import NORMAL
from bot.pricing.card import RateCard
from bot.pricing.estimate import Estimate
from bot.pricing.model_names import short_name
from bot.pricing.monthly_cost import Text, Workload
from bot.typed_text import cleaned
from handlers.render.estimate import estimate_message
from handlers.render.parts import LABEL_LIMIT, button, buttons, cut, paragraph, plain, section, shown
from handlers.render.spend import cost_lines, saving_clause

ESTIMATE_FORM = "estimate_form"
SHARE_ACTION = "estimate_share"
PROMPT = "prompt"
MORE = "more"
FIELD = "value"
"""The action id of every field; its block id says which word it is."""

PROMPT_LIMIT = 3000
"""Characters of a plain_text_input (docs.slack.dev, plain-text input element)."""

VALUE_LIMIT = 150
"""Characters of an option's value (docs.slack.dev, option object)."""

FIELDS = ("requests", "in", PROMPT, "out", "cached", "hit", "ttl", "batch", MORE)

FALLBACK_FORM = "fallback_change"
MODE, LASTS, REASON = "mode", "for", "because"
MOST_MODES = 20
REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Context:
    """What the form carries from its command to its result: where a shared result goes."""

    response_url: str

    def packed(self) -> str:
        """As private metadata."""
        return json.dumps({"response_url": self.response_url})


def estimate_form(
    card: RateCard, last: Workload | None, carried: Context, *, prompt: str = "", sized: Text | None = None
) -> Block:
    """The empty form, or one that is filled in as the user's last one was.

    `prompt`: a text that is counted. `sized`: the size of one that is too long for the field.
    """
    values = {} if last is None else _values(last)
    if prompt or sized is not None:
        values.pop("in", None)
        values |= {PROMPT: prompt}
    if sized is not None:
        values[MORE] = f"chars={sized.chars} lang={sized.lang}"
    return {
        "type": "modal",
        "callback_id": ESTIMATE_FORM,
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
            _text_field(MORE, "More words", "turns=20 as=support-bot for=feature:support", values, optional=True),
        ],
    }


def result_view(estimate: Estimate, lines: tuple[str, ...], words: str, carried: Context) -> Block:
    """The result in place of the form, with a button that shares it where the form was opened from a channel."""
    share = [share_button(words)] if carried.response_url else []
    parts = [*estimate_message(estimate, lines).parts, buttons(share)]
    # Slack shows no table in a modal (docs.slack.dev, table block).
    shown_parts = [paragraph(part.text) if _has_table(part) else part for part in parts]
    return _view([block for part in shown_parts for block in part.blocks], carried)


def _has_table(part: Part) -> bool:
    return any(block["type"] == "table" for block in part.blocks)


def counting_view(carried: Context) -> Block:
    """What is shown while a prompt is counted."""
    return _view([section("Counting the prompt's tokens …")], carried)


def share_button(words: str) -> Block:
    """Shows the estimate to everybody in the channel."""
    return button("Share to channel", SHARE_ACTION, words)


_PER_CENT = re.compile(r"(?!1(?:\.0*)?$)(?:[1-9]\d?(?:\.\d+)?|100(?:\.0+)?)")


def words_from(values: Mapping[str, str]) -> str:
    """The filled fields as the words of an estimate, without the prompt."""
    words = [values.get("model", ""), *(["batch"] if values.get("batch") else [])]
    for key in ("requests", "in", "out", "cached", "hit"):
        if value := cleaned(values.get(key, "")).replace(" ", ""):
            # In a field that is named a rate, 90 can only be per cent.
            per_cent = "%" if key == "hit" and _PER_CENT.fullmatch(value) else ""
            words.append(f"{key}={value}{per_cent}")
    if values.get("cached") and values.get("ttl", "5m") != "5m":
        words.append(f"ttl={values['ttl']}")
    return " ".join([*words, values.get(MORE, "")]).strip()


def filled_estimate(state: Mapping[str, Any]) -> dict[str, str]:
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


def change_form(modes: Sequence[str], present: str, overview: Overview, response_url: str) -> Block:
    """The modes with what each saves beside the one in force."""
    savings = {saving.mode: saving for saving in overview.savings}
    options = []
    for mode in modes[:MOST_MODES]:
        saving = savings.get(mode)
        name = f"{mode} (in force)" if mode == present else mode
        if mode not in (present, NORMAL):
            name += f": {saving_clause(saving)}" if saving is not None else ": saving not known"
        options.append(_option(mode, name))
    lines = [
        f"*{shown(mode)}*: {' '.join(found)}"
        for mode in modes[:MOST_MODES]
        if mode != present and (found := cost_lines(overview.costs.get(mode)))
    ]
    return {
        "type": "modal",
        "callback_id": FALLBACK_FORM,
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
                optional=True,
            ),
            _input(
                REASON,
                "Why",
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
    return {"text": _plain(name), "value": cut(value, VALUE_LIMIT)}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": plain(text, LABEL_LIMIT)}
