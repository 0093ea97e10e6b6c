"""Stores which Slack workspace a database belongs to: its alerts refer to messages there, and its budgets to people."""

from sqlalchemy import Engine

from bot.db.state import locked, save_state
from bot.notify.slack_connection import SlackRefusedError, Workspace

KEY = "slack_workspace"


def claim(engine: Engine, workspace: Workspace) -> None:
    """Record the workspace of a database that has none. Raises `SlackRefusedError` if it has another one.

    Workspaces of one Enterprise organization count as the same: an app may be reinstalled for the whole organization.
    """
    mine = {"team": workspace.team, "enterprise": workspace.enterprise}
    with engine.begin() as connection:
        known = locked(connection, KEY, mine)
        is_same = known["team"] == mine["team"] or (known["enterprise"] and known["enterprise"] == mine["enterprise"])
        if is_same:
            if known != mine:
                save_state(connection, KEY, mine)
            return
    raise SlackRefusedError(
        f"The database belongs to a bot of another Slack workspace ({known['team']}, and this one is {mine['team']}): "
        "name another database in CLAUDE_COST_DATABASE_URL, one for each bot."
    )
