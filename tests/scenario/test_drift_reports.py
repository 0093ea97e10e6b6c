"""Computed against billed on a real day: its alert, and what status and report say of it."""

import csv
import json
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.clock import DAY, HOUR
from bot.pricing.card import load_rate_card
from bot.pricing.model_names import model_named
from bot.pricing.responses import Call
from bot.pricing.tokens import TokenCounts
from bot.sandbox.anthropic_server import Extra
from bot.sandbox.anthropic_usage import BilledLine, UsageEvent
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import Message
from bot.usage.logs.records import call_in
from handlers.commands import answer
from tests.scenario.conftest import ADMIN, World, member, world_at

THE_DAY = date(2026, 6, 28)
BILLED_MORE = "calls that the usage read here does not know, or a price above the rate card's"


def first_line(message: Message) -> str:
    return message.text.partition("\n")[0]


@pytest.fixture
async def june(tmp_path: Path) -> AsyncIterator[World]:
    """A world at noon of the day after."""
    async with world_at(HandClock(datetime.fromisoformat("2026-06-29T12:00:00+00:00")), tmp_path) as world:
        yield world


def play(world: World, shared: Path) -> None:
    """The usage of the day from the application's log, and the bill of the day from the Console's export."""
    for run in sorted((shared / "data" / "app-usage-log" / "tokenomics").glob("run-20260628*.jsonl")):
        for line in run.read_text().splitlines():
            call = call_in(json.loads(line))
            assert isinstance(call, Call)
            assert call.at is not None
            world.anthropic.history.add(UsageEvent(call.at, call.model, call.counts, None, None, call.terms))
    (export,) = (shared / "data" / "console-export").glob("*.csv")
    with export.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if row["usage_date_utc"] == THE_DAY.isoformat():
                model = model_named(row["model"], load_rate_card()).id
                cents, listed = Decimal(row["cost_usd"]) * 100, Decimal(row["list_price_usd"]) * 100
                world.anthropic.bills.append(BilledLine(THE_DAY, cents, model, list_cents=listed))


@pytest.mark.parametrize("api", ["admin", "analytics"])
async def test_the_drift_of_a_real_day_is_the_one_of_its_sources(june: World, shared: Path, api: str) -> None:
    clock = june.clock
    assert isinstance(clock, HandClock)
    play(june, shared)
    async with june.connected_bot(CLAUDE_COST_USAGE_API=api) as bot:
        for _ in range(14):
            assert june.posts() == []
            clock.advance(HOUR)
            await bot.cycle()
            if clock() >= datetime.fromisoformat("2026-06-30T00:00:00+00:00"):
                break
        (reported,) = june.posts()
        await bot.cycle()
        clock.advance(2 * HOUR)
        await bot.cycle()
        status = await (await june.slack.command("status")).first_reply()
        report = await (await june.slack.command("report month")).first_reply()
    assert june.posts() == [reported]
    assert len(reported.texts) == 1
    lines = reported.text.splitlines()
    assert lines[0] == (
        "Bill and usage differ for 28 Jun: $10.01 billed, $3.08 computed, $6.93 unexplained (69% of the bill)"
    )
    assert lines[1:5] == [
        f"Mostly Opus 4.8: $1.97 computed of $8.90 billed, $6.93 unexplained: {BILLED_MORE}.",
        f"• Opus 4.8: $1.97 computed of $8.90 billed, $6.93 unexplained: {BILLED_MORE}",
        "• Sonnet 4.6: $0.89 computed of $0.89 billed, equal to the cent",
        "• claude-haiku-4-5-20251001: $0.22 computed of $0.22 billed, equal to the cent",
    ]
    assert lines[-3] == "Cost report read 30 Jun 00:00 UTC."
    assert "bill/2026-06-28/drift/0" in lines[-2]
    truth = (
        "Computed against billed, 1 settled day to 28 Jun: $3.08 computed, $10.01 billed, $6.93 unexplained "
        "(69% of the bill); cost report read 30 Jun 02:00 UTC."
    )
    assert truth in status.text
    assert truth in report.text


async def test_a_bill_that_is_corrected_resolves_the_same_message(simulated: World, clock: HandClock) -> None:
    day = clock.now.date()
    simulated.spend(20)
    async with simulated.bot() as bot:
        await bot.cycle()
        simulated.anthropic.bills.append(BilledLine(day, Decimal(3500), "claude-opus-4-8", "wrkspc_1"))
        clock.advance(2 * DAY)
        await bot.cycle()
        (reported,) = simulated.posts()
        assert first_line(reported).startswith(
            "Bill and usage differ for 16 Nov: $35.00 billed, $20.00 computed, $15.00 unexplained"
        )
        simulated.anthropic.bills[:] = [BilledLine(day, Decimal(2000), "claude-opus-4-8", "wrkspc_1")]
        clock.advance(HOUR)
        await bot.cycle()
        assert first_line(reported) == (
            "Bill and usage agree again for 16 Nov: $20.00 billed, $20.00 computed, nothing unexplained"
        )
    assert simulated.posts() == [reported]


