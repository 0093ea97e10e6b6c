"""A database belongs to one Slack workspace."""

import pytest
from sqlalchemy import Engine

from bot.notify.slack_connection import SlackRefusedError, Workspace
from bot.notify.workspace_store import claim
from tests.scenario.conftest import World


def workspace(team: str, enterprise: str = "") -> Workspace:
    return Workspace("https://example.slack.com/", team, enterprise)


@pytest.mark.parametrize("words", [("run", "--once"), ("run",)])
async def test_a_bot_of_another_workspace_does_not_start(world: World, words: tuple[str, ...]) -> None:
    async with world.bot() as bot:
        bot.claim(workspace("T0OTHER"))
    world.spend(120)
    finished = await world.command(*words)
    assert (finished.code, finished.out) == (2, "")
    assert "The database belongs to a bot of another Slack workspace (T0OTHER" in finished.err
    assert "Traceback" not in finished.err


def test_a_workspace_stays_itself_within_its_organization(engine: Engine) -> None:
    for same in (workspace("T1"), workspace("T1"), workspace("T1", "E1"), workspace("T2", "E1"), workspace("E1", "E1")):
        claim(engine, same)
    with pytest.raises(SlackRefusedError, match="one for each bot"):
        claim(engine, workspace("T3"))
    with pytest.raises(SlackRefusedError, match="one for each bot"):
        claim(engine, workspace("T3", "E3"))
    claim(engine, workspace("T9", "E1"))
