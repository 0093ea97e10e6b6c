"""A team's budget: what it counts, what it takes from its team, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config.settings import Need, SettingsError, load_settings
from bot.runner.cycle import Bot
from bot.sandbox.slack_workspace import ADMIN
from handlers.commands import answer
from handlers.render.budget import SET_ACTION
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send

SEARCH = """
[[team]]
name = "search"
scopes = ["workspace:Search", "key:ingest", "key:answers", "tag:team=search"]
channel = "C0SEARCH"
owners = ["U0ADA", "S0TEAM"]

[[team]]
name = "care"
scopes = ["feature:support", "tag:team=care", "user:u1"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def written(text: str) -> str:
        file = tmp_path / "teams.toml"
        file.write_text(text)
        return str(file)

    return written


async def ask(bot: Bot, words: str) -> str:
    return (await answer(bot.services, member(ADMIN), words)).text


async def set_in_chat(world: World, words: str) -> str:
    message = await (await world.slack.command(f"/claude-cost {words}", ADMIN)).first_reply()
    return (await (await world.slack.click(message, SET_ACTION, ADMIN)).first_reply()).text


async def test_a_team_is_counted_once_and_its_budget_goes_to_its_channel(
    simulated: World, config: Callable[[str], str]
) -> None:
    simulated.spend(30)  # The key ingest in the workspace Search: both are the team's.
    simulated.spend(12, key="apikey_2", workspace=None)
    simulated.spend(500, key="apikey_3", workspace=None)
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=config(SEARCH)) as bot:
        await bot.cycle()
        proposal = await ask(bot, "budget set search-team soft=50 hard=100 for=team:search")
        assert "Spent in November: $42.00" in proposal
        assert "Team search counts workspace:Search, key:ingest, key:answers, each request once." in proposal
        assert "Not counted: tag:team=search." in proposal
        await set_in_chat(simulated, "budget set search-team soft=50 hard=100 for=team:search owner=<@U0ADMIN|admin>")
        listed = await ask(bot, "budget list")
        assert "Its alerts go to <#C0SEARCH>." in listed
        assert "Owners: <@U0ADMIN>, mentioned at: hard." in listed
        [budget] = [each for each in bot.services.budgets.in_force() if each.name == "search-team"]
        assert (budget.channel, budget.owners, budget.team) == ("C0SEARCH", ("U0ADMIN",), "search")


