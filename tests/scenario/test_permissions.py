"""Permissions: one row for every command, button and form, tried as everybody.

Slack does not mark guests in a click, and `users.info` is not called: a guest is a member whose id the settings may
name. The same id of another workspace (Slack Connect) is another person.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import handlers
from bot.budgets.calendar_store import Expectation
from bot.clock import HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER, TEAM_ID
from handlers.commands import COMMAND, SUBCOMMANDS
from handlers.render.asking import ASK_ACTION
from handlers.render.budget import REMOVE_ACTION, SET_ACTION
from handlers.render.budget_changes import UNDO_ACTION
from handlers.render.budget_form import BUDGET_FORM
from handlers.render.budget_form import FORM_ACTION as BUDGET_FORM_ACTION
from handlers.render.digest_form import FORM as DIGEST_FORM
from handlers.render.digest_settings import SETTINGS_ACTION as DIGEST_SETTINGS
from handlers.render.digest_settings import STOP_ACTION as STOP_DIGEST
from handlers.render.digest_settings import UNDO_ACTION as UNDO_DIGEST
from handlers.render.estimate_form import ESTIMATE_FORM, SHARE_ACTION
from handlers.render.expected import EXPECT_ACTION
from handlers.render.expected import FORM as EXPECTED_FORM
from handlers.render.expected import UNDO_ACTION as NOT_EXPECTED
from handlers.render.fallback import FORM_ACTION
from handlers.render.forms import FALLBACK_FORM
from handlers.render.home import (
    BUDGETS_ACTION,
    ESTIMATE_ACTION,
    FALLBACK_ACTION,
    FORECAST_ACTION,
    REFRESH_ACTION,
    REPORT_ACTION,
)
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION, SNOOZE_ACTION
from handlers.render.proposal import APPROVE_ACTION as APPROVE_PROPOSAL
from handlers.render.proposal import REJECT_ACTION as REJECT_PROPOSAL
from handlers.render.raises import APPROVE_ACTION, CANCEL_ACTION, DECLINE_ACTION, OPEN_ACTION, WHICH_ACTION
from handlers.render.raises import FORM as RAISE_FORM
from handlers.render.spend import SWITCH_ACTION
from handlers.render.verification import PROOF_DISMISS
from tests.scenario.conftest import World
from tests.scenario.test_expected_spend import runaway, usual

SECOND_ADMIN, OWNER, GUEST = "U0ADMIN2", "U0OWNER", "U0GUEST"
ELSEWHERE = "T0OTHER"


@dataclass(frozen=True, slots=True)
class Who:
    """A person as identified in Slack's requests. `more`: further claims of a forged request."""

    id: str
    team: str = TEAM_ID
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, Any]:
        return {"user": {"id": self.id, "team_id": self.team, **self.more}, "team": {"id": TEAM_ID}}


PEOPLE = {
    "admin": Who(ADMIN),
    "second admin": Who(SECOND_ADMIN),
    "owner": Who(OWNER),
    "member": Who(DEVELOPER),
    "guest": Who(GUEST, more={"is_restricted": True, "is_ultra_restricted": True, "is_admin": True, "is_owner": True}),
    "stranger": Who(ADMIN, ELSEWHERE, {"is_stranger": True}),
    "owner's namesake": Who(OWNER, ELSEWHERE, {"is_stranger": True}),
}
ADMINS = frozenset({"admin", "second admin"})
OWNERS = ADMINS | {"owner"}
EVERYBODY = frozenset(PEOPLE)
MEMBERS = EVERYBODY - {"stranger", "owner's namesake"}


@dataclass(frozen=True, slots=True)
class Row:
    """Something that changes something. `does`: who does it once all others have tried. `may`: who may at all.

    `value`: of the button, `view`: what the form carries and holds, `words`: of the command.
    """

    name: str
    may: frozenset[str]
    does: str
    value: Callable[[Bot], str] | str | None = None
    view: Callable[[Bot], tuple[dict[str, Any], dict[str, str]]] | None = None
    words: str | None = None
    row: str = "b"


