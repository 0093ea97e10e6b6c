"""Settings: environment and TOML, parsed once into one frozen value. Every mistake is one sentence with its remedy."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import Flag, auto
from os.path import realpath
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from bot.addresses import (
    POSTGRES,
    absolute,
    clickhouse_address,
    database_address,
    http_host,
    is_host,
    is_loopback,
    sqlite_file,
)
from bot.alerts.rules import AlertRules, DetectorRules, Receiver
from bot.amounts import usd_amount
from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.budgets.owners import Team
from bot.config.environment import DEFAULT_HTTP_PORT, VARIABLES, Variable, misspelled
from bot.config.models import chain_ids, rise_in, unknown_models
from bot.config.secret_file import SecretFile
from bot.config.toml import ConfigFile, read_config_file
from bot.db.backup import KEPT_BACKUPS
from bot.db.retention import Retention
from bot.digests.schedule import DigestRule
from bot.display import Display
from bot.fallback.auto import FallbackRules
from bot.language import LANGUAGES, known_languages
from bot.ledger.model import LedgerRules
from bot.notify.languages import Spoken
from bot.pricing.card import load_rate_card
from bot.secret_shapes import CHANNEL, HOST, MODEL, NUMBER, PATH, WORD, looks_secret, masked, one_line, quoted, shown
from bot.usage.model import UsageChoice

log = logging.getLogger(__name__)


class SettingsError(Exception):
    """A wrong or missing setting; the text is one line that names the variable and the remedy, and no secret."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(masked(sentence)))


class Need(Flag):
    """The settings that a command requires."""

    SLACK_BOT = auto()
    SLACK_TRANSPORT = auto()
    ANTHROPIC = auto()
    CHANNEL = auto()
    LIMIT = auto()

    RUN = SLACK_BOT | SLACK_TRANSPORT | ANTHROPIC | CHANNEL | LIMIT
    RUN_ONCE = SLACK_BOT | ANTHROPIC | CHANNEL | LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Paths are absolute; secrets print as asterisks or not at all."""

    slack_bot_token: SecretStr | None
    slack_app_token: SecretStr | None
    slack_signing_secret: SecretStr | None
    slack_api_url: str
    anthropic_admin_key: SecretStr | None
    anthropic_api_key: SecretStr | None
    anthropic_base_url: str
    allow_http: frozenset[str] = frozenset()
    channel: str
    budgets: tuple[Budget, ...]
    teams: tuple[Team, ...] = ()
    destinations: tuple[Receiver, ...]
    digests: tuple[DigestRule, ...] = ()
    poll_seconds: int
    usage_api: UsageChoice
    database_url: str = field(repr=False)
    ledger_url: str = field(default="", repr=False)
    """Address of ClickHouse; empty: logged usage is stored in the bot's own database."""
    fallback_chain: tuple[str, ...]
    fallback_file: Path
    modes: Mapping[str, Mapping[str, str]]
    admins: frozenset[str]
    http_host: str
    http_port: int | None
    read_token: SecretStr | None
    alert_rules: AlertRules
    detector_rules: DetectorRules
    fallback_rules: FallbackRules
    display: Display
    spoken: Spoken = field(default_factory=Spoken)
    ledger_rules: LedgerRules = field(default_factory=LedgerRules)
    backup_folder: Path | None = None
    backups_kept: int = KEPT_BACKUPS
    retention: Retention = field(default_factory=Retention)
    hides_users: bool = True
    """Whether only admins see what single users spend."""
    ingest_tokens: Mapping[str, SecretStr] = field(default_factory=dict)
    """Tokens by name of the sender."""
    traces: bool = False
    """Whether traces are sent."""
    env_file: Path | None = None
    """The file of settings that was read (`bot.config.env_file`)."""

    def secrets(self) -> list[SecretStr]:
        """Every secret among the values, those of senders included."""
        own = (getattr(self, each.name) for each in fields(self))
        return [*(value for value in own if isinstance(value, SecretStr)), *self.ingest_tokens.values()]


