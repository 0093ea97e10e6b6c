"""Digests: each once, in the hour of its zone, with the figures that the commands say of the same days."""

import re
from datetime import datetime
from decimal import Decimal

import pytest

from bot.clock import DAY, HOUR, MINUTE
from bot.ledger.model import Dimensions, Event
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.block_limits import problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN, BOT_USER, DEVELOPER, Channel, Message
from tests.scenario.conftest import OPUS, TOKENS_FOR_ONE_USD, World

ELSEWHERE = "C0OTHER"
DOLLARS = r"\$[\d,]+\.\d\d"


@pytest.fixture
def clock() -> HandClock:
    """A Sunday evening in the middle of a month."""
    return HandClock(datetime.fromisoformat("2026-11-15T20:00:00+00:00"))


def config(world: World, text: str) -> dict[str, str]:
    path = world.folder / "digests.toml"
    path.write_text(text, encoding="utf-8")
    return {"CLAUDE_COST_CONFIG": str(path)}


def digests(world: World, channel: str | None = None) -> list[Message]:
    found = world.posts() if channel is None else [m for m in world.slack.messages if m.channel == channel]
    titles = ("Daily digest", "Weekly digest", "Month close")
    posted = [m for m in found if m.user == BOT_USER and str(m.blocks[0]).find("header") > 0]
    return [m for m in posted if any(title in str(m.blocks[0]) for title in titles)]


async def asked(world: World, words: str) -> Message:
    message = await (await world.slack.command(words, DEVELOPER)).first_reply()
    assert problems(message.blocks, "message") == []
    return message


