"""Everything that CONTRIBUTING.md and the docs mention exists, and the drawing matches the imports."""

import re
from pathlib import Path

import pytest

from tests.contract import errors_drawing
from tests.contract.rooms_drawing import PAGE, drawn
from tests.contract.test_rooms import ROOT

PAGES = (ROOT / "CONTRIBUTING.md", PAGE)
TESTING = ROOT / "docs" / "testing.md"


def test_the_drawing_of_the_rooms_is_the_one_of_the_imports() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == drawn(page), "run: python -m tests.contract.rooms_drawing"


def test_the_tree_of_exceptions_is_the_one_of_the_classes() -> None:
    page = errors_drawing.PAGE.read_text(encoding="utf-8")
    assert page == errors_drawing.drawn(page), "run: python -m tests.contract.errors_drawing"


def test_every_exception_that_the_page_of_errors_names_is_in_the_tree() -> None:
    prose = errors_drawing.PAGE.read_text(encoding="utf-8").partition(errors_drawing.BEGIN)[0]
    named = set(re.findall(r"`(\w+Error)`", prose))
    assert named
    assert named <= {one.name for one in errors_drawing.exceptions()}


@pytest.mark.parametrize("page", [*PAGES, TESTING], ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:bot|handlers|tests|docs|client|benchmarks)/[\w./-]+|[A-Z]\w+\.md|pyproject\.toml)`", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_that_a_page_quotes_from_a_file_is_in_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    quoted = re.findall(r"`(\w+)` in `((?:bot|handlers|tests)/[\w./-]+\.py)`", text)
    assert quoted
    assert [(name, file) for name, file in quoted if name not in (ROOT / file).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("page", [PAGES[0], TESTING], ids=lambda page: page.name)
def test_make_has_the_commands_that_a_page_names(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8"))) <= targets