def load_settings(environ: Mapping[str, str], need: Need) -> Settings:
    """Settings from `environ` and the TOML file it names. Raises `SettingsError` for the first mistake."""
    values = _values(environ)
    _require(values, need)
    config = _config_file(values["CLAUDE_COST_CONFIG"])
    over_http = _allowed_over_http(values["CLAUDE_COST_ALLOW_HTTP"])
    budgets = _budgets(values, config)
    if Need.LIMIT in need and not budgets:
        raise SettingsError(
            "CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD are both missing: set at least one monthly limit in USD, "
            "or a [[budget]] in the file that CLAUDE_COST_CONFIG names."
        )
    poll_seconds = _integer(values, "CLAUDE_COST_POLL_SECONDS", 1, 3600)
    settings = Settings(
        slack_bot_token=_token(values, "SLACK_BOT_TOKEN", "xoxb-"),
        slack_app_token=_token(values, "SLACK_APP_TOKEN", "xapp-"),
        slack_signing_secret=_secret(values["SLACK_SIGNING_SECRET"]),
        slack_api_url=_url(values, "SLACK_API_URL", over_http).rstrip("/") + "/",
        anthropic_admin_key=_secret(values["ANTHROPIC_ADMIN_KEY"]),
        anthropic_api_key=_secret(values["ANTHROPIC_API_KEY"]),
        anthropic_base_url=_url(values, "ANTHROPIC_BASE_URL", over_http).rstrip("/"),
        allow_http=over_http,
        channel=_channel(values["CLAUDE_COST_CHANNEL"]),
        budgets=budgets,
        teams=config.teams,
        destinations=config.destinations,
        digests=config.digests,
        poll_seconds=poll_seconds,
        usage_api=_usage_api(values["CLAUDE_COST_USAGE_API"]),
        database_url=_database_url(values["CLAUDE_COST_DATABASE_URL"]),
        ledger_url=_ledger_url(values, config, over_http),
        fallback_chain=_chain(values["CLAUDE_COST_FALLBACK_CHAIN"]),
        fallback_file=_path(values, "CLAUDE_COST_FALLBACK_FILE"),
        modes=config.mode,
        admins=_admins(values["CLAUDE_COST_ADMINS"]),
        http_host=_http_host(values["CLAUDE_COST_HTTP_HOST"]),
        http_port=_http_port(values),
        read_token=_read_token(values, need),
        alert_rules=config.alert_rules,
        detector_rules=DetectorRules(config.detector_tables, poll_seconds),
        fallback_rules=config.fallback_rules,
        display=config.display,
        spoken=Spoken(_language(values["CLAUDE_COST_LANGUAGE"]), config.languages),
        ledger_rules=replace(config.ledger_rules, hide_users=config.hides_users),
        backup_folder=_path_or_none(values, "CLAUDE_COST_BACKUP_FOLDER"),
        backups_kept=config.backups_kept,
        retention=config.retention,
        hides_users=config.hides_users,
        ingest_tokens=_ingest_tokens(values, config),
        traces=_one_of(values, "CLAUDE_COST_TRACES", TRACES) == "otlp",
        env_file=_path(values, "CLAUDE_COST_ENV_FILE") if environ.get("CLAUDE_COST_ENV_FILE", "").strip() else None,
    )
    log_settings(environ)
    _warn_of_questionable(settings)
    return _following_files(settings, environ)


LOG_FORMATS, LOG_LEVELS, TRACES = ("text", "json"), ("info", "warning", "error"), ("off", "otlp")


class LogSettings(NamedTuple):
    """`is_json`: each line of the log is a JSON object. `level`: of `logging`."""

    is_json: bool
    level: int


def log_settings(environ: Mapping[str, str]) -> LogSettings:
    """Settings of the log, which are needed before all others. Raises `SettingsError`."""
    values = {each.name: _value(environ, each) for each in VARIABLES if each.name.startswith("CLAUDE_COST_LOG_")}
    level = _one_of(values, "CLAUDE_COST_LOG_LEVEL", LOG_LEVELS)
    return LogSettings(
        _one_of(values, "CLAUDE_COST_LOG_FORMAT", LOG_FORMATS) == "json",
        logging.getLevelNamesMapping()[level.upper()],
    )


