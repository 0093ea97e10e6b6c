"""Only an admin of the bot's own workspace changes anything, whatever is clicked, sent or forged."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.runner.cycle import Bot
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER, TEAM_ID
from handlers.render.budget import REMOVE_ACTION, SET_ACTION
from handlers.render.budget_changes import UNDO_ACTION
from handlers.render.digest_form import FORM as DIGEST_FORM
from handlers.render.digest_settings import STOP_ACTION as STOP_DIGEST
from handlers.render.digest_settings import UNDO_ACTION as UNDO_DIGEST
from handlers.render.expected import FORM as EXPECTED_FORM
from handlers.render.forms import FALLBACK_FORM
from handlers.render.proposal import APPROVE_ACTION as APPROVE_PROPOSAL
from handlers.render.proposal import REJECT_ACTION as REJECT_PROPOSAL
from handlers.render.raises import APPROVE_ACTION, CANCEL_ACTION, DECLINE_ACTION
from handlers.render.raises import FORM as RAISE_FORM
from handlers.render.spend import SWITCH_ACTION
from tests.scenario.conftest import World
from tests.scenario.test_logged_budgets import budget, set_budget

WHO: dict[str, dict[str, Any]] = {
    "a member": {"user": {"id": DEVELOPER, "team_id": TEAM_ID}, "team": {"id": TEAM_ID}},
    "a namesake of the admin in another company": {
        "user": {"id": ADMIN, "team_id": "T0OTHER"},
        "team": {"id": TEAM_ID},
    },
    "an admin's id in another team": {"user": {"id": ADMIN, "team_id": "T0OTHER"}, "team": {"id": "T0OTHER"}},
    "an admin's id in an organization": {
        "user": {"id": ADMIN, "team_id": TEAM_ID, "enterprise_id": "E0OTHER"},
        "team": {"id": TEAM_ID},
    },
    "nobody": {"user": {}, "team": {"id": TEAM_ID}},
    "the bot itself": {"user": {"id": BOT_USER, "team_id": TEAM_ID}, "team": {"id": TEAM_ID}},
}
FORGED = (
    "",
    "0",
    "1",
    "2",
    "999999999999999999",
    "-1",
    "1; DROP TABLE raises",
    "none search hard=1",
    "x" * 2000,
    "null",
    "week|||",
)
ACTIONS = (
    SET_ACTION,
    REMOVE_ACTION,
    UNDO_ACTION,
    APPROVE_ACTION,
    DECLINE_ACTION,
    CANCEL_ACTION,
    APPROVE_PROPOSAL,
    REJECT_PROPOSAL,
    f"{SWITCH_ACTION}:minimal",
    STOP_DIGEST,
    UNDO_DIGEST,
)
COMMANDS = (
    "budget set search hard=1",
    "budget remove search",
    "calendar add night every day 00:00 for 23h",
    "calendar remove day",
    "fallback on minimal",
    "fallback auto on",
    "test-alert",
    "digest on daily",
    "digest off",
    "digest on for=team:search",
)


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    """A bot with something to change: a budget, its raise, a requested raise, and an entry of the calendar."""
    simulated.spend(210)
    async with simulated.connected_bot() as bot:
        set_budget(bot, budget("search", "organization", "5", "500"))
        await bot.cycle()
        for words in (
            "budget raise search to=600 until=2d",
            "calendar add day on 2026-12-24 00:00 for 1h",
            "digest on weekly",
        ):
            await (await simulated.slack.command(words, ADMIN)).first_reply()
        await (await simulated.slack.command("budget raise default to=900 until=2d", DEVELOPER)).first_reply()
        yield bot


def state(bot: Bot) -> dict[str, object]:
    services = bot.services
    return {
        "budgets": services.budgets.in_force(),
        "history": services.budgets.history(None),
        "digests": services.digest_settings.in_force(),
        "calendar": services.calendar.plans(services.clock()).kept,
        "mode": (services.fallback.state().mode.name, services.fallback.auto()),
    }


async def everything_answered(bot: Bot) -> None:
    # What is acknowledged begins in the next turn of the loop.
    await asyncio.sleep(0.1)
    assert await bot.in_flight.drain(20)


def body_of(who: dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **who, "trigger_id": "1.2.3", "api_app_id": "A0", "token": "t", **more}


async def test_no_forged_button_changes_anything(simulated: World, bot: Bot) -> None:
    before = state(bot)
    for who, action_id, value in itertools.product(WHO, ACTIONS, FORGED):
        action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value, "action_ts": "1.0"}
        place = {"channel": {"id": "C0ALERTS"}, "message": {"ts": "1.0"}, "container": {"type": "message"}}
        await simulated.slack.send_envelope(
            "interactive", body_of(WHO[who], "block_actions", actions=[action], **place)
        )
    await everything_answered(bot)
    assert state(bot) == before


async def test_no_typed_command_of_a_stranger_changes_anything(simulated: World, bot: Bot) -> None:
    before = state(bot)
    for who, text in itertools.product(WHO, COMMANDS):
        user = WHO[who]["user"]
        named = {"user_id": user.get("id", ""), "team_id": user.get("team_id", TEAM_ID), "command": "/claude-cost"}
        if "enterprise_id" in user:
            named["enterprise_id"] = user["enterprise_id"]
        place = {"channel_id": "C0ALERTS", "trigger_id": "1.2.3", "text": text}
        await simulated.slack.send_envelope("slash_commands", named | place)
    await everything_answered(bot)
    assert state(bot) == before
    assert not [each for each in simulated.posts() if "Test alert" in each.text]


async def test_the_same_button_of_an_admin_does_change_it(simulated: World, bot: Bot) -> None:
    before = state(bot)
    who = {"user": {"id": ADMIN, "team_id": TEAM_ID}, "team": {"id": TEAM_ID}}
    action = {"type": "button", "action_id": APPROVE_ACTION, "block_id": "b", "value": "2", "action_ts": "1.0"}
    await simulated.slack.send_envelope("interactive", body_of(who, "block_actions", actions=[action]))
    await everything_answered(bot)
    assert state(bot)["budgets"] != before["budgets"]


METADATA = (
    "",
    "{}",
    "[]",
    "null",
    "[" * 3000,
    json.dumps({"response_url": "http://127.0.0.1:1/x", "limit": "hard", "budget": "search hard=1"}),
    json.dumps({"response_url": 7, "limit": "nonsense", "budget": "x"}),
    json.dumps({"response_url": "", "limit": "threshold", "budget": "gone hard=1"}),
    json.dumps({"response_url": "", "alert": 999}),
    json.dumps({"response_url": "", "key": "week|||"}),
)


async def test_no_made_up_form_raises_a_limit_or_changes_the_mode(simulated: World, bot: Bot) -> None:
    before = state(bot)
    values = {
        "to": {"value": {"type": "plain_text_input", "value": "1000000"}},
        "until": {"value": {"type": "static_select", "selected_option": {"value": "2d"}}},
        "mode": {"value": {"type": "static_select", "selected_option": {"value": "minimal"}}},
        "every": {"value": {"type": "static_select", "selected_option": {"value": "day"}}},
        "about": {"value": {"type": "static_select", "selected_option": {"value": "organization"}}},
    }
    for who, callback, packed in itertools.product(
        WHO, (RAISE_FORM, EXPECTED_FORM, FALLBACK_FORM, DIGEST_FORM), METADATA
    ):
        view: dict[str, Any] = {
            "id": "V1",
            "type": "modal",
            "callback_id": callback,
            "private_metadata": packed,
            "blocks": [],
        }
        view |= {"state": {"values": values}, "hash": "h", "team_id": TEAM_ID}
        await simulated.slack.send_envelope("interactive", body_of(WHO[who], "view_submission", view=view))
    await everything_answered(bot)
    # Anybody but an admin may ask for a raise.
    assert state(bot) | {"history": before["history"]} == before


async def test_mentions_of_made_up_users_change_nothing(simulated: World, bot: Bot) -> None:
    before = state(bot)
    for user, text in itertools.product((ADMIN, DEVELOPER, "", "U0MADEUP"), COMMANDS):
        event = {"type": "app_mention", "user": user, "text": text, "ts": "1.0", "channel": "C0ALERTS"}
        event |= {"user_team": "T0OTHER", "team": "T0OTHER"}
        await simulated.slack.send_envelope(
            "events_api", {"type": "event_callback", "team_id": TEAM_ID, "event": event, "event_id": f"Ev{text}{user}"}
        )
    await everything_answered(bot)
    assert state(bot) == before
