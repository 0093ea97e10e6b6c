"""Reports, forecasts, limits, digests and the Home tab have no English sentence for readers of Japanese."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bot.alerts.incident import Status
from bot.alerts.retirement import RetirementAlert
from bot.budgets.model_news import ChangedPrice, PriceChange, Retirement
from bot.clock import DAY, HOUR, MINUTE
from bot.language import in_language
from bot.ledger.model import Dimensions, Event
from bot.messages import Message
from bot.pricing.tokens import TokenCounts
from bot.runner.cycle import Bot
from bot.sandbox.anthropic_usage import Attribution, UsageEvent
from bot.sandbox.block_limits import problems, view_problems
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import ADMIN
from handlers.commands import answer
from handlers.home import home_content
from handlers.render.home import home_view
from handlers.render.retirement_alert import PRICE_NAMES, retirement_message
from tests.scenario.conftest import OPUS, World, member

MONDAY = datetime(2026, 11, 16, 9, tzinfo=UTC)
SONNET, RETIRING = "claude-sonnet-5-5", "claude-opus-4-5-20251101"

NAMES = {
    *("Anthropic", "Claude", "Code", "API", "analytics", "Console", "Admin", "README", "UTC", "USD", "Slack", "M", "k"),
    *("Opus", "Sonnet", "Haiku", "Fable", "Mythos", "Message", "Batches", "x", "v"),
    *("Start", "Build", "Scale", "Custom", "CLAUDE", "COST", "SOFT", "HARD", "normal", "default", "organization"),
    *("Search", "Default", "ingest", "answers", "support", "billing", "care", "bot", "chat", "messages", "api"),
    *("team", "org", "sandbox", "fast"),
}
"""Names of products and of test data, and units: without them a text has no Latin letters."""

WORD = re.compile(r"[A-Za-z]+")
NOT_PROSE = re.compile(
    r"CLAUDE_COST_SOFT_USD and CLAUDE_COST_HARD_USD|`[^`]*`|<@[^>]*>|<https?://[^|>]*\|?|<!date\^[^|]*\|"
    r"|claude-[\w./-]+|apikey_\w+|wrkspc_\w+|(?:feature|user|tag|team|key|workspace):\S+|U0\w+"
)
SHOWN = {"text", "title", "caption", "x_label", "y_label", "name", "label", "placeholder"}


def shown_in(value: object, key: str = "") -> Iterator[str]:
    """Every visible text of blocks."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from shown_in(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from shown_in(each, key)
    elif isinstance(value, str) and key in {*SHOWN, "categories"}:
        yield value


def english_in(*texts: str) -> set[str]:
    """Lines with a Latin word that is not a name."""
    lines = {line for text in texts for line in text.splitlines()}
    return {line for line in lines if set(WORD.findall(NOT_PROSE.sub(" ", line))) - NAMES}


def english_of(message: Message) -> set[str]:
    assert problems(message.blocks, "message") == []
    older = message.in_older_blocks
    assert older is None or problems(older.blocks, "message") == []
    return english_in(message.text, *shown_in(message.blocks), *shown_in([] if older is None else older.blocks))


async def played(world: World, bot: Bot, clock: HandClock) -> None:
    """Three weeks of usage with caches, of which applications have logged the last days, and two polls."""
    tokens = TokenCounts(400_000, 100_000, 20_000, 150_000, 40_000)
    for hours in range(0, 24 * 21, 3):
        at, model = MONDAY - hours * HOUR, (OPUS, SONNET, RETIRING)[hours % 9 // 3]
        key = None if hours % 5 == 0 else f"apikey_{hours % 2 + 1}"
        whose = Attribution("chat" if hours % 2 else "messages_api")
        world.anthropic.history.add(UsageEvent(at, model, tokens, "wrkspc_1", key, attribution=whose))
    events = [
        Event(
            f"msg_{hours}", MONDAY - hours * HOUR, Dimensions(OPUS, ("support", "billing")[hours % 2], "care"), tokens
        )
        for hours in range(72)
    ]
    bot.services.ledger.append(events, MONDAY)
    for at in (MONDAY - DAY, MONDAY, MONDAY + MINUTE):
        clock.now = at
        await bot.cycle()


REPORTS = [
    *("report", "report today", "report last week by model", "report by key", "report by workspace"),
    *(
        "report by feature",
        "report by user",
        "report by tag:team",
        "report 2026-11-01..2026-11-05",
        "report 2020-01-01",
    ),
    *("report by product", "report by actor", "report by group", "report by agent", "report by organization"),
    *("report nonsense", "report by", "report by nonsense", "report by modle", "report 2027-01-01", "report by tag"),
    *("report 2026-11-05..2026-11-01", "report 2026-13-01", "report 2024-01-01..2026-01-01", "report by key key"),
]
OTHERS = [
    *("top", "top yesterday by workspace", "cache", "cache by model", "cache last week by key", "cache by workspace"),
    *("forecast", "forecast default", "forecast nothing", "forecast defalt", "limits"),
    *("digest", "digest yesterday", "digest week", "digest last week", "digest month", "digest nonsense"),
    *("estimate show bot", "estimate show bto", "estimate show", "estimate list now"),
]


async def test_no_answer_and_no_view_has_english_in_it(simulated: World, clock: HandClock) -> None:
    left: dict[str, Any] = {}
    async with simulated.bot(**simulated.naming_users()) as bot:
        await played(simulated, bot, clock)
        with in_language("ja"):
            kept = "estimate opus-4.8 requests=100k in=2000 out=500 as=bot for=feature:support"
            await answer(bot.services, member(ADMIN), kept)
            for words in [*REPORTS, *OTHERS]:
                left[words] = english_of(await answer(bot.services, member(ADMIN), words))
            content = await bot.services.threads.commands(home_content, bot.services)
            for native in (True, False):
                view = home_view(content, for_admin=True, native=native)
                assert view_problems(view) == []
                left[f"home {native}"] = english_in(*shown_in(view))
    assert {words: lines for words, lines in left.items() if lines} == {}


LAST_DAY = MONDAY.date()


@pytest.mark.parametrize("days", [-3, 0, 1, 14])
@pytest.mark.parametrize("successor", [None, "Opus 5.5"])
@pytest.mark.parametrize("usd", [Decimal("0.5"), Decimal(30)])
def test_no_post_about_a_model_has_english_in_it(days: int, successor: str | None, usd: Decimal) -> None:
    retires = Retirement(
        model=RETIRING,
        name="Opus 4.5",
        last_day=LAST_DAY + days * DAY,
        successor=successor,
        usd=usd,
        successor_usd=None if successor is None else Decimal(39),
        days=14,
    )
    prices = tuple(ChangedPrice(kind=kind, before=Decimal(5), after=None) for kind in PRICE_NAMES)
    price = PriceChange(
        model=RETIRING,
        name="Opus 4.5",
        first_day=LAST_DAY + days * DAY,
        prices=prices,
        usd_before=usd,
        usd_after=Decimal(40),
        days=14,
    )
    news: list[dict[str, Any]] = [{"retires": retires}, {"price": price}]
    for each in news:
        alert = RetirementAlert(
            status=Status.CLOSED,
            reason="",
            decided_at=MONDAY,
            mode="normal",
            model=RETIRING,
            key="60",
            as_of=MONDAY,
            **each,
        )
        with in_language("ja"):
            assert english_of(retirement_message(alert)) == set()
