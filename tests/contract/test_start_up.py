"""Short commands start without the libraries that only the bot uses."""

import subprocess
import sys

import pytest

NOT_USED = {
    "aiohttp",
    "alembic",
    "apprise",
    "apscheduler",
    "asyncio",
    "email",
    "httpx",
    "importlib.metadata",
    "importlib.resources",
    "json",
    "msgspec",
    "numpy",
    "pydantic",
    "requests",
    "slack_bolt",
    "slack_sdk",
    "sqlalchemy",
    "tenacity",
    "tqdm",
    "urllib.request",
}

PROGRAM = """
import sys
from bot.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def loaded(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["estimate", "--help"],
        ["run", "--help"],
        ["doctor", "--help"],
        ["price", "--help"],
        ["estimate", "sonnet", "requests=100k", "in=2000", "out=500"],
        ["estimate", "100k requests a month on Sonnet 4.6, 2000 tokens in and 500 out, in batches"],
    ],
    ids=" ".join,
)
def test_a_short_command_loads_nothing_that_it_does_not_use(words: list[str]) -> None:
    assert loaded(*words) & NOT_USED == set()


def test_plain_words_load_no_patterns_of_free_wording() -> None:
    modules = loaded("estimate", "claude-opus-4-8", "requests=500/day", "in=2000", "out=500", "cached=1500", "hit=90%")
    assert {name for name in modules if name.endswith(("_words", "_wording", "_spellings")) and "bot." in name} == {
        "bot.pricing.model_words"
    }
    assert "difflib" not in modules


def test_an_estimate_loads_no_library_that_writes_code() -> None:
    assert (
        loaded("estimate", "sonnet", "requests=100k", "in=2000", "out=500") & {"dataclasses", "inspect", "ast"} == set()
    )
