"""Who may send usage, and how long it is kept: the settings of the ledger."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.ledger.rules import LedgerRules

TOKEN = "0123456789abcdef0123456789abcdef"


def load(path: Path | None = None, **environ: str) -> Settings:
    return load_settings({**({"CLAUDE_COST_CONFIG": str(path)} if path else {}), **environ}, Need(0))


def written(folder: Path, text: str) -> Path:
    path = folder / "claude-cost.toml"
    path.write_text(text, encoding="utf-8")
    return path


def tokens(settings: Settings) -> dict[str, str]:
    return {name: token.get_secret_value() for name, token in settings.ingest_tokens.items()}


def test_without_settings_nobody_has_a_token_and_events_stay_for_five_weeks() -> None:
    settings = load()
    assert (tokens(settings), settings.ledger_rules) == ({}, LedgerRules(timedelta(days=35), False))


def test_the_ledgers_table_is_read(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "[ledger]\nkeep_days = 7\nhash_users = true\n"))
    assert settings.ledger_rules == LedgerRules(timedelta(days=7), True)


def test_tokens_come_from_the_environment_the_file_and_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}3\n", encoding="utf-8")
    (tmp_path / "own").write_text(f"{TOKEN}1\n", encoding="utf-8")
    text = (
        f'[[ingest]]\nname = "billing-service"\ntoken = "{TOKEN}2"\n'
        f'[[ingest]]\nname = "search"\ntoken_file = "{tmp_path / "token"}"\n'
    )
    settings = load(written(tmp_path, text), CLAUDE_COST_INGEST_TOKEN_FILE=str(tmp_path / "own"))
    assert tokens(settings) == {"default": f"{TOKEN}1", "billing-service": f"{TOKEN}2", "search": f"{TOKEN}3"}
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[ledger]\nkeep_days = 0", "ledger.keep_days"),
        ("[ledger]\nkeep_days = 4000", "ledger.keep_days"),
        ('[ledger]\nkeep_days = "35"', "ledger.keep_days"),
        ("[ledger]\nkeep = 35", "this version does not know this key"),
        (f'[[ingest]]\ntoken = "{TOKEN}"', "ingest.0.name"),
        ('[[ingest]]\nname = "a"', "set token or token_file"),
        (f'[[ingest]]\nname = "a"\ntoken = "{TOKEN}"\ntoken_file = "/t"', "set token or token_file"),
        ('[[ingest]]\nname = "a"\ntoken = ""', "the token is empty"),
        (f'[[ingest]]\nname = "a"\ntoken = "{TOKEN} {TOKEN}"', "no HTTP header can carry"),
        (f'[[ingest]]\nname = "a"\ntoken = "{TOKEN}é"', "no HTTP header can carry"),
        ('[[ingest]]\nname = "a"\ntoken_file = "/nowhere"', "ingest.0.token_file"),
        (f'[[ingest]]\nname = "a\\n"\ntoken = "{TOKEN}"', "ingest.0.name"),
        (f'[[ingest]]\nname = "a"\ntoken = "{TOKEN}"\n[[ingest]]\nname = "a"\ntoken = "x"', "two senders"),
        (f'[[ingest]]\nname = "default"\ntoken = "{TOKEN}"', "the sender named default"),
    ],
)
def test_a_mistake_is_one_sentence_without_the_token(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as mistake:
        load(written(tmp_path, text), CLAUDE_COST_INGEST_TOKEN="own-token")
    assert named in str(mistake.value)
    assert TOKEN not in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_token_with_a_space_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="CLAUDE_COST_INGEST_TOKEN has a character") as mistake:
        load(CLAUDE_COST_INGEST_TOKEN=f"{TOKEN} x")
    assert TOKEN not in str(mistake.value)
