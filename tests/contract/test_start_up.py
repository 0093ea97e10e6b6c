"""Short commands start without the libraries that only the bot uses."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOT_USED = {
    "aiohttp",
    "alembic",
    "apprise",
    "apscheduler",
    "asyncio",
    "email",
    "google.protobuf",
    "httpx",
    "importlib.metadata",
    "importlib.resources",
    "json",
    "msgspec",
    "numpy",
    "opentelemetry",
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


def ran(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program in an interpreter that nothing measures: coverage itself loads what is looked for."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    words = (sys.executable, "-c", program, *words)
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environ)


def loaded(*words: str) -> set[str]:
    done = ran(PROGRAM, *words)
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
    assert {name for name in modules if name.endswith(("_words", "_spellings")) and "bot." in name} == set()
    assert "difflib" not in modules


def test_an_estimate_loads_no_library_that_writes_code() -> None:
    assert (
        loaded("estimate", "sonnet", "requests=100k", "in=2000", "out=500") & {"dataclasses", "inspect", "ast"} == set()
    )


def test_a_price_of_unchanged_files_starts_without_what_reads_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    log = tmp_path / "log.jsonl"
    log.write_text('{"model": "claude-opus-4-8", "usage": {"input_tokens": 5, "output_tokens": 7}}\n' * 2)
    time.sleep(0.11)  # a file that changed just now is not remembered
    reading = {"bot.cli.price_reading", "msgspec", "bot.usage.logs.streams"}
    assert reading <= loaded("price", str(log), "--json")
    assert not loaded("price", str(log), "--json") & ((NOT_USED - {"json"}) | reading)


def test_the_bot_starts_without_protobuf() -> None:
    """Protobuf is imported when the first request in it arrives."""
    modules = set(ran("import sys, bot.app, bot.web.server; print(*sorted(sys.modules))").stdout.split())
    assert "bot.web.ingest" in modules
    assert not {name for name in modules if name.startswith(("google.protobuf", "opentelemetry"))}
