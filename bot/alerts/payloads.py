"""What the outbox keeps: every payload that is stored, and the one adapter that writes and reads them all."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from bot.alerts.model import AlertPayload, Incident, LifecycleEvent, SyntheticAlert
from bot.modes.model import ModeAnnouncement, ModeEnding, ProofReport, Proposal

Payload = AlertPayload | LifecycleEvent | ModeAnnouncement | ModeEnding | ProofReport | Proposal | SyntheticAlert

PAYLOADS: TypeAdapter[Payload] = TypeAdapter(
    Annotated[
        Incident | LifecycleEvent | ModeAnnouncement | ModeEnding | ProofReport | Proposal | SyntheticAlert,
        Field(discriminator="kind"),
    ]
)


def dumped(payload: Payload) -> Any:
    """As JSON values, which `loaded` reads, in this version and in later ones."""
    return PAYLOADS.dump_python(payload, mode="json")


def loaded(stored: object) -> Payload | None:
    """What was stored, by this version or an older one; None where this version cannot read it."""
    try:
        return PAYLOADS.validate_python(stored)
    except ValidationError:
        return None
