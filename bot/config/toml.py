"""The TOML file: more budgets, further destinations, the variables of modes, and rules of detectors."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, create_model, field_validator, model_validator

from bot.addresses import absolute
from bot.alerts.incident import AlertKind
from bot.alerts.rules import AlertRules, Receiver, rules_type
from bot.budgets.budget import LIMITS, Budget, ScopeKind
from bot.budgets.owners import Team, Teams, WrittenTeam, team_name
from bot.budgets.parsing import WrittenBudget
from bot.config.secret_file import SecretFile
from bot.config.tables import (
    INGEST_TOKEN,
    AlertsTable,
    BackupTable,
    DestinationTable,
    DigestTable,
    DisplayTable,
    FallbackTable,
    IngestTable,
    LedgerTable,
    PrivacyTable,
    RetentionTable,
)
from bot.db.backup import KEPT_BACKUPS
from bot.db.retention import Retention
from bot.digests.schedule import DigestRule
from bot.display import USD, Display
from bot.fallback.auto import FallbackRules
from bot.ledger.model import LedgerRules
from bot.mode import NORMAL
from bot.secret_shapes import PATH, WORD, looks_secret, quoted, shown
from bot.strict_fields import Table, first_mistake, first_secret


class FileTables(Table):
    """The TOML file as written, without the tables of detectors."""

    budget: tuple[WrittenBudget, ...] = ()
    team: tuple[WrittenTeam, ...] = ()
    destination: tuple[DestinationTable, ...] = ()
    digest: tuple[DigestTable, ...] = ()
    alerts: AlertsTable = AlertsTable()
    display: DisplayTable = DisplayTable()
    fallback: FallbackTable = FallbackTable()
    backup: BackupTable = BackupTable()
    ledger: LedgerTable = LedgerTable()
    privacy: PrivacyTable = PrivacyTable()
    retention: RetentionTable = RetentionTable()
    ingest: tuple[IngestTable, ...] = ()
    mode: dict[str, dict[str, str]] = Field(default_factory=dict)

    @field_validator("mode")
    @classmethod
    def _shell_safe(cls, modes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for name, variables in modes.items():
            if name == NORMAL:
                raise ValueError("normal has no variables: services use their own default there")
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", name):
                raise ValueError(f"{quoted(name, WORD)} is not a mode name; use small letters, digits, - and _")
            for variable, value in variables.items():
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
                    raise ValueError(f"{quoted(variable, WORD)} is not a name of an environment variable")
                if not value.isprintable():
                    raise ValueError(f"the value of {variable} has a line break or a control character")
        return modes

    @model_validator(mode="after")
    def _somebody_is_notified(self) -> "FileTables":
        for level in LIMITS:
            notified = [self.alerts.channel_levels, *(destination.levels for destination in self.destination)]
            if not any(level in levels for levels in notified):
                raise ValueError(
                    f'nobody would be notified of a {level} limit: add "{level}" to channel_levels of [alerts], or to '
                    "levels of a [[destination]]"
                )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """Content of the file as the product's own values; without a file, the defaults."""

    budgets: tuple[Budget, ...] = ()
    teams: tuple[Team, ...] = ()
    destinations: tuple[Receiver, ...] = ()
    digests: tuple[DigestRule, ...] = ()
    mode: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    alert_rules: AlertRules = field(default_factory=AlertRules)
    detector_tables: tuple[Table, ...] = ()
    fallback_rules: FallbackRules = field(default_factory=FallbackRules)
    display: Display = USD
    languages: Mapping[str, str] = field(default_factory=dict)
    backups_kept: int = KEPT_BACKUPS
    retention: Retention = field(default_factory=Retention)
    ledger_rules: LedgerRules = field(default_factory=LedgerRules)
    hides_users: bool = True
    ledger_url: SecretStr | None = None
    ingest_tokens: Mapping[str, SecretStr] = field(default_factory=dict)


