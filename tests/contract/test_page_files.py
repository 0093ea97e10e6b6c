"""The demo's page holds to its own rules: no markup from text, nothing inline, no name that is not there."""

import re
from importlib.resources import files
from typing import get_args

import pytest

from bot.sandbox.stage import Cue

MARKUP_FROM_TEXT = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\("
INLINE = r"\sstyle=|\son\w+=|<style|<script(?! type=\"module\" src=)"
WAYS = ("down", "up")
IMPORT = re.compile(r'^import \{ (.+) \} from "\./(.+)";$', re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> dict[str, str]:
    """The text of every file, by name."""
    folder = files("bot.sandbox").joinpath("page")
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_no_script_makes_markup_from_text(page: dict[str, str]) -> None:
    assert {name: re.findall(MARKUP_FROM_TEXT, text) for name, text in page.items()} == {name: [] for name in page}


def test_nothing_is_inline_that_the_policy_forbids(page: dict[str, str]) -> None:
    assert re.findall(INLINE, page["index.html"]) == []


def test_the_scripts_ask_only_for_elements_that_are_there(page: dict[str, str]) -> None:
    ids = set(re.findall(r'\sid="([\w-]+)"', page["index.html"]))
    asked = {
        id_ for name, text in page.items() if name.endswith(".js") for id_ in re.findall(r'\$\("([\w-]+)"\)', text)
    }
    assert asked
    assert asked <= ids


def test_the_stage_directions_that_the_page_gives_are_those_that_the_server_knows(page: dict[str, str]) -> None:
    text = page["index.html"] + page["directions.js"]
    services = re.findall(r'toggled\(\$\("cue-\w+"\), "(\w+)"', text)
    given = {*re.findall(r'id="cue-\w+" value="(\w+)"', text), *(f"{name}_{way}" for name in services for way in WAYS)}
    assert given == set(get_args(Cue))


def test_the_scripts_import_only_what_is_exported(page: dict[str, str]) -> None:
    imports = {
        (module, name) for text in page.values() for names, module in IMPORT.findall(text) for name in names.split(", ")
    }
    exports = {
        (module, name)
        for module, text in page.items()
        for name in re.findall(r"^export (?:async )?(?:const|function) ([\w$]+)", text, re.MULTILINE)
    }
    assert imports
    assert imports == exports