def ids(bot: Bot, table: str, condition: str = "") -> list[int]:
    with closing(read(bot)) as connection:
        return [row[0] for row in connection.execute(f"SELECT id FROM {table} {condition} ORDER BY id")]


def read(bot: Bot) -> sqlite3.Connection:
    return sqlite3.connect(bot.settings.database_url.removeprefix("sqlite:///"))


def alert_id(bot: Bot, kind: str) -> int:
    return ids(bot, "alerts", f"WHERE kind = '{kind}'")[-1]


def expectation(bot: Bot) -> Expectation:
    return bot.services.calendar.plans(bot.services.clock()).expected[-1]


def newest(table: str) -> Callable[[Bot], str]:
    """The id of the newest row."""
    return lambda bot: str(ids(bot, table)[-1])


def seen(name: str, words: str = "") -> Callable[[Bot], str]:
    return lambda bot: f"{bot.services.budgets.version(name)} {words or name}"


def raise_form(bot: Bot) -> tuple[dict[str, Any], dict[str, str]]:
    return {"response_url": "", "limit": "hard", "budget": "search hard=100"}, {"to": "500", "until": "2d"}


def expected_form(bot: Bot) -> tuple[dict[str, Any], dict[str, str]]:
    return {"response_url": "", "alert": alert_id(bot, "spike")}, {"until": "4h"}


def fallback_form(bot: Bot) -> tuple[dict[str, Any], dict[str, str]]:
    return {"response_url": ""}, {"mode": "minimal"}


def digest_form(bot: Bot) -> tuple[dict[str, Any], dict[str, str]]:
    filled = {"every": "week", "on": "mon", "at": "10:00", "zone": "UTC", "about": "organization"}
    return {"response_url": "", "key": ""}, filled


ROWS = (
    Row(ACKNOWLEDGE_ACTION, EVERYBODY, "stranger", value=lambda bot: str(alert_id(bot, "limit"))),
    Row(f"{SNOOZE_ACTION}:60", EVERYBODY, "guest", value=lambda bot: str(alert_id(bot, "limit"))),
    Row(EXPECTED_FORM, EVERYBODY, "member", view=expected_form),
    Row(NOT_EXPECTED, EVERYBODY, "guest", value=lambda bot: str(expectation(bot).id)),
    Row(COMMAND, OWNERS, "owner", words="budget raise search to=300 until=2d"),
    Row(DECLINE_ACTION, ADMINS, "admin", value=newest("raises")),
    Row(RAISE_FORM, OWNERS, "owner", view=raise_form),
    Row(APPROVE_ACTION, ADMINS, "admin", value=newest("raises")),
    Row(CANCEL_ACTION, ADMINS, "second admin", value=newest("raises")),
    Row(COMMAND, EVERYBODY, "guest", words="budget raise default to=9000 until=2d"),
    Row(SET_ACTION, ADMINS, "admin", value=seen("other", "other scope=organization hard=90")),
    Row(REMOVE_ACTION, ADMINS, "admin", value=seen("other")),
    Row(UNDO_ACTION, ADMINS, "admin", value=newest("budget_changes")),
    Row(COMMAND, ADMINS, "admin", words="calendar add day on 2026-12-24 00:00 for 1h"),
    Row(COMMAND, ADMINS, "admin", words="calendar remove day"),
    Row(COMMAND, ADMINS, "admin", words="fallback auto off"),
    Row(COMMAND, ADMINS, "admin", words="test-alert"),
    Row(f"{SWITCH_ACTION}:minimal", ADMINS, "admin", value="minimal", row="switch-from:normal"),
    Row(REJECT_PROPOSAL, ADMINS, "second admin", value=newest("proposals")),
    Row(COMMAND, ADMINS, "admin", words="fallback on minimal"),
    Row(REJECT_PROPOSAL, ADMINS, "second admin", value=newest("proposals")),
    Row(FALLBACK_FORM, ADMINS, "admin", view=fallback_form),
    Row(APPROVE_PROPOSAL, ADMINS, "second admin", value=newest("proposals")),
    Row(COMMAND, ADMINS, "admin", words="fallback off"),
    Row(COMMAND, ADMINS, "admin", words="digest on daily at=09:00"),
    Row(DIGEST_FORM, ADMINS, "admin", view=digest_form),
    Row(STOP_DIGEST, ADMINS, "second admin", value=lambda bot: bot.services.digest_settings.in_force()[0].rule.key),
    Row(UNDO_DIGEST, ADMINS, "admin", value=newest("digest_changes")),
    Row(ASK_ACTION, MEMBERS, "guest", value="channel:0 command budget set search hard=120"),
    Row(COMMAND, EVERYBODY, "guest", words="estimate sonnet requests=1k in=1000 out=500 as=bot"),
    Row(COMMAND, EVERYBODY, "member", words="estimate drop bot"),
)

