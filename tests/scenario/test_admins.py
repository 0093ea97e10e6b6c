"""Who may change the fallback mode: named people, members of named groups, and nobody where nobody is named."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.db.state import Person
from bot.fallback.admins import Admins
from bot.notify.slack_connection import Workspace
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import ALERTS, SlackSandbox
from bot.sandbox.slack_workspace import ADMIN, TEAM_ID
from handlers.render.lifecycle import ACKNOWLEDGE_ACTION
from handlers.requests import person_of
from tests.databases import NOW
from tests.scenario.conftest import World, member


@pytest.fixture
async def slack() -> AsyncIterator[SlackSandbox]:
    async with SlackSandbox(HandClock(NOW)) as sandbox:
        sandbox.workspace.usergroups = {"S0OPS": ["U0OPS"], "S0FIN": ["U0FIN", "U0OPS"]}
        yield sandbox


def admins(slack: SlackSandbox, *ids: str) -> Admins:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    return Admins(set(ids), client, Workspace(team=TEAM_ID))


async def refusal(slack: SlackSandbox, user: str, *ids: str) -> str:
    sentence = (await admins(slack, *ids).may_switch(member(user))).refusal
    assert sentence is not None
    assert sentence.startswith("Nothing was changed: ")
    return sentence


async def test_where_nobody_is_named_the_refusal_names_the_variable(slack: SlackSandbox) -> None:
    assert "CLAUDE_COST_ADMINS" in await refusal(slack, "U0OPS")
    assert slack.calls == []


async def test_a_named_person_may_without_slack_being_asked(slack: SlackSandbox) -> None:
    assert (await admins(slack, "U0ADMIN", "S0OPS").may_switch(member("U0ADMIN"))).allowed
    assert slack.calls == []


async def test_everybody_else_learns_whom_to_ask(slack: SlackSandbox) -> None:
    assert await refusal(slack, "U0DEV", "U0ADMIN", "W0LEAD") == (
        "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change the fallback mode "
        "(<@U0ADMIN>, <@W0LEAD>)."
    )


async def test_a_member_of_a_named_group_may_where_the_scope_is_granted(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    assert (await admins(slack, "S0OPS", "S0FIN").may_switch(member("U0FIN"))).allowed
    assert not (await admins(slack, "S0OPS").may_switch(member("U0FIN"))).allowed


async def test_without_the_scope_members_are_refused_with_the_missing_scope(slack: SlackSandbox) -> None:
    sentence = await refusal(slack, "U0OPS", "S0OPS")
    assert "S0OPS" in sentence
    assert "usergroups:read" in sentence


async def test_a_group_that_slack_does_not_know_is_named_as_a_mistake_of_the_setting(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    sentence = await refusal(slack, "U0OPS", "S0GONE")
    assert "Slack knows no user group S0GONE: correct CLAUDE_COST_ADMINS" in sentence
    assert "usergroups:read" not in sentence


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop"),
        Fault("html", status=502),
        Fault("not_json"),
        Fault("status", status=503),
        Fault("status", status=429, retry_after="30"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
async def test_while_slack_fails_members_are_refused_without_blaming_the_scope(
    slack: SlackSandbox, fault: Fault
) -> None:
    slack.workspace.scopes.add("usergroups:read")
    # aiohttp itself repeats an unanswered idempotent request once.
    slack.faults.add("usergroups.users.list", fault, times=2 if fault.kind == "drop" else 1)
    sentence = await refusal(slack, "U0OPS", "S0OPS")
    assert "usergroups:read" not in sentence
    assert "S0OPS" in sentence
    assert (await admins(slack, "S0OPS").may_switch(member("U0OPS"))).allowed


async def test_one_group_that_cannot_be_read_does_not_lock_out_members_of_another(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    assert (await admins(slack, "S0GONE", "S0OPS").may_switch(member("U0OPS"))).allowed


async def test_whoever_has_left_the_group_is_refused_at_the_next_click(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    mine = admins(slack, "S0OPS")
    assert (await mine.may_switch(member("U0OPS"))).allowed
    slack.workspace.usergroups["S0OPS"] = []
    assert not (await mine.may_switch(member("U0OPS"))).allowed


OWN = Workspace(team="T1")
IN_GRID = Workspace(team="T1", enterprise="E1")


def someone(*teams: str, enterprises: tuple[str, ...] = ()) -> Person:
    return Person("U0ADMIN", frozenset(teams), frozenset(enterprises))


@pytest.mark.parametrize(
    ("own", "person", "belongs"),
    [
        (OWN, someone("T1"), True),
        (OWN, someone("T2"), False),
        (OWN, someone("T1", "T2"), False),
        (OWN, someone(), False),
        (OWN, someone("T1", enterprises=("E2",)), False),
        (OWN, someone("E2"), False),
        (IN_GRID, someone("T1", enterprises=("E1",)), True),
        (IN_GRID, someone("T2", enterprises=("E1",)), True),
        (IN_GRID, someone(enterprises=("E1",)), True),
        (IN_GRID, someone("E1"), True),
        (IN_GRID, someone("T1"), True),
        (IN_GRID, someone("T2"), False),
        (IN_GRID, someone("T1", enterprises=("E2",)), False),
        (IN_GRID, someone("T1", "E2", enterprises=("E1",)), False),
        (Workspace(), someone(), False),
    ],
)
async def test_an_admins_id_counts_only_from_the_bots_own_workspace_or_organization(
    slack: SlackSandbox, own: Workspace, person: Person, *, belongs: bool
) -> None:
    slack.faults.outage = Fault("status", status=503)
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    permission = await Admins({"U0ADMIN"}, client, own).may_switch(person)
    assert permission.allowed is belongs
    if not belongs and own.is_known:
        assert permission.refusal == (
            "Nothing was changed: only admins of the bot's own Slack workspace may change the fallback mode."
        )


async def test_a_member_of_a_group_counts_only_from_the_bots_own_workspace(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    stranger = Person("U0OPS", frozenset({"T0OTHER"}))
    assert not (await admins(slack, "S0OPS").may_switch(stranger)).allowed
    assert slack.calls == []


async def test_a_workspace_that_is_not_known_yet_is_asked_for_at_the_click(slack: SlackSandbox) -> None:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    own = Admins({"U0OPS"}, client, Workspace())
    slack.faults.add("auth.test", Fault("status", status=503))
    refused = (await own.may_switch(member("U0OPS"))).refusal
    assert refused is not None
    assert "Slack has not said yet which workspace" in refused
    assert (await own.may_switch(member("U0OPS"))).allowed
    assert (await own.may_switch(member("U0OPS"))).allowed
    assert [call.method for call in slack.calls] == ["auth.test", "auth.test"]


PAYLOADS: list[tuple[dict[str, Any], Person]] = [
    ({"user_id": "U1", "team_id": "T1", "enterprise_id": "E1"}, Person("U1", frozenset({"T1"}), frozenset({"E1"}))),
    (
        {"user": {"id": "U1", "team_id": "T2"}, "team": {"id": "T1"}, "enterprise": None},
        Person("U1", frozenset({"T1", "T2"})),
    ),
    (
        {"user": {"id": "U1", "team_id": "T2"}, "team": None, "enterprise": {"id": "E1"}},
        Person("U1", frozenset({"T2"}), frozenset({"E1"})),
    ),
    ({"user": "U1", "team": "T1"}, Person("")),
]


@pytest.mark.parametrize(("payload", "person"), PAYLOADS)
def test_a_request_names_its_user_with_every_team(payload: dict[str, Any], person: Person) -> None:
    assert person_of(payload) == person


@pytest.mark.parametrize(
    "words", ["fallback on", "fallback off", "fallback auto on", "test-alert", "fallback on minimal for 2h"]
)
async def test_a_stranger_with_an_admins_id_changes_nothing(simulated: World, words: str) -> None:
    async with simulated.connected_bot() as bot:
        response = simulated.slack.response_urls.new(ADMIN, ALERTS)
        payload = {
            "command": "/claude-cost",
            "text": words,
            "user_id": ADMIN,
            "team_id": "T0OTHER",
            "channel_id": ALERTS,
            "response_url": f"{simulated.slack.origin}/response/{response.id}",
            "trigger_id": "1.2.3",
        }
        await simulated.slack.send_envelope("slash_commands", payload)
        assert (await response.first_reply()).text.startswith("Nothing was changed: only admins of the bot's own")
        assert bot.services.fallback.state().changed_at is None


async def test_a_stranger_with_an_admins_id_confirms_no_budget_but_may_acknowledge(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        simulated.spend(120)
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        stranger = {"id": ADMIN, "name": "x", "team_id": "T0OTHER"}
        values = {"budget_set": "- search organization month UTC hard=10"}
        for action, value in (*values.items(), ("proposal_approve", "1"), ("fallback_switch:degraded", "degraded")):
            response = simulated.slack.response_urls.new(ADMIN, ALERTS)
            await simulated.slack.send_envelope("interactive", click(simulated, stranger, action, value, response.id))
            assert (await response.first_reply()).text.startswith("Nothing was changed: only admins of the bot's own")
        button = next(
            e for b in alert.blocks for e in b.get("elements", []) if e.get("action_id") == ACKNOWLEDGE_ACTION
        )
        response = simulated.slack.response_urls.new(ADMIN, ALERTS)
        payload = click(simulated, stranger, ACKNOWLEDGE_ACTION, button["value"], response.id)
        await simulated.slack.send_envelope("interactive", payload)
        assert (await response.first_reply()).text.startswith("Acknowledged")


def click(world: World, user: dict[str, str], action: str, value: str, response_id: str) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": user,
        "team": {"id": TEAM_ID, "domain": "sandbox"},
        "channel": {"id": ALERTS},
        "container": {"type": "message", "channel_id": ALERTS},
        "trigger_id": "1.2.3",
        "response_url": f"{world.slack.origin}/response/{response_id}",
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
    }
