"""The form of an estimate: its fields, what is wrong with them, and its result."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from bot.language import tr, tr_noop
from bot.messages import Block
from bot.pricing.card import RateCard
from bot.pricing.estimate import Estimate
from bot.pricing.model_names import short_name
from bot.pricing.monthly_cost import Text, Workload
from bot.pricing.words import WordsError, parse_workload
from bot.typed_text import cleaned
from handlers.render.estimate import Besides, estimate_message
from handlers.render.fields import checkbox, filled_fields, plain_label, select_field, text_field
from handlers.render.forms import in_modal
from handlers.render.parts import button, buttons, context, plain, section

ESTIMATE_FORM = "estimate_form"
SHARE_ACTION = "estimate_share"
PROMPT = "prompt"
MORE = "more"

FIELDS = ("requests", "in", PROMPT, "out", "cached", "hit", "ttl", "batch", MORE)

STAND_INS: Mapping[str, str] = {"requests": "1", "in": "900000", "out": "1", "cached": "1", "hit": "50%", MORE: ""}
"""Valid values that replace a field with a mistake while the others are checked."""

NO_TOKENS = tr_noop("“{value}” is not a number of tokens: write it like 2000 or 2k.")

MISTAKES: Mapping[str, str] = {
    "requests": tr_noop("“{value}” is not a number of requests: write it like 100k, 1.5m or 500/day."),
    "in": NO_TOKENS,
    "out": NO_TOKENS,
    "cached": NO_TOKENS,
    "hit": tr_noop("“{value}” is not a share: write it like 90%."),
}
"""Messages for unreadable values, by field."""

MISMATCHES: Mapping[str, str] = {
    "cached": tr_noop("Cached tokens are part of the input: write at most the input tokens of a request."),
    "hit": tr_noop("This is about cached tokens only: fill them in too, or leave this empty."),
}
"""Messages for fields that do not fit the others."""

SHOWN_OF_VALUE = 40


@dataclass(frozen=True, slots=True)
class Context:
    """State carried by the form from its command to its result: where a shared result goes."""

    response_url: str

    def packed(self) -> str:
        """The state as private metadata."""
        return json.dumps({"response_url": self.response_url})


def estimate_form(
    card: RateCard,
    last: Workload | None,
    carried: Context,
    today: date,
    *,
    prompt: str = "",
    sized: Text | None = None,
) -> Block:
    """The form, empty or filled in with the user's last estimate.

    `prompt`: text to count. `sized`: size of a text that is too long for the field.
    """
    values = {} if last is None else _values(last)
    if prompt or sized is not None:
        values.pop("in", None)
        values |= {PROMPT: prompt}
    if sized is not None:
        values[MORE] = f"chars={sized.chars} lang={sized.lang}"
    lives = {"5m": tr("5 minutes"), "1h": tr("1 hour")}
    return {
        "type": "modal",
        "callback_id": ESTIMATE_FORM,
        "private_metadata": carried.packed(),
        "title": plain_label(tr("Estimate a workload")),
        "submit": plain_label(tr("Estimate")),
        "close": plain_label(tr("Cancel")),
        "blocks": [
            _model_field(card, values.get("model"), today),
            text_field("requests", tr("Requests"), "100k", values, hint=tr("In a month of 30 days; or write 500/day.")),
            text_field(
                "in",
                tr("Input tokens of a request"),
                "2000",
                values,
                hint=tr("Leave this empty if you paste a prompt below."),
                optional=True,
            ),
            _prompt_field(values),
            text_field("out", tr("Output tokens of a request"), "500", values),
            text_field("cached", tr("Of the input, tokens that are cached"), "1500", values, optional=True),
            text_field("hit", tr("Cache hit rate"), "90%", values, optional=True),
            select_field("ttl", tr("The cache lives"), lives, values.get("ttl", "5m")),
            checkbox("batch", tr("Send in batches"), tr("Half the price, results within 24 hours"), "batch" in values),
            text_field(
                MORE,
                tr("Anything else"),
                "turns=20 as=support-bot",
                values,
                hint=tr("turns=20: conversations of 20 turns. as=support-bot: keep the estimate under this name."),
                optional=True,
            ),
        ],
    }


def _prompt_field(values: Mapping[str, str]) -> Block:
    hint = tr("It is counted instead of input tokens")
    return text_field(PROMPT, tr("… or paste a prompt"), hint, values, optional=True, multiline=True)


def mistakes(values: Mapping[str, str], card: RateCard) -> dict[str, str]:
    """All mistakes of a filled form, by field. `values`: from `filled_estimate`."""
    found: dict[str, str] = {}
    trial = dict(values)
    if PROMPT in trial:
        prompt = trial.pop(PROMPT)
        if "in" in trial:
            found[PROMPT] = tr("Give input tokens or a prompt, not both.")
        trial["in"] = str(len(prompt))
    elif "in" not in trial and "chars=" not in trial.get(MORE, ""):
        found["in"] = tr("Write how many tokens a request has, or paste a prompt below.")
        trial["in"] = STAND_INS["in"]
    for _ in FIELDS:
        try:
            parse_workload(_without_scope(words_from(trial)), card)
            break
        except WordsError as error:
            field = field_of(error.key)
            if field in found:
                break
            found[field] = _mistake(field, values, error, card)
            trial[field] = STAND_INS.get(field, "")
    return found


def _mistake(field: str, values: Mapping[str, str], error: WordsError, card: RateCard) -> str:
    """The mistake of one field: its value, or that it does not fit the others."""
    needed = {"cached": "1"} if field == "hit" else {}
    alone = {**{key: STAND_INS[key] for key in ("requests", "in", "out")}, **needed, field: values.get(field, "")}
    try:
        parse_workload(words_from({"model": values.get("model", ""), **alone}), card)
        clause = MISMATCHES.get(field)
    except WordsError:
        clause = MISTAKES.get(field)
    shown = plain(values.get(field, ""), SHOWN_OF_VALUE)
    return plain(str(error), 300) if clause is None else tr(clause).replace("{value}", shown)


def _without_scope(words: str) -> str:
    """Without `for=…`, which is checked with the name under which the estimate is saved."""
    return " ".join(word for word in words.split() if not word.startswith("for="))


def result_view(estimate: Estimate, besides: Besides, words: str, carried: Context) -> Block:
    """The result in place of the form, with a button that shares it if the form was opened from a channel."""
    share = [share_button(words)] if carried.response_url else []
    parts = [*estimate_message(estimate, besides).parts, buttons(share)]
    return _view(in_modal(parts), carried)


def shared_view(view: Mapping[str, Any], carried: Context) -> Block:
    """The same result after sharing, without the button."""
    kept = [block for block in view.get("blocks", []) if block.get("type") != "actions"]
    return _view([*kept, *context(tr("Shared with the channel.")).blocks], carried)


def counting_view(carried: Context) -> Block:
    """View shown while a prompt is counted."""
    return _view([section(tr("Counting the prompt's tokens …"))], carried)


def share_button(words: str) -> Block:
    """Button that shows the estimate to everybody in the channel."""
    return button(tr("Share with the channel"), SHARE_ACTION, words)


_PER_CENT = re.compile(r"(?!1(?:\.0*)?$)(?:[1-9]\d?(?:\.\d+)?|100(?:\.0+)?)")


def words_from(values: Mapping[str, str]) -> str:
    """The filled fields as words of an estimate, without the prompt."""
    words = [values.get("model", ""), *(["batch"] if values.get("batch") else [])]
    for key in ("requests", "in", "out", "cached", "hit"):
        if value := cleaned(values.get(key, "")).replace(" ", ""):
            # In a rate field, 90 can only mean per cent.
            per_cent = "%" if key == "hit" and _PER_CENT.fullmatch(value) else ""
            words.append(f"{key}={value}{per_cent}")
    if values.get("cached") and values.get("ttl", "5m") != "5m":
        words.append(f"ttl={values['ttl']}")
    return " ".join([*words, values.get(MORE, "")]).strip()


def filled_estimate(state: Mapping[str, Any]) -> dict[str, str]:
    """Values of the submitted form by word, without empty fields."""
    return {key: value for key, value in filled_fields(state).items() if value}


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
        "title": plain_label(tr("Estimate a workload")),
        "close": plain_label(tr("Close")),
        "blocks": blocks,
    }


def _model_field(card: RateCard, chosen: str | None, today: date) -> Block:
    """Models that can still be used, and the previously chosen one."""
    served = [model for model in card.models.values() if model.retires is None or today <= model.retires]
    names = {short_name(model): model.name for model in served}
    default = chosen if chosen in names else short_name(card.newest("sonnet"))
    return select_field("model", tr("Model"), names, default)
