"""Who has sent a request."""

from collections.abc import Mapping
from typing import Any

from bot.actor import Person


def person_of(body: Mapping[str, Any]) -> Person:
    """The user of a command, a click or a form, with every workspace and organisation that the request names.

    For somebody of another company (Slack Connect) `user.team_id` is that company's workspace.
    """
    user, team, enterprise = (_object(body.get(name)) for name in ("user", "team", "enterprise"))
    return Person(
        id=str(user.get("id") or body.get("user_id") or ""),
        teams=_ids(body.get("team_id"), team.get("id"), user.get("team_id")),
        enterprises=_ids(
            body.get("enterprise_id"), enterprise.get("id"), team.get("enterprise_id"), user.get("enterprise_id")
        ),
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _ids(*values: object) -> frozenset[str]:
    return frozenset(str(value) for value in values if value)
