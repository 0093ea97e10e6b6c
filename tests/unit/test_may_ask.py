"""Owners of a budget may ask for more of it, and admins raise it; anybody may ask where it has no owners."""

from dataclasses import replace

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.budgets.budget import Budget
from bot.budgets.owners import Team, Teams, mentioned, owners_of
from bot.budgets.parsing import budget_of, split_budget_words
from bot.clock import system_clock
from bot.db.state import Person
from bot.fallback.admins import Admins
from bot.notify.slack_connection import Workspace
from bot.sandbox.slack_server import SlackSandbox
from bot.sandbox.slack_workspace import TEAM_ID


def budget(words: str) -> Budget:
    return budget_of(*split_budget_words(f"search hard=10 {words}"))


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("owner=U0ADA", {"U0ADA", "U0ADMIN"}),
        ("owner=S0TEAM", {"U0BEN", "U0ADMIN"}),
        ("owner=U0ADA,S0TEAM", {"U0ADA", "U0BEN", "U0ADMIN"}),
        ("owner=S0OTHER", {"U0ADMIN"}),
        ("soft=5", {"U0ADA", "U0BEN", "U0ADMIN", "U0EVE"}),
    ],
)
async def test_owners_members_of_their_groups_and_admins_may_ask(words: str, allowed: set[str]) -> None:
    async with SlackSandbox(system_clock) as slack, aiohttp.ClientSession() as session:
        slack.workspace.usergroups["S0TEAM"] = ["U0BEN"]
        slack.workspace.scopes.add("usergroups:read")
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        admins = Admins(frozenset({"U0ADMIN"}), client, Workspace(team=TEAM_ID))
        people = ("U0ADA", "U0BEN", "U0ADMIN", "U0EVE")
        rights = {each: await admins.may_raise(Person(each, frozenset({TEAM_ID})), budget(words)) for each in people}
        assert {each for each, found in rights.items() if found.refused is None} == allowed
        assert {each for each, found in rights.items() if found.at_once} == {"U0ADMIN"}
        if words.startswith("owner"):
            stranger = Person("U0ADA", frozenset({TEAM_ID, "T0ELSEWHERE"}))
            refused = (await admins.may_raise(stranger, budget(words))).refused
            assert refused is not None, "the same id in another company is another person"


def test_what_a_budget_lacks_comes_from_its_team() -> None:
    teams = Teams([Team("search", (), "C0SEARCH", ("U0ADA",), ("soft",))])
    bare = teams.completed(budget("team=search scope=organization"))
    assert (bare.channel, owners_of(bare), mentioned(bare, "soft"), mentioned(bare, "hard")) == (
        *("C0SEARCH", ("U0ADA",), ("U0ADA",)),
        (),
    )
    own = teams.completed(budget("team=search scope=organization channel=C0OWN owner=U0BEN mention=none"))
    assert (own.channel, owners_of(own), mentioned(own, "soft")) == ("C0OWN", ("U0BEN",), ())
    silent = replace(budget("owner=U0ADA"), mention=None)
    assert (mentioned(silent, "soft"), mentioned(silent, "hard")) == ((), ("U0ADA",))
