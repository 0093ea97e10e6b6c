"""Checks of the settings: a sentence for every mistake, not only the first one."""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields

from pydantic import SecretStr

from bot.config.env_file import load_env_file
from bot.config.environment import VARIABLES, misspelled
from bot.config.settings import Need, Settings, SettingsError, load_settings, questionable
from bot.doctor.check import Check, State
from bot.fallback.targets.env_text import not_read_by
from bot.secret_shapes import HOST, shown

_NAME = re.compile(r"\b(" + "|".join(sorted((v.name for v in VARIABLES), key=len, reverse=True)) + r")(?:_FILE)?\b")

NEEDED = Need.RUN
MISSED_BY_SOME = Need.SLACK_TRANSPORT
"""Not needed by `run --once`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """`settings` has the defaults for the variables in `wrong`; None if no settings can be made even so."""

    settings: Settings | None
    wrong: frozenset[str]
    checks: tuple[Check, ...]


def read_configuration(environ: Mapping[str, str]) -> Configuration:
    """Every mistake in `environ` and the TOML file that it names."""
    usable = dict(environ)
    wrong: set[str] = set()
    checks: list[Check] = []
    settings = None
    while settings is None:
        try:
            settings = load_settings(usable, Need(0))
        except SettingsError as error:
            checks.append(Check("settings", State.FAIL, str(error)))
            named = set(_NAME.findall(str(error)))
            kept = {name: text for name, text in usable.items() if not {name, name.removesuffix("_FILE")} & named}
            if len(kept) == len(usable):
                return Configuration(None, frozenset(wrong), tuple(checks))
            usable = kept
            wrong |= named
    for need in NEEDED:
        try:
            load_settings(usable, need)
        except SettingsError as error:
            if not wrong & set(_NAME.findall(str(error))):
                state = State.WARN if need in MISSED_BY_SOME else State.FAIL
                checks.append(Check("settings", state, str(error)))
    checks += [
        Check("settings", State.WARN, text)
        for text in [*misspelled(environ), *questionable(settings), *open_doors(settings), *unportable(settings)]
    ]
    if not checks:
        checks = [Check("settings", State.OK, "Every setting can be read, and none is missing.")]
    return Configuration(settings, frozenset(wrong), tuple(checks))


def read_env_file(environ: MutableMapping[str, str]) -> list[Check]:
    """Add the values of the file of settings to `environ`; a finding for each mistake in it."""
    try:
        file = load_env_file(environ)
    except SettingsError as error:
        return [Check("settings", State.FAIL, str(error))]
    return [] if file is None else [Check("settings", State.WARN, text) for text in file.doubts]


def open_doors(settings: Settings) -> list[str]:
    """A sentence for each protection that a setting switches off."""
    if not settings.allow_http:
        return []
    listed = ", ".join(shown(host, HOST) for host in sorted(settings.allow_http))
    used = any(url.lower().startswith("http:") for url in (settings.slack_api_url, settings.anthropic_base_url))
    more = "" if used else ", and no address begins with http://: remove it"
    return [
        f"CLAUDE_COST_ALLOW_HTTP lets the credentials go unencrypted to {listed}, where anyone in between can "
        f"read them{more}"
    ]


def unportable(settings: Settings) -> list[str]:
    """A sentence for each variable of a mode that some readers of the env file would change."""
    return [
        f"{variable} of the mode {mode} must be quoted in the env file for shells; as it is, it is not read by "
        f"{' and '.join(readers)}"
        for mode, variables in settings.modes.items()
        for variable, value in variables.items()
        if (readers := not_read_by(value))
    ]


def secrets_in(environ: Mapping[str, str], settings: Settings | None) -> list[str]:
    """Values that no output may show, including those in files; of URLs only the passwords."""
    found = [environ.get(variable.name, "").strip() for variable in VARIABLES if variable.secret]
    found = [password for value in found for password in (_passwords(value) if "://" in value else [value])]
    return [*found, *(secrets_of(settings) if settings is not None else [])]


def secrets_of(settings: Settings) -> list[str]:
    """The secrets among the settings, including those in URLs."""
    values = [getattr(settings, field.name) for field in fields(settings)]
    values += [destination.url for destination in settings.destinations]
    kept = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    return [*kept, *(password for value in values if isinstance(value, str) for password in _passwords(value))]


def _passwords(address: str) -> list[str]:
    logins = re.findall(r"://([^/?#]*)@", address)
    options = re.findall(r"[?&]\w*(?:password|secret)\w*=([^&#]+)", address, re.IGNORECASE)
    return [*(login.partition(":")[2] for login in logins), *options]
