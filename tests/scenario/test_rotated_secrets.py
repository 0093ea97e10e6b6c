"""Tokens and keys are replaced while the bot runs, and the old ones revoked."""

import asyncio
import json

from bot.sandbox.anthropic_server import ADMIN_KEY
from bot.sandbox.slack_server import APP_TOKEN, BOT_TOKEN
from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World

PATIENCE = 30
SECRETS = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "ANTHROPIC_ADMIN_KEY": ADMIN_KEY}


def in_files(world: World, secrets: dict[str, str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for name, secret in secrets.items():
        path = world.folder / name
        path.with_suffix(".new").write_text(f"{secret}\n", encoding="utf-8")
        path.with_suffix(".new").replace(path)
        changes |= {name: "", f"{name}_FILE": str(path)}
    return changes


async def answered(world: World) -> str:
    interaction = await world.slack.command("status", ADMIN)
    return (await interaction.first_reply(PATIENCE)).text


async def test_the_bot_goes_on_with_new_secrets_after_the_old_ones_are_revoked(world: World) -> None:
    async with world.running(CLAUDE_COST_LOG_FORMAT="json", **in_files(world, SECRETS)) as process:
        await world.slack.wait_connected(seconds=PATIENCE)
        world.spend(120)
        await world.slack.until(lambda: bool(world.alerts("soft")), PATIENCE)
        in_files(world, {name: f"{secret}-2" for name, secret in SECRETS.items()})
        world.slack.bot_token, world.slack.app_token = f"{BOT_TOKEN}-2", f"{APP_TOKEN}-2"
        world.anthropic.admin_key = f"{ADMIN_KEY}-2"
        await world.slack.disconnect("refresh_requested")
        world.spend(100)
        await world.slack.until(lambda: bool(world.alerts("hard")), PATIENCE)
        assert "220" in await answered(world)
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert "sandbox" not in err.decode()
    lines = [json.loads(line) for line in err.splitlines()]
    delivered = {line.get("incident") for line in lines if line.get("outcome") == "delivered"}
    assert {"default/2026-11/soft/100", "default/2026-11/hard/200"} <= {str(each) for each in delivered}
    assert len(world.alerts("soft")) == len(world.alerts("hard")) == 1


async def test_a_first_command_after_the_change_is_answered(world: World) -> None:
    """Bolt has asked Slack who it is with no token before."""
    async with world.running(**in_files(world, SECRETS)):
        await world.slack.wait_connected(seconds=PATIENCE)
        in_files(world, {"SLACK_BOT_TOKEN": f"{BOT_TOKEN}-2"})
        world.slack.bot_token = f"{BOT_TOKEN}-2"
        assert await answered(world)
