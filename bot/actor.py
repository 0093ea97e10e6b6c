"""Who has done something."""

from dataclasses import dataclass

BOT = "claude-cost"
"""Who acts where no person does. No id of a Slack user looks like it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user as a request names them.

    `teams`, `enterprises`: the workspaces and organisations that the request names, the user's own among them. An id is
    unique within its workspace or organisation only.
    """

    id: str
    teams: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()
