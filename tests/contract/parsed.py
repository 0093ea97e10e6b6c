"""The syntax trees of the checkout's files, each made once in a process: many tests look at all of them."""

import ast
from functools import cache
from pathlib import Path


@cache
def tree_in(path: Path) -> ast.Module:
    """What Python reads in a file. Tests only look at it."""
    return ast.parse(path.read_text(encoding="utf-8"))
