"""Every name that public price tables have for a Claude model is known to the rate card, or is here with a reason."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers

from bot.pricing.card import load_rate_card
from bot.pricing.model_ids import spelled
from bot.pricing.model_names import Kind, is_foreign, kind_of

CARD = load_rate_card()
NAMES_OF_LITELLM = Path(__file__).parent / "litellm_claude_names.txt"
"""The keys of LiteLLM 1.110.2's table that hold `claude`, one a line."""

NO_MODEL = {
    "claude-mythos-preview": "a preview without a price of its own in any source of Anthropic's",
    "us.anthropic.claude-mythos-preview": "the same preview",
    "apac.anthropic.claude-mythos-preview": "the same preview",
    "au.anthropic.claude-mythos-preview": "the same preview",
    "anthropic.claude-mythos-preview": "the same preview",
    "databricks/databricks-claude-sonnet-4-1": "there was never a Sonnet 4.1",
}
UNCERTAIN_VERSION = "a bare family: priced as its newest model of the day, and named as an assumption"


def names_of_genai_prices() -> set[str]:
    """Ids, and every value that a rule compares a whole name with. `regional.` is its own word for any region of
    Bedrock.
    """
    ids = {model.id for provider in providers for model in provider.models}
    compared = {name for provider in providers for model in provider.models for name in _compared(model.match)}
    return {name.removeprefix("regional.") for name in ids | compared if "claude" in name}


def _compared(clause: Any) -> Iterator[str]:
    if isinstance(clause, (list, tuple)):
        for each in clause:
            yield from _compared(each)
    elif type(clause).__name__ == "ClauseEquals":
        yield clause.equals
    elif is_dataclass(clause):
        for field in fields(clause):
            yield from _compared(getattr(clause, field.name))


LITELLM = NAMES_OF_LITELLM.read_text(encoding="utf-8").split()
GENAI_PRICES = sorted(names_of_genai_prices())


def unexplained(names: list[str]) -> list[str]:
    return [name for name in names if kind_of(name, CARD) is not Kind.KNOWN and name not in NO_MODEL]


def test_every_name_of_litellm_is_known_or_has_a_reason() -> None:
    assert len(LITELLM) == 434
    assert unexplained(LITELLM) == []
    assert len([name for name in LITELLM if CARD.find(name) is not None]) == 401


def test_every_name_of_genai_prices_is_known_or_has_a_reason() -> None:
    assert len(GENAI_PRICES) > 150
    assert unexplained(GENAI_PRICES) == []


def test_every_name_of_the_shared_tables_is_known_or_has_a_reason(shared: Path) -> None:
    tables = sorted((shared / "data/prices").glob("*.json"))
    if not tables:
        pytest.skip("no table in JSON among the shared price tables")
    for table in tables:
        names = json.loads(table.read_text(encoding="utf-8"))
        assert unexplained([name for name in names if "claude" in name.lower()]) == []


@pytest.mark.parametrize("name", NO_MODEL)
def test_a_name_with_a_reason_is_unknown_indeed_and_counts_all_the_same(name: str) -> None:
    assert name in LITELLM
    assert kind_of(name, CARD) is Kind.UNKNOWN_CLAUDE
    assert CARD.resolve(name, date(2026, 11, 22)).assumed is not None


def test_a_name_without_a_version_is_a_bare_family() -> None:
    without = [name for name in {*LITELLM, *GENAI_PRICES} if CARD.find(name) is None and name not in NO_MODEL]
    assert all(spelled(name).is_bare_family and name.endswith("-latest") for name in without), UNCERTAIN_VERSION


def test_both_tables_mean_the_same_model_by_a_name() -> None:
    """genai-prices finds names by rules of its own: where it knows one, it is the same family and version."""
    for provider in providers:
        for model in provider.models:
            found = {CARD.find(name) for name in _compared(model.match) if "claude" in name} - {None}
            # OpenRouter's rows of Claude 2 and of Opus 4 hold two models of one price each.
            assert len({one.price[-1].output for one in found if one is not None}) <= 1, model.id


def test_no_claude_name_is_taken_for_another_vendors() -> None:
    assert not any(is_foreign(name) for name in {*LITELLM, *GENAI_PRICES})


def test_models_of_other_vendors_are_distinguished() -> None:
    """Uses the makers' own ids in the rows of other vendors in genai-prices."""
    makers = {"openai", "google", "deepseek", "mistral", "x-ai", "cohere", "perplexity", "moonshotai"}
    ids = [model.id for each in providers if each.id in makers for model in each.models if "claude" not in model.id]
    unrecognised = [name for name in ids if not is_foreign(name)]
    assert len(ids) > 150
    assert len(unrecognised) <= len(ids) // 20, unrecognised
