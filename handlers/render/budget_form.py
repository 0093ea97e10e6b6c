"""The form that proposes a budget: its fields, their values, and mistakes by field."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.amounts import usd, usd_amount
from bot.budgets.budget import ORGANIZATION, PeriodKind, ScopeKind, parse_scope
from bot.budgets.owners import MOST_OWNERS
from bot.budgets.parsing import LONGEST_SCOPE
from bot.language import tr, tr_noop
from bot.messages import Block
from bot.typed_text import cleaned
from handlers.render.fields import (
    FIELD,
    VALUE_LIMIT,
    checkbox,
    filled_fields,
    input_block,
    option,
    plain_label,
    select_field,
    text_field,
)
from handlers.render.parts import button, plain

BUDGET_FORM = "budget_form"
FORM_ACTION = "budget_form_open"
NO_NAME = "="
"""Button value without a name, since a value cannot be empty."""

NAME, SCOPE, OTHER, PERIOD, SOFT, HARD = "name", "scope", "other", "period", "soft", "hard"
CHANNEL, OWNERS, MENTION = "channel", "owners", "mention"

MOST_CHOICES = 100
"""Most options of a select, in all its groups together."""

ERROR_LIMIT = 300
SHOWN_OF_VALUE = 40

PERIODS = {
    PeriodKind.MONTH: tr_noop("A month"),
    PeriodKind.WEEK: tr_noop("A week"),
    PeriodKind.DAY: tr_noop("A day"),
}
GROUPS = {
    ScopeKind.ORGANIZATION: tr_noop("Everything"),
    ScopeKind.TEAM: tr_noop("Teams"),
    ScopeKind.WORKSPACE: tr_noop("Workspaces"),
    ScopeKind.KEY: tr_noop("API keys"),
    ScopeKind.FEATURE: tr_noop("Features"),
}
"""Groups of scopes in the form."""

_OTHER_MONEY = re.compile(r"[円¥￥万千億€£]|\b(?:yen|jpy|eur|euros?|gbp)\b", re.IGNORECASE)

NAME_RULE = re.compile(r"[\w.-]{1,60}")

Known = Mapping[ScopeKind, Mapping[str, str]]
"""Names by value of a scope, for each kind in `GROUPS` but the organization."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Values of a submitted form. `owners`: user ids. Empty fields are empty, never missing."""

    texts: Mapping[str, str]
    owners: tuple[str, ...] = ()
    mentions: bool = True

    def text(self, key: str) -> str:
        """Value of a field, normalized to a plain keyboard."""
        return cleaned(self.texts.get(key, ""))


def budget_form(known: Known, response_url: str, name: str = "", team: str | None = None) -> Block:
    """The form for a new budget. `team`: the team of the channel where the form is opened."""
    everything = option(str(ORGANIZATION), tr("The whole organization"))
    groups = _groups(known, everything)
    of_team = [each for group in groups for each in group["options"] if each["value"] == f"{ScopeKind.TEAM}:{team}"]
    select: Block = {
        "type": "static_select",
        "action_id": FIELD,
        "option_groups": groups,
        "initial_option": (of_team or [everything])[0],
    }
    channel: Block = {
        "type": "conversations_select",
        "action_id": FIELD,
        "placeholder": plain_label(tr("The main one")),
        "filter": {"include": ["public", "private"], "exclude_bot_users": True},
    }
    owners: Block = {
        "type": "multi_users_select",
        "action_id": FIELD,
        "placeholder": plain_label(tr("Nobody")),
        "max_selected_items": MOST_OWNERS,
    }
    periods = {kind.value: tr(text) for kind, text in PERIODS.items()}
    return {
        "type": "modal",
        "callback_id": BUDGET_FORM,
        "private_metadata": json.dumps({"response_url": response_url}),
        "title": plain_label(tr("Set a budget")),
        "submit": plain_label(tr("Preview")),
        "close": plain_label(tr("Cancel")),
        "blocks": [
            text_field(
                NAME, tr("Name"), "search", {NAME: name}, hint=tr("One word; a known name changes that budget.")
            ),
            input_block(
                SCOPE,
                tr("What it covers"),
                select,
                hint=tr("A team that is not listed: choose its workspace or key, and its channel and owners below."),
            ),
            text_field(
                OTHER,
                tr("… or something else"),
                "model:opus",
                {},
                hint=tr("Like model:opus, user:ID or tag:team=search; it takes the place of the choice above."),
                optional=True,
            ),
            select_field(PERIOD, tr("How often it starts afresh"), periods, PeriodKind.MONTH.value),
            text_field(SOFT, tr("Soft limit in USD"), "500", {}, hint=tr("A first warning."), optional=True),
            text_field(HARD, tr("Hard limit in USD"), "700", {}, hint=tr("The budget is gone."), optional=True),
            input_block(CHANNEL, tr("Channel of its alerts"), channel, optional=True),
            input_block(OWNERS, tr("Owners"), owners, optional=True),
            checkbox(MENTION, tr("Mentions"), tr("Mention the owners at the hard limit"), checked=True),
        ],
    }