READS = {
    OPEN_ACTION,
    WHICH_ACTION,
    FORM_ACTION,
    BUDGET_FORM_ACTION,
    DIGEST_SETTINGS,
    EXPECT_ACTION,
    BUDGET_FORM,
    ESTIMATE_FORM,
    ESTIMATE_ACTION,
    SHARE_ACTION,
    REFRESH_ACTION,
    REPORT_ACTION,
    FORECAST_ACTION,
    FALLBACK_ACTION,
    BUDGETS_ACTION,
    "estimate_workload",
    "estimate_prompt",
    "app_home_opened",
    "app_mention",
    "message",
}
"""Open a form, lead to a preview, or answer. A mention and a message are commands, as `test_who_may.py` tries them."""

TRIED_ELSEWHERE = {PROOF_DISMISS: "test_fallback_verification.py"}
"""Anybody may, but there is something to do only after days of usage."""

COMMANDS_THAT_READ = {
    *("help", "status", "report", "top", "cache", "forecast", "plan", "rates", "limits", "digest", "doctor"),
    *("budget", "calendar", "fallback", "alerts"),
}


class Recorder:
    """Stands where handlers register what they listen to, and keeps the names."""

    def __init__(self) -> None:
        self.names: list[Any] = []

    def _kept(self, name: Any) -> Callable[[Any], Any]:
        self.names.append(name)
        return lambda listener: listener

    action = view = shortcut = event = command = _kept

    def middleware(self, listener: Any) -> None:
        """Ignored: it has no action name."""

    def error(self, listener: Any) -> None:
        """Ignored: it has no action name."""


@pytest.fixture
async def bot(simulated: World, clock: HandClock, tmp_path: Path) -> AsyncIterator[Bot]:
    """A budget with an owner over its limit, an open spike, and a mode that needs a second admin."""
    file = tmp_path / "permissions.toml"
    file.write_text("[forecast]\nenabled = false\n[fallback]\napprovals = 1\n", encoding="utf-8")
    usual(simulated)
    settings = {"CLAUDE_COST_ADMINS": f"{ADMIN},{SECOND_ADMIN}", "CLAUDE_COST_CONFIG": str(file)}
    settings |= {"CLAUDE_COST_SOFT_USD": "4000", "CLAUDE_COST_HARD_USD": "5000"}
    async with simulated.connected_bot(**settings) as bot:
        await bot.cycle()
        clock.advance(HOUR)
        runaway(simulated)
        await bot.cycle()
        words = f"budget set search scope=workspace:wrkspc_1 hard=100 owners={OWNER}"
        preview = await (await simulated.slack.command(words, ADMIN)).first_reply()
        await (await simulated.slack.click(preview, SET_ACTION, ADMIN)).first_reply()
        await bot.cycle()
        yield bot


