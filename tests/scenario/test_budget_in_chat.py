"""Budgets from chat: shown first, changed by an admin's click, and watched from the next cycle on."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from bot.budgets.budget import Budget
from bot.clock import DAY, HOUR
from bot.db.engine import connect
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_usage import DEFAULT_WORKSPACE_ID
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER, Message
from handlers.render.asking import ASK_ACTION
from handlers.render.budget import REMOVE_ACTION, SET_ACTION
from handlers.render.budget_changes import UNDO_ACTION
from tests.scenario.conftest import ADMIN, World

SEARCH = "budget set search scope=workspace:wrkspc_1 soft=50 hard=80"


async def asked(world: World, words: str, user: str = ADMIN) -> Message:
    """The answer to a command, which Slack takes as it is."""
    message = await (await world.slack.command(words, user)).first_reply()
    assert problems(message.blocks, "message") == []
    return message


async def clicked(world: World, message: Message, action: str = SET_ACTION, user: str = ADMIN) -> str:
    return (await (await world.slack.click(message, action, user)).first_reply()).text


def buttons(message: Message) -> list[str]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return [element["action_id"] for row in rows for element in row]


def kept(bot: Bot) -> list[Budget]:
    return [one.budget for one in bot.services.budgets.kept()]


def audited(world: World) -> list[tuple[str, str, str]]:
    engine = connect(world.environ["CLAUDE_COST_DATABASE_URL"])
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT actor, outcome, detail FROM audit WHERE action = 'budget'").all()
    engine.dispose()
    return [(row[0], row[1], row[2]) for row in rows]


async def test_an_admin_sets_a_budget_and_its_alert_comes_with_the_next_cycle(simulated: World) -> None:
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        shown = await asked(simulated, SEARCH)
        assert shown.text.startswith(
            "Budget search would be set: workspace:wrkspc_1, each month (UTC), soft $50.00 and hard $80.00."
        )
        assert "Spent in November: $60.00, soft limit $50.00 (120%), hard limit $80.00 (75%)." in shown.text
        assert "The soft limit is reached already" in shown.text
        assert kept(bot) == []
        assert "is set by <@U0ADMIN>: workspace:wrkspc_1, each month (UTC)" in await clicked(simulated, shown)
        assert [budget.name for budget in kept(bot)] == ["search"]
        assert simulated.alerts("soft") == []
        await bot.cycle()
    (alert,) = simulated.alerts("soft")
    assert "budget search" in alert.text
    assert [(actor, outcome) for actor, outcome, _ in audited(simulated)] == [(ADMIN, "done")]


async def test_before_the_first_poll_what_was_spent_is_not_shown_as_zero(simulated: World) -> None:
    async with simulated.connected_bot():
        shown = await asked(simulated, SEARCH)
    assert "What it has spent is not known:" in shown.text
    assert "$0.00" not in shown.text


async def test_usage_that_was_never_read_makes_the_sum_incomplete_until_the_next_poll_has_read_it(
    simulated: World, tmp_path: Path, clock: HandClock
) -> None:
    simulated.spend(30, clock() - 10 * DAY)
    simulated.spend(5)
    config = tmp_path / "claude-cost.toml"
    config.write_text('[[budget]]\nname = "today"\nperiod = "day"\nhard_usd = "100"\n')
    only = {"CLAUDE_COST_CONFIG": str(config), "CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": ""}
    async with simulated.connected_bot(**only) as bot:
        await bot.cycle()
        shown = await asked(simulated, "budget set all hard=100")
        assert "Spent in November: $5.00" in shown.text
        assert re.search(r"INCOMPLETE: of \d+ of \d+ hours of this period no usage is known here yet", shown.text)
        await clicked(simulated, shown)
        await bot.cycle()
        again = await asked(simulated, "budget set all hard=90")
        assert "Spent in November: $35.00" in again.text
        assert "INCOMPLETE" not in again.text


async def test_nobody_else_may_confirm_and_the_refusal_is_kept(simulated: World) -> None:
    async with simulated.connected_bot():
        shown = await asked(simulated, SEARCH)
    async with simulated.connected_bot(CLAUDE_COST_ADMINS="U0OTHER") as bot:
        answer = await clicked(simulated, shown)
        assert answer.startswith("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change budgets")
        assert kept(bot) == []
    ((actor, outcome, detail),) = audited(simulated)
    assert (actor, outcome) == (ADMIN, "refused")
    assert detail.startswith("set search scope=workspace:wrkspc_1 period=month soft=50 hard=80 ")


async def test_whoever_may_not_change_it_reads_so_before_the_preview_and_can_only_ask(simulated: World) -> None:
    async with simulated.connected_bot():
        shown = await asked(simulated, SEARCH, DEVELOPER)
        first, second, *_ = shown.text.splitlines()
        assert first.startswith("Nothing was changed: only the people named in CLAUDE_COST_ADMINS may change budgets")
        assert second == f"Ask an admin to type: `/claude-cost {SEARCH}`"
        assert "Budget search would be set" in shown.text
        assert buttons(shown) == [ASK_ACTION]


async def test_a_change_is_announced_once_and_an_admin_may_undo_it(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        for words in ("hard=80", "hard=90", "hard=80"):
            await clicked(simulated, await asked(simulated, f"budget set search soft=50 {words}"))
        removal = await asked(simulated, "budget remove search")
        await clicked(simulated, removal, REMOVE_ACTION)
        await bot.cycle()
        await bot.cycle()
        changes = simulated.changes()
        assert [post.text.partition(" by <@U0ADMIN>")[0] for post in changes] == [
            "Budget search was set",
            "Budget search was changed",
            "Budget search was changed",
            "Budget search was removed",
        ]
        assert "hard limit: $80.00 → $90.00" in changes[1].text
        assert all(problems(post.blocks, "message") == [] for post in changes)
        assert (await clicked(simulated, changes[3], UNDO_ACTION, DEVELOPER)).startswith("Nothing was changed: only")
        assert "changed since" in await clicked(simulated, changes[0], UNDO_ACTION)
        assert "is set back" in await clicked(simulated, changes[3], UNDO_ACTION)
        assert "undone already" in await clicked(simulated, changes[3], UNDO_ACTION)
        assert [budget.hard_usd for budget in kept(bot)] == [80]
        await bot.cycle()
        assert "<@U0ADMIN> has undone this" in changes[3].text
        assert buttons(changes[3]) == []
        history = await asked(simulated, "budget history", DEVELOPER)
        assert [
            line.partition("search: <@U0ADMIN> has ")[2].partition(" it")[0] for line in history.text.splitlines()[1:6]
        ] == [
            "set",
            "removed",
            "changed",
            "changed",
            "set",
        ]
        assert "undone by" in history.text


async def test_an_old_button_does_not_act_again_though_the_budget_is_as_it_was_then(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        first = await asked(simulated, "budget set search hard=80")
        await clicked(simulated, first)
        up = await asked(simulated, "budget set search hard=90")
        await clicked(simulated, up)
        await clicked(simulated, await asked(simulated, "budget set search hard=80"))
        assert (await clicked(simulated, up)).startswith("Nothing was changed")
        assert [budget.hard_usd for budget in kept(bot)] == [80]


async def test_a_configured_budget_is_not_changed_and_the_answer_says_where_it_lives(
    simulated: World, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text('[[budget]]\nname = "search"\nhard_usd = "10"\n')
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        for words in (SEARCH, "budget remove search"):
            answer = await asked(simulated, words)
            assert answer.text.startswith("Nothing was changed: budget search cannot be changed from chat.")
            assert f"It is set in {config}: change it there and restart the bot." in answer.text
            assert buttons(answer) == []
        default = await asked(simulated, "budget set default hard=1")
        assert "CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD: change it there" in default.text
        assert kept(bot) == []


async def test_a_change_names_what_differs_and_keeps_the_rest(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await clicked(simulated, await asked(simulated, SEARCH))
        shown = await asked(simulated, "budget set search hard=120 thresholds=50,75")
        assert "• hard limit: $80.00 → $120.00" in shown.text
        assert "• thresholds: no share before → 50% and 75%" in shown.text
        assert "• soft limit" not in shown.text
        await clicked(simulated, shown)
        (budget,) = kept(bot)
        assert (budget.soft_usd, budget.hard_usd, budget.thresholds) == (Decimal(50), Decimal(120), (50, 75))
        assert str(budget.scope) == "workspace:wrkspc_1"
        again = await asked(simulated, "budget set search hard=120")
        assert again.text.startswith("Nothing was changed: budget search is already set so")
        assert buttons(again) == []


async def test_an_edited_limit_withdraws_the_alert_of_the_old_one(simulated: World) -> None:
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await clicked(simulated, await asked(simulated, SEARCH))
        await bot.cycle()
        await clicked(simulated, await asked(simulated, "budget set search soft=70"))
        await bot.cycle()
    (alert,) = simulated.alerts("soft")
    assert "not in force any more" in alert.text


async def test_a_removed_budget_is_watched_no_more_and_its_alert_is_withdrawn(simulated: World) -> None:
    simulated.spend(60)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await clicked(simulated, await asked(simulated, SEARCH))
        await bot.cycle()
        shown = await asked(simulated, "budget remove search")
        assert shown.text.startswith("Budget search would be removed: workspace:wrkspc_1")
        assert [budget.name for budget in kept(bot)] == ["search"]
        answer = await clicked(simulated, shown, REMOVE_ACTION)
        assert answer.startswith("Budget search is removed by <@U0ADMIN>.")
        assert kept(bot) == []
        await bot.cycle()
        (alert,) = simulated.alerts("soft")
        assert "not in force any more" in alert.text
        assert "there is none of that name now" in await clicked(simulated, shown, REMOVE_ACTION)
        gone = await asked(simulated, "budget remove serach")
        assert "there is no budget `serach`" in gone.text


async def test_a_button_that_shows_an_older_budget_changes_nothing(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        first = await asked(simulated, SEARCH)
        await clicked(simulated, await asked(simulated, "budget set search hard=10"))
        answer = await clicked(simulated, first)
        assert answer.startswith("Nothing was changed: budget search was changed since this was shown; it is now ")
        assert "hard $10.00" in answer
        (budget,) = kept(bot)
        assert budget.hard_usd == Decimal(10)
    assert len(audited(simulated)) == 1


async def test_a_second_click_finds_it_done_already(simulated: World) -> None:
    async with simulated.connected_bot():
        shown = await asked(simulated, SEARCH)
        await clicked(simulated, shown)
        assert "is already set so" in await clicked(simulated, shown)
    assert len(audited(simulated)) == 1


async def test_a_budget_that_is_configured_meanwhile_wins_and_the_list_says_so(
    simulated: World, tmp_path: Path
) -> None:
    async with simulated.connected_bot():
        shown = await asked(simulated, SEARCH)
        await clicked(simulated, shown)
    config = tmp_path / "claude-cost.toml"
    config.write_text('[[budget]]\nname = "search"\nhard_usd = "10"\n')
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        listed = await asked(simulated, "budget list")
        assert f"Another budget search was set in chat and does not count, since {config} sets one" in listed.text
        assert "cannot be changed from chat" in await clicked(simulated, shown)
        await clicked(simulated, await asked(simulated, "budget remove search"), REMOVE_ACTION)
        assert kept(bot) == []
        assert "does not count" not in (await asked(simulated, "budget")).text


async def test_the_list_says_of_each_budget_what_it_is_what_it_has_spent_and_where_it_is_set(
    simulated: World, tmp_path: Path, clock: HandClock
) -> None:
    simulated.spend(60)
    config = tmp_path / "claude-cost.toml"
    config.write_text('[display]\ncurrency = "JPY"\nrate = "150"\ntax_percent = "10"\n')
    words = "scope=workspace:wrkspc_1 period=week week_starts=sunday zone=Asia/Tokyo hard=240 thresholds=50,75,90"
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
        await clicked(simulated, await asked(simulated, f"budget set search {words}"))
        listed = (await asked(simulated, "budget")).text
        yen = "That is ¥9,000 without tax, ¥9,900 with 10% tax (at 150 JPY for 1 USD)."
        for words in ("status", "report", "budget list"):
            assert yen in (await asked(simulated, words)).text
        assert "That is ¥" in (await asked(simulated, "forecast")).text
        estimated = (await asked(simulated, "estimate sonnet-4.6 requests=100k in=2000 out=500")).text
        assert "That is ¥202,500 without tax, ¥222,750 with 10% tax (at 150 JPY for 1 USD)." in estimated
    assert "• default: organization, each month (UTC), soft US$100.00 and hard US$200.00." in listed
    assert "Spent in November: US$60.00, soft limit US$100.00 (60%), hard limit US$200.00 (30%)." in listed
    assert "It is set in CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD" in listed
    described = "workspace:wrkspc_1, each week from Sunday (Asia/Tokyo), hard US$240.00, notified at 50%, 75% and 90%"
    assert f"• search: {described}." in listed
    assert "Spent in the week of 15 Nov: US$60.00, hard limit US$240.00 (25%)." in listed
    assert f"Set by <@U0ADMIN>, {clock():%-d %b %H:%M} UTC." in listed


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        ("workspace:wrkspc_nope", "There is no workspace wrkspc_nope in this organization: did you mean"),
        (
            "workspace:serch",
            "There is no workspace serch in this organization: did you mean workspace:wrkspc_1 (Search)?",
        ),
        ("key:apikey_7", "There is no key apikey_7 in this organization: did you mean key:apikey_"),
        ("model:opsu", "There is no model opsu in the price table, and no usage has it: did you mean model:opus?"),
    ],
)
async def test_a_scope_that_matches_nothing_is_refused_and_offers_no_button(
    simulated: World, scope: str, sentence: str
) -> None:
    simulated.spend(1)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        answer = await asked(simulated, f"budget set team scope={scope} hard=5")
        assert sentence in answer.text
        assert "$0.00" not in answer.text
        assert buttons(answer) == []


@pytest.mark.parametrize("scope", ["workspace:Search", "workspace:search", "workspace:WRKSPC_1", "key:ingest"])
async def test_a_scope_may_be_a_name_and_counts_the_same(simulated: World, scope: str) -> None:
    simulated.spend(3)
    simulated.spend(40, key="apikey_2", workspace=None)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        answer = await asked(simulated, f"budget set team scope={scope} hard=5")
        assert "Spent in November: $3.00, hard limit $5.00 (60%)." in answer.text
        assert buttons(answer) == [SET_ACTION]


@pytest.mark.parametrize("source", ["analytics", "admin"])
@pytest.mark.parametrize("scope", ["default", "Default", DEFAULT_WORKSPACE_ID])
async def test_the_default_workspace_is_one_whatever_it_is_called(simulated: World, source: str, scope: str) -> None:
    simulated.spend(3, simulated.clock() - HOUR)
    simulated.spend(4, simulated.clock() - HOUR, key="apikey_2", workspace=None)
    async with simulated.connected_bot(CLAUDE_COST_USAGE_API=source) as bot:
        await bot.cycle()
        answer = await asked(simulated, f"budget set team scope=workspace:{scope} hard=5")
        assert "Spent in November: $4.00, hard limit $5.00 (80%)." in answer.text


async def test_a_configured_budget_that_matches_nothing_is_named_and_is_never_zero(
    simulated: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text('[[budget]]\nname = "team"\nscope = "workspace:wrkspc_nope"\nhard_usd = "5"\n')
    simulated.spend(1)
    async with simulated.connected_bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await bot.cycle()
        assert "budget team counts nothing: There is no workspace wrkspc_nope" in caplog.text
        for words in ("status", "budget list"):
            answer = await asked(simulated, words)
            assert "There is no workspace wrkspc_nope in this organization" in answer.text
            assert "$0.00" not in answer.text
    finished = await simulated.command("doctor", CLAUDE_COST_CONFIG=str(config))
    assert "team: There is no workspace wrkspc_nope" in finished.out


async def test_a_mistake_is_one_sentence_and_offers_no_button(simulated: World) -> None:
    async with simulated.connected_bot():
        for words, sentence in (
            ("budget set search hrad=5", "hrad= is not known here: did you mean hard=?"),
            ("budget set search hard=<!channel>", "cannot be used"),
            ("budget sett search hard=5", "Did you mean `budget set`?"),
            ("budget list all", "`budget list` takes no words"),
            ("budget remove", "`budget remove` takes one name"),
        ):
            answer = await asked(simulated, words)
            assert sentence in answer.text
            assert "<!channel>" not in answer.text
            assert buttons(answer) == []