async def test_what_a_team_logs_is_counted_once_too(simulated: World, config: Callable[[str], str]) -> None:
    text = SEARCH + '[[budget]]\nname = "care"\nteam = "care"\nsoft_usd = "5"\n'
    async with simulated.bot(CLAUDE_COST_CONFIG=config(text)) as bot, served(bot) as client:
        await send(
            client,
            record(1, "1", "support", user_id="u1", tags={"team": "care"}),
            record(2, "1", "search", user_id="u1"),
            record(3, "1", "search", user_id="u2", tags={"team": "care"}),
            record(4, "9", "search", user_id="u2"),
        )
        await bot.cycle()
        assert simulated.posts() == []
        assert "$3.00 of $5.00 (60%), November, budget care" in await ask(bot, "status")
        await send(client, record(5, "2", "support"))
        await bot.react()
        [alert] = simulated.posts()
        assert alert.text.startswith("$5.00")
        assert "budget care" in alert.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[[budget]]\nname = "a"\nhard_usd = "1"\nteam = "serach"',
            "budget.0.scope: There is no team serach: did you mean",
        ),
        (
            '[[budget]]\nname = "a"\nhard_usd = "1"\nscope = "team:x"',
            "budget.0.scope: There is no team x: there is care",
        ),
        ('[[team]]\nname = "empty"\nscopes = []', "team.2.scopes"),
        ('[[team]]\nname = "empty"', "team.2.scopes"),
        ('[[team]]\nname = "a"\nscopes = ["organization"]', "cannot belong to a team: use workspace:ID"),
        ('[[team]]\nname = "a"\nscopes = ["team:search"]', "cannot belong to a team"),
        ('[[team]]\nname = "a"\nscopes = ["model:opus"]', "cannot belong to a team"),
        ('[[team]]\nname = "SEARCH"\nscopes = ["key:a"]', "two teams are named search"),
        ('[[team]]\nname = "a b"\nscopes = ["key:a"]', "a name is one word"),
        ('[[team]]\nname = "a"\nscopes = ["key:a"]\nchannel = "#search"', "is no channel"),
        ('[[team]]\nname = "a"\nscopes = ["key:a"]\nowners = ["ada@example.com"]', "is no owner"),
        (
            '[[team]]\nname = "a"\nscopes = ["key:a"]\nmention = ["drift"]',
            "use threshold, soft, hard, forecast or spike",
        ),
    ],
)
def test_a_mistake_in_a_team_is_one_sentence(
    simulated: World, config: Callable[[str], str], text: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({**simulated.environ, "CLAUDE_COST_CONFIG": config(SEARCH + text)}, Need.RUN)
    assert sentence in str(raised.value)


async def test_a_team_whose_scopes_match_nothing_is_refused_and_never_zero(
    simulated: World, config: Callable[[str], str]
) -> None:
    ghosts = '[[team]]\nname = "{}"\nscopes = {}\n'
    text = ghosts.format("typo", '["workspace:Search", "key:ingset"]') + ghosts.format("quiet", '["feature:none"]')
    text += '[[budget]]\nname = "typo"\nteam = "typo"\nhard_usd = "1"\n'
    simulated.spend(30)
    async with simulated.bot(CLAUDE_COST_CONFIG=config(text)) as bot:
        await bot.cycle()
        refused = await ask(bot, "budget set a hard=10 for=team:typo")
        assert "team:typo would count nothing. Team typo has key:ingset. There is no key ingset" in refused
        unknown = await ask(bot, "budget set a hard=10 for=team:tpyo")
        assert unknown.startswith("Nothing was changed. There is no team tpyo: did you mean team:typo?")
        assert "A budget for its workspace or key, with channel= and owners=, needs no team" in unknown
        quiet = await ask(bot, "budget set a hard=10 for=team:quiet")
        assert "No usage is logged with the feature none yet" in quiet
        assert "$0.00" not in quiet
        status = await ask(bot, "status")
        assert "Budget typo counts nothing: Team typo has key:ingset." in status


async def test_doctor_looks_for_what_is_logged_in_the_log(simulated: World, config: Callable[[str], str]) -> None:
    """It knows logged features, users and tags, and names scopes that were never logged."""
    text = SEARCH + '[[budget]]\nname = "care"\nteam = "care"\nsoft_usd = "5"\n'
    text += '[[budget]]\nname = "none"\nscope = "feature:none"\nsoft_usd = "5"\n'
    async with simulated.bot(CLAUDE_COST_CONFIG=config(text)) as bot, served(bot) as client:
        await send(client, record(1, "1", "search", tags={"team": "care"}))
        await bot.cycle()
        found = {check.name: check for check in await bot.services.examine()}
    assert found["database"].state == "ok"
    assert found["scopes"].sentence.startswith("none: No usage is logged with the feature none yet")
    assert "care" not in found["scopes"].sentence


@pytest.mark.parametrize("scope", ["workspace:Search", "key:ingest", "team:search", "workspace:nope"])
async def test_what_is_not_read_yet_is_no_warning_and_nothing_false_is_said_of_it(
    simulated: World, config: Callable[[str], str], scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    team = '[[team]]\nname = "search"\nscopes = ["workspace:Search"]\n'
    text = team + f'[[budget]]\nname = "new"\nscope = "{scope}"\nhard_usd = "100"\n'
    async with simulated.bot(CLAUDE_COST_CONFIG=config(text)) as bot:
        for words in ("status", "budget list"):
            before = await ask(bot, words)
            assert "counts nothing" not in before
        assert "Budget new has no data: Whether there is a " in await ask(bot, "status")
        await bot.cycle()
        await bot.cycle()
        standing = await ask(bot, "status")
    warned = [each.getMessage() for each in caplog.records if "budget new" in each.getMessage() and each.levelno > 20]
    assert len(warned) == ("nope" in scope)
    assert ("counts nothing" in standing) == ("nope" in scope)
    assert "has no data" not in standing


async def test_doctor_counts_as_wrong_only_what_certainly_is(simulated: World, config: Callable[[str], str]) -> None:
    text = "".join(
        f'[[budget]]\nname = "{name}"\nscope = "{scope}"\nhard_usd = "100"\n'
        for name, scope in (("later", "feature:later"), ("typo", "model:opsu"))
    )
    simulated.spend(3)
    async with simulated.bot(CLAUDE_COST_CONFIG=config(text)) as bot:
        await bot.cycle()
        found = {check.name: check for check in await bot.services.examine()}
    assert found["scopes"].text.startswith("1 budget counts nothing: typo: There is no model opsu")
    assert "later: No usage is logged with the feature later yet" in found["scopes"].text
