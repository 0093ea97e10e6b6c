"""The client follows the env file."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.fallback.targets.env_file import EnvFile
from claude_cost_client import current_model
from claude_cost_client.follower import MOST_MODELS
from claude_cost_client.source import EnvFileSource, variables_in
from tests.client.applications import HAIKU, MODES, OPUS, SONNET, environ, eventually, following, following_here

printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=30)


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,9}", fullmatch=True), printable, min_size=1))
def test_what_the_bot_writes_into_the_env_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> None:
    target = EnvFile(tmp_path_factory.mktemp("env") / "claude-cost.env")
    target.write(variables)
    assert variables_in(target.path.read_text(encoding="utf-8")) == variables


def test_env_lines_are_read_as_shells_and_systemd_read_them() -> None:
    text = '# A=1\nexport B=\'two words\'\n C = 3 \nnonsense\nB=last\nD="a \\"b\\" \\n"\nE=\n'
    assert variables_in(text) == {"B": "last", "C": "3", "D": 'a "b" \\n', "E": ""}


def test_before_any_file_the_processs_own_environment_counts(tmp_path: Path) -> None:
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env"), **MODES["degraded"].variables) as follower:
        assert follower.answer(OPUS) == SONNET
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env")) as follower:
        assert follower.answer(OPUS) == OPUS


def test_the_file_is_known_at_the_first_question_and_followed_from_then_on(tmp_path: Path) -> None:
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == SONNET
        assert follower.models == {OPUS: SONNET}
        target.write(MODES["minimal"].variables)
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        target.write(MODES["normal"].variables)
        eventually(lambda: follower.answer(OPUS) == OPUS)


def test_two_writes_of_one_size_within_a_tick_of_the_files_clock_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "claude-cost.env"
    path.write_text("CLAUDE_MODEL=one\n", encoding="utf-8")
    source = EnvFileSource(str(path), expected=True)
    written_at = path.stat().st_mtime_ns
    assert source.at_once() == {"CLAUDE_MODEL": "one"}
    path.write_text("CLAUDE_MODEL=two\n", encoding="utf-8")
    os.utime(path, ns=(written_at, written_at))
    assert source.at_once() == {"CLAUDE_MODEL": "two"}


def test_a_file_that_has_settled_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "claude-cost.env"
    path.write_text("CLAUDE_MODEL=one\n", encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    source = EnvFileSource(str(path), expected=True)
    assert source.at_once() is not None
    assert source.at_once() is None


def test_the_last_known_mode_holds_while_the_file_is_gone_and_is_followed_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == SONNET
        target.path.unlink()
        eventually(lambda: "cannot be read (No such file or directory)" in caplog.text)
        assert follower.answer(OPUS) == SONNET
        target.path.write_text("SOMETHING=else\n", encoding="utf-8")
        time.sleep(0.1)
        assert follower.answer(OPUS) == SONNET
        target.write(MODES["minimal"].variables)
        eventually(lambda: follower.answer(OPUS) == HAIKU)
    assert caplog.text.count("cannot be read") == 1


def test_current_model_reads_the_default_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EnvFile(tmp_path / "claude-cost.env").write(MODES["degraded"].variables)
    with following_here():
        assert [current_model(model) for model in (OPUS, OPUS, HAIKU)] == [SONNET, SONNET, HAIKU]


def test_many_different_questions_do_not_fill_the_memory(tmp_path: Path) -> None:
    with following(CLAUDE_COST_FALLBACK_FILE=str(tmp_path / "none.env")) as follower:
        for number in range(MOST_MODELS + 10):
            assert follower.answer(f"model-{number}") == f"model-{number}"
        assert len(follower.models) == MOST_MODELS


def test_a_forked_child_follows_on_its_own(tmp_path: Path) -> None:
    program = """
import os, sys, time
from claude_cost_client import current_model
assert current_model("claude-opus-5-5") == "claude-sonnet-5-5"
child = os.fork()
if child == 0:
    assert current_model("claude-opus-5-5") == "claude-sonnet-5-5"
    open("ready", "w").close()
    for _ in range(600):
        if current_model("claude-opus-5-5") == "claude-haiku-5-5":
            os._exit(7)
        time.sleep(0.1)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["degraded"].variables)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, env=environ())
    eventually((tmp_path / "ready").exists)
    target.write(MODES["minimal"].variables)
    assert process.wait(60) == 7


def test_the_log_of_a_switch_names_the_ceiling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "claude_cost.client")
    target = EnvFile(tmp_path / "claude-cost.env")
    target.write(MODES["normal"].variables)
    with following(CLAUDE_COST_FALLBACK_FILE=str(target.path)) as follower:
        assert follower.answer(OPUS) == OPUS
        target.write(MODES["degraded"].variables)
        eventually(lambda: f"fallback mode degraded: at most {SONNET}" in caplog.text)