FOLLOWED = {
    "SLACK_BOT_TOKEN": "xoxb-",
    "SLACK_APP_TOKEN": "xapp-",
    "SLACK_SIGNING_SECRET": "",
    "ANTHROPIC_ADMIN_KEY": "",
    "ANTHROPIC_API_KEY": "",
    "CLAUDE_COST_READ_TOKEN": "",
    "CLAUDE_COST_INGEST_TOKEN": "",
}
"""Secrets whose files are read again while the bot runs, and how they begin."""


def _following_files(settings: Settings, environ: Mapping[str, str]) -> Settings:
    changes: dict[str, Any] = {}
    for name, prefix in FOLLOWED.items():
        file = environ.get(f"{name}_FILE", "").strip()
        of_senders = name == "CLAUDE_COST_INGEST_TOKEN"
        key = name.removeprefix("CLAUDE_COST_").lower()
        value = settings.ingest_tokens.get("default") if of_senders else getattr(settings, key)
        if not file or value is None:
            continue
        followed = SecretFile(value.get_secret_value(), f"{name}_FILE", Path(file), prefix)
        changes |= {"ingest_tokens": {**settings.ingest_tokens, "default": followed}} if of_senders else {key: followed}
    return replace(settings, **changes)


def _warn_of_questionable(settings: Settings) -> None:
    for sentence in questionable(settings):
        log.warning("%s", masked(sentence))


def _values(environ: Mapping[str, str]) -> Mapping[str, str]:
    for sentence in misspelled(environ):
        log.warning("%s", sentence)
    return {variable.name: _value(environ, variable) for variable in VARIABLES}


def _value(environ: Mapping[str, str], variable: Variable) -> str:
    value = environ.get(variable.name, "").strip()
    if not variable.secret:
        return value or variable.default
    file_name = environ.get(f"{variable.name}_FILE", "").strip()
    if value and file_name:
        raise SettingsError(f"{variable.name} and {variable.name}_FILE are both set: keep one of them.")
    if not file_name:
        return value or variable.default
    try:
        return Path(file_name).read_text(encoding="utf-8").strip() or variable.default
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            f"{variable.name}_FILE names {_shown_path(file_name)}, which cannot be read ({reason}): "
            "correct the path or its rights."
        ) from None


def _shown_path(text: str) -> str:
    return "what looks like a secret, not like a path" if looks_secret(text) else shown(text, PATH)


def _path(values: Mapping[str, str], name: str) -> Path:
    if looks_secret(values[name]):
        raise SettingsError(f"{name} holds what looks like a secret: it must be the path of a file.")
    try:
        return absolute(values[name])
    except ValueError as error:
        raise SettingsError(f"{name} cannot be used: {error}.") from None


def _path_or_none(values: Mapping[str, str], name: str) -> Path | None:
    return _path(values, name) if values[name] else None


def _require(values: Mapping[str, str], need: Need) -> None:
    if Need.SLACK_BOT in need and not values["SLACK_BOT_TOKEN"]:
        raise SettingsError(
            "SLACK_BOT_TOKEN is missing: copy the Bot User OAuth Token (xoxb-…) from your Slack app's "
            "OAuth & Permissions page."
        )
    if Need.SLACK_TRANSPORT in need and not (values["SLACK_APP_TOKEN"] or values["SLACK_SIGNING_SECRET"]):
        raise SettingsError(
            "SLACK_APP_TOKEN is missing: create an app-level token (xapp-…) with the scope connections:write for "
            "Socket Mode, or set SLACK_SIGNING_SECRET for HTTP mode."
        )
    if Need.ANTHROPIC in need and not values["ANTHROPIC_ADMIN_KEY"]:
        raise SettingsError(
            "ANTHROPIC_ADMIN_KEY is missing: create an Admin key, or a key with the scope read:analytics, "
            "in Anthropic's Console."
        )
    if Need.CHANNEL in need and not values["CLAUDE_COST_CHANNEL"]:
        raise SettingsError(
            "CLAUDE_COST_CHANNEL is missing: set it to the id of the alert channel, such as C0123456789."
        )


