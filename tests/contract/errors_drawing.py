"""The tree of exceptions in docs/errors.md, made from the classes.

    python -m tests.contract.errors_drawing

writes it anew between its two markers.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.contract.parsed import tree_in
from tests.contract.test_rooms import PATHS, ROOT

PAGE = ROOT / "docs" / "errors.md"
BEGIN, END = "<!-- errors: begin -->\n", "<!-- errors: end -->\n"

SHOWN = re.compile(r"the (message|text) is (one|a) (sentence|clause)")


class Raised(NamedTuple):
    """An exception class. `is_shown`: its text is a sentence or clause that people read."""

    name: str
    base: str
    module: str
    is_shown: bool


def exceptions() -> Iterator[Raised]:
    """Every exception of the product that another module may catch, the sandbox's left out."""
    for module, path in PATHS.items():
        if module.startswith("bot.sandbox"):
            continue
        for node in tree_in(path).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and not node.name.startswith("_"):
                is_shown = SHOWN.search(ast.get_docstring(node) or "") is not None
                yield Raised(node.name, ast.unparse(node.bases[0]), module, is_shown)


def drawing() -> str:
    """A tree: below each class those that derive from it, in order of their modules."""
    found = sorted(exceptions(), key=lambda one: (one.module, one.name))
    ours = {one.name for one in found}
    lines: list[str] = []

    def draw(one: Raised, depth: int) -> None:
        name = f"{'    ' * depth}{one.name}" if one.base in (*ours, "Exception") else f"{one.name}({one.base})"
        lines.append(f"{name:<48}{one.module}{'  (shown)' if one.is_shown else ''}")
        for other in found:
            if other.base == one.name:
                draw(other, depth + 1)

    for one in found:
        if one.base not in ours:
            draw(one, 0)
    return "```text\n" + "\n".join(lines) + "\n```\n"


def drawn(page: str) -> str:
    """The page with the tree as it has to be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{drawing()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
