"""Effect of a mode's variables on a service that prefers a certain model. Pure."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from claude_cost_client.model_ids import Listed, ModelIndex, spelled
from claude_cost_client.models import MODELS

log = logging.getLogger("claude_cost.client")

MODE_VARIABLE = "CLAUDE_FALLBACK_MODE"
MODEL_VARIABLE = "CLAUDE_MODEL"
MODE_CHAIN_VARIABLE = "CLAUDE_FALLBACK_CHAIN"
WHOLE_CHAIN_VARIABLE = "CLAUDE_COST_FALLBACK_CHAIN"

NORMAL = "normal"
DEFAULT_CHAIN = "claude-opus-5-5,claude-sonnet-5-5,claude-haiku-5-5"

_BEDROCK = re.compile(r"(?:^|[/:])(?:(?:us|us-gov|eu|apac|jp|au|global)\.)?anthropic\.$")
_ON_BEDROCK = ("opus", "sonnet", "haiku")
_DOTTED = re.compile(r"claude-(?:[a-z]+)-\d+\.\d+(?![\w.])", re.IGNORECASE)
_HYPHENED = re.compile(r"claude-(?:[a-z]+)-\d+-\d{1,2}(?![\w.])", re.IGNORECASE)


@dataclass(frozen=True)
class Ceiling:
    """The most expensive model that services may use. `model`: None if the mode sets none.

    `mode_chain`: the mode's own chain, from the ceiling down. `whole_chain`: the team's chain, most expensive first.
    """

    model: str | None
    mode_chain: tuple[str, ...]
    whole_chain: tuple[str, ...]

    def permits(self, model: str) -> bool:
        """Whether a model is the ceiling or no more expensive, in any spelling.

        The team's chains decide first. For a model in neither, the rate card does: it stays if neither its input nor
        its output costs more. A model that is in no price table counts as more expensive.
        """
        if self.model is None:
            return True
        own, ceiling = _key(model), _key(self.model)
        if own == ceiling or own in map(_key, self.mode_chain):
            return True
        whole = [_key(each) for each in self.whole_chain]
        if own in whole and ceiling in whole:
            return whole.index(own) > whole.index(ceiling)
        return costs_no_more(model, self.model)

    def applied_to(self, preferred: str) -> str:
        """`preferred` unchanged if it is permitted, else the ceiling, spelled for the same platform.

        If that platform's name of the ceiling is uncertain, the ceiling as the mode has it, with a line in the log.
        """
        if self.model is None or self.permits(preferred):
            return preferred
        written = written_like(preferred, self.model)
        if written is None:
            _warn_of_platform(self.model, preferred)
        return written or self.model

    def models_to_try(self, preferred: str, chain: Sequence[str] | None) -> tuple[str, ...]:
        """Models for one request, each once: the permitted one, then the permitted ones after it in the chain.

        After a model outside the chain come the models that cost no more; after one without a known price, the whole
        chain.
        """
        first = self.applied_to(preferred)
        among = tuple(chain) if chain is not None else (self.mode_chain or self.whole_chain)
        keys = [_key(model) for model in among]
        if _key(first) in keys:
            among = among[keys.index(_key(first)) + 1 :]
        elif _key(first) in list_prices():
            among = tuple(model for model in among if costs_no_more(model, first))
        models = {_key(first): first}
        for model in filter(self.permits, among):
            models.setdefault(_key(model), written_like(preferred, model) or model)
        return tuple(models.values())


def ceiling_from(variables: Mapping[str, str], whole_chain: str | None) -> Ceiling | None:
    """The ceiling of a mode's variables; None without `CLAUDE_FALLBACK_MODE`, which every mode sets.

    `whole_chain`: model ids separated by commas; None or empty is the default chain.
    """
    mode = variables.get(MODE_VARIABLE)
    if not mode:
        return None
    team = _team(whole_chain) if whole_chain else _models(DEFAULT_CHAIN)
    if mode == NORMAL:
        # Services use their own default, even where a line outside the managed block sets CLAUDE_MODEL.
        return Ceiling(None, (), team)
    return Ceiling(variables.get(MODEL_VARIABLE) or None, _models(variables.get(MODE_CHAIN_VARIABLE, "")), team)


def costs_no_more(model: str, than: str) -> bool:
    """Whether neither input nor output of `model` costs more, by list prices. An unknown price counts as higher."""
    prices = list_prices()
    own, other = prices.get(_key(model)), prices.get(_key(than))
    if own is None or other is None:
        return False
    return own[0] <= other[0] and own[1] <= other[1]


def written_like(preferred: str, model: str) -> str | None:
    """`model`, an id of Anthropic's API, as named by the platform of `preferred`; None if uncertain.

    Bedrock's names follow one pattern from Opus 4.7 on, and Vertex's are those of the API. A gateway has its own way to
    write versions, which only shows in a name that has one.
    """
    there, here = spelled(preferred), spelled(model)
    if there.platform is None or here.platform is not None:
        return model
    written = preferred.strip()
    prefix, rest = written[: len(there.prefix)], written[len(there.prefix) :]
    if _index().find(model) is None or here.name != model or not written.isascii():
        return None
    if there.platform == "vertex":
        return prefix + model
    if there.platform == "bedrock":
        return prefix + model if _BEDROCK.search(there.prefix) and model in _named_alike() else None
    for pattern, version in ((_DOTTED, r"\1.\2"), (_HYPHENED, r"\1-\2")):
        if pattern.match(rest):
            return prefix + re.sub(r"(\d)-(\d)$", version, model)
    return None


@cache
def list_prices() -> Mapping[str, tuple[float, float]]:
    """Rate card: model → USD per million tokens of input and output.

    Only compared, never added, so floats are exact enough.
    """
    return {model.id: (model.input, model.output) for model in MODELS}


@cache
def _index() -> ModelIndex:
    return ModelIndex(Listed(model.id, model.family, model.released, model.spellings) for model in MODELS)


@cache
def _named_alike() -> frozenset[str]:
    """Models whose Bedrock id is the API's id after `anthropic.`: those with the tokenizer of Opus 4.7."""
    return frozenset(model.id for model in MODELS if model.tokenizer == 2 and model.family in _ON_BEDROCK)


@lru_cache(maxsize=1024)
def _key(model: str) -> str:
    """The same text for all spellings of a model; a bare family is its newest model."""
    index = _index()
    family = index.family(model)
    if family is not None:
        return index.newest(family)
    return index.find(model) or spelled(model).name or model


@lru_cache(maxsize=64)
def _warn_of_platform(ceiling: str, preferred: str) -> None:
    """Log once for each pair."""
    log.warning(
        "%s is more expensive than %s, and its platform's id for the latter is not certain; set CLAUDE_MODEL "
        "of the mode to an id of that platform",
        preferred,
        ceiling,
    )


def _team(whole_chain: str) -> tuple[str, ...]:
    """Parse the chain like the bot: families and other spellings become ids of the API."""
    return tuple(dict.fromkeys(_index().api_id(model) or model for model in _models(whole_chain)))


def _models(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in (part.strip() for part in text.split(",")) if word))
