"""Each promise of docs/reliability.md names tests that enforce it, and they exist."""

import ast
import re
from functools import cache

import pytest

from tests.contract.parsed import tree_in
from tests.contract.test_readme import PAGES, ROOT, rows

PAGE = PAGES[ROOT / "docs" / "reliability.md"]
HEADS = ["fault", "promise", "tests"]
PROMISES = [row for row in rows(PAGE) if row != HEADS]
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@cache
def names_in(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    if not path.is_file():
        return frozenset()
    found = tree_in(path).body
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("fault", "promise", "tests"), PROMISES, ids=[row[0][:40] for row in PROMISES])
def test_each_promise_is_held_by_tests_that_exist(fault: str, promise: str, tests: str) -> None:
    assert fault
    assert promise
    named = [TEST.fullmatch(part) for part in tests.split("<br>")]
    assert all(named), tests
    assert [match[0] for match in named if match and match[2] not in names_in(match[1])] == []


def test_every_table_has_the_three_columns_and_every_fault_one_row() -> None:
    assert [row for row in rows(PAGE) if len(row) != len(HEADS)] == []
    assert rows(PAGE).count(HEADS) == len(re.findall(r"^## ", PAGE, re.MULTILINE))
    said = [(fault, promise) for fault, promise, _ in PROMISES]
    assert len(said) == len(set(said)) > 50
