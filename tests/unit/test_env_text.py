"""The text of the env file, and what its readers make of it: shells, systemd, Docker, python-dotenv, the client."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bot.doctor.check import State
from bot.doctor.configuration import read_configuration
from bot.fallback.targets.env_file import EnvFile, EnvFileError
from bot.fallback.targets.env_text import BEGIN, BOM, DOCKER, DOTENV, END, not_read_by, read_env_text, unfinished_line
from claude_cost_client.source import variables_in

SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]
MODE = {"CLAUDE_FALLBACK_MODE": "degraded", "CLAUDE_MODEL": "claude-sonnet-5-5[1m]"}

VALUES = [
    "claude-sonnet-5-5[1m]",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-haiku-4-5@20251001",
    "a,b",
    "{a,b}",
    "*",
    "?[!x]^",
    "a~b",
    "~",
    "~root",
    "a:~root",
    "x=~root",
    "#a",
    "a#b",
    "50%",
    "日本語",
    "grün",
    "",
    "a b",
    " a ",
    '{"effort": "low"}',
    "$HOME",
    "`id`",
    "a\\b",
    "it's",
    "a;b&c|d<e>f(g)",
    "!!",
    "-n",
    "'a'",
    '"a"',
    "https://example.com/?a=b&c=d#e",
]


def sourced(shell: str, path: Path, name: str) -> str:
    """Value that a service gets from a shell that has sourced the file, as by `set -a; . file` in README."""
    command = ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "HOME=/root", shell, "-c"]
    script = f'cd /; set -a; . "{path}"; set +a; exec printenv {name}'
    return subprocess.run([*command, script], capture_output=True, check=False, timeout=20).stdout.decode()[:-1]


def by_docker(text: str) -> dict[str, str]:
    """NAME=VALUE by the first equals sign, nothing unquoted (docker/cli, opts/envfile)."""
    lines = [line.lstrip() for line in text.removeprefix("\ufeff").split("\n")]
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def by_systemd(text: str) -> dict[str, str]:
    """One value a line as systemd.exec(5) has it: in quotes a backslash takes four characters."""
    found = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not equals or line.startswith(("#", ";")):
            continue
        if value.startswith('"'):
            value = re.sub(r'\\(["\\$`])', r"\1", value[1:-1])
        else:
            assert not re.search(r"[\\'\"]|^\s|\s$", value)
        found[name] = value
    return found


def by_dotenv(text: str) -> dict[str, str]:
    """python-dotenv 1.2: escapes of its own in double quotes, ${…} everywhere, a comment after a space."""
    found = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        if value.startswith('"'):
            value = re.sub(r"\\([\\'\"abfnrtv])", r"\1", value[1:-1])
        else:
            value = re.sub(r"\s+#.*", "", value).rstrip()
        assert "${" not in value or "$" in line
        found[name] = value
    return found


@pytest.mark.parametrize("value", VALUES)
def test_a_value_reaches_every_reader_but_those_that_are_named(tmp_path: Path, value: str) -> None:
    path = tmp_path / "services.env"
    EnvFile(path).write({"VALUE": value})
    text = path.read_text(encoding="utf-8")
    for shell in SHELLS:
        assert sourced(shell, path, "VALUE") == value
    assert variables_in(text) == {"VALUE": value}
    assert by_systemd(text) == {"VALUE": value}
    others = not_read_by(value)
    assert (by_docker(text)["VALUE"] == value) is (DOCKER not in others)
    assert (by_dotenv(text)["VALUE"] == value) is (DOTENV not in others)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PRINTABLE.filter(str.isprintable), min_size=8, max_size=8))
def test_any_printable_value_is_the_same_for_shells_and_the_client(tmp_path: Path, values: list[str]) -> None:
    path = tmp_path / "services.env"
    written = {f"V{index}": value for index, value in enumerate(values)}
    EnvFile(path).write(written)
    text = path.read_text(encoding="utf-8")
    assert variables_in(text) == written
    assert by_systemd(text) == written
    plain = {name: value for name, value in written.items() if not not_read_by(value)}
    assert plain.items() <= by_docker(text).items()
    assert plain.items() <= by_dotenv(text).items()
    script = f'. "{path}"; printf "%s\\n" ' + " ".join(f'"$V{index}"' for index in range(len(values)))
    for shell in SHELLS:
        out = subprocess.run([shell, "-c", script], capture_output=True, check=True, timeout=20).stdout
        assert out.decode().split("\n")[:-1] == values


def test_the_brackets_of_a_model_need_no_quotes(tmp_path: Path) -> None:
    EnvFile(tmp_path / "services.env").write(MODE)
    assert "\nCLAUDE_MODEL=claude-sonnet-5-5[1m]\n" in (tmp_path / "services.env").read_text()


def test_who_cannot_read_a_value_is_said(tmp_path: Path) -> None:
    file = EnvFile(tmp_path / "services.env")
    file.write({"A": "two words", "B": "$5", "C": "plain"})
    doubts = file.doubts({"A": "two words", "B": "$5", "C": "plain"})
    assert [doubt for doubt in doubts if "A, B must be quoted" in doubt and DOCKER in doubt] == [doubts[0]]
    assert [doubt for doubt in doubts if "B must be quoted" in doubt and DOTENV in doubt] == [doubts[1]]
    assert file.doubts(MODE) == ()


def test_the_doctor_says_it_of_every_mode(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text('[mode.night]\nGREETING = "good night"\nCLAUDE_MODEL = "claude-haiku-5-5[1m]"\n')
    checks = read_configuration({"CLAUDE_COST_CONFIG": str(tmp_path / "bot.toml")}).checks
    (said,) = [check for check in checks if DOCKER in check.sentence]
    assert said.state is State.WARN
    assert "GREETING of the mode night" in said.sentence


# ---- Byte order marks, UTF-16, markers


@pytest.mark.parametrize("before", [b"", b"A=1\n", b"A=1\r\nB=2\r\n"])
def test_a_byte_order_mark_stays_where_it_is_and_hides_nothing(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "services.env"
    block = BEGIN + b"\r\nOLD=1\r\n" + END + b"\r\n"
    for content, start in (
        (BOM + before, BOM + before),
        (BOM + before + block, BOM + before),
        (before + BOM + block, before + BOM),
    ):
        path.write_bytes(content)
        for _ in range(2):
            EnvFile(path).write(MODE)
            written = path.read_bytes()
            assert written.startswith(start + BEGIN)
            assert written.count(BEGIN) == written.count(END) == written.count(BOM) == 1
            assert b"OLD" not in written
            assert EnvFile(path).holds(MODE)


def test_a_line_after_a_byte_order_mark_sets_a_name_too(tmp_path: Path) -> None:
    path = tmp_path / "services.env"
    path.write_bytes(BOM + b"CLAUDE_MODEL=claude-opus-5-5\n")
    EnvFile(path).write(MODE)
    assert EnvFile(path).read(MODE).outside == ("CLAUDE_MODEL",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_refused_and_stays(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "services.env"
    content = "DATABASE=postgres://db\nNAME=grün\n".encode(encoding)
    path.write_bytes(content)
    with pytest.raises(EnvFileError, match=r"UTF-16.*save it as UTF-8"):
        EnvFile(path).write(MODE)
    assert path.read_bytes() == content


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_is_read_is_written_again_as_it_was(before: bytes, after: bytes) -> None:
    assume(b"claude-cost" not in before + after)
    content = before + b"\n" + BEGIN + b"\nA=1\n" + END + b"\n" + after
    text = read_env_text(content)
    assert text.with_block({"A": "1"}) == content


# ---- Lines that swallow the block


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("A='open\n", 1),
        ('OK=1\nA="open\nB=2\n', 2),
        ("A=it's\n", 1),
        ("A=`id\n", 1),
        ("A=1\\\n", 1),
        ("A=1\\", 1),
        ('A="x\\"\n', 1),
        ("A='x'\nB=\"a'b\n", 2),
        ("# one\n# two\nA='\n", 3),
    ],
)
def test_a_line_that_swallows_the_block_for_a_shell_is_reported(tmp_path: Path, before: str, line: int) -> None:
    path = tmp_path / "services.env"
    path.write_text(before)
    file = EnvFile(path)
    file.write(MODE)
    assert all(sourced(shell, path, "CLAUDE_MODEL") != MODE["CLAUDE_MODEL"] for shell in SHELLS)
    (doubt,) = file.doubts(MODE)
    assert f"line {line} of the file" in doubt


@pytest.mark.parametrize(
    "before",
    [
        "# don't\n",
        "A=1 # it's\n",
        "A='a\nb'\n",
        'A="it\'s"\n',
        "A=\\'\n",
        "A=1\\\nB=2\n",
        "A='x\\'\n",
        "A=x#'y'\n",
        "\n",
        "",
    ],
)
def test_whole_lines_are_not_reported(tmp_path: Path, before: str) -> None:
    path = tmp_path / "services.env"
    path.write_text(before)
    file = EnvFile(path)
    file.write(MODE)
    assert all(sourced(shell, path, "CLAUDE_MODEL") == MODE["CLAUDE_MODEL"] for shell in SHELLS)
    assert file.doubts(MODE) == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("A='#\n")
@example("A=\\#'\n'")
@given(st.text(alphabet="A='\"\\#\n x", max_size=14).map(lambda text: f"A={text}"))
def test_it_is_reported_exactly_where_a_shell_loses_the_block(tmp_path: Path, before: str) -> None:
    path = tmp_path / "services.env"
    path.write_text(before)
    EnvFile(path).write({"MARKED": "1"})
    lost = sourced("dash", path, "MARKED") != "1"
    assert (unfinished_line(before.encode()) is not None) is lost


# ---- the client


@pytest.mark.parametrize("odd", ["\x0c", "\x0b", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_line_breaks_end_a_line_for_the_client(odd: str) -> None:
    assert variables_in(f"# page{odd}CLAUDE_MODEL=claude-haiku-5-5\n") == {}
    assert variables_in(f"A=x{odd}CLAUDE_MODEL=claude-haiku-5-5\nB=1") == {
        "A": f"x{odd}CLAUDE_MODEL=claude-haiku-5-5",
        "B": "1",
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_client_reads_every_line_ending_and_passes_over_a_byte_order_mark(end: str) -> None:
    assert variables_in(f"\ufeffA=1{end} export B = 2 {end}") == {"A": "1", "B": "2"}
