"""`/readyz` and `/healthz` tell the truth within one poll: a fault is named then, and no more after its remedy."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import text

from bot.db.engine import connect
from bot.db.state import StateStore
from bot.notify import workspace_store
from bot.notify.slack_connection import Workspace
from bot.runner.cycle import Bot
from bot.runner.lifecycle import STUCK_SECONDS, Lifecycle
from bot.sandbox.anthropic_server import ADMIN_KEY
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import BOT_TOKEN
from bot.sandbox.slack_workspace import TEAM_ID
from bot.web.access import BearerAccess
from bot.web.server import health_routes
from tests.scenario.conftest import World

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Watched:
    """A running bot, as whoever asks its port sees it. `poll` lets one interval pass."""

    world: World
    clock: HandClock
    bot: Bot
    lifecycle: Lifecycle
    client: "TestClient[web.Request, web.Application]"

    async def poll(self) -> None:
        self.clock.advance(MINUTE)
        await self.lifecycle.look_at_slack()
        await self.bot.cycle()

    async def problems(self) -> list[str]:
        async with self.client.get("/readyz") as answer:
            said = await answer.json()
        assert answer.status == (503 if said["problems"] else 200)
        found: list[str] = said["problems"]
        return found

    async def healthy(self) -> bool:
        async with self.client.get("/healthz") as answer:
            return answer.status == 200


@asynccontextmanager
async def watched(world: World, clock: HandClock) -> AsyncIterator[Watched]:
    (world.folder / "key").write_text(ADMIN_KEY)
    changes = {
        "ANTHROPIC_ADMIN_KEY": "",
        "ANTHROPIC_ADMIN_KEY_FILE": str(world.folder / "key"),
        "CLAUDE_COST_BACKUP_FOLDER": str(world.folder / "backups"),
    }
    async with world.bot(**changes) as bot:
        lifecycle = Lifecycle(bot, MINUTE)
        await lifecycle.connect()
        app = web.Application()
        access = BearerAccess(None, "CLAUDE_COST_READ_TOKEN")
        app.add_routes(health_routes(lifecycle.problems, lifecycle.notes, access, lifecycle.is_alive))
        try:
            async with TestClient(TestServer(app)) as client:
                yield Watched(world, clock, bot, lifecycle, client)
        finally:
            await lifecycle.disconnect()


Step = Callable[[Watched], Awaitable[None]]


async def test_each_fault_is_named_within_one_poll_and_not_any_more_after_its_remedy(
    simulated: World, clock: HandClock
) -> None:
    async with watched(simulated, clock) as seen:
        await seen.poll()
        assert await seen.problems() == []
        for break_, mend, sentence in (
            (revoke_key, restore_key, "Anthropic refuses ANTHROPIC_ADMIN_KEY"),
            (hide_target, show_target, "fallback.env"),
            (hide_secret, show_secret, "ANTHROPIC_ADMIN_KEY_FILE names"),
            (lose_backup, find_backup_folder, "There is no backup of today"),
            (lose_tables, find_tables, "The database has lost its tables"),
            (revoke_token, restore_token, "SLACK_BOT_TOKEN"),
            (move_workspace, move_back, "The database belongs to a bot of another Slack workspace (T0OTHER"),
        ):
            break_(seen)
            await seen.poll()
            assert any(sentence in line for line in await seen.problems()), sentence
            assert await seen.healthy()
            mend(seen)
            await seen.poll()
            assert await seen.problems() == [], sentence


def revoke_key(seen: Watched) -> None:
    seen.world.anthropic.admin_key = "another"


def restore_key(seen: Watched) -> None:
    seen.world.anthropic.admin_key = ADMIN_KEY


def revoke_token(seen: Watched) -> None:
    """While an alert is to be posted."""
    seen.world.slack.bot_token = "xoxb-another"
    seen.world.spend(120)


def restore_token(seen: Watched) -> None:
    assert seen.world.alerts("soft") == []
    seen.world.slack.bot_token = BOT_TOKEN


def move_workspace(seen: Watched) -> None:
    """The token's file changed to a token of another workspace than the database is of."""
    become(seen, "T0OTHER")


def move_back(seen: Watched) -> None:
    become(seen, TEAM_ID)


def become(seen: Watched, team: str) -> None:
    engine = connect(seen.world.environ["CLAUDE_COST_DATABASE_URL"])
    StateStore(engine).put(workspace_store.KEY, {"team": team, "enterprise": ""})
    engine.dispose()
    seen.lifecycle._claimed = Workspace(seen.bot.workspace.url, team)


def hide_target(seen: Watched) -> None:
    seen.world.fallback_file.unlink()
    seen.world.fallback_file.mkdir()


def show_target(seen: Watched) -> None:
    seen.world.fallback_file.rmdir()


def hide_secret(seen: Watched) -> None:
    (seen.world.folder / "key").rename(seen.world.folder / "away")


def show_secret(seen: Watched) -> None:
    (seen.world.folder / "away").rename(seen.world.folder / "key")


def lose_backup(seen: Watched) -> None:
    (backup,) = backups(seen).iterdir()
    backup.unlink()
    backups(seen).rmdir()
    backups(seen).write_text("no folder")


def find_backup_folder(seen: Watched) -> None:
    backups(seen).unlink()


def backups(seen: Watched) -> Path:
    return seen.world.folder / "backups"


def lose_tables(seen: Watched) -> None:
    rename(seen, "notices", "gone")


def find_tables(seen: Watched) -> None:
    rename(seen, "gone", "notices")


def rename(seen: Watched, table: str, new: str) -> None:
    engine = connect(seen.world.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {new}"))
    engine.dispose()


async def test_a_slack_that_does_not_answer_is_named_and_one_lost_response_is_not(
    simulated: World, clock: HandClock
) -> None:
    fault = Fault("status", status=500)
    async with watched(simulated, clock) as seen:
        seen.lifecycle.slack_again_seconds = 0
        await seen.poll()
        for faults, found in (
            ([fault], []),
            ([fault, fault], ["Slack has an internal error (internal_error)."]),
            ([], []),
        ):
            for each in faults:
                simulated.slack.faults.add("auth.test", each)
            await seen.poll()
            assert await seen.problems() == found


async def test_data_that_is_stale_and_a_cycle_that_is_late_or_stuck_are_named_until_the_next_one(
    simulated: World, clock: HandClock
) -> None:
    async with watched(simulated, clock) as seen:
        await seen.poll()
        clock.advance(timedelta(minutes=16))
        assert any("stale" in line for line in await seen.problems())
        await seen.poll()
        for idle, alive in ((2 * 60 + 20, True), (60 + STUCK_SECONDS + 5, False)):
            seen.bot.progress_at = seen.bot.outbox.progress_at = time.monotonic() - idle
            assert any("has not gone on for" in line for line in await seen.problems())
            assert await seen.healthy() is alive
            await seen.poll()
            assert await seen.problems() == []
            assert await seen.healthy()
        # A long delivery is no late cycle.
        seen.bot.progress_at = time.monotonic() - 1000
        seen.bot.outbox.progress_at = time.monotonic()
        assert await seen.problems() == []
