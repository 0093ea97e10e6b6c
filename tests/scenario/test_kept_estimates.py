"""Saved estimates compared with usage: bound to a scope, shown beside its pace, with the inputs that differ."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.clock import DAY, HOUR, MINUTE
from bot.pricing.words import WordsError
from bot.runner.cycle import Bot
from bot.sandbox.clock import HandClock
from bot.sandbox.slack_workspace import DEVELOPER
from handlers.kept_estimates import split_scope
from tests.scenario.conftest import World
from tests.scenario.http_port import served
from tests.scenario.test_estimate_in_slack import FIELDS, fill, modal
from tests.scenario.test_estimate_in_slack import shown as shown_in
from tests.scenario.test_logged_budgets import ask, send

SUPPORT = "sonnet-4.6 requests=240/day in=2000 out=500 cached=1500 hit=60% as=support-bot"
"""7,200 requests a month: 3.6M uncached at $3, 4.32M writes at $3.75, 6.48M reads at $0.30, 3.6M output at $15."""


def response(number: int, **more: Any) -> dict[str, Any]:
    """2,000 tokens in, of which 1,500 are cached: read by 3 of 5 requests, written by the others; 500 out."""
    kind = "cache_read" if number % 5 < 3 else "cache_create"
    return {
        "id": f"msg_{number}",
        "feature": "support",
        "model": "claude-sonnet-4-6",
        "input_tokens": 500,
        "output_tokens": 500,
        kind: 1500,
        **more,
    }


@pytest.fixture
async def bot(simulated: World) -> AsyncIterator[Bot]:
    async with simulated.bot(**simulated.naming_users()) as bot:
        yield bot


async def log_hours(bot: Bot, clock: HandClock, hours: int, per_hour: int = 10, **more: Any) -> None:
    start = clock.now
    async with served(bot) as client:
        for hour in range(hours):
            clock.now = start + hour * HOUR
            await send(client, *(response(hour * 1000 + n, **more) for n in range(per_hour)))
    clock.now = start + hours * HOUR + MINUTE
    await bot.cycle()


async def test_an_estimate_is_compared_with_what_its_feature_used(simulated: World, clock: HandClock) -> None:
    async with simulated.connected_bot() as bot:

        async def typed(words: str) -> str:
            return (await (await simulated.slack.command(words, DEVELOPER)).first_reply()).text

        kept = await typed(f"estimate {SUPPORT} for=feature:support")
        assert "$82.94 a month" in kept
        assert "`estimate show support-bot` compares it with the usage of feature:support." in kept
        assert "No usage is logged with the feature support yet" in kept
        shown = await typed("estimate show support-bot")
        assert "estimated $82.94 a month, pace not known yet. No usage is logged" in shown
        assert "$82.94 a month estimated, pace not known yet (feature:support)" in await typed("estimate list")

        await log_hours(bot, clock, 10, output_tokens=640)
        shown = await typed("estimate show support-bot")
        # 140 more tokens for each of 7,200 requests, at $15 per million.
        assert "estimated $82.94 a month, on pace for $98.06 (+18%): " in shown
        assert "output 640 tokens a request instead of 500 (+$15.12)." in shown
        assert "in the 10 hours up to 16 Nov 19:00 UTC" in shown
        assert "on pace for $98.06 (feature:support)" in await typed("estimate list")


PLAIN = "sonnet-4.6 requests=100/day in=2000 out=500 as=bot"


async def test_a_workspace_is_compared_by_what_anthropic_counts(simulated: World, bot: Bot, clock: HandClock) -> None:
    start = clock.now
    await bot.cycle()
    assert "`estimate show bot` compares it with the usage of workspace:Search" in await ask(
        bot, "estimate opus-4.8 requests=1k in=2000 out=0 as=bot for=workspace:Search"
    )
    for hour in range(12):
        simulated.spend("1", at=start + hour * HOUR)
    simulated.spend("7", at=start, workspace=None, key="apikey_2")
    clock.now = start + 12 * HOUR + 10 * MINUTE
    await bot.cycle()
    for scope, usd, tokens in (
        ("workspace:search", "720.00", "144.0M"),
        ("key:apikey_1", "720.00", "144.0M"),
        ("model:opus", "1,140.00", "228.0M"),
        ("organization", "1,140.00", "228.0M"),
        ("workspace:default", "420.00", "84.0M"),
    ):
        await ask(bot, f"estimate opus-4.8 requests=1k in=2000 out=0 as=bot for={scope}")
        shown = await ask(bot, "estimate show bot")
        assert f"estimated $10.00 a month, on pace for ${usd}" in shown, shown
        assert f"input {tokens} tokens a month instead of 2.0M" in shown
        assert "Anthropic's usage report does not count requests" in shown
        assert " 0 requests" not in shown


@pytest.mark.parametrize(
    ("scope", "more", "usd"),
    [
        ("tag:team=care", {"tags": {"team": "care"}}, "13.50"),
        ("user:ida@example.com", {"user_id": "ida@example.com"}, "13.50"),
        ("feature:Wide Words", {"feature": "Wide Words"}, "13.50"),
    ],
)
async def test_what_applications_log_is_compared_by_request(
    bot: Bot, clock: HandClock, scope: str, more: dict[str, Any], usd: str
) -> None:
    written = f'for="{scope}"' if " " in scope else f"for={scope}"
    assert f"No usage is logged with the {scope.partition(':')[0]}" in await ask(bot, f"estimate {PLAIN} {written}")
    await log_hours(bot, clock, 6, **more)
    shown = await ask(bot, "estimate show bot")
    assert "240 requests a day instead of 100" in shown
    assert f"Usage of {scope} (logged by applications) in the 6 hours" in shown


async def test_a_users_name_is_not_kept_where_the_ledger_holds_hashes(
    simulated: World, clock: HandClock, tmp_path: Path
) -> None:
    config = tmp_path / "claude-cost.toml"
    config.write_text('[ledger]\nhash_users = true\n[privacy]\nuser_spend = "everyone"\n', encoding="utf-8")
    async with simulated.bot(CLAUDE_COST_CONFIG=str(config)) as bot:
        await ask(bot, f"estimate {PLAIN} for=user:lovelace")
        await log_hours(bot, clock, 6, user_id="lovelace")
        listed = await ask(bot, "estimate list")
    assert "lovelace" not in listed
    assert "on pace for $" in listed


async def test_what_is_not_used_any_more_is_on_pace_for_nothing(bot: Bot, clock: HandClock) -> None:
    await ask(bot, f"estimate {PLAIN} for=feature:support")
    await log_hours(bot, clock, 6)
    clock.advance(8 * DAY)
    await bot.cycle()
    shown = await ask(bot, "estimate show bot")
    assert "on pace for $0.00 (-100%): no usage of feature:support in the 7 days up to 24 Nov 15:00 UTC." in shown


async def test_the_first_hours_show_what_a_request_is_like(bot: Bot, clock: HandClock) -> None:
    await ask(bot, f"estimate {PLAIN} for=feature:support")
    await log_hours(bot, clock, 2, output_tokens=800)
    shown = await ask(bot, "estimate show bot")
    assert "pace not known yet (it takes 6 hours of usage): " in shown
    assert "output 800 tokens a request instead of 500" in shown
    assert "in the time since 16 Nov 09:00 UTC" in shown


async def test_a_binding_stays_until_it_is_taken_away(bot: Bot) -> None:
    await ask(bot, f"estimate {PLAIN} for=feature:support")
    assert "compares it with the usage of feature:support" in await ask(bot, f"estimate {PLAIN} batch")
    assert "(feature:support)" in await ask(bot, "estimate list")
    assert "compares it with" not in await ask(bot, f"estimate {PLAIN} for=none")
    assert "(feature:support)" not in await ask(bot, "estimate list")
    assert (await ask(bot, "estimate show bot")).startswith("`bot`, kept by")


@pytest.mark.parametrize(
    "words",
    [
        "for=feature:support",
        "For = Feature: support",
        "for feature:support",
        "for=“feature:support”",
        "for=feature:“support”,",
        "*for=feature:support*",
        "ｆｏｒ＝feature：support",
    ],
)
def test_a_scope_is_typed_in_many_ways(words: str) -> None:
    for typed in (f"{PLAIN} {words}", f"{words} {PLAIN}"):
        bound = split_scope(typed)
        assert (str(bound.scope), bound.words) == ("feature:support", PLAIN)


@pytest.mark.parametrize("words", [PLAIN, "sonnet 4.6 for 100k requests, 2,000 tokens in and 500 out", "", "for"])
def test_what_names_no_scope_is_left_to_the_workload(words: str) -> None:
    assert split_scope(words) == (words, None, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("for=support", "is no scope: use organization, workspace:ID, key:ID, model:ID, feature:NAME"),
        ("for=", "for= has no value: say whose usage is meant, as in for=feature:support"),
        ("for=feature:", "feature needs a NAME after a colon, as in feature:NAME"),
        ("for=tag:team", "tag needs a name and a value, as in tag:team=search"),
        ("for=product:api", "for= takes no product: Anthropic attributes dollars to it by the day"),
        ("for=feature:a for=feature:b", "for= is given twice"),
        ("for=key:sk-ant-api03-abc", "for= takes the id or the name of a key, never the key itself"),
        ("for=tag:team=sk-ant-api03-abc", "for= takes the id or the name of a key, never the key itself"),
        (f"for=feature:{'x' * 300}", "at most 200 characters"),
    ],
)
def test_a_scope_that_is_not_understood_is_refused_with_the_right_form(words: str, said: str) -> None:
    with pytest.raises(WordsError, match=re.escape(said)):
        split_scope(f"{PLAIN} {words}")


async def test_a_refused_scope_keeps_nothing(bot: Bot) -> None:
    assert (await ask(bot, f"estimate {PLAIN} for=support")).startswith("for= is not understood: ")
    assert "No estimate is kept" in await ask(bot, "estimate list")


async def test_only_what_is_kept_can_be_compared(bot: Bot) -> None:
    words = PLAIN.removesuffix(" as=bot")
    answered = await ask(bot, f"estimate {words} for=feature:support")
    assert answered.startswith("for= compares an estimate that is kept: add as=NAME, such as as=support-bot.")


async def test_a_workspace_that_does_not_exist_is_named_and_not_bound(bot: Bot) -> None:
    await bot.cycle()
    answered = await ask(bot, f"estimate {PLAIN} for=workspace:serch")
    assert "It is compared with no usage. There is no workspace serch in this organization: did you mean" in answered
    assert "`bot`: $40.50 a month, `" in await ask(bot, "estimate list")


async def test_show_names_the_nearest_estimate(bot: Bot) -> None:
    await ask(bot, f"estimate {PLAIN} for=feature:support")
    assert "did you mean `bot`?" in await ask(bot, "estimate show bott")
    assert "is not known here: `estimate show` takes one name" in await ask(bot, "estimate show bot for=feature:x")


async def test_the_form_takes_a_scope_among_its_further_words(simulated: World) -> None:
    async with simulated.connected_bot() as bot:
        await simulated.slack.command("estimate", DEVELOPER)
        await simulated.slack.until(lambda: bool(simulated.slack.views.modals.get(DEVELOPER)))
        assert "for= is not understood" in (await fill(simulated, **FIELDS, more="as=bot for=support"))["more"]
        assert "add as=NAME" in (await fill(simulated, **FIELDS, more="for=feature:support"))["more"]
        assert await fill(simulated, **FIELDS, more="as=bot for=feature:support") == {}
        await simulated.slack.until(lambda: "compares it with" in shown_in(modal(simulated)))
        assert "(feature:support)" in await ask(bot, "estimate list")
