"""What single users spend is for admins, unless the settings say that everybody may see it."""

from collections.abc import AsyncIterator

import pytest

from bot.clock import DAY
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from handlers.commands import answer
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import budget as budget_of
from tests.scenario.test_logged_budgets import record, send, set_budget
from tests.scenario.test_outlier import team_with_history

REFUSAL = "Only the people in CLAUDE_COST_ADMINS may see what single users spend"
SETTING = 'user_spend = "everyone" under [privacy]'


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


async def ask(bot: Bot, words: str, user: str = DEVELOPER) -> str:
    return (await answer(bot.services, member(user), words)).text


async def logged(bot: Bot) -> None:
    async with served(bot) as client:
        await send(
            client,
            record(1, "3", user_id="ida@example.com", tags={"user.email": "ida@example.com", "team": "care"}),
            record(2, "2", user_id="ben"),
        )
    await bot.cycle()


@pytest.mark.parametrize(
    "words",
    [
        "report by user",
        "report today by users",
        "report by actor",
        "report by tag:user.email",
        "top by user",
        "top yesterday by actor",
        "cache by user",
        "cache today by tag:enduser",
        "budget set ida hard=5 scope=user:ida@example.com",
        "budget set ida hard=5 for=tag:user.email=ida@example.com",
    ],
)
async def test_only_admins_see_it_and_the_refusal_names_the_setting(bot: Bot, words: str) -> None:
    await logged(bot)
    refused = await ask(bot, words)
    assert REFUSAL in refused
    assert SETTING in refused
    assert "$" not in refused
    assert REFUSAL not in await ask(bot, words, ADMIN)


@pytest.mark.parametrize("words", ["report by feature", "report by tag:team", "top", "cache", "status", "budget list"])
async def test_everything_else_is_for_everybody_and_names_no_user(bot: Bot, words: str) -> None:
    set_budget(bot, budget_of("support", "feature:support", "1", "100"))
    await logged(bot)
    shown = await ask(bot, words)
    assert REFUSAL not in shown
    assert "ida" not in shown
    assert "ben" not in shown


async def test_an_estimate_for_a_user_is_compared_for_admins_alone(bot: Bot, clock: HandClock) -> None:
    await logged(bot)
    await ask(bot, "estimate opus requests=1k in=1000 out=10 as=ida for=user:ida@example.com")
    clock.advance(DAY)
    await bot.cycle()
    assert "Only admins see what single users spend ([privacy] user_spend" in await ask(bot, "estimate show ida")
    assert "Only admins see" not in await ask(bot, "estimate show ida", ADMIN)


async def test_alerts_in_channels_have_a_hash_for_the_user(simulated: World, bot: Bot, clock: HandClock) -> None:
    set_budget(bot, budget_of("support", "feature:support", "5", "10"))
    async with served(bot) as client:
        await team_with_history(client, clock())
        await send(client, record(1, "60", user_id="dev-2", tags={"team": "search", "email": "dev-2@example.com"}))
        await bot.cycle()
        status = await ask(bot, "status")
        clock.advance(DAY)
        await bot.cycle()
    texts = [text for post in simulated.posts() for text in (*post.texts, str(post.blocks))]
    assert any("Outlier, user " in text and "$60.00 today" in text for text in texts)
    assert any("Who this is, admins see with `/claude-cost report today by user`." in text for text in texts)
    assert any("Outlier over, user " in text and "$60.00 on 16 Nov" in text for text in texts)
    assert all("dev-2" not in text for text in [*texts, status])
    assert all("dev-2" not in str(message.metadata) for message in simulated.slack.messages)


async def test_everybody_sees_it_where_the_setting_says_so(simulated: World) -> None:
    async with simulated.bot(**simulated.naming_users()) as bot:
        await logged(bot)
        assert "ida@example.com: $3.00" in await ask(bot, "report today by user")
