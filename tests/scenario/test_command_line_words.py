"""The words of the command line: help, version, and an estimate without words."""

import os
import socket
import subprocess
import sys

import pytest

from bot.__main__ import COMMANDS, main
from bot.config.environment import given


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *words], capture_output=True, text=True, timeout=60, check=False
    )


def code_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(words) == 0
    printed = capsys.readouterr()
    assert all(f"  {name} " in printed.out for name in COMMANDS)
    assert printed.err == ""


@pytest.mark.parametrize("name", ["estimate", "price", "run", "doctor"])
def test_help_about_a_command_is_that_commands_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["help", name]) == 0
    asked = capsys.readouterr().out
    assert asked.startswith(f"usage: claude-cost {name}")
    assert code_of([name, "--help"]) == 0
    assert capsys.readouterr().out == asked


@pytest.mark.parametrize("words", [["--version"], ["version"]])
def test_the_version_is_printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(words) == 0
    assert capsys.readouterr().out.startswith("claude-cost 0.")


def test_the_demo_names_slack_and_anthropic_with_capitals() -> None:
    shown = " ".join(cli("demo", "--help").stdout.split())
    assert "a local Slack and a local Anthropic" in shown


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, ""),
        ({"CLAUDE_COST_HTTP_PORT": " ", "PATH": "/bin"}, ""),
        (
            {"CLAUDE_COST_HTTP_PORT": "8111"},
            "The demo has settings of its own and does not use CLAUDE_COST_HTTP_PORT of the environment. "
            "The port of the page is set with --port.\n",
        ),
        (
            {"SLACK_BOT_TOKEN_FILE": "/run/token", "CLAUDE_COST_SOFT_USD": "5", "CLAUDE_COST_CONFIG": "x.toml"},
            "The demo has settings of its own and does not use SLACK_BOT_TOKEN_FILE, CLAUDE_COST_SOFT_USD and "
            "CLAUDE_COST_CONFIG of the environment.\n",
        ),
    ],
)
def test_the_demo_says_which_settings_it_does_not_use(
    environ: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in given(os.environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    # A port that is taken ends the demo at once.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["demo", "--port", str(taken.getsockname()[1])]) == 1
    assert capsys.readouterr().err.startswith(sentence + "The page cannot be served")


@pytest.mark.parametrize("words", [["help", "stauts"], ["stauts"], ["--", "run"]])
def test_an_unknown_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(words) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [[], ["--json"], ["—json"]])
def test_an_estimate_without_words_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["estimate", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("No workload is given: type one, as in claude-cost estimate sonnet-4.6 ")


@pytest.mark.parametrize("batch", ["--batch", "—batch", "-batch", "batch."])
@pytest.mark.parametrize("first", [True, False])
def test_an_option_may_stand_anywhere_whatever_its_dash(
    batch: str, first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sonnet-4.6", "--requests=100k", "in=2000", "out=500"]
    assert code_of(["estimate", *([batch, *words] if first else [*words, batch])]) == 0
    assert capsys.readouterr().out.startswith("$675.00 a month")


@pytest.mark.parametrize("name", ["run", "doctor"])
def test_help_of_what_takes_seconds_to_import_imports_none_of_it(name: str) -> None:
    asks = f"import sys; from bot.__main__ import main\ntry: main(['{name}', '--help'])\nexcept SystemExit: pass\n"
    asks += "print([name for name in sys.modules if name.split('.')[0] in ('slack_bolt', 'sqlalchemy', 'httpx')])"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_user_without_a_home_gets_answers_and_no_traceback() -> None:
    """Users of containers have no account entry: a library asks for the home at its import."""
    program = (
        "import pwd, sys\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from bot.__main__ import main\n"
        "sys.exit(main(['run', '--once']))\n"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=environ
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("SLACK_BOT_TOKEN is missing")
