"""The TOML file: more budgets, further destinations, and the variables of modes."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from bot.alerts.addressee import ALL_BUT_ROUTINE, Addressee
from bot.budgets.budget import ORGANIZATION, Budget, Level, Scope, parse_scope
from bot.budgets.period import PeriodKind
from bot.fallback.modes import NORMAL
from bot.setting_values import usd_amount


def _usd(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('write the amount as a string, such as "99.50"')
    return usd_amount(str(value))


Usd = Annotated[Decimal, BeforeValidator(_usd)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class BudgetTable(_Table):
    """One `[[budget]]`."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[\w.-]+$")
    scope: Annotated[Scope, BeforeValidator(lambda value: parse_scope(str(value)))] = ORGANIZATION
    period: PeriodKind = PeriodKind.MONTH
    zone: str = "UTC"
    soft_usd: Usd | None = None
    hard_usd: Usd | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no IANA time zone; write it as in Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _limits(self) -> "BudgetTable":
        if self.soft_usd is None and self.hard_usd is None:
            raise ValueError("set soft_usd, hard_usd or both")
        if self.soft_usd is not None and self.hard_usd is not None and self.soft_usd >= self.hard_usd:
            raise ValueError("soft_usd must be below hard_usd")
        return self


class FallbackTable(_Table):
    """`[fallback]`. Stepping down by itself and second approvals are not offered by this version."""

    auto: bool = False
    approvals: int = 0

    @model_validator(mode="after")
    def _offered(self) -> "FallbackTable":
        if self.auto or self.approvals:
            raise ValueError("this version switches only when an admin says so: remove auto and approvals")
        return self


class DestinationTable(_Table):
    """One `[[destination]]`. The address may hold a secret, so it may also come from a file."""

    url: SecretStr | None = None
    url_file: str | None = None
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = tuple(ALL_BUT_ROUTINE)
    name: str | None = Field(default=None, min_length=1, max_length=60)

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not (value.isprintable() and value.strip()):
            raise ValueError("a name is shown to people; use letters they can read")
        return value

    @model_validator(mode="after")
    def _one_address(self) -> "DestinationTable":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file, one of them")
        return self


class _File(_Table):
    budget: tuple[BudgetTable, ...] = ()
    destination: tuple[DestinationTable, ...] = ()
    fallback: FallbackTable = FallbackTable()
    mode: dict[str, dict[str, str]] = Field(default_factory=dict)

    @field_validator("mode")
    @classmethod
    def _shell_safe(cls, modes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for name, variables in modes.items():
            if name == NORMAL:
                raise ValueError("normal has no variables: services use their own default there")
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", name):
                raise ValueError(f"{name!r} is no mode name; use small letters, digits, - and _")
            for variable, value in variables.items():
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
                    raise ValueError(f"{variable!r} is no name of an environment variable")
                if not value.isprintable():
                    raise ValueError(f"the value of {variable} has a line break or a control character")
        return modes


class ConfigFile(BaseModel):
    """What the file says, as the product's own values."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    budgets: tuple[Budget, ...] = ()
    destinations: tuple[Addressee, ...] = ()
    mode: dict[str, dict[str, str]] = Field(default_factory=dict)


def read_config_file(path: Path) -> ConfigFile:
    """What the file says. Raises ValueError with one sentence that names the place and the remedy."""
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): correct the path or its rights.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_first_sentence(error)}") from None
    _refuse_doubled(path, "budgets", [table.name for table in file.budget])
    destinations = tuple(_addressee(table, number, path) for number, table in enumerate(file.destination))
    _refuse_doubled(path, "destinations", [addressee.name for addressee in destinations])
    budgets = tuple(_budget(table, path) for table in file.budget)
    return ConfigFile(budgets=budgets, destinations=destinations, mode=file.mode)


def _refuse_doubled(path: Path, kind: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}: two {kind} are named {name}: give one of them another name.")


def _budget(table: BudgetTable, path: Path) -> Budget:
    return Budget(
        table.name, table.scope, table.period, ZoneInfo(table.zone), table.soft_usd, table.hard_usd, str(path)
    )


def _addressee(table: DestinationTable, number: int, path: Path) -> Addressee:
    # Importing Apprise and its services takes most of a second, which only those wait for who use them.
    from bot.alerts.destinations import default_name, service_of

    url = _address(table, f"{path}: destination.{number}.url_file")
    try:
        service = service_of(url)
    except ValueError as error:
        raise ValueError(f"{path}: destination.{number}: {error}") from None
    return Addressee(table.name or default_name(service), SecretStr(url), frozenset(table.levels))


def _address(table: DestinationTable, place: str) -> str:
    if table.url is not None:
        return table.url.get_secret_value().strip()
    file = Path(table.url_file or "").expanduser().absolute()
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(
            f"{place} names {file}, which cannot be read ({reason}): correct the path or its rights."
        ) from None


def _first_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    text = "this version does not know this key; remove it" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{place or 'the file'}: {text.removeprefix('Value error, ')}."
