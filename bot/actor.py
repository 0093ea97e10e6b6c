"""The actor of a change: a person or the bot."""

from dataclasses import dataclass

BOT = "claude-cost"
"""The actor of automatic changes. No id of a Slack user has this form."""


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user, as identified by a request.

    `teams`, `enterprises`: the workspaces and organizations in the request, the user's own among them. An id is unique
    within its workspace or organization only.
    """

    id: str
    teams: frozenset[str] = frozenset()
    enterprises: frozenset[str] = frozenset()