async def passed(bot: Bot, clock: HandClock, hours: int, step: int = 60) -> None:
    for _ in range(hours * 60 // step):
        clock.advance(step * MINUTE)
        await bot.cycle()


def spent(message: Message) -> Decimal:
    found = re.search(rf"({DOLLARS})", message.text.partition("\n")[0])
    assert found is not None, message.text
    return Decimal(found[1].replace("$", "").replace(",", ""))


WEEKLY = '[[digest]]\nevery = "week"\nat = "09:00"\nzone = "{zone}"\non = "mon"\n'


@pytest.mark.parametrize(
    ("zone", "posted_at"), [("UTC", "16 09"), ("Asia/Tokyo", "16 00"), ("America/New_York", "16 14")]
)
async def test_a_week_is_posted_once_in_the_morning_of_its_zone_with_what_report_says(
    simulated: World, clock: HandClock, zone: str, posted_at: str
) -> None:
    for back in range(12):
        simulated.spend(10 + back, clock() - back * DAY)
    seen, begin = "", clock()
    due = datetime.strptime(f"2026-11-{posted_at} +0000", "%Y-%m-%d %H %z")
    moments = {begin + hours * HOUR for hours in range(0, 21, 4)} | {due - HOUR, due, due + HOUR}
    for moment in sorted(moment for moment in moments if moment >= begin):
        clock.now = moment
        # A new process each time: what was posted is known from the database.
        async with simulated.bot(**config(simulated, WEEKLY.format(zone=zone))) as bot:
            await bot.cycle()
            await bot.cycle()
        if digests(simulated) and not seen:
            seen = f"{clock():%d %H}"
    assert seen == posted_at
    (digest,) = digests(simulated)
    assert problems(digest.blocks, "message") == []
    async with simulated.connected_bot(**config(simulated, WEEKLY.format(zone=zone))) as bot:
        await bot.cycle()
        report = await asked(simulated, "report last week")
        mine = await asked(simulated, "digest last week")
    assert spent(digest) == spent(report) == spent(mine) == sum(10 + back for back in range(7))
    assert digest.text.startswith("The week of 9 Nov: $91.00 spent")
    assert "Provisional: the bill for the last" in digest.text


async def test_two_copies_and_a_kill_between_post_one_digest(simulated: World, clock: HandClock) -> None:
    simulated.spend(10)
    settings = config(simulated, '[[digest]]\nevery = "day"\nat = "00:00"\n')
    clock.advance(5 * HOUR)
    async with simulated.bot(**settings) as one, simulated.bot(**settings) as other:
        await one.cycle()
        await other.cycle()
        for poster in (one, other):
            for look in poster.looks:
                if look.name == "digests":
                    look.look(clock(), "normal")
        await one.deliver()
        await other.deliver()
    assert len(digests(simulated)) == 1


async def test_a_late_start_posts_one_and_a_very_late_one_none(simulated: World, clock: HandClock) -> None:
    simulated.spend(10)
    weekly = config(simulated, WEEKLY.format(zone="UTC"))
    clock.advance(3 * DAY)
    async with simulated.bot(**weekly) as bot:
        await bot.cycle()
    assert digests(simulated) == []
    daily = config(simulated, '[[digest]]\nevery = "day"\n')
    async with simulated.bot(**daily) as bot:
        await bot.cycle()
        await bot.cycle()
    (only,) = digests(simulated)
    assert only.text.startswith("17 Nov: $0.00 spent")


async def test_another_channel_gets_its_own_and_no_alerts(simulated: World, clock: HandClock) -> None:
    simulated.slack.workspace.channels[ELSEWHERE] = Channel(ELSEWHERE, "finance")
    simulated.spend(150)
    daily = '[[digest]]\nevery = "day"\nat = "21:30"\n'
    async with simulated.connected_bot(**config(simulated, f'{daily}{daily}channel = "{ELSEWHERE}"\n')) as bot:
        clock.advance(1 * HOUR)
        await bot.cycle()
        await passed(bot, clock, 1, step=30)
        await (await simulated.slack.command("test-alert", ADMIN)).first_reply()
        await bot.deliver()
        await bot.destinations.settled()
    elsewhere = [message for message in simulated.slack.messages if message.channel == ELSEWHERE]
    assert elsewhere == digests(simulated, ELSEWHERE)
    # That of the day before was due at the start, and is not yet a day late.
    assert [post.text.partition(":")[0] for post in elsewhere] == ["13 Nov", "14 Nov"]
    assert len(digests(simulated)) == 2
    assert len(simulated.alerts("soft")) == 1


async def test_what_a_channel_does_not_take_the_alert_channel_gets_once_and_says_for_whom_it_was(
    simulated: World, clock: HandClock
) -> None:
    simulated.spend(1)
    nowhere = config(simulated, '[[digest]]\nevery = "day"\nat = "20:00"\nchannel = "C0GONE"\n')
    async with simulated.connected_bot(**nowhere) as bot:
        await bot.cycle()
        await passed(bot, clock, 2)
    (digest,) = digests(simulated)
    assert "Meant for <#C0GONE>, which I cannot reach: invite me there." in digest.text


async def test_a_digest_of_one_workspace_counts_it_alone_and_shows_the_budgets_that_were_chosen(
    simulated: World, clock: HandClock
) -> None:
    yesterday = clock() - DAY
    simulated.spend(30, yesterday)
    simulated.spend(5, yesterday, key="apikey_2", workspace=None)
    simulated.spend(10, yesterday - DAY)
    text = (
        '[[budget]]\nname = "search"\nscope = "workspace:Search"\nhard_usd = "80"\n'
        '[[budget]]\nname = "opus"\nscope = "model:opus"\nhard_usd = "90"\n'
        '[[digest]]\nevery = "day"\nscope = "workspace:search"\n'
        '[[digest]]\nevery = "day"\nbudgets = ["opus"]\n'
    )
    async with simulated.connected_bot(**config(simulated, text)) as bot:
        await bot.cycle()
    one, all_ = digests(simulated)
    assert one.text.startswith("14 Nov: $30.00 spent\nThis is about workspace:search alone.\n")
    assert "At list prices $30.00, and $10.00 in the same stretch of 13 Nov: +200%." in one.text
    assert "• search: $40.00 of $80.00 (50%), November" in one.text
    assert "opus:" not in one.text
    assert all_.text.startswith("14 Nov: $35.00 spent")
    assert "• opus: $45.00 of $90.00 (50%), November" in all_.text
    assert "search:" not in all_.text


async def test_a_digest_of_nobody_is_not_posted_and_the_log_says_why_once(
    simulated: World, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    simulated.spend(30, clock() - DAY)
    nobody = config(simulated, '[[digest]]\nevery = "day"\nscope = "workspace:nobody"\n')
    async with simulated.bot(**nobody) as bot:
        await bot.cycle()
        await bot.cycle()
    assert digests(simulated) == []
    assert caplog.text.count("There is no workspace nobody in this organization") == 1


async def test_a_month_that_has_settled_says_so_and_its_parts_add_up(simulated: World, clock: HandClock) -> None:
    clock.now = datetime.fromisoformat("2026-12-01T09:00:00+00:00")
    for back in range(1, 29):
        simulated.spend(5, clock() - back * DAY)
    monthly = config(simulated, '[[digest]]\nevery = "month"\n')
    async with simulated.connected_bot(**monthly) as bot:
        await bot.cycle()
        (provisional,) = digests(simulated)
        assert provisional.text.startswith("November: $140.00 spent")
        assert "Provisional: the bill for the last day may still change." in provisional.text
        assert re.search(r"default: \$140\.00 of \$200\.00 \(70%\), November$", provisional.text, re.MULTILINE)
        clock.advance(3 * DAY)
        await bot.cycle()
        settled = await asked(simulated, "digest last month")
        assert "Settled: the bill of each of these days is final." in settled.text
        assert "$140.00 billed for" in settled.text
    assert len(digests(simulated)) == 1


async def test_what_changed_and_what_would_save_money_is_named(simulated: World, clock: HandClock) -> None:
    for back in range(7, 14):
        simulated.spend(3, clock() - back * DAY)
    for back in range(7):
        simulated.spend(40, clock() - back * DAY)
    clock.advance(13 * HOUR)
    async with simulated.connected_bot() as bot:
        tokens = TokenCounts(uncached_input_tokens=50 * TOKENS_FOR_ONE_USD)
        bot.services.ledger.append([Event("msg_1", clock() - DAY, Dimensions(OPUS, "support"), tokens)], clock())
        await bot.cycle()
        await asked(simulated, "estimate opus-4.8 requests=100k in=2000 out=500 as=bot for=feature:support")
        found = await asked(simulated, "digest last week")
    assert "Opus 4.8 · Search · key ingest: $280.00, before $21.00 (13 times as much)" in found.text
    assert re.search(r"Why: Opus 4.8 · key ingest: tokens rose", found.text)
    assert "support: on Sonnet 5.5 $30.00 less · in batches $25.00 less · cached $19.63 less" in found.text
    assert "By feature, as applications log it: $50.00 together." in found.text
    assert re.search(rf"bot: estimated {DOLLARS} a month, pace {DOLLARS}", found.text)


async def test_a_model_that_retires_is_named_with_its_successor(simulated: World, clock: HandClock) -> None:
    clock.advance(20 * DAY)
    simulated.spend(30, clock() - DAY, model="claude-opus-4-5-20251101")
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        found = await asked(simulated, "digest yesterday")
    assert "Opus 4.5 retires on 2027-01-22, in 48 days. Its successor is Opus 5.5: what cost $30.00" in found.text


async def test_today_says_that_it_runs_and_equals_the_report(simulated: World, clock: HandClock) -> None:
    simulated.spend(12)
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        found, report = await asked(simulated, "digest"), await asked(simulated, "report today")
        month = await asked(simulated, "digest month")
    assert spent(found) == spent(report) == 12
    assert "These days still run" in found.text
    assert "expected end" in month.text or "default: $12.00 of $200.00 (6%), November" in month.text


@pytest.mark.parametrize("words", ["digest nonsense", "digest week by key", "digest 2026-11-01..2026-11-03"])
async def test_other_words_are_refused(simulated: World, words: str) -> None:
    async with simulated.connected_bot() as bot:
        await bot.cycle()
        assert "`digest` takes one of" in (await asked(simulated, words)).text


async def test_before_the_first_poll_nothing_is_known(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        answer = await asked(simulated, "digest yesterday")
        assert answer.text == "Nothing is known of yesterday yet."
        assert bot.services.snapshots.current().as_of is None
