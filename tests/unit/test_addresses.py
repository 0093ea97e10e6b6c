"""Addresses in settings: what can be used, where a key may go unencrypted, and one sentence for everything else."""

from pathlib import Path

import pytest

from bot.addresses import database_address, http_host, is_loopback
from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.db.engine import open_database
from bot.doctor.configuration import read_configuration

VARIABLES = ("ANTHROPIC_BASE_URL", "SLACK_API_URL")


def load(**environ: str) -> Settings:
    return load_settings(environ, Need(0))


WRONG = [
    "http://[::1",
    "http://host:99x",
    "https://host:99999",
    "https://host:0",
    "https://host:-1",
    "https://host:",
    "https://host:8 0",
    "https://bot:hunter2hunter2@host",
    "https://hunter2hunter2@host",
    "https://@host",
    "https://ho st/api",
    "https://host/a b",
    "https://host\tx/",
    "https://host\\@other/",
    "https:///path",
    "https://",
    "https:host",
    "host",
    "ftp://host",
    "https://host?key=hunter2hunter2",
    "https://host/#part",
    "https://host/?",
    "https://a..b",
    "https://-a.example",
    "https://" + "a" * 64 + ".example",
    "https://" + "a." * 130 + "example",
    "https://[fe80::zz]/",
    "https://[v1.x]/",
    "https://exa%20mple/",
    "https://host/%zz",
    "https://☃..example/",
    "https://\u202eexample.com",
    "https://host/\x00",
    "https://1.2.3.4.5:x",
]


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_address_is_one_sentence_that_does_not_quote_it(variable: str, address: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(**{variable: address})
    sentence = str(raised.value)
    assert sentence.startswith(variable)
    assert sentence.isprintable()
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.anthropic.com", "api.anthropic.com"),
        ("https://API.Anthropic.com:443/v1/", "api.anthropic.com"),
        ("https://bücher.example/", "bücher.example"),
        ("https://日本.example:8443/a", "日本.example"),
        ("http://[::1]:8080", "::1"),
        ("http://127.0.0.1:1", "127.0.0.1"),
        ("https://gateway_1.internal./x/%20y", "gateway_1.internal"),
        ("HTTPS://host", "host"),
    ],
)
def test_what_can_be_used_is_taken_as_it_is(address: str, host: str) -> None:
    assert http_host(address) == host


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("address", ["http://proxy.internal:8080", "HTTP://10.0.0.1", "http://[2001:db8::1]/x"])
def test_a_key_goes_over_plain_http_to_this_machine_and_to_hosts_that_are_named(variable: str, address: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} begins with http://.*CLAUDE_COST_ALLOW_HTTP"):
        load(**{variable: address})
    with pytest.raises(SettingsError):
        load(**{variable: address}, CLAUDE_COST_ALLOW_HTTP="other.internal, internal")
    allowed = "other.internal,PROXY.internal., 10.0.0.1 [2001:db8::1]"
    assert load(**{variable: address}, CLAUDE_COST_ALLOW_HTTP=allowed)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "a.localhost", "[::1]"])
def test_the_loopback_needs_no_leave(host: str) -> None:
    assert load(ANTHROPIC_BASE_URL=f"http://{host}:1", SLACK_API_URL=f"http://{host}:1/api/")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "127.0.0.1.example.com", "0.0.0.0", "128.0.0.1", "::", "127.1"]
)
def test_what_only_looks_like_the_loopback_is_none(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("value", ["http://proxy", "proxy:8080", "*", "a b/c", "xoxb-123456-abcdef"])
def test_the_hosts_that_may_be_reached_over_http_are_names(value: str) -> None:
    with pytest.raises(SettingsError, match="CLAUDE_COST_ALLOW_HTTP"):
        load(CLAUDE_COST_ALLOW_HTTP=value)


def test_the_doctor_warns_while_a_key_may_go_unencrypted() -> None:
    def warnings(**environ: str) -> list[str]:
        return [check.sentence for check in read_configuration(environ).checks if "ALLOW_HTTP" in check.sentence]

    assert warnings() == []
    (used,) = warnings(CLAUDE_COST_ALLOW_HTTP="proxy.internal", ANTHROPIC_BASE_URL="http://proxy.internal")
    assert "unencrypted to proxy.internal" in used
    (unused,) = warnings(CLAUDE_COST_ALLOW_HTTP="proxy.internal")
    assert unused.endswith("remove it")


@pytest.mark.parametrize("value", ["", "0.0.0.0", "::", "::1", "localhost", "bot.internal"])
def test_the_port_listens_on_an_address_or_a_name(value: str) -> None:
    assert load(CLAUDE_COST_HTTP_HOST=value).http_host == (value or "127.0.0.1")


@pytest.mark.parametrize("value", ["http://0.0.0.0", "127.0.0.1:80", "[::1]", "a b", "a" * 64, "*"])
def test_the_port_listens_on_nothing_else(value: str) -> None:
    with pytest.raises(SettingsError, match="CLAUDE_COST_HTTP_HOST"):
        load(CLAUDE_COST_HTTP_HOST=value)


def test_a_file_in_a_folder_with_a_space_is_a_database(tmp_path: Path) -> None:
    folder = tmp_path / "my team's files"
    folder.mkdir()
    engine = open_database(str(database_address(f"sqlite:///{folder / 'claude cost.db'}")))
    engine.dispose()
    assert (folder / "claude cost.db").is_file()
