"""Spend as Anthropic attributes it, over real HTTP: by product, group, agent, actor and, without a log, by user."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from bot.clock import DAY, HOUR, MINUTE
from bot.messages import Message
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_claude_code import CLAUDE_CODE, CodeDay
from bot.sandbox.anthropic_server import ADMIN_KEY, ANALYTICS_COST, ANALYTICS_KEY, ANALYTICS_USAGE
from bot.sandbox.anthropic_usage import Attribution, User
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN
from bot.usage.anthropic.attribution_cache import Attribution as AttributionCache
from bot.usage.anthropic.client import Transport
from bot.usage.model import AttributedBy, NotAttributedError
from handlers.commands import answer
from tests.scenario.conftest import World, member
from tests.scenario.http_port import served
from tests.scenario.test_logged_budgets import record, send

JANE = User("user_1", "Jane Smith", "jane@example.com")
EVIL = User("user_2", "<!channel> *free*\nlunch")
NAMESAKE = User("user_3", "Jane Smith")


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


async def ask(bot: Bot, words: str) -> str:
    message: Message = await answer(bot.services, member(ADMIN), words)
    assert problems(message.blocks, "message") == []
    return message.text


def spend(world: World, usd: str, attribution: Attribution, at: datetime | None = None) -> None:
    event = world.spend(usd, at or world.clock() - 2 * HOUR)
    world.anthropic.history.correct(event, event.at)
    world.anthropic.history.add(replace(event, attribution=attribution))


def asked_of(world: World, path: str) -> int:
    return sum(asked == path for asked, _ in world.anthropic.requests)


async def test_spend_by_product_with_tokens_and_what_it_is_at_list_prices(simulated: World, bot: Bot) -> None:
    simulated.anthropic.billed_share = Decimal("0.9")
    spend(simulated, "30", Attribution("claude_code"))
    spend(simulated, "10", Attribution("messages_api"))
    text = await ask(bot, "report by product")
    assert text.splitlines() == [
        "$36.00 in November, from 1 Nov 00:00 UTC to 16 Nov 09:00 UTC, by product",
        "From Anthropic's analytics API, complete up to 16 Nov 09:00 UTC: after discounts, before credits; $40.00 at "
        "list prices.",
        "• claude_code: $27.00 (75%), 6.0M tokens in, 0 out",
        "• messages_api: $9.00 (25%), 2.0M tokens in, 0 out",
    ]


async def test_spend_by_agent_and_organization_has_a_row_for_what_has_none(simulated: World, bot: Bot) -> None:
    spend(simulated, "3", Attribution(agent_id="agent_1", organization_id="org_child"))
    spend(simulated, "1", Attribution())
    assert "• agent_1: $3.00 (75%)" in (by_agent := await ask(bot, "report by agents"))
    assert "• no agent: $1.00 (25%)" in by_agent
    assert "• org_child: $3.00 (75%)" in await ask(bot, "report by organization")


async def test_actors_have_names_which_can_do_no_harm(simulated: World, bot: Bot) -> None:
    spend(simulated, "4", Attribution(user=JANE))
    spend(simulated, "3", Attribution(user=NAMESAKE))
    spend(simulated, "2", Attribution(user=EVIL))
    spend(simulated, "1", Attribution())
    spend(simulated, "0.5", Attribution(user=User("user_4", "", "")))
    spend(simulated, "0.5", Attribution(product="", user=User("", "")))
    assert "(no name): $0.50" in await ask(bot, "report by product")
    text = await ask(bot, "report by actor")
    assert "• Jane Smith (user_1): $4.00" in text
    assert "• Jane Smith (user_3): $3.00" in text
    assert "&lt;!channel&gt; *free* lunch: $2.00" in text
    assert "<!channel>" not in text
    assert "• apikey_1: $1.00" in text


async def test_somebody_in_two_groups_counts_in_both_and_no_share_is_shown(simulated: World, bot: Bot) -> None:
    spend(simulated, "4", Attribution(user=JANE, groups=("rbac_group_1", "rbac_group_2")))
    spend(simulated, "6", Attribution(user=NAMESAKE, groups=("rbac_group_2",)))
    text = await ask(bot, "report by group")
    assert text.startswith("$10.00 in November")
    assert "the rows may add up to more than the sum above" in text
    assert "• rbac_group_2: $10.00, 2.0M tokens in" in text
    assert "• rbac_group_1: $4.00, " in text
    assert "%" not in text


async def test_the_same_question_is_asked_once_in_five_minutes(simulated: World, bot: Bot, clock: HandClock) -> None:
    spend(simulated, "4", Attribution())
    assert await ask(bot, "report by product") == await ask(bot, "report month by product")
    assert asked_of(simulated, ANALYTICS_COST) == 1
    spend(simulated, "6", Attribution())
    clock.advance(5 * MINUTE)
    assert (await ask(bot, "report by product")).startswith("$10.00")


async def test_a_long_stretch_is_asked_in_parts_and_added_up_page_by_page(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.anthropic.page_most = 1
    for days in (1, 40, 80):
        spend(simulated, "1", Attribution("claude_code"), clock() - days * DAY)
        spend(simulated, "2", Attribution("chat"), clock() - days * DAY)
    text = await ask(bot, "report 2026-08-20..2026-11-16 by product")
    assert "• chat: $6.00 (67%)" in text
    assert "• claude_code: $3.00 (33%)" in text
    assert asked_of(simulated, ANALYTICS_COST) == 6


async def test_an_expired_page_restarts_the_range(simulated: World, bot: Bot) -> None:
    simulated.anthropic.page_most = 1
    spend(simulated, "1", Attribution("chat"))
    spend(simulated, "2", Attribution("claude_code"))
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("status", status=410))
    assert (await ask(bot, "report by product")).startswith("$3.00")


async def test_days_older_than_anthropic_keeps_are_left_out_and_named(simulated: World, bot: Bot) -> None:
    spend(simulated, "1", Attribution("chat"))
    text = await ask(bot, "report 2025-12-01..2026-11-16 by product")
    assert "Anthropic has nothing older than 1 Jan: the days before are left out." in text
    assert "has none from before 2026-01-01" in await ask(bot, "report 2025-12-01..2025-12-05 by product")


async def test_nothing_attributed_is_no_zero(simulated: World, bot: Bot) -> None:
    assert (await ask(bot, "report by product")).startswith("Anthropic attributes no spend of November so far.")


async def test_the_money_is_shown_where_the_tokens_cannot_be_read(simulated: World, bot: Bot) -> None:
    spend(simulated, "1", Attribution("chat"))
    simulated.anthropic.faults.add(ANALYTICS_USAGE, Fault("status", status=403))
    assert "• chat: $1.00 (100%), – tokens in, – out" in await ask(bot, "report by product")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "use an Admin key, or a key with the scope"), (403, "read:analytics"), (404, "not open")],
)
async def test_a_key_that_may_not_is_named_with_the_remedy(
    simulated: World, bot: Bot, status: int, remedy: str
) -> None:
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("status", status=status))
    text = await ask(bot, "report by product")
    assert text.startswith("Spend by product is not known: ")
    assert remedy in text
    assert await ask(bot, "report by product") == text
    assert asked_of(simulated, ANALYTICS_COST) == 1


async def test_hipaa_readiness_and_the_admin_choice_are_named(simulated: World, bot: Bot) -> None:
    simulated.anthropic.hipaa = True
    assert "closed to organizations with HIPAA readiness" in await ask(bot, "report by product")
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as chosen:
        before = asked_of(simulated, ANALYTICS_COST)
        assert "CLAUDE_COST_USAGE_API is admin: set it to auto" in await ask(chosen, "report by actor")
        assert asked_of(simulated, ANALYTICS_COST) == before


async def test_an_analytics_key_gets_the_answer_in_slack(simulated: World) -> None:
    spend(simulated, "7", Attribution("claude_code"))
    async with simulated.connected_bot(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY) as bot:
        assert bot.settings.anthropic_admin_key is not None
        interaction = await simulated.slack.command("report by product", ADMIN)
        reply = await interaction.first_reply()
    assert reply.text.startswith("$7.00 in November")
    assert reply.ephemeral_to == ADMIN


async def test_by_user_means_actors_where_nothing_is_logged(simulated: World, bot: Bot) -> None:
    spend(simulated, "4", Attribution(user=JANE))
    text = await ask(bot, "report by user")
    assert "No application has logged usage of this month" in text
    assert "• Jane Smith: $4.00 (100%)" in text


async def test_by_user_means_the_log_where_there_is_one_and_names_the_other(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    spend(simulated, "4", Attribution(user=JANE))
    async with served(bot) as client:
        await send(client, record(1, "3", user_id="u1"))
    clock.advance(MINUTE)
    await bot.cycle()
    text = await ask(bot, "report by user")
    assert "u1: $3.00" in text
    assert "`report by actor`" in text
    assert "Jane" not in text


async def test_claude_codes_users_stand_in_where_analytics_is_closed(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    assert simulated.environ["ANTHROPIC_ADMIN_KEY"] == ADMIN_KEY
    simulated.anthropic.hipaa = True
    today = clock().date()
    simulated.code.days += [
        CodeDay(today - DAY, "jane@example.com", 150.5, 1000, 100),
        CodeDay(today, "jane@example.com", 49.5, 1000, 100),
        CodeDay(today, "ci", 100, 500, 50, on_a_plan=True),
        CodeDay(today - 40 * DAY, "jane@example.com", 999),
    ]
    text = await ask(bot, "report by user")
    assert text.startswith("$3.00 in November")
    assert "• jane@example.com: $2.00 (67%), 2.0k tokens in, 200 out" in text
    assert "• ci: $1.00 (33%)" in text
    assert "Anthropic's estimates for Claude Code alone" in text
    assert "$1.00 of it was used on subscriptions" in text
    assert asked_of(simulated, CLAUDE_CODE) == 16
    assert "ask about 31 days at most" in await ask(bot, "report 2026-09-01..2026-11-16 by user")


async def test_the_operators_choice_of_admin_holds_for_users_too(simulated: World, clock: HandClock) -> None:
    simulated.code.days.append(CodeDay(clock().date(), "jane@example.com", 100))
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        assert "• jane@example.com: $1.00" in await ask(bot, "report by user")
    assert asked_of(simulated, ANALYTICS_COST) == 0


@pytest.mark.parametrize("hipaa", [False, True])
async def test_a_day_that_has_just_begun_has_no_figures_yet(
    simulated: World, bot: Bot, clock: HandClock, hipaa: bool
) -> None:
    simulated.anthropic.hipaa = hipaa
    clock.now = clock.now.replace(hour=0, minute=30)
    assert "ask in an hour" in await ask(bot, "report today by user")


async def test_many_who_ask_at_once_share_one_answer_and_nobody_waits_for_ever(
    simulated: World, clock: HandClock
) -> None:
    spend(simulated, "4", Attribution())
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("slow", seconds=0.3))
    month = clock().replace(day=1, hour=0), clock() + DAY
    async with httpx.AsyncClient(base_url=simulated.anthropic.origin) as http:
        transport = Transport(http, SecretStr(ADMIN_KEY))
        impatient = AttributionCache(transport, "auto", clock, patience=timedelta(milliseconds=20))
        with pytest.raises(NotAttributedError, match="takes long to answer: ask again"):
            await impatient.spend(AttributedBy.PRODUCT, *month)
        attribution = AttributionCache(transport, "auto", clock)
        found = await asyncio.gather(*(attribution.spend(AttributedBy.PRODUCT, *month) for _ in range(5)))
        assert [each.usd for each in found] == [Decimal(4)] * 5
        assert asked_of(simulated, ANALYTICS_COST) == 2
        await asyncio.gather(impatient.close(), attribution.close())


async def test_where_both_are_closed_one_answer_says_why(simulated: World) -> None:
    simulated.anthropic.hipaa = True
    async with simulated.bot(ANTHROPIC_ADMIN_KEY=ANALYTICS_KEY) as bot:
        text = await ask(bot, "report by user")
    assert "HIPAA readiness" in text
    assert "it takes an Admin key" in text


async def test_a_fault_that_passes_is_not_kept(simulated: World, bot: Bot) -> None:
    spend(simulated, "4", Attribution())
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("not_json"))
    assert "update this bot" in await ask(bot, "report by product")
    assert (await ask(bot, "report by product")).startswith("$4.00")
