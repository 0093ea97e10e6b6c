"""What the tables of the TOML file are made of: strict fields, and one sentence for the first mistake."""

import re
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.setting_values import usd_amount

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class Table(BaseModel):
    """A table in which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _text(value: object, example: str) -> str:
    # A number of TOML with a fraction is a binary one, which 0.1 is not.
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'write it as a string, such as "{example}"')
    return str(value)


def _usd(value: object) -> Decimal:
    return usd_amount(_text(value, "99.50"))


def _number(value: object) -> Decimal:
    text = _text(value, "2.5")
    if not _NUMBER.fullmatch(text) or not Decimal(text):
        raise ValueError(f"{text!r} is no number above zero, such as 4 or 2.5")
    return Decimal(text)


def _share(percent: Decimal) -> Decimal:
    if percent > 100:
        raise ValueError("write a per cent above 0 and at most 100")
    return percent


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no IANA time zone; write it as in Europe/Berlin") from None
    return value


Usd = Annotated[Decimal, BeforeValidator(_usd)]
Number = Annotated[Decimal, BeforeValidator(_number)]
"""Above zero."""

Percent = Annotated[Number, AfterValidator(_share)]
Minutes = Annotated[int, Field(strict=True, ge=0, le=7 * 24 * 60)]
Zone = Annotated[str, AfterValidator(_known_zone)]


def first_mistake(error: ValidationError) -> tuple[str, str]:
    """Where the first mistake is (`budget.0.scope`, empty for the whole), and a clause that says what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    text = first["msg"]
    if first["type"] == "extra_forbidden":
        text = "this version does not know this key; remove it"
    elif first["type"] == "enum":
        text = f"use one of these: {first['ctx']['expected']}"
    return ".".join(str(part) for part in first["loc"]), text.removeprefix("Value error, ")
