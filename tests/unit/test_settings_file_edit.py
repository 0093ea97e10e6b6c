"""Changes of the file of settings keep every other line, and read back as they were written."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.env_edit import edited, quoted, replace_privately
from bot.config.env_file import parsed

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)


def changed(text: str, **changes: str | None) -> str:
    return edited(parsed(text), changes)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_lines_stay_as_they_are(end: str) -> None:
    before = end.join(["# mine", "", "A='1' # one", "export B=2", "", 'KEY="x', 'y"', "C=3"])
    after = end.join(["# mine", "", "A='1' # one", "export B=9", "", 'KEY="x', 'y"', "C=3", "D=4", ""])
    assert changed(before, B="9", D="4") == after


def test_a_name_that_is_set_twice_is_set_once_afterwards() -> None:
    assert changed("A=1\nB=2\n\nA=3\n", A="4") == "B=2\n\nA=4\n"
    assert changed("A=1\nB=2\nA=3\n", A=None) == "B=2\n"
    assert changed("B=2\n", A=None) == "B=2\n"


def test_a_new_file_says_what_it_is() -> None:
    text = edited([], {"A": "1", "B": None})
    assert text.startswith("# Settings of claude-cost.")
    assert text.endswith("\n\nA=1\n")


@given(LINE.map(str.strip), st.sampled_from(["", "A=0\n", "export A='0'\r\nB=1\r\n", "# only a comment"]))
def test_what_is_written_is_read(value: str, before: str) -> None:
    entries = parsed(edited(parsed(before), {"A": value}))
    assert [entry.value for entry in entries if entry.name == "A"] == [value]


@pytest.mark.parametrize(
    "value", ["xoxb-1", "a b", "a#b", "$HOME", "it's", 'say "x"', "back\\slash", "`id`", "!x", "~", "日本"]
)
def test_shells_read_the_same_unless_no_way_of_quoting_serves_both(value: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'A={quoted(value)}; printf %s "$A"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == value


def test_a_value_of_several_lines_is_refused() -> None:
    for value in ("a\nb", "a\rb", "a\0b"):
        with pytest.raises(ValueError, match="several lines"):
            quoted(value)


def test_the_file_is_replaced_at_once_and_for_its_user_alone(tmp_path: Path) -> None:
    path, link = tmp_path / "real.env", tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o664)
    link.symlink_to(path)
    before = path.stat().st_ino
    replace_privately(link, "A=2\n")
    assert (path.read_text(), path.stat().st_mode & 0o777, link.is_symlink()) == ("A=2\n", 0o600, True)
    assert path.stat().st_ino != before
    assert sorted(os.listdir(tmp_path)) == [".env", "real.env"]


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.env").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_privately(tmp_path / "a.env", "A=2\n")
    assert sorted(os.listdir(tmp_path)) == ["a.env"]
