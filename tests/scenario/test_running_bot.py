"""`claude-cost run` as people have it: a process that answers, alerts, survives and stops."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_USAGE, USAGE
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from tests.scenario.conftest import World
from tests.scenario.forked import Process

PATIENCE = 30


async def connected(world: World) -> None:
    await world.slack.wait_connected(seconds=PATIENCE)


async def ask(world: World, words: str, user: str = ADMIN) -> str:
    interaction = await world.slack.command(words, user)
    return (await interaction.first_reply(PATIENCE)).text


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that only another process knows."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # no event can come from there
            await asyncio.sleep(0.1)


async def ended(process: Process) -> tuple[int, str]:
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, err.decode()


async def test_the_bot_reports_soft_then_hard_across_a_restart_and_nothing_twice(world: World) -> None:
    async with world.running() as process:
        await connected(world)
        world.spend(110)
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
        process.send_signal(signal.SIGTERM)
        code, err = await ended(process)
        assert code == 0
        assert "Traceback" not in err
    async with world.running():
        world.spend(110)
        await world.slack.until(lambda: len(world.alerts("hard")) == 1, PATIENCE)
        await world.slack.until(lambda: "superseded" in world.alerts("soft")[0].text, PATIENCE)
        polls = len(world.anthropic.requests)
        await eventually(lambda: len(world.anthropic.requests) >= polls + 8)
    assert len(world.posts()) == 2


async def test_an_admin_switches_the_mode_and_everybody_hears_of_it(world: World) -> None:
    world.fallback_file.write_text("OTHER=kept\n", encoding="utf-8")
    async with world.running():
        await connected(world)
        answer = await ask(world, "fallback on because the budget is gone")
        assert "normal → degraded" in answer
        assert "CLAUDE_MODEL=claude-sonnet-5-5" in world.fallback_file.read_text(encoding="utf-8")
        assert world.fallback_file.read_text(encoding="utf-8").startswith("OTHER=kept\n")
        await world.slack.until(lambda: len(world.posts()) == 1, PATIENCE)
        (announcement,) = world.posts()
        assert f"normal → degraded, by <@{ADMIN}>: the budget is gone" in announcement.text
        assert "degraded" in await ask(world, "fallback status", DEVELOPER)


async def test_anybody_else_changes_nothing_and_reads_why(world: World) -> None:
    async with world.running():
        await connected(world)
        await eventually(world.fallback_file.exists)
        before = world.fallback_file.read_bytes()
        answer = await ask(world, "fallback on", DEVELOPER)
        assert "Nothing was changed" in answer
        assert "CLAUDE_COST_ADMINS" in answer
        assert world.fallback_file.read_bytes() == before
        assert world.posts() == []


async def test_without_admins_nobody_may_switch_and_the_refusal_names_the_variable(world: World) -> None:
    async with world.running(CLAUDE_COST_ADMINS=""):
        await connected(world)
        assert "CLAUDE_COST_ADMINS" in await ask(world, "fallback on", ADMIN)
        assert world.posts() == []


async def test_the_button_of_an_alert_switches_after_its_dialog_and_checks_rights_at_the_click(world: World) -> None:
    async with world.running():
        await connected(world)
        # Six hours of data are needed before a saving can be stated, and a fresh database reads two days.
        for hours in range(12):
            world.spend(10, world.clock() - timedelta(hours=hours))
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
        (alert,) = world.alerts("soft")
        refused = await world.slack.click(alert, "fallback_switch:degraded", DEVELOPER)
        assert "Nothing was changed" in (await refused.first_reply(PATIENCE)).text
        clicked = await world.slack.click(alert, "fallback_switch:degraded", ADMIN)
        assert "normal → degraded" in (await clicked.first_reply(PATIENCE)).text
        await world.slack.until(lambda: len(world.posts()) == 2, PATIENCE)
    button = next(e for block in alert.blocks if block["type"] == "actions" for e in block["elements"])
    assert "saves about $" in button["confirm"]["text"]["text"]


async def test_an_envelope_that_slack_delivers_twice_is_served_once(world: World) -> None:
    async with world.running():
        await connected(world)
        payload = {
            "command": "/claude-cost",
            "text": "fallback on",
            "user_id": ADMIN,
            "team_id": "T0SANDBOX",
            "api_app_id": "A0SANDBOX",
            "channel_id": ALERTS,
            "response_url": f"{world.slack.origin}/response/none",
            "trigger_id": "1.2.3",
        }
        for _ in range(2):
            await world.slack.send_envelope("slash_commands", payload, envelope_id="the-same")
        await world.slack.until(lambda: len(world.posts()) == 1, PATIENCE)
        assert "degraded" in await ask(world, "status")
        assert len(world.posts()) == 1


async def test_every_command_is_answered_and_an_unknown_word_gets_the_nearest_match(world: World) -> None:
    world.spend(42)
    async with world.running():
        await connected(world)
        assert "did you mean `/claude-cost status`?" in await ask(world, "staus")
        assert "`/claude-cost estimate" in await ask(world, "")
        assert (await ask(world, "estimate sonnet-4.6 requests=100k in=2000 out=500")).startswith("$1,350.00")
        assert "did you mean requests=?" in await ask(world, "estimate sonnet resquests=1")
        async with asyncio.timeout(PATIENCE):
            while "$42.00" not in (status := await ask(world, "status")):  # noqa: ASYNC110  # no event says so
                await asyncio.sleep(0.2)
        assert "Data as of" in status


async def test_variables_of_an_app_for_many_workspaces_change_nothing(world: World) -> None:
    async with world.running(SLACK_CLIENT_ID="1.2", SLACK_CLIENT_SECRET="other"):
        await connected(world)
        assert "`/claude-cost" in await ask(world, "help")


async def test_http_mode_serves_the_same_commands(world: World) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world.slack.http_endpoint = f"http://127.0.0.1:{port}/slack/events"
    changes = {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": SIGNING_SECRET, "CLAUDE_COST_HTTP_PORT": str(port)}
    async with world.running(**changes):
        health = f"http://127.0.0.1:{port}/healthz"
        await eventually(lambda: _answers(health))
        assert (await ask(world, "estimate haiku-4.5 requests=10k in=12000 out=500")).startswith("$145.00")
        payload = {"command": "/claude-cost", "text": "fallback on", "user_id": ADMIN}
        status, _ = await world.slack.post_signed(world.slack.http_endpoint, payload, "slash_commands", "wrong")
        assert status == 401


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:
            return bool(json.load(answer))
    except OSError:
        return False


async def test_slack_and_anthropic_away_at_the_start_are_waited_for(world: World) -> None:
    for method in ("auth.test", "apps.connections.open"):
        world.slack.faults.add(method, Fault("html", status=502))
    for path in (USAGE, ANALYTICS_USAGE):
        world.anthropic.faults.add(path, Fault("drop"), times=3)
    world.spend(120)
    async with world.running():
        await connected(world)
        await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, "SLACK_BOT_TOKEN"),
        ({"SLACK_APP_TOKEN": "xapp-wrong"}, "SLACK_APP_TOKEN"),
        ({"ANTHROPIC_ADMIN_KEY": "sk-ant-wrong"}, "ANTHROPIC_ADMIN_KEY"),
        ({"CLAUDE_COST_SOFT_USD": "300"}, "CLAUDE_COST_SOFT_USD"),
        ({"CLAUDE_COST_CHANNEL": ""}, "CLAUDE_COST_CHANNEL"),
        ({"CLAUDE_COST_DATABASE_URL": "sqlite:////nowhere/at/all.db"}, "CLAUDE_COST_DATABASE_URL"),
    ],
)
async def test_a_hopeless_start_ends_with_two_and_a_sentence_that_names_the_variable(
    world: World, changes: dict[str, str], named: str
) -> None:
    async with world.running(**changes) as process:
        code, err = await ended(process)
    assert code == 2
    assert named in err.splitlines()[-1]
    assert "Traceback" not in err
    for value in changes.values():
        assert "wrong" not in value or value not in err


async def test_once_says_in_one_line_what_it_could_not_do_and_the_next_run_does_it(world: World) -> None:
    world.spend(120)
    world.slack.workspace.channels[ALERTS].has_bot = False
    finished = await world.once()
    assert finished.code == 1
    assert finished.err.count("\n") == 1
    assert "/invite" in finished.err
    world.slack.workspace.channels[ALERTS].has_bot = True
    assert (await world.once()).code == 0
    assert len(world.alerts("soft")) == 1


async def test_once_with_a_refused_key_is_one_line_and_one(world: World) -> None:
    finished = await world.once(ANTHROPIC_ADMIN_KEY="sk-ant-refused")
    assert (finished.code, finished.out, finished.err.count("\n")) == (1, "", 1)
    assert "ANTHROPIC_ADMIN_KEY" in finished.err
    assert "sk-ant-refused" not in finished.err


async def test_once_says_that_the_fallback_file_cannot_be_used(world: World) -> None:
    finished = await world.once(CLAUDE_COST_FALLBACK_FILE=str(world.folder))
    assert (finished.code, finished.err.count("\n")) == (1, 1)
    assert f"{world.folder} cannot be read (Is a directory): correct CLAUDE_COST_FALLBACK_FILE" in finished.err
    assert "{" not in finished.err


async def test_once_says_in_the_same_line_that_a_variable_is_misspelled(world: World) -> None:
    quiet = await world.once()
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    finished = await world.once(CLAUDE_COST_ADMIN="U1")
    assert (finished.code, finished.out, finished.err.count("\n")) == (0, "", 1)
    assert "CLAUDE_COST_ADMIN is not a setting" in finished.err
    assert "did you mean CLAUDE_COST_ADMINS?" in finished.err
    refused = await world.once(CLAUDE_COST_ADMIN="U1", ANTHROPIC_ADMIN_KEY="sk-ant-refused")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("Anthropic")
    assert "did you mean CLAUDE_COST_ADMINS?" in refused.err
    missing = await world.once(CLAUDE_COST_CHANEL="C1", CLAUDE_COST_CHANNEL="")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert missing.err.startswith("CLAUDE_COST_CHANNEL is missing")
    assert "did you mean CLAUDE_COST_CHANNEL?" in missing.err


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_port_that_cannot_be_opened_ends_the_start_with_one_sentence(world: World, host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        changes = {"CLAUDE_COST_HTTP_HOST": host, "CLAUDE_COST_HTTP_PORT": port, "CLAUDE_COST_READ_TOKEN": "token"}
        async with world.running(**changes) as process:
            code, err = await ended(process)
    assert code == 2
    assert "CLAUDE_COST_HTTP_PORT cannot be opened" in err.splitlines()[-1]
    assert "CLAUDE_COST_HTTP_HOST" in err.splitlines()[-1]
    assert "Traceback" not in err


async def test_a_second_copy_on_the_same_database_answers_but_does_not_poll(world: World) -> None:
    async with world.running():
        await connected(world)
        await eventually(lambda: bool(world.anthropic.requests))
        finished = await world.once()
        assert finished.code == 1
        assert "Another copy" in finished.err
        async with world.running() as second:
            await world.slack.wait_connected(2, PATIENCE)
            world.spend(120)
            await world.slack.until(lambda: len(world.alerts("soft")) == 1, PATIENCE)
            second.send_signal(signal.SIGTERM)
            code, err = await ended(second)
            assert code == 0
            assert "another copy of the bot leads" in err
    assert len(world.posts()) == 1


async def test_no_secret_reaches_a_log_or_the_database(world: World) -> None:
    secrets = (BOT_TOKEN, APP_TOKEN, ADMIN_KEY)
    world.slack.faults.add("chat.postMessage", Fault("html", status=502))
    world.anthropic.faults.add(ANALYTICS_USAGE, Fault("not_json"), times=2)
    world.spend(120)
    async with world.running() as process:
        await connected(world)
        await world.slack.until(lambda: len(world.alerts("soft")) >= 1, PATIENCE)
        process.send_signal(signal.SIGTERM)
        _, err = await ended(process)
    database = b"".join(path.read_bytes() for path in await asyncio.to_thread(_files, world.folder))
    for secret in secrets:
        assert secret not in err
        assert secret.encode() not in database


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


async def test_slack_moving_the_connection_loses_no_command(world: World) -> None:
    async with world.running():
        await connected(world)
        await world.slack.disconnect("refresh_requested")
        await connected(world)
        assert "`/claude-cost" in await ask(world, "help")
