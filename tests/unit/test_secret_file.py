"""A secret whose file changes is the new one at the next call; what is no secret changes nothing and is named."""

from pathlib import Path

import pytest

from bot.config.secret_file import SecretFile, secret_problems
from bot.config.settings import FOLLOWED, Need, load_settings
from bot.config.toml import read_config_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("xoxb-old\n", encoding="utf-8")
    return path


def replaced(path: Path, text: str) -> None:
    """Replace the file atomically, like Kubernetes and `mv`."""
    new = path.with_name("new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def test_the_next_call_gets_what_the_file_holds_now(file: Path) -> None:
    secret = SecretFile("xoxb-old", "SLACK_BOT_TOKEN_FILE", file, "xoxb-")
    replaced(file, "xoxb-new\n")
    assert secret.get_secret_value() == "xoxb-new"
    file.write_text("xoxb-in-place", encoding="utf-8")
    assert secret.get_secret_value() == "xoxb-in-place"
    assert secret_problems([secret, None]) == []
    assert "xoxb" not in repr(secret) + str(secret)


@pytest.mark.parametrize("wrong", ["", "\n", "xapp-1-other", "xoxb-a b", "xoxb-a\nxoxb-b", "xoxb-\x00", "xoxb-é"])
def test_what_is_no_such_secret_is_named_and_changes_nothing_until_it_is_put_right(file: Path, wrong: str) -> None:
    secret = SecretFile("xoxb-old", "SLACK_BOT_TOKEN_FILE", file, "xoxb-")
    replaced(file, wrong)
    assert secret.get_secret_value() == "xoxb-old"
    [problem] = secret_problems([secret])
    assert problem.startswith(f"SLACK_BOT_TOKEN_FILE names {file}, which does not hold one that begins with xoxb-")
    assert "xapp" not in problem
    replaced(file, "xoxb-right")
    assert (secret.get_secret_value(), secret.problem()) == ("xoxb-right", None)


def test_a_file_that_is_away_is_named_and_the_secret_stays(file: Path) -> None:
    secret = SecretFile("xoxb-old", "SLACK_BOT_TOKEN_FILE", file)
    file.unlink()
    assert secret.get_secret_value() == "xoxb-old"
    assert "cannot be read" in str(secret.problem())
    file.write_text("xoxb-back", encoding="utf-8")
    assert (secret.get_secret_value(), secret.problem()) == ("xoxb-back", None)


def test_every_secret_of_a_call_follows_its_file(tmp_path: Path) -> None:
    environ = {}
    for name, prefix in FOLLOWED.items():
        path = tmp_path / name
        path.write_text(f"{prefix}old", encoding="utf-8")
        environ[f"{name}_FILE"] = str(path)
    loaded = load_settings(environ, Need(0))
    for name, prefix in FOLLOWED.items():
        (tmp_path / name).write_text(f"{prefix}new-one", encoding="utf-8")
    assert sorted(each.get_secret_value() for each in loaded.secrets()) == sorted(
        f"{prefix}new-one" for prefix in FOLLOWED.values()
    )


def test_a_senders_token_follows_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old", encoding="utf-8")
    config = tmp_path / "claude-cost.toml"
    config.write_text(f'[[ingest]]\nname = "search"\ntoken_file = "{tmp_path / "token"}"\n', encoding="utf-8")
    tokens = read_config_file(config).ingest_tokens
    (tmp_path / "token").write_text("newer", encoding="utf-8")
    assert tokens["search"].get_secret_value() == "newer"
