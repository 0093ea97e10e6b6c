"""Who may send usage, and how long it is kept: the settings of the ledger."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.addresses import clickhouse_address
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.ledger.model import LedgerRules

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
    assert (tokens(settings), settings.ledger_rules) == ({}, LedgerRules(timedelta(days=35), hide_users=True))


def test_the_ledgers_table_is_read(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "[ledger]\nkeep_days = 7\nhash_users = true\n"))
    assert settings.ledger_rules == LedgerRules(timedelta(days=7), hash_users=True, hide_users=True)


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


CLICKHOUSE = "https://ledger:s3cr%40t@clicks.example:8443/costs"


def test_responses_stay_in_the_bots_database_unless_a_clickhouse_is_named(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{CLICKHOUSE}\n", encoding="utf-8")
    assert load().ledger_url == ""
    for settings in (
        load(CLAUDE_COST_LEDGER_URL=CLICKHOUSE),
        load(CLAUDE_COST_LEDGER_URL_FILE=str(tmp_path / "url")),
        load(written(tmp_path, f'[ledger]\nurl = "{CLICKHOUSE}"\n')),
        load(written(tmp_path, f'[ledger]\nurl_file = "{tmp_path / "url"}"\n')),
    ):
        assert settings.ledger_url == CLICKHOUSE
        assert "s3cr" not in repr(settings)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (CLICKHOUSE, ("clicks.example", 8443, True, "ledger", "s3cr@t", "costs")),
        ("https://clicks.example", ("clicks.example", 8443, True, "", "", "")),
        ("https://clicks.example:443/", ("clicks.example", 443, True, "", "", "")),
        ("clickhouse://localhost/costs", ("localhost", 8123, False, "", "", "costs")),
        ("clickhouse://u@clicks.example:8443", ("clicks.example", 8443, True, "u", "", "")),
        ("clickhouse://[::1]:9123/a", ("::1", 9123, False, "", "", "a")),
        ("http://u:a%3Ab@127.0.0.1/a", ("127.0.0.1", 8123, False, "u", "a:b", "a")),
    ],
)
def test_an_address_of_clickhouse_is_that_of_its_http_interface(
    address: str, found: tuple[str, int, bool, str, str, str]
) -> None:
    read = clickhouse_address(address)
    assert (read.host, read.port, read.is_secure, read.user, read.password, read.database) == found
    assert read.password not in repr(read) or not read.password


@pytest.mark.parametrize(
    "address",
    [
        "clicks.example:8443",
        "mysql://ledger:s3cret@clicks.example",
        "clickhouse://ledger:s3cret@clicks.example",
        "http://ledger:s3cret@clicks.example:8123/costs",
        "https://ledger:s3cret@clicks.example:0/costs",
        "https://ledger:s3cret@clicks.example:99999/costs",
        "https://ledger:s3c@ret@clicks.example/costs",
        "https://ledger:s3c/ret@clicks.example/costs",
        "https://ledger:s3c#ret@clicks.example/costs",
        "https://ledger:s3cret@clicks.example/costs?verify=false",
        "https://ledger:s3c ret@clicks.example/costs",
        "https://ledger:s3cret@/costs",
        "https://",
        "chdb:///tmp/s3cret",
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_wrong_address_of_clickhouse_is_one_sentence_without_its_password(
    address: str, place: str, tmp_path: Path
) -> None:
    path = written(tmp_path, f'[ledger]\nurl = "{address}"\n' if place == "file" else "")
    with pytest.raises(SettingsError) as raised:
        load(path, **({"CLAUDE_COST_LEDGER_URL": address} if place == "environment" else {}))
    sentence = str(raised.value)
    assert sentence.startswith("CLAUDE_COST_LEDGER_URL" if place == "environment" else "CLAUDE_COST_CONFIG")
    assert "s3c" not in sentence
    assert "ret@" not in sentence
    assert sentence.endswith(".")


def test_a_network_of_ones_own_may_carry_clickhouse_over_plain_http() -> None:
    address = "clickhouse://ledger:s3cret@clicks.internal/costs"
    assert load(CLAUDE_COST_LEDGER_URL=address, CLAUDE_COST_ALLOW_HTTP="clicks.internal").ledger_url == address


def test_one_place_names_the_clickhouse(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="keep one of them"):
        load(written(tmp_path, f'[ledger]\nurl = "{CLICKHOUSE}"\n'), CLAUDE_COST_LEDGER_URL=CLICKHOUSE)
    with pytest.raises(SettingsError, match="set url or url_file"):
        load(written(tmp_path, f'[ledger]\nurl = "{CLICKHOUSE}"\nurl_file = "/x"\n'))
