"""Tests give the product other values by its arguments: none replaces an attribute of a product's module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PRODUCT = ("bot", "handlers", "claude_cost_client")


def imported(tree: ast.AST) -> set[str]:
    """The names under which a test has modules, classes and functions of the product."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PRODUCT:
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(
                alias.asname or alias.name.partition(".")[0]
                for alias in node.names
                if alias.name.partition(".")[0] in PRODUCT
            )
    return names


def replaced(source: str) -> Iterator[str]:
    """Parts of the product that `setattr` of a pytest fixture replaces, by the text of its first argument."""
    if "setattr" not in source:
        return
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr"):
            continue
        target = node.args[0]
        if isinstance(target, ast.Constant):
            # A path to a module's attribute; a path of anything else is fine.
            if str(target.value).partition(".")[0] in PRODUCT:
                yield ast.unparse(target)
            continue
        while isinstance(target, ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name) and target.id in names:
            yield ast.unparse(node.args[0])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from bot.runner import cycle as c\npatch.setattr(c, 'SECONDS', 1)", ["c"]),
        ("import claude_cost_client as client\npatch.setattr(client, '_follower', 1)", ["client"]),
        ("import bot.clock\npatch.setattr(bot.clock, 'HOUR', 1)", ["bot.clock"]),
        ("patch.setattr('handlers.status.x', 1)", ["'handlers.status.x'"]),
        ("import os\npatch.setattr(os, 'write', 1)\npatch.setattr('socket.x', 1)", []),
    ],
)
def test_what_replaces_a_part_of_the_product_is_found(source: str, found: list[str]) -> None:
    assert [*replaced(source)] == found


def test_no_test_replaces_a_part_of_the_product() -> None:
    found = {path.name: [*replaced(path.read_text(encoding="utf-8"))] for path in sorted(TESTS.rglob("*.py"))}
    assert {name: parts for name, parts in found.items() if parts} == {}
