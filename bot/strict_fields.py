"""Strict field types of the TOML file's tables, and one sentence for the first mistake."""

import re
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.amounts import usd_amount
from bot.language import tr, tr_noop
from bot.listed import any_of
from bot.secret_shapes import KEY, NUMBER, ZONE, looks_secret, masked, quoted, shown

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class Table(BaseModel):
    """A table that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _text(value: object, example: str) -> str:
    # A TOML number with a fraction is binary, so 0.1 would not be exact.
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(tr('write it as a string, such as "{example}"', example=example))
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _usd(value: object) -> Decimal:
    return usd_amount(_text(value, "99.50"))


def _number(value: object) -> Decimal:
    text = _text(value, "2.5")
    if not _NUMBER.fullmatch(text) or not Decimal(text):
        raise ValueError(tr("{text} is not a number above zero, such as 4 or 2.5", text=quoted(text, NUMBER)))
    return Decimal(text)


def _share(percent: Decimal) -> Decimal:
    if percent > 100:
        raise ValueError(tr("write a per cent above 0 and at most 100"))
    return percent


def _above_usual(factor: Decimal) -> Decimal:
    if factor <= 1:
        raise ValueError(tr("write a factor above 1, such as 4: it multiplies what is usual"))
    return factor


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = tr("{text} is not an IANA time zone; write it as in Europe/Berlin", text=quoted(value, ZONE))
        raise ValueError(text) from None
    return value


Usd = Annotated[Decimal, BeforeValidator(_usd)]
Number = Annotated[Decimal, BeforeValidator(_number)]
"""A number above zero."""

Percent = Annotated[Number, AfterValidator(_share)]
Factor = Annotated[Number, AfterValidator(_above_usual)]
"""A multiple of what is usual, above 1."""

Minutes = Annotated[int, Field(strict=True, ge=0, le=7 * 24 * 60)]
Zone = Annotated[str, AfterValidator(_known_zone)]


TOO_MANY = tr_noop("Tuple should have at most {most} items after validation, not {number}")
"""Pydantic's message."""


def first_mistake(error: ValidationError) -> tuple[str, str]:
    """Place of the first mistake (`budget.0.scope`, empty for the whole), and a clause about it."""
    first = error.errors(include_url=False, include_input=False)[0]
    text = first["msg"]
    if first["type"] == "extra_forbidden":
        text = tr("this version does not know this key; remove it")
    elif first["type"] == "enum":
        expected = re.split(r", | or ", first["ctx"]["expected"])
        text = tr("use one of these: {expected}", expected=any_of(expected))
    elif first["type"] == "too_long" and first["ctx"].get("actual_length"):
        most, number = first["ctx"]["max_length"], first["ctx"]["actual_length"]
        text = tr(TOO_MANY, most=most, number=number) if text == TOO_MANY.format(most=most, number=number) else text
    return ".".join(_place(part) for part in first["loc"]), text.removeprefix("Value error, ")


def _place(part: int | str) -> str:
    """A key for display: an unknown one may be a secret pasted into the wrong line."""
    return str(part) if isinstance(part, int) else shown(part, KEY)


def first_secret(value: object, place: tuple[int | str, ...] = ()) -> str | None:
    """Place of the first key or text that looks like a secret.

    Skips the `url` of a destination or of the ledger, the `token` of a sender and the values of a mode, which may hold
    one.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            if looks_secret(str(key)):
                return ".".join(map(_place, (*place, key)))
            if (
                key not in ("url", "token")
                and place[:1] != ("mode",)
                and (found := first_secret(part, (*place, key))) is not None
            ):
                return found
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if (found := first_secret(part, (*place, index))) is not None:
                return found
    elif isinstance(value, str) and masked(value) != value:
        return ".".join(map(_place, place))
    return None
