"""From a click on a button in Slack to the team's services: every waiting reader sees the other model."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
import responses

from bot.sandbox.slack_workspace import ADMIN
from tests.scenario.conftest import World
from tests.scenario.http_port import PATIENCE, free_port, type_in_slack
from tests.scenario.waiting_applications import OWN, waiting

SONNET = "claude-sonnet-5-5"


@pytest.fixture(autouse=True)
def this_machine_alone() -> Iterator[None]:
    """OpenFeature's provider uses requests, which may reach this machine and nothing else."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as requests:
        requests.add_passthru("http://127.0.0.1")
        yield


async def test_a_click_reaches_every_waiting_application_and_so_does_the_way_back(world: World) -> None:
    port = free_port()
    async with world.running(CLAUDE_COST_HTTP_PORT=str(port)):
        await world.slack.wait_connected(seconds=PATIENCE)
        # Some minutes old, so that it lies before what the data is as of, and a saving can be shown.
        for hours in range(12):
            world.spend(10, world.clock() - timedelta(hours=hours, minutes=6))
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
        (alert,) = world.alerts("soft")
        async with waiting(world.folder, world.fallback_file, f"http://127.0.0.1:{port}") as readers:
            async with asyncio.TaskGroup() as waits:
                for reader in readers.values():
                    waits.create_task(reader.sees(SONNET))
                clicked = await world.slack.click(alert, "fallback_switch:degraded", ADMIN)
                assert "normal → degraded" in (await clicked.first_reply(PATIENCE)).text
            async with asyncio.TaskGroup() as waits:
                for reader in readers.values():
                    waits.create_task(reader.sees(OWN))
                await type_in_slack(world, "fallback off")