def questionable(settings: Settings) -> list[str]:
    """A sentence for each value that is usable but looks like a mistake."""
    sentences = [
        f"CLAUDE_COST_FALLBACK_CHAIN names {clause}"
        for clause in unknown_models(settings.fallback_chain, load_rate_card())
    ]
    # `Path.resolve` raises for a loop of links.
    if settings.env_file is not None and realpath(settings.env_file) == realpath(settings.fallback_file):
        sentences.append(
            "CLAUDE_COST_FALLBACK_FILE is the file from which the bot reads its settings, so that services would read "
            "the bot's secrets: name another one."
        )
    others, approvals = len(settings.admins) - 1, settings.fallback_rules.approvals
    # How many members a user group has, only Slack knows.
    if 0 <= others < approvals and not any(admin.startswith("S") for admin in settings.admins):
        sentences.append(
            f"[fallback] approvals is {approvals}, and CLAUDE_COST_ADMINS names {others} beside the one who asks, so "
            "no change could ever be approved: lower one or add to the other."
        )
    return sentences


def _config_file(path: str) -> ConfigFile:
    if not path:
        return ConfigFile()
    if looks_secret(path):
        raise SettingsError("CLAUDE_COST_CONFIG holds what looks like a secret: it must be the path of a TOML file.")
    try:
        file = absolute(path)
        if PATH.fullmatch(path) is None and not file.exists():
            raise ValueError(f"{shown(path, PATH)} is not a file: correct the path.")
        return read_config_file(file)
    except OSError as error:
        raise SettingsError(
            f"CLAUDE_COST_CONFIG: {shown(path, PATH)} cannot be read ({error.strerror}): correct the path."
        ) from None
    except ValueError as error:
        raise SettingsError(f"CLAUDE_COST_CONFIG: {error}") from None


def _budgets(values: Mapping[str, str], config: ConfigFile) -> tuple[Budget, ...]:
    soft = _usd(values, "CLAUDE_COST_SOFT_USD")
    hard = _usd(values, "CLAUDE_COST_HARD_USD")
    budgets = list(config.budgets)
    if soft is not None and hard is not None and soft >= hard:
        raise SettingsError(
            f"CLAUDE_COST_SOFT_USD ({soft:f}) must be below CLAUDE_COST_HARD_USD ({hard:f}): "
            "lower one or raise the other."
        )
    if soft is not None or hard is not None:
        if any(budget.name == "default" for budget in budgets):
            raise SettingsError(
                "CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD make the budget named default, and the file of "
                "CLAUDE_COST_CONFIG has one of that name too: rename it there."
            )
        origin = "CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD"
        budgets.insert(0, Budget("default", ORGANIZATION, PeriodKind.MONTH, ZoneInfo("UTC"), soft, hard, origin))
    return tuple(budgets)