def read_config_file(path: Path) -> ConfigFile:
    """Parse the file. Raises ValueError with one sentence that names the place and the remedy."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        secret = first_secret(raw)
        if secret is not None:
            raise ValueError(f"{path}: {secret}: this looks like a secret, which does not belong there.")
        rules = _detector_rules(raw)
        file = _with(rules).model_validate(raw)
    except OSError as error:
        raise ValueError(
            f"{shown(str(path), PATH)} cannot be read ({error.strerror}): correct the path or its rights."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {_why_no_toml(error)}.") from None
    except ValidationError as error:
        place, clause = first_mistake(error)
        raise ValueError(f"{path}: {place or 'the file'}: {clause}.") from None
    _refuse_doubled(path, "budgets", [table.name for table in file.budget])
    _refuse_doubled(path, "teams", [table.name.casefold() for table in file.team])
    teams = tuple(table.team() for table in file.team)
    budgets = tuple(table.budget(str(path)) for table in file.budget)
    _refuse_unknown_teams(path, budgets, Teams(teams))
    destinations = tuple(_receiver(table, number, path) for number, table in enumerate(file.destination))
    _refuse_doubled(path, "destinations", [receiver.name for receiver in destinations])
    _refuse_doubled(path, "senders ([[ingest]])", [table.name for table in file.ingest])
    digests = tuple(table.rule() for table in file.digest)
    if len({rule.key for rule in digests}) < len(digests):
        raise ValueError(f"{path}: two [[digest]] go to one channel, as often and about the same: keep one of them.")
    return ConfigFile(
        budgets=budgets,
        teams=teams,
        destinations=destinations,
        digests=digests,
        mode=file.mode,
        alert_rules=file.alerts.rules(),
        detector_tables=tuple(getattr(file, name) for name in rules),
        fallback_rules=file.fallback.rules(),
        display=file.display.display(),
        languages=file.display.languages,
        backups_kept=file.backup.keep,
        retention=file.retention.rules(),
        ledger_rules=file.ledger.rules(),
        hides_users=file.privacy.hides_users,
        ledger_url=_ledger_url(file.ledger, path),
        ingest_tokens={table.name: _ingest_token(table, number, path) for number, table in enumerate(file.ingest)},
    )


def _detector_rules(raw: Mapping[str, object]) -> Mapping[str, type[Table]]:
    """Rules of detectors by table of the file. Only those detectors are imported."""
    found = {kind.module: rules_type(kind) for kind in AlertKind if kind.module in raw}
    return {name: rules for name, rules in found.items() if rules is not None}


def _with(rules: Mapping[str, type[Table]]) -> type[FileTables]:
    """The model of the file with these tables of detectors."""
    if not rules:
        return FileTables
    tables: dict[str, Any] = {name: (table, ...) for name, table in rules.items()}
    made: type[FileTables] = create_model("FileTablesWithRules", __base__=FileTables, **tables)
    return made


def _why_no_toml(error: Exception) -> str:
    """Place and reason. The text is not quoted: a line that is not TOML is often an unquoted secret."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    if isinstance(error, RecursionError):
        return "it has too many brackets in each other"
    return re.sub(r"\('.*'\)|'[^']{2,}'|'.*'", "…", str(error))


def _refuse_doubled(path: Path, kind: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}: two {kind} are named {name}: give one of them another name.")


def _refuse_unknown_teams(path: Path, budgets: Sequence[Budget], teams: Teams) -> None:
    for number, budget in enumerate(budgets):
        name = team_name(budget)
        unknown = None if name is None else teams.unknown(name)
        if unknown is not None:
            key = "scope" if budget.scope.kind is ScopeKind.TEAM else "team"
            raise ValueError(f"{path}: budget.{number}.{key}: {unknown}")


def _receiver(table: DestinationTable, number: int, path: Path) -> Receiver:
    # Import lazily: Apprise and its services take most of a second.
    from bot.notify.apprise import default_name, service_of

    url = _address(table, f"{path}: destination.{number}.url_file")
    try:
        service = service_of(url)
    except ValueError as error:
        raise ValueError(f"{path}: destination.{number}: {error}") from None
    return Receiver(table.name or default_name(service), SecretStr(url), table.levels)


def _address(table: DestinationTable, place: str) -> str:
    return _secret_of(table.url, table.url_file, place)


def _ingest_token(table: IngestTable, number: int, path: Path) -> SecretStr:
    token = _secret_of(table.token, table.token_file, f"{path}: ingest.{number}.token_file")
    if not INGEST_TOKEN.fullmatch(token):
        raise ValueError(
            f"{path}: ingest.{number}: the token is empty or has a character that no HTTP header can carry: use "
            "letters, digits and punctuation without spaces, such as the output of openssl rand -hex 32."
        )
    if table.token_file is not None:
        return SecretFile(token, f"{path}: ingest.{number}.token_file", absolute(table.token_file))
    return SecretStr(token)


def _ledger_url(table: LedgerTable, path: Path) -> SecretStr | None:
    if table.url is None and table.url_file is None:
        return None
    return SecretStr(_secret_of(table.url, table.url_file, f"{path}: ledger.url_file"))


def _secret_of(value: SecretStr | None, file: str | None, place: str) -> str:
    """The value written here, or the content of the file. `place`: of the file's name."""
    if value is not None:
        return value.get_secret_value().strip()
    written = file or ""
    try:
        return absolute(written).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        named = "what looks like a secret, not like a path" if looks_secret(written) else shown(written, PATH)
        raise ValueError(
            f"{place} names {named}, which cannot be read ({reason}): correct the path or its rights."
        ) from None
