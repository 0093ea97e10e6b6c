"""The threat model names tests that exist, and no statement of SQL is glued from values."""

import ast
import re
from pathlib import Path

from tests.contract.parsed import tree_in

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKS = ("Attack", "Leak")
"""The first headings of the tables whose rows need a test."""
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`")
SOURCES = sorted([*(ROOT / "bot").rglob("*.py"), *(ROOT / "handlers").rglob("*.py")])
OF_THE_CODE = {
    "bot/db/engine.py": {"table"},
    "bot/db/postgres.py": {"name"},  # of SESSION_LIMITS
    "bot/ledger/interning.py": {"query", "kind", "rest"},
    "bot/ledger/store_writes.py": {"_unnest", "_places", "columns", "table", "name", "start"},
    "bot/usage/store_writes.py": {"place"},
}
"""Names of tables, columns, types and settings that stand in the code, which no parameter can carry."""
SQL = frozenset({"text", "literal_column", "exec_driver_sql", "DDL", "rows_where"})
"""Functions that take a statement as text. `rows_where` takes it as its second argument."""


def rows() -> list[list[str]]:
    """The cells of every row that needs a test."""
    found, is_attack = [], False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            is_attack = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ATTACKS:
            is_attack = True
        elif is_attack and not set(cells[0]) <= set("-"):
            found.append(cells)
    return found


def test_every_line_of_the_threat_model_has_a_test_that_exists() -> None:
    missing = []
    tests: dict[str, set[str]] = {}
    for attack, *_, named in rows():
        names = NAMED.findall(named)
        assert names, f"no test: {attack}"
        for file, name in names:
            if file not in tests:
                tree = tree_in(ROOT / "tests" / file)
                tests[file] = {
                    each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                }
            if name not in tests[file]:
                missing.append(f"{file}::{name}")
    assert not missing
    assert len(rows()) > 50


def test_the_policy_leads_to_the_threat_model_and_names_no_address() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in policy
    assert "@" not in policy


def test_no_statement_is_glued_from_values() -> None:
    """A statement as text is a constant of the code; what comes from outside is bound."""
    statements = 0
    for source in SOURCES:
        code = source.read_text(encoding="utf-8")
        if not any(f"{name}(" in code for name in SQL):
            continue
        tree, relative = tree_in(source), str(source.relative_to(ROOT))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and (statement := _statement(call, tree)) is not None:
                statements += 1
                known = OF_THE_CODE.get(relative, set())
                assert _glued(statement, tree, known) <= known, f"{relative}:{call.lineno}"
    assert statements > 15


def _statement(call: ast.Call, tree: ast.Module) -> ast.expr | None:
    """The argument that is a statement, if the call takes one. Others than SQLAlchemy have a `text` too."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in SQL or not call.args:
        return None
    if name == "text" and not any(
        isinstance(each, ast.ImportFrom) and each.module == "sqlalchemy" and "text" in {one.name for one in each.names}
        for each in tree.body
    ):
        return None
    return call.args[1 if name == "rows_where" else 0]


def _glued(statement: ast.expr, tree: ast.Module, known: set[str]) -> set[str]:
    """The expressions whose values become part of the statement, through any names of the same module."""
    match statement:
        case ast.Constant(value=str()):
            return set()
        case ast.JoinedStr(values=parts):
            return {name for part in parts for name in _glued(part, tree, known)}
        case ast.FormattedValue(value=value):
            return _glued(value, tree, known)
        case ast.BinOp(left=left, right=right):
            return _glued(left, tree, known) | _glued(right, tree, known)
        case ast.Name(id=name) if name not in known:
            assigned = [
                each.value
                for each in ast.walk(tree)
                if isinstance(each, ast.Assign) and any(getattr(target, "id", "") == name for target in each.targets)
            ]
            return {found for value in assigned for found in _glued(value, tree, known)} if assigned else {name}
        case _:
            names = [each for each in ast.walk(statement) if isinstance(each, ast.Name)]
            own = {each.id for each in names if isinstance(each.ctx, ast.Store)} | {"len"}
            # A constant's name is in capitals.
            return {each.id for each in names if not each.id.isupper()} - own
