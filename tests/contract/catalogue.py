"""Brings the catalogues of texts up to date with the code: `python -m tests.contract.catalogue`, or `make drawing`.

Texts that the code no longer has are removed, new ones are added without a translation, and
`tests/contract/test_catalogue.py` names what is missing.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from bot.language import ENGLISH, LANGUAGES, read_catalogue
from tests.contract.parsed import tree_in

ROOT = Path(__file__).resolve().parents[2]

COUNTED = "ntr"

FUNCTIONS = {"tr", "tr_lazy", "tr_noop", COUNTED}

HEADER = """# Texts of claude-cost in another language than English. `make drawing` adds new texts and removes old ones.
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""


@cache
def calls() -> Sequence[tuple[str, ast.Call]]:
    """Every call that translates, with its place: `handlers/status.py:12`."""
    return list(_calls())


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for top in ("bot", "handlers"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if path == ROOT / "bot/language.py":
                continue
            source = path.read_text(encoding="utf-8")
            if not any(f"{name}(" in source for name in FUNCTIONS):
                continue
            for node in ast.walk(tree_in(path)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


@cache
def texts() -> Mapping[str, str | None]:
    """Every text that the code translates, with its plural where it is counted."""
    found: dict[str, str | None] = {}
    for _, call in calls():
        literals = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if literals:
            counted = isinstance(call.func, ast.Name) and call.func.id == COUNTED
            found[literals[0]] = literals[1] if counted else found.get(literals[0])
    return found


def updated(code: str) -> Catalog:
    """The catalogue of a language with exactly the texts of the code."""
    known = read_catalogue(code)
    fresh = Catalog(locale=code)
    for text, plural in sorted(texts().items()):
        old = known.get(text)
        string = old.string if old is not None else None
        if isinstance(string, tuple | list):
            string = string[0] if string else None
        added = fresh.add(
            text if plural is None else (text, plural), (string or "") if plural is None else (string or "",)
        )
        # Flags that Babel guesses, such as a field of the % operator at a percent sign.
        added.flags.clear()
    return fresh


def path_of(code: str) -> Path:
    """Path of a language's catalogue."""
    return ROOT / "bot/locale" / f"{code}.po"


def main() -> None:
    """Write all catalogues."""
    for code in LANGUAGES:
        if code != ENGLISH:
            catalogue = updated(code)
            # Babel's own header has the time in it, which would change the file without need.
            with path_of(code).open("wb") as file:
                file.write(HEADER.format(language=code).encode())
                write_po(file, catalogue, width=0, sort_output=True, omit_header=True)


if __name__ == "__main__":
    main()
