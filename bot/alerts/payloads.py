"""What the outbox keeps: every payload that is stored, and the one adapter that writes and reads them all.

The payloads of alerts stand in the files of their detectors, which are imported where one is first written or read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Literal, Union

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from bot.alerts.kinds import AlertKind
from bot.alerts.lifecycle import LifecycleStep
from bot.alerts.model import AlertPayload, SyntheticAlert
from bot.modes.model import ModeAnnouncement, ModeEnding, Proposal, VerificationReport


def payload_type(kind: AlertKind) -> type[AlertPayload]:
    """`SpikeAlert` of `bot/alerts/spike.py`, for that kind."""
    found: type[AlertPayload] = getattr(import_module(f"bot.alerts.{kind.module}"), f"{kind.class_prefix}Alert")
    return found


def _read(value: object) -> AlertPayload:
    return value if isinstance(value, AlertPayload) else _alerts().validate_python(value)


def _written(payload: AlertPayload) -> Any:
    return _alerts().dump_python(payload, mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """A step that a person or time has caused. `about`: what the alert's message says. `since`: when it was opened.

    `by`: a Slack user id, or the bot. `until`: the end of a snooze.
    """

    kind: Literal["life"] = "life"
    step: LifecycleStep
    by: str
    at: datetime
    until: datetime | None
    since: datetime
    about: Annotated[AlertPayload, PlainValidator(_read), PlainSerializer(_written)]


Payload = AlertPayload | LifecycleEvent | ModeAnnouncement | ModeEnding | VerificationReport | Proposal | SyntheticAlert

OTHERS = (LifecycleEvent, ModeAnnouncement, ModeEnding, VerificationReport, Proposal, SyntheticAlert)


def dumped(payload: Payload) -> Any:
    """As JSON values, which `parsed` reads, in this version and in later ones."""
    return _payloads().dump_python(payload, mode="json")


def parsed(stored: object) -> Payload:
    """What was stored. Raises pydantic's `ValidationError` where this version cannot read it."""
    return _payloads().validate_python(stored)


def loaded(stored: object) -> Payload | None:
    """What was stored, by this version or an older one; None where this version cannot read it."""
    try:
        return parsed(stored)
    except ValidationError:
        return None


@cache
def _alerts() -> TypeAdapter[AlertPayload]:
    return _adapter(payload_type(kind) for kind in AlertKind)


@cache
def _payloads() -> TypeAdapter[Payload]:
    return _adapter((*(payload_type(kind) for kind in AlertKind), *OTHERS))


def _adapter(types: Iterable[type]) -> TypeAdapter[Any]:
    union: Any = Union[tuple(types)]  # noqa: UP007  # made from a list
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])