def stored(bot: Bot) -> dict[str, object]:
    """Everything in the database but the audit trail, cached values of one reader, and the bot's own lease."""
    with closing(read(bot)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[str, object] = {
            name: list(connection.execute(f"SELECT * FROM {name}"))
            for name in names
            if name not in ("audit", "state", "lease")
        }
    return found | {"auto": bot.services.fallback.auto()}


async def tried(world: World, bot: Bot, row: Row, who: Who) -> None:
    """Send the request of this row, as this person."""
    common = {"trigger_id": "1.2.3", "api_app_id": "A0", "token": "t", **who.named}
    if row.words is not None:
        body = {"user_id": who.id, "team_id": who.team, "command": COMMAND, "channel_id": "C0ALERTS", "text": row.words}
        await world.slack.send_envelope("slash_commands", body | {"trigger_id": "1.2.3"})
    elif row.view is not None:
        carried, values = row.view(bot)
        selected = ("until", "mode", "every", "on", "at", "about")
        state = {
            name: {"value": {"selected_option": {"value": value}} if name in selected else {"value": value}}
            for name, value in values.items()
        }
        view: dict[str, Any] = {
            "id": "V1",
            "type": "modal",
            "callback_id": row.name,
            "private_metadata": json.dumps(carried),
        }
        view |= {"state": {"values": state}, "blocks": [], "hash": "h", "team_id": TEAM_ID}
        await world.slack.send_envelope("interactive", common | {"type": "view_submission", "view": view})
    else:
        value = row.value(bot) if callable(row.value) else row.value
        action = {"type": "button", "action_id": row.name, "block_id": row.row, "value": value, "action_ts": "1.0"}
        place = {"channel": {"id": "C0ALERTS"}, "message": {"ts": "1.0"}, "container": {"type": "message"}}
        await world.slack.send_envelope("interactive", common | {"type": "block_actions", "actions": [action], **place})


async def answered(bot: Bot) -> None:
    # What is acknowledged begins in the next turn of the loop.
    await asyncio.sleep(0.02)
    assert await bot.in_flight.drain(20)
    # What is written after an answer is not in flight before the loop has turned once more.
    await asyncio.sleep(0)
    assert await bot.in_flight.drain(20)


async def test_everything_is_refused_to_whoever_may_not_and_done_for_whoever_may(simulated: World, bot: Bot) -> None:
    before = stored(bot)
    for row in ROWS:
        refused = sorted(EVERYBODY - row.may)
        await asyncio.gather(*(tried(simulated, bot, row, PEOPLE[name]) for name in refused))
        await answered(bot)
        assert stored(bot) == before, f"one of {refused}: {row.name} {row.words or ''}"
        assert row.does in row.may
        await tried(simulated, bot, row, PEOPLE[row.does])
        await answered(bot)
        after = stored(bot)
        assert after != before, f"{row.does} may: {row.name} {row.words or ''}"
        before = after


async def test_every_button_form_and_command_has_its_row(simulated: World) -> None:
    recorder = Recorder()
    async with simulated.bot() as bot:
        handlers.register(recorder, bot.services, bot.in_flight)  # type: ignore[arg-type]
    names = {row.name for row in ROWS} | READS | TRIED_ELSEWHERE.keys()
    without = [each for each in recorder.names if not _has_row(each, names)]
    assert without == [], "add a row to ROWS, or a name to READS where nothing is changed"
    typed = {(row.words or "").partition(" ")[0] for row in ROWS if row.name == COMMAND} | COMMANDS_THAT_READ
    assert {each.name for each in SUBCOMMANDS} <= typed, "add a row to ROWS, or a name to COMMANDS_THAT_READ"
    assert {each for each in names if not any(_has_row(known, {each}) for known in recorder.names)} == set()


def _has_row(listened: Any, names: set[str]) -> bool:
    if isinstance(listened, str):
        return listened in names
    return any(listened.search(name) for name in names)
