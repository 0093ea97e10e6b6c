"""The managed block: the file is always the old or the new whole, and every other line stays."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.fallback.targets.env_file import BEGIN, END, EnvFile, EnvFileError

DEGRADED = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5"}
NORMAL = {"CLAUDE_FALLBACK_MODE": "normal"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claude-cost.env"


def test_a_missing_file_is_made_with_the_block_alone(path: Path) -> None:
    EnvFile(path).write(DEGRADED)
    assert path.read_text().splitlines() == [
        BEGIN.decode(),
        "CLAUDE_FALLBACK_MODE=degraded",
        "CLAUDE_MODEL=claude-sonnet-5-5",
        END.decode(),
    ]


def test_the_next_mode_replaces_the_block_and_leaves_no_variable_behind(path: Path) -> None:
    file = EnvFile(path)
    file.write(DEGRADED)
    file.write(NORMAL)
    assert "CLAUDE_MODEL" not in path.read_text()
    assert file.holds(NORMAL)
    assert not file.holds(DEGRADED)


def test_every_other_line_is_kept_byte_for_byte(path: Path) -> None:
    before, after = b"# ours\r\nDB=1", b"LAST=\xff\n\n"
    path.write_bytes(before + b"\n" + BEGIN + b"\nOLD=1\n" + END + b"\n" + after)
    EnvFile(path).write(NORMAL)
    content = path.read_bytes()
    assert content.startswith(before)
    assert content.endswith(after)
    assert b"OLD" not in content


@given(st.binary(max_size=300).filter(lambda content: b"claude-cost" not in content))
def test_whatever_stands_in_the_file_stays_and_writing_twice_changes_nothing(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "services.env"
        path.write_bytes(content)
        EnvFile(path).write(DEGRADED)
        once = path.read_bytes()
        assert once.startswith(content)
        EnvFile(path).write(DEGRADED)
        assert path.read_bytes() == once
        assert EnvFile(path).holds(DEGRADED)


def test_mode_bits_are_kept(path: Path) -> None:
    path.write_text("A=1\n")
    path.chmod(0o640)
    EnvFile(path).write(NORMAL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symlink_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mounted" / "real.env"
    target.parent.mkdir()
    target.write_text("A=1\n")
    link = tmp_path / "link.env"
    link.symlink_to(target)
    EnvFile(link).write(NORMAL)
    assert link.is_symlink()
    assert "CLAUDE_FALLBACK_MODE=normal" in target.read_text()


def test_no_temporary_file_is_left_when_the_directory_refuses(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "x.env"
    with pytest.raises(EnvFileError, match="CLAUDE_COST_FALLBACK_FILE"):
        EnvFile(path).write(NORMAL)
    assert os.listdir(tmp_path) == []


def test_a_line_outside_the_block_that_sets_a_managed_name_is_reported_and_not_changed(path: Path) -> None:
    path.write_text("export CLAUDE_MODEL=claude-opus-5-5\n# CLAUDE_FALLBACK_MODE=x\n")
    file = EnvFile(path)
    file.write(DEGRADED)
    assert file.read(DEGRADED).outside == ("CLAUDE_MODEL",)
    assert path.read_text().startswith("export CLAUDE_MODEL=claude-opus-5-5\n")


@pytest.mark.parametrize(
    "content",
    [
        BEGIN + b"\nA=1\n",  # no end
        b"A=1\n" + END + b"\n",  # no beginning
        BEGIN + b"\n" + END + b"\n" + BEGIN + b"\n" + END + b"\n",  # two blocks
    ],
)
def test_a_damaged_block_is_named_and_nothing_is_written(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(EnvFileError, match="damaged managed block"):
        EnvFile(path).write(NORMAL)
    assert path.read_bytes() == content


def test_values_that_a_shell_would_read_differently_are_quoted(path: Path) -> None:
    EnvFile(path).write({"NOTE": 'two words "and" $HOME'})
    assert 'NOTE="two words \\"and\\" \\$HOME"' in path.read_text()


def test_a_pipe_in_the_place_of_the_file_is_refused_and_waits_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "fallback.env"
    os.mkfifo(path)
    with pytest.raises(EnvFileError, match="is a pipe or a device and no file"):
        EnvFile(path).read({})
