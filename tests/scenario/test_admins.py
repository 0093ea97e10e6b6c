"""Who may change the fallback mode: named people, members of named groups, and nobody where nobody is named."""

from collections.abc import AsyncIterator

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.fallback.admins import Admins
from bot.sandbox.clock import HandClock
from bot.sandbox.faults import Fault
from bot.sandbox.slack_server import SlackSandbox
from bot.sandbox.slack_workspace import TEAM_ID
from bot.slack_connection import Workspace
from tests.databases import NOW
from tests.scenario.conftest import member


@pytest.fixture
async def slack() -> AsyncIterator[SlackSandbox]:
    async with SlackSandbox(HandClock(NOW)) as sandbox:
        sandbox.workspace.usergroups = {"S0OPS": ["U0OPS"], "S0FIN": ["U0FIN", "U0OPS"]}
        yield sandbox


def admins(slack: SlackSandbox, *ids: str) -> Admins:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    return Admins(set(ids), client, Workspace(team_id=TEAM_ID))


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


async def test_everybody_else_is_told_whom_to_ask(slack: SlackSandbox) -> None:
    assert await refusal(slack, "U0DEV", "U0ADMIN", "W0LEAD") == (
        "Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change the fallback mode "
        "(<@U0ADMIN>, <@W0LEAD>)."
    )


async def test_a_member_of_a_named_group_may_where_the_scope_is_granted(slack: SlackSandbox) -> None:
    slack.workspace.scopes.add("usergroups:read")
    assert (await admins(slack, "S0OPS", "S0FIN").may_switch(member("U0FIN"))).allowed
    assert not (await admins(slack, "S0OPS").may_switch(member("U0FIN"))).allowed


async def test_without_the_scope_members_are_refused_and_told_which_scope_is_missing(slack: SlackSandbox) -> None:
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
    # aiohttp asks once more by itself where a question that changes nothing was not answered.
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
