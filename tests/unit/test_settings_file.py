"""The file of settings: what its lines mean, what counts before it, and a sentence with a number for each mistake."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.env_file import find_env_file, is_open_to_others, load_env_file, parsed
from bot.config.settings import Need, SettingsError, load_settings, questionable
from bot.doctor.check import State
from bot.doctor.configuration import read_configuration, read_env_file
from bot.doctor.database import missing_file

TOKEN = "xoxb-1234567890-secret"


def values(text: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in parsed(text) if entry.name}


def written(folder: Path, text: str | bytes, name: str = ".env") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("  A = b  ", "b"),
        ("A=", ""),
        ("A='b c'", "b c"),
        ('A="b c"', "b c"),
        ('A="b \\"c\\""', 'b "c"'),
        ("A='it\\'s'", "it's"),
        ("A=b#c", "b#c"),
        ("A=b # why", "b"),
        ("A='b # c' # why", "b # c"),
        ("A=#general", "#general"),
        ("A= # nobody yet", ""),
        ("A=a=b==", "a=b=="),
        ("A=U1, U2", "U1, U2"),
        ("A=pa$$word", "pa$$word"),
        ("A=$HOME", "$HOME"),
        ('A="x${HOME}y"', "x${HOME}y"),
        ("A='$(id)'", "$(id)"),
        ("A=日本", "日本"),
    ],
)
def test_a_value_is_taken_as_it_stands(line: str, value: str) -> None:
    for ending in ("", "\n", "\r\n", "\r"):
        assert values(f"# first{ending or chr(10)}{line}{ending}") == {"A": value}


def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    written(tmp_path, b"\xef\xbb\xbfSLACK_BOT_TOKEN=xoxb-1\r\n\r\n# who\r\nCLAUDE_COST_ADMINS=U1\r\n")
    environ: dict[str, str] = {}
    assert load_env_file(environ) is not None
    assert (environ["SLACK_BOT_TOKEN"], environ["CLAUDE_COST_ADMINS"]) == ("xoxb-1", "U1")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (TOKEN, "has no ="),
        ("export SLACK_BOT_TOKEN", "has no ="),
        ("SLACK_BOT_TOKEN xoxb-1", "cannot be read"),
        ("SLACK_BOT_TOKEN: xoxb-1", "cannot be read"),
        ("SLACK BOT TOKEN=xoxb-1", "cannot be read"),
        (". ./other.env", "cannot be read"),
        ("[slack]", "has no ="),
        ("=xoxb-1", "has no name"),
        ('SLACK_BOT_TOKEN="xoxb-1', "has a quote without its end"),
        ("SLACK_BOT_TOKEN='xoxb-1'2", "has a quote without its end"),
        (f"{TOKEN}=1", "has a name with other characters"),
        ("$env:SLACK_BOT_TOKEN = 'xoxb-1'", "has a name with other characters"),
        ('SLACK_BOT_TOKEN="xoxb-1\nSLACK_APP_TOKEN="', "begins a value of several lines"),
        ('KEY="-----\nSLACK_APP_TOKEN=xapp-1\nOTHER=1"', "begins a value of several lines"),
        ("SLACK_BOT_TOKEN=xo\0xb", "has a NUL"),
    ],
)
@pytest.mark.parametrize("before", ["", "# why\n\n", "\r\n\r\nA=1\r\n"])
def test_a_line_that_cannot_be_read_is_named_by_its_number_and_not_quoted(
    tmp_path: Path, line: str, why: str, before: str
) -> None:
    path = written(tmp_path, f"{before}{line}\nB=2\n")
    number = before.count("\n") + 1
    with pytest.raises(SettingsError, match=f"^{path}, line {number} {why}") as refused:
        load_env_file({})
    assert "xoxb" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_of_several_lines_for_another_program_is_no_mistake() -> None:
    assert values('KEY="-----BEGIN\nabc=\n-----END"\nSLACK_BOT_TOKEN=xoxb-1\n')["SLACK_BOT_TOKEN"] == "xoxb-1"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("A=1\n".encode("utf-16"), "line 1 is UTF-16"),
        (b"A=1\nB=caf\xe9\n", "line 2 is not UTF-8"),
        (b"A=1\r\rB=\xff\n", "line 3 is not UTF-8"),
        (b"#" * (2**20 + 1), "more than 1 MB"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    written(tmp_path, content)
    with pytest.raises(SettingsError, match=why):
        find_env_file({})


def test_the_environment_counts_before_the_file(tmp_path: Path) -> None:
    written(
        tmp_path, "SLACK_BOT_TOKEN=xoxb-file\nCLAUDE_COST_CHANNEL=C1\nCLAUDE_COST_ADMINS=U1\nHTTPS_PROXY=http://f\n"
    )
    environ = {"SLACK_BOT_TOKEN": "xoxb-env", "CLAUDE_COST_ADMINS": " ", "HTTPS_PROXY": ""}
    load_env_file(environ)
    assert environ.pop("CLAUDE_COST_ENV_FILE") == str(tmp_path / ".env")
    assert environ == {
        "SLACK_BOT_TOKEN": "xoxb-env",
        "CLAUDE_COST_CHANNEL": "C1",
        "CLAUDE_COST_ADMINS": "U1",  # a setting that is empty is not set
        "HTTPS_PROXY": "",  # what others read means what it means to them
    }


@pytest.mark.parametrize(
    ("given", "in_file"),
    [("SLACK_BOT_TOKEN", "SLACK_BOT_TOKEN_FILE"), ("SLACK_BOT_TOKEN_FILE", "SLACK_BOT_TOKEN")],
)
def test_a_secret_of_the_environment_counts_in_either_form(tmp_path: Path, given: str, in_file: str) -> None:
    secret = written(tmp_path, TOKEN, "token")
    forms = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_BOT_TOKEN_FILE": str(secret)}
    written(tmp_path, f"{in_file}={forms[in_file]}\n")
    environ = {given: forms[given]}
    load_env_file(environ)
    token = load_settings(environ, Need.SLACK_BOT).slack_bot_token
    assert token is not None
    assert token.get_secret_value() == TOKEN


def test_another_file_can_be_named_and_has_to_be_there(tmp_path: Path) -> None:
    written(tmp_path, "CLAUDE_COST_CHANNEL=C1\n")
    other = written(tmp_path, "CLAUDE_COST_CHANNEL=C2\n", "other.env")
    environ = {"CLAUDE_COST_ENV_FILE": "other.env"}
    load_env_file(environ)
    assert (environ["CLAUDE_COST_CHANNEL"], environ["CLAUDE_COST_ENV_FILE"]) == ("C2", str(other))
    for name in ("absent.env", str(tmp_path)):
        with pytest.raises(SettingsError, match=r"cannot be read .*correct CLAUDE_COST_ENV_FILE"):
            load_env_file({"CLAUDE_COST_ENV_FILE": name})
    with pytest.raises(SettingsError, match="looks like a secret") as refused:
        load_env_file({"CLAUDE_COST_ENV_FILE": TOKEN})
    assert TOKEN not in str(refused.value)
    assert load_env_file({"CLAUDE_COST_ENV_FILE": "/dev/null"}) is not None


def test_without_a_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert load_env_file({}) is None
    (tmp_path / ".env").mkdir()  # a virtual environment may have that name
    assert load_env_file({}) is None
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").symlink_to(tmp_path / "unmounted")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_env_file({})


def test_what_looks_like_a_mistake_is_said_without_values(tmp_path: Path) -> None:
    written(
        tmp_path,
        "CLAUDE_COST_CHANNEL=C1\nCLAUDE_COST_CHANNEL=C2\nCLAUDE_COST_ENV_FILE=x\nSLACK_BOT_TOKEN=${TOKEN}\nP=$(pwd)\n",
    )
    file = find_env_file({})
    assert file is not None
    assert [doubt.removeprefix(f"{file.path}") for doubt in file.doubts] == [
        " sets CLAUDE_COST_CHANNEL in 2 lines, of which the last one counts, line 2",
        ", line 3 sets CLAUDE_COST_ENV_FILE, which counts in the environment alone",
        ", line 4: SLACK_BOT_TOKEN has what a shell would replace, and is taken as it stands: write the value itself",
    ]


def test_the_doctor_names_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "CLAUDE_COST_CHANNEL=C1\nCLAUDE_COST_CHANNEL=C2\n")
    assert [check.state for check in read_env_file({})] == [State.WARN]
    written(tmp_path, "oops\n")
    (check,) = read_env_file({})
    assert (check.state, check.sentence) == (State.FAIL, f"{path}, line 1 has no =: write NAME=VALUE.")
    written(tmp_path, f"SLACK_BOT_TOKEN={TOKEN}\nCLAUDE_COST_FALLBACK_FILE=.env\n")
    environ: dict[str, str] = {}
    assert read_env_file(environ) == []
    settings = read_configuration(environ).settings
    assert settings is not None
    assert settings.env_file == path
    assert "services would read the bot's secrets" in " ".join(questionable(settings))


def test_a_path_that_cannot_be_used_is_one_finding_and_the_rest_is_read(tmp_path: Path) -> None:
    read = read_configuration({"CLAUDE_COST_FALLBACK_FILE": TOKEN, "CLAUDE_COST_CHANNEL": "C1"})
    assert read.settings is not None
    assert (read.settings.channel, set(read.wrong)) == ("C1", {"CLAUDE_COST_FALLBACK_FILE"})


LONG = "9" * 300


@pytest.mark.parametrize("path", [LONG, f"~/{LONG}", "x/" * 3000, "./" + "ü" * 200, "loop"], ids=lambda path: path[:5])
def test_a_path_that_the_system_refuses_is_one_sentence(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    read = read_configuration({"CLAUDE_COST_CONFIG": path})
    assert set(read.wrong) == {"CLAUDE_COST_CONFIG"}
    settings = read_configuration({"CLAUDE_COST_FALLBACK_FILE": path, "CLAUDE_COST_ENV_FILE": path}).settings
    assert settings is not None
    assert any("services would read" in sentence for sentence in questionable(settings))
    check = missing_file(f"sqlite:///{LONG}")
    assert check is not None
    assert check.sentence == "CLAUDE_COST_DATABASE_URL cannot be used: File name too long."


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o602, True)]
)
def test_a_file_that_others_may_read_or_change_is_open(tmp_path: Path, mode: int, is_open: bool) -> None:
    path = written(tmp_path, "")
    path.chmod(mode)
    assert is_open_to_others(path, {}) is is_open
    assert not is_open_to_others(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert not is_open_to_others(Path(os.devnull), {})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_read_or_refused_in_one_sentence_and_its_pieces_add_up(text: str) -> None:
    try:
        read = "".join(entry.text for entry in parsed(text))
    except ValueError as error:
        read, refusal = None, str(error)
    if read is None:
        assert refusal.startswith("line ")
        assert len(refusal.splitlines()) == 1
    else:
        assert read == text.removeprefix("\ufeff")