def _groups(known: Known, everything: Block) -> list[Block]:
    """As many options as a select takes; kinds with few of them are complete."""
    offered = {
        kind: [(value, name) for value, name in sorted(names.items(), key=lambda item: item[1]) if _fits(kind, value)]
        for kind in GROUPS
        if (names := known.get(kind))
    }
    room = MOST_CHOICES - 1
    kept: dict[ScopeKind, Sequence[tuple[str, str]]] = {}
    for left, kind in zip(
        range(len(offered), 0, -1), sorted(offered, key=lambda kind: len(offered[kind])), strict=True
    ):
        kept[kind] = offered[kind][: room // left]
        room -= len(kept[kind])
    groups = [{"label": plain_label(tr(GROUPS[ScopeKind.ORGANIZATION])), "options": [everything]}]
    for kind, title in GROUPS.items():
        if kept.get(kind):
            options = [option(f"{kind}:{value}", name) for value, name in kept[kind]]
            groups.append({"label": plain_label(tr(title)), "options": options})
    return groups


def _fits(kind: ScopeKind, value: str) -> bool:
    """Whether it fits into an option, and into a command."""
    return bool(value) and len(f"{kind}:{value}") <= VALUE_LIMIT and re.search(r"[\s,;|]", value) is None


def form_button(name: str = "") -> Block:
    """Button that opens the form, with a name for the budget."""
    return button(tr("Set a budget"), FORM_ACTION, name if NAME_RULE.fullmatch(name) else NO_NAME)


def filled_budget(state: Mapping[str, Any]) -> Filled:
    """Values of the submitted form."""
    texts = filled_fields(state)
    chosen = (state["values"].get(OWNERS) or {}).get(FIELD) or {}
    owners = tuple(map(str, chosen.get("selected_users") or ()))
    mentions = bool(texts.get(MENTION))
    return Filled({key: text for key, text in texts.items() if key not in (OWNERS, MENTION)}, owners, mentions)


def words_of(filled: Filled) -> str:
    """The equivalent words after `budget set`. The form has no mistakes."""
    values = {
        "scope": filled.text(OTHER) or filled.text(SCOPE),
        "period": filled.text(PERIOD),
        "soft": _plain_amount(filled.text(SOFT)),
        "hard": _plain_amount(filled.text(HARD)),
        "channel": filled.text(CHANNEL),
        "owners": ",".join(filled.owners),
        "mention": "none" if filled.owners and not filled.mentions else "",
    }
    return " ".join([filled.text(NAME), *(f"{key}={value}" for key, value in values.items() if value)])


def mistakes(filled: Filled) -> dict[str, str]:
    """All mistakes by field, in the field's words."""
    found: dict[str, str] = {}
    if NAME_RULE.fullmatch(filled.text(NAME)) is None:
        found[NAME] = tr(
            "“{value}” is not a name: write one word of at most 60 letters, digits, points, - and _.",
            value=_quoted(filled.text(NAME)),
        )
    if (other := filled.text(OTHER)) and not _is_scope(other):
        found[OTHER] = tr(
            "“{value}” is not something that a budget covers: write it like model:opus, workspace:ID, key:ID, "
            "feature:NAME, user:ID, tag:NAME=VALUE or team:NAME.",
            value=_quoted(other),
        )
    amounts: dict[str, Decimal] = {}
    for key in (SOFT, HARD):
        typed = filled.text(key)
        try:
            if typed:
                amounts[key] = _amount(typed)
        except ValueError:
            found[key] = _not_an_amount(typed)
    if not amounts and SOFT not in found and HARD not in found:
        found[HARD] = tr("Write a soft limit, a hard limit, or both.")
    if len(amounts) == len((SOFT, HARD)) and amounts[SOFT] >= amounts[HARD]:
        found[SOFT] = tr("The soft limit has to be below the hard limit, {hard}.", hard=usd(amounts[HARD]))
    return {key: plain(text, ERROR_LIMIT) for key, text in found.items()}


def _not_an_amount(typed: str) -> str:
    if _OTHER_MONEY.search(typed):
        return tr("“{value}” is not an amount in US dollars: write it like 500, $500 or 1,000.", value=_quoted(typed))
    return tr("“{value}” is not an amount: write it like 500, $500 or 1,000.", value=_quoted(typed))


def _amount(typed: str) -> Decimal:
    """A typed amount, USD. Raises `ValueError`."""
    bare = re.sub(r"\s*(?:\$|usd|dollars?|ドル)\s*$", "", typed, flags=re.IGNORECASE)
    return usd_amount(bare.replace(" ", ""))


def _plain_amount(typed: str) -> str:
    return f"{_amount(typed):f}" if typed else ""


def _is_scope(typed: str) -> bool:
    try:
        scope = parse_scope(typed)
    except ValueError:
        return False
    return len(str(scope)) <= LONGEST_SCOPE and re.search(r"[\s,;]", typed) is None


def _quoted(value: str) -> str:
    return plain(value, SHOWN_OF_VALUE) if value else "…"
