"""Budgets of what Anthropic itself attributes to a product, group, agent or actor, over real HTTP and SQLite."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from bot.budgets.budget import PeriodKind
from bot.clock import DAY, HOUR, MINUTE
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_server import ANALYTICS_COST
from bot.sandbox.anthropic_usage import Attribution
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.usage.model import AttributedBy
from bot.web.budgets import budgets_object
from bot.web.metrics import StateCollector, exposition
from handlers.commands import answer
from tests.exposition import samples
from tests.scenario.conftest import World, member
from tests.scenario.test_attribution import EVIL, JANE, NAMESAKE, spend
from tests.scenario.test_logged_budgets import budget, set_budget
from tests.scenario.test_statements import about, counted

CODE, API = Attribution("claude_code"), Attribution("messages_api")
QUARTER = 15 * MINUTE


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


async def ask(bot: Bot, words: str, user: str = DEVELOPER) -> str:
    return (await answer(bot.services, member(user), words)).text


async def later(bot: Bot, clock: HandClock, by: timedelta = QUARTER) -> None:
    clock.advance(by)
    await bot.cycle()


async def test_a_products_budget_fires_soft_and_hard_once_each_also_over_a_restart(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "5", "10"))
    spend(simulated, "4.99", CODE)
    spend(simulated, "60", API)
    await bot.cycle()
    assert simulated.posts() == []
    spend(simulated, "0.01", CODE, clock() - MINUTE)
    await later(bot, clock)
    [soft] = simulated.alerts("soft")
    assert all(part in soft.text for part in ("$5.00 of $5.00", "product:claude_code", "as Anthropic attributes it"))
    spend(simulated, "6", CODE)
    await later(bot, clock)
    assert len(simulated.alerts("hard")) == 1
    async with simulated.bot() as another:
        for _ in range(3):
            await later(another, clock)
    assert (len(simulated.alerts("soft")), len(simulated.alerts("hard"))) == (1, 1)


async def test_a_correction_down_resolves_the_alert_and_one_up_opens_the_same_again(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.anthropic.billed_share = Decimal(1)
    set_budget(bot, budget("code", "product:claude_code", "5", None))
    spend(simulated, "5", CODE)
    await bot.cycle()
    [alert] = simulated.posts()
    simulated.anthropic.billed_share = Decimal("0.9")
    await later(bot, clock)
    assert "$4.50 of $5.00" in alert.text
    assert "resolved" in alert.text
    simulated.anthropic.billed_share = Decimal("1.1")
    await later(bot, clock)
    assert "$5.50 of $5.00" in alert.text
    assert len(simulated.posts()) == 1


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        ("group:rbac_group_2", "group:rbac_group_2"),
        ("agent:agent_1", "agent:agent_1"),
        ("actor:user_1", "actor:user_1"),
        ("actor:jane smith", "actor:user_1"),
        ("actor:apikey_1", "actor:apikey_1"),
        ("product:Claude-Code", "product:claude_code"),
    ],
)
async def test_every_kind_is_counted_by_id_or_by_name_in_any_letters(
    simulated: World, bot: Bot, scope: str, named: str
) -> None:
    set_budget(bot, budget("mine", scope, "5", None))
    spend(simulated, "3", Attribution("claude_code", JANE, ("rbac_group_1", "rbac_group_2"), "agent_1"))
    spend(simulated, "2", Attribution("claude_code", JANE, ("rbac_group_2",), "agent_1"))
    spend(simulated, "5", Attribution("chat", None, ("rbac_group_3",), "agent_3"))
    await bot.cycle()
    [alert] = simulated.posts()
    assert "$5.00 of $5.00" in alert.text
    assert named in alert.text


async def test_of_two_people_with_one_name_the_budget_asks_for_the_id(simulated: World, bot: Bot) -> None:
    set_budget(bot, budget("jane", "actor:Jane Smith", "5", None))
    spend(simulated, "3", Attribution(user=JANE))
    spend(simulated, "3", Attribution(user=NAMESAKE))
    await bot.cycle()
    assert simulated.posts() == []
    assert "write actor:user_1 or actor:user_3" in await ask(bot, "status")


async def test_days_are_read_page_by_page_and_two_months_in_ranges(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    clock.advance(datetime.fromisoformat("2026-12-01T09:00:00+00:00") - clock())
    simulated.anthropic.page_most = 2
    set_budget(bot, budget("code", "product:claude_code", "100", None))
    for days in range(1, 31):
        spend(simulated, "1", CODE, clock() - days * DAY)
        spend(simulated, "2", API, clock() - days * DAY)
    spend(simulated, "7", CODE)
    await bot.cycle()
    assert "$7.00 of $100.00 (7%), December, budget code" in await ask(bot, "status")
    # The month before has just ended and is reviewed too.
    assert bot.services.review.attributed.agenda(clock()).reviewed[0][1].key == "2026-11"
    [(reviewed, november), _] = bot.services.review.attributed.agenda(clock()).reviewed
    assert bot.services.attributed.current().spend(reviewed.scope, november).total_usd == 30


async def test_it_is_asked_every_quarter_of_an_hour_and_all_days_once_a_day(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "100", None))
    set_budget(bot, budget("chat", "product:chat", "100", None))
    await bot.cycle()
    await later(bot, clock, MINUTE)
    await later(bot, clock, 13 * MINUTE)
    assert [_since(each) for each in _daily(simulated)] == ["2026-11-01"]
    await later(bot, clock, MINUTE)
    assert [_since(each) for each in _daily(simulated)] == ["2026-11-01", "2026-11-14"]
    await later(bot, clock, DAY)
    assert _since(_daily(simulated)[-1]) == "2026-11-01"


async def test_after_an_outage_everything_since_the_last_refresh_is_read(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "100", None))
    simulated.anthropic.analytics_behind = 5 * DAY
    await bot.cycle()
    simulated.anthropic.analytics_behind = timedelta(0)
    await later(bot, clock)
    assert _since(_daily(simulated)[-1]) == "2026-11-11"


async def test_a_budget_that_needs_older_days_has_them_read_at_once(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    daily = budget("code", "product:claude_code", "100", None)
    set_budget(bot, daily)
    await bot.cycle()
    set_budget(bot, budget("people", "actor:user_1", "100", None))
    spend(simulated, "3", Attribution(user=JANE), clock() - 14 * DAY)
    await later(bot, clock, MINUTE)
    assert "$3.00 of $100.00 (3%), November, budget people" in await ask(bot, "status")


async def test_without_such_a_budget_nothing_is_asked_or_stored(simulated: World, bot: Bot, clock: HandClock) -> None:
    for _ in range(3):
        await later(bot, clock)
    assert _daily(simulated) == []
    assert bot.services.attributed.current().as_of is None


async def test_once_no_budget_counts_it_nothing_is_asked_any_more(simulated: World, bot: Bot, clock: HandClock) -> None:
    wanted = budget("code", "product:claude_code", "5", None)
    set_budget(bot, wanted)
    spend(simulated, "6", CODE)
    await bot.cycle()
    [alert] = simulated.posts()
    await _remove(bot, "code")
    await later(bot, clock)
    await later(bot, clock)
    assert len(_daily(simulated)) == 1
    assert "not in force any more" in alert.text


async def _remove(bot: Bot, name: str) -> None:
    assert bot.services.budgets.remove(name, bot.services.budgets.version(name), "U0ADMIN")


def _daily(world: World) -> list[dict[str, str]]:
    found = [dict(query) for path, query in world.anthropic.requests if path == ANALYTICS_COST]
    return [query for query in found if query.get("group_by[]") in ("product", "actor", "rbac_group_id", "agent_id")]


def _since(query: dict[str, str]) -> str:
    return query["starting_at"][:10]


LOCAL = {"hipaa": {}, "admin": {"CLAUDE_COST_USAGE_API": "admin"}, "refused": {}}
WHY = {
    "hipaa": "closed to organizations with HIPAA readiness",
    "admin": "CLAUDE_COST_USAGE_API is admin: set it to auto",
    "refused": "ANTHROPIC_ADMIN_KEY may not read Anthropic's analytics API: use an Admin key",
}


def closed(world: World, why: str) -> None:
    world.anthropic.hipaa = why == "hipaa"
    if why == "refused":
        world.anthropic.faults.add(ANALYTICS_COST, Fault("status", status=403), times=20)


@pytest.mark.parametrize("why", WHY)
async def test_where_it_cannot_be_read_there_is_no_data_with_the_reason_and_never_zero(
    simulated: World, clock: HandClock, why: str
) -> None:
    closed(simulated, why)
    async with simulated.bot(**LOCAL[why]) as bot:
        set_budget(bot, budget("code", "product:claude_code", "5", None))
        spend(simulated, "6", CODE)
        await bot.cycle()
        assert simulated.posts() == []
        status = await ask(bot, "status")
        assert "Budget code has no data: " in status
        assert WHY[why] in status
        assert "What it has spent is not known: " in (listed := await ask(bot, "budget list"))
        assert WHY[why] in listed
        assert "Budgets of feature:NAME" in listed
        assert budgets_object(bot.services)["budgets"][-1]["status"] == "unknown"
        assert 'claude_cost_spend_usd{budget="code"' not in exposition([StateCollector(bot.services)])
        [check] = [check for check in await bot.services.examine() if check.name == "attribution"]
        assert (check.state.value, WHY[why] in check.text) == ("fail", True)
        await later(bot, clock, 16 * MINUTE)
        [alert] = simulated.posts()
        assert "No data on spend by product for 16 min\nSince 16 Nov 09:00 UTC: " in alert.text
        assert WHY[why] in alert.text
        assert "$0" not in alert.text
        await later(bot, clock)
        assert len(simulated.posts()) == 1


async def test_once_the_key_may_read_it_the_alert_resolves_and_the_budget_counts(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.anthropic.hipaa = True
    set_budget(bot, budget("code", "product:claude_code", "5", None))
    spend(simulated, "6", CODE)
    await bot.cycle()
    await later(bot, clock)
    await later(bot, clock)
    simulated.anthropic.hipaa = False
    await later(bot, clock, HOUR)
    missing, soft = simulated.posts()
    assert "is known again" in missing.text
    assert "Spend is now: $6.00 of $5.00 (120%) in November, budget code." in missing.text
    assert "$6.00 of $5.00" in soft.text


async def test_an_alert_about_data_that_no_budget_needs_any_more_is_withdrawn(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    simulated.anthropic.hipaa = True
    set_budget(bot, budget("code", "product:claude_code", "5", None))
    await bot.cycle()
    await later(bot, clock, 20 * MINUTE)
    [alert] = simulated.posts()
    await _remove(bot, "code")
    await later(bot, clock)
    assert "not needed any more" in alert.text + str(alert.blocks)


async def test_a_failure_after_good_data_keeps_the_figures_and_is_missed_after_hours(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "50", None))
    spend(simulated, "6", CODE)
    await bot.cycle()
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("status", status=403), times=40)
    await later(bot, clock, 7 * HOUR)
    assert simulated.posts() == []
    assert "$6.00 of $50.00 (12%), November, budget code" in await ask(bot, "status")
    await later(bot, clock, 61 * MINUTE)
    [alert] = simulated.posts()
    assert "No data on spend by product for 8 h\nSince 16 Nov 09:00 UTC: " in alert.text
    assert "Last known: $6.00 of $50.00" in alert.text
    status = await ask(bot, "status")
    assert "STALE: what Anthropic attributes is complete only up to 16 Nov 09:00 UTC." in status
    assert "not extrapolated" in status


async def test_a_budget_is_set_in_chat_where_anthropic_knows_the_name_and_refused_where_not(
    simulated: World, bot: Bot
) -> None:
    spend(simulated, "6", Attribution("claude_code", JANE, ("rbac_group_1",), "agent_1"))
    text = await ask(bot, "budget set jane scope=actor:user_1 soft=5", ADMIN)
    assert "Budget jane would be set: actor:user_1" in text
    assert "would be set" in await ask(bot, "budget set chat scope=product:chat soft=5", ADMIN)
    text = await ask(bot, "budget set team scope=group:rbac_group_2 soft=5", ADMIN)
    assert text.startswith("Nothing was changed: group:rbac_group_2 would count nothing.")
    assert "did you mean group:rbac_group_1?" in text
    text = await ask(bot, "budget set code scope=product:clod_code soft=5", ADMIN)
    assert "did you mean product:claude_code?" in text
    assert "Anthropic attributes nothing to the agent zzz, but to agent_1." in await ask(
        bot, "budget set a scope=agent:zzz soft=5", ADMIN
    )


async def test_names_can_do_no_harm_in_hints(simulated: World, bot: Bot) -> None:
    spend(simulated, "6", Attribution(user=EVIL))
    text = await ask(bot, "budget set evil scope=actor:nobody soft=5", ADMIN)
    assert "&lt;!channel&gt; *free* lunch" in text
    set_budget(bot, budget("evil", "actor:nobody", "5", None))
    await bot.cycle()
    assert "<!channel>" not in (status := await ask(bot, "status"))
    assert "&lt;!channel&gt;" in status


async def test_where_the_names_cannot_be_read_the_doubt_is_said_with_the_remedy(simulated: World, bot: Bot) -> None:
    simulated.anthropic.hipaa = True
    text = await ask(bot, "budget set code scope=product:claude_code soft=5", ADMIN)
    assert "would be set" in text
    assert "closed to organizations with HIPAA readiness" in text


async def test_a_zone_cannot_divide_anthropics_days(simulated: World, bot: Bot) -> None:
    text = await ask(bot, "budget set code scope=product:claude_code soft=5 zone=Asia/Tokyo", ADMIN)
    assert "by UTC days, which no other zone can divide: leave zone out, or set it to UTC" in text


async def test_a_budget_of_the_toml_file_that_means_nobody_counts_nothing_and_says_so(
    simulated: World, clock: HandClock
) -> None:
    path = simulated.folder / "c.toml"
    path.write_text('[[budget]]\nname = "x"\nscope = "actor:nobody"\nperiod = "week"\nsoft_usd = "5"\n')
    spend(simulated, "6", Attribution("claude_code", JANE))
    async with simulated.bot(CLAUDE_COST_CONFIG=str(path)) as bot:
        await bot.cycle()
        assert (
            "Budget x counts nothing: Anthropic attributes nothing to the actor nobody, but to Jane Smith."
            in await ask(bot, "status")
        )


async def test_forecast_list_http_and_metrics_show_it_as_every_other_budget(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "100", "200"))
    for days in range(1, 16):
        spend(simulated, "4", CODE, clock() - days * DAY)
    await bot.cycle()
    [found] = [each for each in budgets_object(bot.services)["budgets"] if each["name"] == "code"]
    assert (found["spent_usd"], found["left_usd"], found["as_of"]) == ("60.00", "140.00", clock().isoformat())
    assert 115 <= Decimal(found["expected_usd"]) <= 122
    forecast = await ask(bot, "forecast code")
    assert "code" in forecast
    assert "$1" in forecast
    assert "Spent in November: $60.00, soft limit $100.00 (60%)" in await ask(bot, "budget list")
    metrics = samples(exposition([StateCollector(bot.services)]))
    assert metrics['claude_cost_spend_usd{budget="code",period="2026-11",scope="product:claude_code"}'] == 60
    assert metrics["claude_cost_attributed_as_of_timestamp_seconds"] == clock().timestamp()
    status = await ask(bot, "status")
    assert "$60.00 as Anthropic attributes it, after discounts and before credits." in status
    assert "Complete up to 16 Nov 09:00 UTC: Anthropic attributes spend hours later." in status


async def test_doctor_says_how_old_it_is_also_beside_a_budget_of_a_feature(simulated: World, bot: Bot) -> None:
    set_budget(bot, budget("code", "product:claude_code", "5", None))
    set_budget(bot, budget("support", "feature:support", "5", None))
    before = {check.name: check for check in await bot.services.examine()}
    assert before["attribution"].state.value == "skipped"
    await bot.cycle()
    found = {check.name: check for check in await bot.services.examine()}
    assert found["attribution"].text == "What Anthropic attributes by product is complete up to 2026-11-16 09:00 UTC."
    # Nothing is logged for the feature yet, which does not affect the product.
    assert found["scopes"].text.startswith("support: ")


async def test_the_preview_of_a_month_says_that_its_first_days_are_not_known_yet(simulated: World, bot: Bot) -> None:
    daily = replace(budget("code", "product:claude_code", "5", None), period=PeriodKind.DAY)
    set_budget(bot, daily)
    await bot.cycle()
    text = await ask(bot, "budget set month scope=product:claude_code soft=5", ADMIN)
    assert "INCOMPLETE: of 192 of 369 hours of this period no usage" in text


async def test_a_new_period_begins_with_a_post_once_the_data_has_reached_it(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    set_budget(bot, budget("code", "product:claude_code", "50", None))
    spend(simulated, "20", CODE)
    await bot.cycle()
    simulated.anthropic.analytics_behind = 4 * HOUR
    await later(bot, clock, datetime.fromisoformat("2026-12-01T03:00:00+00:00") - clock())
    assert not [post for post in simulated.posts() if "budget code" in post.text]
    await later(bot, clock, 2 * HOUR)
    [opening] = [post for post in simulated.posts() if "budget code" in post.text]
    assert "New month: November ended at $20.00, budget code" in opening.text


async def test_a_quiet_cycle_costs_nothing_without_such_a_budget_and_one_statement_with_it(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    async def asked() -> int:
        for _ in range(2):
            await later(bot, clock, MINUTE)
        clock.advance(MINUTE)
        with counted(bot) as cycle:
            await bot.cycle()
        assert not without or not about(cycle.statements, "attributed_days", "attributed_names")
        return len(cycle.statements)

    without: list[int] = []
    without.append(await asked())
    set_budget(bot, budget("code", "product:claude_code", "50", None))
    assert await asked() <= without[0] + 1


async def test_what_takes_long_to_read_keeps_nobody_waiting_and_is_read_once(
    simulated: World, bot: Bot, clock: HandClock
) -> None:
    needed = {AttributedBy.PRODUCT: clock().date()}
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("slow", seconds=0.3))
    await bot.attribution.poll(needed, 0.01)
    assert bot.services.attributed.current().as_of is None
    await bot.attribution.poll(needed)
    assert bot.services.attributed.current().as_of == clock()
    assert len(_daily(simulated)) == 1


async def test_a_run_for_cron_waits_for_what_it_reads(world: World) -> None:
    path = world.folder / "c.toml"
    path.write_text('[[budget]]\nname = "code"\nscope = "product:claude_code"\nperiod = "day"\nsoft_usd = "5"\n')
    event = world.spend("6")
    world.anthropic.history.correct(event, event.at)
    world.anthropic.history.add(replace(event, attribution=CODE))
    done = await world.once(CLAUDE_COST_CONFIG=str(path))
    assert (done.code, done.err) == (0, "")
    assert [post.texts[0].splitlines()[0] for post in world.alerts("soft")] == [
        f"$6.00 of $5.00 (120%): soft limit crossed, {event.at:%-d %b}, budget code"
    ]