def _usd(values: Mapping[str, str], name: str) -> Decimal | None:
    text = values[name]
    if not text:
        return None
    try:
        return usd_amount(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {quoted(text, NUMBER)}: {error}.") from None


def _secret(value: str) -> SecretStr | None:
    return SecretStr(value) if value else None


def _token(values: Mapping[str, str], name: str, prefix: str) -> SecretStr | None:
    value = values[name]
    if value and not value.startswith(prefix):
        raise SettingsError(f"{name} does not begin with {prefix}: copy the right token from your Slack app's pages.")
    if not re.fullmatch(r"[!-~]*", value):
        raise SettingsError(f"{name} has a space or another character that no token has: copy it again.")
    return _secret(value)


def _url(values: Mapping[str, str], name: str, over_http: frozenset[str]) -> str:
    try:
        host = http_host(values[name])
    except ValueError as error:
        raise SettingsError(
            f"{name} is not a usable address: {error}. Write it as in https://api.example.com/path."
        ) from None
    if values[name].lower().startswith("http:") and not is_loopback(host) and host not in over_http:
        raise SettingsError(
            f"{name} begins with http://, so that the network between here and there could read the credentials: "
            "use https://, or add the host to CLAUDE_COST_ALLOW_HTTP if that network is your own."
        )
    return values[name]


def _allowed_over_http(value: str) -> frozenset[str]:
    hosts = [word for word in re.split(r"[\s,]+", value) if word]
    for host in hosts:
        if looks_secret(host) or not is_host(host.strip("[]")):
            raise SettingsError(
                f"CLAUDE_COST_ALLOW_HTTP has {quoted(host, HOST)}: use names of hosts, without http:// and port, with "
                "commas between."
            )
    return frozenset(host.strip("[]").lower().rstrip(".") for host in hosts)


def _http_host(value: str) -> str:
    if looks_secret(value) or not is_host(value):
        raise SettingsError(
            f"CLAUDE_COST_HTTP_HOST is {quoted(value, HOST)}: it must be an IP address of this machine or a name of "
            "it, such as 127.0.0.1 or 0.0.0.0."
        )
    return value


def _channel(value: str) -> str:
    if value and (looks_secret(value) or not re.fullmatch(r"[A-Z][A-Za-z0-9_-]{0,80}", value)):
        raise SettingsError(
            f"CLAUDE_COST_CHANNEL is {quoted(value, CHANNEL)}: it must be a channel id such as C0123456789, not a name "
            "(in Slack: open the channel, its name, About, Channel ID)."
        )
    return value


def _integer(values: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = values[name]
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise SettingsError(f"{name} is {quoted(text, NUMBER)}: it must be a whole number from {least} to {most}.")
    return int(text)


def _one_of(values: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of these words, ignoring case."""
    word = values[name].lower()
    if word not in choices:
        known = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise SettingsError(f"{name} is {quoted(values[name], WORD)}: it must be {known}.")
    return word


def _usage_api(value: str) -> UsageChoice:
    choices: dict[str, UsageChoice] = {"auto": "auto", "analytics": "analytics", "admin": "admin"}
    if value not in choices:
        raise SettingsError(f"CLAUDE_COST_USAGE_API is {quoted(value, WORD)}: it must be auto, analytics or admin.")
    return choices[value]


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise SettingsError(f"CLAUDE_COST_LANGUAGE is {quoted(value, WORD)}: it must be {known_languages()}.")
    return value


def _database_url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    try:
        if scheme in POSTGRES and separator:
            address = f"postgresql+psycopg://{rest}"
        elif scheme == "sqlite" and separator:
            address = f"sqlite:///{sqlite_file(value)}"
        else:
            raise ValueError("it begins with neither sqlite:/// nor postgresql://")
        database_address(address)
    except ValueError as error:
        # Do not quote the address: the malformed part may be the password.
        raise SettingsError(
            f"CLAUDE_COST_DATABASE_URL cannot be used ({error}): it must be sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME, with special characters of the password as in %40 for @, %2F for / "
            "and %3A for :. A database in memory is refused: alerts would repeat after a restart."
        ) from None
    return address


def _ledger_url(values: Mapping[str, str], config: ConfigFile, over_http: frozenset[str]) -> str:
    value, written = values["CLAUDE_COST_LEDGER_URL"], config.ledger_url
    if value and written is not None:
        raise SettingsError(
            "CLAUDE_COST_LEDGER_URL is set, and the file of CLAUDE_COST_CONFIG has [ledger] url too: keep one of them."
        )
    name = "CLAUDE_COST_LEDGER_URL" if written is None else "CLAUDE_COST_CONFIG: [ledger] url"
    value = value if written is None else written.get_secret_value()
    if not value:
        return ""
    try:
        address = clickhouse_address(value)
    except ValueError as error:
        # Do not quote the address: the malformed part may be the password.
        raise SettingsError(
            f"{name} cannot be used ({error}): it must be https://USER:PASSWORD@HOST:PORT/DATABASE or "
            "clickhouse://USER:PASSWORD@HOST/DATABASE, the address of ClickHouse's HTTP interface, with special "
            "characters of the password as in %40 for @, %2F for / and %3A for :."
        ) from None
    if not address.is_secure and not is_loopback(address.host) and address.host not in over_http:
        raise SettingsError(
            f"{name} is plain HTTP, so that the network between here and there could read the password and the ids of "
            "users: use https://, or add the host to CLAUDE_COST_ALLOW_HTTP if that network is your own."
        )
    return value


def _chain(value: str) -> tuple[str, ...]:
    try:
        chain = chain_ids(value, load_rate_card())
    except ValueError as error:
        raise SettingsError(f"CLAUDE_COST_FALLBACK_CHAIN: {error}") from None
    if len(chain) < 2 or len(set(chain)) < len(chain):
        raise SettingsError(
            f"CLAUDE_COST_FALLBACK_CHAIN is {', '.join(quoted(model, MODEL) for model in chain) or 'empty'}: it must "
            "name at least two different models, the most expensive first, with commas between them."
        )
    if any(looks_secret(model) or not model.isprintable() for model in chain):
        raise SettingsError(
            "CLAUDE_COST_FALLBACK_CHAIN has what looks like a secret, or a control character: it must name models, "
            "with commas between them."
        )
    risen = rise_in(chain, load_rate_card())
    if risen is not None:
        raise SettingsError(f"CLAUDE_COST_FALLBACK_CHAIN must fall in price: {risen}.")
    return chain


def _admins(value: str) -> frozenset[str]:
    ids = [word for word in re.split(r"[\s,]+", value) if word]
    for word in ids:
        if looks_secret(word) or not re.fullmatch(r"[UWS][A-Z0-9_-]*", word):
            raise SettingsError(
                f"CLAUDE_COST_ADMINS has {quoted(word, CHANNEL)}: use Slack user ids (U…) or user-group ids (S…), with "
                "commas between."
            )
    return frozenset(ids)


def _http_port(values: Mapping[str, str]) -> int | None:
    if values["CLAUDE_COST_HTTP_PORT"]:
        return _integer(values, "CLAUDE_COST_HTTP_PORT", 0, 65535)
    return None if values["SLACK_APP_TOKEN"] else DEFAULT_HTTP_PORT


def _read_token(values: Mapping[str, str], need: Need) -> SecretStr | None:
    token, host = _bearer(values, "CLAUDE_COST_READ_TOKEN"), values["CLAUDE_COST_HTTP_HOST"]
    # The port opens only in HTTP mode, or when it is set.
    opens = Need.SLACK_TRANSPORT in need and _http_port(values) is not None
    if opens and not token and not is_loopback(host):
        raise SettingsError(
            f"CLAUDE_COST_READ_TOKEN is missing, and CLAUDE_COST_HTTP_HOST is {shown(host, HOST)}, where other "
            "machines could read the fallback mode: set a token, such as the output of openssl rand -hex 32, or "
            "CLAUDE_COST_HTTP_HOST=127.0.0.1."
        )
    return _secret(token)


def _ingest_tokens(values: Mapping[str, str], config: ConfigFile) -> Mapping[str, SecretStr]:
    token = _secret(_bearer(values, "CLAUDE_COST_INGEST_TOKEN"))
    if token is None:
        return config.ingest_tokens
    if "default" in config.ingest_tokens:
        raise SettingsError(
            "CLAUDE_COST_INGEST_TOKEN makes the sender named default, and the file of CLAUDE_COST_CONFIG has an "
            "[[ingest]] of that name too: rename it there."
        )
    return {"default": token, **config.ingest_tokens}


def _bearer(values: Mapping[str, str], name: str) -> str:
    token = values[name]
    if token and not re.fullmatch(r"[!-~]+", token):
        raise SettingsError(
            f"{name} has a character that no HTTP header can carry: use letters, digits and punctuation without "
            "spaces, such as the output of openssl rand -hex 32."
        )
    return token
