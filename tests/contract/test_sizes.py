"""Functions of the product stay short enough to read at a glance."""

import ast

from tests.contract.parsed import tree_in
from tests.contract.test_rooms import ROOT

LONGEST = 60
"""Lines of a function, from its `def` to its end."""


def test_no_function_of_the_product_is_longer_than_sixty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines"
        for top in ("bot", "handlers")
        for path in sorted((ROOT / top).rglob("*.py"))
        for node in ast.walk(tree_in(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST
    ]
    assert long == []
