"""A misplaced secret: no error quotes any part of it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.__main__ import main
from bot.config.environment import VARIABLES, misspelled
from bot.config.settings import Need, SettingsError, load_settings
from bot.doctor.configuration import read_configuration
from bot.doctor.database import shown_database
from bot.secret_shapes import HOST, looks_secret, quoted

SECRETS = [
    "xoxb-7361920485-AbCdEfGhIjKl",
    "xoxe.xoxp-1-Mi0yLTkyMTQxMDA",
    "xapp-1-A0B1C2D3E4-998877-f0e1d2c3b4",
    "sk-ant-admin01-Zx81kQpl_wErTy",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN",
    "-----BEGIN PRIVATE KEY-----MIIEvQIBADANBgkq",
    "8f742231b10e8888abcd99yyyzzz85a5",
    "postgresql://bot:hunter2hunter2@db.internal/db",
    "bot:hunter2hunter2@db.internal",
    "hunter2hunter2",
    "Tr0ub4dor&3horse",
    "purple orchestra battery",
    base64.b64encode(bytes(range(40))).decode(),
]
PUBLIC = ("postgresql://", "db.internal/db", "internal", "PRIVATE", "BEGIN", "sqlite", "KEY---", "-BEGIN")
"""Parts of these values that are no secrets."""

ODD = st.sampled_from(["@", ":", "/", "#", "?", "%", "[", "]", " ", "&", "=", "\\", '"', "'", "%zz", "@@", "\n", "ß"])
HOSTS = st.sampled_from(["127.0.0.1:1", "db", "[::1]:1", "[::1", "db:99x", "db:99999", "", "db:0", "db:-1", "a b"])

COMPLETE = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "ANTHROPIC_ADMIN_KEY": "key",
    "CLAUDE_COST_CHANNEL": "C1",
    "CLAUDE_COST_HARD_USD": "5",
    "SLACK_API_URL": "http://127.0.0.1:9/api/",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
}


def parts(secret: str) -> set[str]:
    """Every six characters of the secret that stand in no public part of it."""
    pieces = {secret[start : start + 6] for start in range(len(secret) - 5)}
    return {piece for piece in pieces if not any(piece in public for public in PUBLIC)}


def leaked(output: str, secret: str) -> list[str]:
    return sorted(part for part in parts(secret) if part in output)


def said(environ: dict[str, str]) -> Iterator[str]:
    """Messages about these settings, at a start and by the doctor."""
    try:
        load_settings(environ, Need.RUN)
    except SettingsError as error:
        yield str(error)
    read = read_configuration(environ)
    for check in read.checks:
        yield check.text
    if read.settings is not None:
        yield shown_database(read.settings.database_url)


PLACES = [
    *(variable.name for variable in VARIABLES if not variable.secret),
    *(f"{variable.name}_FILE" for variable in VARIABLES if variable.secret),
    "CLAUDE_COST_DATABASE_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("name", PLACES)
def test_a_secret_in_any_variable_is_not_quoted(name: str, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = {**COMPLETE, name: secret}
    if name.endswith("_FILE"):
        environ.pop(name.removesuffix("_FILE"), None)
    for text in [*said(environ), caplog.text]:
        assert leaked(text, secret) == []


FILES = [
    '[[budget]]\nname = "%s"\nhard_usd = "5"',
    '[[budget]]\nname = "a"\nscope = "%s"\nhard_usd = "5"',
    '[[budget]]\nname = "a"\nzone = "%s"\nhard_usd = "5"',
    '[[budget]]\nname = "a"\nperiod = "%s"\nhard_usd = "5"',
    '[[budget]]\nname = "a"\nhard_usd = "%s"',
    '[[destination]]\nurl_file = "%s"',
    '[[destination]]\nurl = "%s"',
    '[[destination]]\nurl = "json://h"\nlevels = ["%s"]',
    '[spike]\nfactor = "%s"',
    '[display]\ncurrency = "%s"',
    '[alerts]\n"%s" = 1',
    '["%s"]\na = 1',
    '[mode."%s"]\nA = "x"',
    '[mode.night]\n"%s" = "x"',
    "[mode.night]\nKEY = %s",
    '[mode.night]\n"%s" = 1\n"%s" = 1',
    "%s",
]


@pytest.mark.parametrize("text", FILES)
def test_a_secret_anywhere_in_the_file_is_not_quoted(text: str, tmp_path: Path) -> None:
    for secret in SECRETS:
        path = tmp_path / "bot.toml"
        path.write_text(text.replace("%s", secret), encoding="utf-8")
        for sentence in said({**COMPLETE, "CLAUDE_COST_CONFIG": str(path)}):
            assert leaked(sentence, secret) == []


@example("/", "127.0.0.1:1")
@example("?", "db")
@given(ODD, HOSTS)
def test_no_part_of_a_password_is_shown_whatever_stands_in_the_address(odd: str, host: str) -> None:
    secret = "5ECRETPART"
    for login in (f"bot:{secret}{odd}{secret}@{host}", f"bot:12{odd}{secret}@{host}", f"{secret}{odd}12@{host}"):
        for tail in ("/db", "", f"/db?password={secret}"):
            for text in said({**COMPLETE, "CLAUDE_COST_DATABASE_URL": f"postgresql://{login}{tail}"}):
                assert leaked(text, secret) == []


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bot:5ECRETPART@5ECRETPART:x@127.0.0.1:1/db",
        "postgresql://bot:ab:5ECRETPART@h@127.0.0.1:1/db",
        "postgresql://bot:12/5ECRETPART@127.0.0.1:1/db",
        "postgresql://bot:12?5ECRETPART@127.0.0.1:1/db",
        "postgresql://bot:5ECRETPART#@127.0.0.1:1/db",
        "postgresql://bot:5ECRETPART%@127.0.0.1:1/db",
        "postgresql://bot:5ECRET PART@127.0.0.1:1/db",
        "postgresql://bot:5ECRETPART@[::1/db",
        "postgresql://bot:5ECRETPART/db",
        "postgresql://bot@127.0.0.1:1/db?password=5ECRETPART&sslmode=5ECRETPART",
        "postgresql://bot@127.0.0.1:1/db?service=5ECRETPART",
        "postgresql://bot@127.0.0.1:1/db?plugin=5ECRETPART",
        "postgresql://bot@127.0.0.1:1/db?5ECRETPART=1",
        "mysql://bot:5ECRETPART@127.0.0.1/db",
        "5ECRETPART",
    ],
)
def test_every_command_answers_a_wrong_database_address_with_one_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {**COMPLETE, "CLAUDE_COST_DATABASE_URL": address}.items():
        monkeypatch.setenv(name, value)
    for words, code in ((["run"], 2), (["run", "--once"], 2), (["doctor", "--json"], 1)):
        assert main(words) == code
        printed = capsys.readouterr()
        assert "5ECRET" not in printed.out + printed.err + caplog.text
        assert "Traceback" not in printed.err
        if code == 2:
            assert printed.out == ""
            assert printed.err.count("\n") == 1
            assert "CLAUDE_COST_DATABASE_URL" in printed.err
        else:
            failed = [check for check in json.loads(printed.out)["checks"] if check["state"] == "fail"]
            assert any("CLAUDE_COST_DATABASE_URL" in check["sentence"] for check in failed)


def test_wrong_words_on_the_command_line_are_refused_without_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([SECRETS[0]], ["run", SECRETS[3]], ["doctor", f"--key={SECRETS[0]}"]):
        with pytest.raises(SystemExit) as raised:
            main(words)
        assert raised.value.code == 2
        printed = capsys.readouterr()
        assert all(leaked(printed.out + printed.err, secret) == [] for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "C0123456789",
        "claude-opus-4-5-20251101",
        "alerts",
        "70000",
        "wrkspc_01ABC",
        "/run/secrets/token",
        "Europe/Berlin",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ],
)
def test_everyday_values_are_no_secrets(text: str) -> None:
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"CLAUDE_COST_HTTP_PORT": "70000"}, "'70000'"),
        ({"CLAUDE_COST_CHANNEL": "#cost-alerts"}, "'#cost-alerts'"),
        ({"CLAUDE_COST_USAGE_API": "both"}, "'both'"),
        ({"SLACK_SIGNING_SECRET_FILE": "/run/secrets/slack-signing"}, "/run/secrets/slack-signing"),
        ({"CLAUDE_COST_CONFIG": "/nowhere/at-all.toml"}, "/nowhere/at-all.toml"),
    ],
)
def test_what_cannot_be_a_secret_is_quoted_so_that_the_mistake_is_seen(changes: dict[str, str], shown: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({**COMPLETE, **changes}, Need.RUN)
    assert shown in str(raised.value)


HEX = "8f742231b10e8888abcd99fffeee85a5"


@pytest.mark.parametrize("groups", [3, 4, 5, 6, 7])
def test_hex_digits_with_colons_are_no_address(groups: int, caplog: pytest.LogCaptureFixture) -> None:
    pasted = ":".join(HEX[4 * index : 4 * index + 4] for index in range(groups))
    for name in ("CLAUDE_COST_HTTP_HOST", "CLAUDE_COST_ALLOW_HTTP"):
        texts = [*said({**COMPLETE, name: pasted, "CLAUDE_COST_HTTP_PORT": "8080"}), caplog.text]
        assert [text for text in texts if pasted in text] == []


@pytest.mark.parametrize(
    "text",
    ["fe80::1%hunter2hunter2", "fe80::1%8f742231b10e", "1234567890123", "999.999.999.999", "::1::2", "a:b:c:d"],
)
def test_what_is_no_address_and_no_name_is_shown_by_its_length(text: str) -> None:
    assert quoted(text, HOST) == f"a text of {len(text)} characters (not shown)"


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "192.168.10.20", "::", "2001:db8::7", "fe80::1", "localhost", "db.internal"]
)
def test_an_address_or_a_name_of_a_host_is_quoted(text: str) -> None:
    assert quoted(text, HOST) == repr(text)


@pytest.mark.parametrize(
    "rest",
    [
        *("8f742231b10e8888abcd99yyyzzz85a5", "xoxb-7361920485-AbCdEfGhIjKl", "sk-ant-admin01-Zx81kQpl_wErTy"),
        *("", "a", "hunter", "HUNTER2", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A_" * 40, "SOFT USD", "SOFT\nUSD", "ÄB", "_A"),
        *("8F742231B10E8888", "SOFT_USD\n", "TOKEN_ABCDEFGHIJKLMNOPQRST"),
    ],
)
def test_the_name_of_an_unknown_variable_that_may_be_a_secret_is_not_printed(
    rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"CLAUDE_COST_{rest}"
    (sentence,) = misspelled({name: "x"})
    assert f"name of {len(name)} characters (not shown)" in sentence
    for text in [*said({**COMPLETE, name: "x"}), caplog.text, sentence]:
        assert name not in text or not rest


@pytest.mark.parametrize(
    "name", ["CLAUDE_COST_ADMIN", "CLAUDE_COST_SOFT_LIMIT_USD", "CLAUDE_COST_SLACK_BOT_TOKEN_FILE"]
)
def test_a_name_that_looks_like_a_setting_is_printed(name: str) -> None:
    (sentence,) = misspelled({name: "x"})
    assert sentence.startswith(f"{name} is not a setting")


VALUES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="abC0123./:@[]?#%_-\\\n\t\r\x0b\x85\u2028~$ =,", max_size=40),
    st.builds(
        lambda a, b: f"{a}{b}",
        st.sampled_from(["http://", "https://", "sqlite:///", "postgresql://", "~"]),
        st.text(max_size=30),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"ANTHROPIC_BASE_URL": "http://[::1"}, "")
@example({"ANTHROPIC_BASE_URL": "http://host:99x"}, "")
@example({"CLAUDE_COST_FALLBACK_FILE": "~nobody-of-that-name/x"}, "")
@example({}, "[" * 5000)
@example({}, "a = 1" + "0" * 5000)
@example({}, '"""\n\n')
@given(
    st.dictionaries(st.sampled_from([v.name for v in VARIABLES] + ["SLACK_BOT_TOKEN_FILE"]), VALUES, max_size=4),
    st.text(alphabet='[]="\nabdegutmo.#1-\r\x00ß{},', max_size=60),
)
def test_whatever_the_settings_are_the_only_error_is_one_line(
    tmp_path: Path, changes: dict[str, str], toml: str
) -> None:
    path = tmp_path / "bot.toml"
    path.write_text(toml, encoding="utf-8", newline="")
    for environ in ({**COMPLETE, **changes}, {**COMPLETE, "CLAUDE_COST_CONFIG": str(path), **changes}):
        try:
            load_settings(environ, Need.RUN)
        except SettingsError as error:
            sentence = str(error)
            assert sentence.isprintable()
            assert len(sentence.splitlines()) == 1
