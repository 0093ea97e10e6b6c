"""A switch at a team's alert: the dialog, the request to admins and the answer name whose saving each sum is."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.clock import HOUR
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.spend import SWITCH_ACTION
from tests.scenario.conftest import World

CONFIG = """
[forecast]
enabled = false

[[budget]]
name = "search"
scope = "workspace:Search"
soft_usd = "20"
hard_usd = "{hard}"
"""
SAVING = re.compile(r"saves about (\$[\d,.]+) by the end of the period")


@pytest.fixture
def spending(simulated: World, clock: HandClock, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """A day of the team search, and as much again of another one."""

    def settings(hard: str) -> dict[str, str]:
        for hour in range(24):
            at = clock.now - hour * HOUR - timedelta(minutes=1)
            simulated.spend(2, at)
            simulated.spend(2, at, key="apikey_2", workspace=None)
        file = tmp_path / "team.toml"
        file.write_text(CONFIG.format(hard=hard), encoding="utf-8")
        return {"CLAUDE_COST_CONFIG": str(file), "CLAUDE_COST_SOFT_USD": "5000", "CLAUDE_COST_HARD_USD": "9000"}

    return settings


def switches(message: Message) -> list[dict[str, Any]]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [each for row in rows for each in row if each["action_id"].startswith(f"{SWITCH_ACTION}:")]


def sums(text: str) -> list[str]:
    return SAVING.findall(text)


async def clicked(world: World, message: Message, action: str, user: str = ADMIN) -> Message:
    return await (await world.slack.click(message, action, user)).first_reply()


async def test_the_dialog_at_a_teams_alert_the_request_and_the_answer_name_the_same_sums(
    simulated: World, spending: Callable[[str], dict[str, str]]
) -> None:
    async with simulated.connected_bot(**spending("45")) as bot:
        await bot.cycle()
        [alert] = [post for post in simulated.posts() if "budget search" in post.text]
        [switch, *_] = switches(alert)
        dialog = switch["confirm"]["text"]["text"]
        assert dialog.startswith("For budget search this saves about $")
        [own] = sums(dialog)
        # Somebody without permission asks for the same.
        refused = await clicked(simulated, alert, switch["action_id"], DEVELOPER)
        await clicked(simulated, refused, ASK_ACTION, DEVELOPER)
        await bot.deliver()
        [asked] = simulated.replies(alert)
        assert "For budget search, fallback mode" in asked.text
        assert sums(asked.text) == [own]
        [again] = switches(asked)
        assert sums(again["confirm"]["text"]["text"]) == [own]
        answer = (await clicked(simulated, asked, again["action_id"])).text
        assert f"Budget search: it saves about {own} by the end of the period" in answer
        [of_search, of_all] = sums(answer)
        assert of_search == own
        assert f"Budget default: it saves about {of_all} by the end of the period" in answer
        assert of_all != own


async def test_a_status_whose_worst_budget_is_a_teams_says_so_too(
    simulated: World, spending: Callable[[str], dict[str, str]]
) -> None:
    async with simulated.connected_bot(**spending("100")) as bot:
        await bot.cycle()
        status = await (await simulated.slack.command("status", ADMIN)).first_reply()
        [switch, *_] = switches(status)
        [own] = sums(switch["confirm"]["text"]["text"])
        answer = (await clicked(simulated, status, switch["action_id"])).text
        assert sums(answer)[0] == own
        assert "Budget search: it saves" in answer


async def test_the_organizations_own_sum_needs_no_name(
    simulated: World, spending: Callable[[str], dict[str, str]]
) -> None:
    async with simulated.connected_bot(**spending("45")) as bot:
        await bot.cycle()
        status = await (await simulated.slack.command("fallback status", ADMIN)).first_reply()
        [switch, *_] = switches(status)
        dialog = switch["confirm"]["text"]["text"]
        assert dialog.startswith("This saves about $")
        answer = (await clicked(simulated, status, switch["action_id"])).text
        assert sums(answer) == sums(dialog)
        assert "Budget" not in answer


async def test_a_made_up_budget_in_a_button_adds_nothing(
    simulated: World, spending: Callable[[str], dict[str, str]]
) -> None:
    async with simulated.connected_bot(**spending("45")) as bot:
        await bot.cycle()
        [alert] = [post for post in simulated.posts() if "budget search" in post.text]
        for block in alert.blocks:
            if str(block.get("block_id")).startswith("switch-from:"):
                block["block_id"] = "switch-from:normal of budget:<!channel> of budget:"
        answer = (await clicked(simulated, alert, switches(alert)[0]["action_id"])).text
        assert len(sums(answer)) == 1
        assert "<!channel>" not in answer
