"""Charts and sortable tables in answers, and what is answered where the workspace does not take them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.server import Fault
from bot.sandbox.slack_server import RESPONSE_FAULTS
from tests.scenario.conftest import World
from tests.scenario.test_report import (
    MONDAY,
    OCTOBER_ENDS,
    SONNET,
    ask,
    chart_of,
    drawn_usd,
    forget,
    polled,
    rows_of,
    spend_every_hour,
    usd_of,
)

NATIVE = {"data_visualization", "data_table", "container"}


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot() as bot:
        yield bot


async def test_the_chart_of_a_day_has_its_hours_and_adds_up_to_the_rows(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    for number in range(9):
        simulated.spend(f"{number + 1}.0{number}", MONDAY - (number + 1) * HOUR, key=f"apikey_{number}")
    await polled(bot, clock, MONDAY)
    message = await ask(bot, "report today by key")
    drawn = drawn_usd(message)
    assert list(next(iter(drawn.values()))) == ["00:00", "02:00", "04:00", "06:00", "08:00 so far"]
    assert len(drawn) == 6
    rows = {row[0]: usd_of(row[1]) for row in rows_of(message)}
    assert sum(rows.values()) == sum(sum(each.values()) for each in drawn.values()) == usd_of(message.text.split()[0])
    others = drawn.pop("other")
    assert [sum(points.values()) for points in drawn.values()] == sorted(rows.values())[:3:-1]
    assert sum(others.values()) == sum(sorted(rows.values())[:4])


async def test_a_month_of_more_than_twenty_days_is_drawn_two_days_at_a_time(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    now = MONDAY + 10 * DAY
    spend_every_hour(simulated, now.replace(day=1, hour=0), now, "0.50")
    await polled(bot, clock, OCTOBER_ENDS, now)
    message = await ask(bot, "report")
    [points] = drawn_usd(message).values()
    assert list(points)[:2] == ["1–2 Nov", "3–4 Nov"]
    assert list(points)[-1] == "25–26 Nov so far"
    assert points["1–2 Nov"] == 24
    assert sum(points.values()) == usd_of(message.text.split()[0])


async def test_days_of_which_nothing_is_known_are_left_out_and_named(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    spend_every_hour(simulated, MONDAY.replace(day=1, hour=0), MONDAY)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    forget(bot, MONDAY.replace(day=5, hour=0), MONDAY.replace(day=8, hour=0))
    message = await ask(bot, "report")
    [points] = drawn_usd(message).values()
    assert {"5 Nov", "6 Nov", "7 Nov"}.isdisjoint(points)
    assert {"4 Nov", "8 Nov"} <= set(points)
    assert "No usage is known of 5–7 Nov: the chart leaves that time out." in message.text
    assert sum(points.values()) == Decimal("0.20") * (24 * 12 + 9)


async def test_a_day_without_usage_is_drawn_as_nothing_spent(simulated: World, clock: HandClock, bot: Bot) -> None:
    simulated.spend(3, MONDAY - 2 * DAY)
    simulated.spend(4, MONDAY - HOUR, SONNET)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    drawn = drawn_usd(await ask(bot, "report week"))
    assert drawn == {"Sonnet 5.5": {"16 Nov so far": Decimal("1.6")}}
    drawn = drawn_usd(await ask(bot, "report 2026-11-12..2026-11-15"))
    assert drawn == {"Opus 4.8": {"12 Nov": 0, "13 Nov": 0, "14 Nov": 3, "15 Nov": 0}}


async def test_top_has_the_table_alone(simulated: World, clock: HandClock, bot: Bot) -> None:
    simulated.spend(3, MONDAY - HOUR)
    await polled(bot, clock, MONDAY)
    message = await ask(bot, "top today")
    assert rows_of(message) == [["ingest · Search", "$3.00", "100%", "nothing before"]]
    with pytest.raises(ValueError, match="not enough values"):
        chart_of(message)


async def kinds(world: World, words: str) -> tuple[set[str], int]:
    """The blocks of the answer, and how often its response URL was used."""
    interaction = await world.slack.command(words)
    reply = await interaction.first_reply()
    return {block["type"] for block in reply.blocks}, interaction.uses


@pytest.mark.parametrize("refusal", [Fault("status", 400), Fault("error", error="invalid_blocks")])
async def test_where_slack_takes_no_chart_the_answer_has_a_plain_table_and_the_next_one_does_not_try(
    simulated: World, clock: HandClock, refusal: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.spend(40, MONDAY - DAY)
    async with simulated.connected_bot() as bot:
        await polled(bot, clock, MONDAY)
        simulated.slack.faults.add(RESPONSE_FAULTS, refusal)
        found, _ = await kinds(simulated, "report")
        assert "table" in found
        assert found.isdisjoint(NATIVE)
        # The bot hears of it after the person has the answer.
        assert await bot.in_flight.drain(5)
        assert "Slack takes no charts and data tables here" in caplog.text
        found, uses = await kinds(simulated, "report")
        assert found.isdisjoint(NATIVE)
        assert uses == 1
        clock.advance(HOUR + timedelta(minutes=1))
        found, _ = await kinds(simulated, "report")
        assert found >= NATIVE


async def test_where_slack_takes_no_blocks_at_all_the_text_is_answered_and_charts_are_tried_again(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(40, MONDAY - DAY)
    async with simulated.connected_bot() as bot:
        await polled(bot, clock, MONDAY)
        simulated.slack.faults.add(RESPONSE_FAULTS, Fault("status", 400), times=2)
        reply = await (await simulated.slack.command("report")).first_reply()
        assert reply.blocks == []
        assert "• Opus 4.8: $40.00 (100%), 8.0M tokens in" in reply.text
        found, _ = await kinds(simulated, "report")
        assert found >= NATIVE


async def test_the_line_of_a_month_goes_from_what_is_spent_to_the_range_that_the_words_give(
    simulated: World, clock: HandClock, bot: Bot
) -> None:
    spend_every_hour(simulated, MONDAY.replace(month=10, day=1, hour=0), MONDAY)
    await polled(bot, clock, OCTOBER_ENDS, MONDAY)
    message = await ask(bot, "forecast")
    chart, drawn = chart_of(message), drawn_usd(message)
    days = chart["axis_config"]["categories"]
    assert chart["type"] == "line"
    assert days == [f"{day} Nov" for day in range(2, 31, 2)]
    assert chart["axis_config"]["x_label"] == "Spent until 16 Nov, then expected"
    assert set(drawn) == {"Expected", "High end", "Low end", "Soft limit", "Hard limit"}
    assert drawn["Expected"]["14 Nov"] == Decimal("0.20") * 24 * 14
    assert drawn["Expected"]["14 Nov"] == drawn["Low end"]["14 Nov"] == drawn["High end"]["14 Nov"]
    ends = [drawn[name]["30 Nov"] for name in ("Low end", "Expected", "High end")]
    assert f"Between ${ends[0]} and ${ends[2]} in November" in message.text
    assert message.text.startswith(f"${ends[1]:.2f} expected by")
    assert all(sorted(each.values()) == list(each.values()) for each in drawn.values())
    assert set(drawn["Soft limit"].values()) == {100}


async def test_days_of_which_nothing_is_known_are_no_points_of_the_line(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    spend_every_hour(simulated, MONDAY - 3 * DAY, MONDAY)
    config = tmp_path / "claude-cost.toml"
    config.write_text('[[budget]]\nname = "week"\nperiod = "week"\nweek_starts = "tuesday"\nsoft_usd = "500"\n')
    changes = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": "", "CLAUDE_COST_CONFIG": str(config)}
    async with simulated.bot(**changes) as bot:
        await polled(bot, clock, MONDAY)
        forget(bot, MONDAY - 7 * DAY, MONDAY.replace(day=12, hour=0))
        points = drawn_usd(await ask(bot, "forecast week"))["Expected"]
    assert list(points) == ["12 Nov", "13 Nov", "14 Nov", "15 Nov", "16 Nov"]


async def test_many_budgets_are_a_table_and_those_that_reach_a_limit_in_words(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    spend_every_hour(simulated, MONDAY - 5 * DAY, MONDAY)
    budgets = [
        f'[[budget]]\nname = "b{number}"\nscope = "key:apikey_{number}"\nsoft_usd = "{20 if number == 1 else 900}"\n'
        for number in range(1, 6)
    ]
    simulated.anthropic.keys.update({f"apikey_{number}": (f"key {number}", None) for number in range(3, 6)})
    config = tmp_path / "claude-cost.toml"
    config.write_text("\n".join(budgets))
    changes = {"CLAUDE_COST_SOFT_USD": "", "CLAUDE_COST_HARD_USD": "", "CLAUDE_COST_CONFIG": str(config)}
    async with simulated.bot(**changes) as bot:
        await polled(bot, clock, MONDAY)
        message = await ask(bot, "forecast")
    assert [row[0] for row in rows_of(message)] == ["b1", "b2", "b3", "b4", "b5"]
    assert all(f"budget b{number}, key:" in message.text for number in range(1, 6))
    drawn = str([block for block in message.blocks if block["type"] == "section"])
    assert "budget b1" in drawn
    assert "budget b2" not in drawn
