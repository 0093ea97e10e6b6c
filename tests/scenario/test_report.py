"""Report, forecast, rates and limits as typed into Slack."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.budgets.budget import ORGANIZATION, Budget, PeriodKind
from bot.clock import DAY, HOUR
from bot.messages import Block, Message
from bot.pricing.card import load_rate_card
from bot.pricing.throughput import load_rate_limits
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_limits import RATE_LIMITS, LimitGroup
from bot.sandbox.anthropic_server import ANALYTICS_COST
from bot.sandbox.block_limits import problems, text_length
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_checks import MESSAGE_BLOCKS_TEXT
from bot.sandbox.slack_workspace import ADMIN, DEVELOPER
from bot.usage.model import Read, UsageReading
from bot.usage.store import Bill
from handlers.commands import answer
from handlers.render.limits import limits_message
from handlers.render.report import short
from tests.scenario.conftest import World, member

SONNET, HAIKU, UNKNOWN = "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-9"
MONDAY = datetime(2026, 11, 16, 9, tzinfo=UTC)
OCTOBER_ENDS = datetime(2026, 10, 31, 23, tzinfo=UTC)
AGE = "Data as of 16 Nov 09:00 UTC (less than 1 min old), from Anthropic's analytics API."

RANGE = "The range holds in four of five cases. A jump counts as lasting only once it has gone on for six hours."


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    """The bot before its first poll."""
    async with simulated.bot() as bot:
        yield bot


async def ask(bot: Bot, words: str) -> Message:
    """The answer, which Slack takes as it is."""
    message = await answer(bot.services, member(DEVELOPER), words)
    assert problems(message.blocks, "message") == []
    assert text_length(message.blocks) < MESSAGE_BLOCKS_TEXT
    return message


async def polled(bot: Bot, clock: HandClock, *moments: datetime) -> None:
    """One poll at each of these moments."""
    for moment in moments:
        clock.now = moment
        outcome = (await bot.cycle()).poll
        assert outcome is not None
        assert outcome.ok


def rows_of(message: Message) -> list[list[str]]:
    """Rows of the table, below its headings."""
    (table,) = [block for block in message.blocks if block["type"] in ("data_table", "table")]
    return [[cell["text"] for cell in row] for row in table["rows"][1:]]


def chart_of(message: Message) -> Block:
    (block,) = [block for block in message.blocks if block["type"] == "data_visualization"]
    chart: Block = block["chart"]
    return chart


def drawn_usd(message: Message) -> dict[str, dict[str, Decimal]]:
    """Values of the chart, by series and category."""
    return {
        series["name"]: {point["label"]: Decimal(str(point["value"])) for point in series["data"]}
        for series in chart_of(message)["series"]
    }


def lines_of(message: Message) -> list[str]:
    return message.text.splitlines()


def usd_of(cell: str) -> Decimal:
    return Decimal(cell.replace("$", "").replace(",", "").replace("≥ ", ""))


# ---- report


async def test_a_report_is_typed_in_slack_and_only_the_person_who_asked_sees_it(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(40, MONDAY - DAY)
    async with simulated.connected_bot() as bot:
        await polled(bot, clock, MONDAY)
        interaction = await simulated.slack.command("report", ADMIN)
        reply = await interaction.first_reply()
    assert reply.text.startswith("$40.00 in November, from 1 Nov 00:00 UTC to 16 Nov 09:00 UTC, by model\n")
    assert reply.ephemeral_to == ADMIN


async def test_a_month_is_reported_by_model_with_shares_tokens_and_the_same_stretch_before(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(10, MONDAY - 32 * DAY)
    simulated.spend(0, MONDAY - 32 * DAY, SONNET)
    simulated.spend(99, OCTOBER_ENDS - HOUR)  # later in October than it is now in November
    simulated.spend(30, MONDAY - 10 * DAY)
    simulated.spend(25, MONDAY - HOUR, SONNET)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    message = await ask(bot, "report")
    days = [f"{day} Nov" for day in range(1, 16)] + ["16 Nov so far"]
    opus = {day: "$30.00" if day == "6 Nov" else "$0.00" for day in days}
    sonnet = {day: "$10.00" if day == "16 Nov so far" else "$0.00" for day in days}
    assert lines_of(message) == [
        "$40.00 in November, from 1 Nov 00:00 UTC to 16 Nov 09:00 UTC, by model",
        "$30.00 billed for 1 settled day + $10.00 computed from tokens and list prices.",
        "Computed for the same stretch of October: $10.00 (now +300%).",
        "Spend by day:",
        f"Opus 4.8: {', '.join(f'{day} {usd}' for day, usd in opus.items())}",
        f"Sonnet 5.5: {', '.join(f'{day} {usd}' for day, usd in sonnet.items())}",
        "• Opus 4.8: $30.00 (75%), 6.0M tokens in, 0 out; before: $10.00 (+200%)",
        "• Sonnet 5.5: $10.00 (25%), 5.0M tokens in, 0 out; before: nothing",
        "Computed against billed, 1 settled day to 6 Nov: $30.00 computed, $30.00 billed, nothing unexplained; "
        "cost report read 16 Nov 09:00 UTC.",
        AGE,
    ]
    assert rows_of(message) == [
        ["Opus 4.8", "$30.00", "75%", "+200%"],
        ["Sonnet 5.5", "$10.00", "25%", "nothing before"],
    ]


@pytest.mark.parametrize(
    ("typed", "english"),
    [
        ("report 今日 キー別", "report today by key"),
        ("report 先週のワークスペース別", "report last week by workspace"),
        ("top 昨日", "top yesterday"),
        ("cache 今週 モデル別", "cache week by model"),
        ("digest 先週", "digest last week"),
        ("digest 今月", "digest month"),
    ],
)
async def test_days_and_rows_are_typed_in_japanese_too(
    simulated: World, clock: HandClock, bot: Bot, typed: str, english: str
) -> None:
    simulated.spend(10, MONDAY - 3 * DAY)
    simulated.spend(7, MONDAY - DAY)
    await polled(bot, clock, MONDAY)
    found = await ask(bot, typed)
    assert found == await ask(bot, english)
    assert "$7.00" in found.text or "$17.00" in found.text or "nothing" in found.text


async def test_what_was_used_only_before_is_reported_too(simulated: World, clock: HandClock, bot: Bot) -> None:
    simulated.spend(10, MONDAY - 32 * DAY)
    simulated.spend(5, MONDAY - DAY, SONNET)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    assert rows_of(await ask(bot, "report month"))[1] == ["Opus 4.8", "$0.00", "0%", "-100%"]


async def test_a_month_that_is_longer_than_the_one_before_is_compared_with_all_of_it(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    march = datetime(2027, 3, 31, 12, tzinfo=UTC)
    simulated.spend(10, march - 40 * DAY)
    simulated.spend(30, march.replace(day=1))
    await polled(bot, clock, datetime(2027, 2, 28, 23, tzinfo=UTC), march)
    assert "Computed for the same stretch of February: $10.00 (now +200%)." in (await ask(bot, "report")).text


async def test_the_last_hour_before_counts_with_the_share_that_lies_in_the_stretch(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    now = MONDAY + timedelta(minutes=15)
    simulated.spend(8, MONDAY - DAY + timedelta(minutes=50))
    simulated.spend(1, MONDAY - HOUR)
    await polled(bot, clock, now)
    assert "15 Nov: $2.00 (now -50%)." in (await ask(bot, "report today")).text


async def test_without_complete_data_for_before_nothing_is_compared(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(10, MONDAY - 32 * DAY)
    simulated.spend(30, MONDAY - HOUR)
    await polled(bot, clock, MONDAY)  # the bot has never read October
    message = await ask(bot, "report")
    assert "No data for before: the same stretch of the period before is not known as a whole." in message.text
    assert rows_of(message) == [["Opus 4.8", "$30.00", "100%"]]
    assert "; before:" not in message.text


async def test_a_stretch_before_in_which_nothing_was_used_is_known_as_such(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(30, MONDAY - HOUR)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    assert "In the same stretch of October nothing was used." in (await ask(bot, "report")).text


async def test_hours_of_which_nothing_is_known_are_flagged(simulated: World, clock: HandClock, tmp_path: Path) -> None:
    simulated.spend(20, MONDAY - 10 * DAY)
    simulated.spend(30, MONDAY - HOUR)
    config = tmp_path / "week.toml"
    config.write_text('[[budget]]\nname = "week"\nperiod = "week"\nsoft_usd = "500"\n')
    changes = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": "", "CLAUDE_COST_CONFIG": str(config)}
    async with simulated.bot(**changes) as bot:
        await polled(bot, clock, MONDAY)  # read since the last reviewed week began
        text = (await ask(bot, "report month")).text
    assert text.startswith("$30.00 in November")
    assert (
        "INCOMPLETE: of 192 hours out of 369 since then no usage is known here, so the true sum may be higher." in text
    )


@pytest.mark.parametrize(
    ("words", "period", "usd"),
    [
        ("report today", "on 16 Nov", "$1.00"),
        ("report week by model", "in the week of 16 Nov", "$1.00"),
        ("Report MONTH", "in November", "$7.00"),
        ("report by model", "in November", "$7.00"),
    ],
)
async def test_days_weeks_and_months_are_those_of_utc(
    simulated: World, clock: HandClock, bot: Bot, words: str, period: str, usd: str
) -> None:
    midnight = MONDAY.replace(hour=0)
    for amount, at in ((1, midnight), (2, midnight - timedelta(minutes=1)), (4, midnight - 7 * DAY)):
        simulated.spend(amount, at)
    await polled(bot, clock, MONDAY)
    assert (await ask(bot, words)).text.startswith(f"{usd} {period}, from ")


async def test_rows_by_workspace_and_by_key_have_the_names_of_the_console(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(50, MONDAY - HOUR)
    simulated.spend(30, MONDAY - HOUR, key="apikey_2", workspace=None)
    simulated.spend(20, MONDAY - HOUR, key=None, workspace=None)
    await polled(bot, clock, MONDAY)
    by_workspace = rows_of(await ask(bot, "report today by workspace"))
    assert [row[:3] for row in by_workspace] == [["default workspace", "$50.00", "50%"], ["Search", "$50.00", "50%"]]
    by_key = rows_of(await ask(bot, "report today by key"))
    assert [row[:2] for row in by_key] == [
        ["ingest · Search", "$50.00"],
        ["answers · default workspace", "$30.00"],
        ["no key · default workspace", "$20.00"],
    ]


async def test_beyond_fifteen_rows_the_rest_is_one_sum_and_everything_adds_up(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    for number in range(20):
        simulated.spend(number + 1, MONDAY - HOUR, key=f"apikey_{number:02}<!here>" + "x" * 80)
    await polled(bot, clock, MONDAY)
    message = await ask(bot, "report today by key")
    rows = rows_of(message)
    assert len(rows) == 15
    assert "and 5 more, $15.00" in message.text
    assert sum(usd_of(row[1]) for row in rows) + 15 == 210
    assert message.text.startswith("$210.00 on 16 Nov")
    assert "<!here>" not in message.text
    assert all(len(cell) <= 60 for row in rows for cell in row)


async def test_a_model_without_a_price_and_a_sum_that_may_be_higher_are_reported(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(30, MONDAY - HOUR, UNKNOWN)
    simulated.spend(30, MONDAY - HOUR, HAIKU)
    await polled(bot, clock, MONDAY)
    message = await ask(bot, "report today")
    assert message.text.startswith("at least $")
    assert "Unknown price: claude-opus-9 is not in the rate card" in message.text
    first, second = rows_of(message)
    assert first[0] == "claude-opus-9 (price assumed)"
    assert second[:2] == ["Haiku 5.5", "≥ $0.60"]


async def test_a_bill_with_a_discount_differs_from_the_rows_and_that_is_said(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.spend(30, MONDAY - 5 * DAY)
    await polled(bot, clock, MONDAY)
    usage = bot.services.usage
    state = usage.data_state()
    with usage.reading() as reader:
        (row,) = reader.billed_rows((MONDAY - 5 * DAY).date())
    discounted = replace(row, usd=row.usd * Decimal("0.9"), list_usd=row.usd)
    usage.save([], "analytics", MONDAY, state, Bill(row.day, row.day, [discounted]))
    lines = lines_of(await ask(bot, "report"))
    assert lines[0].startswith("$27.00 in November")
    assert lines[2].startswith("The rows are all computed from tokens and list prices, $30.00 together")


async def test_when_the_cost_report_cannot_be_read_everything_is_computed(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    noon = (MONDAY - 5 * DAY).replace(hour=12)
    simulated.spend(10, noon - HOUR)
    await polled(bot, clock, noon)  # the bill of this day is not settled yet
    simulated.spend(20, noon + HOUR)
    simulated.anthropic.faults.add(ANALYTICS_COST, Fault("status", 403))
    await polled(bot, clock, MONDAY)
    assert lines_of(await ask(bot, "report"))[1] == "$30.00 computed from tokens and list prices."


@pytest.mark.parametrize("words", ["report today", "report week", "report month"])
async def test_before_anything_is_known_of_a_period_there_is_no_sum_and_no_zero(
    simulated: World, clock: HandClock, bot: Bot, words: str
) -> None:
    message = await ask(bot, words)
    assert "No data yet: the first poll has not succeeded." in message.text
    assert "$" not in message.text
    simulated.spend(30, datetime(2026, 10, 30, tzinfo=UTC))
    simulated.anthropic.analytics_behind = timedelta(minutes=5)
    await polled(bot, clock, datetime(2026, 10, 31, 23, 58, tzinfo=UTC))
    clock.now = datetime(2026, 11, 2, 0, 1, tzinfo=UTC)
    message = await ask(bot, words)
    assert "\nNothing is known of t" in message.text
    assert "STALE. Data as of 31 Oct 23:53 UTC" in message.text
    assert "$" not in message.text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("report tomorrow", "`tomorrow` is not known here: use `report [today"),
        ("report last year", "`year` is not known here: use `report [today"),
        ("report week now", "`now` is not known here: use `report [today"),
        ("report by feature", "No application has logged usage of this month"),
        ("report month by tag:team", "what a tag spends is known only from the usage log of your applications"),
        ("report month by tag", "`tag` needs the name of a tag, as in `report by tag:team`."),
        (
            "report 2026-11-10..2026-11-01",
            "`2026-11-10..2026-11-01` ends before it begins: write 2026-11-01..2026-11-10.",
        ),
        ("report 2026-02-30", "`2026-02-30` is no day of the calendar"),
        ("report 2027-01-01", "`2027-01-01` is still to come"),
        ("report 2020-01-01..", "is too long: a report is about 366 days at most."),
        ("report tody", "Did you mean `report today`?"),
        ("report day", "Did you mean `report today`?"),
        ("report workspace", "Did you mean `report by workspace`?"),
        ("report month by modl", "Did you mean `report by model`?"),
        ("report by", "`by` needs a word after it"),
        ("report by key model", "`model` is one too many after `by`"),
        ("report by &lt;!channel&gt;", "`&lt;!channel&gt;` is not known after `by`"),
    ],
)
async def test_words_that_make_no_report_get_one_sentence_with_the_remedy(bot: Bot, words: str, hint: str) -> None:
    message = await ask(bot, words)
    assert hint in lines_of(message)[0]
    assert "<!" not in message.text


@given(st.integers(0, 10**14))
def test_short_token_counts_are_within_a_twentieth_of_their_last_unit(tokens: int) -> None:
    text = short(tokens)
    size = {"k": 10**3, "M": 10**6, "B": 10**9}.get(text[-1], 1)
    shown = Decimal(text.rstrip("kMB").replace(",", ""))
    assert abs(shown * size - tokens) <= size / Decimal(20) * (size > 1)
    assert shown < 1000 or size == 10**9


# ---- forecast


def spend_every_hour(world: World, since: datetime, until: datetime, usd: str = "0.20") -> None:
    for index in range((until - since) // HOUR):
        world.spend(usd, since + index * HOUR)


def forget(bot: Bot, since: datetime, until: datetime) -> None:
    """Leave the store without these hours: a reading of what was then the future owns none of them."""
    usage = bot.services.usage
    usage.save([UsageReading(Read("1h", since, until), (), None)], "admin", since - DAY, usage.data_state(), None)


async def test_a_forecast_shows_the_range_the_days_of_the_limits_and_what_it_is_built_on(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    spend_every_hour(simulated, datetime(2026, 10, 1, tzinfo=UTC), MONDAY)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    lines = lines_of(await ask(bot, "forecast"))
    # 369 hours have passed, 351 are left.
    assert lines[0] == "$144.00 expected by 1 Dec 00:00 UTC: budget default, organization"
    assert lines[1] == "Between $140.49 and $147.51 in November; spent so far $73.80."
    assert lines[2] == "Soft limit $100.00: reached Sat 21 Nov, between Sat 21 Nov and Sun 22 Nov."
    assert lines[3] == "Hard limit $200.00: not reached (72% of it)."
    assert lines[4] == "default, November: spent, then expected:"
    assert lines[-2:] == [RANGE, AGE]


async def test_hours_that_are_missing_in_the_store_are_not_taken_for_hours_without_usage(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    spend_every_hour(simulated, datetime(2026, 10, 1, tzinfo=UTC), MONDAY)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    forget(bot, MONDAY - 10 * DAY, MONDAY - 6 * DAY)
    lines = lines_of(await ask(bot, "forecast"))
    # The bill still has what was spent in those days.
    assert lines[0].startswith("$144.00 expected by")
    assert lines[1].endswith("in November; spent so far $73.80.")
    message = await ask(bot, "report")
    assert "INCOMPLETE: of 96 hours out of 369" in message.text
    assert "It is not compared with the period before, since hours are missing." in message.text
    assert [len(row) for row in rows_of(message)] == [3]


async def test_a_limit_that_only_the_high_end_reaches_is_reported_as_such(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    spend_every_hour(simulated, MONDAY - DAY, MONDAY, "0.25")
    await polled(bot, clock, MONDAY)
    lines = lines_of(await ask(bot, "forecast"))
    # Nothing was used before the last day: a new job goes on.
    assert lines[0].startswith("$93.00 expected by 1 Dec 00:00 UTC")
    assert lines[2].startswith("Soft limit $100.00: not reached (93% of it), ")


async def test_a_limit_that_is_reached_already_is_named_so(simulated: World, clock: HandClock, bot: Bot) -> None:
    simulated.spend(150, MONDAY - 3 * DAY)
    await polled(bot, clock, MONDAY)
    assert "Soft limit $100.00: reached already." in (await ask(bot, "forecast")).text


async def test_a_forecast_needs_a_poll_and_six_hours_of_data(simulated: World, clock: HandClock, bot: Bot) -> None:
    message = await ask(bot, "forecast")
    assert message.text == "Nothing can be forecast yet.\nNo data yet: the first poll has not succeeded."
    await polled(bot, clock, MONDAY)
    forget(bot, MONDAY - 40 * DAY, MONDAY - 5 * HOUR)
    message = await ask(bot, "forecast")
    assert lines_of(message)[:2] == [
        "Not known yet: budget default, organization",
        "Expected end: not known yet, since there are less than 6 hours of data. "
        "In November, which ends 1 Dec 00:00 UTC, spent so far $0.00.",
    ]


async def test_of_a_month_that_began_after_the_data_ends_nothing_is_forecast(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.anthropic.analytics_behind = timedelta(minutes=5)
    simulated.spend(30, datetime(2026, 10, 30, tzinfo=UTC))
    await polled(bot, clock, datetime(2026, 11, 1, 0, 2, tzinfo=UTC))
    message = await ask(bot, "forecast")
    assert lines_of(message)[:2] == [
        "Not known yet: budget default, organization",
        "The data ends before November began.",
    ]
    assert "$" not in message.text


async def test_every_budget_is_forecast_in_its_own_scope_period_and_zone(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    spend_every_hour(simulated, MONDAY - 30 * DAY, MONDAY, "1")
    for index in range(30 * 24):
        simulated.spend(2, MONDAY - 30 * DAY + index * HOUR, key="apikey_2", workspace=None)
    config = tmp_path / "claude-cost.toml"
    config.write_text(
        '[[budget]]\nname = "search"\nscope = "workspace:wrkspc_1"\nperiod = "day"\nzone = "Asia/Tokyo"\n'
        'soft_usd = "20"\nhard_usd = "100"\n'
    )
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await polled(bot, clock, MONDAY - 15 * DAY, MONDAY)
        lines = lines_of(await ask(bot, "forecast"))
    search = lines.index("$24.00 expected by 16 Nov 15:00 UTC: budget search, workspace:wrkspc_1")
    assert "Between $23.97 and $24.03 on 16 Nov; spent so far $18.00." in lines[search + 1]
    # Two more hours: from 19:00 to 20:00 in Tokyo.
    assert lines[search + 2].startswith("Soft limit $20.00: reached Mon 16 Nov 19:00")


async def test_fifty_budgets_fit_into_one_answer(simulated: World, clock: HandClock, tmp_path: Path) -> None:
    spend_every_hour(simulated, MONDAY - 2 * DAY, MONDAY)
    simulated.anthropic.keys.update({f"apikey_{number}": (f"key {number}", None) for number in range(50)})
    config = tmp_path / "claude-cost.toml"
    budgets = [
        f'[[budget]]\nname = "budget-{number:02}-{"x" * 40}"\nscope = "key:apikey_{number}"\n'
        'soft_usd = "20"\nhard_usd = "100"\n'
        for number in range(50)
    ]
    config.write_text("\n".join(budgets))
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await polled(bot, clock, MONDAY)
        assert "more budgets, which do not fit into one message." in (await ask(bot, "forecast")).text
        assert "and 21 more" in (await ask(bot, "limits")).text


# ---- rates


async def test_rates_show_the_newest_model_of_every_family_and_when_they_were_checked(bot: Bot) -> None:
    card = load_rate_card()
    message = await ask(bot, "rates")
    assert [row[0] for row in rows_of(message)] == [card.newest(family).name for family in card.families()]
    haiku = next(row for row in rows_of(message) if row[0] == "Haiku 5.5")
    assert haiku == ["Haiku 5.5", "$0.10", "$0.01", "$0.50"]
    assert (
        "Haiku 5.5: input $0.10, cache writes $0.125 for 5 minutes and $0.20 for 1 hour, cache reads $0.01"
        in message.text
    )
    assert "Haiku 5.5: a request with a prompt above 100,000 tokens, for all of its tokens: input $0.50" in message.text
    assert "Batches cost 0.5 times these prices" in message.text
    assert lines_of(message)[-1] == f"List prices in USD without tax, checked on {card.checked_on}."


async def test_rates_of_one_model_show_the_whole_rate_card(bot: Bot) -> None:
    assert lines_of(await ask(bot, "rates opus-4.8"))[:-1] == [
        "Opus 4.8, `claude-opus-4-8`, USD per million tokens",
        "• input $5.00, cache writes $6.25 for 5 minutes and $10.00 for 1 hour, cache reads $0.50, output $25.00",
        "• batch: input $2.50, output $12.50; cache writes and reads by the same factor",
        "• fast mode: input $10.00, output $50.00, until 2026-11-30",
        "• valid from 2026-05-28; source: platform.claude.com pricing page, August 2026",
        "• retirement: not before 2027-05-28",
        "• tokenizer: that of Opus 4.7 and later, about 30% more tokens of the same text",
        "• smallest prompt that is cached: 1,024 tokens",
        "• US-only inference costs 1.1 times as much, regional endpoints of Bedrock and Vertex 1.1 times",
    ]


async def test_rates_follow_the_calendar(clock: HandClock, bot: Bot) -> None:
    clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    text = (await ask(bot, "rates claude-opus-4-8")).text
    assert "fast mode: ended 2026-11-30; such requests run at standard speed and price" in text
    text = (await ask(bot, "rates Sonnet 4.6")).text
    assert "• valid from 2026-03-13" in text
    assert "• earlier, from 2026-02-01: input $3.00" in text
    assert "above 200,000 tokens" in text
    assert "• retirement: its last day was 2026-01-05" in (await ask(bot, "rates claude-3-opus")).text


@pytest.mark.parametrize("model", list(load_rate_card().models))
async def test_every_model_of_the_rate_card_can_be_shown(bot: Bot, model: str) -> None:
    message = await ask(bot, f"rates {model}")
    found = load_rate_card().models[model]
    assert message.text.startswith(f"{found.name}, `{model}`, ")
    for rates in found.price:
        assert rates.valid_from.isoformat() in message.text
        assert rates.source in message.text


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("rates sonet", "The rate card has no model `sonet`. Did you mean `sonnet`?"),
        ("rates xyzzy", "The rate card has no model `xyzzy`. Type `rates` for the newest models."),
        (
            "rates claude-haiku-9",
            "The rate card has no model `claude-haiku-9`; its usage is priced at the most expensive haiku rate, "
            "Haiku 4.5's.",
        ),
        ("rates gpt-5", "`gpt-5` is not a Claude model: only Claude models have prices here."),
        ("rates &lt;!channel&gt;", "The rate card has no model `&lt;!channel&gt;`."),
    ],
)
async def test_a_model_that_is_in_no_table_gets_a_sentence(bot: Bot, words: str, first: str) -> None:
    message = await ask(bot, words)
    assert lines_of(message)[0].startswith(first)
    assert "List prices in USD" in lines_of(message)[-1]


# ---- limits


async def test_limits_show_the_budgets_and_the_organizations_own_rate_limits(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    simulated.limits.groups = [
        LimitGroup(
            "model_group",
            {"requests_per_minute": 4000, "input_tokens_per_minute": 10_000_000, "output_tokens_per_minute": 800_000},
            ("claude-opus-5-5",),
            "Claude Opus 5.5 <!here>",
        ),
        LimitGroup("batch", {"enqueued_batch_requests": 500_000}),
    ]
    await polled(bot, clock, MONDAY)
    assert lines_of(await ask(bot, "limits")) == [
        "Budgets",
        "• default: organization, each month (UTC), soft $100.00 and hard $200.00. It is set in CLAUDE_COST_SOFT_USD "
        "and CLAUDE_COST_HARD_USD: change it there and restart the bot.",
        "Your organization's own rate limits",
        "• Opus 5.5 &lt;!here&gt;: 4,000 requests a minute, 10,000,000 input tokens a minute, 800,000 output tokens a "
        "minute",
        "• Message Batches: 500,000 requests in the queue",
        "Rate limits as Anthropic reported them within the last hour; cache reads do not count as input.",
        "No limit of a budget stops a request; only the limit in Anthropic's Console does.",
        AGE,
    ]


@pytest.mark.parametrize("fault", [True, False], ids=["refused", "empty"])
async def test_where_the_own_limits_are_not_known_the_dated_table_stands_in(
    simulated: World, bot: Bot, fault: bool
) -> None:
    if fault:
        simulated.anthropic.faults.add(RATE_LIMITS, Fault("status", 403))
    text = (await ask(bot, "limits")).text
    assert "Anthropic's standard rate limits, by tier" in text
    assert "• monthly cap by tier: Start $500 · Build $1,000 · Scale $200,000 · Custom none" in text
    assert "Sonnet 5.5" in text
    assert "requests a minute: Start 1,000 · Build 5,000 · Scale 10,000; input tokens a minute: Start 2,000,000" in text
    assert "• Haiku 5.5, Mythos 5.2, Mythos 5.1, Mythos 5: not known here" in text
    assert f"as of {load_rate_limits().checked_on}" in text
    assert "an Admin key may read them, and the Console shows them" in text
    for pool in load_rate_limits().limits:
        assert pool.name in text


def test_a_budget_says_where_it_is_written_down() -> None:
    budget = Budget("search", ORGANIZATION, PeriodKind.WEEK, ZoneInfo("Asia/Tokyo"), None, Decimal(9), "/etc/cost.toml")
    text = limits_message([budget], None, load_rate_limits()).text
    assert "• search: organization, each week (Asia/Tokyo), hard $9.00. It is set in /etc/cost.toml: change it" in text


def test_without_a_budget_the_limits_say_so() -> None:
    assert "• no budget is set" in limits_message([], None, load_rate_limits()).text


# ---- days that are over


@pytest.mark.parametrize(
    ("words", "first", "rows"),
    [
        ("report yesterday", "$25.00 on 15 Nov, from 15 Nov 00:00 UTC to 16 Nov 00:00 UTC, by model", 1),
        ("report last week", "$35.00 in the week of 9 Nov, from 9 Nov 00:00 UTC to 16 Nov 00:00 UTC, by model", 1),
        ("report previous month by key", "$10.00 in October, from 1 Oct 00:00 UTC to 1 Nov 00:00 UTC, by key", 1),
        ("report 2026-11-10..2026-11-15", "$35.00 in the days 10 Nov to 15 Nov, from 10 Nov 00:00 UTC to 16 Nov", 1),
        ("report 2026-11-15", "$25.00 on 15 Nov, from 15 Nov 00:00 UTC to 16 Nov 00:00 UTC, by model", 1),
        ("report 2026-11-14..", "$65.00 in the days 14 Nov to 16 Nov, from 14 Nov 00:00 UTC to 16 Nov 09:00 UTC", 1),
        ("report from 2026-11-14 to today", "$65.00 in the days 14 Nov to 16 Nov, from 14 Nov 00:00 UTC to 16 Nov", 1),
    ],
)
async def test_a_stretch_that_is_over_is_reported_as_a_whole(
    simulated: World, clock: HandClock, bot: Bot, words: str, first: str, rows: int
) -> None:
    simulated.spend(10, MONDAY - 32 * DAY)
    await polled(bot, clock, OCTOBER_ENDS + HOUR)
    simulated.spend(10, MONDAY - 6 * DAY)
    simulated.spend(25, MONDAY - DAY)
    simulated.spend(40, MONDAY - HOUR)
    await polled(bot, clock, MONDAY)
    message = await ask(bot, words)
    assert lines_of(message)[0].startswith(first)
    assert len(rows_of(message)) == rows
    assert "INCOMPLETE" not in message.text


async def test_days_of_which_nothing_is_stored_are_unknown_and_not_zero(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    await polled(bot, clock, MONDAY)
    for words, name in (
        ("report last month", "last month"),
        ("report 2025-03-01..2025-03-05", "2025-03-01..2025-03-05"),
    ):
        message = await ask(bot, words)
        assert lines_of(message)[0] == f"Nothing is known of {name}: no usage of those days is stored here."
        assert "$" not in message.text