async def test_code_execution_and_a_discount_are_named_and_not_reported(simulated: World, clock: HandClock) -> None:
    simulated.spend(20)
    simulated.anthropic.extras.append(Extra(clock.now, "code_execution", Decimal(1000)))
    simulated.anthropic.billed_share = Decimal("0.5")
    async with simulated.connected_bot(CLAUDE_COST_USAGE_API="analytics") as bot:
        await bot.cycle()
        clock.advance(2 * DAY)
        await bot.cycle()
        status = await (await simulated.slack.command("status")).first_reply()
    assert simulated.posts() == []
    assert "$20.00 computed, $20.00 billed, nothing unexplained" in status.text
    assert "• $10.00 for code execution and session runtime, which only the bill knows" in status.text
    assert "• -$10.00 for discounts" in status.text


async def test_a_new_bot_reports_only_the_day_that_settled_last(simulated: World, clock: HandClock) -> None:
    for days in range(2, 8):
        at = clock.now - days * DAY
        simulated.spend(10, at=at)
        simulated.anthropic.bills.append(BilledLine(at.date(), Decimal(5000), "claude-opus-4-8", "wrkspc_1"))
    async with simulated.bot(CLAUDE_COST_SOFT_USD="", CLAUDE_COST_HARD_USD="1000") as bot:
        await bot.cycle()
        (reported,) = simulated.posts()
        assert first_line(reported).startswith("Bill and usage differ for 14 Nov: $50.00 billed")
        clock.advance(timedelta(hours=15))
        await bot.cycle()
    assert simulated.posts() == [reported]


async def test_priority_tier_is_named(simulated: World, clock: HandClock) -> None:
    event = simulated.spend(20)
    counts = TokenCounts(uncached_input_tokens=2_000_000)
    priority = UsageEvent(clock.now, event.model, counts, "wrkspc_1", "apikey_1", type(event.terms)("priority"))
    simulated.anthropic.history.add(priority)
    simulated.anthropic.bills.append(BilledLine(clock.now.date(), Decimal(2000), event.model, "wrkspc_1"))
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        clock.advance(2 * DAY)
        await bot.cycle()
        status = await (await simulated.slack.command("status")).first_reply()
    assert simulated.posts() == []
    assert "• -$10.00 for Priority Tier, which is in the usage and not in the bill" in status.text


async def test_a_standing_discount_is_reported_once_and_its_message_is_closed_with_the_day(
    simulated: World, clock: HandClock
) -> None:
    """Fifteen per cent off, which this API's bill does not name; on the last day it is forty."""
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        for day in range(11):
            simulated.spend(20)
            cents = Decimal(1200 if day == 8 else 1700)
            simulated.anthropic.bills.append(BilledLine(clock.now.date(), cents, "claude-opus-4-8", "wrkspc_1"))
            await bot.cycle()
            clock.advance(DAY)
            drifts = [post for post in simulated.posts() if post.texts[0].startswith("Bill and usage")]
            assert len(drifts) == (0 if day < 2 else 1 if day < 10 else 2)
        first, second = drifts
    assert first_line(first) == (
        "Bill and usage differed for 16 Nov: $17.00 billed, $20.00 computed, -$3.00 unexplained (17% of the bill)"
    )
    (closing,) = simulated.replies(first)
    assert closing.text == first_line(first)
    assert first_line(second).startswith("Bill and usage differ for 24 Nov: $12.00 billed")


async def test_a_correction_of_a_settled_day_reaches_its_usage_before_anybody_is_alarmed(
    simulated: World, clock: HandClock
) -> None:
    """The bill and the usage of a day that settled days ago are corrected; usage that old is read once a day."""
    async with simulated.bot(CLAUDE_COST_USAGE_API="admin") as bot:
        mistake = simulated.spend(60)
        simulated.spend(40)
        simulated.anthropic.bills.append(BilledLine(clock.now.date(), Decimal(10_000), "claude-opus-4-8", "wrkspc_1"))
        for hours in (24, 24, 24, 24, 1, 1):
            await bot.cycle()
            clock.advance(hours * HOUR)
        simulated.anthropic.history.correct(mistake, clock.now)
        simulated.anthropic.bills[:] = [
            BilledLine(clock.now.date() - 4 * DAY, Decimal(4000), "claude-opus-4-8", "wrkspc_1")
        ]
        for _ in range(3):
            clock.advance(HOUR)
            await bot.cycle()
        report = await answer(bot.services, member(ADMIN), "report month")
    assert [post for post in simulated.posts() if post.texts[0].startswith("Bill and usage")] == []
    assert report.text.startswith("$40.00 in ")
    assert "all computed" not in report.text
