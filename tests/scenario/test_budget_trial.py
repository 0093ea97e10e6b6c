"""`budget try` and `budget suggest`: what would have come is what did come, and a click sets what is proposed."""

import re
from typing import Any

import pytest

from bot.budgets.budget import PeriodKind
from bot.clock import DAY, HOUR
from bot.ledger.model import Dimensions, Event
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import Message
from handlers.render.budget import SET_ACTION
from tests.scenario.conftest import ADMIN, OPUS, TOKENS_FOR_ONE_USD, World


async def asked(world: World, words: str, user: str = ADMIN) -> Message:
    """The answer to a command, which Slack takes as it is."""
    message = await (await world.slack.command(words, user)).first_reply()
    assert problems(message.blocks, "message") == []
    return message


def buttons(message: Message) -> list[dict[str, Any]]:
    return [one for block in message.blocks if block["type"] == "actions" for one in block["elements"]]


def alerts_in(message: Message) -> list[str]:
    return re.findall(r"^• \d+ \w+ [\d:]+ UTC: (\w+)", message.text, re.MULTILINE)


async def played(world: World, bot: Bot, clock: HandClock, hours: int, usd: int) -> None:
    for _ in range(hours):
        world.spend(usd)
        clock.advance(HOUR)
        await bot.cycle()


async def test_what_a_budget_would_have_reported_is_what_it_did_report(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        await played(simulated, bot, clock, 24, 10)
        tried = await asked(simulated, "budget try default")
    posted = [post.texts[0].partition("\n")[0] for post in simulated.posts()]
    for level in ("soft", "hard"):
        assert sum(f"{level} limit" in first for first in posted) == alerts_in(tried).count(level) == 1
    assert tried.text.startswith("Budget default would have sent ")
    assert "It is set in CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD" in tried.text
    assert buttons(tried) == []


async def test_a_budget_that_was_tried_is_set_by_an_admins_click(simulated: World, clock: HandClock) -> None:
    for back in range(12):
        simulated.spend(20, clock() - back * DAY)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        tried = await asked(simulated, "budget try search scope=workspace:wrkspc_1 soft=100 hard=150")
        assert alerts_in(tried).count("soft") == 1
        assert "Only the last 15 days are known" in tried.text
        (set_this,) = buttons(tried)
        assert set_this["text"]["text"] == "Set this budget"
        await (await simulated.slack.click(tried, SET_ACTION, ADMIN)).first_reply()
        (kept,) = bot.services.budgets.kept()
        assert kept.budget.name == "search"
        assert [kept.budget.soft_usd, kept.budget.hard_usd] == [100, 150]
        again = await asked(simulated, "budget try search hard=400")
        assert "soft $100.00 and hard $400.00" in again.text
        assert alerts_in(again).count("hard") == 0


async def test_limits_are_proposed_for_each_period_with_their_reason_and_what_they_would_have_sent(
    simulated: World, clock: HandClock
) -> None:
    for back in range(15):
        simulated.spend(20, clock() - back * DAY)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        found = await asked(simulated, "budget suggest")
        assert "Each month: soft $600.00, hard $800.00" in found.text
        assert "at $18.67 a day, 30 days come to $560.00" in found.text
        assert "Each day: soft $20.00, hard $25.00" in found.text
        assert "complete days 9 in 10 came to $20.00 or less, the dearest to $20.00." in found.text
        assert [each["action_id"] for each in buttons(found)] == [SET_ACTION] * 3
        await (await simulated.slack.click(found, SET_ACTION, ADMIN)).first_reply()
        (kept,) = bot.services.budgets.kept()
        assert (kept.budget.name, kept.budget.period) == ("organization-month", PeriodKind.MONTH)
        # Now the proposal is about that budget.
        again = await asked(simulated, "budget suggest period=month")
        assert len(buttons(again)) == 1
        assert '"value": "none' not in str(buttons(again))


async def test_a_budget_of_what_applications_log_is_tried_on_their_log(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:
        for number in range(5):
            tokens = TokenCounts(uncached_input_tokens=5 * TOKENS_FOR_ONE_USD)
            event = Event(f"msg_{number}", clock(), Dimensions(OPUS, "support"), tokens)
            bot.services.ledger.append([event], clock())
            clock.advance(DAY)
        await bot.cycle()
        tried = await asked(simulated, "budget try support scope=feature:support period=day hard=3")
        assert alerts_in(tried).count("hard") == 5
        found = await asked(simulated, "budget suggest feature:support period=day")
        assert "Each day: soft $5.00" in found.text


@pytest.mark.parametrize("words", ["budget try search hard=5", "budget suggest", "budget suggest workspace:wrkspc_1"])
async def test_before_the_first_poll_there_is_no_history(simulated: World, words: str) -> None:
    async with simulated.connected_bot():
        answer = await asked(simulated, words)
    assert "$0.00" not in answer.text
    assert answer.text.startswith(("No data yet", "workspace:wrkspc_1 would count nothing"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("budget try", "The name of the budget comes first"),
        ("budget try new", "Set soft, hard or both"),
        ("budget try new hard=x", "hard=x cannot be used"),
        ("budget suggest soft=5", "soft= is what history proposes"),
        ("budget suggest scope=nonsense:1", "scope=nonsense:1 cannot be used"),
        ("budget suggest scope=workspace:nobody", "workspace:nobody would count nothing"),
        ("budget sugest", "Did you mean `budget suggest`?"),
    ],
)
async def test_what_is_not_understood_is_refused(simulated: World, words: str, says: str) -> None:
    simulated.spend(1)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        assert says in (await asked(simulated, words)).text


async def test_a_long_list_of_alerts_is_cut_and_counted(simulated: World, clock: HandClock) -> None:
    for back in range(28):
        simulated.spend(20, clock() - back * 12 * HOUR)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        tried = await asked(simulated, "budget try day period=day soft=1 hard=30 thresholds=10,50,90")
        assert len(alerts_in(tried)) == 20
        assert re.search(r"^and \d+ more$", tried.text, re.MULTILINE)
