"""The client agrees with the bot, which it cannot import: on models, prices, and what a mode leaves to a service."""

import ast
import builtins
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.environment import VARIABLES
from bot.mode import modes_from_chain
from bot.modes.consequences import ceiling_from
from bot.pricing.card import load_rate_card
from claude_cost_client import ceiling as clients
from tests.contract.client_copies import ROOT, copies
from tests.contract.parsed import tree_in

CARD = load_rate_card()
CLIENT = ROOT / "client" / "src" / "claude_cost_client"
LITELLM = Path(__file__).parent / "litellm_claude_names.txt"
CHAIN = tuple(clients.DEFAULT_CHAIN.split(","))
TEAMS = (
    CHAIN,
    ("claude-opus-4-8", "house-model", "claude-haiku-4-5"),
    ("claude-fable-5-2", "us.anthropic.claude-sonnet-5-5", "claude-haiku-5-5"),
    ("claude-haiku-5-5", "claude-opus-5-5"),
)

WAYS = (
    "{}",
    " {}",
    "{}[1m]",
    "{}-fast",
    "{}-latest",
    "{}@default",
    "{}@20251101",
    "anthropic/{}",
    "openrouter/anthropic/{}:thinking",
    "vertex_ai/{}@20251101",
    "publishers/anthropic/models/{}",
    "anthropic.{}-v1:0",
    "us.anthropic.{}-20250101-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.{}",
    "databricks-{}",
    "azure/{}",
    "not {}",
)


def spellings() -> Iterator[str]:
    for model in CARD.models.values():
        for text in (model.id, model.id.upper(), model.name, f"Claude {model.name}", model.family, *model.spellings):
            yield from (way.format(text) for way in WAYS)
    yield from LITELLM.read_text(encoding="utf-8").splitlines()
    yield from ("", "house-model", "gpt-5", "claude", "claude-opus-9", "claude-sonnet-4-1", "クロード", "claude‐opus‐5")


def both(variables: Mapping[str, str], team: tuple[str, ...]) -> tuple[clients.Ceiling, partial[bool]]:
    """The client's ceiling of a mode, and the bot's answer for a model."""
    ours, theirs = ceiling_from(variables, team), clients.ceiling_from(variables, ",".join(team))
    assert theirs is not None
    assert (ours.model, ours.mode_chain, ours.whole_chain) == (theirs.model, theirs.mode_chain, theirs.whole_chain)
    return theirs, partial(ours.permits, card=CARD)


@pytest.mark.parametrize(("team", "mode"), list(product(TEAMS, ("normal", "degraded", "minimal"))))
def test_both_permit_the_same_models_in_every_spelling(team: tuple[str, ...], mode: str) -> None:
    theirs, ours = both(modes_from_chain(team, {})[mode].variables, team)
    assert [text for text in dict.fromkeys(spellings()) if ours(text) != theirs.permits(text)] == []


@given(st.text(max_size=12), st.sampled_from(sorted(set(spellings()))), st.sampled_from(sorted(set(spellings()))))
def test_both_permit_the_same_under_any_ceiling(noise: str, ceiling: str, model: str) -> None:
    variables = {"CLAUDE_FALLBACK_MODE": "night", "CLAUDE_MODEL": ceiling, "CLAUDE_FALLBACK_CHAIN": f"{ceiling}, ,"}
    theirs, ours = both(variables, CHAIN)
    for text in (model, noise, model + noise, noise + model):
        assert ours(text) == theirs.permits(text)


def test_the_copies_are_those_of_the_bots_modules_and_rate_card() -> None:
    stale = [path.name for path, text in copies() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python -m tests.contract.client_copies"


def test_its_default_chain_is_the_bots() -> None:
    (default,) = {v.default for v in VARIABLES if v.name == "CLAUDE_COST_FALLBACK_CHAIN"}
    assert default == clients.DEFAULT_CHAIN


def test_its_prices_are_those_of_the_rate_card() -> None:
    prices = clients.list_prices()
    assert set(prices) == set(CARD.models)
    for model_id, found in prices.items():
        newest = CARD.models[model_id].rates(date.max)
        assert found == (float(newest.input), float(newest.output))


def imported(folder: Path) -> set[str]:
    """The top-level packages that the modules of a folder import anywhere."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(tree_in(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found


def test_neither_imports_the_other() -> None:
    assert imported(CLIENT).isdisjoint({"bot", "handlers", "tests", ""})
    assert "claude_cost_client" not in imported(ROOT / "bot") | imported(ROOT / "handlers")


def test_its_modules_are_written_in_the_syntax_of_its_oldest_python() -> None:
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.9"
    assert project["project"]["dependencies"] == []
    for path in CLIENT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 9))
        # In Python 3.9 `str | None` cannot be evaluated.
        assert "\nfrom __future__ import annotations\n" in text, path.name
        assert list(unions_evaluated(ast.parse(text))) == [], path.name


def unions_evaluated(tree: ast.AST) -> Iterator[str]:
    """`X | Y` of types outside of annotations, as in an alias or a base class."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            for part in (node.left, node.right):
                word = ast.unparse(part)
                if word == "None" or "[" in word or hasattr(builtins, word):
                    yield ast.unparse(node)


def test_both_pages_of_the_client_have_the_same_ten_lines() -> None:
    pages = (path.read_text(encoding="utf-8") for path in (ROOT / "docs/client.md", ROOT / "client/README.md"))
    one, other = (re.findall(r"```(?:python|sh)\n(.*?)```", text.split("\n## ")[0], re.DOTALL) for text in pages)
    assert one == other
    assert [block.count("\n") for block in one] == [1, 10]
    assert one[0] == "pip install ./client\n"


def test_the_distributions_page_links_to_no_file_beside_it() -> None:
    """The page of a distribution has no folder around it."""
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "client" / "README.md").read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_two_wheels_have_no_name_in_common() -> None:
    bot = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))
    theirs, ours = (each["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] for each in (client, bot))
    assert {Path(each).name for each in theirs}.isdisjoint(ours)
    assert (CLIENT / "py.typed").exists()
    assert (ROOT / "client" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
