"""Parse budgets from the TOML file or chat, and explain what is wrong with them."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from bot.budgets.budget import (
    ATTRIBUTED,
    CHAT,
    ORGANIZATION,
    Budget,
    PeriodKind,
    Scope,
    ScopeKind,
    Weekday,
    parse_scope,
)
from bot.budgets.owners import ChannelId, MentionLevels, OwnerIds, ids_in
from bot.language import ENGLISH, language, tr
from bot.strict_fields import Table, Usd, Zone, first_mistake
from bot.typed_text import cleaned, nearest

LONGEST_SCOPE = 200
MOST_THRESHOLDS = 10


class WrittenBudget(Table):
    """One `[[budget]]`. Validation says what to write instead."""

    name: str
    scope: Annotated[Scope, BeforeValidator(lambda value: parse_scope(str(value)))] = ORGANIZATION
    period: PeriodKind = PeriodKind.MONTH
    zone: Zone = "UTC"
    week_starts: Weekday = Weekday.MONDAY
    soft_usd: Usd | None = None
    hard_usd: Usd | None = None
    thresholds: Annotated[tuple[Annotated[int, Field(strict=True)], ...], Field(max_length=MOST_THRESHOLDS)] = ()
    team: str | None = None
    channel: ChannelId | None = None
    owners: OwnerIds = ()
    mention: MentionLevels | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_its_team(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("team") and "scope" not in data:
            return {**data, "scope": f"team:{data['team']}"}
        return data

    @field_validator("name")
    @classmethod
    def _short_word(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]{1,60}", value):
            raise ValueError(tr("a name is one word of at most 60 letters, digits, points, - and _"))
        return value

    @field_validator("scope")
    @classmethod
    def _storable(cls, value: Scope) -> Scope:
        if len(str(value)) > LONGEST_SCOPE:
            raise ValueError(tr("a scope has at most {number} characters", number=LONGEST_SCOPE))
        return value

    @field_validator("thresholds")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= percent <= 99 for percent in value):
            raise ValueError(tr("a threshold is a per cent from 1 to 99; the limits themselves are reported anyway"))
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError(tr("thresholds rise, and each is there once, as in 50, 75, 90"))
        return value

    @model_validator(mode="after")
    def _one_team(self) -> "WrittenBudget":
        if self.team is not None and self.scope.kind is ScopeKind.TEAM and self.scope.value != self.team:
            raise ValueError(tr("scope and team name two teams; keep one of them"))
        return self

    @model_validator(mode="after")
    def _limits(self) -> "WrittenBudget":
        if self.soft_usd is None and self.hard_usd is None:
            raise ValueError(tr("set soft_usd, hard_usd or both"))
        if self.soft_usd is not None and self.hard_usd is not None and self.soft_usd >= self.hard_usd:
            raise ValueError(tr("soft_usd must be below hard_usd"))
        return self

    @model_validator(mode="after")
    def _days_of_anthropic(self) -> "WrittenBudget":
        if self.scope.kind in ATTRIBUTED and self.zone != "UTC":
            raise ValueError(
                tr(
                    "Anthropic attributes spend to a {kind} by UTC days, which no other zone can divide: leave zone "
                    "out, or set it to UTC",
                    kind=self.scope.kind,
                )
            )
        return self

    def budget(self, origin: str) -> Budget:
        """The budget, with its origin."""
        return Budget(
            name=self.name,
            scope=self.scope,
            period=self.period,
            zone=ZoneInfo(self.zone),
            soft_usd=self.soft_usd,
            hard_usd=self.hard_usd,
            origin=origin,
            week_starts=self.week_starts,
            thresholds=self.thresholds,
            channel=self.channel,
            owners=self.owners,
            mention=self.mention,
            team=None if self.scope.kind is ScopeKind.TEAM else self.team,
        )


KEYS = ("scope", "period", "soft", "hard", "zone", "week_starts", "thresholds", "team", "channel", "owners", "mention")
NONE = "none"
"""Removes a limit or the thresholds."""

MAY_BE_NONE = ("soft", "hard", "thresholds", "team", "channel", "owners")
EXAMPLE = "search scope=workspace:ID period=month soft=50 hard=100"

_LIMITS = {"soft_usd": "soft", "hard_usd": "hard"}
_FIELDS = {key: field for field, key in _LIMITS.items()}
_OTHER_NAMES = {**_LIMITS, "for": "scope", "owner": "owners", "mentions": "mention"}
_LISTS = ("owners", "mention")
_AS_TYPED = ("scope", "zone", "team", "channel", "owners")
_NO_PART_OF_A_NAME = "*~,;:!?"
_SPACES = re.compile(r"\s+")
_SIGNED = "|".join(key for key in (*KEYS, *_OTHER_NAMES) if key != "team")
_SIGN = re.compile(rf"(?<=\s)-*(?:({_SIGNED})\s*[=:]|(team)\s*=)\s*(?!/)", re.IGNORECASE)
"""`team:` begins a scope."""

_AMOUNT = re.compile(
    r"(?<=(?:soft|hard|_usd)=)\$?\s*(\d{1,3}(?: \d{3})+(?:\.\d+)?|\d\S*?)"
    r"(?:\s*(?:\$|usd|dollars?|米?ドル))?(?=[\s,]|$)",
    re.IGNORECASE,
)
_WITHOUT_SIGN = re.compile(r"(?<![\w=:])(soft|hard)(?:\s+limit)?(?:\s+of|\s+at)?\s+\$?\s*(\d[\d.,_]*)", re.IGNORECASE)
_PERCENT_APART = re.compile(r"(?<=\d)\s+%")


class BudgetWordsError(Exception):
    """The words are not a valid budget; the message is one sentence with the remedy."""


def split_budget_words(text: str) -> tuple[str, dict[str, str]]:
    """The name, which comes first, and the value of each key. Raises `BudgetWordsError`."""
    name, words = named_first(ids_in(text))
    if not name or "=" in name:
        raise BudgetWordsError(tr("The name of the budget comes first, as in budget set {example}.", example=EXAMPLE))
    if (bare := _WITHOUT_SIGN.search(words)) is not None:
        key, amount = bare[1].lower(), bare[2].rstrip(".,")
        raise BudgetWordsError(tr("{key} {amount} lacks its sign: write {key}={amount}.", key=key, amount=amount))
    values: dict[str, str] = {}
    for word in _key_words(words):
        typed, equals, value = word.partition("=")
        key = _OTHER_NAMES.get(typed.lower(), typed.lower())
        if not equals and values and [*values][-1] in _LISTS:
            # `owner=@ada @ben`: a space instead of a comma.
            values[[*values][-1]] += f",{word}"
            continue
        if key not in KEYS:
            raise BudgetWordsError(_unknown(typed, equals))
        if not value:
            raise BudgetWordsError(tr("{key}= has no value: write one, or leave {key} out.", key=key))
        if key in values:
            raise BudgetWordsError(tr("{key}= is given twice: keep one of them.", key=key))
        values[key] = value if key in _AS_TYPED else value.lower()
    return name, values


def named_first(text: str) -> tuple[str, str]:
    """The budget name at the start of `text`, and the cleaned rest.

    A name may contain points, dashes and underscores; none of them ends a sentence.
    """
    first, *rest = text.split(maxsplit=1) or [""]
    while first and rest and not cleaned(first):
        first, *rest = rest[0].split(maxsplit=1)
    # Remove quotes and invisible characters; append a mark, so that a final point does not end a sentence.
    name = cleaned(f"{first.rstrip(_NO_PART_OF_A_NAME)}\u2060x")[:-1] if first else ""
    return name.strip(_NO_PART_OF_A_NAME), cleaned(rest[0]) if rest else ""


def _key_words(words: str) -> list[str]:
    """Join `soft = 50` and `hard: $ 1 000` into one word each; a comma before the next key separates them."""
    text = _SIGN.sub(lambda found: f"{found[1] or found[2]}=", f" {words}")
    text = _PERCENT_APART.sub("%", _AMOUNT.sub(lambda found: _SPACES.sub("", found[1]), text))
    text = re.sub(r",\s*(?=\w+=)", " ", text)
    return [word for word in (word.strip(",;") for word in re.sub(r",\s+", ",", text).split()) if word.strip("-")]


def budget_of(name: str, values: Mapping[str, str], before: Budget | None = None) -> Budget:
    """The budget that these words make, or `before` changed by them. Raises `BudgetWordsError`."""
    written = {} if before is None else _values(before)
    fields: dict[str, object] = {"name": name}
    for key, value in (written | dict(values)).items():
        if value.lower() == NONE and key in MAY_BE_NONE:
            continue
        fields[_FIELDS.get(key, key)] = _field(key, value)
    try:
        return WrittenBudget.model_validate(fields).budget(CHAT)
    except ValidationError as error:
        place, clause = first_mistake(error)
        key = place.partition(".")[0]
        key = _LIMITS.get(key, key)
        clause = re.sub(r"\b(soft|hard)_usd\b", r"\1", clause)
        if not key:
            clause = f"{clause[0].upper()}{clause[1:]}" if language() == ENGLISH else clause
            raise BudgetWordsError(
                tr("{clause}, as in budget set {example}.", clause=clause, example=EXAMPLE)
            ) from None
        given = name if key == "name" else (written | dict(values)).get(key, "")
        raise BudgetWordsError(
            tr("{key}={value} cannot be used: {clause}.", key=key, value=given, clause=clause)
        ) from None


def _field(key: str, value: str) -> object:
    if key == "thresholds":
        return _per_cents(value)
    if key not in _LISTS:
        return value
    return () if value.lower() == NONE else tuple(word for word in value.split(",") if word)


def budget_words(budget: Budget) -> str:
    """All words that make this budget."""
    return " ".join([budget.name, *(f"{key}={value}" for key, value in _values(budget).items())])


def _values(budget: Budget) -> dict[str, str]:
    return {
        "scope": str(budget.scope),
        "period": budget.period.value,
        "soft": NONE if budget.soft_usd is None else f"{budget.soft_usd:f}",
        "hard": NONE if budget.hard_usd is None else f"{budget.hard_usd:f}",
        "zone": budget.zone.key,
        "week_starts": budget.week_starts.value,
        "thresholds": ",".join(str(percent) for percent in budget.thresholds) or NONE,
        **_ownership(budget),
    }


def _ownership(budget: Budget) -> dict[str, str]:
    """Words for its channel, owners, mentions and team, if set."""
    words = {
        "team": budget.team or "",
        "channel": budget.channel or "",
        "owners": ",".join(budget.owners),
        "mention": "" if budget.mention is None else ",".join(budget.mention) or NONE,
    }
    return {key: value for key, value in words.items() if value}


def _per_cents(text: str) -> list[int]:
    parts = text.split(",")
    if not all(re.fullmatch(r"[0-9]{1,3}%?", part) for part in parts):
        raise BudgetWordsError(
            tr(
                "thresholds={text} cannot be used: write per cents with commas between, as in 50,75,90.",
                text=text,
            )
        )
    return [int(part.rstrip("%")) for part in parts]


def _unknown(typed: str, equals: str) -> str:
    near = nearest(typed, KEYS)
    word = f"{typed}{equals}"
    if near:
        return tr("{word} is not known here: did you mean {near}=?", word=word, near=near)
    return tr("{word} is not known here: use {known}.", word=word, known=", ".join(f"{key}=" for key in KEYS))
