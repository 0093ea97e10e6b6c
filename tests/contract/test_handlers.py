"""How handlers are built: commands of one shape, messages of parts, nothing built and no store reached through."""

import ast
import inspect
from pathlib import Path

import pytest

import handlers
from handlers.commands import SUBCOMMANDS, Subcommand
from tests.contract.parsed import tree_in

FILES = sorted(Path(handlers.__file__).parent.rglob("*.py"))
OF_STORES = {"store", "verifications", "life", "notices", "destinations"}


def names_of(node: ast.expr) -> list[str]:
    """`services.alerts.life` as its names."""
    if isinstance(node, ast.Attribute):
        return [*names_of(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


@pytest.mark.parametrize("row", SUBCOMMANDS, ids=lambda row: row.name)
def test_every_command_has_the_same_shape(row: Subcommand) -> None:
    assert inspect.iscoroutinefunction(row.run)
    assert list(inspect.signature(row.run).parameters) == ["services", "request"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_handler_reaches_through_a_store_or_builds_a_service(path: Path) -> None:
    tree = tree_in(path)
    chains = [names_of(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [chain for chain in chains if chain[:1] == ["services"] and len(chain) > 2 and chain[2] in OF_STORES] == []
    built = [names_of(node.func)[-1:] for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [name for [name] in filter(None, built) if name.endswith(("Store", "Service", "Review"))] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_parts_make_blocks_of_a_message(path: Path) -> None:
    """Forms are views, which have blocks and no text."""
    if path.name in ("parts.py", "forms.py"):
        return
    text = path.read_text(encoding="utf-8")
    assert '"type": "section"' not in text
    assert '"mrkdwn"' not in text
