"""What a notice says: the figures of the moment of decision, kept in the outbox until they are delivered."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bot.alerts.incident_facts import Incident, IncidentFacts
from bot.alerts.life_steps import LifeStep
from bot.alerts.mode_facts import ModeEndFacts, ModeFacts, ProofFacts, ProposalFacts
from bot.alerts.spend_facts import Facts


class LifeFacts(Facts):
    """A step that a person or time has caused. `about`: what the alert's message says. `since`: when it was opened.

    `by`: a Slack user id, or the bot. `until`: the end of a snooze.
    """

    kind: Literal["life"] = "life"
    step: LifeStep
    by: str
    at: datetime
    until: datetime | None
    since: datetime
    about: Annotated[Incident, Field(discriminator="kind")]


class TestFacts(Facts):
    """A test alert that an admin has asked for. `by`: a Slack user id."""

    kind: Literal["test"] = "test"
    by: str
    requested_at: datetime

    @property
    def incident(self) -> str:
        """The visible id, by which a repeat is told from a second test."""
        return f"test/{self.requested_at:%Y-%m-%dT%H:%M:%SZ}"


NoticeFacts = IncidentFacts | LifeFacts | ModeEndFacts | ModeFacts | ProofFacts | ProposalFacts | TestFacts


FACTS: TypeAdapter[NoticeFacts] = TypeAdapter(
    Annotated[
        Incident | LifeFacts | ModeEndFacts | ModeFacts | ProofFacts | ProposalFacts | TestFacts,
        Field(discriminator="kind"),
    ]
)
